"""Spans of time as they are written: 90s, 15m, 24h, 7d. Pure."""

import re

from core.errors import InvalidRequest

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_SPAN = re.compile(r"([0-9]{1,7}) ?([smhd])")


def seconds_of(text: str, name: str, least: int, most: int) -> int:
    """The seconds of a span such as 15m. name: What it is called where it is refused. least, most: Seconds.

    Raises:
        InvalidRequest: It is no span, or not between these.
    """
    plain = text.strip().lower()
    found = _SPAN.fullmatch("0s" if plain == "0" else plain)
    seconds = int(found[1]) * _UNITS[found[2]] if found else None
    if seconds is None or not least <= seconds <= most:
        told = f"{name} == {text[:40]!r}, must be {shown_span(least)} to {shown_span(most)}, such as 15m or 2h."
        raise InvalidRequest(told, param=name)
    return seconds


def shown_span(seconds: int) -> str:
    """Seconds in the largest unit of which they are a whole number: 900 is 15m."""
    unit = next((unit for unit in ("d", "h", "m") if seconds and seconds % _UNITS[unit] == 0), "s")
    return f"{seconds // _UNITS[unit]}{unit}"
