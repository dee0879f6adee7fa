"""The OpenAI wire: OpenAI itself, Ollama, and any server that speaks the same (vLLM, LM Studio, OpenRouter, …)."""

import re
from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from typing import Any

from core.domain.generation import (
    CHARGED,
    Chunk,
    FinishReason,
    Model,
    Native,
    Parameters,
    Quota,
    Request,
    ToolDelta,
    Usage,
)
from core.domain.message import Media, Message, Part, ToolCall, ToolResult
from core.errors import (
    AimmError,
    InvalidRequest,
)
from core.pricing.receipt import to_nano
from core.providers.base import UNUSUAL, Counts, KeyCheck, choice_of, is_credible, tier_of
from core.providers.http.client import HttpVendor
from core.providers.http.errors import quota_of
from core.providers.http.events import Event
from core.providers.http.network import Network
from core.providers.key_check import judged
from core.providers.tool_calls import CallReader

LIST_TIMEOUT_S = 6.0
MOST_USD = 1_000_000  # that a request can be believed to have cost
OPENAI_URL = "https://api.openai.com/v1"
# OpenAI's own words, and those of other servers and of vendors behind them.
_WORDS_OF_END: dict[FinishReason, str] = {
    "stop": "stop eos eos_token end_turn stop_sequence complete",
    "length": "length max_tokens max_length model_length max_output_tokens model_context_window_exceeded",
    "content_filter": "content_filter safety sensitive refusal recitation blocklist prohibited_content spii",
    "tool_calls": "tool_calls function_call tool_use",
    "error": "error abort aborted cancelled timeout load network_error insufficient_system_resource malformed_function_call"
    " unexpected_tool_call malformed_response",
}
_FINISH: dict[str, FinishReason] = {word: end for end, words in _WORDS_OF_END.items() for word in words.split()}
_NOT_TEXT = re.compile(r"whisper|tts|dall-e|image|audio|realtime|moderation|transcribe|sora|babbage|davinci|instruct")
_REASONS = re.compile(r"^(o\d|gpt-5)")  # these take no temperature of their own, and efforts of thinking
# OpenAI calls its tiers otherwise; "default" is what is standard elsewhere.
_TIERS = {"standard": "default", "flex": "flex", "priority": "priority", "fast": "fast"}


