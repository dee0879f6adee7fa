"""Playground: ask one model, watch the answer come, see what it cost."""

import streamlit as st

from dashboard import formatting
from dashboard.components import estimates, inputs, key_card
from dashboard.components.playground import conversation, parameters, past
from dashboard.frames import models
from dashboard.process import manager

EXAMPLES = {
    "Extract JSON": "Extract name, date and amount as JSON: «Invoice 4711 of 3 March, Baker & Sons, 128.40 euros.»",
    "Summarise": "Summarise in two sentences why a sample that is looked at every hour finds too many winners.",
    "Classify": "Classify as question, complaint or praise, in one word: «It came late, but the fit is perfect.»",
}

mm = manager()
state = st.session_state
shown = conversation.current()
conversation.load(shown)
conversation.take_back()

st.title("Playground")
main, side = st.columns([2.6, 1], gap="medium")

with side:
    known = models.by_name()
    names = list(known)
    if state.get("play_model") not in known:
        state.play_model = models.default() if models.default() in known else names[0]
    name = inputs.choice(
        st, "Model", "play_model", names,
        format_func=lambda name: f"{name} (simulated)" if known[name].is_simulated else name,
    )  # fmt: skip
    st.text_area(
        "System prompt", key="play_system", height=80, placeholder="How the model should behave (optional)",
        persist_state="session",
    )  # fmt: skip
    with st.expander("Parameters"):
        state.play_parameters, problem = parameters.controls(known[name], "play")
        estimates.cap_field("play_cap", "each call")
    if problem:
        st.caption("Correct or clear the JSON schema to run.")
    conversation.tools_line()
    if mm.vendors.list_error:
        st.warning(f"Could not read a vendor's model list: {formatting.plain(mm.vendors.list_error)}")
    if not mm.vendors.has_key:
        st.badge("Simulated – costs are examples", color="orange")
        key_card.show()

with main:
    box = st.container(height=430, border=True, autoscroll=True)
    with box:
        conversation.draw(shown)
        if not shown.calls and shown.live is None:
            st.caption("Ask something below, or start with an example:")
            for label, text in EXAMPLES.items():
                if st.button(label, key=f"example_{label}", icon=":material/lightbulb:", disabled=bool(problem)):
                    conversation.send(shown, text)
    if stood_in_the_way := state.pop("play_problem", ""):
        st.error(formatting.plain(stood_in_the_way), icon=":material/error:")
    # No form: what is typed in one is lost with a change of page.
    prompt = st.text_area(
        "Prompt", key="play_prompt", height=90, placeholder="Write a prompt. Ctrl+Enter runs it.",
        persist_state="session",
    )  # fmt: skip
    buttons = st.container(horizontal=True)
    buttons.button(
        "Run", type="primary", icon=":material/play_arrow:", key="play_run", shortcut="Ctrl+Enter",
        on_click=conversation.take_prompt, disabled=bool(problem),
    )  # fmt: skip
    estimate = buttons.button("Estimate", icon=":material/calculate:", key="play_estimate", help=estimates.HELP)
    if prompt and prompt.strip() and not problem and (estimate or "play_counted" in state):
        estimates.one(conversation.asked(shown, prompt), "play_counted")
    is_running = shown.live is not None and not shown.live.done.done()
    if not is_running and (sent := state.pop("play_sent", "")).strip():  # sent during a call, it waits for its turn
        state.pop("play_counted", None)
        if problem:
            conversation.give_back(sent, f"JSON schema: {problem}")
            st.rerun()
        conversation.send(shown, sent)
    if shown.live is not None:
        if is_running and st.button("Stop", key="play_stop", icon=":material/stop:", shortcut="Escape"):
            shown.live.cancel()
        with box:
            conversation.draw_live(shown.live)
    if shown.calls or shown.live is not None:
        conversation.actions(shown)

past.show("playground")
