"""Requests on Gemini's wire."""

import re
from collections.abc import Mapping
from typing import Any

from core.domain.generation import Native, Parameters, Request
from core.domain.message import Media, Message, Part, Thought, ToolCall, ToolResult
from core.errors import InvalidRequest
from core.providers.base import as_input, as_object, by_turns, choice_of, in_words
from core.providers.families import SHIPPED, Family

# What Gemini takes in place of the signature of a call that it did not make itself, or whose signature a wire lost.
_NO_SIGNATURE = "skip_thought_signature_validator"
# Parameters that are one word of the wire.
_TOGETHER = ({"json_schema", "json_object"}, {"thinking_budget", "thinking_level"})


def to_body(request: Request, family: Family | None = None) -> dict[str, Any]:
    """The body of generateContent. family: The model's, where it is not the shipped one."""
    family, p = family or SHIPPED.of("gemini", request.model), request.parameters
    if family.schema == "words_with_tools" and request.tools and (p.json_schema is not None or p.json_object):
        request = in_words(request)
    turns = by_turns(request.messages)
    body: dict[str, Any] = {
        "contents": [_to_content(turn, before) for turn, before in zip(turns, (None, *turns), strict=False)]
    }
    if (request.system or "").strip():
        body["systemInstruction"] = {"role": "user", "parts": [{"text": request.system}]}
    several = {"candidateCount": request.n_answers} if request.n_answers > 1 else {}
    if config := _generation_config(request.parameters) | several:
        body["generationConfig"] = config
    body |= _tier_of(request.parameters)
    if request.tools:
        declared = [
            {"name": t.name, "description": t.description}
            | ({"parametersJsonSchema": dict(t.parameters)} if t.parameters else {})
            for t in request.tools
        ]
        body["tools"] = [{"functionDeclarations": declared}]
        kind, name = choice_of(request)
        modes: dict[str, dict[str, Any]] = {
            "auto": {"mode": "AUTO"}, "none": {"mode": "NONE"}, "required": {"mode": "ANY"},
            "tool": {"mode": "ANY", "allowedFunctionNames": [name]},
        }  # fmt: skip
        if kind in modes:
            body["toolConfig"] = {"functionCallingConfig": modes[kind]}
    return body


def as_came(request: Request, native: Native) -> dict[str, Any]:
    """A body as it came, with what was decided otherwise since written over it."""
    body = _without(native.body, {"model"})  # the address names it
    if request.parameters != native.parameters:
        before, now = native.parameters.as_dict(), request.parameters.as_dict()
        names = {name for name in before.keys() | now.keys() if before.get(name) != now.get(name)}
        for group in _TOGETHER:
            names |= group if names & group else set()
        old, new = (Parameters(**{k: v for k, v in each.items() if k in names}) for each in (before, now))
        written = _generation_config(new)
        words = {*_generation_config(old), *written, *(("responseSchema",) if "json_schema" in names else ())}
        body["generationConfig"] = _without(_taken(body, "generationConfig"), words) | written
        if "service_tier" in names:
            body = _without(body, {"serviceTier"}) | _tier_of(new)
    if request.system != native.system:
        body = _without(body, {"systemInstruction"})
        if request.system:
            body["systemInstruction"] = {"role": "user", "parts": [{"text": request.system}]}
    return body


def _snake(word: str) -> str:
    return re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", word)


def _without(values: Mapping[str, Any], words: set[str]) -> dict[str, Any]:
    """Values without some words, in both of their spellings: Gemini reads `maxOutputTokens` and `max_output_tokens`."""
    gone = words | {_snake(word) for word in words}
    return {name: value for name, value in values.items() if name not in gone}


def _taken(body: dict[str, Any], word: str) -> dict[str, Any]:
    """The value of a word in either spelling, taken out of a body."""
    found = [body.pop(name, None) for name in (_snake(word), word)]
    return {k: v for each in found if isinstance(each, dict) for k, v in each.items()}


def _tier_of(p: Parameters) -> dict[str, Any]:
    return {"serviceTier": p.service_tier} if p.service_tier in ("standard", "flex", "priority") else {}


def _generation_config(p: Parameters) -> dict[str, Any]:
    thinking: dict[str, Any] = {}
    if p.thinking_budget is not None or p.thinking_level is not None:
        level = p.thinking_level.upper() if p.thinking_level else None
        thinking = {"thinkingBudget": p.thinking_budget, "thinkingLevel": level, "includeThoughts": True}
    config: dict[str, Any] = {
        "temperature": p.temperature,
        "topP": p.top_p,
        "topK": p.top_k,
        "maxOutputTokens": p.max_tokens,
        "seed": p.seed,
        "stopSequences": list(p.stop) if p.stop else None,
        "frequencyPenalty": p.frequency_penalty,
        "presencePenalty": p.presence_penalty,
        "thinkingConfig": {k: v for k, v in thinking.items() if v is not None} or None,
        "responseMimeType": "application/json" if p.json_schema is not None or p.json_object else None,
        "responseJsonSchema": dict(p.json_schema) if p.json_schema is not None else None,
    }
    return {name: value for name, value in config.items() if value is not None}


def _to_content(message: Message, before: Message | None) -> dict[str, Any]:
    parts = [_to_part(part) for part in _in_order(message, before) if not isinstance(part, Thought)]
    # Older models take no media within a result.
    parts += [_to_data(medium) for part in message.parts if isinstance(part, ToolResult) for medium in part.media]
    return {"role": message.role, "parts": parts or [{"text": ""}]}


def _in_order(message: Message, before: Message | None) -> tuple[Part, ...]:
    """A turn with tools' results in the order of their calls: Gemini tells calls of one tool apart by that alone."""
    results = [part for part in message.parts if isinstance(part, ToolResult)]
    if len(results) < 2 or before is None:
        return message.content
    calls = [part.id for part in before.parts if isinstance(part, ToolCall)]
    places = {call_id: at for at, call_id in reversed(list(enumerate(calls)))}
    ordered = iter(sorted(results, key=lambda result: places.get(result.call_id, len(calls))))
    return tuple(next(ordered) if isinstance(part, ToolResult) else part for part in message.content)


def _to_part(part: str | Media | ToolCall | ToolResult) -> dict[str, Any]:
    if isinstance(part, str):
        return {"text": part}
    if isinstance(part, ToolCall):
        called = {"name": part.name, "args": as_input(part.arguments)}
        return {"functionCall": called, "thoughtSignature": part.signature or _NO_SIGNATURE}
    if isinstance(part, ToolResult):
        result = {"error": part.text} if part.is_error else as_object(part.text) or {"result": part.text}
        return {"functionResponse": {"name": part.name, "response": result}}
    return _to_data(part)


def _to_data(media: Media) -> dict[str, Any]:
    if media.url.startswith("http://"):
        raise InvalidRequest("Gemini fetches nothing by http, but by https.", param="messages")
    if media.url:
        return {"fileData": {"mimeType": media.media_type, "fileUri": media.url}}
    return {"inlineData": {"mimeType": media.media_type, "data": media.data}}
