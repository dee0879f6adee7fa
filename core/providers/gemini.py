"""Gemini through google-genai's asynchronous client, with the client's own retries, redirects and loops switched off."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from core.domain.generation import SERVICE_TIERS, Chunk, FinishReason, Model, Request, Usage
from core.errors import (
    AimmError,
    AuthenticationError,
    ContextTooLong,
    InvalidRequest,
    ModelNotFound,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
    redact,
)
from core.pricing.catalogue import known_models, normalise
from core.providers.base import KeyCheck, is_credible
from core.providers.http import translated

LIST_TIMEOUT_S = 6.0
_FINISH: dict[str, FinishReason] = {"STOP": "stop", "MAX_TOKENS": "length"}
_TOOLS = frozenset({"MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS"})
_BLOCKING = frozenset(
    "SAFETY RECITATION LANGUAGE BLOCKLIST PROHIBITED_CONTENT SPII IMAGE_SAFETY IMAGE_PROHIBITED_CONTENT"
    " IMAGE_RECITATION MODEL_ARMOR ESCALATION".split()
)
_NOT_TEXT = re.compile(r"embedding|tts|image|live|audio|robotics|aqa|veo|imagen|banana|omni|computer-use")


class GeminiProvider:
    """One key, one client; made on the event loop that uses it."""

    name = "gemini"

    def __init__(self, api_key: str, base_url: str | None = None) -> None:
        self._api_key = api_key
        self._base_url = base_url
        self._client: Any = None
        self._http: Any = None

    async def stream(self, request: Request, *, attempt: int, timeout_s: float) -> AsyncIterator[Chunk]:
        from google.genai import types

        contents = [
            types.Content(role=message.role, parts=[types.Part(text=message.text)]) for message in request.messages
        ]
        with _translated():
            responses = await self._open().models.generate_content_stream(
                model=request.model, contents=contents, config=_config(request, timeout_s)
            )
            try:
                async for response in responses:
                    yield _to_chunk(response)
            finally:
                await responses.aclose()

    async def models(self) -> list[Model]:
        from google.genai import types

        with _translated():
            options = types.HttpOptions(timeout=int(LIST_TIMEOUT_S * 1000))
            pager = await self._open().models.list(config=types.ListModelsConfig(page_size=1000, http_options=options))
            found = [_to_model(model) async for model in pager]
        return [model for model in found if model is not None]

    async def count_tokens(self, request: Request) -> int:
        from google.genai import types

        contents = [types.Content(role=m.role, parts=[types.Part(text=m.text)]) for m in request.messages]
        if request.system:  # the vendor's count takes no system prompt; it is read like a turn
            contents.insert(0, types.Content(role="user", parts=[types.Part(text=request.system)]))
        with _translated():
            options = types.HttpOptions(timeout=int(LIST_TIMEOUT_S * 1000))
            counted = await self._open().models.count_tokens(
                model=request.model, contents=contents, config=types.CountTokensConfig(http_options=options)
            )
        if counted.total_tokens is None:
            raise ProviderError("Gemini counted no tokens.")
        return int(counted.total_tokens)

    async def check(self) -> KeyCheck:
        """Try the key: read the model list, then let one model write one token."""
        try:
            models = await self.models()
            if not models:
                return KeyCheck("error", "The key is accepted, but no text model is listed for it.")
            name = default_model([model.name for model in models])
            await self._one_token(name)
        except AuthenticationError as error:
            return KeyCheck("api_off" if "not enabled" in error.message else "wrong_key", error.message)
        except RateLimited as error:
            if error.quota.endswith("limit: 0"):
                return KeyCheck("no_tier", f"The key works, but {name} is not in its tier (limit 0).")
            return KeyCheck("quota", f"The key works; its quota is used up just now: {error.message}")
        except (ProviderUnavailable, ProviderTimeout) as error:
            return KeyCheck("network", f"The vendor cannot be reached: {error.message}")
        except AimmError as error:
            return KeyCheck("error", error.message)
        return KeyCheck("works", f"The key works: {len(models)} text models; {name} answered.")

    async def close(self) -> None:
        if self._http is not None:
            await self._http.aclose()

    async def _one_token(self, name: str) -> None:
        from core.domain.generation import Message, Parameters

        request = Request(model=name, messages=(Message("user", "Hi"),), parameters=Parameters(max_tokens=1))
        async for _ in self.stream(request, attempt=1, timeout_s=LIST_TIMEOUT_S):
            pass

    def _open(self) -> Any:
        if self._client is None:
            import httpx2
            from google import genai
            from google.genai import types

            # A client of our own: no redirects (the key would travel along), no proxies from the environment.
            limits = httpx2.Limits(max_connections=512, max_keepalive_connections=64)
            self._http = httpx2.AsyncClient(follow_redirects=False, trust_env=False, limits=limits)
            options = types.HttpOptions(base_url=self._base_url, timeout=60_000, httpx_async_client=self._http)
            self._client = genai.Client(api_key=self._api_key, vertexai=False, http_options=options)
        return self._client.aio


def guess(name: str) -> Model:
    """What a Gemini model accepts, by its name; for models that the vendor's list did not describe."""
    bare = normalise(name)
    accepts = {"temperature", "max_tokens", "top_p", "seed", "json_schema"}
    version = re.match(r"gemini-(\d+)(?:\.(\d+))?", bare)
    if version and int(version[1]) >= 3:
        accepts.add("thinking_level")
    elif version and version[0] == "gemini-2.5":
        accepts.add("thinking_budget")
    if version and (int(version[1]) >= 3 or version[0] == "gemini-2.5"):
        accepts.add("service_tier")
    return Model(name=bare, provider="gemini", label=bare, accepts=frozenset(accepts))


