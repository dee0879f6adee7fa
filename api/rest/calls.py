"""The routes of /api/*: each reads its request, calls the core once, and writes the answer."""

import asyncio
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Header, Query, Response
from fastapi.responses import HTMLResponse, PlainTextResponse

from api import errors, reference
from api.rest import dependencies as given
from api.rest import keys, money, records, schemas, views
from api.rest.dependencies import Caller, Manager, moment
from core import Conflict, InvalidRequest, ModelManager
from core.calls.accounting import checked_cap
from core.calls.call import Origin
from core.domain.experiment import Assignment, OutcomeInput, Target, Variant
from core.domain.generation import Parameters
from core.domain.key import Key
from core.experiments.outcomes import find_variant
from core.keys.rules import check_model

RUN_POLL_S = 0.05


def make_app(get_manager: Callable[[], ModelManager]) -> FastAPI:
    """The FastAPI application; `get_manager` gives the process's one ModelManager."""
    app = FastAPI(
        title="AI Model Manager",
        version="0.1.0",
        description="Models, workflows, comparisons, experiments, metrics, costs and budgets. Money in US dollars,"
        " times in seconds, rates in percent; null = unknown. `usage.input` includes cached, `usage.output` thinking tokens.",
        docs_url=None,  # FastAPI's loads its scripts from elsewhere
        openapi_url="/openapi.json",
        redoc_url=None,
        redirect_slashes=False,  # an address that is not there is 404
    )
    app.router.route_class = given.StrictRoute
    app.dependency_overrides[given.manager] = get_manager
    errors.install(app)
    for path, methods, handler, status in _ROUTES + records.ROUTES + money.ROUTES + keys.ROUTES:
        app.add_api_route(path, handler, methods=methods, status_code=status, responses=_FAILURES)
    app.add_api_route("/docs", lambda: HTMLResponse(reference.page(app.openapi())), include_in_schema=False)
    path = "/experiment/{experiment_id}/decision"
    app.add_api_route(path, decision_record, responses=_FAILURES | _MARKDOWN, response_class=Response)
    return app


async def health() -> dict[str, str]:
    return {"status": "healthy"}


def models(mm: Manager) -> dict[str, Any]:
    found = mm.models()
    return {
        "models": [model.name for model in found],
        "count": len(found),
        "details": [views.model(model) for model in found],
        "default_model": mm.default_model(),
    }


async def generate(body: schemas.Generate, mm: Manager, key: Caller) -> dict[str, Any]:
    beside = {"prompt", "model", "system", "user", "tags", "max_cost_usd"}
    parameters = body.model_dump(exclude=beside, exclude_none=True)
    request = await asyncio.to_thread(mm.request, body.prompt, model=body.model, system=body.system, **parameters)
    cap = None if body.max_cost_usd is None else checked_cap(Decimal(str(body.max_cost_usd)))
    origin = Origin(source="api", key=key, user_id=body.user, tags=tuple(body.tags), cap_usd=cap)
    g = await mm.agenerate(request, origin)
    return {"status": "success" if g.status == "ok" else g.status, **views.generation(g)}


def generation(generation_id: str, mm: Manager) -> dict[str, Any]:
    return {"status": "success", "generation": views.generation(mm.generation(generation_id))}


async def workflow(body: schemas.RunWorkflow, mm: Manager, key: Caller) -> Any:
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
    # Polled from the loop: a long run must not hold one of the server's few threads.
    while not (run := await asyncio.to_thread(mm.workflows.run, run_id)).is_over:
        await asyncio.sleep(RUN_POLL_S)
    if run.status == "succeeded":
        return {"status": "success", "workflow": views.workflow_run(run)}
    text = f"The workflow {run.status}: {run.error} What it had is kept; run {run.id} can be resumed."
    return errors.failure(502, "workflow_failed", text, status="error", workflow=views.workflow_run(run))


