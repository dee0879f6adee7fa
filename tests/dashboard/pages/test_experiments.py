"""Experiments: made in four steps, judged in a table, decided with a name and a confirmation."""

import html
import json
import re

import altair as alt
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from core.domain.experiment import OutcomeInput, Variant
from dashboard import process
from dashboard.charts.colours import LIGHT
from dashboard.charts.experiments import effect_over_time
from tests.pages import button, is_broken, show, texts

pytestmark = pytest.mark.usefixtures("pages_as_served")


def opened(app: AppTest, experiment_id: str) -> AppTest:
    """The page with an experiment."""
    show(app, "experiments")
    app.query_params["experiment"] = experiment_id
    app.run()
    assert not is_broken(app), texts(app)
    return app


def scorecard(app: AppTest) -> str:
    """The table with its tags left out."""
    [found] = [each.proto.body for each in app.get("html") if "<table" in each.proto.body]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", found))


def test_an_experiment_is_made_played_and_stopped(app: AppTest):
    show(app, "experiments")
    app.button(key="exp_new").click().run()
    app.text_input(key="draft_name").input("Tone").run()
    assert "Missing: hypothesis" in texts(app) and app.button(key="exp_start").disabled
    assert "at 1,000 a day" in texts(app)
    planned = app.metric[0].value
    app.number_input(key="draft_small_success").set_value(6.0).run()
    assert int(app.metric[0].value.split()[0]) < int(planned.split()[0])

    app.text_input(key="draft_hypothesis").input("Shorter answers help more users.").run()
    app.switch_page("pages/settings.py").run()
    app.switch_page("pages/experiments.py").run()
    assert app.text_input(key="draft_name").value == "Tone"  # a draft survives a change of page
    app.button(key="exp_start").click().run()
    assert process.manager().experiments.all()[0].design.smallest_effect == pytest.approx(0.06)
    button(app, "Simulate 1,000").click().run()

    assert not app.exception
    [made] = process.manager().experiments.all()
    assert process.manager().experiments.report(made.id).analysis.n_outcomes == 1000
    app.button(key="exp_stop").click().run()
    assert process.manager().experiments.get(made.id).status == "running"  # it is asked once more
    app.button(key="exp_sure").click().run()
    assert process.manager().experiments.get(made.id).status == "stopped"


def test_weights_are_changed_a_wrong_split_is_acknowledged_and_a_variant_shipped(app: AppTest):
    mm = process.manager()
    made = mm.experiments.create("Tone", ["sim-fast", "sim-balanced"], hypothesis="h")
    rows = [OutcomeInput(variant=int(n % 3 == 0), unit_id=f"u{n}", success=n % 2 == 0) for n in range(900)]
    mm.experiments.record(made.id, rows)
    opened(app, made.id)
    assert "cannot be compared" in texts(app)

    app.button(key="exp_acknowledge").click().run()
    assert "cannot be compared" not in texts(app)
    app.number_input(key=f"exp_reweigh_{made.id}_1").set_value(3)
    button(app, "Start a new phase").click().run()
    assert mm.experiments.get(made.id).phase == 2
    app.button(key="exp_ship").click().run()
    app.text_input(key="exp_ship_alias").input("bot")
    app.button(key="exp_sure").click().run()

    assert not app.exception
    assert mm.aliases.get("bot").rollout_id is not None
    assert mm.experiments.get(made.id).ended.startswith("Ship B")


def test_the_list_says_what_was_found_and_how_long_it_takes(app_with_demo: AppTest):
    [frame] = [each.value for each in show(app_with_demo, "experiments").dataframe]

    assert [status for [status] in frame["status"]] == ["Running", "Running", "Stopped"]
    assert frame["left"].tolist()[1:] == ["–", "Stopped"]
    assert "user success rate +9.3 points (+5.1 to +13.4)" in frame["verdict"].iloc[2]
    assert min(map(len, frame["effect"])) > 3


def test_a_scorecard_judges_each_metric_in_words(app_with_demo: AppTest):
    opened(app_with_demo, "e_demo_shorter")

    found = scorecard(app_with_demo)
    assert "User success rate main 60.8% 70.1% +9.3 pts +5.1 to +13.4 Better" in found
    assert re.search(r"Latency p95 limit \+50% .* Within limit Error rate limit \+3 pts", found)


def test_no_variant_is_offered_for_shipping_where_none_has_won(app: AppTest):
    names = ("A <b>", "B **bold**", "=C|$1$")
    variants = [Variant(position=at, name=name, model="sim-fast", system=f"{at}") for at, name in enumerate(names)]
    made = process.manager().experiments.create("*Tone* :red[x]", variants, hypothesis="h", primary="rating")
    rows = [OutcomeInput(variant=n % 3, unit_id=f"u{n}", rating=1 + n % 5) for n in range(300)]
    process.manager().experiments.record(made.id, rows)
    opened(app, made.id)
    assert "=C|$1$" in html.unescape(scorecard(app))

    app.button(key="exp_ship").click().run()
    assert app.selectbox(key="exp_ship_variant").value is None and app.button(key="exp_sure").disabled
    app.button(key="exp_cancel").click().run()
    assert not any(each.key == "exp_sure" for each in app.button)


def test_a_rollout_goes_on_by_itself(app: AppTest):
    mm = process.manager()
    made = mm.experiments.create("Tone", ["sim-fast", "sim-balanced"], hypothesis="h")
    rollout = mm.aliases.promote(made.id, 1, "bot").rollout_id
    assert "Rolling out" in [status for [status] in show(app, "experiments").dataframe[0].value["status"]]

    opened(app, rollout)
    assert "5% of the traffic" in texts(app)
    assert not {"Ship B", "Keep A", "Start a new phase"} & {each.label for each in app.button}


def test_the_simulator_answers(app_with_demo: AppTest):
    app_with_demo.session_state["exp_open_Why you may look at any time"] = True
    opened(app_with_demo, "e_demo_aa")
    app_with_demo.number_input(key="peek_n").set_value(500).run()

    assert not app_with_demo.exception
    assert any("declares a winner %" in frame.value.columns for frame in app_with_demo.dataframe)


def test_the_course_of_an_effect_is_drawn_as_vega_lite_without_a_formula():
    formula = '=HYPERLINK("http://x")'
    looks = {"at": "2026-03-08 15:30", "effect text": formula, "bounds text": "", "effect": 1.0, "lower": -1.0, "upper": 3.0}  # fmt: skip
    frame = pd.DataFrame([{"units": 100 * n, "variant": formula, **looks} for n in (1, 2)])

    spec = effect_over_time(frame, [formula], ("Users so far", " pts"), {"limit": -2.0}, LIGHT)

    alt.Chart.from_dict(spec)
    assert json.dumps(formula) not in json.dumps(spec)
