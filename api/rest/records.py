"""The routes of comparisons, votes, workflows and runs: made, listed in pages, read one by one."""

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import Query

from api import errors
from api.rest import schemas, views
from api.rest.dependencies import Caller, Manager, moment
from core.calls.call import Origin
from core.comparison import judging
from core.domain.comparison import LOCAL_VOTER, Comparison, Vote, WinRate
from core.domain.workflow import Workflow
from core.keys.rules import check_model
from core.statistics.interval import Interval
from core.workflows import spec

Limit = Annotated[int, Query(ge=1, le=200, description="How many at most.")]
Before = Annotated[str | None, Query(max_length=100, description="`next` of the page before.")]
Demo = Annotated[bool, Query(description="Those of the demo instead of the others.")]


async def compare(body: schemas.Compare, mm: Manager, key: Caller) -> Any:
    start = partial(mm.comparisons.start, system=body.system, origin=Origin(source="api", key=key))
    comparison_id = await asyncio.to_thread(start, body.prompt, body.models)
    calls = mm.comparisons.calls(comparison_id).values()
    await asyncio.gather(*(asyncio.wrap_future(call.done) for call in calls), return_exceptions=True)
    comparison = await asyncio.to_thread(mm.comparisons.settle, comparison_id)
    answer = _comparison(comparison)
    if not any(result["response"] for result in answer["results"]):
        first = answer["results"][0]["error"] or "no text"
        text = f"No model answered; the first says: {first}"
        return errors.failure(502, "comparison_failed", text, comparison=answer)
    return {"status": "success", "comparison": answer}


def comparisons(mm: Manager, limit: Limit = 50, before: Before = None, demo: Demo = False) -> dict[str, Any]:
    found, after = mm.comparisons.page(limit, before, demo=demo)
    return {"status": "success", "comparisons": [_summary(c) for c in found], "next": after}


def comparison(comparison_id: str, mm: Manager) -> dict[str, Any]:
    return {"status": "success", "comparison": _comparison(mm.comparisons.get(comparison_id))}


def votes_on(comparison_id: str, mm: Manager, limit: Limit = 50, before: Before = None) -> dict[str, Any]:
    mm.comparisons.get(comparison_id)
    found, after = mm.comparisons.voting.page(limit, before, comparison_id=comparison_id)
    return {"status": "success", "votes": [_vote(vote) for vote in found], "next": after}


def cast(comparison_id: str, body: schemas.CastVote, mm: Manager, key: Caller) -> dict[str, Any]:
    """One vote a key and pair; without a key the one of whoever sits at the machine, on the page or here."""
    if key is not None and key.models:
        for candidate in mm.comparisons.get(comparison_id).candidates:
            check_model(key, candidate.model)
    voter = LOCAL_VOTER if key is None else f"key:{key.id}"
    vote = mm.comparisons.vote(comparison_id, body.choice, pair=body.pair, voter=voter)
    return {"status": "success", "vote": _vote(vote)}


def votes(mm: Manager, limit: Limit = 50, before: Before = None, demo: Demo = False) -> dict[str, Any]:
    found, after = mm.comparisons.voting.page(limit, before, demo=demo)
    return {"status": "success", "votes": [_vote(vote) for vote in found], "next": after}


def vote(vote_id: str, mm: Manager) -> dict[str, Any]:
    return {"status": "success", "vote": _vote(mm.comparisons.voting.get(vote_id))}


def win_rates(mm: Manager, demo: Demo = False, by_model: bool = False) -> dict[str, Any]:
    found = mm.comparisons.votes(demo=demo)
    n_blind, share = judging.first_shown(found)
    rates = judging.win_rates(found, by_model=by_model)
    return {
        "status": "success",
        "win_rates": [_win_rate(rate) for rate in rates],
        "first_shown": {"decided": n_blind, **_percent(share)},
    }


def workflows(mm: Manager, limit: Limit = 50, after: Annotated[str, Query(max_length=200)] = "") -> dict[str, Any]:
    known = mm.workflows.all()
    found = sorted(name for name in known if name > after)
    rows = [_workflow(known[name], mm.workflows.definitions.is_saved(name)) for name in found[:limit]]
    return {"status": "success", "workflows": rows, "next": found[limit - 1] if len(found) > limit else None}


def workflow(name: str, mm: Manager) -> dict[str, Any]:
    found = mm.workflows.get(name)
    whole = _workflow(found, mm.workflows.definitions.is_saved(name)) | {
        "steps": spec.to_dict(found)["steps"],
        "yaml": mm.workflows.definitions.texts()[name],
    }
    return {"status": "success", "workflow": whole}


def runs_of(name: str, mm: Manager, limit: Limit = 50, before: Before = None, demo: Demo = False) -> dict[str, Any]:
    found, after = mm.workflows.page(limit, before, workflow_name=name, demo=demo)
    if not found and before is None:
        mm.workflows.get(name)  # one that is removed still has its runs
    return {"status": "success", "runs": [views.workflow_run(run) for run in found], "next": after}


