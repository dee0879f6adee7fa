"""Spans of days as they are written: 30d, and forever where that may be said. Pure."""

import re

from core.errors import InvalidRequest

FOREVER = 0
MAX_DAYS = 36_500
_DAYS = re.compile(r"([1-9]\d{0,4})d")


def days_of(text: str, name: str, *, forever: bool = False) -> int | None:
    """The days of a text such as 30d; empty = None. forever: Whether that may be said.

    Raises:
        InvalidRequest: It is no number of days.
    """
    text = text.strip().lower()
    if forever and text == "forever":
        return FOREVER
    found = _DAYS.fullmatch(text)
    if text and (found is None or int(found[1]) > MAX_DAYS):
        others = ", forever, or empty to keep as all others are" if forever else "; leave it out to keep for ever"
        raise InvalidRequest(f"{name} == {text[:20]!r}, must be days from 1d to {MAX_DAYS}d, such as 30d{others}.")
    return int(found[1]) if found else None


def shown_days(days: int | None) -> str:
    """A number of days as it is written; empty = nothing is said."""
    return "" if days is None else f"{days}d" if days else "forever"


def check_order(texts_days: int | None, calls_days: int | None, names: tuple[str, str]) -> None:
    """Raises: InvalidRequest: Texts would be kept longer than the calls that they go with."""
    if calls_days and texts_days is not None and not 1 <= texts_days <= calls_days:
        texts, calls = shown_days(texts_days), shown_days(calls_days)
        raise InvalidRequest(f"{names[0]} == {texts} is longer than {names[1]} == {calls}: texts go with their calls.")
