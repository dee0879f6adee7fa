"""Evaluations: begun, watched, stopped, resumed, graded anew, judged, blessed as baselines."""

import asyncio
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, Response, StreamingResponse

from api.progress import PING_S, may_see
from api.rest.dependencies import Before, Caller, Limit, Manager, StrictRoute
from api.rest.library import schemas
from core import InvalidRequest, Key, ModelManager, NotFound, Origin
from core.domain.evaluation.run import OUTCOMES, RUN_IDS, EvaluationRun, Outcome, Tally
from core.evaluation.file import plan_of, read
from core.evaluation.gate import GateResult, to_dict
from core.evaluation.report import as_json, as_junit, as_markdown, cell_to_dict, verdict_to_dict
from core.formats.strict_json import encoded

router = APIRouter(route_class=StrictRoute)
LOOK_S = 0.25
After = Annotated[str, Query(pattern=r"^(\d{1,9}\.\d{1,4}\.\d{1,4})?$", description="`next` of the page before.")]


@router.post("/evaluations", status_code=202)
def begin(body: schemas.BeginEvaluation, mm: Manager, key: Caller) -> JSONResponse:
    """The keys of an evaluation's file. It goes on without its caller, who hears of it at the address of `Location`."""
    found = read(body.model_dump(exclude_none=True), mm.prompts.get, mm.models.default)
    if not found.dataset:
        raise InvalidRequest("dataset: say which, by its name (`faq@3`).")
    run_id = mm.evaluations.start(
        plan_of(found, found.dataset), origin=Origin(source="evaluation", key=key), author=key.name if key else ""
    )
    headers = {"Location": f"/api/evaluations/{run_id}"}
    return JSONResponse({"status": "accepted", "evaluation": _view(mm, mm.evaluations.get(run_id))}, 202, headers)


@router.get("/evaluations")
def evaluations(
    mm: Manager,
    limit: Limit = 50,
    before: Before = None,
    name: Annotated[str, Query(max_length=200)] = "",
    quick: Annotated[bool, Query(description="Quick comparisons instead: evaluations of one item.")] = False,
) -> dict[str, Any]:
    found, after = mm.evaluations.page(limit, before, name=name, quick=quick)
    return {"status": "success", "evaluations": [_summary(run) for run in found], "next": after}


@router.post("/evaluations/estimate")
def estimate(body: schemas.BeginEvaluation, mm: Manager, key: Caller) -> dict[str, Any]:
    """The likely cost of each contestant's answers in dollars; null = its model has no known price."""
    found = read(body.model_dump(exclude_none=True), mm.prompts.get, mm.models.default)
    plan = plan_of(found, found.dataset)
    ranges = mm.evaluations.estimate(plan, origin=Origin(source="evaluation", key=key))
    names = ("low_usd", "expected_usd", "high_usd")
    return {
        "status": "success",
        "contestants": [
            {"contestant": each.contestant, "label": plan.contestants[each.contestant].label, "n_cells": each.n_cells}
            | {name: _usd(getattr(each, name)) for name in names}
            for each in ranges
        ],
    }


@router.get("/evaluations/{run_id}")
def evaluation(run_id: str, mm: Manager, key: Caller) -> dict[str, Any]:
    return {"status": "success", "evaluation": _view(mm, _seen(run_id, mm, key))}


@router.get("/evaluations/{run_id}/events", response_class=StreamingResponse)
def events(run_id: str, mm: Manager, key: Caller) -> StreamingResponse:
    """`progress` when more is done, and `end` with the whole, as server-sent events."""
    _seen(run_id, mm, key)
    headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
    return StreamingResponse(_events(mm, run_id), media_type="text/event-stream", headers=headers)


