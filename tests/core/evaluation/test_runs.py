"""Runs of evaluations: each cell one answer, whatever happens to the process, the vendor, or the money."""

import subprocess
import sys
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from core import Conflict, InvalidRequest, ModelManager
from core.config import Settings
from core.domain.evaluation.dataset import DatasetRow
from core.domain.evaluation.run import Contestant, Gate, Plan, Requirement
from core.domain.generation import Parameters
from tests.conftest import Open
from tests.core.evaluation.made import (
    CONTAINS,
    cell,
    contestant,
    ended,
    in_the_middle,
    logged_usd,
    outcomes,
    plan,
    rows,
)
from tests.fakes.gemini import FakeGemini, answer, error

CHILD = """
import os, sys
from core import ModelManager
from core.config import Settings
from tests.core.evaluation.made import in_the_middle, plan
mm = ModelManager.open(Settings(database_url=sys.argv[1], simulated_speed=40))
in_the_middle(mm, mm.evaluations.start(plan(mm, 60, width=8)), 20)
os.kill(os.getpid(), 9)
"""


def answered(mm: ModelManager, run_id: str) -> Counter[str | None]:
    return Counter(call.ref_part for call in mm.log.by_ref(run_id) if call.status == "ok")


def test_each_cell_is_answered_once_and_graded(mm: ModelManager):
    run_id = ended(mm, plan(mm, 12, repetitions=2))

    run = mm.evaluations.get(run_id)
    assert (run.status, run.reason, run.n_cells) == ("finished", "", 48)
    assert set(answered(mm, run_id).values()) == {1}
    assert len(answered(mm, run_id)) == 48
    assert run.spent_usd == logged_usd(mm, run_id) > 0
    assert all(set(each) <= {"pass", "fail"} for each in outcomes(mm, run_id))
    assert run.is_simulated


def test_a_killed_run_goes_on_and_each_cell_has_one_answer(open_manager: Open, database_url: str):
    done = subprocess.run([sys.executable, "-c", CHILD, database_url], timeout=180, check=False, capture_output=True)
    assert done.returncode == -9, done.stderr.decode()

    mm = open_manager(database_url)
    [run], _ = mm.evaluations.page()
    run = mm.evaluations.wait(run.id, 60)

    assert run.status == "finished"
    assert set(answered(mm, run.id).values()) == {1}
    assert len(answered(mm, run.id)) == run.n_cells
    assert run.spent_usd == logged_usd(mm, run.id)  # those that the killed process had begun included
    assert {call.error_class for call in mm.log.by_ref(run.id) if call.status != "ok"} <= {"interrupted"}
    assert mm.monitoring.differences() == []


@pytest.mark.parametrize(
    ("database_url", "width"),
    [("sqlite", 64), pytest.param("postgresql", 16, marks=pytest.mark.postgres)],
    indirect=["database_url"],
)
def test_a_spending_limit_is_never_passed_and_the_run_goes_on_with_more(mm: ModelManager, width: int):
    limit = Decimal("0.2")
    run_id = ended(mm, plan(mm, 150, limit_usd=limit, width=width))

    run = mm.evaluations.get(run_id)
    assert run.status == "paused"
    assert "spending limit" in run.reason
    assert Decimal("0.02") < logged_usd(mm, run_id) == run.spent_usd <= limit

    mm.evaluations.resume(run_id, limit_usd=Decimal(5))
    run = mm.evaluations.wait(run_id, 60)
    assert run.status == "finished"
    assert set(answered(mm, run_id).values()) == {1}
    assert len(answered(mm, run_id)) == run.n_cells


def test_stop_and_resume_ask_nothing_twice(sqlite_url: str):
    with ModelManager.open(Settings(database_url=sqlite_url), simulated_speed=40) as mm:
        run_id = mm.evaluations.start(plan(mm, 30, width=4))
        in_the_middle(mm, run_id)
        mm.evaluations.stop(run_id)
        assert mm.evaluations.get(run_id).status == "stopped"
        with pytest.raises(Conflict):
            mm.evaluations.stop(run_id)

        mm.evaluations.resume(run_id)
        run = mm.evaluations.wait(run_id, 60)

        assert run.status == "finished"
        assert set(answered(mm, run_id).values()) == {1}
        assert len(answered(mm, run_id)) == run.n_cells


