"""Monitoring: what windows hold, and that rollups say the same as the calls."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count

import pytest

from core import InvalidRequest, testing
from core.domain.generation import Usage
from core.monitoring.service import MonitoringService
from core.storage.calls.generations import to_row
from core.storage.calls.record import log_rows
from core.storage.calls.rollups import RollupStore
from core.storage.engine.database import Database
from core.storage.engine.writer import Writer
from tests.builders import a_generation

NOW = datetime(2026, 11, 16, 12, 30, tzinfo=UTC)  # a Monday, the middle of the month


@pytest.fixture
def world(database_url: str):
    """Monitoring at a fixed moment, and a function that logs a call so many hours ago."""
    database = Database(database_url)
    writer = Writer(database)
    rollups, numbers = RollupStore(database), count()

    def log(hours_ago: float, **changes: object) -> None:
        moment = NOW - timedelta(hours=hours_ago)
        row = to_row(a_generation(f"g{next(numbers)}", **{"created_at": moment, **changes}))
        writer.record_together(log_rows, row, None).result()

    with testing.clock_at(NOW):
        yield MonitoringService(rollups), log
    writer.close()
    database.close()


# Windows


def test_metrics_are_of_the_window_and_of_real_calls_only(world):
    monitoring, log = world
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


def test_what_a_vendors_batch_answers_is_counted_and_not_timed(world):
    monitoring, log = world
    log(1, latency_s=1.0)
    log(1, latency_s=0.0, ttft_s=None, service_tier="batch")
    log(40 * 24, latency_s=0.0, ttft_s=None, service_tier="batch+us")

    total = monitoring.total(monitoring.window())
    old = monitoring.total(monitoring.window(days=41))

    assert (total.n_ok, total.p50_s, total.latency_mean_s, total.latency_max_s) == (
        2, pytest.approx(1.0, rel=0.011), 1.0, 1.0,
    )  # fmt: skip
    assert (old.n_ok, old.latency_mean_s) == (3, 1.0)


def test_days_from_the_day_table_equal_days_from_hours(world):
    monitoring, log = world
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
    monitoring, _ = world
    with pytest.raises(InvalidRequest):
        monitoring.window(NOW, NOW - timedelta(days=1))


def test_a_day_that_began_without_records_reaches_back_to_no_hour_of_it(world):
    monitoring, log = world
    assert not monitoring.reaches_back(NOW, simulated=False)
    log(40)  # at 20:30
    midnight = NOW.replace(hour=0, minute=0) - timedelta(days=2)

    reaches = [monitoring.reaches_back(midnight + timedelta(hours=h), simulated=False) for h in (-1, 0, 13, 24)]

    assert reaches == [False, True, False, True]


def test_nothing_recorded_is_nothing_to_measure(world):
    monitoring, _ = world
    total = monitoring.total(monitoring.window())

    assert (total.n, total.success_rate, total.p95_s, total.cost_per_call_usd) == (0, None, None, None)