@router.get("/evaluations/{run_id}/cells")
def cells(  # noqa: PLR0913 - each is a filter
    run_id: str,
    mm: Manager,
    key: Caller,
    limit: Limit = 100,
    after: After = "",
    contestant: Annotated[int | None, Query(ge=0, le=25)] = None,
    outcome: Outcome | None = None,
) -> dict[str, Any]:
    """Cells in the order of items, with their answers where those are kept."""
    run = _seen(run_id, mm, key)
    place = tuple(map(int, after.split("."))) if after else None
    found = mm.evaluations.cells(run.id, contestant=contestant, after=place, outcome=outcome, limit=limit + 1)
    shown = found[:limit]
    answers = mm.evaluations.answers(shown)
    following = ".".join(map(str, shown[-1].place)) if len(found) > limit else None
    told = [cell_to_dict(cell, answers.get(cell.place)) for cell in shown]
    return {"status": "success", "cells": told, "next": following}


@router.get("/evaluations/{run_id}/verdict")
def verdict(  # noqa: PLR0913 - who against whom, on what
    run_id: str,
    mm: Manager,
    key: Caller,
    candidate: Annotated[int, Query(ge=0, le=25)] = 1,
    baseline: Annotated[int, Query(ge=0, le=25)] = 0,
    against: Annotated[str, Query(max_length=100, description="A baseline or a run.")] = "",
    metric: Annotated[str, Query(max_length=200)] = "pass",
) -> dict[str, Any]:
    run = _seen(run_id, mm, key)
    _check_opponent(against, mm, key)
    found = mm.evaluations.verdicts.verdict(run.id, candidate, baseline=baseline, against=against, metric=metric)
    return {"status": "success", "verdict": verdict_to_dict(found)}


@router.post("/evaluations/{run_id}/judge")
def judge(run_id: str, body: schemas.Judge, mm: Manager, key: Caller) -> dict[str, Any]:
    """The gate's answer, with the code that a process of CI exits with.

    What fails a nightly gate is asked again: while the answer `is_open`, the runs that it names go on; judge once more.
    """
    run = mm.evaluations.of_key(run_id, key)
    _check_opponent(body.against, mm, key)
    if body.against:
        return {"status": "success", "result": to_dict(mm.evaluations.verdicts.judge(run.id, against=body.against))}
    found = mm.evaluations.verdicts.conclude(run.id, origin=Origin(source="evaluation", key=key), waits=False)
    return {"status": "success", "result": to_dict(found)}


@router.get("/evaluations/{run_id}/report", response_class=Response)
def report(run_id: str, mm: Manager, key: Caller, format: Literal["json", "junit", "markdown"] = "json") -> Response:
    run = _seen(run_id, mm, key)
    tallies, result = mm.evaluations.tallies(run.id), mm.evaluations.verdicts.judge(run.id)
    if format == "markdown":
        return Response(as_markdown(run, tallies, result), media_type="text/markdown; charset=utf-8")
    found = mm.evaluations.cells(run.id)
    answers = mm.evaluations.answers(found)
    if format == "json":
        told = as_json(run, tallies, result, (cell_to_dict(cell, answers.get(cell.place)) for cell in found))
        return Response(encoded(told), media_type="application/json")
    rows = mm.evaluations.rows(run, sorted({cell.item for cell in found}))
    return Response(as_junit(run, found, rows, answers), media_type="application/xml")


@router.post("/evaluations/{run_id}/stop")
@router.post("/evaluations/{run_id}/cancel")
def stop(run_id: str, mm: Manager, key: Caller) -> dict[str, Any]:
    """No more cells are begun; those that are being asked end."""
    mm.evaluations.stop(run_id, key=key)
    return evaluation(run_id, mm, key)


@router.post("/evaluations/{run_id}/resume")
def resume(
    run_id: str, mm: Manager, key: Caller, body: schemas.ResumeEvaluation = schemas.SAME_LIMIT
) -> dict[str, Any]:
    """The cells without an answer are asked, failed ones too; the answer to this request does not wait for them."""
    limit = None if body.spending_limit_usd is None else Decimal(str(body.spending_limit_usd))
    n_asked = mm.evaluations.resume(run_id, limit_usd=limit, errors=body.errors, key=key)
    return evaluation(run_id, mm, key) | {"asked": n_asked}


