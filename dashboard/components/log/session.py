"""A session as a conversation, in a drawer at the right: what each call added, its answer and its cost."""

from typing import Any

import streamlit as st

from core import NotFound
from core.domain.generation import Generation
from core.domain.log.session import Exchange, Session
from core.domain.message import Message
from dashboard import address, formatting
from dashboard.components import answer, receipt
from dashboard.components.log import history
from dashboard.frames import log
from dashboard.process import manager


def offer(place: Any, session_id: str) -> None:
    """The way to the conversation of a session."""
    place.button(
        "Conversation",
        icon=":material/forum:",
        key="log_conversation",
        on_click=address.put,
        args=("session", session_id),
    )


def show() -> bool:
    """Open the drawer where the address names a session; whether it does."""
    session_id = address.value("session")
    if session_id is None:
        return False
    try:
        found, exchanges = manager().log.session(session_id)
    except NotFound:
        address.missing("session", "session")
        return False
    address.window("session", "Session", width="large")(_inside)(found, exchanges)
    return True


def _inside(found: Session, exchanges: list[Exchange]) -> None:
    st.markdown(f"**{formatting.plain(formatting.short(found.id, 80))}**")
    grid = st.grid(4, min_column_width=110, gap="small")
    grid.metric("Cost", formatting.usd(found.cost_usd))
    grid.metric("Calls", f"{found.n:,}")
    grid.metric("Failed", f"{found.n_failed:,}")
    grid.metric("Tokens", f"{found.tokens:,}")
    unpriced = f" · {found.n_unpriced:,} calls without a price" if found.n_unpriced else ""
    who = f" · {formatting.plain(found.user)}" if found.user else ""
    st.caption(f"{formatting.when(found.first_at)} – {formatting.when(found.last_at)}{who}{unpriced}")
    unseen = log.hidden(each.call.ref_id for each in exchanges)
    for each in exchanges:
        if each.call.ref_id in unseen:
            st.caption("A call of a blind comparison: it appears here after you have voted.")
            continue
        for turn in each.turns:
            _turn(turn)
        _answer(each.call)
    if found.n > len(exchanges):
        st.caption(f"The first {len(exchanges):,} of {found.n:,} calls are shown.")


def _turn(turn: Message) -> None:
    with st.chat_message("user" if turn.role == "user" else "assistant"):
        answer.show(st, history.text_of(turn))


def _answer(g: Generation) -> None:
    with st.chat_message("assistant"):
        if g.error_message:
            st.error(formatting.plain(f"{formatting.failure_text(g.error_class)}: {g.error_message}"))
        if g.text:
            answer.show(st, g.text)
        for call in g.tool_calls:
            st.code(f"{call.name}({call.arguments})", language=None, wrap_lines=True)
        if not (g.text or g.tool_calls or g.error_message):
            if g.messages:
                st.caption("The model answered no text.")
            else:
                history.missing("The text of this call", g.created_at)
        row = st.container(horizontal=True, vertical_alignment="center", gap="small")
        figures = f"{g.model} · {receipt.cost_text(g)} · {formatting.seconds(g.latency_s)}"
        row.caption(f"{formatting.plain(figures)} · {formatting.when(g.created_at)}", width="content")
        row.button("Open", key=f"session_open_{g.id}", type="tertiary", on_click=_open, args=(g.id,))


def _open(call_id: str) -> None:
    address.put("session", None)
    address.put("call", call_id)
