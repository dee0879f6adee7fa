"""Local days: sums by the hour, grouped by the days of a zone, say the same as the calls."""

import random
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from core import InvalidRequest, clock, testing
from core.config import Settings
from core.domain.metrics import Window
from core.formats.zones import day_of, day_starts, first_hour
from core.monitoring.service import MonitoringService
from core.storage.calls.generations import to_row
from core.storage.calls.record import log_rows
from core.storage.calls.rollups import RollupStore
from core.storage.engine.database import Database
from core.storage.engine.writer import Writer
from tests.builders import a_generation

# Clocks change on 29 March and 25 October in Berlin, at midnight in Havana, by half an hour on Lord Howe; St. John's, Kolkata
# and the Chathams are off UTC by parts of an hour, Apia and Pago Pago by 13 and -11 hours.
ZONES = (
    "UTC", "Europe/Berlin", "Europe/London", "America/St_Johns", "America/Havana", "Asia/Kolkata", "Australia/Lord_Howe",
    "Pacific/Chatham", "Pacific/Apia", "Pacific/Pago_Pago",
)  # fmt: skip
SINCE, NOW = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 11, 16, 12, 30, tzinfo=UTC)
CHANGES = [datetime(2026, *at, tzinfo=UTC) for at in ((3, 8, 5), (3, 29, 1), (10, 25, 1), (11, 1, 6))]


@pytest.fixture(scope="module")
def calls(sqlite_template, tmp_path_factory):
    """Monitoring, and the moments of the calls: all over the months, and thick around changes of clocks."""
    rng = random.Random(7)
    database = Database(f"sqlite:///{tmp_path_factory.mktemp('zones') / 'aimm.db'}")
    writer = Writer(database)
    moments = [SINCE + (NOW - SINCE) * rng.random() for _ in range(150)]
    moments += [each + timedelta(hours=rng.uniform(-40, 40)) for each in CHANGES for _ in range(60)]
    moments += [NOW - timedelta(minutes=20 * n) for n in range(100)]
    for at, moment in enumerate(moments):
        row = to_row(a_generation(f"g{at}", created_at=moment, cost_usd=Decimal(at + 1), request_model=f"m{at % 2}"))
        writer.record_together(log_rows, row, None)
    writer.close()
    yield MonitoringService(RollupStore(database)), moments
    database.close()


def of_days(moments: list[datetime], name: str) -> dict[date, list[int]]:
    """The calls of each local day, which is the hours of UTC that begin in it: one by one, by zoneinfo alone."""
    found = defaultdict(list)
    for at, moment in enumerate(moments):
        found[moment.replace(minute=0, second=0, microsecond=0).astimezone(ZoneInfo(name)).date()].append(at)
    return found


@pytest.mark.parametrize("name", ZONES)
def test_local_days_hold_the_calls_whose_hours_begin_in_them(calls, name):
    monitoring, moments = calls
    expected = of_days(moments, name)
    window = monitoring.window(SINCE, NOW)

    with testing.clock_at(NOW):
        rows = monitoring.over_time(window, bucket="day", timezone=name)
        by_model = monitoring.by_model(window, bucket="day", timezone=name, model="m1")

    local = ZoneInfo(name)
    found = {day_of(row.bucket, local): (row.metrics.n, row.metrics.cost_usd) for row in rows}
    assert found == {day: (len(of), sum(at + 1 for at in of)) for day, of in expected.items()}
    assert sum(row.metrics.n for row in by_model) == sum(at % 2 for of in expected.values() for at in of)
    for row in rows:  # the calls between the bucket's ends are those that it counts
        day = day_of(row.bucket, local)
        ends = row.bucket, first_hour(day + timedelta(days=1), local)
        assert row.metrics.n == sum(ends[0] <= moment < ends[1] for moment in moments)
        if row.metrics.n > 20:
            assert monitoring.total(Window(*ends)).n == row.metrics.n


@pytest.mark.parametrize("name", ZONES)
@pytest.mark.parametrize("minute", [0, 10, 40])
def test_today_and_the_month_are_those_of_the_zone(calls, name, minute):
    monitoring, moments = calls
    now = NOW.replace(minute=minute)
    local, expected = ZoneInfo(name), of_days([moment for moment in moments if moment <= now], name)

    indexes = [at for at, moment in enumerate(moments) if moment <= now]
    usd = {day: sum(indexes[at] + 1 for at in of) for day, of in expected.items()}
    today = day_of(now, local)
    month = [usd for day, usd in usd.items() if (day.year, day.month) == (today.year, today.month)]
    with testing.clock_at(now):
        assert monitoring.spend_today(name) == usd.get(today, 0)
        assert monitoring.month(name).spent_usd == sum(month)


@pytest.mark.parametrize("name", ZONES)
def test_days_follow_each_other_without_a_gap(name):
    local = ZoneInfo(name)
    starts = day_starts(SINCE, NOW, local)

    assert starts[0] <= SINCE < starts[1] and starts[-2] <= NOW < starts[-1]
    lengths = {(b - a) / timedelta(hours=1) for a, b in pairwise(starts)}
    assert lengths <= {23, 24, 25} and 24 in lengths
    hours = (SINCE + timedelta(hours=n) for n in range((NOW - SINCE) // timedelta(hours=1)))
    assert all(first_hour(day_of(hour, local), local) <= hour for hour in hours)
    assert (lengths == {24}) == (name in ("UTC", "Asia/Kolkata", "Pacific/Apia", "Pacific/Pago_Pago"))


def test_a_zone_that_is_none_is_refused_at_the_start_by_name():
    assert Settings.from_environ({}).time_zone == "UTC"
    assert Settings.from_environ({"AIMM_TIME_ZONE": " 'Europe/Berlin' "}).time_zone == "Europe/Berlin"
    for wrong in ("Berlin", "CEST", "+02:00", "../etc/passwd", "localtime", "Europe/Berlin\u200b"):
        with pytest.raises(InvalidRequest, match="AIMM_TIME_ZONE"):
            Settings.from_environ({"AIMM_TIME_ZONE": wrong})


def test_a_new_budget_has_the_zone_of_the_installation(open_manager, sqlite_url):
    mm = open_manager(sqlite_url, time_zone="Asia/Kolkata")

    assert mm.budgets.create("month", 5).budget.timezone == "Asia/Kolkata"
    assert mm.budgets.create("other", 5, timezone="UTC").budget.timezone == "UTC"
    assert mm.issuer.issue("ci", allowance=None)[0].name == "ci"
    assert clock.now().utcoffset() == timedelta(0)
