"""The OpenAI wire: OpenAI itself, Ollama, and any server that speaks the same (vLLM, LM Studio, OpenRouter, …)."""

import json
import re
from collections.abc import AsyncIterator
from typing import Any

from core.domain.generation import SERVICE_TIERS, Chunk, FinishReason, Model, Request, Usage
from core.errors import (
    AimmError,
    AuthenticationError,
    InvalidRequest,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
)
from core.providers.base import KeyCheck, is_credible
from core.providers.http import HttpVendor, count_of

LIST_TIMEOUT_S = 6.0
OPENAI_URL = "https://api.openai.com/v1"
_FINISH: dict[str, FinishReason] = {
    "stop": "stop", "length": "length", "content_filter": "content_filter", "tool_calls": "tool_calls",
    "function_call": "tool_calls",
}  # fmt: skip
_NOT_TEXT = re.compile(
    r"embed|whisper|tts|dall-e|image|audio|realtime|moderation|transcribe|sora|babbage|davinci|instruct"
)
_REASONS = re.compile(r"^(o\d|gpt-5)")  # these take no temperature of their own, and efforts of thinking
# OpenAI calls its tiers otherwise; "default" is what is standard elsewhere.
_TIERS = {"standard": "default", "flex": "flex", "priority": "priority"}


class OpenAIProvider:
    """One server of the OpenAI wire.

    name: The provider in records and prices. is_own: OpenAI itself, whose newer names for parameters others do not know.
    """

    def __init__(self, name: str, base_url: str, api_key: str | None, *, label: str = "", is_own: bool = False) -> None:
        self.name = name
        self._is_own = is_own
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._http = HttpVendor(label or name, base_url, headers)

    async def stream(self, request: Request, *, attempt: int, timeout_s: float) -> AsyncIterator[Chunk]:
        async with self._http.events("/chat/completions", self._body(request), timeout_s) as events:
            async for event in events:
                if isinstance(event.get("error"), dict):
                    raise self._http.error(_code_of(event["error"]), json.dumps(event).encode(), {})
                yield _to_chunk(event)

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
        accepts = {"max_tokens", "seed", "json_schema"}
        if self._is_own and _REASONS.match(name):
            accepts |= {"thinking_level", "service_tier"}
        else:
            accepts |= {"temperature", "top_p"}
        return Model(name=name, provider=self.name, label=name, accepts=frozenset(accepts))

    async def close(self) -> None:
        await self._http.close()

    def _body(self, request: Request) -> dict[str, Any]:
        p = request.parameters
        messages = [{"role": "system", "content": request.system}] if request.system else []
        roles = {"user": "user", "model": "assistant"}
        messages += [{"role": roles[message.role], "content": message.text} for message in request.messages]
        body: dict[str, Any] = {
            "model": request.model,
            "messages": messages,
            "stream": True,
            "stream_options": {"include_usage": True},
            "temperature": p.temperature,
            "top_p": p.top_p,
            "seed": p.seed,
            "max_completion_tokens" if self._is_own else "max_tokens": p.max_tokens,
            "reasoning_effort": p.thinking_level,
            "service_tier": _TIERS.get(p.service_tier or ""),
        }
        if p.json_schema is not None:
            schema = {"name": "answer", "schema": dict(p.json_schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return {name: value for name, value in body.items() if value is not None}


async def checked(label: str, models: Any) -> KeyCheck:
    """What reading the model list says about a key and an address."""
    try:
        found = await models()
    except AuthenticationError as error:
        return KeyCheck("wrong_key", error.message)
    except RateLimited as error:
        return KeyCheck("quota", f"The key works; its quota is used up just now: {error.message}")
    except (ProviderUnavailable, ProviderTimeout) as error:
        return KeyCheck("network", error.message)
    except AimmError as error:
        return KeyCheck("error", error.message)
    if not found:
        return KeyCheck("error", f"{label} answered, but lists no text model.")
    return KeyCheck("works", f"{label} works: {len(found)} models.")


def _to_chunk(event: dict[str, Any]) -> Chunk:
    choices = event.get("choices") or []
    choice = choices[0] if choices and isinstance(choices[0], dict) else {}
    delta = choice.get("delta") or choice.get("message") or {}
    reason = choice.get("finish_reason")
    finish = None if reason is None else _FINISH.get(str(reason), "unknown")
    tier = event.get("service_tier")
    tier = "standard" if tier == "default" else tier
    return Chunk(
        text=_text(delta.get("content")) or _text(delta.get("refusal")),
        thinking=_text(delta.get("reasoning_content")) or _text(delta.get("reasoning")),
        usage=to_usage(event.get("usage")),
        finish_reason=finish,
        block_category="content_filter" if finish == "content_filter" else None,
        response_model=_text(event.get("model")) or None,
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


def _code_of(error: dict[str, Any]) -> int:
    """An error in the midst of a stream has no status: its code may be one."""
    code = error.get("code")
    if isinstance(code, int) and 400 <= code < 600:
        return code
    return 429 if "rate" in str(code or error.get("type") or "") else 500
