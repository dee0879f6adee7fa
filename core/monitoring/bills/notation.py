"""The notation of a file's amounts and dates: decided once for the file, as a single cell may be ambiguous. Pure."""

import calendar
import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Literal

from core.errors import InvalidRequest

Mark = Literal[".", ","]
Order = Literal["month first", "day first"]
MAX_USD = Decimal(1_000_000_000)
_GROUP: dict[Mark, Mark] = {".": ",", ",": "."}  # the other of the two groups thousands
_FORMS = {
    mark: re.compile(
        rf"[+-]?(?:[1-9]\d{{0,2}}(?:\{group}\d{{3}})+(?:\{mark}\d+)?"
        rf"|(?:\d+(?:\{mark}\d+)?|\{mark}\d+)(?:e[+-]?\d{{1,4}})?)",
        re.IGNORECASE,
    )
    for mark, group in _GROUP.items()
}
_LONGEST, _LONGEST_NUMBER, _DECIMALS = 40, 100, 18
_PARTS = re.compile(r"(\d{1,2})([/.-])(\d{1,2})\2(\d{4})(?!\d)")
_MONTH = re.compile(r"(?P<year>\d{4})[-/]?(?P<month>\d{2})|(?P<month_first>\d{1,2})[-/.](?P<year_last>\d{4})")
_NAMED = re.compile(
    r"(?:[a-z]{3,9},? )?(?:(\d{1,2})(?:st|nd|rd|th)?[ -])?([a-z]{3,9})\.?[ -](?:(\d{1,2})(?:st|nd|rd|th)?,? )?(\d{4})\b"
)
_NAMES = {name.lower(): at for at, name in enumerate(calendar.month_name) if at}
_SECONDS = re.compile(r"(\d{10})(?:\d{3}|\.\d+)?")  # or in thousandths
_OFFSET = re.compile(r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d.*[+-]\d\d:?\d\d$")


def decimal_mark(amounts: Iterable[str], default: Mark) -> Mark:
    """The decimal mark of the amounts that can be read in only one way; the default where there are none.

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
        first, second = shown["."][:_LONGEST], shown[","][:_LONGEST]
        raise InvalidRequest(f"The amounts {first!r} and {second!r} have different decimal marks.")
    return next(iter(shown), default)


def amount(text: str, mark: Mark) -> Decimal:
    """$-3, (3.00) and 1,234.56 or 1.234,56. Raises: InvalidRequest"""
    bare = _bare(text)
    if len(bare) > _LONGEST_NUMBER or not _FORMS[mark].fullmatch(bare):
        raise InvalidRequest(f"cost == {text[:_LONGEST]!r}, must be a number with {mark!r} before its decimals")
    return checked(Decimal(bare.replace(_GROUP[mark], "").replace(mark, ".")), text)


def checked(found: Decimal, text: str) -> Decimal:
    """An amount that a bill can have. Raises: InvalidRequest"""
    if not found.is_finite() or abs(found) > MAX_USD:
        raise InvalidRequest(f"cost == {text[:_LONGEST]!r}, must be at most {MAX_USD:,} US dollars")
    exponent = found.as_tuple().exponent
    is_finer = isinstance(exponent, int) and exponent < -_DECIMALS  # vendors send 0E-6176
    return round(found, _DECIMALS).normalize() if is_finer else found


def is_blank(text: str) -> bool:
    """True for a cell without an amount: empty, a dash as bookkeepers write it, or n/a."""
    return re.fullmatch(r"[-–—]*|n/?a", _bare(text), re.IGNORECASE) is not None


@lru_cache(maxsize=1024)
def _bare(text: str) -> str:
    bare = re.sub(r"[\s$'’]|USD|US(?=\$)", "", text.replace("−", "-"))
    if bare.startswith("(") and bare.endswith(")"):
        return f"-{bare[1:-1]}"
    return f"-{bare[:-1]}" if bare.endswith("-") and not bare.startswith("-") else bare


def day_order(dates: Iterable[str], default: Order | None = None) -> Order:
    """The reading of 11/5/2026, in November or in May, as told by the dates that can be read in only one way.

    Raises:
        InvalidRequest: No date tells and there is no default, or they tell different things.
    """
    pairs = {(int(m[1]), int(m[3])) for text in dates if (m := _PARTS.match(text)) and m[2] != "."}
    month_first = all(first <= 12 for first, _ in pairs)
    day_first = all(second <= 12 for _, second in pairs)
    if not month_first and not day_first:
        raise InvalidRequest("Some dates begin with the month and others with the day; write them like 2026-11-24.")
    if month_first and day_first and any(first != second for first, second in pairs):
        if default is not None:
            return default
        first, second = next((first, second) for first, second in sorted(pairs) if first != second)
        raise InvalidRequest(
            f"Dates such as {first}/{second} may begin with the month or with the day; write them like 2026-11-24."
        )
    return "day first" if day_first else "month first"


@lru_cache(maxsize=4096)
def days(text: str, order: Order) -> tuple[date, date] | None:
    """First and last day that a text names: a month is all its days; None = it cannot be read."""
    try:
        if found := _MONTH.fullmatch(text):
            return _whole_month(int(found["year"] or found["year_last"]), int(found["month"] or found["month_first"]))
        if (found := _NAMED.match(text.lower())) and (month := _month(found[2])):
            if on := found[1] or found[3]:
                return (date(int(found[4]), month, int(on)),) * 2
            return _whole_month(int(found[4]), month)
        return (_day(text, order),) * 2
    except ValueError:
        return None


def _month(name: str) -> int:
    """1 to 12 of `nov`, `sept` or `november`; 0 = it is none."""
    return next((at for whole, at in _NAMES.items() if whole.startswith(name)), 0)


def _whole_month(year: int, month: int) -> tuple[date, date]:
    return date(year, month, 1), date(year, month, calendar.monthrange(year, month)[1])


def _day(text: str, order: Order) -> date:
    """A day as 2026-11-24, 11/24/2026, 24.11.2026 or in seconds since 1970.

    A moment with an offset from UTC is of the day in UTC, as the ledger is. Raises: ValueError
    """
    if seconds := _SECONDS.fullmatch(text):
        return _of_seconds(int(seconds[1]))
    if _OFFSET.search(text):
        return datetime.fromisoformat(text).astimezone(UTC).date()
    if parts := _PARTS.match(text):
        first, second, year = int(parts[1]), int(parts[3]), int(parts[4])
        is_month_first = order == "month first" and parts[2] != "."
        return date(year, first, second) if is_month_first else date(year, second, first)
    return date.fromisoformat(text[:10].replace("/", "-"))


@lru_cache(maxsize=4096)
def last_day(text: str, order: Order) -> date | None:
    """The last day of what ends so: a day is part of it, a moment is the first that is not."""
    if seconds := _SECONDS.fullmatch(text):
        return _of_seconds(int(seconds[1]) - 1)
    found = days(text, order)
    is_midnight = re.search(r"[T ]00:00(?::00(?:\.0+)?)?(?![\d:])", text) is not None
    return found[1] - timedelta(days=is_midnight) if found is not None and found[1] > date.min else None


def _of_seconds(seconds: int) -> date:
    return date.fromordinal(date(1970, 1, 1).toordinal() + seconds // 86_400)
