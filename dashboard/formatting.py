"""Numbers as people read them, and cells as spreadsheets do. The only place that knows percent."""

import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

import pandas as pd

from core import clock
from core.domain.metrics import Feedback
from core.formats import figures, zones
from core.formats.money import dollars
from dashboard import process

UNKNOWN = "–"
FEW = 30  # calls, below which a change in per cent is chance
_FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]|[\t\r\n]")  # spreadsheets take leading spaces off
# Where a semicolon parts cells, as in much of Europe: a formula after one, as it is and made harmless.
_NEXT_FORMULA, _NEXT_TEXT = (re.compile(rf"(;\s*){mark}(?=[=+\-@＝＋－＠])") for mark in ("", "'"))
_AMOUNT = re.compile(r"[+-]?\$?(?:\d[\d,.]*|\.\d+)(?:e[+-]?\d+)?(?: ?%| [a-zA-Z]{1,12})?", re.IGNORECASE)


def usd(amount: Decimal | float | None) -> str:
    """As the core's texts show money; unknown is a dash, never 0."""
    return UNKNOWN if amount is None else dollars(amount)


def usd_change(amount: float) -> str:
    """+$0.44, −$1.20."""
    return ("+" if amount >= 0 else "−") + usd(abs(amount))


def seconds(value: float | None) -> str:
    if value is None:
        return UNKNOWN
    if value < 1:
        return f"{value * 1000:.0f} ms"
    return f"{value:.2f} s" if value < 10 else f"{value:.1f} s" if value < 120 else f"{value / 60:.1f} min"


def count(value: float | None) -> str:
    """318, 9,999, 10.1k, 376k, 1.0M."""
    if value is None:
        return UNKNOWN
    size = abs(value)
    if size < 9_999.5:
        return f"{value:,.0f}"
    for scale, unit in ((1e3, "k"), (1e6, "M"), (1e9, "B")):
        if size < 999.5 * scale or unit == "B":
            scaled = value / scale
            return f"{scaled:,.0f}{unit}" if abs(scaled) >= 99.95 else f"{scaled:.1f}{unit}"
    raise AssertionError


def mean(value: float | None) -> str:
    """A mean of counts: 0.4, 12.3, 1,204."""
    return UNKNOWN if value is None else f"{value:,.1f}" if value < 100 else count(value)


def tokens(value: float | None) -> str:
    return UNKNOWN if value is None else f"{count(value)} tokens"


def percent(share: float | None, digits: int = 1) -> str:
    """A share as the core's texts show it."""
    return UNKNOWN if share is None else figures.percent(share, digits)


def p_text(value: float) -> str:
    """A p value: 0.012, < 0.001."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


# Of a figure in a unit, such as those of core.domain.metrics.MEASURES.
BY_UNIT: dict[str, Callable[[float | None], str]] = {
    "s": seconds, "$": usd, "%": lambda value: percent(None if value is None else value / 100),
}  # fmt: skip
COLUMN_FORMATS = {"s": "%.2f s", "$": "$%.6f", "%": "%.2f%%"}


def rate(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.0f} tok/s"


def at(moment: datetime, form: str, zone_name: str | None = None) -> str:
    """A moment in the installation's time zone, or another; in an hour that comes twice, with the name it has then."""
    local = clock.from_us(clock.to_us(moment)).astimezone(zones.zone(zone_name) if zone_name else process.zone())
    is_twice = "%H" in form and local.replace(fold=1 - local.fold).utcoffset() != local.utcoffset()
    return local.strftime(f"{form} %Z" if is_twice else form)


def when(moment: datetime | None) -> str:
    return UNKNOWN if moment is None else at(moment, "%Y-%m-%d %H:%M")


def stretch(since: datetime, until: datetime) -> str:
    """20 Nov, 20 Nov – 24 Nov: whole days, and what is long; else 20 Nov 12:00–16:00."""
    local, last = process.zone(), until - timedelta(seconds=1)
    edges = zones.day_starts(since, until, local)
    if until - since > timedelta(days=4) or (edges[0], edges[-1]) == (since, until):
        return " – ".join(dict.fromkeys(f"{zones.day_of(each, local):%-d %b}" for each in (since, last)))
    start, day = at(since, "%-d %b %H:%M"), at(since, "%-d %b")
    return f"{start}–{at(until, '%H:%M')}" if day == at(last, "%-d %b") else f"{start} – {at(until, '%-d %b %H:%M')}"


def of_utc() -> str:
    """Behind the name of what is kept by days of UTC: says so where pages show another zone."""
    return "" if process.zone().key == "UTC" else " (UTC)"


class Change(NamedTuple):
    """A change against the period before: its text, and its size as a share (of per cents: in points)."""

    text: str
    size: float


def change(
    now: float | None, before: float | None, n_now: int, n_before: int, *, in_points: bool = False
) -> Change | None:
    """+13%, −0.4 pts; None where a comparison would mislead: of few calls, of nothing, or more than tenfold."""
    if now is None or before is None or min(n_now, n_before) < FEW:
        return None
    if in_points:
        size = now - before
        return Change("0 pts" if abs(size) < 0.05 else f"{figures.signed(size, '.1f')} pts", size)
    if not before or not 0.1 <= now / before <= 10:
        return None
    size = (now - before) / before
    return Change("0%" if abs(size) < 0.005 else f"{figures.signed(100 * size, '.0f')}%", size)


