"""Time zones by their IANA names, and the days that they cut the hours of UTC into. Pure."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from core.clock import HOUR_US, from_us, to_us
from core.errors import InvalidRequest

OF_THE_MACHINE = ("localtime", "posixrules", "factory")


def zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidRequest(f"{name!r} is not a time zone; use a name like Europe/Berlin or UTC.") from None


def check_zone(name: str) -> None:
    """Raises: InvalidRequest: There is no such zone, or another machine would take the name for another zone."""
    if name.lower() in OF_THE_MACHINE or name.lower().startswith(("posix/", "right/")):
        raise InvalidRequest(f"{name!r} depends on the machine; use a name like Europe/Berlin or UTC.")
    zone(name)


def midnight(day: date, local: ZoneInfo) -> datetime:
    """The start of a local day in UTC, so that days of 23 and 25 hours come out right."""
    return datetime(day.year, day.month, day.day, tzinfo=local).astimezone(UTC)


def first_hour(day: date, local: ZoneInfo) -> datetime:
    """The start in UTC of a local day whose sums are kept by the hour: of the first hour that begins in it."""
    return from_us(-(-to_us(midnight(day, local)) // HOUR_US) * HOUR_US)


def day_of(moment: datetime, local: ZoneInfo) -> date:
    """The local day to which the hour of a moment belongs, as `first_hour` cuts them."""
    return from_us(to_us(moment) // HOUR_US * HOUR_US).astimezone(local).date()


def month_of(moment: datetime, local: ZoneInfo) -> tuple[datetime, datetime]:
    """The start and the end of the local month to which the hour of a moment belongs, as `first_hour` cuts days."""
    first = day_of(moment, local).replace(day=1)
    return first_hour(first, local), first_hour((first + timedelta(days=32)).replace(day=1), local)


def day_starts(since: datetime, until: datetime, local: ZoneInfo) -> list[datetime]:
    """The starts of the local days that have an hour in [since, until), and the end of the last."""
    first, last = day_of(since, local), day_of(until - timedelta(microseconds=1), local)
    return [first_hour(first + timedelta(days=n), local) for n in range((last - first).days + 2)]
