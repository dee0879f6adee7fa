"""Compare's mode Dataset as its users see it: the list, a new evaluation, the verdict, items by damage, what follows."""

from dataclasses import replace
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from core import ModelManager
from core.domain.evaluation.dataset import DatasetRow
from core.domain.evaluation.run import Contestant, Gate, Plan, Requirement
from core.domain.generation import Parameters
from dashboard import process
from dashboard.components.evaluation import checks, form
from dashboard.frames import home
from dashboard.frames.evaluation import after, items, reading
from dashboard.frames.evaluation.reading import View
from tests import pages
from tests.core.evaluation import made
from tests.pages import button, show

pytestmark = pytest.mark.usefixtures("pages_as_served")
N = 30
EXPECTED = {"type": "contains", "value": "{{expected}}", "metric": "correct"}


def rows() -> list[DatasetRow]:
    """Cases of two tags, each with a number that the functions below read."""
    return [
        DatasetRow(variables={"question": f"case {at}"}, expected="yes", tags=("even" if at % 2 == 0 else "odd",))
        for at in range(N)
    ]


def right_until(n: int, *, fails_at: int | None = None) -> Any:
    """A function that answers the first n cases right, and raises at one."""

    def answer(variables: Any) -> dict[str, str]:
        at = int(variables["question"].split()[1])
        if at == fails_at:
            raise ValueError("out of paper")
        return {"text": f"{'yes' if at < n else 'no'} to {at}", "cost_usd": "0.001"}

    return answer


def ran(mm: ModelManager, *, name: str = "support", gate: Gate | None = None, **functions: Any) -> str:
    dataset = mm.datasets.save("cases", rows())
    contestants = tuple(Contestant(position=0, function=each) for each in functions)
    plan = Plan(name=name, dataset=dataset.ref, contestants=contestants, checks=(EXPECTED,), gate=gate)
    return made.ended(mm, plan, functions=functions)


def opened(app: AppTest, run_id: str, **params: str) -> AppTest:
    show(app, "compare")
    for key, value in {"evaluation": run_id, **params}.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception
    return app


def texts(app: AppTest) -> str:
    return pages.texts(app).replace("\\", "")


def param(app: AppTest, name: str) -> str:
    given = app.query_params[name]
    return given if isinstance(given, str) else given[0]


def grid_of(app: AppTest) -> Any:
    return next(each.value for each in app.dataframe if "A" in each.value.columns)


def test_a_newcomer_is_told_the_next_step_and_runs_an_evaluation_from_the_form(app: AppTest):
    mm = process.manager()
    show(app, "compare")
    app.segmented_control(key="linked_compare_mode").set_value("Dataset").run()
    assert "No evaluations yet" in texts(app)

    button(app, "New evaluation").click().run()
    assert param(app, "evaluation") == "new" and "Missing: a dataset" in texts(app)
    assert app.button(key="eval_start").disabled

    mm.datasets.save("cases", rows())
    app.run()
    app.multiselect(key=f"{form.KEY}models").set_value(["sim-fast", "sim-careful"]).run()
    assert "60 answers: expected $" in texts(app)
    app.button(key="eval_start").click().run()
    [run], _ = mm.evaluations.page()
    assert param(app, "evaluation") == run.id
    assert run.plan.name == "cases" and [each.model for each in run.plan.contestants] == ["sim-fast", "sim-careful"]
    assert mm.evaluations.wait(run.id, 60).status == "finished"

    app.run()
    assert "B passes" in texts(app) and "sim-careful" in texts(app)


def test_a_check_that_is_none_is_told_before_anything_is_asked(app: AppTest):
    process.manager().datasets.save("cases", rows())
    show(app, "compare")
    app.query_params["evaluation"] = "new"
    app.session_state[f"{form.KEY}checks_kept"] = _checks({"type": "json-schema", "value": "{not json"})
    app.run()

    assert "Check 1 (json-schema): its value is no JSON." in texts(app) and app.button(key="eval_start").disabled


def _checks(*given: dict[str, Any]) -> Any:
    from dashboard.frames.evaluation.choices import checks_table

    return checks_table(given)


def test_the_verdict_comes_first_and_the_worst_item_on_top(app: AppTest):
    run_id = ran(process.manager(), old=right_until(25), new=right_until(10))

    opened(app, run_id)

    said = texts(app)
    assert "A is better: B passes 33.3% of 30 items, A 83.3% (−50.0 points" in said
    assert "15 worse, 0 better" in said
    grid = grid_of(app)
    assert list(grid["B"][:16]) == [["broken"]] * 15 + [["fail"]] and list(grid["item"][:2]) == [11, 12]

    app.segmented_control(key="linked_eval_show").set_value("broken").run()
    assert len(grid_of(app)) == 15 and param(app, "eval_show") == "broken"
    app.selectbox(key="linked_eval_tag").set_value("even").run()
    assert sorted(grid_of(app)["item"]) == list(range(11, 26, 2))
    app.text_input(key="linked_eval_words").set_value("case 12").run()
    assert list(grid_of(app)["item"]) == [13]