def test_a_refused_key_leaves_the_rest_not_run_and_a_resume_asks_it(
    open_manager: Open, sqlite_url: str, gemini: FakeGemini
):
    mm = open_manager(sqlite_url, gemini)
    gemini.next(answer("the one"), answer("the two"), error(401, "UNAUTHENTICATED", "API key not valid."))
    model = Contestant(position=0, model="gemini-2.5-flash")
    run_id = ended(mm, plan(mm, 8, model, width=1))

    assert outcomes(mm, run_id) == [{"pass": 2, "error": 1, "not_run": 5}]
    result = mm.evaluations.verdicts.judge(run_id)
    assert result.exit_code == 1
    assert "5 cells of A did not run" in result.reason
    with pytest.raises(Conflict, match="no answer"):
        mm.evaluations.verdicts.bless(run_id, "main")

    assert mm.evaluations.resume(run_id) == 6
    mm.evaluations.wait(run_id, 60)
    assert sum(outcomes(mm, run_id)[0].values()) == 8
    assert "not_run" not in outcomes(mm, run_id)[0]


def test_a_failed_answer_is_neither_a_pass_nor_a_fail(mm: ModelManager):
    data = [*rows(3), DatasetRow(variables={"topic": "[[fail:block]]"})]
    run_id = ended(mm, plan(mm, 0, contestant(), data=data))

    assert outcomes(mm, run_id)[0]["error"] == 1
    broken = cell(mm, run_id, 3, 0, 0)
    assert (broken.outcome, broken.error_class, broken.value("pass")) == ("error", "blocked", None)
    assert mm.evaluations.get(run_id).reason == "1 failed."


def test_what_passes_by_itself_is_waited_for_and_asked_again(mm: ModelManager):
    data = [DatasetRow(variables={"topic": f"the sea [[fail:rate_limit:1]] {at}"}) for at in range(6)]
    run_id = ended(mm, plan(mm, 0, contestant(), data=data))

    assert outcomes(mm, run_id) == [{"pass": 6}]


def test_identical_cells_are_taken_over_and_marked(mm: ModelManager):
    first = ended(mm, plan(mm, 10))
    other = contestant(parameters=Parameters(max_tokens=5))
    second = ended(mm, plan(mm, 10, contestant(), other, max_age_s=3600))

    assert answered(mm, second) == Counter({f"{item}.1.0": 1 for item in range(10)})  # A was answered before
    again, before = (cell(mm, run, 0, 0, 0) for run in (second, first))
    assert (again.is_reused, again.generation_id, again.outcome) == (True, before.generation_id, before.outcome)
    assert again.value("latency") is None
    assert mm.evaluations.get(second).spent_usd == logged_usd(mm, second)


def test_repetitions_are_never_answers_of_each_other(mm: ModelManager):
    run_id = ended(mm, plan(mm, 3, contestant(), repetitions=3, max_age_s=3600))

    assert len(answered(mm, run_id)) == 9


def test_checks_can_be_changed_afterwards_at_no_cost(mm: ModelManager):
    run_id = ended(mm, plan(mm, 5, contestant()))
    n_calls = len(mm.log.by_ref(run_id))

    mm.evaluations.regrade(run_id, checks=[{"type": "equals", "value": "never this"}])

    assert outcomes(mm, run_id) == [{"fail": 5}]
    assert len(mm.log.by_ref(run_id)) == n_calls


@pytest.mark.parametrize(
    "told",
    [
        {"checks": [{**CONTAINS, "weight": 0, "metric": "has e"}]},
        {"checks": [{"type": "assert-set", "assert": [{**CONTAINS, "weight": 0, "metric": "has e"}]}]},
        {"checks": [{**CONTAINS, "metric": "has e"}], "threshold": 0},
    ],
)
def test_checks_that_can_fail_nothing_are_no_green(mm: ModelManager, told: dict[str, Any]):
    run_id = ended(mm, plan(mm, 3, contestant(), **told))
    assert outcomes(mm, run_id) == [{"unchecked": 3}]
    assert (cell(mm, run_id, 0, 0, 0).value("has e"), cell(mm, run_id, 0, 0, 0).value("pass")) == (1.0, None)
    assert mm.evaluations.verdicts.judge(run_id).exit_code == 1


