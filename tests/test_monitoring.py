"""Monitoring and budgets: what windows hold, where periods begin, when the banner speaks."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from core import Conflict, InvalidRequest, ModelManager, NotFound, clock
from core.budgets.periods import bounds
from core.budgets.service import BudgetService
from core.domain.generation import Usage
from core.monitoring.service import MonitoringService
from core.storage.budgets import BudgetStore
from core.storage.database import Database
from core.storage.generations import to_row
from core.storage.rollups import RollupStore
from core.storage.writer import Writer
from tests.test_storage import a_generation

NOW = datetime(2026, 11, 16, 12, 30, tzinfo=UTC)  # a Monday, the middle of the month


@pytest.fixture
def world(database_url: str):
    """Monitoring and budgets at a fixed moment, and a function that logs a call so many hours ago."""
    database = Database(database_url)
    writer = Writer(database)
    rollups = RollupStore(database)

    def log(hours_ago: float, **changes: object) -> None:
        moment = NOW - timedelta(hours=hours_ago)
        row = to_row(a_generation(f"g{clock.now_us()}{hours_ago}", **{"created_at": moment, **changes}))
        writer.log(row, None).result()

    yield (
        MonitoringService(rollups, lambda: NOW),
        BudgetService(BudgetStore(database), rollups, writer, lambda: NOW),
        log,
    )
    writer.close()
    database.close()


# Periods


@pytest.mark.parametrize(
    ("period", "zone", "now", "start", "end"),
    [
        ("day", "UTC", "2026-02-28T23:59:59", "2026-02-28T00:00:00", "2026-03-01T00:00:00"),
        ("month", "UTC", "2028-02-29T12:00:00", "2028-02-01T00:00:00", "2028-03-01T00:00:00"),
        ("month", "UTC", "2026-12-31T23:00:00", "2026-12-01T00:00:00", "2027-01-01T00:00:00"),
        ("week", "UTC", "2027-01-01T00:00:00", "2026-12-28T00:00:00", "2027-01-04T00:00:00"),
        # the clocks go forward on 2026-03-29 and back on 2026-10-25: days of 23 and 25 hours
        ("day", "Europe/Berlin", "2026-03-29T12:00:00", "2026-03-28T23:00:00", "2026-03-29T22:00:00"),
        ("day", "Europe/Berlin", "2026-10-25T12:00:00", "2026-10-24T22:00:00", "2026-10-25T23:00:00"),
        ("month", "Asia/Kolkata", "2026-11-30T18:30:00", "2026-11-30T18:30:00", "2026-12-31T18:30:00"),
        ("day", "America/Los_Angeles", "2026-11-01T07:30:00", "2026-11-01T07:00:00", "2026-11-02T08:00:00"),
    ],
)
def test_a_period_begins_at_local_midnight(period, zone, now, start, end):
    moments = [datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (now, start, end)]

    assert bounds(period, zone, moments[0]) == (moments[1], moments[2])


def test_periods_follow_each_other_without_gap():
    for zone in ("Europe/Berlin", "America/Sao_Paulo", "Pacific/Auckland"):
        moment = datetime(2026, 1, 1, tzinfo=ZoneInfo(zone)).astimezone(UTC)
        for _ in range(366):
            start, end = bounds("day", zone, moment)
            assert start == moment
            moment = end


# Windows


def test_metrics_are_of_the_window_and_of_real_calls_only(world):
    monitoring, _, log = world
    log(1, latency_s=1.0)
    log(2, latency_s=3.0, status="error", error_class="rate_limited", usage=Usage(), cost_usd=Decimal(0))
    log(3, status="stopped", cost_status="estimated")
    log(1, provider="simulated")
    log(24 * 40)

    total = monitoring.total(monitoring.window())

    assert (total.n, total.n_ok, total.n_stopped, total.n_estimated) == (3, 1, 1, 1)
    assert total.success_rate == 0.5
    assert total.errors == {"rate_limited": 1}
    assert (total.p50_s, total.latency_mean_s) == (pytest.approx(1.0, rel=0.011), 1.0)
    assert monitoring.total(monitoring.window(), simulated=True).n == 1
    assert monitoring.total(monitoring.window(days=41)).n == 4


def test_days_from_the_day_table_equal_days_from_hours(world):
    monitoring, _, log = world
    for hours in range(0, 24 * 9, 5):
        log(hours, latency_s=0.1 + hours / 100, request_model=f"m{hours % 2}")
    window = monitoring.window(days=8)

    by_day = monitoring.over_time(window, bucket="day")
    by_hour = monitoring.over_time(window, bucket="hour")

    assert sum(row.metrics.n for row in by_day) == sum(row.metrics.n for row in by_hour)
    assert sum(row.metrics.cost_usd for row in by_day) == sum(row.metrics.cost_usd for row in by_hour)
    one = [row for row in monitoring.by_model(window, bucket="day") if row.bucket == by_day[3].bucket]
    assert sum(row.metrics.n for row in one) == by_day[3].metrics.n


def test_a_range_that_ends_before_it_begins_is_refused(world):
    monitoring, _, _ = world
    with pytest.raises(InvalidRequest):
        monitoring.window(NOW, NOW - timedelta(days=1))


def test_nothing_recorded_is_nothing_to_measure(world):
    monitoring, _, _ = world
    total = monitoring.total(monitoring.window())

    assert (total.n, total.success_rate, total.p95_s, total.cost_per_call_usd) == (0, None, None, None)


# Budgets


def test_a_budget_counts_its_period_its_model_and_real_money_only(world):
    _, budgets, log = world
    budgets.create("all", "1.00", period="day")
    budgets.create("one model", "1.00", period="month", scope="model:m2")
    log(1, cost_usd=Decimal("0.25"))
    log(1, cost_usd=Decimal("0.30"), request_model="m2")
    log(13, cost_usd=Decimal("5"))  # yesterday
    log(1, cost_usd=Decimal("7"), provider="simulated")
    log(1, cost_usd=None, cost_status="unknown")
    budgets.settled()

    everything, one = budgets.statuses()

    assert (everything.spent_usd, everything.left_usd, everything.n_unpriced) == (Decimal("0.55"), Decimal("0.45"), 1)
    assert one.spent_usd == Decimal("0.30")


@pytest.mark.parametrize(
    ("spent", "reached"), [("0.49", None), ("0.50", 0.5), ("0.79", 0.5), ("0.80", 0.8), ("1.20", 1.0)]
)
def test_the_banner_speaks_from_the_first_threshold_on(world, spent: str, reached: float | None):
    _, budgets, log = world
    budgets.create("b", "1.00", period="day")
    log(1, cost_usd=Decimal(spent))
    budgets.settled()

    assert budgets.statuses()[0].reached == reached


def test_the_projection_goes_on_at_the_rate_so_far(world):
    _, budgets, log = world
    budgets.create("b", "100", period="month")
    log(1, cost_usd=Decimal("15.5208333"))
    budgets.settled()

    # 15 days, 12 hours and a half of 30 days are gone
    assert budgets.statuses()[0].projected_usd == pytest.approx(Decimal(30), rel=Decimal("0.001"))


def test_too_early_is_said_instead_of_a_projection(database_url: str):
    database = Database(database_url)
    writer = Writer(database)
    budgets = BudgetService(
        BudgetStore(database), RollupStore(database), writer, lambda: datetime(2026, 11, 2, tzinfo=UTC)
    )

    assert budgets.create("b", "100", period="month").projected_usd is None
    writer.close()
    database.close()


@pytest.mark.parametrize(
    "changes",
    [{"name": ""}, {"limit_usd": 0}, {"limit_usd": "many"}, {"limit_usd": "nan"}, {"period": "year"}, {"timezone": "Mars/Olympus"},
     {"scope": "model:"}, {"action": "explode"}, {"thresholds": []}, {"thresholds": [0]}],
)  # fmt: skip
def test_a_budget_that_cannot_be_is_refused(mm: ModelManager, changes: dict):
    fields = {"name": "b", "limit_usd": "1", **changes}
    with pytest.raises(InvalidRequest):
        mm.budgets.create(fields.pop("name"), fields.pop("limit_usd"), **fields)
    assert mm.budgets.statuses() == []


def test_two_budgets_of_one_name_are_refused_and_one_can_go(mm: ModelManager):
    made = mm.budgets.create("b", "1")
    with pytest.raises(Conflict):
        mm.budgets.create("b", "2")
    mm.budgets.delete(made.budget.id)
    with pytest.raises(NotFound):
        mm.budgets.delete(made.budget.id)
