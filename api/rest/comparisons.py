"""Comparisons, and votes on their answers."""

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from api.progress import LastEvent, Prefer, Progress, accepted, events, may_see, wants_async
from api.rest import schemas
from api.rest.calls import generation_view
from api.rest.dependencies import Before, Caller, Demo, Limit, Manager, StrictRoute, failure
from api.rest.views import View
from core import Comparison, Criterion, Key, ModelManager, NotFound, Origin, Vote, WinRate
from core.comparison import winners
from core.comparison.win_rates import first_shown, rates_of

router = APIRouter(route_class=StrictRoute)

_rule_view = View(Criterion, "metric tie_share larger_is_better")
_vote_view = View(
    Vote,
    "id comparison_id created_at voter? pair=. choice blind=is_blind shown_first a=a.label b=b.label",
    pair=lambda vote: [vote.position_a, vote.position_b],
)
_counts_view = View(
    WinRate, "contestant=contestant.label model=contestant.model wins=n_wins losses=n_losses ties=n_ties"
)
_summary_view = View(
    Comparison,
    "id created_at status source demo=source blind=is_blind prompt system models=candidates"
    " winner=. winner_position=winner rule",
    demo=lambda source: source == "demo",
    models=lambda candidates: [candidate.model for candidate in candidates],
    winner=lambda c: next((each.model for each in c.candidates if each.position == c.winner), None),
    rule=_rule_view.each,
)


@router.post("/compare")
async def compare(body: schemas.Compare, mm: Manager, key: Caller, prefer: Prefer = "") -> Any:
    start = partial(mm.comparisons.start, system=body.system, origin=Origin(source="api", key=key))
    comparison_id = await asyncio.to_thread(start, body.prompt, body.models)
    if wants_async(prefer):
        begun = await asyncio.to_thread(mm.comparisons.get, comparison_id)
        return accepted(f"/api/comparisons/{comparison_id}", comparison=_comparison_view(begun))
    calls = mm.comparisons.calls(comparison_id).values()
    await asyncio.gather(*(asyncio.wrap_future(call.done) for call in calls), return_exceptions=True)
    comparison = await asyncio.to_thread(mm.comparisons.settle, comparison_id)
    answer = _comparison_view(comparison)
    if not any(result["response"] for result in answer["results"]):
        first = answer["results"][0]["error"] or "no text"
        text = f"No model answered; the first says: {first}"
        return failure(502, "comparison_failed", text, comparison=answer)
    return {"status": "success", "comparison": answer}


@router.get("/comparisons")
def comparisons(mm: Manager, limit: Limit = 50, before: Before = None, demo: Demo = False) -> dict[str, Any]:
    found, after = mm.comparisons.page(limit, before, demo=demo)
    return {"status": "success", "comparisons": _summary_view.each(found), "next": after}


@router.get("/comparisons/{comparison_id}")
def comparison(comparison_id: str, mm: Manager, key: Caller = None) -> dict[str, Any]:
    return {"status": "success", "comparison": _comparison_view(_seen(comparison_id, mm, key))}


@router.get("/comparisons/{comparison_id}/events", response_class=StreamingResponse)
def comparison_events(comparison_id: str, mm: Manager, key: Caller, last: LastEvent = "") -> StreamingResponse:
    """`progress` for each answer and `end` for the comparison, as server-sent events."""
    _seen(comparison_id, mm, key)

    def look() -> Progress:
        found = mm.comparisons.get(comparison_id)
        whole, is_over = _comparison_view(found), found.status not in ("queued", "running")
        ended = {c.position for c in found.candidates if c.generation is not None or c.error}
        results = {at: result for at, result in enumerate(whole["results"]) if at in ended}
        return Progress(results, is_over, whole)

    return events(look, last)


def _seen(comparison_id: str, mm: ModelManager, key: Key | None) -> Comparison:
    """Raises: NotFound; also of a comparison that this key may not see."""
    found = mm.comparisons.get(comparison_id)
    if not may_see(key, found.key_id):
        raise NotFound(f"There is no comparison {comparison_id[:60]!r}.")
    return found


