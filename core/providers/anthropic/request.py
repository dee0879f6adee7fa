"""Requests of Anthropic's messages API."""

import re
from collections.abc import Mapping
from typing import Any

from core.domain.generation import Parameters, Request
from core.domain.message import Media, Message, Part, ToolCall, ToolResult
from core.providers.base import as_input, check_results, choice_of

LEAST_THINKING = 1024  # the API takes no less
LONGEST = 4096  # the API wants a length; where the caller names none
_ORDER = frozenset({"property_ordering", "propertyOrdering"})
_NAMED = frozenset({"properties", "$defs", "definitions", "patternProperties"})
_AS_IT_IS = frozenset({"enum", "const", "default", "examples", "required"})


def to_body(request: Request) -> dict[str, Any]:
    check_results(request.messages)
    p = request.parameters
    body: dict[str, Any] = {
        "model": request.model,
        "max_tokens": p.max_tokens or LONGEST,
        "messages": [turn for message in request.messages if (turn := _to_message(message))["content"]],
        "stream": True if request.is_streamed else None,
        "system": request.system or None,
        "temperature": None if p.temperature is None else min(1.0, p.temperature),
        "top_p": p.top_p,
        "stop_sequences": list(p.stop) if p.stop else None,
    }
    if p.json_schema is not None:
        body["output_config"] = {"format": {"type": "json_schema", "schema": _strict(p.json_schema)}}
    if request.tools:
        body["tools"] = [
            {"name": t.name, "description": t.description, "input_schema": {"type": "object", **t.parameters}}
            for t in request.tools
        ]
        body["tool_choice"] = _tool_choice(request)
    # With thinking on, a turn that called tools must give its thoughts back, and other wires do not carry them.
    budget = _thinking_budget(p)
    if budget and not any(isinstance(part, ToolResult) for part in request.messages[-1].parts):
        body["thinking"] = {"type": "enabled", "budget_tokens": budget}
        body["max_tokens"] = p.max_tokens or LONGEST + budget
        body["temperature"] = body["top_p"] = None  # the API takes only their default then
    return {name: value for name, value in body.items() if value is not None}


def _thinking_budget(p: Parameters) -> int:
    """The tokens that may be thought; 0 = none. Thinking counts into the length, which the API wants to be larger, and
    which must not grow above what the caller allows."""
    if not p.thinking_budget:
        return 0
    budget = max(LEAST_THINKING, p.thinking_budget)
    if p.max_tokens is not None:
        budget = min(budget, p.max_tokens - 1)
    return budget if budget >= LEAST_THINKING else 0


def _strict(schema: Any) -> Any:
    """A JSON Schema as Anthropic takes it: objects are closed, and Gemini's order of properties is left out."""
    if isinstance(schema, list | tuple):
        return [_strict(each) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    found: dict[str, Any] = {}
    for name, value in schema.items():
        if name in _NAMED and isinstance(value, Mapping):  # names of the team's own, not words of the schema
            found[name] = {each: _strict(inner) for each, inner in value.items()}
        elif name in _AS_IT_IS:
            found[name] = value
        elif name not in _ORDER:
            found[name] = _strict(value)
    if found.get("type") == "object" or "properties" in found:
        found["additionalProperties"] = False
    return found


def _tool_choice(request: Request) -> dict[str, Any] | None:
    kind, name = choice_of(request)
    if kind == "none" or not (kind or request.is_one_call):
        return {"type": kind} if kind else None
    choice = {"type": "any" if kind == "required" else kind or "auto", **({"name": name} if name else {})}
    return choice | ({"disable_parallel_tool_use": True} if request.is_one_call else {})


def _to_message(message: Message) -> dict[str, Any]:
    role = {"user": "user", "model": "assistant"}[message.role]
    # The API takes no blank texts, and wants results of tools first, right after their call.
    said = [part for part in message.content if not isinstance(part, str) or part.strip()]
    parts = sorted(said, key=lambda part: not isinstance(part, ToolResult))
    return {"role": role, "content": [_to_block(part) for part in parts] if message.parts else "".join(map(str, said))}


def _to_block(part: Part) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if isinstance(part, ToolCall):
        return {"type": "tool_use", "id": _id(part.id), "name": part.name, "input": as_input(part.arguments)}
    if isinstance(part, ToolResult):
        result = {"type": "tool_result", "tool_use_id": _id(part.call_id), "content": part.text}
        return result | ({"is_error": True} if part.is_error else {})
    kind = "document" if part.media_type == "application/pdf" else "image"
    return {"type": kind, "source": _source(part)}


def _id(given: str) -> str:
    """An id in the letters that the API takes; other vendors' have dots and colons."""
    return re.sub(r"[^\w-]", "_", given, flags=re.ASCII)


def _source(media: Media) -> dict[str, Any]:
    if media.url:
        return {"type": "url", "url": media.url}
    return {"type": "base64", "media_type": media.media_type, "data": media.data}
