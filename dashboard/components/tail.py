"""The newest requests of programs, as they come in; one of them can be opened."""

import streamlit as st

from core import NotFound, clock
from dashboard import traffic
from dashboard.components import history
from dashboard.session import manager

EVERY_S = 2
_COLUMNS = {
    "time": st.column_config.DatetimeColumn("Time (UTC)", format="HH:mm:ss.SSS"),
    "key": st.column_config.TextColumn("Key"),
    "model": st.column_config.TextColumn("Model"),
    "status": st.column_config.TextColumn("Status"),
    "TTFT s": st.column_config.NumberColumn("First token (s)", format="%.2f"),
    "latency s": st.column_config.NumberColumn("Latency (s)", format="%.2f"),
    "tokens": st.column_config.NumberColumn("Tokens", format="localized"),
    "cost": st.column_config.TextColumn("Cost"),
    "note": st.column_config.TextColumn("Note", width="medium"),
}
_state = st.session_state


@st.fragment(run_every=EVERY_S)
def show() -> None:
    """Selecting a row pauses: what is looked at must not move."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.subheader("Requests", help="The newest 50 calls by programs: of the API, and of experiments they asked for.")
        st.toggle("Pause", key="gateway_pause", on_change=_paused)
    found = traffic.tail(_state.get("gateway_until"))
    if not found:
        st.info("No program has asked anything yet. Copy one of the snippets above; its call shows here at once.", icon=":material/inbox:")  # fmt: skip
        return
    _state["gateway_ids"] = ",".join(g.id for g in found)
    _state["gateway_newest"] = clock.to_us(found[0].created_at)
    st.dataframe(
        traffic.tail_frame(found), hide_index=True, column_config=_COLUMNS, on_select=_selected,
        selection_mode="single-row", key=_table(), height="content" if len(found) < 10 else 388,
    )  # fmt: skip
    if opened := _state.get("gateway_open"):
        try:
            history.detail(manager().generation(opened))
        except NotFound:  # demo data were removed meanwhile
            st.caption("This call is no longer on record.")
    else:
        st.caption("Select a row to see the call whole.")


def _table() -> str:
    # A new name is a table without a selection.
    return f"gateway_tail_{_state.get('gateway_n', 0)}"


def _paused() -> None:
    _state["gateway_until"] = clock.now_us() if _state["gateway_pause"] else None
    if not _state["gateway_pause"]:
        _state["gateway_open"] = None
        _state["gateway_n"] = _state.get("gateway_n", 0) + 1


def _selected() -> None:
    rows, ids = _state[_table()].selection.rows, _state["gateway_ids"].split(",")
    _state["gateway_open"] = ids[rows[0]] if rows and rows[0] < len(ids) else None
    if rows and not _state.get("gateway_pause"):
        _state["gateway_pause"] = True
        _state["gateway_until"] = _state["gateway_newest"] + 1
