"""OpenAI's Responses on /v1/responses: plain and streamed, and those that are kept, by their ids.

What speaks the same wire gets the body as it came, and its bytes are handed on.
"""

import asyncio
import logging
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import parse_qs

from api.errors import Nowhere, Unserved
from api.gateway.exchange import Exchange
from api.gateway.openai.response import error_form
from api.gateway.options import origin_of
from api.gateway.respond import count, respond
from api.gateway.responses import request as read
from api.gateway.responses.clients import CLIENTS
from api.gateway.responses.response import ENCRYPTED, ResponsesAnswer
from api.gateway.responses.schemas import paths
from api.gateway.wire import Wire
from core import AimmError, Call, Generation, InvalidRequest, ModelManager, Origin, Request
from core.formats import strict_json as json
from core.formats.names import PROMPT
from core.formats.strict_json import encoded

logger = logging.getLogger(__name__)


async def handle(exchange: Exchange, mm: ModelManager) -> None:
    """Answer a request of this wire. Raises: AimmError, CallerLeft."""
    path = exchange.path.removeprefix(WIRE.prefix).strip("/")
    if not path and exchange.method == "GET" and exchange.header(b"upgrade"):
        # Clients that try a WebSocket first turn to POST at once when they hear this.
        raise Unserved("Responses are asked for by POST; there is no WebSocket here.", 426)
    if exchange.method == "POST" and path == "":
        await _respond(exchange, mm, await exchange.json())
    elif exchange.method == "POST" and path == "input_tokens":
        body = await exchange.json()
        request, origin, _ = await _asked(exchange, mm, body)
        await count(exchange, mm, request, origin, object="response.input_tokens")
    elif exchange.method == "POST" and path.endswith("/cancel"):
        raise InvalidRequest("Only a response in the background can be cancelled, and none is made here.")
    elif exchange.method in ("GET", "DELETE") and path:
        await _stored(exchange, mm, path)
    else:
        raise Nowhere


async def _read(exchange: Exchange, mm: ModelManager, body: dict[str, Any]) -> Request:
    given, previous = read.items_of(body), body.get("previous_response_id") or ""
    if not isinstance(previous, str):
        raise InvalidRequest("previous_response_id must be a text.")
    if body.get("background") is True:
        raise InvalidRequest("background is not taken: stream the answer, or use /v1/batches for work that can wait.")
    key_id = exchange.key.id if exchange.key else ""
    return read.response(body, await asyncio.to_thread(mm.responses.conversation, given, previous, key_id))


async def _asked(exchange: Exchange, mm: ModelManager, body: dict[str, Any]) -> tuple[Request, Origin, dict[str, Any]]:
    """The request of a body and its origin, with a prompt that is kept here in the place of the model."""
    model, prompt, body = await asyncio.to_thread(_own_prompt, mm, body)
    request = await _read(exchange, mm, body)
    origin = origin_of(exchange, user=read.user(body), metadata=body.get("metadata"), body=body)
    variables = {**origin.variables, **prompt}
    # Each answer has ids of its own, to which later requests refer, so none is given twice.
    return request, replace(origin, cache_s=0, variables=variables, prompt_model=model), body


async def _respond(exchange: Exchange, mm: ModelManager, body: dict[str, Any]) -> None:
    request, origin, body = await _asked(exchange, mm, body)
    is_stored = body.get("store") is not False
    keeps_texts = is_stored and mm.calls.recorder.kept(origin) == "full"
    answer = ResponsesAnswer(body, is_stored=keeps_texts)

    async def keep(g: Generation, call: Call, raw: bytes) -> None:
        response = answer.response or (json.loads(raw) if raw else None)
        if not is_stored or response is None or not response.get("id"):
            return
        by = g.deployment or g.provider if "responses" in call.answerer.wires else ""
        given = read.items_of(body)
        previous = body.get("previous_response_id") or ""
        keeping = partial(mm.responses.keep, response, given, origin.key_id, by, previous_id=previous, full=keeps_texts)
        try:
            await asyncio.to_thread(keeping)
        except AimmError as error:  # it is an answer all the same
            logger.warning("a response could not be kept: %s", error.code)

    await respond(exchange, mm, request, origin, answer, keep)


def _own_prompt(mm: ModelManager, body: dict[str, Any]) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """(the model that is to answer a prompt, its variables, the body that names it as its model), where `prompt` is one
    that is kept here; all others are OpenAI's own.

    Raises:
        NotFound: It has no such version. InvalidRequest: Its variables are more than texts.
    """
    said = body.get("prompt")
    name = said.get("id") if isinstance(said, dict) else None
    if not isinstance(said, dict) or not isinstance(name, str) or not mm.prompts.has(name):
        return "", {}, body
    ref = f"{name}@{said['version']}" if said.get("version") else name
    mm.prompts.get(ref)
    variables = said.get("variables") or {}
    if not isinstance(variables, dict):
        raise InvalidRequest("prompt.variables must be an object.", param="prompt")
    texts = {key: value.get("text", value) if isinstance(value, dict) else value for key, value in variables.items()}
    others = {key: value for key, value in body.items() if key != "prompt"}
    model = body.get("model")
    return model if isinstance(model, str) else "", texts, {**others, "model": f"{PROMPT}{ref}"}


async def _stored(exchange: Exchange, mm: ModelManager, path: str) -> None:
    """A response that is kept, the items that it was given to, or its deletion."""
    response_id, _, part = path.partition("/")
    key_id = exchange.key.id if exchange.key else ""
    said = parse_qs(exchange.query.decode("latin-1"))
    if part not in ("", "input_items") or (part and exchange.method == "DELETE"):
        raise Nowhere
    if exchange.method == "DELETE":
        if by := (await asyncio.to_thread(mm.responses.find, response_id, key_id)).provider:
            await asyncio.to_thread(mm.calls.forget_response, by, response_id)
        await asyncio.to_thread(mm.responses.delete, response_id, key_id)
        value: dict[str, Any] = {"id": response_id, "object": "response", "deleted": True}
    elif part:
        items = await asyncio.to_thread(mm.responses.input_items, response_id, key_id)
        value = _page(items, said)
    else:
        if said.get("stream") == ["true"]:
            raise InvalidRequest("A response that is kept is not streamed again.")
        stored = await asyncio.to_thread(mm.responses.get, response_id, key_id)
        shows = {"include": [ENCRYPTED] if ENCRYPTED in said.get("include[]", said.get("include", [])) else []}
        value = ResponsesAnswer(shows, is_stored=True).shown((stored.content or {})["response"])
    await exchange.answer(200, encoded(value))


def _page(items: list[dict[str, Any]], said: dict[str, list[str]]) -> dict[str, Any]:
    """A page of items, the newest first unless they are wanted otherwise."""
    data = [{"id": f"item_{at}", "type": "message", **item} for at, item in enumerate(items)]
    if said.get("order") != ["asc"]:
        data.reverse()
    ids = [item["id"] for item in data]
    after = said.get("after", [""])[0]
    start = ids.index(after) + 1 if after in ids else 0
    limit = said.get("limit", ["20"])[0]
    shown = data[start:][: max(1, min(100, int(limit))) if limit[:4].isdecimal() else 20]
    return {
        "object": "list", "data": shown, "has_more": start + len(shown) < len(data),
        "first_id": shown[0]["id"] if shown else None, "last_id": shown[-1]["id"] if shown else None,
    }  # fmt: skip


WIRE = Wire(
    prefix="/v1/responses",
    name="responses",
    handle=handle,
    error=error_form,
    paths=paths,
    clients=CLIENTS,
    id_header=b"x-request-id",
)
