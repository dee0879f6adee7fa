"""Tables with an interval as a bar inside each row: right is better, and the colour follows the judgement.

They are HTML: `st.html` takes no SVG, so that a bar is made of boxes placed by per cent.
"""

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import Literal, NamedTuple

import streamlit as st

from dashboard.charts.colours import Ink

Tone = Literal["good", "warn", "fail", "flat"]  # flat: nothing is decided


class Bar(NamedTuple):
    """An interval on a line whose middle is `zero` and whose ends are `reach` away from it.

    text: The same in words, for readers who do not see it.
    is_pale: It is shown for information, and claims nothing.
    has_zero: Its middle is marked; not where the line is a whole scale, as of a rate from 0 to 100%.
    """

    estimate: float
    lower: float
    upper: float
    reach: float
    tone: Tone
    text: str
    zero: float = 0.0
    is_larger_better: bool = True
    is_pale: bool = False
    has_zero: bool = True

    def html(self, ink: Ink) -> str:
        sign = 1 if self.is_larger_better else -1
        places = [50 + sign * (value - self.zero) / self.reach * 50 for value in self[:3]]
        middle, ends = min(100.0, max(0.0, places[0])), sorted(places[1:])
        left, right = max(0.0, ends[0]), min(100.0, ends[1])
        cut = " aimm-open-left" * (ends[0] < 0) + " aimm-open-right" * (ends[1] > 100)
        return (
            f'<div class="aimm-interval{" aimm-pale" * self.is_pale}" role="img" aria-label="{escape(self.text)}"'
            f' style="--tone:{tone_colour(self.tone, ink)}">{"<i></i>" * self.has_zero}'
            f'<b class="{cut.strip()}" style="left:{left:.1f}%;width:{max(0.5, right - left):.1f}%"></b>'
            f'<u style="left:{middle:.1f}%"></u></div>'
        )


class Pill(NamedTuple):
    """A judgement in a word or two, in its colour; `tip` shows under the mouse."""

    text: str
    tone: Tone
    tip: str = ""

    def html(self, ink: Ink) -> str:
        tone = tone_colour(self.tone, ink)
        return f'<span class="aimm-pill" style="--tone:{tone}"{_title(self.tip)}>{escape(self.text)}</span>'


class Cell(NamedTuple):
    """A text, with a muted note after it; `tip` shows under the mouse. dot: A colour before it."""

    text: str
    note: str = ""
    tip: str = ""
    is_strong: bool = False
    dot: str = ""

    def html(self, ink: Ink) -> str:
        text = f"<b>{escape(self.text)}</b>" if self.is_strong else escape(self.text)
        note = f' <span class="aimm-note">{escape(self.note)}</span>' if self.note else ""
        dot = f'<i class="aimm-dot" style="background:{self.dot}"></i>' if self.dot else ""
        return f"<span{_title(self.tip)}>{dot}{text}{note}</span>"


class Head(NamedTuple):
    """The head of a column. is_number: It stands at the right. is_scale: Its cells are bars."""

    text: str
    is_number: bool = False
    tip: str = ""
    is_scale: bool = False


Row = Sequence[Bar | Pill | Cell]
SCALE = Head("worse ← 0 → better", is_scale=True)


def tone_colour(tone: Tone, ink: Ink) -> str:
    return {"good": ink.good, "warn": ink.warn, "fail": ink.fail, "flat": ink.muted}[tone]


def reach_of(bounds: Iterable[float], zero: float = 0.0, at_most: float = math.inf) -> float:
    """The reach of all bars of one unit, so that they can be compared; bounds that are not known are left out."""
    found = [abs(value - zero) for value in bounds if math.isfinite(value)]
    return min(at_most, 1.05 * max(found, default=0.0)) or 1.0


def table(heads: Sequence[Head], rows: Sequence[Row | str], ink: Ink, *, label: str) -> None:
    """Draw the rows; a text among them is the heading of those below it. Narrow pages show a row as a card."""
    top = "".join(f'<th scope="col" class="{_side(head)}"{_title(head.tip)}>{escape(head.text)}</th>' for head in heads)
    body = "".join(_row(row, heads, ink) for row in rows)
    st.html(
        f'<div class="aimm-wide"><table class="aimm-table" aria-label="{escape(label)}"><thead><tr>{top}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _row(row: Row | str, heads: Sequence[Head], ink: Ink) -> str:
    if isinstance(row, str):
        return f'<tr class="aimm-group"><td colspan="{len(heads)}"><b>{escape(row)}</b></td></tr>'
    cells = "".join(
        f'<td class="{_side(head)}" data-head="{escape(head.text)}">{cell.html(ink)}</td>'
        for head, cell in zip(heads, row, strict=True)
    )
    return f"<tr>{cells}</tr>"


def _side(head: Head) -> str:
    return "aimm-number" if head.is_number else "aimm-scale" if head.is_scale else ""


def _title(tip: str) -> str:
    return f' title="{escape(tip)}"' if tip else ""