class OpenAIProvider:
    """One server of the OpenAI wire.

    name: The provider in records and prices. is_own: OpenAI itself, whose newer names for parameters others do not know.
    """

    wire = "openai"

    def __init__(
        self,
        name: str,
        base_url: str,
        api_key: str | None,
        *,
        label: str = "",
        is_own: bool = False,
        network: Network | None = None,
    ) -> None:
        self.name = name
        self._is_own = is_own
        # Whether it may say what it charged: what it has done so far tells, and a vendor of prices never does.
        self.may_charge = not is_own
        self._has_charged = False
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._http = HttpVendor(label or name, base_url, headers, network)

    async def stream(self, request: Request, *, attempt: int, timeout_s: float) -> AsyncIterator[Chunk]:
        native = request.native_for("openai")
        if request.operation == "embeddings":
            async for chunk in self._embeddings(request, native, timeout_s):
                yield chunk
            return
        body = self.to_body(request) if native is None else self._as_came(request, native)
        keeps_raw, keeps_whole = (native is not None and request.is_streamed is streamed for streamed in (True, False))
        is_counted = native is None or bool((native.body.get("stream_options") or {}).get("include_usage"))
        calls = CallReader()
        async with self._http.answer("/chat/completions", body) as answer:
            quota = quota_of(answer.headers)
            if await answer.is_whole():
                raw, values = await answer.whole()
                self._http.refuse_errors(values)
                chunk = self._learnt(_to_chunk(values, raw if keeps_whole else None, quota, calls))
                self.may_charge = self._has_charged
                if chunk.finish_reason is None and (chunk.text or chunk.tools):
                    chunk.finish_reason = "unknown"  # it came as a whole, so it is no broken one
                yield chunk
                return
            async for events in answer.events():
                good, error = self._http.until_error(events)
                # To be written anew for another wire, each event stays a piece of its own.
                for together in [good] if keeps_raw else [[event] for event in good]:
                    if together:
                        merged = _merged(together, keeps_raw, is_counted)
                        yield self._learnt(_to_chunk(*merged, quota, calls))
                        quota = None
                if error is not None:
                    raise error
            self.may_charge = self._has_charged

    def _learnt(self, chunk: Chunk) -> Chunk:
        self._has_charged = self._has_charged or (chunk.usage is not None and chunk.usage.charged_usd is not None)
        return chunk

    async def _embeddings(self, request: Request, native: Native | None, timeout_s: float) -> AsyncIterator[Chunk]:
        body = dict(native.body) if native else {"input": [message.text for message in request.messages]}
        async with self._http.answer("/embeddings", body | {"model": request.model}) as answer:
            raw, [value, *_] = await answer.whole()
            self._http.refuse_errors([value])
            usage = to_usage(value.get("usage"))
            vectors = tuple(each["embedding"] for each in value.get("data") or ())
            if not all(isinstance(vector, str | list) for vector in vectors):
                raise TypeError("a vector is a list of numbers, or their bytes as text")
            yield Chunk(
                raw=raw if native else None,
                vectors=vectors,
                usage=usage,
                finish_reason="stop" if vectors else None,
                response_model=_text(value.get("model")) or None,
                quota=quota_of(answer.headers),
            )

    async def models(self) -> list[Model]:
        body = await self._http.get("/models", LIST_TIMEOUT_S)
        found = body.get("data") if isinstance(body, dict) else None
        names = [str(each["id"]) for each in found or () if isinstance(each, dict) and each.get("id")]
        return [self.guess(name) for name in sorted(set(names)) if not (self._is_own and _NOT_TEXT.search(name))]

    async def count_tokens(self, request: Request) -> int:
        raise InvalidRequest(f"{self._http.label} counts no tokens before a call.", hint="The estimate brackets them.")

    async def check(self) -> KeyCheck:
        """Try the address and the key: read the model list."""
        return await checked(self._http.label, self.models)

    def guess(self, name: str) -> Model:
        """A model with what its name says that it accepts: the list does not say."""
        accepts = {"max_tokens", "seed", "json_schema", "json_object", "stop"}
        if self._is_own and _REASONS.match(name):
            accepts |= {"thinking_level", "service_tier"}
        else:
            accepts |= {"temperature", "top_p", "frequency_penalty", "presence_penalty"}
        return Model(name=name, provider=self.name, label=name, accepts=frozenset(accepts))

    async def close(self) -> None:
        await self._http.close()

    def to_body(self, request: Request) -> dict[str, Any]:
        messages: list[dict[str, Any]] = [{"role": "system", "content": request.system}] if request.system else []
        for message in request.messages:
            messages += _to_messages(message)
        body: dict[str, Any] = {"model": request.model, "messages": messages, **self._parameters(request.parameters)}
        if request.is_streamed:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        if request.tools:
            body["tools"] = [
                {"type": "function", "function": {"name": t.name, "description": t.description, "parameters": dict(t.parameters)}}
                for t in request.tools
            ]  # fmt: skip
            kind, name = choice_of(request)
            choice = {"type": "function", "function": {"name": name}} if kind == "tool" else kind
            body |= {"tool_choice": choice} if choice else {}
        return body

    def _as_came(self, request: Request, native: Native) -> dict[str, Any]:
        """The body as it came, with the model that really answers and what was decided otherwise since."""
        body = dict(native.body)
        body["model"] = request.model
        if body.get("stream"):
            body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
        if request.parameters != native.parameters:
            before, now = native.parameters.as_dict(), request.parameters.as_dict()
            for name in before.keys() - now.keys():
                for word in _WORDS[name]:
                    body.pop(word, None)
            changed = {name: value for name, value in now.items() if before.get(name) != value}
            for word in [word for name in changed for word in _WORDS[name]]:
                body.pop(word, None)
            body |= self._parameters(Parameters(**changed))
        if request.system != native.system:
            rest = [m for m in body["messages"] if m.get("role") not in ("system", "developer")]
            body["messages"] = [{"role": "system", "content": request.system}, *rest] if request.system else rest
        return body

    def _parameters(self, p: Parameters) -> dict[str, Any]:
        """Parameters by OpenAI's names; only what is set."""
        body: dict[str, Any] = {
            "temperature": p.temperature,
            "top_p": p.top_p,
            "seed": p.seed,
            "max_completion_tokens" if self._is_own else "max_tokens": p.max_tokens,
            "reasoning_effort": p.thinking_level,
            "service_tier": _TIERS.get(p.service_tier or ""),
            "stop": list(p.stop) if p.stop else None,
            "frequency_penalty": p.frequency_penalty,
            "presence_penalty": p.presence_penalty,
        }
        if p.json_schema is not None:
            schema = {"name": "answer", "schema": dict(p.json_schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif p.json_object:
            body["response_format"] = {"type": "json_object"}
        return {name: value for name, value in body.items() if value is not None}


# Our parameters by the names that a body may have for them.
_WORDS = {
    "temperature": ("temperature",), "top_p": ("top_p",), "seed": ("seed",), "max_tokens": ("max_tokens", "max_completion_tokens"),
    "thinking_level": ("reasoning_effort",), "thinking_budget": (), "service_tier": ("service_tier",), "stop": ("stop",),
    "json_schema": ("response_format",), "json_object": ("response_format",), "frequency_penalty": ("frequency_penalty",),
    "presence_penalty": ("presence_penalty",),
}  # fmt: skip


def _to_messages(message: Message) -> list[dict[str, Any]]:
    """A turn as OpenAI's messages: results of tools are messages of their own, before what the user says with them."""
    results = [part for part in message.parts if isinstance(part, ToolResult)]
    found: list[dict[str, Any]] = [
        {"role": "tool", "tool_call_id": r.call_id, "content": f"Error: {r.text}" if r.is_error else r.text}
        for r in results
    ]
    calls = [part for part in message.parts if isinstance(part, ToolCall)]
    if message.role == "model":
        said: dict[str, Any] = {"role": "assistant", "content": message.text or (None if calls else "")}
        if calls:
            said["tool_calls"] = [
                {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments}} for c in calls
            ]
        return [*found, said]
    rest = [part for part in message.content if isinstance(part, str | Media)]
    if any(isinstance(part, Media) for part in rest):
        found.append({"role": "user", "content": [_to_part(part) for part in rest]})
    elif rest or not results:
        found.append({"role": "user", "content": message.text})
    return found


def _to_part(part: Part) -> dict[str, Any]:
    if not isinstance(part, Media):
        return {"type": "text", "text": part}
    if part.media_type.startswith("audio/"):
        sound = {"data": part.data, "format": part.media_type.removeprefix("audio/").replace("mpeg", "mp3")}
        return {"type": "input_audio", "input_audio": sound}
    url = part.url or f"data:{part.media_type};base64,{part.data}"
    if part.media_type == "application/pdf":
        return {"type": "file", "file": {"filename": "document.pdf", "file_data": url}}
    return {"type": "image_url", "image_url": {"url": url, **({"detail": part.detail} if part.detail else {})}}


async def checked(label: str, models: Any) -> KeyCheck:
    """The state of a key and an address, as reading the model list shows it."""
    try:
        found = await models()
    except AimmError as error:
        return judged(label, error)
    if not found:
        return KeyCheck("error", f"{label} answered, but lists no text model.")
    return KeyCheck("works", f"{label} works: {len(found)} models.")


def _merged(events: Sequence[Event], keeps_raw: bool, is_counted: bool) -> tuple[list[dict[str, Any]], bytes | None]:
    """(values, bytes) of all that came together. The count that only we asked for is not passed on."""
    values = [event.value for event in events if event.value is not None]
    if not keeps_raw:
        return values, None
    shown = [e.raw for e in events if not e.is_done and (is_counted or e.value is None or e.value.get("choices"))]
    return values, shown[0] if len(shown) == 1 else b"".join(shown)


def _to_chunk(values: Sequence[dict[str, Any]], raw: bytes | None, quota: Quota | None, calls: CallReader) -> Chunk:
    """One chunk of several events; the last word on usage, finish and model counts."""
    texts, thoughts = [], []
    tools: list[ToolDelta] = []
    usage: Usage | None = None
    finish: FinishReason | None = None
    model = tier = reason = None
    for value in values:
        model = value.get("model") or model
        tier = tier_of(value.get("service_tier")) or tier
        choices = value.get("choices")
        if (counted := _counted(value, choices)) is not None:
            usage = to_usage(counted) or usage
        if not choices or not isinstance(choices[0], dict):
            continue
        choice = choices[0]
        delta = choice.get("delta") or choice.get("message") or {}
        content = delta.get("content")
        if isinstance(content, list):
            thoughts.append(_joined(content, "thinking"))
            content = _joined(content, "text")
        texts.append(content if content and isinstance(content, str) else _text(delta.get("refusal")))
        if "reasoning_content" in delta or "reasoning" in delta:
            thoughts.append(_text(delta.get("reasoning_content")) or _text(delta.get("reasoning")))
        if called := delta.get("tool_calls"):
            tools += calls.read(called, is_whole=not choice.get("delta"))
        tools += calls.read_legacy(delta.get("function_call"))
        if said := choice.get("finish_reason"):  # some servers send an empty one until they end
            finish, reason = _ended(str(said))
            tools += calls.end(is_cut=finish == "length")
    return Chunk(
        raw=raw,
        quota=quota,
        text=texts[0] if len(texts) == 1 else "".join(texts),
        thinking=thoughts[0] if len(thoughts) == 1 else "".join(thoughts),
        tools=tuple(tools),
        usage=usage,
        finish_reason=finish,
        reason=reason,
        response_model=_text(model) or None,
        service_tier=tier,
    )


def _ended(said: str) -> tuple[FinishReason, str | None]:
    """(finish reason, what a server said, where that is not usual). Google's says `function_call_filter: MALFORMED_FUNCTION_CALL`."""
    finish = _FINISH.get(said.rpartition(":")[2].strip().lower().replace("-", "_"), "other")
    return finish, said[:300] if finish in UNUSUAL else None


def _counted(value: dict[str, Any], choices: Any) -> Any:
    """The usage of an event; in streams Groq has it in `x_groq`, Moonshot beside the last piece."""
    if (usage := value.get("usage")) is not None:
        return usage
    groq = value.get("x_groq")
    if isinstance(groq, dict):
        return groq.get("usage")
    return choices[0].get("usage") if choices and isinstance(choices[0], dict) else None


def to_usage(usage: Any) -> Usage | None:
    """OpenAI's counts in our words: its prompt includes cached, its completion includes reasoning tokens.

    Responses, pictures and embeddings name the same counts `input_tokens` and `output_tokens`.
    """
    if not isinstance(usage, dict):
        return None
    counts = Counts(usage)
    prompt, output = counts.take("prompt_tokens", "input_tokens"), counts.take("completion_tokens", "output_tokens")
    citations = counts.take("citation_tokens")
    output, thinking, missing = _output(counts, output, counts.take("total_tokens") - prompt - output, citations)
    cached = counts.take(*_paths(_READ, "cached_tokens"), *_CACHED)
    short, hour = (
        counts.take(*_paths(_READ, *(f"{word}.ephemeral_{ttl}_input_tokens" for word in _CREATION)))
        for ttl in ("5m", "1h")
    )
    written = counts.take(*_paths(_READ, "cache_write_tokens", "cache_creation_tokens", "cache_creation_input_tokens"))
    written = max(written, short + hour)
    read, made = _kinds(counts, prompt, *_READ), _kinds(counts, output, *_MADE)
    kept = _kinds(counts, cached, *(f"{name}.cached_tokens_details" for name in _READ))
    counts.same("cache_read_input_tokens", cached)
    counts.same("cache_creation_input_tokens", written)
    searches = counts.take("num_search_queries") + counts.take("server_tool_use.web_search_requests")
    more = {
        "image_tokens": read["image"],
        "cached_image_tokens": kept["image"],
        "output_image_tokens": made["image"],
        "video_tokens": read["video"],
        "cached_video_tokens": kept["video"],
        "output_video_tokens": made["video"],
        "citation_tokens": citations,
        "total_tokens": missing,
    }
    found = Usage(
        input_tokens=prompt,
        cached_tokens=cached,
        cache_write_tokens=written - hour,
        cache_write_1h_tokens=hour,
        audio_tokens=read["audio"],
        cached_audio_tokens=kept["audio"],
        output_tokens=output,
        thinking_tokens=thinking,
        output_audio_tokens=made["audio"],
        n_searches=searches,
        more={name: count for name, count in more.items() if count} | _charged(usage) | counts.unknown,
    )
    return found if is_credible(found) else None


def _kinds(counts: Counts, n_all: int, *side: str) -> dict[str, int]:
    found = {kind: counts.take(*_paths(side, f"{kind}_tokens")) for kind in ("text", "audio", "image", "video")}
    counts.check_parts(side[0], sum(found.values()), n_all)
    return found


def _output(counts: Counts, output: int, missing: int, citations: int) -> tuple[int, int, int]:
    """The whole output, its thinking, and what the vendor's total has beyond input and output (`missing`)."""
    thinking, apart = counts.take(*_paths(_MADE, "reasoning_tokens")), counts.take("reasoning_tokens")
    if apart and not thinking:  # as Perplexity counts it: beside the completion
        return output + apart, apart, max(0, missing - apart - citations)
    if missing > 0 and missing == thinking:  # as xAI does: in the total, and not in the completion
        return output + thinking, thinking, 0
    return output, thinking, max(0, missing - citations)


# Where details of the input and the output stand, and under which names what a cache gave and took.
_READ = ("prompt_tokens_details", "input_tokens_details", "input_token_details")
_MADE = ("completion_tokens_details", "output_tokens_details", "output_token_details")
_CACHED = ("prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens")
_CREATION = ("cache_creation", "cache_creation_token_details")


def _paths(side: tuple[str, ...], *names: str) -> list[str]:
    return [f"{details}.{name}" for details in side for name in names]


def _charged(usage: dict[str, Any]) -> dict[str, int]:
    """The charge that a server names: OpenRouter, Perplexity and DeepInfra in dollars, xAI in ticks of 10^-10 dollars.

    With a key of one's own at OpenRouter its charge is only its fee, and what the vendor behind it charges comes on top.
    Before it said so by `is_byok`, that could be told from a charge lower than the vendor's.
    """
    cost, details, ticks = usage.get("cost"), usage.get("cost_details"), _amount(usage.get("cost_in_usd_ticks"))
    usd = _amount(cost.get("total_cost") if isinstance(cost, dict) else cost)
    if usd is None:
        usd = _amount(usage.get("estimated_cost")) if ticks is None else ticks / 10**10
    upstream = _amount(details.get("upstream_inference_cost") if isinstance(details, dict) else None)
    is_byok = usage.get("is_byok")
    if is_byok is True or (is_byok is None and usd is not None and upstream is not None and upstream > usd):
        usd = None if upstream is None else (usd or Decimal(0)) + upstream
    return {} if usd is None or usd > MOST_USD else {CHARGED: to_nano(usd)}


def _amount(value: Any) -> Decimal | None:
    """Dollars, also as text; None = they are none."""
    if isinstance(value, bool) or not re.fullmatch(r"\d{1,20}(\.\d+)?([eE][-+]?\d{1,3})?", str(value)):
        return None
    return Decimal(str(value))


def _joined(parts: list[Any], kind: str) -> str:
    """The text of parts of a kind. Mistral's thinking models answer in parts, and think in parts of parts."""
    said = [part.get(kind) for part in parts if isinstance(part, dict)]
    return "".join(_joined(each, "text") if isinstance(each, list) else _text(each) for each in said)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
