"""Anthropic's JSON of our chunks and records, and its form of errors."""

import re
from typing import Any

from api.errors import wire_statuses
from core import AimmError, Call, Chunk, Generation, ToolCall, errors
from core.domain.generation import ToolDelta
from core.domain.message import letters_only, read_arguments, to_foreign
from core.formats.strict_json import encoded

_TYPES = {
    401: "authentication_error", 402: "billing_error", 403: "permission_error", 404: "not_found_error",
    413: "request_too_large", 429: "rate_limit_error", 504: "timeout_error", 529: "overloaded_error",
}  # fmt: skip
_STOP = {"stop": "end_turn", "unknown": "end_turn", "content_filter": "refusal", "tool_calls": "tool_use"}
_OUT_OF_ORDER = "The arguments of a tool's call came in pieces that belong nowhere."


class AnthropicAnswer:
    """One answer on Anthropic's wire: blocks one after the other, of which never two are open."""

    has_comments = True
    ping = b'event: ping\ndata: {"type":"ping"}\n\n'

    def __init__(self) -> None:
        self._n_blocks = 0
        self._kind = ""  # of the open block; empty = none is open
        self._has_begun = False
        self._tool: int | None = None  # the call whose block is open
        self._arguments: dict[int, str] = {}  # of the calls whose blocks have begun
        self._late: dict[int, list[ToolDelta]] = {}  # of calls that came while another one's block was open

    def chunk(self, chunk: Chunk, call: Call) -> bytes:
        """The events of a chunk."""
        if chunk.raw is not None:
            return chunk.raw
        written = b""
        if chunk.thinking:
            written += self._in_block("thinking", {"thinking": "", "signature": ""})
            written += self._delta({"type": "thinking_delta", "thinking": chunk.thinking})
        if chunk.text:
            written += self._in_block("text", {"text": ""})
            written += self._delta({"type": "text_delta", "text": chunk.text})
        for tool in chunk.tools:
            written += self._piece(tool, call)
        if written and not self._has_begun:
            self._has_begun = True
            model = chunk.response_model or (call.answerer.model.name if call.answerer.model else call.request.model)
            written = _started(call.id, model) + written
        return written

    def _piece(self, tool: ToolDelta, call: Call) -> bytes:
        """A piece of a call, unless it must wait until another one is whole."""
        if tool.index == self._tool:
            return self._added(tool)
        if tool.index in self._arguments and not tool.arguments.strip():
            return b""  # nothing more of a call that is whole
        is_free = self._tool is None or read_arguments(self._arguments[self._tool] or "-") is not None
        if tool.index in self._arguments or tool.index in self._late or not is_free:
            self._late.setdefault(tool.index, []).append(tool)
            return b""
        return self._called(tool, call)

    def _called(self, tool: ToolDelta, call: Call) -> bytes:
        """The beginning of a call, after its signature if it has one."""
        written = b""
        if tool.signature:
            written += self._in_block("", {})
            written += self._begin({"type": "redacted_thinking", "data": to_foreign(tool.signature)}) + self._end()
        block = {"type": "tool_use", "id": _id(tool.id, call, tool.index), "name": tool.name, "input": {}}
        written += self._end() + self._begin(block)
        self._tool, self._arguments[tool.index] = tool.index, ""
        return written + self._added(tool)

    def _added(self, tool: ToolDelta) -> bytes:
        if not tool.arguments:
            return b""
        self._arguments[tool.index] += tool.arguments
        return self._delta({"type": "input_json_delta", "partial_json": tool.arguments})

    def _in_block(self, kind: str, block: dict[str, Any]) -> bytes:
        """The end of the open block and the beginning of one of a kind, unless it is of that kind already."""
        if self._kind == kind:
            return b""
        ended = self._end()
        return ended + self._begin({"type": kind, **block}) if kind else ended

    def _begin(self, block: dict[str, Any]) -> bytes:
        self._kind = block["type"]
        return _event("content_block_start", {"index": self._n_blocks, "content_block": block})

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return _event("content_block_delta", {"index": self._n_blocks, "delta": delta})

    def _end(self) -> bytes:
        if not self._kind:
            return b""
        # Clients give thoughts back with their signature, which must not be empty.
        signed = (
            self._delta({"type": "signature_delta", "signature": to_foreign("")}) if self._kind == "thinking" else b""
        )
        ended = signed + _event("content_block_stop", {"index": self._n_blocks})
        self._n_blocks, self._kind, self._tool = self._n_blocks + 1, "", None
        return ended

    def end(self, g: Generation, call: Call, *, was_raw: bool) -> bytes:
        """The events after the last chunk, but for the very last."""
        if was_raw:
            return b""
        written = b"" if self._has_begun else _started(g.id, g.response_model or g.model)
        if any(index in self._arguments for index in self._late):
            return written + self.error_event(error_form(errors.ProviderError(_OUT_OF_ORDER), False)[1])
        for index in sorted(self._late):
            first, *others = self._late[index]
            written += self._called(first, call) + b"".join(self._added(tool) for tool in others)
        written += self._end()
        delta = {"stop_reason": _stop_reason(g), "stop_sequence": None}
        return written + _event("message_delta", {"delta": delta, "usage": usage(g)})

    def done(self) -> bytes:
        return _event("message_stop", {})

    def whole(self, g: Generation, call: Call, chunks: list[Chunk]) -> bytes:
        content: list[dict[str, Any]] = []
        if g.thinking:
            content.append({"type": "thinking", "thinking": g.thinking, "signature": to_foreign("")})
        if g.text:
            content.append({"type": "text", "text": g.text})
        for at, called in enumerate(g.tool_calls):
            content += _blocks(called, call, at)
        return encoded({
            "id": _message_id(g.id), "type": "message", "role": "assistant", "model": g.response_model or g.model,
            "content": content, "stop_reason": _stop_reason(g), "stop_sequence": None, "usage": usage(g),
        })  # fmt: skip

    def error_event(self, raw: bytes) -> bytes:
        return b"event: error\ndata: " + raw + b"\n\n"


