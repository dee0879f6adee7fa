"""Requests on the OpenAI wire."""

import base64
import zlib
from dataclasses import replace
from itertools import dropwhile
from typing import Any

from core.domain.generation import Native, Parameters, Request
from core.domain.message import Media, Message, Part, Tool, ToolCall, ToolResult
from core.errors import InvalidRequest
from core.providers.base import check_results, choice_of, in_words, joined, pictures_moved
from core.providers.schemas import is_closed, of_object, wrapped

# OpenAI calls its tiers otherwise; "default" is what is standard elsewhere.
TIERS = {"standard": "default", "flex": "flex", "priority": "priority", "fast": "fast"}
# Our parameters by the names that a body may have for them.
_WORDS = {
    **{n: (n,) for n in "temperature top_p top_k seed service_tier stop frequency_penalty presence_penalty".split()},
    "dimensions": ("dimensions",),
    "max_tokens": ("max_tokens", "max_completion_tokens"), "thinking_level": ("reasoning_effort",),
    "thinking_budget": (), "json_schema": ("response_format",), "json_object": ("response_format",),
}  # fmt: skip


def to_body(request: Request, *, is_own: bool = False) -> dict[str, Any]:
    """The body of a chat completion. is_own: For OpenAI itself, whose newer names others do not know."""
    request = with_word(request)
    turns = pictures_moved(request.messages)
    check_results(joined(turns))
    messages: list[dict[str, Any]] = [{"role": "system", "content": request.system}] if request.system else []
    for message in turns:
        messages += _to_messages(message, is_own)
    body: dict[str, Any] = {"model": request.model, "messages": messages, **_parameters(request.parameters, is_own)}
    if request.n_answers > 1:
        body["n"] = request.n_answers
    if request.is_streamed:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    if request.tools:
        body["tools"] = [{"type": "function", "function": to_function(tool)} for tool in request.tools]
        kind, name = choice_of(request)
        choice = {"type": "function", "function": {"name": name}} if kind == "tool" else kind
        body |= {"tool_choice": choice} if choice else {}
        body |= {"parallel_tool_calls": False} if request.is_one_call else {}
    return body


def with_word(request: Request) -> Request:
    """The request with the word JSON in it, without which the API gives none."""
    p = request.parameters
    if not p.json_object or "json" in " ".join((request.system or "", *request.texts)).lower():
        return request
    return replace(in_words(request), parameters=p)


def to_function(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name, "description": tool.description}
    if tool.parameters:  # none at all says that there are no arguments; an object without properties is refused
        function["parameters"] = of_object(tool.parameters)
        function["parameters"].setdefault("properties", {})
    return function | ({"strict": True} if tool.is_strict else {})


def as_came(request: Request, native: Native, *, is_own: bool) -> dict[str, Any]:
    """The body as it came, with the model that really answers and what was decided otherwise since."""
    body = dict(native.body)
    body["model"] = request.model
    if body.get("stream"):
        options = body.get("stream_options")
        body["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
    if request.parameters != native.parameters:
        before, now = native.parameters.as_dict(), request.parameters.as_dict()
        for name in before.keys() - now.keys():
            for word in _WORDS[name]:
                body.pop(word, None)
        changed = {name: value for name, value in now.items() if before.get(name) != value}
        for word in [word for name in changed for word in _WORDS[name]]:
            body.pop(word, None)
        body |= _parameters(Parameters(**changed), is_own)
    if request.system != native.system:
        rest = list(dropwhile(lambda m: m.get("role") in ("system", "developer"), body["messages"]))
        body["messages"] = [{"role": "system", "content": request.system}, *rest] if request.system else rest
    return body


def _parameters(p: Parameters, is_own: bool) -> dict[str, Any]:
    """Parameters by OpenAI's names; only what is set."""
    body: dict[str, Any] = {
        "temperature": p.temperature,
        "top_p": p.top_p,
        "top_k": p.top_k,
        "seed": p.seed,
        "max_completion_tokens" if is_own else "max_tokens": p.max_tokens,
        "reasoning_effort": p.thinking_level,
        "service_tier": TIERS.get(p.service_tier or ""),
        "stop": list(p.stop) if p.stop else None,
        "frequency_penalty": p.frequency_penalty,
        "presence_penalty": p.presence_penalty,
    }
    if p.json_schema is not None:
        schema: dict[str, Any] = {"name": "answer", "schema": wrapped(p.json_schema)}
        schema |= {"strict": True} if is_closed(schema["schema"]) else {}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif p.json_object:
        body["response_format"] = {"type": "json_object"}
    return {name: value for name, value in body.items() if value is not None}


def call_id(given: str) -> str:
    """The id of a call, of at most 40 characters."""
    return given if len(given) <= 40 else f"{given[:31]}_{zlib.crc32(given.encode('utf-8', 'replace')):08x}"


def _to_messages(message: Message, is_own: bool) -> list[dict[str, Any]]:
    """A turn as OpenAI's messages: results of tools are messages of their own, before what the user says with them."""
    results = [part for part in message.parts if isinstance(part, ToolResult)]
    found: list[dict[str, Any]] = [
        {"role": "tool", "tool_call_id": call_id(r.call_id), "content": f"Error: {r.text}" if r.is_error else r.text}
        for r in results
    ]
    calls = [part for part in message.parts if isinstance(part, ToolCall)]
    if message.role == "model":
        said: dict[str, Any] = {"role": "assistant", "content": message.text or (None if calls else "")}
        if calls:
            said["tool_calls"] = [
                {"id": call_id(c.id), "type": "function", "function": {"name": c.name, "arguments": c.arguments}}
                for c in calls
            ]
        return [*found, said]
    rest = [part for part in message.content if isinstance(part, str | Media)]
    # Messages of tools hold texts alone.
    rest = [*(medium for r in results for medium in r.media), *rest]
    if message.is_system:
        found.append({"role": "system", "content": message.text})
    elif any(isinstance(part, Media) for part in rest):
        found.append({"role": "user", "content": [_to_part(part, is_own) for part in rest]})
    elif rest or not results:
        found.append({"role": "user", "content": message.text})
    return found


_SOUNDS = {"audio/mpeg": "mp3", "audio/mp3": "mp3", "audio/wav": "wav", "audio/x-wav": "wav", "audio/wave": "wav"}


def _to_part(part: Part, is_own: bool) -> dict[str, Any]:
    """A part of the user's turn. Other servers take films and sounds by their address, and sounds of more kinds."""
    if not isinstance(part, Media):
        return {"type": "text", "text": part}
    kind, _, name = part.media_type.partition("/")
    url = part.url or f"data:{part.media_type};base64,{part.data}"
    if kind == "text" and part.data:
        return {"type": "text", "text": base64.b64decode(part.data).decode("utf-8", "replace")}
    if kind == "audio" and part.data and (name := _SOUNDS.get(part.media_type, "" if is_own else name)):
        return {"type": "input_audio", "input_audio": {"data": part.data, "format": name}}
    if kind in ("audio", "video") and not is_own:
        return {"type": f"{kind}_url", f"{kind}_url": {"url": url}}
    if part.media_type == "application/pdf" and part.data:
        return {"type": "file", "file": {"filename": "document.pdf", "file_data": url}}
    if kind != "image":
        what = f"{part.media_type} at an address" if part.url else part.media_type
        raise InvalidRequest(f"OpenAI's chat reads texts, pictures, WAV, MP3 and PDF, and no {what}.", param="messages")
    return {"type": "image_url", "image_url": {"url": url, **({"detail": part.detail} if part.detail else {})}}
