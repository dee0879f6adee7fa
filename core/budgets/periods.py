"""Calendar periods in a named time zone, daylight-saving changes included, and rolling ones. Pure."""

from datetime import datetime, timedelta
from functools import lru_cache

from core.clock import HOUR_US, from_us, to_us
from core.domain.budget import Budget, Period
from core.formats.zones import midnight, zone


def bounds(period: Period, timezone: str, now: datetime) -> tuple[datetime, datetime]:
    """Start and end, in UTC, of the calendar day, week (from Monday) or month that holds `now`."""
    local_zone = zone(timezone)
    day = now.astimezone(local_zone).date()
    if period == "week":
        first = day - timedelta(days=day.weekday())
        following = first + timedelta(days=7)
    elif period == "month":
        first = day.replace(day=1)
        following = (first + timedelta(days=32)).replace(day=1)
    else:
        first, following = day, day + timedelta(days=1)
    return midnight(first, local_zone), midnight(following, local_zone)


def window(budget: Budget, now: datetime) -> tuple[datetime, datetime]:
    """The period of a budget that holds `now`: [start, end) in UTC.

    A rolling one begins at the whole hour that the window's start falls into, so it is never shorter than promised, and
    ends when that hour leaves it.
    """
    if budget.period != "rolling":
        return bounds(budget.period, budget.timezone, now)
    start = from_us((to_us(now) - budget.rolling_hours * HOUR_US) // HOUR_US * HOUR_US)
    return start, start + timedelta(hours=budget.rolling_hours + 1)


def bucket_us(budget: Budget, at_us: int) -> int:
    """The start under which the ledger keeps what was spent at a moment: the period's, or a rolling budget's hour."""
    if budget.period == "rolling":
        return at_us // HOUR_US * HOUR_US
    return _calendar_bucket(budget.period, budget.timezone, at_us // HOUR_US, at_us)


def span_us(budget: Budget, at_us: int) -> tuple[int, int]:
    """The buckets of the period that holds a moment: those in [first, last)."""
    start, end = window(budget, from_us(at_us))
    return to_us(start), to_us(end)


def _calendar_bucket(period: Period, timezone: str, hour: int, at_us: int) -> int:
    start, end = _bounds_of_hour(period, timezone, hour)
    if start <= at_us < end:
        return start
    return to_us(bounds(period, timezone, from_us(at_us))[0])  # some zones change day within an hour of UTC


@lru_cache(maxsize=4096)
def _bounds_of_hour(period: Period, timezone: str, hour: int) -> tuple[int, int]:
    start, end = bounds(period, timezone, from_us(hour * HOUR_US))
    return to_us(start), to_us(end)


def share_gone(start: datetime, end: datetime, now: datetime) -> float:
    """The share of the period that is over, in [0, 1]."""
    return min(1.0, max(0.0, (now - start) / (end - start)))