def create_experiment(body: schemas.CreateExperiment, mm: Manager) -> dict[str, Any]:
    given = (
        body.variants if body.variants is not None else [v for v in (body.variant_a, body.variant_b) if v is not None]
    )
    if body.variants is None and len(given) < 2:
        raise InvalidRequest("An experiment needs variant_a and variant_b, or a list of variants.")
    beside = {"name", "hypothesis", "unit", "variant_a", "variant_b", "variants"}
    design = body.model_dump(exclude=beside)
    design["secondary"], design["internal_units"] = tuple(design["secondary"]), tuple(design["internal_units"])
    experiment = mm.experiments.create(
        body.name, [_variant(v) for v in given], hypothesis=body.hypothesis, unit=body.unit, **design
    )
    return {
        "status": "success",
        "experiment_id": experiment.id,
        "variants": [v.key for v in experiment.variants],
        "salt": experiment.salt,
    }


def get_experiment(experiment_id: str, mm: Manager) -> dict[str, Any]:
    return {"status": "success", "experiment": views.experiment(mm.experiments.get(experiment_id))}


def change_experiment(experiment_id: str, body: schemas.ChangeExperiment, mm: Manager) -> dict[str, Any]:
    if (body.weights is None) == (body.variants is None):
        raise InvalidRequest("A change needs either weights or variants.")
    if body.weights is not None:
        experiment = mm.experiments.weigh(experiment_id, body.weights)
    else:
        arms = [_variant(v) for v in body.variants or []]
        whole = [Variant(position=0, name="", model=v) if isinstance(v, str) else v for v in arms]
        experiment = mm.experiments.change(experiment_id, whole)
    return {"status": "success", "experiment": views.experiment(experiment)}


def _variant(given: str | schemas.VariantBody) -> str | Variant:
    if isinstance(given, str):
        return given
    parameters = _parameters(given.parameters)
    return Variant(
        position=0,
        name=given.name,
        model=given.model,
        system=given.system,
        weight=given.weight,
        parameters=parameters,
        prompt_version=given.prompt_version,
        is_shadow=given.is_shadow,
        workflow=given.workflow,
    )


def _parameters(given: dict[str, Any]) -> Parameters:
    try:
        parameters = Parameters(**given)
    except TypeError:
        raise InvalidRequest(f"parameters: unknown names in {sorted(given)}") from None
    if problem := parameters.problem():
        raise InvalidRequest(problem)
    return parameters


def list_experiments(
    mm: Manager, demo: Annotated[bool, Query(description="Those of the demo instead of the others.")] = False
) -> dict[str, Any]:
    found = [experiment for experiment in mm.experiments.all() if experiment.is_demo == demo]
    rows = [
        {
            "experiment_id": e.id,
            "name": e.name,
            "status": e.status,
            "demo": e.is_demo,
            "variants": [v.key for v in e.variants],
        }
        for e in found
    ]
    return {"status": "success", "experiments": rows}


async def test_experiment(experiment_id: str, body: schemas.TestExperiment, mm: Manager, key: Caller) -> dict[str, Any]:
    start = partial(mm.experiments.start, force=body.variant, key=key)
    assignment, call = await asyncio.to_thread(start, experiment_id, body.user_id, body.prompt)
    if isinstance(call, str):
        return await _workflow_answer(experiment_id, assignment, call, mm)
    g = call.answered(await asyncio.wrap_future(call.done))
    return {
        "status": "success" if g.status == "ok" else g.status,
        "experiment_id": experiment_id,
        **_assignment(assignment),
        "generation_id": g.id,
        **{name: value for name, value in views.generation(g).items() if name != "id"},
    }


async def _workflow_answer(experiment_id: str, assignment: Assignment, run_id: str, mm: ModelManager) -> dict[str, Any]:
    while not (run := await asyncio.to_thread(mm.workflows.run, run_id)).is_over:
        await asyncio.sleep(RUN_POLL_S)
    await asyncio.to_thread(mm.experiments.settle_runs)
    return {
        "status": "success" if run.status == "succeeded" else run.status,
        "experiment_id": experiment_id,
        **_assignment(assignment),
        "generation_id": None,
        "run_id": run_id,
        "response": run.final_output,
        "workflow": views.workflow_run(run),
    }


