"""A call as code that does the same, its whole conversation with it."""

from collections.abc import Mapping
from pprint import pformat
from typing import Any

import streamlit as st

from core.domain.generation import Generation, Request
from core.domain.request_json import to_json
from core.formats import strict_json as json
from dashboard.process import manager

KINDS = {"OpenAI Python": "python", "Google Gen AI": "python", "curl": "bash", "aimm": "bash"}


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


def snippet(kind: str, request: Request, address: str, key: str = "none") -> str:
    if kind == "OpenAI Python":
        return _openai(manager().models.body_for("openai", request), address, key)
    if kind == "Google Gen AI":
        return _google(request.model, manager().models.body_for("gemini", request), address, key)
    if kind == "curl":
        return _curl(manager().models.body_for("openai", request), address, key)
    # A document that nothing is read out of: no line of JSON is the word that ends it.
    return f"aimm ask --request - <<'END'\n{_json(to_json(request))}\nEND"


def _curl(body: Mapping[str, Any], address: str, key: str) -> str:
    quoted = _json(body).replace("'", "'\\''")
    return (
        f"curl {address}/v1/chat/completions \\\n  -H 'Content-Type: application/json' \\\n"
        f"  -H 'Authorization: Bearer {key}' \\\n  -d '{quoted}'"
    )


def _openai(body: Mapping[str, Any], address: str, key: str) -> str:
    ours = {
        name: value for name, value in body.items() if name == "thinking_budget"
    }  # the client knows no such argument
    given = {name: value for name, value in body.items() if name not in ours} | ({"extra_body": ours} if ours else {})
    lines = ",\n".join(f"    {name}={_literal(value)}" for name, value in given.items())
    return (
        f'from openai import OpenAI\n\nclient = OpenAI(base_url="{address}/v1", api_key="{key}")\n'
        f"answer = client.chat.completions.create(\n{lines},\n)\nprint(answer.choices[0].message.content)"
    )


def _google(model: str, body: Mapping[str, Any], address: str, key: str) -> str:
    rest = {name: value for name, value in body.items() if name not in ("contents", "generationConfig")}
    config = {**rest, **body.get("generationConfig", {})}
    return (
        "from google import genai\n\n"
        f'client = genai.Client(api_key="{key}", http_options={{"base_url": "{address}/gemini"}})\n'
        f"answer = client.models.generate_content(\n    model={model!r},\n    contents={_literal(body['contents'])},\n"
        f"    config={_literal(config)},\n)\nprint(answer.text)"
    )


def _literal(value: object) -> str:
    """Python for a value, its lines moved in."""
    return pformat(value, width=100, sort_dicts=False).replace("\n", "\n    ")


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)
