"""Home: first steps, what needs attention, what is new."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from core.domain.metrics import FAILED
from core.workflows.spec import from_yaml
from dashboard import process
from dashboard.frames import experiments
from tests.pages import show, texts

pytestmark = pytest.mark.usefixtures("pages_as_served")


def labels(app: AppTest) -> str:
    return "\n".join(str(link.proto.label) for link in app.get("page_link"))


def test_a_newcomer_sees_three_steps_and_ticks_them_off(app: AppTest):
    assert "1 · Ask a model" in texts(show(app, "home"))
    assert "done" not in texts(app)

    process.manager().generate("Hello", model="sim-fast")
    st.cache_data.clear()
    app.run()

    assert "**1 · Ask a model** :green[:material/check_circle: done]" in texts(app)


def test_what_needs_attention_is_named_with_the_way_to_it(app: AppTest):
    manager = process.manager()
    manager.generate("Hello", model="sim-fast")
    assert "Nothing: no budget near its limit" in texts(show(app, "home"))

    run = manager.workflows.start("analysis", "Why do cats purr?", cap_usd=Decimal("0.000001"))
    manager.workflows.wait(run)
    st.cache_data.clear()
    app.run()

    assert "A run of analysis has reached its spending limit" in labels(app)

    step = "{name: first, model: sim-fast, prompt: 'Say {{input}}', approval: true}"
    manager.workflows.wait(manager.workflows.start(from_yaml(f"name: gated\nsteps:\n- {step}"), "Hello"))
    st.cache_data.clear()
    app.run()

    assert "A run of gated waits for approval at first" in labels(app)


def test_budgets_stand_as_bars_with_the_fullest_first(app: AppTest):
    for name in ("Team <b>", "CI", "Bots", "Tests", "Others"):
        process.manager().budgets.create(name, "5")
    show(app, "home")

    assert "Team &lt;b&gt;" in texts(app) and "$0 of $5.00" in texts(app)
    assert "All 5 budgets" in labels(app)


def test_an_experiment_that_waits_for_somebody_and_the_month_are_said(app_with_demo: AppTest):
    said = labels(show(app_with_demo, "home"))

    assert (
        "A/A: is the split right? – End it: the split shows no fault" in said.replace("\\", "")
        and "Cheaper model for refunds – Let" not in said
    )
    assert "so far** ·" in said.split("This month")[1]
    assert "Nothing: no budget" not in texts(app_with_demo)
    assert "Spend, simulated calls only" in texts(app_with_demo)

    show(app_with_demo, "log")
    app_with_demo.query_params["call"] = process.manager().log.latest(limit=1, status=FAILED)[0].id
    app_with_demo.run()
    assert "not answered" in texts(app_with_demo) and "answered by" not in texts(app_with_demo)

    for experiment in process.manager().experiments.all():  # the chart ends with all that are counted in its title
        found = experiments.report(experiment.id)
        last = experiments.history(found).iloc[-1]
        [now] = [c for c in found.analysis.contrasts if c.metric == experiment.design.primary]
        assert last["units"] == sum(result.n_exposed for result in found.results)
        assert last["effect"] == pytest.approx(100 * now.difference.estimate)


def test_what_happened_since_the_last_visit_is_new(app: AppTest, monkeypatch: pytest.MonkeyPatch):
    manager, hour = process.manager(), timedelta(hours=1)
    manager.workflows.wait(manager.workflows.start("analysis", "Why do cats purr?"))

    for since, is_new in ((datetime.now(UTC) - hour, True), (datetime.now(UTC), False)):
        st.cache_data.clear()
        monkeypatch.setattr("dashboard.visitors.visits.last", lambda since=since: since)
        shown = show(app, "home")
        assert ("Run of analysis succeeded" in labels(shown)) is is_new
        assert ("Nothing new" in texts(shown)) is not is_new
