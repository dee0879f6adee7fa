"""POST /v1/feedback: opinions of answers, and outcomes of experiments. It is ours, beside OpenAI's own addresses."""

import asyncio
from typing import Any

from api.gateway.exchange import Exchange
from core import InvalidRequest, ModelManager, NotFound, OutcomeInput
from core.formats.strict_json import encoded

_OPINION = ("thumb", "rating", "text")
_OUTCOME = ("success", "rating", "number", "text", "generation_id", "assignment_id")


async def give(exchange: Exchange, mm: ModelManager, body: dict[str, Any]) -> None:
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
    said = {**outcome, "thumb": thumb}
    opinion = {name: said[name] for name in _OPINION if said.get(name) is not None}
    is_nulls = outcome.keys() == {"generation_id"} and any(name in body for name in _OPINION)
    if is_nulls and not opinion:
        await asyncio.to_thread(mm.feedback.withdraw, outcome["generation_id"], key=exchange.key, user_id=user)
        recorded = {"id": outcome["generation_id"], "state": "removed"}
    else:
        recorded = await asyncio.to_thread(_record, exchange, mm, outcome, opinion, user)
    await exchange.answer(200, encoded({"object": "feedback", **recorded}))


def _outcome(body: dict[str, Any]) -> dict[str, Any]:
    """The fields of an outcome. Raises: InvalidRequest."""
    said = {name: body[name] for name in _OUTCOME if body.get(name) is not None}
    ids = [said[name] for name in ("generation_id", "assignment_id") if name in said]
    if not ids or not all(isinstance(each, str) for each in ids):
        raise InvalidRequest(
            "Say of which answer: generation_id (x-aimm-request-id) or assignment_id (x-aimm-assignment)."
        )
    if not isinstance(said.get("text", ""), str) or not isinstance(said.get("success", True), bool):
        raise InvalidRequest("success must be true or false, and text a text.")
    for name in ("rating", "number"):
        if not isinstance(said.get(name, 0.0), int | float) or isinstance(said.get(name), bool):
            raise InvalidRequest(f"{name} must be a number.")
    return said


def _record(
    exchange: Exchange, mm: ModelManager, outcome: dict[str, Any], opinion: dict[str, Any], user: str
) -> dict[str, Any]:
    key = exchange.key
    generation_id, assignment_id = outcome.get("generation_id"), outcome.get("assignment_id")
    if generation_id is not None:
        mm.feedback.own_call(generation_id, key)
    if opinion:  # judged before an outcome is recorded: both are, or neither
        opinion = mm.feedback.kept(opinion, key=key, user_id=user, is_private=exchange.is_private)
        if "text" not in opinion:
            outcome.pop("text", None)
    try:
        experiment_id = mm.traffic.of_answer(generation_id=generation_id, assignment_id=assignment_id)
    except NotFound:
        if generation_id is None:
            raise
        mm.feedback.give(generation_id, opinion, key=key, user_id=user)
        return {"id": generation_id, "state": "recorded"}
    once, is_own = exchange.header(b"idempotency-key") or None, generation_id is not None
    outcomes = [OutcomeInput(**outcome)]
    [recorded] = mm.experiments.record(experiment_id, outcomes, idempotency_key=once, by=key, is_own=is_own)
    if generation_id is not None and opinion:
        mm.feedback.give(generation_id, opinion, key=key, user_id=user)
    return {"id": recorded.id, "state": recorded.state}
