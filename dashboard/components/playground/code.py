"""A call as code that does the same, its whole conversation with it."""

import streamlit as st

from core.domain.generation import Generation, Request
from core.domain.request_json import to_json
from core.formats import strict_json as json
from dashboard.components import clients

KINDS = {name: client.language for name, client in clients.KNOWN.items() if client.is_whole} | {"aimm": "bash"}


def show(g: Generation) -> None:
    if not g.messages:
        st.caption("The prompt of this call was not stored.")
        return
    request = Request(model=g.model, messages=g.messages, system=g.system, parameters=g.parameters, tools=g.tools)
    address = str(st.context.url or "http://localhost:8501").split("?")[0].rsplit("/playground")[0].rstrip("/")
    for tab, (kind, language) in zip(st.tabs(list(KINDS)), KINDS.items(), strict=True):
        tab.code(snippet(kind, request, address), language=language)
    if any(not media.data and not media.url for message in g.messages for media in message.media):
        st.caption("Files of this conversation were not stored; add them where `data` or `url` is empty.")


def snippet(kind: str, request: Request, address: str) -> str:
    if kind in clients.KNOWN:
        return clients.code(kind, request, address)
    # A document that nothing is read out of: no line of JSON is the word that ends it.
    return f"aimm ask --request - <<'END'\n{json.dumps(to_json(request), ensure_ascii=False, indent=2)}\nEND"
