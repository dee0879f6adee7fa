"""Anthropic's wire on /v1: messages, plain and streamed, their tokens counted, and models.

It lies beside OpenAI's under /v1, where all its clients look for it; of the models, who sends `anthropic-version` gets
Anthropic's list. What speaks the same wire gets the body as it came, and its bytes are handed on.
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, unquote

from api.errors import Nowhere
from api.gateway.anthropic import request as read
from api.gateway.anthropic.clients import CLIENTS
from api.gateway.anthropic.response import AnthropicAnswer, error_form
from api.gateway.anthropic.schemas import paths
from api.gateway.exchange import Exchange
from api.gateway.names import named, names_for
from api.gateway.options import origin_of
from api.gateway.respond import count, respond
from api.gateway.wire import Wire
from core import Model, ModelManager
from core.formats.strict_json import encoded

MOST_MODELS = 1000


async def handle(exchange: Exchange, mm: ModelManager) -> None:
    """Answer a request of this wire. Raises: AimmError, CallerLeft."""
    path = exchange.path.removeprefix("/v1").rstrip("/")
    if exchange.method == "GET" and (path == "/models" or path.startswith("/models/")):
        await _models(exchange, mm, unquote(path.removeprefix("/models").removeprefix("/")))
    elif exchange.method == "POST" and path == "/messages":
        body = await exchange.json()
        origin = origin_of(exchange, user=read.user(body), metadata=body.get("metadata"), body=body)
        await respond(exchange, mm, read.message(body, exchange.headers), origin, AnthropicAnswer())
    elif exchange.method == "POST" and path == "/messages/count_tokens":
        body = await exchange.json()
        origin = origin_of(exchange, user=read.user(body), metadata=body.get("metadata"))
        await count(exchange, mm, read.message(body, exchange.headers), origin)
    else:
        raise Nowhere


async def _models(exchange: Exchange, mm: ModelManager, wanted: str) -> None:
    """A page of all models, or the one that is wanted."""
    if wanted:
        found = await asyncio.to_thread(named, mm, exchange.key, wanted)
        await exchange.answer(200, encoded(_model(wanted, found.model)))
        return
    known = {each.name: each.model for each in await asyncio.to_thread(names_for, mm, exchange.key)}
    names = list(known)
    said = dict(parse_qsl(exchange.query.decode("latin-1")))
    limit = int(given) if (given := said.get("limit", "")[:6]).isdecimal() else 20
    start, end = 0, len(names)
    if (after := said.get("after_id")) in names:
        start = names.index(after) + 1
    if (before := said.get("before_id")) in names:
        end = names.index(before)
        start = max(start, end - limit)
    shown = names[start:end][: max(1, min(limit, MOST_MODELS))]
    listed: Mapping[str, Any] = {
        "data": [_model(name, known[name]) for name in shown],
        "has_more": start + len(shown) < end if before not in names else start > 0,
        "first_id": shown[0] if shown else None,
        "last_id": shown[-1] if shown else None,
    }
    await exchange.answer(200, encoded(listed))


def _model(name: str, model: Model | None) -> dict[str, Any]:
    """A model, an alias or an experiment; the time of its making is not known, and clients want one."""
    made_at = datetime.fromtimestamp(0, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    found: dict[str, Any] = {"type": "model", "id": name, "display_name": name, "created_at": made_at}
    if model is not None:
        found["display_name"] = model.label or name
        limits = {"max_input_tokens": model.context_tokens, "max_tokens": model.max_output_tokens}
        found |= {word: n for word, n in limits.items() if n is not None}
    return found


WIRE = Wire(
    prefix="/v1/messages",
    name="anthropic",
    handle=handle,
    error=error_form,
    paths=paths,
    clients=CLIENTS,
    shared=("/v1/models", b"anthropic-version"),
    id_header=b"request-id",
)
