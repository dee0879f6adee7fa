"""The newest requests of programs, as they come in; one of them can be opened."""

from datetime import datetime, timedelta

import streamlit as st

from core import clock
from dashboard import address
from dashboard.frames import gateway

EVERY_S = 2
_COLUMNS = {
    "time": st.column_config.DatetimeColumn("Time (UTC)", format="HH:mm:ss.SSS"),
    "first token s": st.column_config.NumberColumn(format="%.2f"),
    "latency s": st.column_config.NumberColumn(format="%.2f"),
    "tokens": st.column_config.NumberColumn(format="localized"),
    "note": st.column_config.TextColumn(width="medium"),
    "id": None,
}
_state = st.session_state


@st.fragment(run_every=EVERY_S)
def show() -> None:
    """Selecting a row pauses: what is looked at must not move."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.subheader("Requests", help="The newest 50 calls by programs, those of experiments included.")
        st.toggle("Pause", key="gateway_pause", on_change=_paused)
    until = _state.get("gateway_until")
    found = gateway.tail(datetime.fromisoformat(until) if until else None)
    if not found:
        text = "No program has called yet. Copy a snippet above; its call appears here at once."
        st.info(text, icon=":material/inbox:")
        return
    _state["gateway_newest"] = found[0].created_at.isoformat()
    pick = address.table(
        gateway.tail_frame(found), "call", _table(), column_config=_COLUMNS, then=_pause,
        height="content" if len(found) < 10 else 388,
    )  # fmt: skip
    if pick is None:
        st.caption("Select a row to open the call.")
    if pick != _state.get("gateway_opened"):  # the drawer is the page's: it is drawn outside of this fragment
        _state["gateway_opened"] = pick
        st.rerun()


def _table() -> str:
    # A new name is a table without a selection.
    return f"gateway_tail_{_state.get('gateway_n', 0)}"


def _paused() -> None:
    _state["gateway_until"] = clock.now().isoformat() if _state["gateway_pause"] else None
    if not _state["gateway_pause"]:
        address.put("call", None)
        _state["gateway_n"] = _state.get("gateway_n", 0) + 1


def _pause() -> None:
    if address.value("call") and not _state.get("gateway_pause"):
        _state["gateway_pause"] = True
        just_after = datetime.fromisoformat(_state["gateway_newest"]) + timedelta(microseconds=1)
        _state["gateway_until"] = just_after.isoformat()
