"""Anthropic's messages API."""

import json
from collections.abc import AsyncIterator
from typing import Any

from core.domain.generation import Chunk, FinishReason, Model, Request, Usage
from core.providers.base import KeyCheck, is_credible
from core.providers.http import HttpVendor, count_of
from core.providers.openai import checked

LIST_TIMEOUT_S = 6.0
ANTHROPIC_URL = "https://api.anthropic.com"
VERSION = "2023-06-01"
LONGEST = 4096  # the API wants a length; where the caller names none
_FINISH: dict[str, FinishReason] = {
    "end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool_calls", "refusal": "content_filter",
    "model_context_window_exceeded": "length",
}  # fmt: skip
_STATUS = {
    "overloaded_error": 529, "rate_limit_error": 429, "authentication_error": 401, "permission_error": 403,
    "not_found_error": 404, "request_too_large": 413, "invalid_request_error": 400, "timeout_error": 504,
}  # fmt: skip


class AnthropicProvider:
    """One key, one client."""

    name = "anthropic"

    def __init__(self, api_key: str, base_url: str | None = None) -> None:
        headers = {"x-api-key": api_key, "anthropic-version": VERSION}
        self._http = HttpVendor("Anthropic", base_url or ANTHROPIC_URL, headers)

    async def stream(self, request: Request, *, attempt: int, timeout_s: float) -> AsyncIterator[Chunk]:
        counts: dict[str, Any] = {}
        async with self._http.events("/v1/messages", _body(request), timeout_s) as events:
            async for event in events:
                if event.get("type") == "error":
                    error = event.get("error") or {}
                    status = _STATUS.get(str(error.get("type")), 500)
                    raise self._http.error(status, json.dumps(event).encode(), {})
                chunk = _to_chunk(event, counts)
                if chunk is not None:
                    yield chunk

    async def models(self) -> list[Model]:
        body = await self._http.get("/v1/models?limit=1000", LIST_TIMEOUT_S)
        found = body.get("data") if isinstance(body, dict) else None
        return [_to_model(each) for each in found or () if isinstance(each, dict) and each.get("id")]

    async def count_tokens(self, request: Request) -> int:
        body = _body(request)
        wanted: dict[str, Any] = {
            name: body[name] for name in ("model", "messages", "system", "thinking") if name in body
        }
        answer = await self._http.post("/v1/messages/count_tokens", wanted, LIST_TIMEOUT_S)
        return int(answer["input_tokens"])

    async def check(self) -> KeyCheck:
        """Try the key: read the model list."""
        return await checked("Anthropic", self.models)

    async def close(self) -> None:
        await self._http.close()


def guess(name: str) -> Model:
    accepts = frozenset({"temperature", "max_tokens", "top_p", "thinking_budget"})
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
    p = request.parameters
    roles = {"user": "user", "model": "assistant"}
    longest = p.max_tokens or LONGEST
    body: dict[str, Any] = {
        "model": request.model,
        "max_tokens": longest,
        "messages": [{"role": roles[message.role], "content": message.text} for message in request.messages],
        "stream": True,
        "system": request.system or None,
        "temperature": p.temperature,
        "top_p": p.top_p,
    }
    if p.thinking_budget:
        # Thinking counts into the length; the API wants the length to be larger.
        budget = max(1024, p.thinking_budget) if p.thinking_budget > 0 else 1024
        body |= {"thinking": {"type": "enabled", "budget_tokens": budget}, "max_tokens": max(longest, budget + 1)}
    return {name: value for name, value in body.items() if value is not None}


def _to_chunk(event: dict[str, Any], counts: dict[str, Any]) -> Chunk | None:
    """Usage comes in two halves, the input's first: `counts` puts them together."""
    kind = event.get("type")
    if kind == "message_start":
        message = event.get("message") or {}
        counts.update(message.get("usage") or {})
        return Chunk(response_model=message.get("model"), usage=to_usage(counts))
    if kind == "content_block_delta":
        delta = event.get("delta") or {}
        return Chunk(text=str(delta.get("text") or ""), thinking=str(delta.get("thinking") or ""))
    if kind == "message_delta":
        counts.update({k: v for k, v in (event.get("usage") or {}).items() if v is not None})
        reason = (event.get("delta") or {}).get("stop_reason")
        finish = None if reason is None else _FINISH.get(str(reason), "unknown")
        blocked = "refusal" if reason == "refusal" else None
        return Chunk(usage=to_usage(counts), finish_reason=finish, block_category=blocked)
    return None


def to_usage(counts: dict[str, Any]) -> Usage | None:
    """Anthropic counts the cached, the written and the plain input apart; ours is the whole with its parts."""
    plain = counts.get("input_tokens")
    if not isinstance(plain, int):
        return None
    read, written = count_of(counts, "cache_read_input_tokens"), count_of(counts, "cache_creation_input_tokens")
    hour = count_of(counts.get("cache_creation"), "ephemeral_1h_input_tokens")
    searches = count_of(counts.get("server_tool_use"), "web_search_requests")
    usage = Usage(
        input_tokens=plain + read + written,
        cached_tokens=read,
        cache_write_tokens=max(0, written - hour),
        cache_write_1h_tokens=min(hour, written),
        output_tokens=count_of(counts, "output_tokens"),
        n_searches=searches,
    )
    return usage if is_credible(usage) else None
