"""From our chunks and records to OpenAI's JSON; errors in OpenAI's form."""

import base64
import struct
import time
from typing import Any

from api.errors import status_of
from api.exchange import dumped
from core import AimmError, AuthenticationError, BudgetExceeded, ContextTooLong, ModelNotFound, Overloaded, RateLimited
from core.calls.call import Call
from core.domain.generation import Chunk, Generation
from core.domain.message import ToolCall

_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
# OpenAI's own codes, which clients look for.
_CODES: tuple[tuple[type[AimmError], str], ...] = (
    (BudgetExceeded, "budget_exceeded"),
    (Overloaded, "overloaded"),
    (RateLimited, "rate_limit_exceeded"),
    (ContextTooLong, "context_length_exceeded"),
    (AuthenticationError, "invalid_api_key"),
    (ModelNotFound, "model_not_found"),
)


class OpenAIAnswer:
    """One answer on the OpenAI wire. is_counted: whether the last chunk is to hold the usage."""

    has_comments = True

    def __init__(self, *, is_counted: bool, base64_vectors: bool = False) -> None:
        self._is_counted = is_counted
        self._base64 = base64_vectors
        self._head: dict[str, Any] = {}
        self._n_said = 0
        self._named: set[int] = set()

    def chunk(self, chunk: Chunk, call: Call) -> bytes:
        """The events of a chunk."""
        if chunk.raw is not None:
            return chunk.raw
        delta: dict[str, Any] = {}
        if chunk.text:
            delta["content"] = chunk.text
        if chunk.thinking:
            delta["reasoning_content"] = chunk.thinking
        if chunk.tools:
            delta["tool_calls"] = [self._tool(tool, call) for tool in chunk.tools]
        if not delta:
            return b""
        if not self._head:
            model = chunk.response_model or (call.answered_by.name if call.answered_by else call.request.model)
            self._head = {"id": call.id, "object": "chat.completion.chunk", "created": int(time.time()), "model": model}
            delta = {
                "role": "assistant",
                **({} if "content" in delta else {"content": None if chunk.tools else ""}),
                **delta,
            }
        return self._event(self._head, delta, None)

    def _event(self, head: dict[str, Any], delta: dict[str, Any], finish: str | None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return _event({**head, "choices": [choice], **({"usage": None} if self._is_counted else {})})

    def _tool(self, tool: Any, call: Call) -> dict[str, Any]:
        if tool.index in self._named:
            return {"index": tool.index, "function": {"arguments": tool.arguments}}
        self._named.add(tool.index)
        value: dict[str, Any] = {
            "index": tool.index,
            "id": tool.id or _made_id(call, tool.index),
            "type": "function",
            "function": {"name": tool.name, "arguments": tool.arguments},
        }
        return value | _signed(tool.signature)

    def end(self, g: Generation, call: Call, *, was_raw: bool) -> bytes:
        """What follows the last chunk."""
        if was_raw:
            return b""
        model = g.response_model or g.model
        head = self._head or {
            "id": g.id,
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": model,
        }
        last = self._event(head, {}, _finish(g))
        if self._is_counted:
            last += _event({**head, "choices": [], "usage": usage(g)})
        return last

    def done(self) -> bytes:
        return b"data: [DONE]\n\n"

    def whole(self, g: Generation, call: Call, chunks: list[Chunk]) -> bytes:
        if g.operation == "embeddings":
            return dumped(self._embeddings(g, chunks))
        message: dict[str, Any] = {
            "role": "assistant",
            "content": g.text or (None if g.tool_calls else ""),
            "refusal": None,
        }
        if g.thinking:
            message["reasoning_content"] = g.thinking
        if g.tool_calls:
            message["tool_calls"] = [_called(each, at, call) for at, each in enumerate(g.tool_calls)]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(g)}
        return dumped({
            "id": g.id, "object": "chat.completion", "created": int(g.created_at.timestamp()),
            "model": g.response_model or g.model, "choices": [choice], "usage": usage(g),
        })  # fmt: skip

    def _embeddings(self, g: Generation, chunks: list[Chunk]) -> dict[str, Any]:
        vectors = [vector for chunk in chunks for vector in chunk.vectors]
        data = [
            {"object": "embedding", "index": at, "embedding": _packed(vector) if self._base64 else vector}
            for at, vector in enumerate(vectors)
        ]
        counted = {"prompt_tokens": g.usage.input_tokens, "total_tokens": g.usage.input_tokens}
        return {"object": "list", "data": data, "model": g.response_model or g.model, "usage": counted}

    def error(self, error: AimmError, call: Call | None) -> tuple[int, bytes]:
        """(status, body)."""
        return openai_error(error, call)

    def error_event(self, error: AimmError, call: Call) -> bytes:
        return b"data: " + openai_error(error, call)[1] + b"\n\n"


def openai_error(error: AimmError, call: Call | None = None) -> tuple[int, bytes]:
    """(status, body) of an error; a vendor of the same wire is quoted."""
    status = status_of(error)
    status = 400 if status == 422 or isinstance(error, ContextTooLong) else status
    code: str | None = next((code for kind, code in _CODES if isinstance(error, kind)), error.code)
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
    text, param = error.text, None
    upstream = error.upstream
    if upstream is not None:
        status = upstream.status if 400 <= upstream.status < 600 else status
        if call is not None and call.wire == "openai":
            text, param = upstream.message or text, upstream.param or None
            code, kind = upstream.code or None, upstream.type or kind
        elif isinstance(error, AuthenticationError):
            status = 401
    return status, dumped({"error": {"message": text, "type": kind, "param": param, "code": code}})


def usage(g: Generation) -> dict[str, Any]:
    u = g.usage
    return {
        "prompt_tokens": u.input_tokens,
        "completion_tokens": u.output_tokens,
        "total_tokens": u.total_tokens,
        "prompt_tokens_details": {"cached_tokens": u.cached_tokens, "audio_tokens": u.audio_tokens},
        "completion_tokens_details": {"reasoning_tokens": u.thinking_tokens, "audio_tokens": u.output_audio_tokens},
    }


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + dumped(value) + b"\n\n"


def _finish(g: Generation) -> str:
    known = ("stop", "length", "content_filter", "tool_calls")
    if g.finish_reason == "tool_calls" and not g.tool_calls:
        return "stop"  # the vendor could not make one; clients would look for calls
    return g.finish_reason if g.finish_reason in known else "stop" if g.status == "ok" else "length"


def _called(call: ToolCall, at: int, whole: Call) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id or _made_id(whole, at), "type": "function", "function": function} | _signed(call.signature)


def _made_id(call: Call, at: int) -> str:
    """Gemini names its calls only by their tool."""
    return f"call_{call.id[2:]}_{at}"


def _signed(signature: str) -> dict[str, Any]:
    """Where Google's own OpenAI-compatible addresses put it, and look for it when it comes back."""
    return {"extra_content": {"google": {"thought_signature": signature}}} if signature else {}


def _packed(vector: Any) -> str:
    if isinstance(vector, str):
        return vector
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
