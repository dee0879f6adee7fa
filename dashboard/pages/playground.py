"""Playground: a chat with one model: watch the answer come, see what it cost, try it otherwise."""

import itertools

import streamlit as st

from dashboard import address, formatting
from dashboard.components import answer, estimates, head, key_card
from dashboard.components.log import drawer
from dashboard.components.playground import attachments, conversation, parameters, past, prompt, turns
from dashboard.frames import models
from dashboard.process import manager
from dashboard.visitors import allowed

EXAMPLES = {
    "Extract JSON": "Extract name, date and amount as JSON: «Invoice 4711 of 3 March, Baker & Sons, 128.40 euros.»",
    "Summarise": "Summarise in two sentences why a sample that is looked at every hour finds too many winners.",
    "Classify": "Classify as question, complaint or praise, in one word: «It came late, but the fit is perfect.»",
}

mm = manager()
state = st.session_state
shown = conversation.current()
base = conversation.load(shown)
conversation.take_back()

top = head.show("Playground")
opened = prompt.opened()
known, labels = models.by_name(), models.labels()
if state.get("play_model") not in known:
    wanted = address.value("model") or models.default()
    state.play_model = wanted if wanted in known else next(iter(known))
name = top.selectbox(
    "Model", list(known), key="play_model", format_func=lambda name: labels.get(name, name), width=430,
    label_visibility="collapsed", persist_state="session",
)  # fmt: skip
if address.value("model") != name:
    address.put("model", name)
top.button(
    "New chat", icon=":material/add_comment:", key="play_new", type="tertiary", on_click=address.put,
    args=("conversation", None),
)  # fmt: skip
if top.button("History", icon=":material/history:", key="play_history", type="tertiary"):
    past.show()
prompt.keep(top, shown)
has_settings = top.toggle("Settings", value=True, key="play_settings", persist_state="session")

main, side = st.columns([2.6, 1], gap="medium") if has_settings else (st.container(), None)
problem = ""
if side is not None:
    with side.container(key="side_play", gap="small"):
        st.text_area(
            "System prompt", key="play_system", height=80, placeholder="How the model should behave (optional)",
            persist_state="session",
        )  # fmt: skip
        state.play_parameters, problem = parameters.controls(known[name])
        estimates.cap_field("play_cap", "each call")
        conversation.tools_line()
        if shown.calls:
            estimates.next_call(conversation.asked(shown, ""))
parameters.put(base)

with main, st.container(key="play_lane", height=560, autoscroll=True, border=False):
    live = turns.draw(shown)
    turns.draft(shown, may_send=not problem)
    if shown.live is not None:
        live += turns.draw_live(shown.live)
        if waits := state.get("play_sent"):
            st.caption(f"Sent when this answer is there: {formatting.plain(formatting.short(waits))}")
    if opened is not None and shown.live is None:
        prompt.form(opened)
    elif not shown.calls and shown.live is None:
        st.markdown("#### Ask a model, or begin with an example")
        for label, text in EXAMPLES.items():
            may = allowed.needs("editor", disabled=bool(problem))
            if st.button(label, key=f"example_{label}", icon=":material/lightbulb:", **may):
                conversation.send(shown, text)
        key_card.problems()
        if not mm.vendors.has_key:
            st.caption("There is no key yet: simulated models answer, and their costs are examples.")
            key_card.show()

waiting = conversation.waiting_tools(shown)
hint = "Correct or clear the JSON schema first" if problem else "Ask the model"
with st.bottom.container(key="play_bottom", gap="xsmall"):
    if stood_in_the_way := state.pop("play_problem", ""):
        st.error(formatting.plain(stood_in_the_way), icon=":material/error:")
    row = st.container(horizontal=True, vertical_alignment="center", gap="small")
    # Not disabled by a wrong schema: a prompt that is sent together with one would be lost.
    given = row.chat_input(
        f"Result of {waiting[0].name}" if waiting and not problem else hint, key="play_prompt",
        disabled=not allowed.may("editor"),
        **attachments.options(mm.models.reads(name)),
    )  # fmt: skip
    if live:
        row.button(
            "Stop", key="play_stop", icon=":material/stop:", shortcut="Escape", on_click=conversation.stop,
            args=([call for call, _ in live],), **allowed.needs("editor"),
        )  # fmt: skip
if given:
    state.play_sent = given if isinstance(given, str) else given.text
    state.play_files = () if isinstance(given, str) else attachments.read(given.files)
if not shown.is_running and "play_sent" in state:  # sent during a call, it waits for its turn
    text, files = state.pop("play_sent"), state.pop("play_files", ())
    if problem:
        conversation.give_back(text, f"JSON schema: {problem}")
        st.rerun()
    conversation.send(shown, text, files)
if live:
    calls, slots = zip(*live, strict=True)
    answer.follow(calls, slots, itertools.count())
drawer.show()
