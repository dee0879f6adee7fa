"""Calendar periods in a named time zone, daylight-saving changes included. Pure."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from core.domain.budget import Period
from core.errors import InvalidRequest

EARLIEST_PROJECTION_SHARE = 0.1


def zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidRequest(f"{name!r} is not a time zone; use a name like Europe/Berlin or UTC.") from None


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

    # Local midnight, then UTC: a day of 23 or 25 hours comes out right.
    starts = (datetime(d.year, d.month, d.day, tzinfo=local_zone).astimezone(UTC) for d in (first, following))
    start, end = starts
    return start, end


def share_gone(start: datetime, end: datetime, now: datetime) -> float:
    """How much of the period is over, in [0, 1]."""
    return min(1.0, max(0.0, (now - start) / (end - start)))
