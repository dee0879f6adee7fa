"""Experiments: made in four steps, judged in a table, decided with a name and a confirmation."""

import pytest
from streamlit.testing.v1 import AppTest

from core.domain.experiment import OutcomeInput
from dashboard import process
from tests.pages import button, show, texts

pytestmark = pytest.mark.usefixtures("pages_as_served")


def test_an_experiment_is_made_played_and_stopped(app: AppTest):
    show(app, "experiments")
    app.text_input(key="exp_name").input("Tone")
    button(app, "Start").click().run()
    assert "hypothesis" in texts(app)

    app.text_input(key="exp_hypothesis").input("Shorter answers help more users.")
    button(app, "Start").click().run()
    button(app, "Simulate 1,000").click().run()

    assert not app.exception
    report = process.manager().experiments.report(process.manager().experiments.all()[0].id)
    assert report.analysis.n_outcomes == 1000
    app.button(key="exp_stop").click().run()
    assert process.manager().experiments.all()[0].status == "stopped"


def test_weights_are_changed_a_wrong_split_is_acknowledged_and_a_variant_promoted(app: AppTest):
    mm = process.manager()
    made = mm.experiments.create("Tone", ["sim-fast", "sim-balanced"], hypothesis="h")
    rows = [OutcomeInput(variant=int(n % 3 == 0), unit_id=f"u{n}", success=n % 2 == 0) for n in range(900)]
    mm.experiments.record(made.id, rows)
    show(app, "experiments")
    assert "cannot be compared" in texts(app)

    app.button(key="exp_acknowledge").click().run()
    assert "cannot be compared" not in texts(app)
    app.number_input(key=f"exp_reweigh_{made.id}_1").set_value(3)
    button(app, "Start a new phase").click().run()
    assert mm.experiments.get(made.id).phase == 2
    app.text_input(key="exp_promote_alias").input("bot")
    app.selectbox(key="exp_promote_variant").select(1)
    next(b for b in app.button if b.label == "Promote").click().run()

    assert not app.exception
    assert mm.aliases.get("bot").rollout_id is not None


def test_the_planner_and_the_simulator_answer(app: AppTest):
    process.manager().experiments.create("Tone", ["sim-fast", "sim-fast"], hypothesis="h")
    show(app, "experiments")

    app.text_input(key="plan_effects").input("5, x").run()
    assert "Differences are numbers" in texts(app)
    app.text_input(key="plan_effects").input("5").run()
    app.number_input(key="peek_n").set_value(500).run()

    assert not app.exception
    tables = [frame.value for frame in app.dataframe]
    assert any(
        "any look: units per variant" in table.columns and table["any look: units per variant"].tolist() == [2819]
        for table in tables
    )
    assert any("declares a winner %" in table.columns for table in tables)
