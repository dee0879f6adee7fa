"""Gemini's wire under /gemini: generateContent, streamGenerateContent, countTokens and models, for google-genai itself.

`/gemini/v1/…` and `/gemini/v1beta/…` are the same; they are not under /v1, where OpenAI's models are.
"""

import asyncio
import re
from typing import Any
from urllib.parse import unquote

from api.gateway.exchange import Exchange
from api.gateway.gemini import request as read
from api.gateway.gemini.clients import CLIENTS
from api.gateway.gemini.response import GeminiAnswer, error_form
from api.gateway.gemini.schemas import paths
from api.gateway.options import origin_of
from api.gateway.respond import respond
from api.gateway.wire import Wire
from core import InvalidRequest, Model, ModelManager, NotFound
from core.formats.strict_json import encoded

# A name may hold colons itself: exp:NAME, llama3:8b.
_ADDRESS = re.compile(
    r"/gemini/v1(?:beta|alpha)?/(models)(?:/(.+?))?(?::(generateContent|streamGenerateContent|countTokens))?"
)
_METHODS = ["generateContent", "countTokens", "streamGenerateContent"]
_ANSWERS = frozenset({"generateContent", "streamGenerateContent"})


async def handle(exchange: Exchange, mm: ModelManager) -> None:
    """Answer a request of this wire. Raises: AimmError, CallerLeft."""
    found = _ADDRESS.fullmatch(exchange.path)
    if found is None:
        raise NotFound("There is nothing at this address.")
    model, action = unquote(found[2] or ""), found[3]
    if exchange.method == "POST" and action in _ANSWERS:
        is_streamed = action == "streamGenerateContent"
        if is_streamed and b"alt=sse" not in exchange.query:
            raise InvalidRequest("Streams come as server-sent events only: add ?alt=sse.")
        request = read.content(model, await exchange.json(), is_streamed=is_streamed)
        await respond(exchange, mm, request, origin_of(exchange), GeminiAnswer())
    elif exchange.method == "POST" and action == "countTokens":
        await _count(exchange, mm, model)
    elif exchange.method == "GET" and action is None:
        await _models(exchange, mm, model)
    else:
        raise NotFound("There is nothing at this address.")


async def _models(exchange: Exchange, mm: ModelManager, wanted: str) -> None:
    """All models, or the one that is wanted."""
    key = exchange.key
    known: dict[str, Model] = {}
    for each in await asyncio.to_thread(mm.models):
        known.setdefault(each.name, each)  # of vendors with a model of one name the first is asked
    found = [_model(each) for name, each in known.items() if key is None or key.may_ask(name)]
    if not wanted:
        return await exchange.answer(200, encoded({"models": found}))
    for model in found:
        if model["name"] == f"models/{wanted}":
            return await exchange.answer(200, encoded(model))
    raise NotFound(f"There is no model {wanted[:80]!r}.")


async def _count(exchange: Exchange, mm: ModelManager, model: str) -> None:
    body = await exchange.json()
    inner = body.get("generateContentRequest")
    request = read.content(model, inner if isinstance(inner, dict) else body, is_streamed=False)
    user_id = origin_of(exchange).user_id
    n = await asyncio.to_thread(mm.count_tokens, request, exchange.key, user_id=user_id)
    await exchange.answer(200, encoded({"totalTokens": n}))


def _model(model: Model) -> dict[str, Any]:
    value = {
        "name": f"models/{model.name}",
        "displayName": model.label or model.name,
        "supportedGenerationMethods": _METHODS,
        "inputTokenLimit": model.context_tokens,
        "outputTokenLimit": model.max_output_tokens,
    }
    return {name: each for name, each in value.items() if each is not None}


WIRE = Wire(
    prefix="/gemini",
    name="gemini",
    handle=handle,
    error=error_form,
    paths=paths,
    clients=CLIENTS,
    key_headers=(b"x-goog-api-key",),
)