def _check_experiment(mm: ModelManager, key: Key | None, experiment_id: str) -> None:
    if key is not None and key.models:
        check_model(key, f"exp:{mm.experiments.get(experiment_id).name}")


def assign(experiment_id: str, body: schemas.Assign, mm: Manager, key: Caller) -> dict[str, Any]:
    assignment = mm.experiments.assign(experiment_id, body.user_id, force=body.variant, key=key)
    variant = assignment.variant
    return {
        "status": "success",
        "experiment_id": experiment_id,
        **_assignment(assignment),
        "model": variant.model,
        "system": variant.system,
        "parameters": variant.parameters.as_dict(),
    }


def _assignment(assignment: Assignment) -> dict[str, Any]:
    return {
        "variant": assignment.variant.key,
        "variant_name": assignment.variant.name,
        "assignment_id": assignment.id,
        "counted": assignment.is_counted,
        "not_counted_because": assignment.reason or None,
    }


ONCE = Annotated[str | None, Header(alias="Idempotency-Key", max_length=255)]


def record(experiment_id: str, body: schemas.Record, mm: Manager, key: Caller, once: ONCE = None) -> dict[str, Any]:
    _check_experiment(mm, key, experiment_id)
    if body.results is not None and body.model_dump(exclude={"results"}, exclude_defaults=True):
        raise InvalidRequest("Either one outcome, or several in `results`; not both.")
    given = [body] if body.results is None else body.results
    made = mm.experiments.record(experiment_id, [_outcome(each) for each in given], idempotency_key=once, by=key)
    if body.results is None:
        return {"status": "success", "result_id": made[0].id, "state": made[0].state}
    states = Counter(each.state for each in made)
    return {"status": "success", "result_ids": [each.id for each in made], "states": dict(states)}


def _outcome(body: schemas.Outcome) -> OutcomeInput:
    return OutcomeInput(
        variant=body.variant,
        success=body.success,
        rating=body.rating,
        number=body.number,
        text=body.text,
        unit_id=body.user_id,
        generation_id=body.generation_id,
        assignment_id=body.assignment_id,
    )


def stats(experiment_id: str, mm: Manager) -> dict[str, Any]:
    return {"status": "success", "stats": views.experiment_stats(mm.experiments.report(experiment_id))}


def decision_record(experiment_id: str, mm: Manager) -> Response:
    return PlainTextResponse(mm.experiments.record_of(experiment_id), media_type="text/markdown; charset=utf-8")


def stop_experiment(experiment_id: str, mm: Manager) -> dict[str, Any]:
    mm.experiments.stop(experiment_id)
    return {"status": "success", "experiment_id": experiment_id}


def acknowledge(experiment_id: str, mm: Manager) -> dict[str, Any]:
    mm.experiments.acknowledge(experiment_id)
    return {"status": "success", "experiment_id": experiment_id}


def decide(experiment_id: str, body: schemas.Decide, mm: Manager) -> dict[str, Any]:
    experiment = mm.experiments.get(experiment_id)
    chosen = None if body.variant is None else find_variant(experiment, body.variant)
    mm.experiments.stop(experiment_id, f"Decided: {chosen.name if chosen else 'no variant'}. {body.why}".strip())
    return {
        "status": "success",
        "stats": views.experiment_stats(mm.experiments.report(experiment_id)),
        "record": mm.experiments.record_of(experiment_id),
    }


def promote(experiment_id: str, body: schemas.Promote, mm: Manager) -> dict[str, Any]:
    report = mm.experiments.report(experiment_id)
    position = (
        report.decision.winner if body.variant is None else find_variant(report.experiment, body.variant).position
    )
    if position is None:
        raise Conflict("The data name no winner; say which variant is meant.")
    return {"status": "success", "alias": views.alias(mm.aliases.promote(experiment_id, position, body.alias))}


def aliases(mm: Manager) -> dict[str, Any]:
    return {"status": "success", "aliases": [views.alias(alias) for alias in mm.aliases.all()]}


