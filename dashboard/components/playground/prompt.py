"""Prompts in the Playground: one that is opened, with a field for each variable, and a chat that becomes one."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from core import AimmError, NotFound, Origin
from core.domain.evaluation.prompt import PromptContent, PromptMessage, PromptVersion
from core.domain.generation import Generation, Parameters
from core.prompts.rendering import request_of, variables_of
from dashboard import address, formatting
from dashboard.components import clicks, estimates, inputs
from dashboard.components.library import adding
from dashboard.components.library.people import author
from dashboard.components.playground import conversation
from dashboard.frames import models
from dashboard.process import manager
from dashboard.visitors import allowed

state = st.session_state


def opened() -> PromptVersion | None:
    """The prompt that the address names."""
    ref = address.value("prompt")
    if ref is None:
        return None
    try:
        version = manager().prompts.get(ref)
    except NotFound:
        address.missing("prompt", "prompt")
        return None
    if state.get("play_prompt_of") != version.ref:  # its model and settings are meant, once
        state.play_prompt_of = version.ref
        if version.content.model in models.by_name():
            state.play_model = version.content.model
    return version


def form(version: PromptVersion) -> None:
    """A field for each variable; what is asked is the prompt with their values."""
    row = st.container(horizontal=True, vertical_alignment="center", gap="small")
    row.markdown(f"**{formatting.plain(version.ref)}**", width="content")
    for label in version.labels:
        row.badge(formatting.plain(label), color="green")
    row.space("stretch")
    row.page_link("pages/library/prompts.py", label="Versions", query_params={"prompt": version.ref})
    row.button("Close", key="play_prompt_close", type="tertiary", on_click=address.put, args=("prompt", None))
    with st.expander("Its text"):
        st.code(version.content.text, language=None, wrap_lines=True)
    if (state.get("play_system") or "").strip():
        st.caption("The system prompt of the settings is not sent along: this prompt has its own.")
    values = {
        name: st.text_area(name, key=f"play_var_{version.prompt}_{name}", height=80, persist_state="session") or ""
        for name in variables_of(version.content)
    }
    clicked = st.button("Ask", type="primary", key="play_prompt_ask", icon=":material/send:", **allowed.needs("editor"))
    if clicks.first(clicked, "play_prompt", (version.ref, values)):
        _ask(version, values)


def _ask(version: PromptVersion, values: Mapping[str, Any]) -> None:
    name = state.play_model
    set_here = {k: v for k, v in state.get("play_parameters", {}).items() if k in models.by_name()[name].accepts}
    try:
        request = request_of(version, values, model=name, parameters=Parameters(**set_here))
        origin = Origin(source="playground", prompt_version=version.ref, cap_usd=estimates.cap("play_cap"))
        call = manager().submit(request, origin)
    except AimmError as error:
        inputs.refused(st, error)
        return
    address.put("conversation", call.id)
    st.rerun()


def keep(place: Any, shown: conversation.Conversation) -> None:
    """A button that opens the forms by which what is asked here becomes a prompt, or a row of a dataset."""
    last = shown.calls[-1] if shown.calls and shown.calls[-1].messages else None
    system = (state.get("play_system") or "").strip()
    if not (system or last):
        return
    may = allowed.needs("editor", "As a prompt, or in a dataset.")
    with place.popover("Save", icon=":material/bookmark_add:", type="tertiary", **may):
        tabs = st.tabs(("As a prompt", "In a dataset") if last else ("As a prompt",))
        with tabs[0]:
            _save(system, _turns(last) if last else [])
        if last:
            with tabs[1]:
                adding.form("play_rows", lambda: [last], "The last call")


def _save(system: str, turns: list[PromptMessage]) -> None:
    n = f"{len(turns)} turn{'s' if len(turns) != 1 else ''}"
    st.caption(f"{'The system prompt, ' if system else ''}{n}, the model, its settings. {{{{name}}}} is a variable.")
    name = inputs.text(st, "Name", "play_save_name", placeholder="support-answer")
    note = inputs.text(st, "Note", "play_save_note", placeholder="optional")
    clicked = st.button("Save version", type="primary", key="play_save", disabled=not name.strip())
    messages = (*([PromptMessage("system", system)] if system else []), *turns)
    made = PromptContent(
        messages=messages, model=state.play_model, parameters=Parameters(**state.get("play_parameters", {}))
    )
    if not clicks.first(clicked, "play_save", (name, note, made.digest)):
        return
    try:
        version = manager().prompts.save(name.strip(), made, note=note, author=author())
    except AimmError as error:
        inputs.refused(st, error)
        return
    st.success(f"Saved as {formatting.plain(version.ref)}.")
    st.page_link("pages/library/prompts.py", label="Open", query_params={"prompt": version.ref})


def _turns(last: Generation) -> list[PromptMessage]:
    """The texts that were asked, with the answers between them."""
    return [
        PromptMessage("assistant" if message.role == "model" else "user", message.text)
        for message in last.messages
        if message.text.strip()
    ]
