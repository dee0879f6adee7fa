"""Conversations of any kind from each wire to each other: what can be said arrives as it was, nothing else is sent."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from api.gateway.anthropic import request as anthropic_reader
from api.gateway.gemini import request as gemini_reader
from api.gateway.openai import request as openai_reader
from api.gateway.responses import request as responses_reader
from core.domain.generation import Message, Parameters, Request
from core.domain.message import Conversation, Media, Tool, ToolCall, ToolResult, paired
from core.errors import InvalidRequest
from core.providers.anthropic.request import to_body as to_anthropic
from core.providers.base import BEGINNING
from core.providers.families import SHIPPED
from core.providers.fitting import fitted, renamed
from core.providers.gemini.request import to_body as to_gemini
from core.providers.openai.request import to_body as to_openai
from core.providers.openai.responses import to_body as to_responses
from tests.fakes import refusals
from tests.fakes import responses as responses_fake

# More in a benchmark: AIMM_EXAMPLES=2000
EXAMPLES = int(os.environ.get("AIMM_EXAMPLES", "10"))
WRITE: dict[str, Callable[[Request], dict[str, Any]]] = {
    "openai": lambda request: to_openai(request, is_own=True), "anthropic": to_anthropic, "gemini": to_gemini,
    "responses": to_responses,
}  # fmt: skip
READ: dict[str, Callable[[dict[str, Any], str], Request]] = {
    "openai": lambda body, model: openai_reader.chat(body),
    "anthropic": lambda body, model: anthropic_reader.message(body, {}),
    "gemini": lambda body, model: gemini_reader.content(model, body, is_streamed=bool(body.get("stream"))),
    "responses": lambda body, model: responses_reader.response(body, Conversation(body["input"])),
}
REFUSED: dict[str, Callable[[dict[str, Any], str], str]] = {
    "openai": lambda body, model: refusals.by_openai(body),
    "anthropic": lambda body, model: refusals.by_anthropic(body, {"anthropic-version": "1"}),
    "gemini": refusals.by_gemini,
    "responses": lambda body, model: str(responses_fake.refusal(body, set()) or ""),
}
MODELS = {
    "openai": ("gpt-4o", "gpt-5", "gpt-5.2", "o3-mini"),
    "anthropic": ("claude-sonnet-4-5", "claude-opus-4-6", "claude-opus-4-8", "claude-3-5-haiku", "claude-sonnet-4-20250514"),
    "responses": ("gpt-5-pro", "gpt-5.1-codex"),
    "gemini": ("gemini-2.5-flash", "gemini-2.5-pro", "gemini-3.5-flash", "gemini-3-pro-preview"),
}  # fmt: skip

PNG = Media("image/png", data="iVBORw0KGgo=")
TEXTS = st.sampled_from(["Hello", "", " ", "\n\n", "Wie geht's?\n", '{"a": 1}', "[1, 2]", "ä😀", "null", " padded "])
NAMES = st.sampled_from(["f", "get_weather", "a.b", "mcp:server/tool", "x" * 70, "9lives", "é", "-dash", "A" * 130])
IDS = st.sampled_from(["", "call_1", "call.1:x", "toolu_01ABC", "c" * 60, "id with blank", "é"])
ARGUMENTS = st.sampled_from(["{}", "", '{"city": "Köln"}', '{"a": {"b": [1, null]}}', "[1]", '{"a": '])
SCHEMAS = st.sampled_from([
    {}, {"type": "object"}, {"type": "object", "properties": {"a": {"type": "string", "minLength": 2}}},
    {"properties": {"a": {"type": ["string", "null"]}}, "required": ["a"]},
    {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False},
    {"anyOf": [{"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}, {"required": ["b"]}]},
    {"type": "object", "properties": {"m": {"type": "object", "additionalProperties": {"type": "integer"}}}},
])  # fmt: skip
SHAPES = st.sampled_from([
    None, {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}},
    {"type": "array", "items": {"type": "string"}, "minItems": 2}, {"anyOf": [{"type": "string"}, {"type": "null"}]},
    {"type": "object", "properties": {"m": {"type": "object", "additionalProperties": {"type": "integer"}}}},
])  # fmt: skip


@st.composite
def turns(draw: Any) -> tuple[Message, ...]:
    found: list[Message] = []
    for _ in range(draw(st.integers(1, 4))):
        said: list[Any] = [draw(TEXTS)] + ([PNG] if draw(st.booleans()) else [])
        found.append(Message.of("user", tuple(said)))
        if draw(st.booleans()):
            calls = [ToolCall(draw(IDS), draw(NAMES), draw(ARGUMENTS)) for _ in range(draw(st.integers(1, 3)))]
            found.append(Message.of("model", (draw(TEXTS), *calls)))
            results = [
                ToolResult(c.id, c.name, draw(TEXTS), draw(st.booleans()), (PNG,) if draw(st.booleans()) else ())
                for c in calls
            ]
            found.append(Message.of("user", tuple(results)))
        if draw(st.booleans()):
            found.append(Message("model", draw(TEXTS)))
        if draw(st.integers(0, 3)) == 0:
            found.append(Message("user", draw(TEXTS), is_system=True))
    found.append(Message("user", draw(TEXTS)))
    return paired(found)


@st.composite
def requests(draw: Any) -> Request:
    def maybe(strategy: Any) -> Any:
        return draw(strategy) if draw(st.booleans()) else None

    shape = draw(SHAPES)
    parameters = Parameters(
        temperature=maybe(st.sampled_from([0, 0.5, 1, 1.7])), top_p=maybe(st.sampled_from([0.1, 1])),
        top_k=maybe(st.just(40)), max_tokens=maybe(st.sampled_from([1, 1500, 40_000])), seed=maybe(st.just(7)),
        stop=maybe(st.sampled_from([("END",), ("\n", "x"), tuple("abcdef")])), json_schema=shape,
        json_object=True if shape is None and draw(st.booleans()) else None,
        thinking_level=(level := maybe(st.sampled_from(["none", "minimal", "low", "medium", "high", "xhigh", "max"]))),
        thinking_budget=None if level else maybe(st.sampled_from([-1, 0, 100, 2000, 60_000])),
        frequency_penalty=maybe(st.sampled_from([0, 0.5])),
    )  # fmt: skip
    described = st.sampled_from(["", "Of a city"])
    tools = draw(st.lists(st.builds(Tool, name=NAMES, description=described, parameters=SCHEMAS, is_strict=st.booleans()), max_size=3))  # fmt: skip
    choices = ["", "auto", "none", "required", *(f"tool:{tool.name}" for tool in tools)]
    return Request(
        model="m", messages=draw(turns()), system=maybe(TEXTS) or None, parameters=parameters, tools=tuple(tools),
        tool_choice=draw(st.sampled_from(choices)) if tools else "", is_one_call=draw(st.booleans()),
    )  # fmt: skip


def atoms(request: Request) -> list[Any]:
    """A conversation in one form: whose turn, then results, calls, texts and pictures; blanks say nothing."""
    found: list[Any] = []
    for message in request.messages:
        if message.text == BEGINNING:
            continue
        role = "user" if message.role == "user" else "model"
        for part in message.content:
            if isinstance(part, str):
                found += [(role, 2, text)] if (text := " ".join(part.split())) else []
            elif isinstance(part, Media):
                found.append((role, 3, part.media_type + part.data))
            elif isinstance(part, ToolCall):
                found.append((role, 1, [part.name, _json(part.arguments or "{}")]))
            elif isinstance(part, ToolResult):
                text = part.text.removeprefix("Error: ") if isinstance(part.text, str) else part.text
                found += [(role, 0, [part.name, _json(text)]), *((role, 3, m.media_type + m.data) for m in part.media)]
    together: list[tuple[str, list[Any]]] = []
    for role, kind, what in found:
        if not together or together[-1][0] != role:
            together.append((role, []))
        together[-1][1].append((kind, what))
    return [(role, _ordered(parts)) for role, parts in together]


def _ordered(parts: list[Any]) -> list[Any]:
    """Results, calls, the texts as one, pictures."""
    texts = "".join("".join(what.split()) for kind, what in parts if kind == 2)  # some wires read parts as one text
    others = [[what for kind, what in parts if kind == each] for each in (0, 1, 3)]
    return [*others, texts]


def _json(text: str) -> Any:
    """What a text says: JSON objects travel as such, and what cannot be read under Anthropic's name for it."""
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    if isinstance(value, dict):
        return " ".join(value["INVALID_JSON"].split()) if "INVALID_JSON" in value else value
    return " ".join(text.split())


