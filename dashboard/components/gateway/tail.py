"""The newest requests of programs, as they come in; one of them can be opened."""

from datetime import datetime

import streamlit as st

from core import clock
from dashboard import address, theme
from dashboard.components.log import history
from dashboard.frames import gateway, log

EVERY_S, HEIGHT, LONG = 2, 388, 11
_state = st.session_state


@st.fragment(run_every=EVERY_S)
def show() -> None:
    row = st.container(horizontal=True, vertical_alignment="center")
    row.subheader("Requests", help="The newest 50 calls by programs, those of experiments included.", anchor=False)
    row.space("stretch")
    row.toggle("Pause", key="gateway_pause", on_change=_paused)
    until = _state.get("gateway_until")
    found = gateway.tail(datetime.fromisoformat(until) if until else None)
    if not found:
        text = "No program has called yet. Copy a snippet above; its call appears here at once."
        st.info(text, icon=":material/inbox:")
        return
    before = address.value("call")
    drawn = history.drawn(found, theme.mode(), log.hidden(g.ref_id for g in found), log.key_labels())
    _state["gateway_shown"] = history.draw(drawn, "gateway_tail", height=HEIGHT if len(found) > LONG else "auto")
    if address.value("call") != before:  # the drawer is the page's: it is drawn outside of this fragment
        st.rerun()


def _paused() -> None:
    _state["gateway_until"] = clock.now().isoformat() if _state["gateway_pause"] else None