def test_one_address_shows_one_view(app: AppTest):
    run_id = ran(process.manager(), old=right_until(25), new=right_until(10))

    opened(app, run_id, eval_with="B", eval_metric="correct", eval_show="fixed", eval_tag="odd")

    assert "A is better: A correct 83.3% of 30 items, B 33.3%" in texts(app)
    assert sorted(grid_of(app)["item"]) == list(range(12, 26, 2))


def test_an_item_shows_all_answers_with_their_checks_and_differences(app: AppTest):
    run_id = ran(process.manager(), old=right_until(25), new=right_until(10))
    opened(app, run_id, item="11")

    said = texts(app)
    assert "Item 11" in said and "case 10" in said
    assert "<del>yes</del>" in said and "<ins>no</ins>" in said
    assert "contains · correct" in said and "does not contain" in said

    app.button(key="item_down").click().run()
    assert param(app, "item") == "12"


def test_errors_are_named_and_no_fail(app: AppTest):
    run_id = ran(process.manager(), old=right_until(25), new=right_until(25, fails_at=3))

    opened(app, run_id, eval_show="errors")

    said = texts(app)
    assert "1 of B failed" in said and "out of paper" in said
    assert grid_of(app).to_dict("records")[0]["B"] == ["error"]
    assert "1 answer of B failed" in said


def test_a_run_is_held_against_a_baseline_that_was_blessed(app: AppTest):
    mm = process.manager()
    before = ran(mm, old=right_until(28))
    opened(app, before)
    app.text_input(key="eval_bless_name").set_value("main").run()
    app.button(key="eval_bless").click().run()
    assert [(each.name, each.run_id) for each in mm.evaluations.verdicts.baselines()] == [("main", before)]

    gate = Gate(against="main", require=(Requirement(not_worse_than_points=2),))
    run_id = ran(mm, gate=gate, old=right_until(10))
    opened(app, run_id)

    said = texts(app)
    assert "main is better: A passes 33.3%" in said and "The gate failed" in said and "points.." not in said
    assert mm.evaluations.get(run_id).judged["exit_code"] == 100
    assert any("its gate failed" in line.text and line.level == "bad" for line in home.attention())
    opened(app, run_id, item="20")
    assert "<del>yes</del>" in texts(app)


def test_grading_anew_asks_nothing_and_changes_the_verdict(app: AppTest):
    mm = process.manager()
    run_id = ran(mm, old=right_until(25), new=right_until(10))
    opened(app, run_id)

    mm.evaluations.regrade(run_id, checks=[{"type": "contains", "value": "to"}])
    app.run()

    assert "B passes 100% of 30 items, A 100%" in texts(app)
    assert list(grid_of(app)["B"]) == [["pass"]] * N


def test_a_version_goes_live_with_the_run_as_its_reason_and_back_with_one_click(app: AppTest):
    mm = process.manager()
    for text in ("Say {{question}}", "Say it well: {{question}}"):
        content = made.PromptContent(messages=(made.PromptMessage("user", text),))
        mm.prompts.save("tell", content)
    mm.prompts.move_label("tell", "live", 1)
    dataset = mm.datasets.save("cases", rows())
    contestants = tuple(
        Contestant(
            position=0, model="sim-fast", prompt=f"tell@{n}", content=mm.prompts.get(f"tell@{n}").content,
            parameters=Parameters(temperature=0.5, max_tokens=40),
        )
        for n in (1, 2)
    )  # fmt: skip
    plan = Plan(name="tell", dataset=dataset.ref, contestants=contestants, checks=(made.CONTAINS,))
    run_id = made.ended(mm, plan)

    opened(app, run_id)
    app.button(key="eval_make_live").click().run()
    [move, *_] = mm.prompts.label_moves("tell")
    assert (move.number, move.run_id) == (2, run_id)
    app.button(key="eval_unlive").click().run()
    assert mm.prompts.all()[0].labels == {"live": 1}

    assert after.more_than_form(plan) == ""
    assert "weight" in after.more_than_form(replace(plan, checks=({**made.CONTAINS, "weight": 2},)))
    assert "each prompt with each model" in after.more_than_form(
        replace(plan, contestants=(*contestants, Contestant(position=2, model="sim-careful", prompt="tell@1")))
    )
    app.button(key="eval_again").click().run()
    again = mm.evaluations.get(param(app, "evaluation"))
    assert again.id != run_id and again.plan.checks == plan.checks

    of = reading.seen(mm.evaluations.get(run_id))
    filled = after.experiment_of(of.run, [0, 1])
    assert (filled["draft_n"], filled["draft_model_1"], filled["draft_name_1"]) == (
        2,
        "sim-fast",
        "B tell@2 · sim-fast",
    )
    opened(app, run_id)
    app.button(key="eval_prove").click().run()
    app.query_params["experiment"] = "new"
    show(app, "experiments")
    app.text_input(key="draft_hypothesis").input("The kinder one helps more users.").run()
    app.button(key="exp_start").click().run()
    [made_of] = mm.experiments.all()
    assert [each.prompt_version for each in made_of.variants] == ["prompt:tell@1", "prompt:tell@2"]
    assert {each.parameters for each in made_of.variants} == {Parameters(temperature=0.5, max_tokens=40)}


