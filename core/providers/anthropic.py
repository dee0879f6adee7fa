"""Anthropic's messages API."""

import re
from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace
from typing import Any

from core.domain.generation import Chunk, FinishReason, Model, Parameters, Request, ToolDelta, Usage
from core.domain.message import Media, Message, Part, ToolCall, ToolResult, to_arguments
from core.errors import InvalidRequest, ProviderError
from core.providers.base import UNUSUAL, Counts, KeyCheck, as_input, check_results, choice_of, is_credible, tier_of
from core.providers.http.client import HttpVendor
from core.providers.http.errors import quota_of
from core.providers.http.network import Network
from core.providers.key_check import checked

LIST_TIMEOUT_S = 6.0
VERSION = "2023-06-01"
LEAST_THINKING = 1024  # the API takes no less
LONGEST = 4096  # the API wants a length; where the caller names none
_FINISH: dict[str, FinishReason] = {
    "end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "model_context_window_exceeded": "length",
    "tool_use": "tool_calls", "refusal": "content_filter", "unknown": "unknown",
}  # fmt: skip


_ORDER = frozenset({"property_ordering", "propertyOrdering"})
_NAMED = frozenset({"properties", "$defs", "definitions", "patternProperties"})
_AS_IT_IS = frozenset({"enum", "const", "default", "examples", "required"})


class AnthropicProvider:
    """One key, one client."""

    name = "anthropic"
    wire = "anthropic"

    def __init__(self, api_key: str, base_url: str, network: Network | None = None) -> None:
        headers = {"x-api-key": api_key, "anthropic-version": VERSION}
        self._http = HttpVendor("Anthropic", base_url, headers, network)

    async def stream(self, request: Request, *, attempt: int, timeout_s: float) -> AsyncGenerator[Chunk]:
        if request.operation != "chat":
            raise InvalidRequest("Anthropic makes no embeddings.")
        reader = _Reader()
        async with self._http.answer("/v1/messages", _body(request)) as answer:
            quota = quota_of(answer.headers)
            if await answer.is_whole():
                _, [value, *_] = await answer.whole()
                self._http.refuse_errors([value])
                for chunk in reader.whole(value):
                    yield chunk if quota is None else replace(chunk, quota=quota)
                return
            async for events in answer.events():
                for event in events:
                    if event.value is None:
                        continue
                    self._http.refuse_errors([event.value])
                    if (read := reader.read(event.value)) is not None:
                        yield read if quota is None else replace(read, quota=quota)
                        quota = None

    async def models(self) -> list[Model]:
        body = await self._http.get("/v1/models?limit=1000", LIST_TIMEOUT_S)
        found = body.get("data") if isinstance(body, dict) else None
        return [_to_model(each) for each in found or () if isinstance(each, dict) and each.get("id")]

    async def count_tokens(self, request: Request) -> int:
        body = _body(request)
        wanted: dict[str, Any] = {
            name: body[name]
            for name in ("model", "messages", "system", "thinking", "tools", "tool_choice")
            if name in body
        }
        answer = await self._http.post("/v1/messages/count_tokens", wanted, LIST_TIMEOUT_S)
        n = answer.get("input_tokens") if isinstance(answer, dict) else None
        if not isinstance(n, int):
            raise ProviderError("Anthropic counted no tokens.")
        return n

    async def check(self) -> KeyCheck:
        """Try the key: read the model list."""
        return await checked("Anthropic", self.models)

    async def close(self) -> None:
        await self._http.close()


def guess(name: str) -> Model:
    accepts = frozenset({"temperature", "max_tokens", "top_p", "thinking_budget", "json_schema", "stop"})
    return Model(name=name, provider="anthropic", label=name, accepts=accepts, max_temperature=1.0)


def _to_model(found: dict[str, Any]) -> Model:
    model = guess(str(found["id"]))
    return Model(
        name=model.name,
        provider="anthropic",
        label=str(found.get("display_name") or model.name),
        accepts=model.accepts,
        context_tokens=found.get("max_input_tokens") if isinstance(found.get("max_input_tokens"), int) else None,
        max_output_tokens=found.get("max_tokens") if isinstance(found.get("max_tokens"), int) else None,
        max_temperature=1.0,
    )


def _body(request: Request) -> dict[str, Any]:
    check_results(request.messages)
    p = request.parameters
    body: dict[str, Any] = {
        "model": request.model,
        "max_tokens": p.max_tokens or LONGEST,
        "messages": [turn for message in request.messages if (turn := _to_message(message))["content"]],
        "stream": True if request.is_streamed else None,
        "system": request.system or None,
        "temperature": None if p.temperature is None else min(1.0, p.temperature),
        "top_p": p.top_p,
        "stop_sequences": list(p.stop) if p.stop else None,
    }
    if p.json_schema is not None:
        body["output_config"] = {"format": {"type": "json_schema", "schema": _strict(p.json_schema)}}
    if request.tools:
        body["tools"] = [
            {"name": t.name, "description": t.description, "input_schema": {"type": "object", **t.parameters}}
            for t in request.tools
        ]
        body["tool_choice"] = _tool_choice(request)
    # With thinking on, a turn that called tools must give its thoughts back, and other wires do not carry them.
    budget = _thinking_budget(p)
    if budget and not any(isinstance(part, ToolResult) for part in request.messages[-1].parts):
        body["thinking"] = {"type": "enabled", "budget_tokens": budget}
        body["max_tokens"] = p.max_tokens or LONGEST + budget
        body["temperature"] = body["top_p"] = None  # the API takes only their default then
    return {name: value for name, value in body.items() if value is not None}


