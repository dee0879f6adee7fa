"""The OpenAI wire on /v1: chat completions, plain and streamed, embeddings, models, and feedback for experiments.

Change `base_url`, and nothing else. What speaks the same wire gets the body as it came, and its bytes are handed on.
"""

import asyncio
from typing import Any

from api.errors import Nowhere
from api.gateway.batches import routes as batches
from api.gateway.batches.schemas import paths as batch_paths
from api.gateway.exchange import Exchange
from api.gateway.names import Named, named, names_for
from api.gateway.openai import media
from api.gateway.openai import request as read
from api.gateway.openai.clients import CLIENTS
from api.gateway.openai.feedback import give
from api.gateway.openai.response import OpenAIAnswer, error_form
from api.gateway.openai.schemas import paths
from api.gateway.options import origin_of
from api.gateway.respond import respond
from api.gateway.wire import Wire
from core import ModelManager
from core.domain.operation import ADDRESSES
from core.formats.strict_json import encoded


async def handle(exchange: Exchange, mm: ModelManager) -> None:
    """Answer a request of this wire. Raises: AimmError, CallerLeft."""
    path = exchange.path.removeprefix(WIRE.prefix)
    if batches.owns(path):
        await batches.handle(exchange, mm, path)
    elif exchange.method == "GET" and (path == "/models" or path.startswith("/models/")):
        await _models(exchange, mm, path.removeprefix("/models").removeprefix("/"))
    elif exchange.method == "POST" and path in ADDRESSES:
        await media.handle(exchange, mm, path)
    elif exchange.method == "POST" and path in _POSTS:
        await _POSTS[path](exchange, mm, await exchange.json())
    else:
        raise Nowhere


async def _chat(exchange: Exchange, mm: ModelManager, body: dict[str, Any]) -> None:
    request = read.chat(body)
    options = body.get("stream_options")
    is_counted = isinstance(options, dict) and options.get("include_usage") is True
    origin = origin_of(
        exchange, user=read.user(body), fallbacks=read.fallbacks(body), metadata=body.get("metadata"), body=body
    )
    await respond(exchange, mm, request, origin, OpenAIAnswer(is_counted=is_counted))


async def _embeddings(exchange: Exchange, mm: ModelManager, body: dict[str, Any]) -> None:
    request = read.embeddings(body)
    is_packed = body.get("encoding_format") == "base64"
    origin = origin_of(exchange, user=read.user(body), fallbacks=read.fallbacks(body), body=body)
    await respond(exchange, mm, request, origin, OpenAIAnswer(is_counted=False, base64_vectors=is_packed))


async def _models(exchange: Exchange, mm: ModelManager, wanted: str) -> None:
    """All models, or the one that is wanted."""
    if wanted:
        one = await asyncio.to_thread(named, mm, exchange.key, wanted)
        await exchange.answer(200, encoded(_model(one)))
        return
    found = [_model(each) for each in await asyncio.to_thread(names_for, mm, exchange.key)]
    await exchange.answer(200, encoded({"object": "list", "data": found}))


def _model(named: Named) -> dict[str, Any]:
    return {"id": named.name, "object": "model", "created": 0, "owned_by": named.owner}


_POSTS = {"/chat/completions": _chat, "/embeddings": _embeddings, "/feedback": give}
WIRE = Wire(
    prefix="/v1",
    name="openai",
    handle=handle,
    error=error_form,
    paths=lambda: {**paths(), **batch_paths()},
    clients=CLIENTS,
    id_header=b"x-request-id",
)
