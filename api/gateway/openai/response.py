"""OpenAI's JSON of our chunks and records, and OpenAI's form of errors."""

import base64
import struct
import time
from typing import Any

from api.errors import wire_statuses
from core import AimmError, Call, Chunk, Generation, ToolCall, errors
from core.domain.message import read_arguments
from core.formats.strict_json import encoded

_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
# OpenAI's own codes, which clients look for.
_CODES: tuple[tuple[type[AimmError], str], ...] = (
    (errors.BudgetExceeded, "budget_exceeded"),
    (errors.Overloaded, "overloaded"),
    (errors.RateLimited, "rate_limit_exceeded"),
    (errors.ContextTooLong, "context_length_exceeded"),
    (errors.AuthenticationError, "invalid_api_key"),
    (errors.ModelNotFound, "model_not_found"),
)


class OpenAIAnswer:
    """One answer on the OpenAI wire. is_counted: whether the last chunk is to hold the usage."""

    has_comments = True
    ping = b""
    object = "chat.completion"

    def __init__(self, *, is_counted: bool, base64_vectors: bool = False) -> None:
        self._is_counted = is_counted
        self._base64 = base64_vectors
        self._head: dict[str, Any] = {}
        self._begun: set[int] = set()
        self._named: set[tuple[int, int]] = set()

    @staticmethod
    def _waits(call: Call) -> bool:
        """True where calls of tools are told at the end, because they are written otherwise than they come."""
        return _is_legacy(call) or any(tool.is_custom for tool in call.request.tools)

    def chunk(self, chunk: Chunk, call: Call) -> bytes:
        """The events of a chunk."""
        if chunk.raw is not None:
            return chunk.raw
        delta: dict[str, Any] = {}
        if chunk.text:
            delta["content"] = chunk.text
        if chunk.thinking:
            delta["reasoning_content"] = chunk.thinking
        if chunk.tools and not self._waits(call):
            delta["tool_calls"] = [self._tool(tool, call, chunk.choice) for tool in chunk.tools]
        if not delta:
            return b""
        if chunk.choice not in self._begun:
            self._begun.add(chunk.choice)
            model = chunk.response_model or (call.answerer.model.name if call.answerer.model else call.request.model)
            self._head = self._head or _head(call.id, model)
            delta = {
                "role": "assistant",
                **({} if "content" in delta else {"content": None if "tool_calls" in delta else ""}),
                **delta,
            }
        return self._event(self._head, delta, None, chunk.choice)

    def _event(self, head: dict[str, Any], delta: dict[str, Any], finish: str | None, at: int = 0) -> bytes:
        choice = {"index": at, "delta": delta, "logprobs": None, "finish_reason": finish}
        return _event({**head, "choices": [choice], **({"usage": None} if self._is_counted else {})})

    def _tool(self, tool: Any, call: Call, at: int) -> dict[str, Any]:
        if (at, tool.index) in self._named:
            late = {"name": tool.name} if tool.name else {}
            return {"index": tool.index, "function": {**late, "arguments": tool.arguments}}
        self._named.add((at, tool.index))
        value: dict[str, Any] = {
            "index": tool.index,
            "id": tool.id or _made_id(call, tool.index),
            "type": "function",
            "function": {"name": tool.name, "arguments": tool.arguments},
        }
        return value | _signed(tool.signature)

    def end(self, g: Generation, call: Call, *, was_raw: bool) -> bytes:
        """The events after the last chunk."""
        if was_raw:
            return b""
        head = self._head or _head(g.id, g.response_model or g.model)
        last = b""
        for at, each in enumerate(call.answers(g)):
            if self._waits(call) and (said := _calls_said(each, call)):
                for number, called in enumerate(said.get("tool_calls", ())):
                    called["index"] = number
                last += self._event(head, {"role": "assistant", **said}, None, at)
            last += self._event(head, {}, _finish(each, call), at)
        if self._is_counted:
            last += _event({**head, "choices": [], "usage": usage(g)})
        return last

    def done(self) -> bytes:
        return b"data: [DONE]\n\n"

    def whole(self, g: Generation, call: Call, chunks: list[Chunk]) -> bytes:
        if g.operation == "embeddings":
            return encoded(self._embeddings(g, chunks))
        return encoded({
            "id": g.id, "object": self.object, "created": int(g.created_at.timestamp()),
            "model": g.response_model or g.model, "usage": usage(g),
            "choices": [self._choice(at, each, call) for at, each in enumerate(call.answers(g))],
        })  # fmt: skip

    def _choice(self, at: int, g: Generation, call: Call) -> dict[str, Any]:
        message: dict[str, Any] = {
            "role": "assistant",
            "content": g.text or (None if g.tool_calls else ""),
            "refusal": None,
        }
        if g.thinking:
            message["reasoning_content"] = g.thinking
        message |= _calls_said(g, call)
        return {"index": at, "message": message, "logprobs": None, "finish_reason": _finish(g, call)}

    def _embeddings(self, g: Generation, chunks: list[Chunk]) -> dict[str, Any]:
        vectors = [vector for chunk in chunks for vector in chunk.vectors]
        data = [
            {"object": "embedding", "index": at, "embedding": _packed(vector) if self._base64 else vector}
            for at, vector in enumerate(vectors)
        ]
        counted = {"prompt_tokens": g.usage.input_tokens, "total_tokens": g.usage.input_tokens}
        return {"object": "list", "data": data, "model": g.response_model or g.model, "usage": counted}

    def error_event(self, raw: bytes) -> bytes:
        return b"data: " + raw + b"\n\n"


