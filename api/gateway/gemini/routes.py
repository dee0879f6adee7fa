"""Gemini's wire under /gemini: generateContent, streamGenerateContent, countTokens and models, for google-genai itself.

`/gemini/v1/…` and `/gemini/v1beta/…` are the same; they are not under /v1, where OpenAI's models are.
"""

import asyncio
import re
from typing import Any
from urllib.parse import unquote

from api.gateway.exchange import Exchange, dumped
from api.gateway.gemini import request as gemini_request
from api.gateway.gemini.response import GeminiAnswer
from api.gateway.respond import respond
from core import InvalidRequest, ModelManager, NotFound
from core.domain.key import Key

# A name may hold colons itself: exp:NAME, llama3:8b.
_ADDRESS = re.compile(
    r"/gemini/v1(?:beta|alpha)?/(models)(?:/(.+?))?(?::(generateContent|streamGenerateContent|countTokens))?"
)
_METHODS = ["generateContent", "countTokens", "streamGenerateContent"]
_ANSWERS = frozenset({"generateContent", "streamGenerateContent"})


async def handle(exchange: Exchange, mm: ModelManager, key: Key | None) -> None:
    """Answer a request of this wire. Raises: AimmError, Left."""
    found = _ADDRESS.fullmatch(exchange.path)
    if found is None:
        raise NotFound("There is nothing at this address.")
    model, action = unquote(found[2] or ""), found[3]
    if exchange.method == "POST" and action in _ANSWERS:
        is_streamed = action == "streamGenerateContent"
        if is_streamed and b"alt=sse" not in exchange.query:
            raise InvalidRequest("Streams come as server-sent events only: add ?alt=sse.")
        asked = gemini_request.content(exchange, model, await exchange.json(), key, is_streamed=is_streamed)
        await respond(exchange, mm, asked, GeminiAnswer())
    elif exchange.method == "POST" and action == "countTokens":
        await _count(exchange, mm, key, model)
    elif exchange.method == "GET" and action is None:
        models = [_model(each) for each in await asyncio.to_thread(mm.models) if key is None or key.may_ask(each.name)]
        if not model:
            await exchange.answer(200, dumped({"models": models}), {})
            return
        wanted = next((each for each in models if each["name"] == f"models/{model}"), None)
        if wanted is None:
            raise NotFound(f"There is no model {model[:80]!r}.")
        await exchange.answer(200, dumped(wanted), {})
    else:
        raise NotFound("There is nothing at this address.")


async def _count(exchange: Exchange, mm: ModelManager, key: Key | None, model: str) -> None:
    body = await exchange.json()
    whole = body.get("generateContentRequest")
    asked = gemini_request.content(exchange, model, whole if isinstance(whole, dict) else body, key, is_streamed=False)
    n = await asyncio.to_thread(mm.count_tokens, asked.request, key)
    await exchange.answer(200, dumped({"totalTokens": n}), {})


def _model(model: Any) -> dict[str, Any]:
    value = {
        "name": f"models/{model.name}",
        "displayName": model.label or model.name,
        "supportedGenerationMethods": _METHODS,
        "inputTokenLimit": model.context_tokens,
        "outputTokenLimit": model.max_output_tokens,
    }
    return {name: each for name, each in value.items() if each is not None}
