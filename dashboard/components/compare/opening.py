"""The views of the page, and the way from a row of a table to the comparison's answers."""

from typing import Any

import streamlit as st

from core.domain.comparison import Comparison
from dashboard import address, formatting, tables, theme
from dashboard.components import demo
from dashboard.frames import compare, models

_CHANCE = "By the rule, such as the cheapest, in that one run: another may differ."
_CERTAINTY = "Who leads over all comparisons of these models, with the 95% interval of the win rate."
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
        "time": st.column_config.DatetimeColumn("Time", format="D MMM HH:mm", width=92),
        "prompt": st.column_config.TextColumn("Prompt", width=200),
        "models": tables.model_column(names, colours, label="Models", width=196),
        "winner by rule": tables.model_column(names, colours, label="Winner by rule", width=118, help=_CHANCE),
        "certainty": st.column_config.TextColumn("All votes between them", width=282, help=_CERTAINTY),
        "votes": st.column_config.TextColumn("Its vote", width=140, help="Of people's votes on this comparison."),
        "status": None if set(frame["status"]) == {"Finished"} else st.column_config.TextColumn("Status", width=78),
        "source": None if len(set(frame["source"])) == 1 else st.column_config.TextColumn("Source", width=62),
        "id": None,
    }
    at = tables.opened(
        frame, "compare_history", frame["id"], column_config=config, height=640 if len(frame) > 17 else "auto"
    )
    if at is not None:
        show(at)
