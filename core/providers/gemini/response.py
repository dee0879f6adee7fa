"""Answers on Gemini's wire."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from core.domain.generation import Chunk, FinishReason, ToolDelta, Usage
from core.domain.message import to_arguments
from core.pricing.catalogue import normalise
from core.providers.base import UNUSUAL, Several
from core.providers.gemini.usage import made_of, of_one_kind, served_as, to_usage
from core.providers.tool_calls import PartialArguments

_BLOCKING = (
    "SAFETY RECITATION LANGUAGE BLOCKLIST PROHIBITED_CONTENT SPII IMAGE_SAFETY IMAGE_PROHIBITED_CONTENT"
    " IMAGE_RECITATION MODEL_ARMOR ESCALATION"
).split()
_FAILED = (
    "MALFORMED_FUNCTION_CALL UNEXPECTED_TOOL_CALL TOO_MANY_TOOL_CALLS MALFORMED_RESPONSE MISSING_THOUGHT_SIGNATURE"
    " NO_IMAGE IMAGE_OTHER"
).split()
_FINISH: dict[str, FinishReason] = {
    "STOP": "stop", "MAX_TOKENS": "length",
    **dict.fromkeys(_BLOCKING, "content_filter"), **dict.fromkeys(_FAILED, "error"),
}  # fmt: skip
_NONE = "FINISH_REASON_UNSPECIFIED"
_UNSAID = "The vendor did not say why."  # of our own making


def as_ended(values: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    """The values of an answer that came as a whole: one with content is not broken for want of a finish reason."""
    candidates = [each for value in values for each in (value.get("candidates") or ())[:1]]
    if not candidates or any(each.get("finishReason", _NONE) != _NONE for each in candidates):
        return values
    if any(
        part.get("text") or part.get("functionCall")
        for each in candidates
        for part in (each.get("content") or {}).get("parts") or ()
    ):
        return [*values, {"candidates": [{"index": 0, "finishReason": "OTHER", "finishMessage": _UNSAID}]}]
    return values


class Reader:
    """Reads the fragments of one answer; calls of tools are counted through all of them, and kinds of content noted."""

    def __init__(self) -> None:
        self._n_tools = 0
        self._partial: PartialArguments | None = None  # of the call under way, the last one
        self._made: set[str] = set()
        self._grounds: set[str] = set()  # kinds of sources, and queries as `query …`

    def read(self, values: Sequence[Mapping[str, Any]]) -> Chunk:
        """One chunk of all that came together; the last word on usage, finish and model counts."""
        if not values:
            return Chunk()
        chunk = self._read(values[0])
        for value in values[1:]:
            more = self._read(value)
            chunk = Chunk(
                text=chunk.text + more.text,
                thinking=chunk.thinking + more.thinking,
                tools=chunk.tools + more.tools,
                usage=more.usage or chunk.usage,
                finish_reason=more.finish_reason or chunk.finish_reason,
                reason=more.reason or chunk.reason,
                response_model=more.response_model or chunk.response_model,
                service_tier=more.service_tier or chunk.service_tier,
            )
        return chunk

    def _read(self, value: Mapping[str, Any]) -> Chunk:
        model, metadata = value.get("modelVersion"), value.get("usageMetadata")
        usage, tier = to_usage(metadata), served_as(metadata)
        feedback = value.get("promptFeedback") or {}
        if feedback.get("blockReason"):
            return Chunk(
                usage=usage,
                finish_reason="content_filter",
                reason=str(feedback["blockReason"]),
                response_model=model,
                service_tier=tier,
            )
        candidates = value.get("candidates") or ()
        candidate: Mapping[str, Any] = candidates[0] if candidates and isinstance(candidates[0], dict) else {}
        parts = [part for part in (candidate.get("content") or {}).get("parts") or () if isinstance(part, dict)]
        tools = self._tools(parts, has_ended=candidate.get("finishReason", _NONE) != _NONE)
        finish = self._to_finish(candidate)
        self._made |= {made_of(part) for part in parts} - {""}
        usage = of_one_kind(usage, metadata, self._made)
        return Chunk(
            text="".join(part["text"] for part in parts if part.get("text") and not part.get("thought")),
            thinking="".join(part["text"] for part in parts if part.get("text") and part.get("thought")),
            tools=tools,
            usage=self._with_searches(usage, candidate.get("groundingMetadata"), model),
            finish_reason=finish,
            reason=_reason(candidate) if finish in UNUSUAL else None,
            response_model=model,
            service_tier=tier,
        )

    def _with_searches(self, usage: Usage | None, grounding: Any, model: str | None) -> Usage | None:
        """Count searches: from Gemini 3 on each different query is billed; before, the grounded answer.

        The cost of looking into maps and pictures is not known.
        """
        if isinstance(grounding, Mapping):
            self._grounds |= {kind for each in grounding.get("groundingChunks") or () for kind in each}
            self._grounds |= {f"query {query}" for query in grounding.get("webSearchQueries") or () if query}
            self._grounds |= {name for name in ("imageSearchQueries",) if grounding.get(name)}
        if usage is None or not self._grounds:
            return usage
        queries = sum(each.startswith("query ") for each in self._grounds)
        version = re.match(r"gemini-(\d+)", normalise(model or ""))
        if version is None or int(version[1]) < 3:
            queries = min(1, queries)
        unknown = {f"groundingMetadata.{name}": 1 for name in ("maps", "imageSearchQueries") if name in self._grounds}
        searches = max(queries, int("web" in self._grounds))
        return replace(usage, n_searches=searches, more={**usage.more, **unknown})

    def _tools(self, parts: Sequence[Mapping[str, Any]], *, has_ended: bool) -> tuple[ToolDelta, ...]:
        """Gemini gives a call as a whole or, where the caller asked for that, its arguments one by one."""
        found: list[ToolDelta] = []
        for part in parts:
            called = part.get("functionCall")
            if not isinstance(called, dict) or not (called or self._partial):
                continue
            if self._partial is None or called.get("name"):
                found += self._closed(is_cut=True)
                found.append(
                    ToolDelta(
                        index=self._n_tools,
                        id=str(called.get("id") or ""),
                        name=str(called.get("name") or ""),
                        arguments="" if _is_partial(called) else to_arguments(called.get("args")) or "{}",
                        signature=str(part.get("thoughtSignature") or ""),
                    )
                )
                self._n_tools += 1
                self._partial = PartialArguments() if _is_partial(called) else None
            if self._partial is not None:
                self._partial.add(called.get("partialArgs"))
                found += () if called.get("willContinue") else self._closed(is_cut=False)
        return (*found, *(self._closed(is_cut=True) if has_ended else ()))

    def _closed(self, *, is_cut: bool) -> tuple[ToolDelta, ...]:
        partial, self._partial = self._partial, None
        return () if partial is None else (ToolDelta(index=self._n_tools - 1, arguments=partial.text(is_cut=is_cut)),)

    def _to_finish(self, candidate: Mapping[str, Any]) -> FinishReason | None:
        reason = candidate.get("finishReason", _NONE)
        if reason == _NONE:
            return None
        if candidate.get("finishMessage") == _UNSAID:
            return "unknown"
        if reason == "STOP" and self._n_tools:
            return "tool_calls"  # it stopped because it wants them
        return _FINISH.get(reason, "other")


class Candidates(Several):
    """Reads the answers to one request."""

    def __init__(self, n: int) -> None:
        super().__init__(n)
        self._readers: dict[int, Reader] = {}

    def read(self, values: Sequence[Mapping[str, Any]], raw: bytes | None) -> list[Chunk]:
        """See `together`."""
        if self.n == 1:
            return [replace(self._reader(0).read(values), raw=raw)]
        places = {each.get("index") or 0 for value in values for each in value.get("candidates") or ()} | {0}
        return self.together({at: self._reader(at).read([_only(v, at) for v in values]) for at in places}, raw)

    def _reader(self, at: int) -> Reader:
        return self._readers.setdefault(at, Reader())


def _only(value: Mapping[str, Any], at: int) -> Mapping[str, Any]:
    """An event with one of its candidates."""
    return {**value, "candidates": [each for each in value.get("candidates") or () if (each.get("index") or 0) == at]}


def _is_partial(called: Mapping[str, Any]) -> bool:
    return called.get("willContinue") is True or "partialArgs" in called


def _reason(candidate: Mapping[str, Any]) -> str:
    reason, message = str(candidate["finishReason"]), str(candidate.get("finishMessage") or "")
    return f"{reason}: {message[:300]}" if message and reason not in _BLOCKING else reason
