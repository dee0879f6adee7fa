"""Gemini's wire: what a request looks like on it, and what an answer says."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from core.domain.generation import Chunk, FinishReason, Native, Parameters, Request, ToolDelta, Usage
from core.domain.message import Media, Message, Part, ToolCall, ToolResult, to_arguments
from core.pricing.catalogue import normalise
from core.providers.base import (
    UNUSUAL,
    Counts,
    as_input,
    as_object,
    check_results,
    choice_of,
    is_credible,
    tier_of,
    whole,
)
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
    "STOP": "stop", "MAX_TOKENS": "length", **dict.fromkeys(_BLOCKING, "content_filter"), **dict.fromkeys(_FAILED, "error"),
}  # fmt: skip
_NONE = "FINISH_REASON_UNSPECIFIED"
_UNSAID = "The vendor did not say why."  # of our own making
# What Gemini takes in place of the signature of a call that it did not make itself, or whose signature a wire lost.
_NO_SIGNATURE = "skip_thought_signature_validator"
# Parameters that are one word of the wire.
_TOGETHER = ({"json_schema", "json_object"}, {"thinking_budget", "thinking_level"})

# Requests


def to_body(request: Request) -> dict[str, Any]:
    """The body of generateContent."""
    check_results(request.messages)
    turns = zip(request.messages, (None, *request.messages), strict=False)
    body: dict[str, Any] = {"contents": [_to_content(message, before) for message, before in turns]}
    if request.system:
        body["systemInstruction"] = {"role": "user", "parts": [{"text": request.system}]}
    if config := _generation_config(request.parameters):
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
    body = dict(native.body)
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
    parts = [_to_part(part) for part in _in_order(message, before)] or [{"text": ""}]
    return {"role": message.role, "parts": parts}


def _in_order(message: Message, before: Message | None) -> tuple[Part, ...]:
    """A turn with its results of tools in the order of their calls: Gemini tells calls of one tool apart by nothing else."""
    results = [part for part in message.parts if isinstance(part, ToolResult)]
    if len(results) < 2 or before is None:
        return message.content
    calls = [part.id for part in before.parts if isinstance(part, ToolCall)]
    places = {call_id: at for at, call_id in reversed(list(enumerate(calls)))}
    ordered = iter(sorted(results, key=lambda result: places.get(result.call_id, len(calls))))
    return tuple(next(ordered) if isinstance(part, ToolResult) else part for part in message.content)


def _to_part(part: Part) -> dict[str, Any]:
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
    if media.url:
        return {"fileData": {"mimeType": media.media_type, "fileUri": media.url}}
    return {"inlineData": {"mimeType": media.media_type, "data": media.data}}


# Answers


def as_ended(values: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    """The values of an answer that came as a whole: it is no broken one, where it says something and not why it ended."""
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
    """Reads the pieces of one answer; calls of tools are counted through all of them, and kinds of content noted."""

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
        self._made |= {_made_of(part) for part in parts} - {""}
        usage = _of_one_kind(usage, metadata, self._made)
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
        """Grounding is billed by the different query from Gemini 3 on; before, by the grounded answer. What it costs to look
        into maps and pictures is not known."""
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


def _is_partial(called: Mapping[str, Any]) -> bool:
    return called.get("willContinue") is True or "partialArgs" in called


def _reason(candidate: Mapping[str, Any]) -> str:
    reason, message = str(candidate["finishReason"]), str(candidate.get("finishMessage") or "")
    return f"{reason}: {message[:300]}" if message and reason not in _BLOCKING else reason


def to_usage(metadata: Mapping[str, Any] | None) -> Usage | None:
    """Gemini's counts in our words; None where the vendor sent none that can be believed.

    Gemini's prompt count includes cached but not tool-use tokens; its candidates count excludes thoughts and is
    missing when nothing was written.
    """
    if not isinstance(metadata, Mapping):
        return None
    given = {name: _by_modality(value) if name.endswith("Details") else value for name, value in metadata.items()}
    counts = Counts(given)
    prompt, used = counts.take("promptTokenCount"), counts.take("toolUsePromptTokenCount")
    thoughts, total, cached = map(counts.take, ("thoughtsTokenCount", "totalTokenCount", "cachedContentTokenCount"))
    is_counted = counts.has("candidatesTokenCount") or counts.has("responseTokenCount")
    candidates = counts.take("candidatesTokenCount", "responseTokenCount")  # Gemini's Live API has the other name
    if not is_counted:
        candidates = max(0, total - prompt - used - thoughts)
    read, of_tools = _kinds(counts, prompt, "promptTokensDetails"), _kinds(counts, used, "toolUsePromptTokensDetails")
    read = {kind: read[kind] + of_tools[kind] for kind in read}
    prompt += used
    kept = _kinds(counts, cached, "cacheTokensDetails")
    if not any(kept.values()):
        kept = _kept(prompt, cached, read)
    made = _kinds(counts, candidates, "candidatesTokensDetails", "responseTokensDetails")
    more = {f"{kind}_tokens": read[kind] for kind in ("image", "video")}
    more |= {f"cached_{kind}_tokens": kept[kind] for kind in ("image", "video")}
    more |= {f"output_{kind}_tokens": made[kind] for kind in ("image", "video")}
    more["totalTokenCount"] = max(0, total - prompt - candidates - thoughts)
    usage = Usage(
        input_tokens=prompt,
        cached_tokens=cached,
        output_tokens=candidates + thoughts,
        thinking_tokens=thoughts,
        audio_tokens=read["audio"],
        cached_audio_tokens=kept["audio"],
        output_audio_tokens=made["audio"],
        more={name: count for name, count in more.items() if count} | counts.unknown,
    )
    return usage if is_credible(usage) else None


def _by_modality(details: Any) -> Any:
    """A list of tokens by modality as an object, so that each has a name."""
    found: dict[str, Any] = {}
    for each in details if isinstance(details, list) else [details]:
        if isinstance(each, Mapping):
            word, count = str(each.get("modality") or "MODALITY_UNSPECIFIED").upper()[:40], each.get("tokenCount")
            is_sum = whole(count) is not None and whole(found.get(word, 0)) is not None
            found[word] = (whole(found.get(word, 0)) or 0) + (whole(count) or 0) if is_sum else count
    return found


def _kinds(counts: Counts, n_all: int, *names: str) -> dict[str, int]:
    """Tokens by our word for what they are; of what has none, nobody here knows the price."""
    found = {
        kind: counts.take(*(f"{name}.{kind.upper()}" for name in names)) for kind in ("text", "image", "video", "audio")
    }
    # Pages of documents are read as pictures, and charged so.
    found["image"] += counts.take(*(f"{name}.DOCUMENT" for name in names))
    counts.check_parts(names[0], sum(found.values()), n_all)
    return found


def _made_of(part: Mapping[str, Any]) -> str:
    """The kind of a part of an answer: text, image, audio, video; empty = none of them."""
    data = part.get("inlineData") or part.get("fileData")
    if isinstance(data, dict):
        return str(data.get("mimeType") or "").partition("/")[0]
    return "text" if part.get("text") and not part.get("thought") else ""


def _of_one_kind(usage: Usage | None, metadata: Any, made: set[str]) -> Usage | None:
    """A usage that does not say what was made: an answer of one kind is counted as it, and no guess is made of two."""
    shown = 0 if usage is None else usage.output_tokens - usage.thinking_tokens
    if usage is None or shown <= 0 or not made - {"text"} or metadata.get("candidatesTokensDetails"):
        return usage
    if made == {"audio"}:
        return replace(usage, output_audio_tokens=shown)
    name = f"output_{next(iter(made))}_tokens" if made in ({"image"}, {"video"}) else "candidatesTokenCount"
    return replace(usage, more={**usage.more, name: shown})


def _kept(prompt: int, cached: int, read: Mapping[str, int]) -> dict[str, int]:
    """Cached tokens of which the vendor does not say what they were: first text, and as little of what is dear as can be."""
    kinds = ("image", "video", "audio")
    left = cached - max(0, prompt - sum(read[name] for name in kinds))
    found = {}
    for name in kinds:
        found[name] = max(0, min(left, read.get(name, 0)))
        left -= found[name]
    return found


def served_as(metadata: Any) -> str | None:
    """The tier that the vendor says it served, where it says one."""
    if not isinstance(metadata, Mapping):
        return None
    traffic = str(metadata.get("trafficType") or "").lower().removeprefix("traffic_type_")
    return tier_of(metadata.get("serviceTier")) or tier_of(traffic.removeprefix("on_demand_"))