class CompletionAnswer(OpenAIAnswer):
    """A completion of a text; where it came otherwise than it was asked for, it is written anew."""

    object = "text_completion"

    def _event(self, head: dict[str, Any], delta: dict[str, Any], finish: str | None, at: int = 0) -> bytes:
        choice = {"index": at, "text": delta.get("content") or "", "logprobs": None, "finish_reason": finish}
        return _event({**head, "object": self.object, "choices": [choice]})

    def _choice(self, at: int, g: Generation, call: Call) -> dict[str, Any]:
        return {"index": at, "text": g.text, "logprobs": None, "finish_reason": _finish(g, call)}


def error_form(error: AimmError, is_quoted: bool) -> tuple[int, bytes]:
    """The status and the body of an error. is_quoted: Whether its vendor speaks this wire."""
    ours, status = wire_statuses(error)
    code: str | None = next((code for kind, code in _CODES if isinstance(error, kind)), error.code)
    kind = _TYPES.get(ours, "invalid_request_error" if ours < 500 else "api_error")
    text, param = error.text, (error.param or None) if isinstance(error, errors.InvalidRequest) else None
    upstream = error.upstream
    if upstream is not None:
        if is_quoted:
            text, param = upstream.message or text, upstream.param or None
            code, kind = upstream.code or None, upstream.type or kind
        elif isinstance(error, errors.AuthenticationError):
            status = 401
    return status, encoded({"error": {"message": text, "type": kind, "param": param, "code": code}})


def usage(g: Generation) -> dict[str, Any]:
    """The usage in OpenAI's words; tokens that it does not count itself, in those of other servers of its wire."""
    u, more = g.usage, g.usage.more
    hour = u.cache_write_1h_tokens
    created = {"ephemeral_5m_input_tokens": u.cache_write_tokens, "ephemeral_1h_input_tokens": hour} if hour else {}
    kept = {"audio_tokens": u.cached_audio_tokens, "image_tokens": more.get("cached_image_tokens", 0)}
    kinds = ("image_tokens", "video_tokens")
    read: dict[str, Any] = {name: more.get(name, 0) for name in kinds}
    read |= {"cache_write_tokens": u.cache_write_tokens + hour, "cache_creation": created}
    read["cached_tokens_details"] = _some(kept)
    made = {name: more.get(f"output_{name}", 0) for name in kinds}
    return {
        "prompt_tokens": u.input_tokens,
        "completion_tokens": u.output_tokens,
        "total_tokens": u.total_tokens,
        "prompt_tokens_details": {"cached_tokens": u.cached_tokens, "audio_tokens": u.audio_tokens, **_some(read)},
        "completion_tokens_details": {
            "reasoning_tokens": u.thinking_tokens,
            "audio_tokens": u.output_audio_tokens,
            **_some(made),
        },
        **_some({"num_search_queries": u.n_searches, "citation_tokens": more.get("citation_tokens", 0)}),
    }


def _some(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}


def _head(call_id: str, model: str) -> dict[str, Any]:
    return {"id": call_id, "object": "chat.completion.chunk", "created": int(time.time()), "model": model}


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + encoded(value) + b"\n\n"


def _is_legacy(call: Call) -> bool:
    """True of a caller who speaks of functions, as was done before there were tools."""
    native = call.request.native_for("openai")
    return native is not None and bool(native.body.get("functions")) and not native.body.get("tools")


def _finish(g: Generation, call: Call) -> str:
    """In OpenAI's words: an answer that is not as it should be must not end in `stop`."""
    if g.finish_reason == "tool_calls":
        said = _calls_said(g, call)
        # Where none can be told, clients would look for it in vain.
        return "function_call" if "function_call" in said else "tool_calls" if said else "length"
    return {"stop": "stop", "unknown": "stop", "content_filter": "content_filter"}.get(g.finish_reason or "", "length")


def _calls_said(g: Generation, call: Call) -> dict[str, Any]:
    """The calls of tools as a message holds them; arguments are a text here, whatever the model wrote."""
    if g.tool_calls and _is_legacy(call):
        return {"function_call": {"name": g.tool_calls[0].name, "arguments": g.tool_calls[0].arguments}}
    custom = {tool.name for tool in call.request.tools if tool.is_custom}
    calls = [_called(each, at, call, is_custom=each.name in custom) for at, each in enumerate(g.tool_calls)]
    said = [each for each in calls if each is not None]
    return {"tool_calls": said} if said else {}


def _called(call: ToolCall, at: int, whole: Call, *, is_custom: bool) -> dict[str, Any] | None:
    """None = a free-form tool whose input cannot be read."""
    head = {"id": call.id or _made_id(whole, at)}
    if not is_custom:
        function = {"name": call.name, "arguments": call.arguments}
        return {**head, "type": "function", "function": function, **_signed(call.signature)}
    text = (read_arguments(call.arguments) or {}).get("input")
    if not isinstance(text, str):
        return None
    return {**head, "type": "custom", "custom": {"name": call.name, "input": text}, **_signed(call.signature)}


def _made_id(call: Call, at: int) -> str:
    """Gemini names its calls only by their tool."""
    return f"call_{call.id[2:]}_{at}"


def _signed(signature: str) -> dict[str, Any]:
    """A signature in the place where Google's own OpenAI-compatible addresses put it and look for it."""
    return {"extra_content": {"google": {"thought_signature": signature}}} if signature else {}


def _packed(vector: Any) -> str:
    if isinstance(vector, str):
        return vector
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
