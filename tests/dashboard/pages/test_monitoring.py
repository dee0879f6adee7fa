"""Monitoring: its numbers, and the way from each to its calls."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from core import testing
from core.calls.origin import Origin
from core.domain.generation import Generation
from core.domain.metrics import Window
from dashboard import process
from dashboard.components.monitoring.breakdown import query_of
from dashboard.frames import breakdown, home, latency, monitoring
from dashboard.frames.money import spend
from tests.builders import a_generation
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


def past_call(name: str, days_ago: int, hour: int, **changes: Any) -> Generation:
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return a_generation(name, created_at=midnight - timedelta(days=days_ago) + timedelta(hours=hour), **changes)


def test_yesterday_is_held_against_the_same_weekdays_and_then_against_all_days(open_manager, sqlite_url: str):
    mm = open_manager(sqlite_url)
    process.use(mm)
    usd = {1: "3", 2: "9", 3: "9", 8: "1", 15: "2", 22: "4"}

    def recorded(*days: int) -> spend.Yesterday:
        testing.record(mm, *(past_call(f"g{at}", at, 12, cost_usd=Decimal(usd.get(at, "5"))) for at in days))
        st.cache_data.clear()
        return spend.yesterday(None, False)

    assert recorded(1, 2, 3).usual is None  # two days say nothing
    assert recorded(4, 5).usual == (7.0, 5.0, 9.0)
    found = recorded(8, 15, 22, 28)
    day = f"{found.window.since:%A}"
    assert (found.usual, found.like, found.total.cost_usd) == ((2.0, 1.0, 4.0), f"3 {day}s before", Decimal(3))
    testing.record(mm, past_call("unpriced", 8, 13, cost_usd=None, cost_status="unknown"))
    st.cache_data.clear()
    assert spend.yesterday(None, False).usual is None  # unknown is not zero


def test_an_incident_names_its_hours_its_models_and_what_was_slower(open_manager, sqlite_url: str):
    mm = open_manager(sqlite_url)
    process.use(mm)
    failed = {
        "status": "error",
        "error_class": "rate_limited",
        "cost_usd": Decimal(0),
        "latency_s": 0.1,
        "ttft_s": None,
    }
    calls = [past_call(f"usual{at}", 6, 12, latency_s=1.0) for at in range(900)]
    for hour, n_failed in {8: 1, 9: 2, 10: 5, 11: 1, 12: 2, 14: 0}.items():
        calls += [past_call(f"bad{hour}-{at}", 3, hour, **failed) for at in range(n_failed)]
        calls += [past_call(f"good{hour}-{at}", 3, hour, latency_s=4.0) for at in range(24)]
    calls += [past_call(f"other{at}", 3, 10, request_model="n", response_model="n") for at in range(9)]
    testing.record(mm, *calls)
    st.cache_data.clear()

    [found] = monitoring.incidents(monitoring.chosen("7d"), None, False)
    assert (found.since.hour, found.until.hour, found.n) == (9, 13, 10)  # with all that failed in between
    assert (found.cause, found.whose) == ("rate_limited", "m (gemini)")
    assert found.slower.startswith("m p50 3.9")
    assert latency.because(found, monitoring.chosen("7d"), False) == (
        "9% of its calls failed, mostly rate limited; 1.3 instead of 3.8 tok/s; first token as before; answers as long"
    )
    assert "Unusually slow on" in home.slowest(False).text  # type: ignore[union-attr]


def test_latency_is_held_against_the_range_before_and_says_what_moved_it(open_manager, sqlite_url: str):
    mm = open_manager(sqlite_url)
    process.use(mm)
    calls = [past_call("first", 20, 0)]
    calls += [past_call(f"old{at}", 10, 12, latency_s=1 + at / 500) for at in range(300)]
    testing.record(mm, *calls, *(past_call(f"new{at}", 2, 12, latency_s=1.12 + at / 500) for at in range(300)))
    st.cache_data.clear()
    of = monitoring.chosen("7d")
    assert latency.moved(monitoring.chosen("30d"), None, False) is None
    told = latency.moved(of, None, False)
    told_text = "1.67 s, 1.57 s before (+7%) · slower, above all m: on average each part took as long, so"
    assert told is not None and told.text.startswith(told_text)

    calls = [past_call(f"slow{at}", 2, 13, latency_s=6 + at / 200, n_attempts=3) for at in range(400)]
    testing.record(mm, *calls)
    st.cache_data.clear()
    told = latency.moved(of, None, False)
    assert told is not None and (told.is_slower, told.model) == (True, "m")
    assert told.text.startswith(
        "7.78 s, 1.57 s before (+397%) · slower, above all m: 3.0 attempts a call instead of 1.0"
    )


def test_what_moved_the_cost_is_said_in_dollars_with_what_is_gone(open_manager, sqlite_url: str):
    mm = open_manager(sqlite_url)
    process.use(mm)
    usd = {("a", 9): "1", ("a", 3): "4", ("b", 9): "2", ("c", 3): "1", ("a", 30): "1", ("d", 9): "1"}
    calls = [
        past_call(f"{tag}{days}", days, 12, cost_usd=Decimal(each), tags=(tag,)) for (tag, days), each in usd.items()
    ]
    calls += [past_call("new", 0, 0, cost_usd=Decimal("0.5"), tags=("today",))]
    testing.record(mm, *calls, past_call("u", 3, 12, tags=("d",), cost_usd=None, cost_status="unknown"))
    st.cache_data.clear()

    found = breakdown.by("tag", monitoring.chosen("7d"), None, False)
    assert found.moved == "Moved the cost most: a +$3.00, b −$2.00 (gone), c +$1.00 (new)"
    changes = dict(zip(found.frame["name"], found.frame["change $"].astype(object), strict=True))
    assert {name: each for name, each in changes.items() if each == each} == {
        "a": 3.0,
        "c": 1.0,
        "today": 0.5,
    }  # d is not known


def test_each_number_leads_to_its_calls_and_to_no_others():
    window = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))
    query = query_of(window, False, model="gpt-5", status="failed")

    assert query == {
        "log_range": "1772323200-1772409600", "log_model": "gpt-5", "log_status": "failed", "log_calls": "real",
    }  # fmt: skip


def test_an_hour_of_the_week_is_the_latest_of_its_kind():
    of = monitoring.Range(None, Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 8, 16, tzinfo=UTC)), False)

    for weekday, hour, text in ((6, 15, "03-08 15"), (6, 16, "03-01 16"), (0, 3, "03-02 03")):
        assert f"{monitoring.latest_hour(of, weekday, hour):%m-%d %H}" == text


def test_spend_says_what_changed_only_where_there_was_a_before(app_with_demo: AppTest):
    app = app_with_demo
    at_home = show(app, "home").metric[0].value
    app.query_params["monitor_view"] = "Spend"
    show(app, "monitoring")
    assert "nothing to compare with yet" in texts(app)

    app.button_group(key="range").set_value("24h").run()
    assert f"Cost {at_home} " in str(app.get("vega_lite_chart")[0].proto.spec)  # hours, as at Home
    app.button_group(key="range").set_value("7d").run()
    assert "The parts add up exactly" in texts(app)
    assert not is_broken(app)
