"""Pages in the installation's time zone, which is said once."""

import json
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pandas as pd
import pytest

from core.domain.log.filter import LogFilter
from core.domain.metrics import Window
from core.formats import zones
from dashboard import formatting, process, tables
from dashboard.charts import colours
from dashboard.charts.base import Span, whole
from dashboard.charts.stack import Series, Stack
from dashboard.components.gateway.keys import _end
from dashboard.components.monitoring.breakdown import query_of
from dashboard.frames import log, monitoring
from dashboard.frames.money import spend
from tests.pages import page_app, show, texts

pytestmark = pytest.mark.usefixtures("pages_as_served")
NOW = datetime(2026, 11, 16, 12, 30, tzinfo=UTC)


def axis_of(span: Span) -> dict[str, str]:
    """What is written on the axis of a chart of a range, by where (UTC)."""
    frame = whole(pd.DataFrame({"time": [pd.Timestamp(span.since)], "n": [1.0]}), span)
    stack = Stack(frame, span, colours.LIGHT)
    stack.bars("Calls", [Series("n", "calls", "#000")], "~s")
    [panel] = stack.spec()["vconcat"]
    axis = panel["layer"][0]["encoding"]["x"]["axis"]
    written = json.loads(axis["labelExpr"].removeprefix("(").removesuffix(")[datum.value]"))
    assert axis["values"] == [int(at) for at in written]
    return {f"{datetime.fromtimestamp(int(at) / 1000, UTC):%d %H:%M}": text for at, text in written.items()}


@pytest.mark.parametrize(
    ("name", "day", "hours"),
    [
        ("Europe/Berlin", "2026-03-29", 23), ("Europe/Berlin", "2026-10-25", 25), ("America/St_Johns", "2026-11-01", 25),
        ("America/Havana", "2026-03-08", 23), ("Asia/Kolkata", "2026-03-29", 24), ("Pacific/Apia", "2026-10-25", 24),
    ],
)  # fmt: skip
def test_days_of_a_chart_are_local_ones_also_where_clocks_change(name: str, day: str, hours: int):
    since = zones.midnight(date.fromisoformat(day) - timedelta(days=3), ZoneInfo(name))
    span = Span.around("day", since, since + timedelta(days=6), name)._replace(now=NOW)

    lengths = {
        f"{a.astimezone(ZoneInfo(name)):%Y-%m-%d}": (b - a) / timedelta(hours=1) for a, b in pairwise(span.edges)
    }
    assert lengths.pop(day) == hours and set(lengths.values()) == {24} and 6 <= span.n <= 7
    assert list(axis_of(span).values()) == [f"{pd.Timestamp(each):%-d %b}" for each in sorted([*lengths, day])]


def test_hours_of_a_chart_are_labelled_at_local_midnight_and_one_that_comes_twice_by_its_name():
    since = datetime(2026, 10, 24, 12, tzinfo=UTC)
    around = Span.around("hour", since, since + timedelta(hours=24), "Europe/Berlin")
    night = Span.around("hour", since + timedelta(hours=11), since + timedelta(hours=16), "Europe/Berlin")

    assert axis_of(around) == {
        "24 13:00": "24 Oct 15:00", "24 16:00": "18:00", "24 19:00": "21:00", "24 22:00": "25 Oct 00:00", "25 02:00": "03:00",
        "25 05:00": "06:00", "25 08:00": "09:00", "25 11:00": "12:00",
    }  # fmt: skip
    assert list(axis_of(night).values()) == ["25 Oct 01:00", "02:00 CEST", "02:00 CET", "03:00", "04:00"]


@pytest.fixture(params=["Asia/Kolkata", "Pacific/Apia"])
def zone(request: pytest.FixtureRequest, open_manager, demo_url: str):
    """The demo in a zone: off UTC by half an hour, and on another day than UTC for much of the day."""
    app = page_app(open_manager(demo_url, time_zone=request.param))
    next(app)
    yield ZoneInfo(request.param)
    next(app, None)