@router.post("/evaluations/{run_id}/grade")
def grade(run_id: str, body: schemas.GradeAnew, mm: Manager, key: Caller) -> dict[str, Any]:
    """Run the checks, or others, on the answers that are there: that asks no model."""
    mm.evaluations.of_key(run_id, key)
    mm.evaluations.regrade(run_id, checks=body.checks, threshold=body.threshold)
    return evaluation(run_id, mm, key)


@router.delete("/evaluations/{run_id}")
def delete(run_id: str, mm: Manager) -> dict[str, Any]:
    mm.evaluations.delete(run_id)
    return {"status": "success"}


@router.get("/baselines")
def baselines(mm: Manager) -> dict[str, Any]:
    return {"status": "success", "baselines": [_baseline(each) for each in mm.evaluations.verdicts.baselines()]}


@router.post("/baselines/{name}")
def bless(name: str, body: schemas.Bless, mm: Manager, key: Caller) -> dict[str, Any]:
    found = mm.evaluations.verdicts.bless(body.run_id, name, author=key.name if key else "")
    return {"status": "success", "baseline": _baseline(found)}


def _seen(run_id: str, mm: ModelManager, key: Key | None) -> EvaluationRun:
    """Raises: NotFound; also of a run that this key may not see."""
    run = mm.evaluations.get(run_id)
    if not may_see(key, run.key_id):
        raise NotFound(f"There is no evaluation {run_id[:60]!r}.")
    return run


def _check_opponent(against: str, mm: ModelManager, key: Key | None) -> None:
    """Raises: NotFound: it is a run that this key may not see. Baselines are everybody's."""
    if against.startswith(RUN_IDS):
        _seen(against, mm, key)


async def _events(mm: ModelManager, run_id: str) -> AsyncIterator[bytes]:
    told, pinged_at = -1, time.monotonic()
    while True:
        run = await asyncio.to_thread(mm.evaluations.get, run_id)
        done = _done(await asyncio.to_thread(mm.evaluations.tallies, run_id))
        if done != told:
            told = done
            data = {"done": done, "cells": run.n_cells, "spent_usd": float(run.spent_usd), "waiting": dict(run.waiting)}
            yield f"event: progress\nid: {done}\ndata: ".encode() + encoded(data) + b"\n\n"
        if not run.is_running:
            whole = await asyncio.to_thread(_view, mm, run)
            yield f"event: end\nid: {done}\ndata: ".encode() + encoded(whole) + b"\n\n"
            return
        if time.monotonic() - pinged_at > PING_S:
            pinged_at = time.monotonic()
            yield b": still at it\n\n"
        await asyncio.sleep(LOOK_S)


def _view(mm: ModelManager, run: EvaluationRun) -> dict[str, Any]:
    tallies = mm.evaluations.tallies(run.id)
    whole = as_json(run, tallies, GateResult(exit_code=0, reason=""))
    del whole["result"]
    return _summary(run) | whole | {"done": _done(tallies)}


def _summary(run: EvaluationRun) -> dict[str, Any]:
    return {
        "id": run.id,
        "name": run.plan.name,
        "status": run.status,
        "reason": run.reason,
        "dataset": run.plan.dataset,
        "contestants": [each.label for each in run.plan.contestants],
        "cells": run.n_cells,
        "created_at": run.created_at.isoformat(),
        "ended_at": run.ended_at.isoformat() if run.ended_at else None,
        "spent_usd": float(run.spent_usd),
        "spending_limit_usd": _usd(run.plan.limit_usd),
        "waiting": dict(run.waiting),
        "try": run.n_try,
        "simulated": run.is_simulated,
        "quick": run.plan.quick is not None,
        "demo": run.source == "demo",
        "judged": dict(run.judged) or None,
    }


def _done(tallies: list[Tally]) -> int:
    return sum(tally.outcomes.get(name, 0) for tally in tallies for name in OUTCOMES if name != "not_run")


def _baseline(found: Any) -> dict[str, Any]:
    return {"name": found.name, "run_id": found.run_id, "moved_at": found.moved_at.isoformat(), "author": found.author}


def _usd(amount: Decimal | None) -> float | None:
    return None if amount is None else float(amount)