def error_form(error: AimmError, is_quoted: bool) -> tuple[int, bytes]:
    """The status and the body of an error. is_quoted: Whether its vendor speaks this wire."""
    ours, status = wire_statuses(error)
    text, kind = error.text, ""
    upstream = error.upstream
    if is_quoted and upstream is not None:
        text, kind = upstream.message or text, upstream.type
    elif isinstance(error, errors.ContextTooLong):
        status, text = 400, _too_long(text)
    elif isinstance(error, errors.TooLarge):
        status = 413
    elif isinstance(error, errors.ProviderUnavailable):
        status = 529
    elif isinstance(error, errors.AuthenticationError) and upstream is not None:
        status = 401
    elif ours >= 500 and not isinstance(error, errors.ProviderTimeout):
        status = 500
    kind = kind or _TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
    request_id = {"request_id": error.generation_id} if error.generation_id else {}
    return status, encoded({"type": "error", "error": {"type": kind, "message": text}, **request_id})


def _too_long(text: str) -> str:
    """The words by which programs know that they must shorten a conversation, with the numbers if there are two."""
    numbers = sorted(int(found.replace(",", "")) for found in re.findall(r"\d[\d,]{3,}", text))
    if len(numbers) < 2:
        return f"prompt is too long: {text}"
    return f"prompt is too long: {numbers[-1]} tokens > {numbers[-2]} maximum"


def usage(g: Generation) -> dict[str, Any]:
    """The usage in Anthropic's words: the input is what was neither read from a cache nor written to one."""
    u = g.usage
    written = u.cache_write_tokens + u.cache_write_1h_tokens
    searches = {"server_tool_use": {"web_search_requests": u.n_searches}} if u.n_searches else {}
    return {
        "input_tokens": u.input_tokens - u.cached_tokens - written,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": u.cached_tokens,
        "cache_creation": {
            "ephemeral_5m_input_tokens": u.cache_write_tokens,
            "ephemeral_1h_input_tokens": u.cache_write_1h_tokens,
        },
        "output_tokens": u.output_tokens,
        "output_tokens_details": {"thinking_tokens": u.thinking_tokens},
        **searches,
    }


def _started(call_id: str, model: str) -> bytes:
    """The beginning of a stream; what was read is known only at its end."""
    message: dict[str, Any] = {
        "id": _message_id(call_id), "type": "message", "role": "assistant", "model": model, "content": [],
        "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 0, "output_tokens": 0},
    }  # fmt: skip
    return _event("message_start", {"message": message})


def _event(kind: str, value: dict[str, Any]) -> bytes:
    return f"event: {kind}\ndata: ".encode() + encoded({"type": kind, **value}) + b"\n\n"


def _message_id(call_id: str) -> str:
    return f"msg_{call_id.partition('_')[2] or call_id}"


def _stop_reason(g: Generation) -> str:
    if g.finish_reason in ("tool_calls", "stop"):  # where a call is asked for by name, OpenAI ends in `stop`
        return "tool_use" if g.tool_calls else "end_turn"
    return _STOP.get(g.finish_reason or "", "max_tokens")


def _blocks(called: ToolCall, call: Call, at: int) -> list[dict[str, Any]]:
    """A call, after its signature if it has one. Arguments that are no object go by the name that Anthropic has for it:
    a tool must not run with its defaults."""
    arguments = read_arguments(called.arguments)
    given = {"INVALID_JSON": called.arguments} if arguments is None else arguments
    block = {"type": "tool_use", "id": _id(called.id, call, at), "name": called.name, "input": given}
    signed = {"type": "redacted_thinking", "data": to_foreign(called.signature)}
    return [signed, block] if called.signature else [block]


def _id(given: str, call: Call, at: int) -> str:
    """An id in the letters that clients expect; Gemini names its calls only by their tool."""
    return letters_only(given) or f"toolu_{call.id.partition('_')[2]}_{at}"
