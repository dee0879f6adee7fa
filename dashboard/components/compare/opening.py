"""The views of the page, and the way from a row of a table to the comparison's answers."""

from typing import Any

import streamlit as st

from core.domain.comparison import Comparison
from dashboard import address, formatting, tables, theme
from dashboard.components import demo
from dashboard.frames import compare, models

_CHANCE = "By the rule, such as the cheapest, in that one run: another may differ."
VIEWS = ("Answers", "Win rates", "History")


def show(comparison_id: str | None) -> None:
    """Show another comparison, or none."""
    address.put("comparison", comparison_id)
    st.rerun()


def view(place: Any, shown: Comparison | None) -> str:
    """The view that was chosen; of another comparison than before, its answers."""
    state, now = st.session_state, shown.id if shown else ""
    if state.setdefault("compare_shown", now) != now:
        state.compare_shown, state.compare_view = now, VIEWS[0]
    default = None if "compare_view" in state else VIEWS[0]  # beside a state, Streamlit warns of it
    chosen = place.segmented_control(
        "View", VIEWS, default=default, required=True, key="compare_view", bind="query-params",
        label_visibility="collapsed",
    )  # fmt: skip
    return str(chosen)


def history() -> None:
    """Past comparisons, of which a click opens one."""
    cast = compare.own_votes()
    frame = compare.history(cast)
    if frame.empty:
        demo.offer("No comparisons yet.", "compare_demo")
        return
    st.markdown(
        "The rule names the winner of one run, and another run may differ. Which model is better, people's votes"
        f" decide: **{formatting.plain(compare.leader(cast))}**."
    )
    colours = models.colours(theme.mode())
    names = [name for column in ("models", "winner by rule") for row in frame[column] for name in row]
    config = {
        "time": st.column_config.DatetimeColumn("Time", format="D MMM HH:mm", width=100),
        "prompt": st.column_config.TextColumn("Prompt", width=330),
        "models": tables.model_column(names, colours, label="Models", width=230),
        "winner by rule": tables.model_column(names, colours, label="Winner by rule", width=140, help=_CHANCE),
        "votes": st.column_config.TextColumn("Votes won", width=150, help="Of people's votes on this comparison."),
        "id": None,
    }
    at = tables.opened(
        frame, "compare_history", frame["id"], column_config=config, height=640 if len(frame) > 17 else "auto"
    )
    if at is not None:
        show(at)