def fallback_models() -> list[Model]:
    """Models of the price catalogue, for when the vendor's list cannot be read."""
    names = (name for name in known_models("gemini") if name.startswith("gemini-") and not _NOT_TEXT.search(name))
    return [guess(name) for name in names]


def default_model(names: list[str]) -> str:
    """The newest stable flash model of a list; its first entry where there is none."""
    flash = [name for name in names if re.fullmatch(r"gemini-[\d.]+-flash", name)]
    return max(flash, key=lambda name: [int(part) for part in re.findall(r"\d+", name)]) if flash else names[0]


def _config(request: Request, timeout_s: float) -> Any:
    from google.genai import types

    p = request.parameters
    thinking = None
    if p.thinking_budget is not None or p.thinking_level is not None:
        level = types.ThinkingLevel(p.thinking_level.upper()) if p.thinking_level else None
        thinking = types.ThinkingConfig(thinking_budget=p.thinking_budget, thinking_level=level, include_thoughts=True)
    return types.GenerateContentConfig(
        system_instruction=request.system or None,
        temperature=p.temperature,
        top_p=p.top_p,
        max_output_tokens=p.max_tokens,
        seed=p.seed,
        service_tier=types.ServiceTier(p.service_tier) if p.service_tier in ("standard", "flex", "priority") else None,
        thinking_config=thinking,
        response_mime_type="application/json" if p.json_schema is not None else None,
        response_json_schema=dict(p.json_schema) if p.json_schema is not None else None,
        automatic_continuation=False,
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        http_options=types.HttpOptions(timeout=max(1, int(timeout_s * 1000))),
    )


def _to_chunk(response: Any) -> Chunk:
    feedback = response.prompt_feedback
    if feedback is not None and feedback.block_reason is not None:
        return Chunk(
            usage=to_usage(response.usage_metadata),
            finish_reason="content_filter",
            block_category=_name(feedback.block_reason),
            response_model=response.model_version,
            service_tier=_tier(response.usage_metadata),
        )
    candidate = response.candidates[0] if response.candidates else None
    parts = (candidate.content.parts or []) if candidate and candidate.content else []
    reason = _name(candidate.finish_reason) if candidate and candidate.finish_reason else None
    blocked = reason if reason in _BLOCKING else None
    return Chunk(
        text="".join(part.text for part in parts if part.text and not part.thought),
        thinking="".join(part.text for part in parts if part.text and part.thought),
        usage=_with_searches(to_usage(response.usage_metadata), candidate, response.model_version),
        finish_reason=_to_finish(reason),
        block_category=blocked,
        response_model=response.model_version,
        service_tier=_tier(response.usage_metadata),
    )


def _tier(metadata: Any) -> str | None:
    """The tier that the vendor says it served, where it says one."""
    served = getattr(metadata, "service_tier", None)  # not every kind of answer has the field
    tier = _name(served).lower() if served else ""
    return tier if tier in SERVICE_TIERS else None


def _with_searches(usage: Usage | None, candidate: Any, model: str | None) -> Usage | None:
    """Grounding is billed by the query from Gemini 3 on; before, by the grounded answer, however many queries it took."""
    grounding = candidate.grounding_metadata if candidate is not None else None
    queries = len(grounding.web_search_queries or ()) if grounding is not None else 0
    if usage is None or not queries:
        return usage
    version = re.match(r"gemini-(\d+)", normalise(model or ""))
    per_query = version is not None and int(version[1]) >= 3
    return replace(usage, n_searches=queries if per_query else 1)


def _name(enum: Any) -> str:
    return str(getattr(enum, "value", enum))


def _to_finish(reason: str | None) -> FinishReason | None:
    if reason is None or reason == "FINISH_REASON_UNSPECIFIED":
        return None
    if reason in _BLOCKING:
        return "content_filter"
    return "tool_calls" if reason in _TOOLS else _FINISH.get(reason, "unknown")


