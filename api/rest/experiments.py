"""Experiments: designed, run on live traffic, reported and decided."""

import asyncio
from collections import Counter
from dataclasses import asdict
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Header, Response
from fastapi.responses import PlainTextResponse

from api.rest import schemas
from api.rest.calls import generation_view
from api.rest.dependencies import Caller, Demo, Manager, StrictRoute, parameters_of
from api.rest.models import alias_view
from api.rest.views import View, percent, plain
from api.rest.workflows import ended_run, run_view
from core import Conflict, Experiment, ExperimentReport, InvalidRequest, ModelManager, OutcomeInput, Variant
from core.domain.experiment import Assignment, Decision, Phase
from core.experiments.analysis import Analysis, GuardResult, VariantResult
from core.experiments.checks import find_variant

Once = Annotated[str | None, Header(alias="Idempotency-Key", max_length=255)]
METHOD = "always-valid confidence sequence (normal mixture)"
_MARKDOWN: dict[int | str, dict[str, Any]] = {
    200: {"description": "The record", "content": {"text/markdown": {"schema": {"type": "string"}}}}
}

router = APIRouter(route_class=StrictRoute)

_listed_view = View(
    Experiment,
    "experiment_id=id name status demo=is_demo variants",
    variants=lambda variants: [variant.key for variant in variants],
)
_assignment_view = View(
    Assignment,
    "variant=variant.key variant_name=variant.name assignment_id=id counted=is_counted not_counted_because=reason?",
)
_variant_view = View(Variant, "variant=key name model system parameters prompt_version weight workflow? is_shadow")
_phase_view = View(Phase, "phase=number started_at variants", variants=_variant_view.each)
_experiment_view = View(
    Experiment,
    "experiment_id=id name hypothesis unit salt status ended? created_at stopped_at simulated=is_simulated demo=is_demo"
    " design phases",
    design=asdict,
    phases=_phase_view.each,
)
_head_view = View(Experiment, "experiment_id=id name hypothesis status simulated=is_simulated")
_decision_view = View(Decision, "action headline reasons days_left money?")
_not_counted_view = View(
    Analysis, "units=n_not_counted in_two_variants=n_multiple late_outcomes=n_late orphaned_outcomes=n_orphans"
)
_guard_view = View(GuardResult, "variant=variant.key metric=guardrail.metric margin=guardrail.margin state excess")
_stats_view = View(
    ExperimentReport,
    "primary=experiment.design.primary rule=experiment.design.rule phase=experiment.phase"
    " confidence_level=analysis.confidence_level comparisons=analysis.n_comparisons method=."
    " sample_ratio_mismatch=analysis.is_ratio_mismatch sample_ratio_log_e=analysis.log_ratio_evidence"
    " not_counted=analysis warnings=cautions guardrails=analysis.guards contrasts=.",
    method=lambda _: METHOD,
    not_counted=_not_counted_view,
    guardrails=_guard_view.each,
    contrasts=lambda report: [_contrasts_view(report.analysis, each) for each in report.experiment.served[1:]],
)
_result_view = View(
    VariantResult,
    "name=variant.name model=variant.model weight=variant.weight total=n_outcomes successes=n_successes"
    " conversion_rate=estimates conversion_rate_interval=estimates avg_rating=estimates exposures=n_exposed"
    " calls=n_calls errors=n_errors avg_latency=latency_mean_s avg_tokens=tokens_mean total_cost=cost_usd estimates",
    conversion_rate=lambda found: 100 * found["success"].estimate if "success" in found else 0.0,
    conversion_rate_interval=lambda found: percent(found.get("success")),
    avg_rating=lambda found: found["rating"].estimate if "rating" in found else None,
    estimates=lambda found: {metric: plain(interval) for metric, interval in found.items()},
)