def test_failed_items_become_rows_of_a_dataset_and_runs_leave_as_files(app: AppTest):
    mm = process.manager()
    run_id = ran(mm, old=right_until(30), new=right_until(28))
    opened(app, run_id)
    app.text_input(key="eval_add_name").set_value("hard").run()
    app.button(key="eval_add").click().run()

    assert [row.variables["question"] for row in mm.datasets.rows("hard")] == ["case 28", "case 29"]
    run = mm.evaluations.get(run_id)
    assert after.exported(run, "CSV").count(b"\r\n") == 2 * N + 1
    assert after.exported(run, "JUnit").count(b"<failure") == 2
    assert b'"answer": "no to 29"' in after.exported(run, "JSON")


def test_charts_and_setup_are_drawn(app: AppTest):
    mm = process.manager()
    ran(mm, old=right_until(25), new=right_until(20))
    run_id = ran(mm, old=right_until(25), new=right_until(10))

    opened(app, run_id, eval_view="Charts")
    said = texts(app)
    assert "Differences of an answer from A" in said and "Dashed" in said
    opened(app, run_id, eval_view="Setup")
    assert "Checks" in texts(app)


def test_a_run_that_was_stopped_is_resumed(app: AppTest):
    mm = process.manager()
    dataset = mm.datasets.save("cases", rows())
    plan = Plan(
        name="limited",
        dataset=dataset.ref,
        contestants=(made.contestant("sim-careful", None),),
        limit_usd=made.Decimal("0.000001"),
    )
    run_id = mm.evaluations.start(plan)
    assert mm.evaluations.wait(run_id, 60).status == "paused"
    opened(app, run_id)
    assert "does not pay the next answer" in texts(app) and "30 cells have no answer" in texts(app)
    assert any("limited is paused" in line.text for line in home.attention())

    app.number_input(key="eval_cap").set_value(5.0).run()
    app.button(key="eval_resume").click().run()
    run = mm.evaluations.wait(run_id, 60)
    assert (run.status, run.plan.limit_usd) == ("finished", 5), run.reason


def test_prompts_and_datasets_keep_what_they_showed(app: AppTest):
    mm = process.manager()
    run_id = ran(mm, old=right_until(25), new=right_until(10))
    opened(app, run_id)
    assert app.segmented_control(key="linked_compare_mode").value == "Dataset"

    app.segmented_control(key="linked_compare_mode").set_value("Prompt").run()
    assert "evaluation" not in app.query_params and app.button(key="compare_run")
    app.segmented_control(key="linked_compare_mode").set_value("Dataset").run()
    assert param(app, "evaluation") == run_id


def test_a_filter_of_a_large_run_reads_the_cells_once(app: AppTest, monkeypatch: pytest.MonkeyPatch):
    mm = process.manager()
    of = reading.seen(mm.evaluations.get(ran(mm, old=right_until(25), new=right_until(10))))
    items.items(of, View(), "all", "", "")
    monkeypatch.setattr(mm.evaluations.verdicts, "read", lambda *_, **__: pytest.fail("they are on hand"))

    assert len(items.items(of, View(), "broken", "", "")) == 15
    assert len(items.items(of, View(baseline=1), "fixed", "", "")) == 15


def test_the_list_says_who_is_better_in_a_few_words(app: AppTest):
    mm = process.manager()
    ran(mm, old=right_until(25), new=right_until(10))
    mm.evaluations.verdicts.bless(ran(mm, name="gated", old=right_until(28)), "main")
    gate = Gate(against="main", require=(Requirement(not_worse_than_points=2),))
    ran(mm, name="gated", gate=gate, old=right_until(10))

    show(app, "compare")
    app.query_params["compare_mode"] = "Dataset"
    app.run()

    [frame] = [each.value for each in app.dataframe]
    assert [words.partition(":")[0] for words in frame["verdict"]] == ["A worse", "no baseline", "B worse"]
    assert list(frame["status"]) == ["Gate failed", "Finished", "Finished"]
    assert list(frame["contestants"].tolist()[2]) == ["A old", "B new"]


def test_checks_come_out_of_the_table_as_they_went_in():
    given = [
        {"type": "word-count", "value": {"max": 24}},
        {"type": "not-contains-any", "value": ["a", "b"], "metric": "tone"},
        {"type": "word-count", "value": 1},
        {"type": "similar", "value": "{{expected}}", "threshold": 0.8},
        {"type": "contains", "value": "42"},
    ]

    table = _checks(*given).to_dict("records")

    assert [checks.read(at, row) for at, row in enumerate(table, 1)] == given
