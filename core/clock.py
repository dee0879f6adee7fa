"""Moments: aware UTC in Python, integer microseconds since 1970 in tables."""

import time
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US

_time_ns = time.time_ns  # `core.testing` sets it


def now() -> datetime:
    return datetime.fromtimestamp(now_us() / 1_000_000, UTC)


def now_us() -> int:
    return _time_ns() // 1000


def to_us(moment: datetime) -> int:
    """Microseconds since 1970 UTC, exact (no float on the way).

    Raises:
        ValueError: `moment` has no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"moment == {moment!r}, must have a time zone")
    return (moment - EPOCH) // timedelta(microseconds=1)


def from_iso(text: str) -> datetime:
    """The moment of an ISO text, of UTC where it names no zone. Raises: ValueError, OverflowError: It has none."""
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def from_us(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)
