"""The OpenAI wire on /v1: chat completions, plain and streamed, embeddings, models, and feedback for experiments.

Change `base_url`, and nothing else. What speaks the same wire gets the body as it came, and its bytes are handed on.
"""

import asyncio
from typing import Any

from api.gateway.exchange import Exchange
from api.gateway.openai import request as read
from api.gateway.openai.response import OpenAIAnswer, error_form
from api.gateway.openai.schemas import paths
from api.gateway.options import origin_of
from api.gateway.respond import respond
from api.gateway.wire import Wire
from core import InvalidRequest, Key, ModelManager, NotFound, OutcomeInput
from core.formats.strict_json import encoded
from core.keys.rules import check_model

_OPINION = ("thumb", "rating", "text")
_OUTCOME = ("success", "rating", "number", "text", "generation_id", "assignment_id")


async def handle(exchange: Exchange, mm: ModelManager) -> None:
    """Answer a request of this wire. Raises: AimmError, CallerLeft."""
    path = exchange.path.removeprefix(WIRE.prefix)
    if exchange.method == "GET" and (path == "/models" or path.startswith("/models/")):
        await _models(exchange, mm, path.removeprefix("/models").removeprefix("/"))
    elif exchange.method == "POST" and path in _POSTS:
        await _POSTS[path](exchange, mm, await exchange.json())
    else:
        raise NotFound("There is nothing at this address.")


async def _chat(exchange: Exchange, mm: ModelManager, body: dict[str, Any]) -> None:
    request = read.chat(body)
    options = body.get("stream_options")
    is_counted = isinstance(options, dict) and options.get("include_usage") is True
    origin = origin_of(exchange, user=read.user(body), fallbacks=read.fallbacks(body))
    await respond(exchange, mm, request, origin, OpenAIAnswer(is_counted=is_counted))


async def _embeddings(exchange: Exchange, mm: ModelManager, body: dict[str, Any]) -> None:
    request = read.embeddings(body)
    is_packed = body.get("encoding_format") == "base64"
    origin = origin_of(exchange, user=read.user(body), fallbacks=read.fallbacks(body))
    await respond(exchange, mm, request, origin, OpenAIAnswer(is_counted=False, base64_vectors=is_packed))


async def _models(exchange: Exchange, mm: ModelManager, wanted: str) -> None:
    """All models, or the one that is wanted."""
    names = await asyncio.to_thread(_names, mm, exchange.key)
    found = [{"id": name, "object": "model", "created": 0, "owned_by": owner} for name, owner in names]
    if exchange.path == f"{WIRE.prefix}/models":
        return await exchange.answer(200, encoded({"object": "list", "data": found}))
    for model in found:
        if model["id"] == wanted:
            return await exchange.answer(200, encoded(model))
    raise NotFound(f"There is no model {wanted[:80]!r}.")


def _names(mm: ModelManager, key: Key | None) -> list[tuple[str, str]]:
    """(name, who owns it) of all that a key may ask: models, aliases and running experiments."""
    found = [(model.name, model.provider) for model in mm.models()]
    found += [(alias.name, "alias") for alias in mm.aliases.all()]
    found += [(f"exp:{experiment.name}", "experiment") for experiment in mm.traffic.running()]
    return [(name, owner) for name, owner in found if key is None or key.may_ask(name)]


async def _feedback(exchange: Exchange, mm: ModelManager, body: dict[str, Any]) -> None:
    """Record an opinion of an answer, and an outcome where an experiment gave it, by the ids that came with it."""
    outcome, user = _outcome(body), body.get("user")
    user = exchange.header(b"x-aimm-user") if user is None else user
    if not isinstance(user, str):
        raise InvalidRequest("user must be a text.")
    thumb = body.get("thumb")
    if thumb is None and "success" in outcome:
        thumb = "up" if outcome["success"] else "down"
    elif thumb in ("up", "down"):
        outcome.setdefault("success", thumb == "up")
    opinion = {
        name: each for name, each in {**outcome, "thumb": thumb}.items() if name in _OPINION and each is not None
    }
    if (
        not opinion and outcome.keys() == {"generation_id"} and any(name in body for name in _OPINION)
    ):  # nothing but null
        await asyncio.to_thread(mm.feedback.withdraw, outcome["generation_id"], key=exchange.key, user_id=user)
        recorded = {"id": outcome["generation_id"], "state": "removed"}
    else:
        recorded = await asyncio.to_thread(_record, exchange, mm, outcome, opinion, user)
    await exchange.answer(200, encoded({"object": "feedback", **recorded}))


def _outcome(body: dict[str, Any]) -> dict[str, Any]:
    """The fields of an outcome. Raises: InvalidRequest."""
    given = {name: body[name] for name in _OUTCOME if body.get(name) is not None}
    ids = [given[name] for name in ("generation_id", "assignment_id") if name in given]
    if not ids or not all(isinstance(each, str) for each in ids):
        raise InvalidRequest(
            "Say of which answer: generation_id (x-aimm-request-id) or assignment_id (x-aimm-assignment)."
        )
    if not isinstance(given.get("text", ""), str) or not isinstance(given.get("success", True), bool):
        raise InvalidRequest("success must be true or false, and text a text.")
    for name in ("rating", "number"):
        if not isinstance(given.get(name, 0.0), int | float) or isinstance(given.get(name), bool):
            raise InvalidRequest(f"{name} must be a number.")
    return given


def _record(
    exchange: Exchange, mm: ModelManager, given: dict[str, Any], opinion: dict[str, Any], user: str
) -> dict[str, Any]:
    key = exchange.key
    generation_id, assignment_id = given.get("generation_id"), given.get("assignment_id")
    if generation_id is not None:
        mm.feedback.own_call(generation_id, key)
    if opinion:  # judged before an outcome is recorded: both are, or neither
        opinion = mm.feedback.kept(opinion, key=key, user_id=user, is_private=exchange.is_private)
        if "text" not in opinion:
            given.pop("text", None)
    try:
        experiment_id = mm.traffic.of_answer(generation_id=generation_id, assignment_id=assignment_id)
    except NotFound:
        if generation_id is None:
            raise
        mm.feedback.give(generation_id, opinion, key=key, user_id=user)
        return {"id": generation_id, "state": "recorded"}
    if generation_id is None and key is not None and key.models:
        check_model(key, f"exp:{mm.experiments.get(experiment_id).name}")
    once = exchange.header(b"idempotency-key") or None
    [outcome] = mm.experiments.record(experiment_id, [OutcomeInput(**given)], idempotency_key=once, by=key)
    if generation_id is not None and opinion:
        mm.feedback.give(generation_id, opinion, key=key, user_id=user)
    return {"id": outcome.id, "state": outcome.state}


_POSTS = {"/chat/completions": _chat, "/embeddings": _embeddings, "/feedback": _feedback}
WIRE = Wire(prefix="/v1", name="openai", handle=handle, error=error_form, paths=paths)
