"""Gemini's wire under /gemini: generateContent, streamGenerateContent, countTokens and models, for google-genai itself.

`/gemini/v1/…` and `/gemini/v1beta/…` are the same; they are not under /v1, where OpenAI's models are.
"""

import asyncio
import re
from typing import Any
from urllib.parse import unquote

from api.errors import Nowhere
from api.gateway.exchange import Exchange
from api.gateway.gemini import request as read
from api.gateway.gemini.clients import CLIENTS
from api.gateway.gemini.response import GeminiAnswer, error_form
from api.gateway.gemini.schemas import paths
from api.gateway.names import named, names_for
from api.gateway.options import origin_of
from api.gateway.respond import respond
from api.gateway.wire import Wire
from core import InvalidRequest, Model, ModelManager
from core.formats.strict_json import encoded

# A name may hold colons itself: exp:NAME, llama3:8b.
_ADDRESS = re.compile(
    r"/gemini/v1(?:beta|alpha)?/(models)(?:/(.+?))?"
    r"(?::(generateContent|streamGenerateContent|countTokens|embedContent|batchEmbedContents))?"
)
_METHODS = ["generateContent", "countTokens", "streamGenerateContent"]
_ANSWERS = frozenset({"generateContent", "streamGenerateContent"})
_EMBEDS = ("embedContent", "batchEmbedContents")


async def handle(exchange: Exchange, mm: ModelManager) -> None:
    """Answer a request of this wire. Raises: AimmError, CallerLeft."""
    found = _ADDRESS.fullmatch(exchange.path)
    if found is None:
        raise Nowhere
    model, action = unquote(found[2] or ""), found[3]
    if exchange.method == "POST" and action in _ANSWERS:
        is_streamed = action == "streamGenerateContent"
        if is_streamed and b"alt=sse" not in exchange.query:
            raise InvalidRequest("Streams come as server-sent events only: add ?alt=sse.")
        body = await exchange.json()
        request = read.content(model, body, is_streamed=is_streamed)
        await respond(
            exchange, mm, request, origin_of(exchange, metadata=body.get("labels"), body=body), GeminiAnswer()
        )
    elif exchange.method == "POST" and action in _EMBEDS:
        body = await exchange.json()
        if ("requests" in body) is not (action == "batchEmbedContents"):
            raise InvalidRequest("batchEmbedContents takes requests, embedContent one content.")
        await respond(exchange, mm, read.embeddings(model, body), origin_of(exchange, body=body), GeminiAnswer())
    elif exchange.method == "POST" and action == "countTokens":
        await _count(exchange, mm, model)
    elif exchange.method == "GET" and action is None:
        await _models(exchange, mm, model)
    else:
        raise Nowhere


async def _models(exchange: Exchange, mm: ModelManager, wanted: str) -> None:
    """All models, or the one that is wanted."""
    if wanted:
        one = await asyncio.to_thread(named, mm, exchange.key, wanted)
        await exchange.answer(200, encoded(_model(wanted, one.model)))
        return
    known = await asyncio.to_thread(names_for, mm, exchange.key)
    # Google's own client wants limits of all that it lists, which aliases and experiments have not.
    found = [_model(name, model) for name, _, model in known if model is not None]
    await exchange.answer(200, encoded({"models": found}))


async def _count(exchange: Exchange, mm: ModelManager, model: str) -> None:
    body = await exchange.json()
    inner = body.get("generateContentRequest")
    body = inner if isinstance(inner, dict) else body
    origin = origin_of(exchange, metadata=body.get("labels"))
    n, _ = await asyncio.to_thread(mm.calls.count_tokens, read.content(model, body, is_streamed=False), origin)
    await exchange.answer(200, encoded({"totalTokens": n}))


def _model(name: str, model: Model | None) -> dict[str, Any]:
    value: dict[str, Any] = {"name": f"models/{name}", "displayName": name, "supportedGenerationMethods": _METHODS}
    if model is not None:
        value |= {"displayName": model.label or name, "inputTokenLimit": model.context_tokens}
        value["outputTokenLimit"] = model.max_output_tokens
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