def runs(mm: Manager, limit: Limit = 50, before: Before = None, demo: Demo = False) -> dict[str, Any]:
    found, after = mm.workflows.page(limit, before, demo=demo)
    return {"status": "success", "runs": [views.workflow_run(run) for run in found], "next": after}


def run(run_id: str, mm: Manager) -> dict[str, Any]:
    return {"status": "success", "run": views.workflow_run(mm.workflows.run(run_id))}


def _summary(c: Comparison) -> dict[str, Any]:
    return {
        "id": c.id,
        "created_at": c.created_at.isoformat(),
        "status": c.status,
        "source": c.source,
        "demo": c.source == "demo",
        "blind": c.is_blind,
        "prompt": c.prompt,
        "system": c.system,
        "models": [candidate.model for candidate in c.candidates],
        "winner": next((candidate.model for candidate in c.candidates if candidate.position == c.winner), None),
        "winner_position": c.winner,
        "rule": [
            {"metric": r.metric, "tie_share": r.tie_share, "larger_is_better": r.larger_is_better} for r in c.rule
        ],
    }


def _comparison(c: Comparison) -> dict[str, Any]:
    results = []
    for candidate in c.candidates:
        g = candidate.generation
        row: dict[str, Any] = {"model": candidate.model, "status": "error", "error": candidate.error or None}
        row |= {"response": "", "tokens": 0, "latency": None, "cost": None}
        if g is not None:
            row |= views.generation(g) | {"status": g.status, "error": g.error_message or None}
        results.append(row | {"system": candidate.system, "parameters": candidate.parameters.as_dict()})
    done = [candidate.generation for candidate in c.candidates if candidate.can_win and candidate.generation]
    costs = [g.cost_usd for g in done]
    known = [cost for cost in costs if cost is not None]
    fastest, cheapest = (judging.sole(c.candidates, metric) for metric in ("latency", "cost"))
    return _summary(c) | {
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


def _vote(v: Vote) -> dict[str, Any]:
    return {
        "id": v.id,
        "comparison_id": v.comparison_id,
        "created_at": v.created_at.isoformat(),
        "voter": v.voter or None,
        "pair": [v.position_a, v.position_b],
        "choice": v.choice,
        "blind": v.is_blind,
        "shown_first": v.shown_first,
        "a": v.a.label,
        "b": v.b.label,
    }


def _win_rate(rate: WinRate) -> dict[str, Any]:
    interval = None if rate.rate is None or rate.lower is None or rate.upper is None else Interval(rate.rate, rate.lower, rate.upper)  # fmt: skip
    return {
        "contestant": rate.contestant.label,
        "model": rate.contestant.model,
        "wins": rate.n_wins,
        "losses": rate.n_losses,
        "ties": rate.n_ties,
        **_percent(interval),
    }


def _percent(share: Interval | None) -> dict[str, float | None]:
    names = ("win_rate", "lower", "upper")
    return (
        dict.fromkeys(names) if share is None else {name: 100 * value for name, value in zip(names, share, strict=True)}
    )


def _workflow(w: Workflow, is_saved: bool) -> dict[str, Any]:
    return {
        "name": w.name,
        "description": w.description,
        "inputs": dict(w.inputs),
        "n_steps": len(w.steps),
        "saved": is_saved,
    }


def feedback(
    mm: Manager,
    by: Literal["model", "tag"] = "model",
    from_: Annotated[str | None, Query(alias="from", max_length=40)] = None,
    to: Annotated[str | None, Query(alias="to", max_length=40)] = None,
    simulated: bool = False,
) -> dict[str, Any]:
    """What people thought of the answers of a window, by model or tag."""
    window = mm.monitoring.window(moment(from_, "from"), moment(to, "to"))
    found = mm.feedback.sums(window.since, window.until, by=by, simulated=simulated)
    return {"status": "success", "by": by, "feedback": [asdict(each) for each in found]}


def feedback_on(generation_id: str, mm: Manager) -> dict[str, Any]:
    mm.generation(generation_id)
    rows = [{**asdict(each), "updated_at": each.updated_at.isoformat()} for each in mm.feedback.of(generation_id)]
    return {"status": "success", "feedback": rows}


ROUTES: tuple[tuple[str, list[str], Callable[..., Any], int], ...] = (
    ("/compare", ["POST"], compare, 200),
    ("/comparisons", ["GET"], comparisons, 200),
    ("/comparisons/{comparison_id}", ["GET"], comparison, 200),
    ("/comparisons/{comparison_id}/votes", ["GET"], votes_on, 200),
    ("/comparisons/{comparison_id}/vote", ["POST"], cast, 200),
    ("/votes", ["GET"], votes, 200),
    ("/votes/{vote_id}", ["GET"], vote, 200),
    ("/feedback", ["GET"], feedback, 200),
    ("/generations/{generation_id}/feedback", ["GET"], feedback_on, 200),
    ("/win-rates", ["GET"], win_rates, 200),
    ("/workflows", ["GET"], workflows, 200),
    ("/workflows/{name}", ["GET"], workflow, 200),
    ("/workflows/{name}/runs", ["GET"], runs_of, 200),
    ("/runs", ["GET"], runs, 200),
    ("/runs/{run_id}", ["GET"], run, 200),
)