def to_usage(metadata: Any) -> Usage | None:
    """Gemini's counts in our words; None where the vendor sent none that can be believed.

    Gemini's prompt count includes cached but not tool-use tokens; its candidates count excludes thoughts and is
    missing when nothing was written.
    """
    if metadata is None or metadata.prompt_token_count is None:
        return None
    prompt = (metadata.prompt_token_count or 0) + (metadata.tool_use_prompt_token_count or 0)
    thoughts = metadata.thoughts_token_count or 0
    candidates = metadata.candidates_token_count
    if candidates is None:
        candidates = max(0, (metadata.total_token_count or 0) - prompt - thoughts)
    cached = metadata.cached_content_token_count or 0
    audio = _audio(metadata.prompt_tokens_details) + _audio(metadata.tool_use_prompt_tokens_details)
    # Where the vendor does not say which cached tokens were audio, as few as can be are taken for it.
    cached_audio = _audio(metadata.cache_tokens_details) or max(0, cached - (prompt - audio))
    usage = Usage(
        input_tokens=prompt,
        cached_tokens=cached,
        output_tokens=candidates + thoughts,
        thinking_tokens=thoughts,
        audio_tokens=audio,
        cached_audio_tokens=cached_audio,
    )
    return usage if is_credible(usage) else None


def _audio(details: Any) -> int:
    return sum(d.token_count or 0 for d in details or () if d.modality is not None and _name(d.modality) == "AUDIO")


def _to_model(model: Any) -> Model | None:
    bare = normalise(model.name or "")
    actions = model.supported_actions
    if not bare or _NOT_TEXT.search(bare) or (actions is not None and "generateContent" not in actions):
        return None
    guessed = guess(bare)
    return Model(
        name=bare,
        provider="gemini",
        label=model.display_name or bare,
        accepts=guessed.accepts,
        context_tokens=model.input_token_limit,
        max_output_tokens=model.output_token_limit,
        max_temperature=model.max_temperature or guessed.max_temperature,
    )


@contextmanager
def _translated() -> Iterator[None]:
    """Turn what the client raises into our errors, once and here."""
    from google.genai import errors

    with translated("Gemini"):
        try:
            yield
        except errors.APIError as error:
            raise to_error(error) from None  # `from` would keep the request, and with it the key, in the traceback
        except errors.UnknownApiResponseError as error:
            raise ProviderError(f"Gemini's answer could not be read ({type(error).__name__}).") from None


def to_error(error: Any) -> AimmError:
    """Our error for an error answer of the API."""
    message = redact(str(error.message or error.status or f"error {error.code}"))[:500]
    details = _details(error.details)
    reasons = {str(detail.get("reason")) for detail in details}
    lower = message.lower()
    if error.code == 400 and (
        "API_KEY_INVALID" in reasons or "api key not valid" in lower or "api key expired" in lower
    ):
        return AuthenticationError(f"Gemini does not know this key: {message}", hint="Check GEMINI_API_KEY.")
    if error.code in (401, 403):
        if "SERVICE_DISABLED" in reasons or "has not been used" in lower or "is disabled" in lower:
            return AuthenticationError(f"The Gemini API is not enabled for this key's project: {message}")
        return AuthenticationError(f"Gemini refused the key: {message}", hint="Check GEMINI_API_KEY.")
    if error.code == 404:
        return ModelNotFound(f"Gemini has no such model for this key: {message}")
    if error.code == 429:
        return RateLimited(
            f"Gemini's quota is used up: {message}", retry_after_s=_retry_after(error, details), quota=_quota(details)
        )
    if error.code == 400 and re.search(r"token count|exceeds the maximum number of tokens|context", lower):
        return ContextTooLong(
            f"The prompt is too long for this model: {message}", hint="Shorten it or take another model."
        )
    if error.code in (408, 504):
        timeout = ProviderTimeout(f"Gemini gave up in time-out: {message}")
        timeout.is_retryable = True
        return timeout
    if error.code and error.code < 500:
        return InvalidRequest(f"Gemini refused the request: {message}")
    return ProviderUnavailable(
        f"Gemini is not available ({error.code}): {message}", retry_after_s=_retry_after(error, details)
    )


def _details(body: Any) -> list[dict[str, Any]]:
    if not isinstance(body, dict):
        return []
    error = body.get("error", body)
    details = error.get("details", []) if isinstance(error, dict) else []
    return [detail for detail in details if isinstance(detail, dict)]


def _retry_after(error: Any, details: list[dict[str, Any]]) -> float | None:
    texts = [str(detail["retryDelay"]).removesuffix("s") for detail in details if "retryDelay" in detail]
    headers = getattr(error.response, "headers", None) or {}
    texts.append(str(headers.get("retry-after", "")))
    for text in texts:
        try:
            return max(0.0, float(text))
        except ValueError:
            continue
    return None


def _quota(details: list[dict[str, Any]]) -> str:
    for detail in details:
        for violation in detail.get("violations", []):
            name = str(violation.get("quotaId") or violation.get("quotaMetric") or "")
            value = violation.get("quotaValue")
            return f"{name} limit: {value}" if value is not None else name
    return "limit: 0" if "limit: 0" in json.dumps(details) else ""
