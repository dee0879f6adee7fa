"""Gemini's JSON of our chunks and records, and Google's form of errors."""

from typing import Any

from api.errors import wire_statuses
from core import AimmError, Call, Chunk, Generation, RateLimited, ToolCall
from core.domain.message import read_calls
from core.formats.strict_json import encoded

_FINISH = {
    "stop": "STOP", "unknown": "STOP", "tool_calls": "STOP", "length": "MAX_TOKENS", "content_filter": "SAFETY"
}  # fmt: skip
_STATUS = {
    401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 409: "ABORTED",
    429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED",
}  # fmt: skip


class GeminiAnswer:
    """One answer on Gemini's wire."""

    has_comments = False  # google-genai takes a comment for a broken answer
    ping = b""

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
        model = call.answerer.model.name if call.answerer.model else call.request.model
        return _event(_response(parts, None, chunk.response_model or model, call.id, chunk.choice))

    def end(self, g: Generation, call: Call, *, was_raw: bool) -> bytes:
        if was_raw:
            return b""
        return _event(_ended([(each, []) for each in call.answers(g)]))

    def done(self) -> bytes:
        return b""

    def whole(self, g: Generation, call: Call, chunks: list[Chunk]) -> bytes:
        if g.operation == "embeddings":
            made = [{"values": vector} for chunk in chunks for vector in chunk.vectors]
            is_batch = call.request.native is not None and "requests" in call.request.native.body
            told = {"embeddings": made} if is_batch else {"embedding": made[0]}
            return encoded({**told, "usageMetadata": {"promptTokenCount": g.usage.input_tokens}})
        return encoded(_ended([(each, _said(each)) for each in call.answers(g)]))

    def error_event(self, raw: bytes) -> bytes:
        return b"data: " + raw + b"\r\n\r\n"


def error_form(error: AimmError, is_quoted: bool) -> tuple[int, bytes]:
    """The status and the body of an error. is_quoted: Whether its vendor speaks this wire."""
    (_, status), text, name = wire_statuses(error), error.text, ""
    if error.upstream is not None and is_quoted:
        text, name = error.upstream.message or text, error.upstream.code
    inner: dict[str, Any] = {
        "code": status,
        "message": text,
        "status": name or _STATUS.get(status, "INVALID_ARGUMENT" if status < 500 else "INTERNAL"),
    }
    if isinstance(error, RateLimited) and error.retry_after_s is not None:
        delay = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{error.retry_after_s:g}s"}
        inner["details"] = [delay]
    return status, encoded({"error": inner})


def usage(g: Generation) -> dict[str, Any]:
    u = g.usage
    value: dict[str, Any] = {
        "promptTokenCount": u.input_tokens,
        "candidatesTokenCount": u.output_tokens - u.thinking_tokens,
        "totalTokenCount": u.total_tokens,
    }
    if u.cached_tokens:
        value["cachedContentTokenCount"] = u.cached_tokens
    if u.thinking_tokens:
        value["thoughtsTokenCount"] = u.thinking_tokens
    for name, side, count, audio in (
        ("promptTokensDetails", "", u.input_tokens, u.audio_tokens),
        ("cacheTokensDetails", "cached_", u.cached_tokens, u.cached_audio_tokens),
        ("candidatesTokensDetails", "output_", u.output_tokens - u.thinking_tokens, u.output_audio_tokens),
    ):
        kinds = {"AUDIO": audio, **{kind: u.more.get(f"{side}{kind.lower()}_tokens", 0) for kind in ("IMAGE", "VIDEO")}}
        if left := sum(kinds.values()):
            kinds["TEXT"] = max(0, count - left)
            value[name] = [{"modality": kind, "tokenCount": n} for kind, n in kinds.items() if n]
    return value


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + encoded(value) + b"\r\n\r\n"


def _said(g: Generation) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = [{"text": g.thinking, "thought": True}] if g.thinking else []
    return parts + ([{"text": g.text}] if g.text else [])


def _response(parts: list[dict[str, Any]], finish: str | None, model: str, response_id: str, at: int) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": at}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "modelVersion": model, "responseId": response_id}


def _ended(answers: list[tuple[Generation, list[dict[str, Any]]]]) -> dict[str, Any]:
    """The last event, or the whole answer, of each answer and what parts it has besides calls of tools."""
    made = [_candidate(g, parts, at) for at, (g, parts) in enumerate(answers)]
    candidates = [each for value in made for each in value["candidates"]]
    return {**made[0], "candidates": candidates, "usageMetadata": usage(answers[0][0])}


def _candidate(g: Generation, parts: list[dict[str, Any]], at: int) -> dict[str, Any]:
    """One answer.

    A call whose arguments cannot be read is not told as one without any: the finish reason says why it is missing, as
    Gemini's own does.
    """
    is_cut = g.finish_reason in ("length", "content_filter")
    calls = read_calls(g.tool_calls, is_cut=is_cut)
    made = [_called(call, arguments) for call, arguments in calls if arguments is not None]
    broken = [f"{call.name}({call.arguments})" for call, arguments in calls if arguments is None]
    finish = _FINISH.get(g.finish_reason or "", "OTHER")
    if not is_cut and (broken or (g.finish_reason == "tool_calls" and not made)):
        finish = "MALFORMED_FUNCTION_CALL"
    value = _response(parts + made, finish, g.response_model or g.model, g.id, at)
    if finish == "MALFORMED_FUNCTION_CALL":
        value["candidates"][0]["finishMessage"] = f"Malformed function call: {', '.join(broken)}"[:2000]
    return value


def _called(call: ToolCall, arguments: dict[str, Any]) -> dict[str, Any]:
    part: dict[str, Any] = {
        "functionCall": {"name": call.name, "args": arguments, **({"id": call.id} if call.id else {})}
    }
    return part | ({"thoughtSignature": call.signature} if call.signature else {})
