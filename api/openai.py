"""The OpenAI wire on /v1: chat completions, plain and streamed, embeddings, models, and feedback for experiments.

Change `base_url`, and nothing else. What speaks the same wire gets the body as it came, and its bytes are handed on.
"""

import asyncio
from typing import Any

from api import openai_request
from api.exchange import Exchange, dumped
from api.gateway import respond
from api.openai_answer import OpenAIAnswer
from core import InvalidRequest, ModelManager, NotFound
from core.domain.experiment import OutcomeInput
from core.domain.key import Key

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
        await _feedback(exchange, mm, await exchange.json())
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
    found += [(f"exp:{experiment.name}", "experiment") for experiment in mm.units.running()]
    return [(name, owner) for name, owner in found if key is None or key.may_ask(name)]


def _models(mm: ModelManager, key: Key | None) -> list[dict[str, Any]]:
    return [{"id": name, "object": "model", "created": 0, "owned_by": owner} for name, owner in names(mm, key)]


async def _feedback(exchange: Exchange, mm: ModelManager, body: dict[str, Any]) -> None:
    """Record an outcome of an answer, by the ids that came with it."""
    given = {name: body[name] for name in _OUTCOME if body.get(name) is not None}
    generation_id, assignment_id = given.get("generation_id"), given.get("assignment_id")
    ids = [each for each in (generation_id, assignment_id) if each is not None]
    if not ids or not all(isinstance(each, str) for each in ids):
        raise InvalidRequest(
            "Say of which answer: generation_id (x-aimm-request-id) or assignment_id (x-aimm-assignment)."
        )
    if not isinstance(given.get("text", ""), str) or not isinstance(given.get("success", True), bool):
        raise InvalidRequest("success must be true or false, and text a text.")
    for name in ("rating", "number"):
        if not isinstance(given.get(name, 0.0), int | float) or isinstance(given.get(name), bool):
            raise InvalidRequest(f"{name} must be a number.")

    def record() -> list[dict[str, str]]:
        experiment_id = mm.units.of_answer(generation_id=generation_id, assignment_id=assignment_id)
        key = exchange.header(b"idempotency-key") or None
        made = mm.experiments.record(experiment_id, [OutcomeInput(**given)], idempotency_key=key)
        return [{"id": each.id, "state": each.state} for each in made]

    recorded = await asyncio.to_thread(record)
    await exchange.answer(200, dumped({"object": "feedback", **recorded[0]}), {})
