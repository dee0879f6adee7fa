"""The Playground's conversation: its turns, what is asked next, and what can be done with the last answer."""

import streamlit as st

from core.calls.call import Origin
from core.domain.generation import Generation, Message, Parameters, Request
from dashboard import formatting
from dashboard.components import answer, code, estimates, receipt
from dashboard.session import manager

state = st.session_state


def turns() -> list[Generation]:
    remembered = manager().remembered
    return [g for g in (remembered(generation_id) for generation_id in state.play_turns) if g is not None]


def asked(prompt: str) -> Request:
    """The request with all turns before it and the settings as they are now."""
    before = [message for g in turns() if g.text for message in (g.messages[-1], Message("model", g.text))]
    return Request(
        model=state.play_model,
        messages=(*before, Message("user", prompt)),
        system=state.get("play_system") or None,
        parameters=Parameters(**state.get("play_parameters", {})),
    )


def start(prompt: str) -> None:
    origin = Origin(source="playground", cap_usd=estimates.cap("play_cap"))
    state.play_call = manager().submit(asked(prompt), origin).id


def take_prompt() -> None:
    """Empty the field; only a callback may set a widget's value."""
    state.play_sent, state.play_prompt = state.play_prompt, ""


def draw_turn(g: Generation) -> None:
    st.chat_message("user").markdown(formatting.plain(g.messages[-1].text) if g.messages else "*not kept*")
    with st.chat_message("assistant"):
        slot = answer.Slot(st)
        made_here = manager().calls.running(g.id)
        slot.settle(g, answer.error_text(g, made_here.error if made_here else None), receipt.line(g))
        receipt.button(g, f"receipt_{g.id}")


def actions(last: Generation) -> None:
    """A new conversation; the same again where money stood in the way; the same call as code."""
    row = st.container(horizontal=True)
    if row.button("New conversation", icon=":material/add_comment:", key="play_new"):
        state.play_turns = []
        st.rerun()
    can_retry = last.error_class in estimates.OUT_OF_MONEY and bool(last.messages)
    help_text = "With the cap as it is now."
    if can_retry and row.button("Try again", icon=":material/replay:", key="play_again", help=help_text):
        state.play_turns.pop()
        start(last.messages[-1].text)
        st.rerun()
    with row.popover("Same call as code", icon=":material/code:"):
        address = str(st.context.url or "http://localhost:8501").split("?")[0].rstrip("/")
        st.code(code.as_curl(last, address), language="bash")
        st.code(code.as_python(last), language="python")
