"""Playground: ask one model, watch the answer come, see what it cost."""

import json

import streamlit as st

from dashboard import formatting, queries
from dashboard.components import answer, conversation, estimates, history, key_card, parameters
from dashboard.session import manager

EXAMPLES = {
    "Extract JSON": "Extract name, date and amount as JSON: «Invoice 4711 of 3 March, Baker & Sons, 128.40 euros.»",
    "Summarise": "Summarise in two sentences why a sample that is looked at every hour finds too many winners.",
    "Classify": "Classify as question, complaint or praise, in one word: «The parcel came late, but the fit is perfect.»",
}

mm = manager()
state = st.session_state
state.setdefault("play_turns", [])  # ids of this conversation's generations
state.setdefault("play_call", None)
if restored := state.pop("play_restore", None):  # before any widget is drawn: only then may their values be set
    past = mm.generation(restored)
    state.play_turns, state.play_model, state.play_system = [past.id], past.model, past.system or ""
    for field, value in past.parameters.as_dict().items():
        state[parameters.key_of("play", field)] = json.dumps(value) if field == "json_schema" else value


st.title("Playground")
main, side = st.columns([2.6, 1], gap="medium")

with side:
    models = queries.models()
    names = list(models)
    if state.get("play_model") not in models:
        state.play_model = mm.default_model() if mm.default_model() in models else names[0]
    name = st.selectbox(
        "Model", names, key="play_model", format_func=lambda n: f"{n} (simulated)" if models[n].is_simulated else n
    )
    st.text_area("System prompt", key="play_system", height=80, placeholder="How the model should behave (optional)")
    with st.expander("Parameters"):
        try:
            state.play_parameters = parameters.controls(models[name], "play")
        except ValueError as error:
            st.error(f"JSON schema: {error}")
            state.play_parameters = {}
        estimates.cap_field("play_cap", "a call")
    if mm.model_list_error:
        st.warning(f"The vendor's model list could not be read: {formatting.plain(mm.model_list_error)}")
    if not mm.has_key:
        st.badge("simulated – costs are examples", color="orange")
        key_card.show()

with main:
    call = mm.calls.running(state.play_call) if state.play_call else None
    box = st.container(height=430, border=True, autoscroll=True)
    with box:
        for generation in conversation.turns():
            conversation.draw_turn(generation)
        if not state.play_turns and call is None:
            st.caption("Ask something below, or begin with an example:")
            for label, text in EXAMPLES.items():
                if st.button(label, key=f"example_{label}", icon=":material/lightbulb:"):
                    conversation.start(text)
                    st.rerun()
    with st.form("play_form", border=False):
        prompt = st.text_area("Prompt", key="play_prompt", height=90, placeholder="Write a prompt; Ctrl+Enter runs it")
        buttons = st.container(horizontal=True)
        buttons.form_submit_button(
            "Run (Ctrl+Enter)", type="primary", icon=":material/play_arrow:", on_click=conversation.take_prompt
        )
        estimate = buttons.form_submit_button("Estimate", icon=":material/calculate:", help=estimates.HELP)
    if prompt and prompt.strip() and (estimate or "play_counted" in state):
        estimates.one(conversation.asked(prompt), "play_counted")
    if call is None and (sent := state.pop("play_sent", "")).strip():  # sent during a call, it waits for its turn
        state.pop("play_counted", None)
        conversation.start(sent)
        st.rerun()
    if call is not None:
        if st.button("Stop", key="play_stop", icon=":material/stop:", shortcut="Escape"):
            call.cancel()
        with box:
            st.chat_message("user").markdown(formatting.plain(call.request.prompt))
            slot = answer.Slot(st.chat_message("assistant"))
        answer.watch([call], [slot])
        made, failure = answer.outcome(call)
        state.play_call = None
        if made is not None:
            state.play_turns.append(made.id)
            st.rerun()
        slot.settle(None, failure, "")
    elif past_turns := conversation.turns():
        conversation.actions(past_turns[-1])

opened = history.show("playground")
if opened is not None:
    history.restore(opened)
