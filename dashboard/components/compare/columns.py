"""The columns of a comparison: tall, in one scroller or each in its own, and one below the other on narrow pages."""

from html import escape
from typing import Any

import streamlit as st

from core.domain.comparison import Candidate
from dashboard import theme
from dashboard.frames import models

PER_ROW, LEAST_PX = 4, 220
TOGETHER_HELP = "Off: each answer scrolls by itself."


def toggle(place: Any) -> bool:
    return bool(place.toggle("Scroll together", True, key="compare_sync", persist_state="session", help=TOGETHER_HELP))


def places(n: int, *, together: bool) -> list[Any]:
    """Places side by side, four in a row; the style sheet (dashboard/theme.py) makes them scroll."""
    box = st.container(key="compare_together" if together else "compare_apart")
    grid = box.grid(min(n, PER_ROW), min_column_width=LEAST_PX, gap="small")
    return [grid.container(border=True, key=f"compare_column_{at}") for at in range(n)]


def head(place: Any, name: str, candidate: Candidate | None) -> None:
    """Its name on the page, and the model in its colour with its settings; None = they are hidden."""
    who = ""
    if candidate is not None:
        colour = models.colours(theme.mode()).get(candidate.model, theme.ink().muted)
        who = f' &nbsp;<i class="aimm-dot" style="background:{colour}"></i>{escape(candidate.contestant.label)}'
    place.html(f'<div class="aimm-title">{name}{who}</div>')