def set_alias(name: str, body: schemas.SetAlias, mm: Manager) -> dict[str, Any]:
    parameters = _parameters(body.parameters)
    target = Target(
        model=body.model, system=body.system, parameters=parameters, prompt_version=body.prompt_version,
        fallbacks=tuple(body.fallbacks), cache_s=body.cache_s,
    )  # fmt: skip
    return {"status": "success", "alias": views.alias(mm.aliases.set(name, target, body.note))}


def remove_alias(name: str, mm: Manager) -> dict[str, Any]:
    mm.aliases.remove(name)
    return {"status": "success"}


FROM = Annotated[str | None, Query(alias="from", description="ISO 8601; without a zone it is UTC.", max_length=40)]
TO = Annotated[str | None, Query(alias="to", description="ISO 8601, not included.", max_length=40)]


def metrics(
    mm: Manager,
    model: Annotated[str | None, Query(max_length=200)] = None,
    from_: FROM = None,
    to: TO = None,
    bucket: Literal["hour", "day"] | None = None,
    simulated: bool = False,
) -> dict[str, Any]:
    window = mm.monitoring.window(moment(from_, "from"), moment(to, "to"))
    rows = mm.monitoring.by_model(window, bucket=bucket, model=model, simulated=simulated)
    return {
        "status": "success",
        "from": window.since.isoformat(),
        "to": window.until.isoformat(),
        "metrics": [views.metrics_row(row) for row in rows],
    }


def costs(mm: Manager, from_: FROM = None, to: TO = None, simulated: bool = False) -> dict[str, Any]:
    window = mm.monitoring.window(moment(from_, "from"), moment(to, "to"))
    rows = mm.monitoring.by_model(window, simulated=simulated)
    total = sum((row.metrics.cost_usd for row in rows), start=0)
    return {
        "status": "success",
        "from": window.since.isoformat(),
        "to": window.until.isoformat(),
        "costs": [views.cost_row(row) for row in rows],
        "total_cost": float(total),
        "unpriced_requests": sum(row.metrics.n_unpriced for row in rows),
    }


_FAILURES: dict[int | str, dict[str, Any]] = {
    status: {
        "description": "A failure",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {"error": {"type": "string"}, "code": {"type": "string"}},
                    "required": ["error", "code"],
                }
            }
        },
    }
    for status in (400, 401, 403, 404, 409, 413, 422, 429, 502, 503, 504)
}
_MARKDOWN: dict[int | str, dict[str, Any]] = {
    200: {"description": "The record", "content": {"text/markdown": {"schema": {"type": "string"}}}}
}
_ROUTES: tuple[tuple[str, list[str], Callable[..., Any], int], ...] = (
    ("/health", ["GET"], health, 200),
    ("/models", ["GET"], models, 200),
    ("/generate", ["POST"], generate, 200),
    ("/generations/{generation_id}", ["GET"], generation, 200),
    ("/workflow", ["POST"], workflow, 200),
    ("/experiment", ["POST"], create_experiment, 201),
    ("/experiment", ["GET"], list_experiments, 200),
    ("/experiment/{experiment_id}", ["GET"], get_experiment, 200),
    ("/experiment/{experiment_id}", ["PATCH"], change_experiment, 200),
    ("/experiment/{experiment_id}/assign", ["POST"], assign, 200),
    ("/experiment/{experiment_id}/test", ["POST"], test_experiment, 200),
    ("/experiment/{experiment_id}/record", ["POST"], record, 200),
    ("/experiment/{experiment_id}/stats", ["GET"], stats, 200),
    ("/experiment/{experiment_id}/decide", ["POST"], decide, 200),
    ("/experiment/{experiment_id}/acknowledge", ["POST"], acknowledge, 200),
    ("/experiment/{experiment_id}/promote", ["POST"], promote, 200),
    ("/experiment/{experiment_id}/stop", ["POST"], stop_experiment, 200),
    ("/aliases", ["GET"], aliases, 200),
    ("/aliases/{name}", ["PUT"], set_alias, 200),
    ("/aliases/{name}", ["DELETE"], remove_alias, 200),
    ("/metrics", ["GET"], metrics, 200),
    ("/costs", ["GET"], costs, 200),
)