@router.post("/experiment", status_code=201)
def create_experiment(body: schemas.CreateExperiment, mm: Manager) -> dict[str, Any]:
    pair = [v for v in (body.variant_a, body.variant_b) if v is not None]
    if body.variants is None and len(pair) < 2:
        raise InvalidRequest("An experiment needs variant_a and variant_b, or a list of variants.")
    variants = [_variant(v) for v in (pair if body.variants is None else body.variants)]
    design = body.model_dump(exclude={"variant_a", "variant_b", "variants"})
    experiment = mm.experiments.create(design.pop("name"), variants, **design)
    return {
        "status": "success",
        "experiment_id": experiment.id,
        "variants": [v.key for v in experiment.variants],
        "salt": experiment.salt,
    }


@router.get("/experiment")
def list_experiments(mm: Manager, demo: Demo = False) -> dict[str, Any]:
    found = [experiment for experiment in mm.experiments.all() if experiment.is_demo == demo]
    return {"status": "success", "experiments": _listed_view.each(found)}


@router.get("/experiment/{experiment_id}")
def get_experiment(experiment_id: str, mm: Manager) -> dict[str, Any]:
    return {"status": "success", "experiment": _experiment_view(mm.experiments.get(experiment_id))}


@router.patch("/experiment/{experiment_id}")
def change_experiment(experiment_id: str, body: schemas.ChangeExperiment, mm: Manager) -> dict[str, Any]:
    if (body.weights is None) == (body.variants is None):
        raise InvalidRequest("A change needs either weights or variants.")
    if body.weights is not None:
        experiment = mm.experiments.weigh(experiment_id, body.weights)
    else:
        variants = [_variant(v) for v in body.variants or []]
        whole = [Variant(position=0, name="", model=v) if isinstance(v, str) else v for v in variants]
        experiment = mm.experiments.change(experiment_id, whole)
    return {"status": "success", "experiment": _experiment_view(experiment)}


def _variant(body: str | schemas.VariantBody) -> str | Variant:
    if isinstance(body, str):
        return body
    said = body.model_dump() | {"parameters": parameters_of(body.parameters)}
    return Variant(position=0, **said)


@router.post("/experiment/{experiment_id}/assign")
def assign(experiment_id: str, body: schemas.Assign, mm: Manager, key: Caller) -> dict[str, Any]:
    assignment = mm.experiments.assign(experiment_id, body.user_id, force=body.variant, key=key)
    variant = assignment.variant
    return {
        "status": "success",
        "experiment_id": experiment_id,
        **_assignment_view(assignment),
        "model": variant.model,
        "system": variant.system,
        "parameters": variant.parameters.as_dict(),
    }


@router.post("/experiment/{experiment_id}/test")
async def test_experiment(experiment_id: str, body: schemas.TestExperiment, mm: Manager, key: Caller) -> dict[str, Any]:
    start = partial(mm.experiments.start, force=body.variant, key=key)
    assignment, call = await asyncio.to_thread(start, experiment_id, body.user_id, body.prompt)
    if isinstance(call, str):
        return await _workflow_answer(experiment_id, assignment, call, mm)
    g = call.answered(await asyncio.wrap_future(call.done))
    return {
        "status": "success" if g.status == "ok" else g.status,
        "experiment_id": experiment_id,
        **_assignment_view(assignment),
        "generation_id": g.id,
        **{name: value for name, value in generation_view(g).items() if name != "id"},
    }


async def _workflow_answer(experiment_id: str, assignment: Assignment, run_id: str, mm: ModelManager) -> dict[str, Any]:
    run = await ended_run(mm, run_id)
    await asyncio.to_thread(mm.experiments.traffic.settle_runs)
    return {
        "status": "success" if run.status == "succeeded" else run.status,
        "experiment_id": experiment_id,
        **_assignment_view(assignment),
        "generation_id": None,
        "run_id": run_id,
        "response": run.final_output,
        "workflow": run_view(run),
    }


@router.post("/experiment/{experiment_id}/record")
def record(experiment_id: str, body: schemas.Record, mm: Manager, key: Caller, once: Once = None) -> dict[str, Any]:
    if body.results is not None and body.model_dump(exclude={"results"}, exclude_defaults=True):
        raise InvalidRequest("Either one outcome, or several in `results`; not both.")
    said = [each.model_dump(exclude={"results"}) for each in ([body] if body.results is None else body.results)]
    outcomes = [OutcomeInput(unit_id=each.pop("user_id"), **each) for each in said]
    made = mm.experiments.record(experiment_id, outcomes, idempotency_key=once, by=key)
    if body.results is None:
        return {"status": "success", "result_id": made[0].id, "state": made[0].state}
    states = Counter(each.state for each in made)
    return {"status": "success", "result_ids": [each.id for each in made], "states": dict(states)}