def test_each_bar_has_the_calls_that_the_log_lists_for_its_day(zone: ZoneInfo):
    of = monitoring.chosen("7d")
    times = monitoring.over_time(of, None, True)

    assert len(times) == 7 and times["requests"].sum() > 20
    for at, n in zip(times["time"], times["requests"], strict=True):
        start, end = at.to_pydatetime(), of.span.end(at.to_pydatetime())
        day = LogFilter(since=start, until=end)
        assert log.counted(day).total.n == n
        listed = log.latest(day, 1000)
        assert len(listed) == n
        days = {zones.day_of(g.created_at, zone) for g in listed}
        assert days <= {start.astimezone(zone).date()}
    assert process.manager().monitoring.total(of.window, simulated=True).n == times["requests"].sum()
    window = spend.days(of)  # what is kept by days of UTC is of the same dates
    assert window.since == zones.midnight(start.astimezone(zone).date() - timedelta(days=6), ZoneInfo("UTC"))
    week = monitoring.by_weekday(of, None, True)
    busiest = week.loc[week["requests"].idxmax()]
    hour = monitoring.latest_hour(of, int(busiest["day"]), int(busiest["hour"])).astimezone(zone)
    assert (hour.weekday(), hour.hour) == (busiest["day"], busiest["hour"])
    path, title, _ = spend.forecast(True)
    assert path["time"].iloc[0].astimezone(zone).day == 1 and title.startswith("This month $")


def test_pages_show_one_zone_and_say_it_once(open_manager, demo_url: str):
    manager = open_manager(demo_url, time_zone="Asia/Kolkata")
    running = page_app(manager)
    app = next(running)
    [newest] = manager.log.latest(limit=1)
    of = monitoring.chosen("7d")
    start, end = of.span.edges[1:3]
    app.query_params.update({k: v for k, v in query_of(of.window, simulated=True).items() if v})
    show(app, "log")

    [shown] = [each.value for each in app.dataframe if "time" in each.value]
    assert str(shown["time"].dt.tz) == "Asia/Kolkata" and shown["time"].iloc[0] == newest.created_at
    [strip] = [each for each in texts(app).split("\n") if "As of" in each]
    assert strip.endswith(", Asia/Kolkata") and formatting.at(NOW, "%H:%M") == "18:00"
    assert formatting.stretch(start, end) == f"{start.astimezone(ZoneInfo('Asia/Kolkata')):%-d %b}"
    for page in ("monitoring", "budgets", "gateway"):
        assert "UTC" not in texts(show(app, page)).replace("days (UTC)", "")
    csv = tables.local(pd.DataFrame({"time": [pd.Timestamp(NOW)]})).to_csv(index=False)
    assert csv == "time\n2026-11-16 18:00:00+05:30\n"
    next(running, None)


@pytest.mark.parametrize("name", ["America/Los_Angeles", "Asia/Kolkata", "Pacific/Apia"])
def test_days_of_utc_of_a_local_range_reach_up_to_now_at_every_hour(open_manager, sqlite_url: str, name: str):
    process.use(open_manager(sqlite_url, time_zone=name))
    now, local = datetime.now(UTC), ZoneInfo(name)
    for moment in (now - timedelta(hours=n) for n in range(24)):
        today = zones.day_of(moment, local)
        for back, n_days in ((0, 1), (0, 7), (3, 1)):
            last = today - timedelta(days=back)
            first, is_over = last - timedelta(days=n_days - 1), back > 0
            since, until = zones.first_hour(first, local), zones.first_hour(last + timedelta(days=1), local)
            span = Span.around("day", since, until, name)._replace(now=moment)
            found = spend.days(monitoring.Range(span, Window(since, min(until, moment)), False))
            assert (span.since, span.until) == (since, until)
            assert found.until - found.since == timedelta(days=1) if is_over else found.since < moment <= found.until
    assert _end(date(2026, 12, 1)) == datetime(2026, 12, 1, tzinfo=local)  # of a key, at its local midnight
    process.use(None)