@router.get("/comparisons/{comparison_id}/votes")
def votes_on(comparison_id: str, mm: Manager, limit: Limit = 50, before: Before = None) -> dict[str, Any]:
    mm.comparisons.get(comparison_id)
    found, after = mm.comparisons.voting.page(limit, before, comparison_id=comparison_id)
    return {"status": "success", "votes": _vote_view.each(found), "next": after}


@router.post("/comparisons/{comparison_id}/vote")
def cast(comparison_id: str, body: schemas.CastVote, mm: Manager, key: Caller) -> dict[str, Any]:
    """One vote a key and pair; without a key the one of whoever sits at the machine, on the page or here."""
    vote = mm.comparisons.vote(comparison_id, body.choice, pair=body.pair, key=key)
    return {"status": "success", "vote": _vote_view(vote)}


@router.post("/comparisons/{comparison_id}/stop")
def stop(comparison_id: str, mm: Manager, key: Caller) -> dict[str, Any]:
    mm.comparisons.stop(comparison_id, key=key)
    return comparison(comparison_id, mm, key)


@router.post("/comparisons/{comparison_id}/resume")
def resume(
    comparison_id: str, mm: Manager, key: Caller, body: schemas.ResumeComparison = schemas.ALL_MISSING
) -> dict[str, Any]:
    """The missing answers are asked for; the answer to this request does not wait for them."""
    n_asked = mm.comparisons.resume(comparison_id, positions=body.positions, cap_usd=body.cap_usd, key=key)
    return comparison(comparison_id, mm, key) | {"asked": n_asked}


@router.get("/votes")
def votes(mm: Manager, limit: Limit = 50, before: Before = None, demo: Demo = False) -> dict[str, Any]:
    found, after = mm.comparisons.voting.page(limit, before, demo=demo)
    return {"status": "success", "votes": _vote_view.each(found), "next": after}


@router.get("/votes/{vote_id}")
def vote(vote_id: str, mm: Manager) -> dict[str, Any]:
    return {"status": "success", "vote": _vote_view(mm.comparisons.voting.get(vote_id))}


@router.get("/win-rates")
def win_rates(mm: Manager, demo: Demo = False, by_model: bool = False) -> dict[str, Any]:
    found = mm.comparisons.votes(demo=demo)
    n_blind, share = first_shown(found)
    rates = rates_of(found, by_model=by_model)
    return {
        "status": "success",
        "win_rates": [_win_rate_view(rate) for rate in rates],
        "first_shown": {"decided": n_blind, **_percent(share or (None, None, None))},
    }


def _comparison_view(c: Comparison) -> dict[str, Any]:
    results = []
    for candidate in c.candidates:
        g = candidate.generation
        row: dict[str, Any] = {"model": candidate.model, "status": "error", "error": candidate.error or None}
        row |= {"response": "", "tokens": 0, "latency": None, "cost": None}
        if g is not None:
            row |= generation_view(g) | {"status": g.status, "error": g.error_message or None}
        results.append(row | {"system": candidate.system, "parameters": candidate.parameters.as_dict()})
    done = [candidate.generation for candidate in c.candidates if candidate.can_win and candidate.generation]
    costs = [g.cost_usd for g in done]
    known = [cost for cost in costs if cost is not None]
    fastest, cheapest = (winners.sole(c.candidates, metric) for metric in ("latency", "cost"))
    return _summary_view(c) | {
        "results": results,
        "comparison_metrics": {
            "avg_latency": _mean([g.latency_s for g in done]),
            "avg_tokens": _mean([g.usage.total_tokens for g in done]),
            "avg_cost": float(sum(known) / len(known)) if known and len(known) == len(costs) else None,
            "fastest_model": fastest.model if fastest else None,
            "cheapest_model": cheapest.model if cheapest else None,
        },
    }


def _mean(values: "list[float] | list[int]") -> float | None:
    return sum(values) / len(values) if values else None


def _win_rate_view(rate: WinRate) -> dict[str, Any]:
    share = _percent((rate.rate, rate.lower, rate.upper))
    return _counts_view(rate) | share


def _percent(share: Iterable[float | None]) -> dict[str, float | None]:
    named = zip(("win_rate", "lower", "upper"), share, strict=True)
    return {name: None if value is None else 100 * value for name, value in named}