def test_a_function_answers_in_place_of_a_model(mm: ModelManager):
    def shout(variables: Any) -> Any:
        if variables["topic"].endswith("2"):
            raise ValueError("no twos")
        return {"text": f"the {variables['topic']}!", "cost_usd": "0.001"}

    run_id = ended(mm, plan(mm, 4, Contestant(position=0, function="shout")), functions={"shout": shout})

    assert outcomes(mm, run_id) == [{"pass": 3, "error": 1}]
    assert "no twos" in cell(mm, run_id, 2, 0, 0).error
    assert mm.evaluations.get(run_id).spent_usd == Decimal("0.003")
    assert mm.evaluations.answers([cell(mm, run_id, 0, 0, 0)]) == {(0, 0, 0): "the the sea, part 0!"}


def test_where_texts_are_not_kept_neither_a_function_nor_a_check_leaves_one(open_manager: Open, sqlite_url: str):
    mm = open_manager(sqlite_url, log_content="metadata")
    functions = {"shout": lambda _: "a secret answer"}
    checks = ({"type": "equals", "value": "another"},)
    run_id = ended(mm, plan(mm, 2, Contestant(position=0, function="shout"), checks=checks), functions=functions)

    assert outcomes(mm, run_id) == [{"fail": 2}]
    kept = mm.database.rows(text("SELECT output, scores FROM evaluation_cells"))
    assert [row[0] for row in kept] == [None, None]
    assert "secret" not in str(kept) and "equals failed" in str(kept)
    with pytest.raises(Conflict, match="texts of 2 answers are not kept"):
        mm.evaluations.regrade(run_id)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"repetitions": 0}, "repeat == 0"),
        ({"width": 0}, "concurrency == 0"),
        ({"contestants": ()}, "0 contestants"),
        ({"checks": ({"type": "containz", "value": "x"},)}, r"checks\[0\].type: .*containz"),
        ({"checks": ({"type": "llm-rubric", "value": "x"},)}, "needs a model as judge"),
        ({"checks": ({"type": "similar", "value": "x"},)}, "needs a model for vectors"),
        ({"checks": ({"type": "assert-set"},)}, "a set without checks"),
        (
            {"gate": Gate(require=(Requirement(metric="x", not_below=0.5),))},
            "metric 'x'; there are pass, cost, latency",
        ),
        ({"gate": Gate(require=(Requirement(metric="costs", not_above=1),))}, "metric 'costs'; did you mean cost?"),
        ({"limit_usd": Decimal(0)}, "spending limit of .0 cannot"),
    ],
)
def test_a_plan_that_is_none_is_refused_before_anything_is_paid(mm: ModelManager, change: Any, words: str):
    good = plan(mm, 3)
    with pytest.raises(InvalidRequest, match=words):
        mm.evaluations.start(Plan(**{name: getattr(good, name) for name in Plan.__slots__} | change))
    assert mm.evaluations.page()[0] == []


def test_a_row_without_the_variable_of_the_prompt_is_an_error_of_its_cell(mm: ModelManager):
    run_id = ended(mm, plan(mm, 0, contestant(), data=[*rows(2), DatasetRow(variables={"subject": "x"})]))

    assert outcomes(mm, run_id) == [{"pass": 2, "error": 1}]
    assert "topic" in cell(mm, run_id, 2, 0, 0).error


def test_texts_that_are_not_to_be_kept_are_graded_as_they_come(open_manager: Open, database_url: str):
    mm = open_manager(database_url, log_content="metadata")
    run_id = ended(mm, plan(mm, 4, contestant()))

    assert outcomes(mm, run_id) == [{"pass": 4}]
    assert mm.evaluations.answers(mm.evaluations.cells(run_id)) == {}
    with pytest.raises(Conflict, match="4 answers are not kept"):
        mm.evaluations.regrade(run_id)
    again = ended(mm, plan(mm, 4, contestant(), max_age_s=3600))  # there is nothing to take over
    assert outcomes(mm, run_id) == outcomes(mm, again) == [{"pass": 4}]


