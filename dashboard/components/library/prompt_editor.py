"""The editor of a prompt: by fields, or as YAML with all that a version can hold. What is saved is a new version."""

from dataclasses import replace

import streamlit as st

from core import AimmError
from core.domain.evaluation.prompt import PromptContent, PromptMessage, PromptVersion
from core.formats import yaml_text
from core.prompts import files
from core.prompts.rendering import variables_of
from dashboard import address, formatting
from dashboard.components import clicks, inputs
from dashboard.components.library.people import author
from dashboard.frames import models
from dashboard.process import manager
from dashboard.visitors import allowed

_NEW = "new"
_HELP = 'A variable is written {{name}}. Braces as text are written {{"{{"}}.'


def show(version: PromptVersion | None) -> None:
    """The window for a new prompt, or for a new version after this one."""
    title = "New prompt" if version is None else f"New version of {formatting.plain(version.prompt)}"
    address.window("prompt_edit", title, width="large")(_inside)(version)


def _inside(version: PromptVersion | None) -> None:
    content = version.content if version else PromptContent(messages=(PromptMessage("user", ""),))
    key = f"prompt_edit_{version.ref if version else _NEW}_"
    name = version.prompt if version else inputs.text(st, "Name", f"{key}name", placeholder="support-answer")
    is_simple = _is_simple(content)
    ways = ("Fields", "YAML") if is_simple else ("YAML",)
    way = st.segmented_control("As", ways, default=ways[0], key=f"{key}way", required=True) if is_simple else "YAML"
    try:
        made = _fields(content, key) if way == "Fields" else _yaml(content, key)
        names = variables_of(made)
    except AimmError as error:
        inputs.refused(st, error)
        made, names = None, ()
    st.caption(
        formatting.plain(f"Variables: {', '.join(names)}" if names else "No variables yet")
        + f". {formatting.plain(_HELP)}"
    )
    note = inputs.text(st, "Note", f"{key}note", placeholder="What is new about it (optional)")
    clicked = st.button(
        "Save version", type="primary", icon=":material/save:", key=f"{key}save",
        **allowed.needs("editor", disabled=made is None),
    )  # fmt: skip
    if made is not None and clicks.first(clicked, "prompt", (name, note, made.digest)):
        _save(name, made, note, version, key)


def _save(name: str, made: PromptContent, note: str, before: PromptVersion | None, key: str) -> None:
    try:
        saved = manager().prompts.save(name.strip(), made, note=note, author=author())
    except AimmError as error:
        inputs.refused(st, error)
        return
    if before is not None and saved.number < before.number + 1 and saved.number != before.number:
        st.toast(f"That is version {saved.number}, which was there already.")
    inputs.forget(key)
    address.put("prompt", saved.ref)
    address.closed("prompt_edit")
    st.rerun()


def _is_simple(content: PromptContent) -> bool:
    """True where the fields show all turns: at most one of the system, then one of the user."""
    return [message.role for message in content.messages] in (["user"], ["system", "user"])


def _fields(content: PromptContent, key: str) -> PromptContent:
    texts = {message.role: message.text for message in content.messages}
    system = st.text_area(
        "System",
        texts.get("system", ""),
        key=f"{key}system",
        height=120,
        placeholder="How the model should behave (optional)",
    )
    user = st.text_area(
        "User", texts.get("user", ""), key=f"{key}user", height=200, placeholder="Answer the question: {{question}}"
    )
    names = list(dict.fromkeys([*([content.model] if content.model else []), *models.names()]))
    model = inputs.choice(
        st, "Model", f"{key}model", names, 0 if content.model else None, placeholder="Whoever asks says which",
        help="Asked where a call names the prompt and no model.", accept_new_options=True,
    )  # fmt: skip
    turns = [PromptMessage("system", system)] if system.strip() else []
    return replace(content, messages=(*turns, PromptMessage("user", user or "")), model=model or "")


def _yaml(content: PromptContent, key: str) -> PromptContent:
    written = yaml_text.dump(files.to_dict(content))
    text = st.text_area("YAML", written, key=f"{key}yaml", height=420, help="messages, model, parameters, tools")
    return files.read(text or "", "prompt.yaml")[1]
