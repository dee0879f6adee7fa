"""Prompts: what is asked, in versions that never change, with labels that say which one is live."""

import streamlit as st

from core import NotFound
from dashboard import address, formatting
from dashboard.components import head
from dashboard.components.library import opening, prompt_editor, prompts
from dashboard.process import manager
from dashboard.visitors import allowed

service = manager().prompts
top = head.show("Prompts")
shown = opening.shown("prompt", service.get, top)
top.button(
    "New prompt", icon=":material/add:", key="prompts_new", type="secondary" if shown else "primary",
    on_click=address.put, args=("prompt_edit", "new"), **allowed.needs("editor"),
)  # fmt: skip
if shown is None:
    prompts.listed(service.all())
else:
    st.subheader(formatting.plain(shown.prompt), anchor=False)
    prompts.one(shown, service.versions(shown.prompt))
edited = address.value("prompt_edit")
if edited == "new":
    prompt_editor.show(None)
elif edited:
    try:
        prompt_editor.show(service.get(edited))
    except NotFound:
        address.missing("prompt_edit", "prompt")
