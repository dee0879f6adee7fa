"""How a file writes its amounts and dates: decided once for all of it, because one cell alone can be read in two ways. Pure."""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Literal

from core.errors import InvalidRequest

Mark = Literal[".", ","]
Order = Literal["month first", "day first"]
MAX_USD = Decimal(1_000_000_000)
_GROUP: dict[Mark, Mark] = {".": ",", ",": "."}  # the other of the two groups thousands
_FORMS = {
    mark: re.compile(
        rf"[+-]?(?:[1-9]\d{{0,2}}(?:\{group}\d{{3}})+(?:\{mark}\d+)?|(?:\d+(?:\{mark}\d+)?|\{mark}\d+)(?:e[+-]?\d{{1,2}})?)",
        re.IGNORECASE,
    )
    for mark, group in _GROUP.items()
}
_LONGEST = 40
_PARTS = re.compile(r"(\d{1,2})([/.-])(\d{1,2})\2(\d{4})(?!\d)")
_MONTH = re.compile(r"\d{4}[-/]?\d{2}")
_OFFSET = re.compile(r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d.*[+-]\d\d:?\d\d$")


def decimal_mark(amounts: Iterable[str], default: Mark) -> Mark:
    """What the amounts that can be read in only one way have for a decimal mark; the default where there are none.

    `0,0123` and `1.234,5` show a comma, `1,234,567` and `0.5` a point; `1,234` and `12` could be either.

    Raises:
        InvalidRequest: They show both.
    """
    shown: dict[Mark, str] = {}
    for text in amounts:
        marks = [mark for mark, form in _FORMS.items() if form.fullmatch(_bare(text))]
        if len(marks) == 1:
            shown.setdefault(marks[0], text)
    if len(shown) == 2:
        raise InvalidRequest(f"The amounts {shown['.'][:_LONGEST]!r} and {shown[','][:_LONGEST]!r} have different decimal marks.")  # fmt: skip
    return next(iter(shown), default)


def amount(text: str, mark: Mark) -> Decimal:
    """$-3, (3.00) and 1,234.56 or 1.234,56. Raises: InvalidRequest"""
    bare = _bare(text)
    if len(bare) > _LONGEST or not _FORMS[mark].fullmatch(bare):
        raise InvalidRequest(f"cost == {text[:_LONGEST]!r}, must be a number with {mark!r} before its decimals")
    return checked(Decimal(bare.replace(_GROUP[mark], "").replace(mark, ".")), text)


def checked(found: Decimal, text: str) -> Decimal:
    """An amount that a bill can have. Raises: InvalidRequest"""
    if not found.is_finite() or abs(found) > MAX_USD:
        raise InvalidRequest(f"cost == {text[:_LONGEST]!r}, must be at most {MAX_USD:,} US dollars")
    return found


def _bare(text: str) -> str:
    bare = re.sub(r"[\s$'’]|USD|US(?=\$)", "", text.replace("−", "-"))
    if bare.startswith("(") and bare.endswith(")"):
        return f"-{bare[1:-1]}"
    return f"-{bare[:-1]}" if bare.endswith("-") and not bare.startswith("-") else bare


def day_order(dates: Iterable[str]) -> Order:
    """Whether 11/5/2026 is in November or in May: told by the dates of which only one reading exists.

    Raises:
        InvalidRequest: No date tells, or they tell different things.
    """
    pairs = {(int(m[1]), int(m[3])) for text in dates if (m := _PARTS.match(text)) and m[2] != "."}
    month_first = all(first <= 12 for first, _ in pairs)
    day_first = all(second <= 12 for _, second in pairs)
    if not month_first and not day_first:
        raise InvalidRequest("Some dates begin with the month and others with the day; write them like 2026-11-24.")
    if month_first and day_first and any(first != second for first, second in pairs):
        first, second = next((first, second) for first, second in sorted(pairs) if first != second)
        raise InvalidRequest(
            f"Dates such as {first}/{second} may begin with the month or with the day; write them like 2026-11-24."
        )
    return "day first" if day_first else "month first"


def day(text: str, order: Order) -> date | None:
    """A day as 2026-11-24, 11/24/2026, 24.11.2026 or in seconds since 1970; None = it cannot be read.

    A moment with an offset from UTC is of the day in UTC, as the books are.
    """
    if re.fullmatch(r"\d{10}", text):
        return _of_seconds(int(text))
    try:
        if _OFFSET.search(text):
            return datetime.fromisoformat(text).astimezone(UTC).date()
        if parts := _PARTS.match(text):
            first, second, year = int(parts[1]), int(parts[3]), int(parts[4])
            is_month_first = order == "month first" and parts[2] != "."
            return date(year, first, second) if is_month_first else date(year, second, first)
        return date.fromisoformat(text[:10].replace("/", "-"))
    except ValueError:
        return None


def last_day(text: str, order: Order) -> date | None:
    """The last day of what ends so: a day is part of it, a moment is the first that is not."""
    if re.fullmatch(r"\d{10}", text):
        return _of_seconds(int(text) - 1)
    found = day(text, order)
    is_midnight = re.search(r"[T ]00:00(?::00(?:\.0+)?)?(?![\d:])", text) is not None
    return found - timedelta(days=1) if found is not None and is_midnight and found > date.min else found


def _of_seconds(seconds: int) -> date:
    return date.fromordinal(date(1970, 1, 1).toordinal() + seconds // 86_400)


def is_month(text: str) -> bool:
    """Whether it names a month and no day."""
    return _MONTH.fullmatch(text) is not None
