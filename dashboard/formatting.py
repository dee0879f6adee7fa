"""Numbers as people read them, and cells as spreadsheets do. The only place that knows percent."""

import re
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from core.domain.feedback import Feedback
from core.pricing.dollars import dollars

UNKNOWN = "–"
FEW = 20  # calls, below which a change in per cent is chance
_FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]|[\t\r\n]")  # spreadsheets take leading spaces off
_AMOUNT = re.compile(r"[+-]?\$?(?:\d[\d,.]*|\.\d+)(?:e[+-]?\d+)?(?: ?%| [a-zA-Z]{1,12})?", re.IGNORECASE)


def usd(amount: Decimal | float | None) -> str:
    """As the core's texts show money; unknown is a dash, never 0."""
    return UNKNOWN if amount is None else dollars(amount)


def usd_change(amount: float) -> str:
    """+$0.44, -$1.20."""
    return ("+" if amount >= 0 else "-") + usd(abs(amount))


def seconds(value: float | None) -> str:
    if value is None:
        return UNKNOWN
    if value < 1:
        return f"{value * 1000:.0f} ms"
    return f"{value:.2f} s" if value < 10 else f"{value:.1f} s" if value < 120 else f"{value / 60:.1f} min"


def count(value: float | None) -> str:
    """318, 18.3 k, 2.41 M."""
    if value is None:
        return UNKNOWN
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            scaled = value / (1e3 if unit == "k" else size)
            return f"{scaled:.3g} {unit}"
    return f"{value:,.0f}"


def tokens(value: float | None) -> str:
    return UNKNOWN if value is None else f"{count(value)} tokens"


def percent(share: float | None, digits: int = 1) -> str:
    return UNKNOWN if share is None else f"{100 * share:.{digits}f} %"


def rate(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.0f} tok/s"


def when(moment: datetime | None) -> str:
    return UNKNOWN if moment is None else f"{moment:%Y-%m-%d %H:%M} UTC"


def change(now: float | None, before: float | None, n_before: int) -> tuple[str, bool]:
    """The relative change against the period before, and whether it is a number: of few calls, of nothing and of what is
    many times larger, per cent say nothing."""
    if n_before == 0 or before is None:
        return "none before", False
    if now is None:
        return "none now", False
    if n_before < FEW:
        return f"only {n_before} before", False
    if before == 0:
        return ("as before" if now == 0 else "0 before"), False
    if now >= 10 * before:
        return f"× {now / before:,.0f}", True
    return f"{100 * (now - before) / before:+.0f} %", True


def short(text: str, n: int = 80) -> str:
    one_line = " ".join(text.split())
    return one_line if len(one_line) <= n else one_line[: n - 1] + "…"


def plain(text: str) -> str:
    """Text for Markdown places, without the signs that would turn it into something else."""
    for sign in "\\`*_[]#$:<>~":
        text = text.replace(sign, f"\\{sign}")
    return text


def cell(value: object) -> object:
    """A cell that leaves for a spreadsheet: a text that would be a formula there begins with an apostrophe; numbers stay.

    A carriage return, which not every writer puts into quotes, would begin another row.
    """
    if isinstance(value, str) and "\r" in value:
        return cell(value.replace("\r\n", "\n").replace("\r", "\n"))
    if isinstance(value, str) and _FORMULA.match(value) and not _AMOUNT.fullmatch(value.strip()):
        return f"'{value}"
    return value


def uncell(value: object) -> str:
    """What `cell` was given, as text."""
    text = str(value)
    return text[1:] if text.startswith("'") and cell(text[1:]) == text else text


def mark(each: Feedback) -> str:
    """An opinion, short."""
    rating = "" if each.rating is None else f"{each.rating:g}/5"
    return " ".join(part for part in ({"up": "👍", "down": "👎"}.get(each.thumb or "", ""), rating) if part) or "💬"


def marks(found: Sequence[Feedback]) -> dict[str, str]:
    """The opinions of each call, short, by its id."""
    calls: dict[str, list[str]] = {}
    for each in found:
        calls.setdefault(each.generation_id, []).append(mark(each))
    return {call_id: " · ".join(of[:5]) + (" …" if len(of) > 5 else "") for call_id, of in calls.items()}
