"""Monitoring: its numbers, and the way from each to its calls."""

from datetime import UTC, datetime

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from core.calls.origin import Origin
from core.domain.metrics import Window
from dashboard import process
from dashboard.components.monitoring.breakdown import query_of
from dashboard.frames import breakdown, monitoring
from tests.pages import is_broken, show, texts

pytestmark = pytest.mark.usefixtures("pages_as_served")


def test_monitoring_shows_what_was_called(app_with_gemini: AppTest):
    process.manager().generate("Hi", model="gemini-unpriced-1")
    st.cache_data.clear()
    show(app_with_gemini, "monitoring")

    assert next(m.value for m in app_with_gemini.metric if m.label == "Calls") == "1"
    assert next(m.value for m in app_with_gemini.metric if m.label == "Cost") == "unknown"
    assert "Without a price" in texts(app_with_gemini)


def test_the_table_by_key_tag_user_and_workflow_adds_up_and_leads_to_the_calls(open_manager, sqlite_url: str, gemini):
    mm = open_manager(sqlite_url, gemini)
    key, _ = mm.keys.create("checkout")
    origins = (
        Origin(source="api", key_id=key.id, user_id="ada", tags=("a", "b")),
        Origin(source="api", tags=("a",)),
        Origin(source="workflow", ref_name="workflow:digest"),
    )
    for origin in origins:
        mm.submit(mm.request("Hello", model="gemini-2.5-flash"), origin).result(20)
    of = monitoring.chosen("30d")
    process.use(mm)

    found = {name: breakdown.by(name, of, None, False) for name in breakdown.DIMENSIONS}
    assert {name: each.frame["name"].tolist() for name, each in found.items() if not each.frame.empty} == {
        "model": ["gemini-2.5-flash"], "key": ["checkout"], "tag": ["a", "b"], "user": ["ada"], "workflow": ["digest"],
    }  # fmt: skip
    assert found["tag"].frame["calls"].tolist() == [2, 1]
    assert found["tag"].rest == "A call with two tags is in two rows."
    assert found["key"].rest.startswith("2 calls name no key: $")
    assert found["key"].frame["cost $"].sum() == pytest.approx(float(mm.monitoring.total(of.window).cost_usd) / 3)
    assert found["key"].frame["change"].tolist() == [None]  # the records do not reach back
    assert len(found["user"].frame["trend"][0]) == 30
    assert breakdown.by("user", of, "another", False).frame.empty


def test_each_number_leads_to_its_calls_and_to_no_others():
    window = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))
    query = query_of(window, False, model="gpt-5", status="failed")

    assert {name: value for name, value in query.items() if value} == {
        "log_range": "1772323200-1772409600", "log_page": "1", "log_model": "gpt-5", "log_status": "failed",
        "log_calls": "real",
    }  # fmt: skip
    assert {"log_key", "log_search", "log_user"} < set(query)  # a filter that the Log was left with is taken away


def test_an_hour_of_the_week_is_the_latest_of_its_kind():
    of = monitoring.Range(None, Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 8, 16, tzinfo=UTC)), False)

    for weekday, hour, text in ((6, 15, "03-08 15"), (6, 16, "03-01 16"), (0, 3, "03-02 03")):
        assert f"{monitoring.latest_hour(of, weekday, hour):%m-%d %H}" == text


def test_spend_says_what_changed_only_where_there_was_a_before(app_with_demo: AppTest):
    app = app_with_demo
    app.query_params["monitor_view"] = "Spend"
    show(app, "monitoring")
    assert "nothing to compare with yet" in texts(app)

    app.button_group(key="range").set_value("7d").run()
    assert "The parts add up exactly" in texts(app)
    assert not is_broken(app)
