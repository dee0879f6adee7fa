"""From our chunks and records to Gemini's JSON; errors in Google's form."""

from typing import Any

from api.errors import status_of
from api.exchange import dumped
from core import AimmError, ContextTooLong, RateLimited
from core.calls.call import Call
from core.domain import strict_json as json
from core.domain.generation import Chunk, Generation
from core.domain.message import ToolCall

_FINISH = {"stop": "STOP", "length": "MAX_TOKENS", "content_filter": "SAFETY", "tool_calls": "STOP"}
_STATUS = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 409: "ABORTED",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED",
}  # fmt: skip


class GeminiAnswer:
    """One answer on Gemini's wire."""

    has_comments = False  # google-genai takes a comment for a broken answer

    def chunk(self, chunk: Chunk, call: Call) -> bytes:
        """The event of a chunk; calls of tools wait for the end, because this wire has them whole only."""
        if chunk.raw is not None:
            return chunk.raw
        parts: list[dict[str, Any]] = []
        if chunk.thinking:
            parts.append({"text": chunk.thinking, "thought": True})
        if chunk.text:
            parts.append({"text": chunk.text})
        if not parts:
            return b""
        model = call.answered_by.name if call.answered_by else call.request.model
        return _event(_response(parts, None, chunk.response_model or model, call.id))

    def end(self, g: Generation, call: Call, *, was_raw: bool) -> bytes:
        if was_raw:
            return b""
        value = _response([_called(each) for each in g.tool_calls], _finish(g), g.response_model or g.model, g.id)
        return _event(value | {"usageMetadata": usage(g)})

    def done(self) -> bytes:
        return b""

    def whole(self, g: Generation, call: Call, chunks: list[Chunk]) -> bytes:
        parts: list[dict[str, Any]] = [{"text": g.thinking, "thought": True}] if g.thinking else []
        parts += [{"text": g.text}] if g.text else []
        parts += [_called(each) for each in g.tool_calls]
        value = _response(parts, _finish(g), g.response_model or g.model, g.id)
        return dumped(value | {"usageMetadata": usage(g)})

    def error(self, error: AimmError, call: Call | None) -> tuple[int, bytes]:
        """(status, body)."""
        return gemini_error(error, call)

    def error_event(self, error: AimmError, call: Call) -> bytes:
        return b"data: " + gemini_error(error, call)[1] + b"\r\n\r\n"


def gemini_error(error: AimmError, call: Call | None = None) -> tuple[int, bytes]:
    """(status, body) of an error; a vendor of the same wire is quoted."""
    status = status_of(error)
    status = 400 if status == 422 or isinstance(error, ContextTooLong) else status
    text, name = error.text, ""
    if error.upstream is not None:
        status = error.upstream.status if 400 <= error.upstream.status < 600 else status
        if call is not None and call.wire == "gemini":
            text, name = error.upstream.message or text, error.upstream.code
    inner: dict[str, Any] = {"code": status, "message": text, "status": name or _STATUS.get(status, "INTERNAL")}
    if isinstance(error, RateLimited) and error.retry_after_s is not None:
        delay = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{error.retry_after_s:g}s"}
        inner["details"] = [delay]
    return status, dumped({"error": inner})


def usage(g: Generation) -> dict[str, Any]:
    u = g.usage
    value = {
        "promptTokenCount": u.input_tokens,
        "candidatesTokenCount": u.output_tokens - u.thinking_tokens,
        "totalTokenCount": u.total_tokens,
    }
    if u.cached_tokens:
        value["cachedContentTokenCount"] = u.cached_tokens
    if u.thinking_tokens:
        value["thoughtsTokenCount"] = u.thinking_tokens
    return value


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + dumped(value) + b"\r\n\r\n"


def _response(parts: list[dict[str, Any]], finish: str | None, model: str, response_id: str) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "modelVersion": model, "responseId": response_id}


def _finish(g: Generation) -> str:
    return _FINISH.get(g.finish_reason or "", "OTHER" if g.status != "ok" else "STOP")


def _called(call: ToolCall) -> dict[str, Any]:
    try:
        arguments = json.loads(call.arguments or "{}")
    except ValueError:
        arguments = {}
    part: dict[str, Any] = {
        "functionCall": {"name": call.name, "args": arguments, **({"id": call.id} if call.id else {})}
    }
    return part | ({"thoughtSignature": call.signature} if call.signature else {})