@router.get("/experiment/{experiment_id}/stats")
def stats(experiment_id: str, mm: Manager) -> dict[str, Any]:
    return {"status": "success", "stats": stats_view(mm.experiments.report(experiment_id))}


@router.get("/experiment/{experiment_id}/decision", responses=_MARKDOWN, response_class=Response)
def decision_record(experiment_id: str, mm: Manager) -> Response:
    return PlainTextResponse(mm.experiments.record_of(experiment_id), media_type="text/markdown; charset=utf-8")


@router.post("/experiment/{experiment_id}/decide")
def decide(experiment_id: str, body: schemas.Decide, mm: Manager) -> dict[str, Any]:
    experiment = mm.experiments.get(experiment_id)
    chosen = None if body.variant is None else find_variant(experiment, body.variant)
    mm.experiments.stop(experiment_id, f"Decided: {chosen.name if chosen else 'no variant'}. {body.why}".strip())
    return {
        "status": "success",
        "stats": stats_view(mm.experiments.report(experiment_id)),
        "record": mm.experiments.record_of(experiment_id),
    }


@router.post("/experiment/{experiment_id}/acknowledge")
def acknowledge(experiment_id: str, mm: Manager) -> dict[str, Any]:
    mm.experiments.designs.acknowledge(experiment_id)
    return {"status": "success", "experiment_id": experiment_id}


@router.post("/experiment/{experiment_id}/promote")
def promote(experiment_id: str, body: schemas.Promote, mm: Manager) -> dict[str, Any]:
    report = mm.experiments.report(experiment_id)
    position = (
        report.decision.winner if body.variant is None else find_variant(report.experiment, body.variant).position
    )
    if position is None:
        raise Conflict("The data name no winner; say which variant is meant.")
    return {"status": "success", "alias": alias_view(mm.aliases.promote(experiment_id, position, body.alias))}


@router.post("/experiment/{experiment_id}/stop")
def stop_experiment(experiment_id: str, mm: Manager) -> dict[str, Any]:
    mm.experiments.stop(experiment_id)
    return {"status": "success", "experiment_id": experiment_id}


def stats_view(report: ExperimentReport) -> dict[str, Any]:
    """Rates and their differences in per cent and points; money in dollars; times in seconds."""
    experiment, decision = report.experiment, report.decision
    winner = next((v.key for v in experiment.variants if v.position == decision.winner), None)
    return {
        **_head_view(experiment),
        **{result.variant.key: _variant_stats(report.analysis, result) for result in report.results},
        "winner": winner,
        "decision": _decision_view(decision),
        **_stats_view(report),
    }


def _variant_stats(analysis: Analysis, result: VariantResult) -> dict[str, Any]:
    belief = analysis.beliefs.get(result.variant.position)
    return _result_view(result) | {
        "probability_best": belief.probability_best if belief else None,
        "expected_loss": belief.expected_loss if belief else None,
    }


def _contrasts_view(analysis: Analysis, variant: Variant) -> dict[str, Any]:
    found = {c.metric: c for c in analysis.contrasts if c.variant.position == variant.position}
    success, rating = found.get("success"), found.get("rating")
    return {
        "variant": variant.key,
        "success_rate_difference": percent(success.difference) if success else None,
        "rating_difference": plain(rating.difference) if rating else None,
        "confidence_level": analysis.confidence_level,
        "method": METHOD,
        "metrics": {
            metric: {
                "difference": plain(c.difference),
                "relative": plain(c.relative),
                "p_value": min(1.0, c.p_value * analysis.n_comparisons) if c.p_value == c.p_value else None,
                "claimed": c.is_claimed,
                "told": c.is_told,
            }
            for metric, c in found.items()
        },
    }