FAILURES = {
    "rate_limited": "Rate limited",
    "provider_timeout": "Timeout",
    "provider_unavailable": "Provider down",
    "blocked": "Blocked",
    "truncated": "Cut off",
    "other": "Other failures",
}


def status_text(name: str) -> str:
    """OK, or the class of failure, as people read it."""
    return "OK" if name == "ok" else failure_text(name)


def failure_text(name: str) -> str:
    """A class of failure as people read it."""
    return FAILURES.get(name) or short(name.replace("_", " ")).capitalize()


def short(text: str, n: int = 80) -> str:
    one_line = " ".join(text.split())
    return one_line if len(one_line) <= n else one_line[: n - 1] + "…"


def squeezed(name: str, n: int) -> str:
    """A name without its middle where it is too long: at its end stand versions and dates."""
    return name if len(name) <= n else f"{name[: n // 2]}…{name[n // 2 + 1 - n :]}"


# Signs of Markdown and of Streamlit's own: a colon that could begin an icon or an emoji; what becomes an arrow or a
# dash; what begins a list or underlines a heading at the start of a line; more than one space; and single signs.
_SIGNS = re.compile(
    r"(?P<colon>:(?=[\w+-]+:|material/))"
    r"|(?P<arrow>(?<![\w\-<>=~])(?:<->|->|<-|--|>=|<=|~=)(?![\w\-<>=~]))"
    r"|(?P<marker>^(?:[-+=]|\d{1,9}[.)]))"
    r"|(?P<spaces>(?<= ) +)"
    r"|[\\`*_\[\]#$<>~|&:]"
)


# Letters written from right to left, and signs that turn or embed what follows them.
_TURNED = re.compile(
    "[\u0590-\u08ff\u202a-\u202e\u2066-\u2069\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]"
)
_ISOLATES = re.compile("[\u2066-\u2069]")


def plain(text: str) -> str:
    """Text for Markdown places, shown as it is: no sign of it turns it into something else, and its lines stay lines.

    Nor does it turn what stands beside it: a line from right to left is held together, its own isolates left out.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n").replace("\t", "    ").strip("\n").split("\n")
    return "\\\n".join(_line(line) for line in lines)


def _line(line: str) -> str:
    text = line.lstrip(" ")
    shown = "\N{NO-BREAK SPACE}" * (len(line) - len(text)) + escaped(text)
    return f"\u2068{_ISOLATES.sub('', shown)}\u2069" if _TURNED.search(text) else shown


def escaped(text: str) -> str:
    """A run of text inside a line, as `plain`."""
    return _SIGNS.sub(_as_text, text)


def _as_text(found: re.Match[str]) -> str:
    sign = found[0]
    match found.lastgroup:
        case "colon" | "arrow":
            # Streamlit replaces these in any run of text, escaped or not: a span without a colour parts the run.
            at = 0 if sign == ":" else 1
            rest = "".join(f"\\{each}" for each in sign[at + 1 :])
            return "".join(f"\\{each}" for each in sign[:at]) + f":color[\\{sign[at]}]{rest}"
        case "marker":
            return f"{sign[:-1]}\\{sign[-1]}"
        case "spaces":
            return "\N{NO-BREAK SPACE}" * len(sign)
        case _:
            return f"\\{sign}"


def cell(value: object) -> object:
    """A cell for a spreadsheet: a text that would be a formula there begins with an apostrophe; numbers stay.

    A carriage return, which not every writer puts into quotes, would begin another row, and a semicolon another cell.
    """
    if not isinstance(value, str):
        return value
    text = _NEXT_FORMULA.sub(r"\1'", value.replace("\r\n", "\n").replace("\r", "\n"))
    return f"'{text}" if _FORMULA.match(text) and not _AMOUNT.fullmatch(text.strip()) else text


def uncell(value: object) -> str:
    """The text that `cell` was given."""
    text = str(value)
    bare = _NEXT_TEXT.sub(r"\1", text)
    return next((each for each in (bare.removeprefix("'"), bare) if cell(each) == text), text)


def defused(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The frame without formulas, and the columns in which there were any."""
    texts = {str(name): column.tolist() for name, column in frame.items() if column.dtype.kind == "O"}
    safe = {name: [cell(value) for value in given] for name, given in texts.items()}
    changed = {name: cells for name, cells in safe.items() if cells != texts[name]}
    return (frame.assign(**changed) if changed else frame), list(changed)


def mark(each: Feedback) -> str:
    """An opinion, short."""
    rating = "" if each.rating is None else f"{each.rating:g}/5"
    return " ".join(part for part in (each.thumb or "", rating) if part) or "words"


def marks(found: Sequence[Feedback]) -> dict[str, str]:
    """The opinions of each call, short, by its id."""
    calls: dict[str, list[str]] = {}
    for each in found:
        calls.setdefault(each.generation_id, []).append(mark(each))
    return {call_id: " · ".join(of[:5]) + (" …" if len(of) > 5 else "") for call_id, of in calls.items()}