def _thinking_budget(p: Parameters) -> int:
    """The tokens that may be thought; 0 = none. Thinking counts into the length, which the API wants to be larger, and
    which must not grow above what the caller allows."""
    if not p.thinking_budget:
        return 0
    budget = max(LEAST_THINKING, p.thinking_budget)
    if p.max_tokens is not None:
        budget = min(budget, p.max_tokens - 1)
    return budget if budget >= LEAST_THINKING else 0


def _strict(schema: Any) -> Any:
    """A JSON Schema as Anthropic takes it: objects are closed, and Gemini's order of properties is left out."""
    if isinstance(schema, list | tuple):
        return [_strict(each) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    found: dict[str, Any] = {}
    for name, value in schema.items():
        if name in _NAMED and isinstance(value, Mapping):  # names of the team's own, not words of the schema
            found[name] = {each: _strict(inner) for each, inner in value.items()}
        elif name in _AS_IT_IS:
            found[name] = value
        elif name not in _ORDER:
            found[name] = _strict(value)
    if found.get("type") == "object" or "properties" in found:
        found["additionalProperties"] = False
    return found


def _tool_choice(request: Request) -> dict[str, Any] | None:
    kind, name = choice_of(request)
    if kind == "none" or not (kind or request.is_one_call):
        return {"type": kind} if kind else None
    choice = {"type": "any" if kind == "required" else kind or "auto", **({"name": name} if name else {})}
    return choice | ({"disable_parallel_tool_use": True} if request.is_one_call else {})


def _to_message(message: Message) -> dict[str, Any]:
    role = {"user": "user", "model": "assistant"}[message.role]
    # The API takes no blank texts, and wants results of tools first, right after their call.
    said = [part for part in message.content if not isinstance(part, str) or part.strip()]
    parts = sorted(said, key=lambda part: not isinstance(part, ToolResult))
    return {"role": role, "content": [_to_block(part) for part in parts] if message.parts else "".join(map(str, said))}


def _to_block(part: Part) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if isinstance(part, ToolCall):
        return {"type": "tool_use", "id": _id(part.id), "name": part.name, "input": as_input(part.arguments)}
    if isinstance(part, ToolResult):
        result = {"type": "tool_result", "tool_use_id": _id(part.call_id), "content": part.text}
        return result | ({"is_error": True} if part.is_error else {})
    kind = "document" if part.media_type == "application/pdf" else "image"
    return {"type": kind, "source": _source(part)}


def _id(given: str) -> str:
    """An id in the letters that the API takes; other vendors' have dots and colons."""
    return re.sub(r"[^\w-]", "_", given, flags=re.ASCII)


def _source(media: Media) -> dict[str, Any]:
    if media.url:
        return {"type": "url", "url": media.url}
    return {"type": "base64", "media_type": media.media_type, "data": media.data}


class _Reader:
    """Reads a message's events. Usage comes in two halves, the input's first; tool calls have numbers of their own."""

    def __init__(self) -> None:
        self._counts: dict[str, Any] = {}
        self._tools: dict[Any, int] = {}  # number of the content block -> number of the call
        # Number of the content block -> its input, until a piece of it has come. Nothing at all means no arguments,
        # which is known once another block begins, or the message ends and not at its length.
        self._inputs: dict[Any, Any] = {}

    def read(self, event: dict[str, Any]) -> Chunk | None:
        kind = event.get("type")
        if kind == "message_start":
            message = event.get("message") or {}
            self._counts.update(message.get("usage") or {})
            return Chunk(
                response_model=message.get("model"), usage=to_usage(self._counts), service_tier=_tier(self._counts)
            )
        if kind == "content_block_start":
            return self._started(event.get("index"), event.get("content_block") or {})
        if kind == "content_block_delta":
            delta = event.get("delta") or {}
            if delta.get("type") == "input_json_delta":
                at, text = event.get("index"), str(delta.get("partial_json") or "")
                if text:
                    self._inputs.pop(at, None)
                return Chunk(tools=(ToolDelta(index=self._tools.setdefault(at, len(self._tools)), arguments=text),))
            return Chunk(text=str(delta.get("text") or ""), thinking=str(delta.get("thinking") or ""))
        if kind == "content_block_stop":
            return self._stopped(event.get("index"))
        if kind == "message_delta":
            # Gateways end with zeros for what they counted at the beginning.
            self._counts.update({k: v for k, v in (event.get("usage") or {}).items() if v})
            return self._ended((event.get("delta") or {}).get("stop_reason"))
        return None

    def whole(self, message: dict[str, Any]) -> list[Chunk]:
        """A message that came as one."""
        self._counts.update(message.get("usage") or {})
        tier = _tier(self._counts)
        found = [Chunk(response_model=message.get("model"), usage=to_usage(self._counts), service_tier=tier)]
        for at, block in enumerate(message.get("content") or ()):
            found += [chunk for chunk in (self._started(at, block), self._stopped(at)) if chunk]
            if block.get("type") != "tool_use":
                found.append(Chunk(text=str(block.get("text") or ""), thinking=str(block.get("thinking") or "")))
        # It came as a whole, so it is no broken one where it does not say why it ended.
        has_said = any(chunk.text or chunk.tools for chunk in found)
        return [*found, self._ended(message.get("stop_reason") or ("unknown" if has_said else None))]

    def _started(self, at: Any, block: dict[str, Any]) -> Chunk | None:
        tools = self._bare()
        if block.get("type") == "tool_use":
            index = self._tools[at] = len(self._tools)
            self._inputs[at] = block.get("input")
            call_id, name = (str(block.get(word) or "") for word in ("id", "name"))
            tools += (ToolDelta(index=index, id=call_id, name=name),)
        return Chunk(tools=tools) if tools else None

    def _stopped(self, at: Any) -> Chunk | None:
        """The arguments of a call that came as a whole."""
        if self._inputs.get(at) in (None, {}, ""):
            return None
        arguments = to_arguments(self._inputs.pop(at))
        return Chunk(tools=(ToolDelta(index=self._tools[at], arguments=arguments),))

    def _bare(self) -> tuple[ToolDelta, ...]:
        """The arguments of calls to which none came, because they have none."""
        bare, self._inputs = self._inputs, {}
        return tuple(
            ToolDelta(index=self._tools[at], arguments=to_arguments(given) or "{}") for at, given in bare.items()
        )

    def _ended(self, reason: Any) -> Chunk:
        finish = None if reason is None else _FINISH.get(str(reason), "other")
        tools = self._bare() if finish not in (None, "length") else ()
        return Chunk(
            tools=tools,
            usage=to_usage(self._counts),
            finish_reason=finish,
            reason=str(reason)[:300] if finish in UNUSUAL else None,
            service_tier=_tier(self._counts),
        )


def to_usage(given: dict[str, Any]) -> Usage | None:
    """Anthropic counts the cached, the written and the plain input apart; ours is the whole with its parts.

    Where an answer took several rounds, all of them are billed, and its own counts leave out those that shortened the
    conversation. Rounds of another kind, such as advice of another model at its own price, are not known.
    """
    listed = given.get("iterations")
    rounds = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    more = {f"iterations.{str(each.get('type'))[:40]}": 1 for each in rounds if each.get("type") not in _ROUNDS}
    counts = Counts({name: value for name, value in given.items() if name != "iterations"})
    billed = [Counts(each) for each in rounds if each.get("type") in _ROUNDS]
    sums = [[each.take(name) for name in _COUNTED] for each in (counts, *billed)]
    plain, read, written, short, hour, output, thinking = map(sum, zip(*(sums[1:] or sums), strict=True))
    searches = counts.take("server_tool_use.web_search_requests")
    counts.take("server_tool_use.web_fetch_requests")  # a fetch costs its tokens alone
    written = max(written, hour + short)  # where a gateway leaves the whole out, or says 0
    if unsaid := written - hour - short if hour + short else 0:
        more["cache_creation"] = unsaid
    for each in billed:
        more |= {f"iterations.{name}": count for name, count in each.unknown.items()}
    usage = Usage(
        input_tokens=plain + read + written,
        cached_tokens=read,
        cache_write_tokens=written - hour,
        cache_write_1h_tokens=hour,
        output_tokens=output,
        thinking_tokens=min(thinking, output),
        n_searches=searches,
        more=more | counts.unknown,
    )
    return usage if is_credible(usage) else None


_ROUNDS = ("message", "compaction")
_COUNTED = (  # in the order in which they are summed
    "input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens",
    "cache_creation.ephemeral_5m_input_tokens", "cache_creation.ephemeral_1h_input_tokens",
    "output_tokens", "output_tokens_details.thinking_tokens",
)  # fmt: skip


def _tier(counts: dict[str, Any]) -> str | None:
    """The tier of a request and its place: `fast`, `standard+us`."""
    served, speed, place = (tier_of(counts.get(name)) for name in ("service_tier", "speed", "inference_geo"))
    tier = speed if speed == "fast" and served in (None, "standard") else served
    if place in (None, "global", "not_available"):
        return tier
    return f"{tier or 'standard'}+{place}"