def test_an_answer_without_its_text_and_its_grade_is_asked_again_and_marked(open_manager: Open, sqlite_url: str):
    """As a process leaves it that is killed between the answer and its checks."""
    mm = open_manager(sqlite_url, log_content="metadata")
    run_id = ended(mm, plan(mm, 4, contestant()))
    spent = mm.evaluations.get(run_id).spent_usd
    with mm.database.write() as connection:
        connection.execute(text("UPDATE evaluation_cells SET grade = '', scores = '' WHERE item = 2"))

    mm.evaluations.resume(run_id)
    mm.evaluations.wait(run_id, 60)
    assert outcomes(mm, run_id) == [{"pass": 4}]
    assert cell(mm, run_id, 2, 0, 0).error.startswith("Asked again")
    assert mm.evaluations.get(run_id).spent_usd == logged_usd(mm, run_id) > spent
    assert mm.evaluations.verdicts.judge(run_id).exit_code == 0


def test_two_processes_share_a_run_on_postgresql(open_manager: Open, postgres_url: str):
    first, second = (open_manager(postgres_url) for _ in range(2))
    run_id = first.evaluations.start(plan(first, 820, contestant(), width=8))
    run = first.evaluations.wait(run_id, 120)

    assert run.status == "finished"
    assert set(answered(first, run_id).values()) == {1}
    assert len(answered(first, run_id)) == 820
    assert run.spent_usd == logged_usd(second, run_id)


def test_likeness_is_checked_by_vectors_that_the_run_pays(mm: ModelManager):
    checks = ({"type": "similar", "value": "the sea", "threshold": -1, "metric": "like"},)
    run_id = ended(mm, plan(mm, 3, contestant(), checks=checks, embedding_model="sim-fast", limit_usd=Decimal(1)))

    run = mm.evaluations.get(run_id)
    assert outcomes(mm, run_id) == [{"pass": 3}]
    assert Counter(call.ref_part == "checks" for call in mm.log.by_ref(run_id)) == Counter({True: 3, False: 3})
    assert run.spent_usd == logged_usd(mm, run_id)
    with pytest.raises(InvalidRequest, match="needs a model for vectors"):
        mm.evaluations.start(plan(mm, 3, contestant(), checks=checks))


def test_a_workflow_is_a_contestant(mm: ModelManager):
    data = [DatasetRow(variables={"input": f"Good morning {at}", "target_language": "German"}) for at in range(3)]
    flow = Contestant(position=0, workflow="translation", model="sim-fast")
    run_id = ended(mm, plan(mm, 0, flow, data=data))

    assert outcomes(mm, run_id) == [{"pass": 3}]
    first = cell(mm, run_id, 0, 0, 0)
    assert mm.workflows.run(first.generation_id).final_output == mm.evaluations.answers([first])[0, 0, 0]
    assert mm.evaluations.get(run_id).spent_usd == sum(
        (mm.workflows.run(each.generation_id).total_cost_usd or 0 for each in mm.evaluations.cells(run_id)), Decimal(0)
    )
    with pytest.raises(InvalidRequest, match="no spending limit"):
        mm.evaluations.start(plan(mm, 0, flow, data=data, limit_usd=Decimal(1)))


def test_a_vendor_that_is_down_pauses_the_run_rather_than_hold_it(
    open_manager: Open, sqlite_url: str, gemini: FakeGemini
):
    mm = open_manager(sqlite_url, gemini)
    gemini.next(answer("the one"), *[error(503, "UNAVAILABLE", "The model is overloaded.") for _ in range(400)])
    model = Contestant(position=0, model="gemini-2.5-flash")
    run_id = ended(mm, plan(mm, 3, model, width=1, give_up_s=0.5))

    run = mm.evaluations.get(run_id)
    assert (run.status, "gemini answered nothing" in run.reason) == ("paused", True), run.reason
    assert outcomes(mm, run_id)[0]["not_run"] >= 1
    assert mm.evaluations.verdicts.judge(run_id).exit_code == 1
