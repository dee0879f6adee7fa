"""The OpenAI wire on /v1: chat completions, plain and streamed, embeddings, models, and feedback for experiments.

Change `base_url`, and nothing else. What speaks the same wire gets the body as it came, and its bytes are handed on.
"""

import asyncio
from typing import Any

from api.gateway.exchange import Exchange, dumped
from api.gateway.openai import request as openai_request
from api.gateway.openai.response import OpenAIAnswer
from api.gateway.respond import respond
from core import InvalidRequest, ModelManager, NotFound
from core.domain.experiment import OutcomeInput
from core.domain.key import Key
from core.keys.rules import check_model

_OPINION = ("thumb", "rating", "text")
_OUTCOME = ("success", "rating", "number", "text", "generation_id", "assignment_id")


async def handle(exchange: Exchange, mm: ModelManager, key: Key | None) -> None:
    """Answer a request of this wire. Raises: AimmError, Left."""
    path, method = exchange.path.removeprefix("/v1"), exchange.method
    if method == "POST" and path == "/chat/completions":
        asked = openai_request.chat(exchange, await exchange.json(), key)
        await respond(exchange, mm, asked, OpenAIAnswer(is_counted=asked.is_counted))
    elif method == "POST" and path == "/embeddings":
        body = await exchange.json()
        asked = openai_request.embeddings(exchange, body, key)
        packed = body.get("encoding_format") == "base64"
        await respond(exchange, mm, asked, OpenAIAnswer(is_counted=False, base64_vectors=packed))
    elif method == "POST" and path == "/feedback":
        await _feedback(exchange, mm, await exchange.json(), key)
    elif method == "GET" and path == "/models":
        data = await asyncio.to_thread(_models, mm, key)
        await exchange.answer(200, dumped({"object": "list", "data": data}), {})
    elif method == "GET" and path.startswith("/models/"):
        wanted = path.removeprefix("/models/")
        found = next((m for m in await asyncio.to_thread(_models, mm, key) if m["id"] == wanted), None)
        if found is None:
            raise NotFound(f"There is no model {wanted[:80]!r}.")
        await exchange.answer(200, dumped(found), {})
    else:
        raise NotFound("There is nothing at this address.")


def names(mm: ModelManager, key: Key | None) -> list[tuple[str, str]]:
    """(name, who owns it) of all that a key may ask: models, aliases and running experiments."""
    found = [(model.name, model.provider) for model in mm.models()]
    found += [(alias.name, "alias") for alias in mm.aliases.all()]
    found += [(f"exp:{experiment.name}", "experiment") for experiment in mm.traffic.running()]
    return [(name, owner) for name, owner in found if key is None or key.may_ask(name)]


def _models(mm: ModelManager, key: Key | None) -> list[dict[str, Any]]:
    return [{"id": name, "object": "model", "created": 0, "owned_by": owner} for name, owner in names(mm, key)]


async def _feedback(exchange: Exchange, mm: ModelManager, body: dict[str, Any], key: Key | None) -> None:
    """Record what somebody thought of an answer, and an outcome where it is an experiment's, by the ids that came with it."""
    given, user = _given(body), body.get("user")
    user = exchange.header(b"x-aimm-user") if user is None else user
    if not isinstance(user, str):
        raise InvalidRequest("user must be a text.")
    thumb = body.get("thumb")
    if thumb is None and "success" in given:
        thumb = "up" if given["success"] else "down"
    elif thumb in ("up", "down"):
        given.setdefault("success", thumb == "up")
    opinion = {name: each for name, each in {**given, "thumb": thumb}.items() if name in _OPINION and each is not None}
    if not opinion and given.keys() == {"generation_id"} and any(name in body for name in _OPINION):  # nothing but null
        await asyncio.to_thread(mm.feedback.withdraw, given["generation_id"], key=key, user_id=user)
        recorded = {"id": given["generation_id"], "state": "removed"}
    else:
        recorded = await asyncio.to_thread(_record, exchange, mm, key, given, opinion, user)
    await exchange.answer(200, dumped({"object": "feedback", **recorded}), {})


def _given(body: dict[str, Any]) -> dict[str, Any]:
    """What the body says of an outcome. Raises: InvalidRequest."""
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
    exchange: Exchange, mm: ModelManager, key: Key | None, given: dict[str, Any], opinion: dict[str, Any], user: str
) -> dict[str, Any]:
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