def sent(request: Request, wire: str, model: str) -> tuple[Request, dict[str, Any], list[str]]:
    """(the request as fitted, its body, what was left out). Raises: InvalidRequest"""
    kinds: dict[str, Any] = {"anthropic": {"exclusive": ("temperature", "top_p"), "max_temperature": 1.0}}
    vendor = "openai" if wire == "responses" else wire
    known = SHIPPED.of(vendor, model).model(model, vendor, **kinds.get(wire, {}))
    request, left = fitted(request, known)
    request, names = renamed(request, vendor)
    body = WRITE[wire](request)
    return request, body, [*left, *names]


@pytest.mark.parametrize("to", WRITE)
@pytest.mark.parametrize("came_by", WRITE)
def test_what_can_be_said_arrives_and_the_vendor_never_refuses(came_by: str, to: str):
    @settings(max_examples=EXAMPLES, deadline=None, database=None, derandomize=EXAMPLES < 100, suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(requests(), st.sampled_from(MODELS[came_by]), st.sampled_from(MODELS[to]))
    def check(request: Request, first: str, second: str) -> None:
        try:
            _, body, _ = sent(request, came_by, first)
            asked = READ[came_by](json.loads(json.dumps(body)), first)
            told, body, _ = sent(replace(asked, native=None), to, second)
        except InvalidRequest as error:
            assume(error.param != "")
            return
        assert REFUSED[to](body, second) == "", body
        arrived = READ[to](json.loads(json.dumps(body)), second)
        assert arrived.native is not None and not arrived.native.only, arrived.native
        assert atoms(arrived) == atoms(told)
        assert {tool.name for tool in arrived.tools} == {tool.name for tool in told.tools}
        assert (arrived.tool_choice or "auto") == (told.tool_choice or "auto")
        for name in ("temperature", "top_p", "top_k", "seed", "stop", "frequency_penalty"):
            before, after = getattr(told.parameters, name), getattr(arrived.parameters, name)
            assert before == after or "thinking" in body, (name, before, after)
        assert (told.parameters.max_tokens or arrived.parameters.max_tokens) == arrived.parameters.max_tokens
        said = json.dumps(body, ensure_ascii=False)
        assert told.parameters.json_schema is None or "schema" in said.lower()

    check()
