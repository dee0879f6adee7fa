"""The OpenAI wire: OpenAI itself, Ollama, and any server that speaks the same (vLLM, LM Studio, OpenRouter, …)."""

import re
from collections.abc import AsyncIterator, Sequence
from typing import Any

from core.domain.generation import (
    SERVICE_TIERS,
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
from core.providers.base import KeyCheck, is_credible
from core.providers.events import Event
from core.providers.http import HttpVendor, count_of, quota_of
from core.providers.key_check import judged
from core.providers.tool_calls import CallReader

LIST_TIMEOUT_S = 6.0
OPENAI_URL = "https://api.openai.com/v1"
_FINISH: dict[str, FinishReason] = {
    "stop": "stop", "length": "length", "content_filter": "content_filter", "tool_calls": "tool_calls",
    "function_call": "tool_calls",
}  # fmt: skip
_NOT_TEXT = re.compile(r"whisper|tts|dall-e|image|audio|realtime|moderation|transcribe|sora|babbage|davinci|instruct")
_REASONS = re.compile(r"^(o\d|gpt-5)")  # these take no temperature of their own, and efforts of thinking
# OpenAI calls its tiers otherwise; "default" is what is standard elsewhere.
_TIERS = {"standard": "default", "flex": "flex", "priority": "priority"}


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
        allows_link_local: bool = False,
    ) -> None:
        self.name = name
        self._is_own = is_own
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._http = HttpVendor(label or name, base_url, headers, allows_link_local=allows_link_local)

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
                chunk = _to_chunk(values, raw if keeps_whole else None, quota, calls)
                if chunk.finish_reason is None and (chunk.text or chunk.tools):
                    chunk.finish_reason = "unknown"  # it came as a whole, so it is no broken one
                yield chunk
                return
            async for events in answer.events():
                good, error = self._http.until_error(events)
                # To be written anew for another wire, each event stays a piece of its own.
                for together in [good] if keeps_raw else [[event] for event in good]:
                    if together:
                        yield _to_chunk(*_merged(together, keeps_raw, is_counted), quota, calls)
                        quota = None
                if error is not None:
                    raise error

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
        """What a model accepts, by its name: the list does not say."""
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
            kind, _, name = request.tool_choice.partition(":")
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
    """What reading the model list says about a key and an address."""
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
    """What several events say together; the last word on usage, finish and model counts."""
    texts, thoughts = [], []
    tools: list[ToolDelta] = []
    usage: Usage | None = None
    finish: FinishReason | None = None
    model = tier = None
    for value in values:
        model = value.get("model") or model
        tier = value.get("service_tier") or tier
        if (counted := value.get("usage")) is not None:
            usage = to_usage(counted) or usage
        choices = value.get("choices")
        if not choices or not isinstance(choices[0], dict):
            continue
        choice = choices[0]
        delta = choice.get("delta") or choice.get("message") or {}
        content = delta.get("content")
        texts.append(content if content and isinstance(content, str) else _text(delta.get("refusal")))
        if "reasoning_content" in delta or "reasoning" in delta:
            thoughts.append(_text(delta.get("reasoning_content")) or _text(delta.get("reasoning")))
        if called := delta.get("tool_calls"):
            tools += calls.read(called, is_whole=not choice.get("delta"))
        tools += calls.read_legacy(delta.get("function_call"))
        if (reason := choice.get("finish_reason")) is not None:
            finish = _FINISH.get(str(reason), "unknown")
            tools += calls.end(is_cut=finish == "length")
    tier = "standard" if tier == "default" else tier
    return Chunk(
        raw=raw,
        quota=quota,
        text=texts[0] if len(texts) == 1 else "".join(texts),
        thinking=thoughts[0] if len(thoughts) == 1 else "".join(thoughts),
        tools=tuple(tools),
        usage=usage,
        finish_reason=finish,
        block_category="content_filter" if finish == "content_filter" else None,
        response_model=_text(model) or None,
        service_tier=tier if tier in SERVICE_TIERS else None,
    )


def to_usage(usage: Any) -> Usage | None:
    """OpenAI's counts in our words: its prompt includes cached, its completion includes reasoning tokens."""
    if not isinstance(usage, dict) or not isinstance(usage.get("prompt_tokens"), int):
        return None
    prompt, completion = usage.get("prompt_tokens_details") or {}, usage.get("completion_tokens_details") or {}
    found = Usage(
        input_tokens=usage["prompt_tokens"],
        cached_tokens=count_of(prompt, "cached_tokens"),
        audio_tokens=count_of(prompt, "audio_tokens"),
        output_tokens=count_of(usage, "completion_tokens"),
        thinking_tokens=count_of(completion, "reasoning_tokens"),
        output_audio_tokens=count_of(completion, "audio_tokens"),
    )
    return found if is_credible(found) else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
