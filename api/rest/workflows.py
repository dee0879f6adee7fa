"""Workflows and their runs."""

import asyncio
from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from api.progress import LastEvent, Prefer, Progress, accepted, events, may_see, wants_async
from api.rest import schemas
from api.rest.dependencies import Before, Caller, Demo, Limit, Manager, StrictRoute, failure
from api.rest.views import View
from core import Key, ModelManager, NotFound, Origin, StepRun, Workflow, WorkflowRun
from core.workflows import spec

RUN_POLL_S = 0.05

router = APIRouter(route_class=StrictRoute)

_step_view = View(
    StepRun,
    "step status model? prompt response=output tokens latency=latency_s cost=cost_usd attempts=n_attempts error?",
)
run_view = View(
    WorkflowRun,
    "run_id=id workflow_name status source demo=source created_at finished_at inputs error? steps final_output"
    " total_tokens total_latency=total_latency_s total_cost=total_cost_usd",
    demo=lambda source: source == "demo",
    inputs=lambda inputs: {name or "input": value for name, value in inputs.items()},
    steps=_step_view.each,
)


@router.post("/workflow", name="workflow")
async def run_workflow(body: schemas.RunWorkflow, mm: Manager, key: Caller, prefer: Prefer = "") -> Any:
    chosen = await asyncio.to_thread(mm.workflows.get, body.template)
    run_id = await asyncio.to_thread(
        mm.workflows.start,
        chosen,
        body.input,
        inputs=body.inputs,
        model=body.model,
        origin=Origin(source="api", key=key),
        cap_usd=None if body.max_cost_usd is None else Decimal(str(body.max_cost_usd)),
    )
    if wants_async(prefer):
        begun = await asyncio.to_thread(mm.workflows.run, run_id)
        return accepted(f"/api/runs/{run_id}", workflow=run_view(begun))
    run = await ended_run(mm, run_id)
    if run.status == "succeeded":
        return {"status": "success", "workflow": run_view(run)}
    text = f"The workflow {run.status}: {run.error} What it had is kept; run {run.id} can be resumed."
    return failure(502, "workflow_failed", text, status="error", workflow=run_view(run))


@router.get("/workflows")
def workflows(mm: Manager, limit: Limit = 50, after: Annotated[str, Query(max_length=200)] = "") -> dict[str, Any]:
    known = mm.workflows.all()
    found = sorted(name for name in known if name > after)
    rows = [_workflow_view(known[name], mm.workflows.definitions.is_saved(name)) for name in found[:limit]]
    return {"status": "success", "workflows": rows, "next": found[limit - 1] if len(found) > limit else None}


@router.get("/workflows/{name}")
def workflow(name: str, mm: Manager) -> dict[str, Any]:
    found = mm.workflows.get(name)
    whole = _workflow_view(found, mm.workflows.definitions.is_saved(name)) | {
        "steps": spec.to_dict(found)["steps"],
        "yaml": mm.workflows.definitions.texts()[name],
    }
    return {"status": "success", "workflow": whole}


@router.get("/workflows/{name}/runs")
def runs_of(name: str, mm: Manager, limit: Limit = 50, before: Before = None, demo: Demo = False) -> dict[str, Any]:
    found, after = mm.workflows.page(limit, before, workflow_name=name, demo=demo)
    if not found and before is None:
        mm.workflows.get(name)  # one that is removed still has its runs
    return {"status": "success", "runs": run_view.each(found), "next": after}


@router.get("/runs")
def runs(mm: Manager, limit: Limit = 50, before: Before = None, demo: Demo = False) -> dict[str, Any]:
    found, after = mm.workflows.page(limit, before, demo=demo)
    return {"status": "success", "runs": run_view.each(found), "next": after}


@router.get("/runs/{run_id}")
def run(run_id: str, mm: Manager, key: Caller = None) -> dict[str, Any]:
    return {"status": "success", "run": run_view(_seen(run_id, mm, key))}


@router.get("/runs/{run_id}/events", response_class=StreamingResponse)
def run_events(run_id: str, mm: Manager, key: Caller, last: LastEvent = "") -> StreamingResponse:
    """`progress` for each step that ends and `end` for the run, as server-sent events."""
    _seen(run_id, mm, key)

    def look() -> Progress:
        found = mm.workflows.run(run_id)
        ended = {at: step for at, step in enumerate(found.steps) if step.status in ("succeeded", "failed", "skipped")}
        return Progress({at: _step_view(step) for at, step in ended.items()}, found.is_over, run_view(found))

    return events(look, last)


def _seen(run_id: str, mm: ModelManager, key: Key | None) -> WorkflowRun:
    """Raises: NotFound; also of a run that this key may not see."""
    found = mm.workflows.run(run_id)
    if not may_see(key, found.key_id):
        raise NotFound(f"There is no workflow run {run_id[:60]!r}.")
    return found


@router.post("/runs/{run_id}/stop")
def stop_run(run_id: str, mm: Manager, key: Caller) -> dict[str, Any]:
    mm.workflows.cancel(run_id, key=key)
    return run(run_id, mm, key)


@router.post("/runs/{run_id}/resume")
def resume_run(run_id: str, mm: Manager, key: Caller, body: schemas.Resume = schemas.NO_NEW_CAP) -> dict[str, Any]:
    """The run goes on; the answer to this request does not wait for its end."""
    mm.workflows.resume(run_id, cap_usd=body.cap_usd, key=key)
    return run(run_id, mm, key)


def _workflow_view(w: Workflow, is_saved: bool) -> dict[str, Any]:
    return {
        "name": w.name,
        "description": w.description,
        "inputs": dict(w.inputs),
        "n_steps": len(w.steps),
        "saved": is_saved,
    }


async def ended_run(mm: ModelManager, run_id: str) -> WorkflowRun:
    """Wait for the end of a run. It is polled from the loop: a long run must not hold one of the few threads."""
    while not (run := await asyncio.to_thread(mm.workflows.run, run_id)).is_over:
        await asyncio.sleep(RUN_POLL_S)
    return run
