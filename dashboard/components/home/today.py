"""Today: calls, cost, and what needs attention."""

from collections.abc import Mapping
from html import escape

import streamlit as st

from dashboard import formatting
from dashboard.components.budgets import rows, words
from dashboard.components.frame import header
from dashboard.components.monitoring import breakdown, headline
from dashboard.frames import home, monitoring
from dashboard.frames.home import Line
from dashboard.frames.money import budgets

BARS = 4
_MARKS = {"bad": ("error", "red"), "warn": ("warning", "orange"), "plain": ("chevron_right", "gray")}


def tiles() -> None:
    """Spend of today and of the month, and the last 24 hours against the 24 before."""
    of, simulated = home.day()
    now, before = monitoring.totals(of, None, simulated)
    st.subheader("Last 24 hours", anchor=False, help="Against the 24 hours before.")
    if simulated:
        st.badge("Simulated – costs are examples", color="orange")
    headline.show(now, before, monitoring.over_time(of, None, simulated), breakdown.query_of(of.window, simulated))
    headline.yesterday(None, simulated)
    headline.speed(of, None, simulated)
    headline.month(simulated)


def moved() -> None:
    """Draw what moved the cost of a month, what was slow in it, and the call that failed last."""
    simulated = home.day()[1]
    lines = home.moved(simulated)
    if lines:
        st.subheader("What moved the cost of 30 days", anchor=False, help="The last 30 days against the 30 before.")
    for at, line in enumerate(lines):
        draw(line, f"moved_{at}")
    lines = [line for line in (home.slowest(simulated), home.last_failure(simulated)) if line is not None]
    if lines:
        st.subheader(
            "Slow and failed in 30 days", anchor=False, help="The slowest hours of 30 days, and the last failed call."
        )
    for at, line in enumerate(lines):
        draw(line, f"trouble_{at}", 300)


def standing() -> None:
    """Draw the fullest budgets as bars."""
    found = sorted(budgets.standing(), key=lambda each: each.status.share_spent, reverse=True)
    if not found:
        return
    row = st.container(horizontal=True, vertical_alignment="center")
    row.subheader("Budgets", anchor=False, width="content")
    if len(found) > BARS:
        row.page_link("pages/budgets.py", label=f"All {len(found):,} budgets", width="content")
    grid = st.grid("auto", min_column_width=260)
    for outlook in found[:BARS]:
        budget = outlook.status.budget
        place = grid.container(key=f"tile_budget_{budget.id}")
        about = f"{words.scope(budget)} · {words.period(budget)}"
        place.html(
            f'<div class="aimm-budget aimm-alone"><div><b>{escape(budget.name)}</b> <small>{escape(about)}</small>'
            f"{rows.spent(outlook)}</div></div>"
        )
        label = f"Budget {formatting.plain(budget.name)}"
        place.page_link("pages/budgets.py", label=label, query_params={"budget_search": budget.name})


def attention() -> None:
    """Draw what needs attention, each line with the way to where it is settled."""
    st.subheader("Needs attention", anchor=False)
    budgets_near, lines = header.notices(), home.attention()
    for at, notice in enumerate(budgets_near):
        _link("bad" if notice.is_over else "warn", notice.text, "budgets", f"budget_{at}")
    for at, line in enumerate(lines):
        draw(line, f"attention_{at}")
    if not budgets_near and not lines:
        st.caption(
            ":green[:material/check_circle:] Nothing: no budget near its limit, no rise in failures, no run that waits,"
            " no experiment to decide."
        )


def draw(line: Line, key: str, n: int = 160) -> None:
    _link(line.level, formatting.plain(formatting.short(line.text, n)), line.page, key, line.params)


def _link(level: str, text: str, page: str, key: str, params: Mapping[str, str] | None = None) -> None:
    icon, colour = _MARKS[level]
    with st.container(key=key):
        label = f":{colour}[:material/{icon}:] {text}"
        st.page_link(f"pages/{page}.py", label=label, query_params=dict(params) if params else None)
