"""Experiments: designed, run on live traffic, reported and decided."""

import asyncio
import math
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
from api.rest.workflows import ended_run, run_view
from core import Conflict, Experiment, ExperimentReport, InvalidRequest, Key, ModelManager, OutcomeInput, Variant
from core.domain.experiment import Assignment
from core.experiments.analysis import Analysis, VariantResult
from core.experiments.checks import find_variant
from core.keys.rules import check_model
from core.statistics.interval import Interval

Once = Annotated[str | None, Header(alias="Idempotency-Key", max_length=255)]
_MARKDOWN: dict[int | str, dict[str, Any]] = {
    200: {"description": "The record", "content": {"text/markdown": {"schema": {"type": "string"}}}}
}

router = APIRouter(route_class=StrictRoute)


@router.post("/experiment", status_code=201)
def create_experiment(body: schemas.CreateExperiment, mm: Manager) -> dict[str, Any]:
    pair = [v for v in (body.variant_a, body.variant_b) if v is not None]
    if body.variants is None and len(pair) < 2:
        raise InvalidRequest("An experiment needs variant_a and variant_b, or a list of variants.")
    beside = {"name", "hypothesis", "unit", "variant_a", "variant_b", "variants"}
    design = body.model_dump(exclude=beside)
    design["secondary"], design["internal_units"] = tuple(design["secondary"]), tuple(design["internal_units"])
    experiment = mm.experiments.create(
        body.name,
        [_variant(v) for v in (pair if body.variants is None else body.variants)],
        hypothesis=body.hypothesis,
        unit=body.unit,
        **design,
    )
    return {
        "status": "success",
        "experiment_id": experiment.id,
        "variants": [v.key for v in experiment.variants],
        "salt": experiment.salt,
    }


@router.get("/experiment")
def list_experiments(mm: Manager, demo: Demo = False) -> dict[str, Any]:
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
    parameters = parameters_of(body.parameters)
    return Variant(
        position=0,
        name=body.name,
        model=body.model,
        system=body.system,
        weight=body.weight,
        parameters=parameters,
        prompt_version=body.prompt_version,
        is_shadow=body.is_shadow,
        workflow=body.workflow,
    )


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


def _check_experiment(mm: ModelManager, key: Key | None, experiment_id: str) -> None:
    if key is not None and key.models:
        check_model(key, f"exp:{mm.experiments.get(experiment_id).name}")


def _assignment_view(assignment: Assignment) -> dict[str, Any]:
    return {
        "variant": assignment.variant.key,
        "variant_name": assignment.variant.name,
        "assignment_id": assignment.id,
        "counted": assignment.is_counted,
        "not_counted_because": assignment.reason or None,
    }


@router.post("/experiment/{experiment_id}/record")
def record(experiment_id: str, body: schemas.Record, mm: Manager, key: Caller, once: Once = None) -> dict[str, Any]:
    _check_experiment(mm, key, experiment_id)
    if body.results is not None and body.model_dump(exclude={"results"}, exclude_defaults=True):
        raise InvalidRequest("Either one outcome, or several in `results`; not both.")
    outcomes = [_outcome(each) for each in ([body] if body.results is None else body.results)]
    made = mm.experiments.record(experiment_id, outcomes, idempotency_key=once, by=key)
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


def _experiment_view(e: Experiment) -> dict[str, Any]:
    design = asdict(e.design)
    return {
        "experiment_id": e.id,
        "name": e.name,
        "hypothesis": e.hypothesis,
        "unit": e.unit,
        "salt": e.salt,
        "status": e.status,
        "ended": e.ended or None,
        "created_at": e.created_at.isoformat(),
        "stopped_at": e.stopped_at.isoformat() if e.stopped_at else None,
        "simulated": e.is_simulated,
        "demo": e.is_demo,
        "design": design,
        "phases": [
            {
                "phase": phase.number,
                "started_at": phase.started_at.isoformat(),
                "variants": [
                    {
                        "variant": v.key,
                        "name": v.name,
                        "model": v.model,
                        "system": v.system,
                        "parameters": v.parameters.as_dict(),
                        "prompt_version": v.prompt_version,
                        "weight": v.weight,
                        "workflow": v.workflow or None,
                        "is_shadow": v.is_shadow,
                    }
                    for v in phase.variants
                ],
            }
            for phase in e.phases
        ],
    }


def stats_view(report: ExperimentReport) -> dict[str, Any]:
    """Rates and their differences in per cent and points; money in dollars; times in seconds."""
    experiment, analysis, decision = report.experiment, report.analysis, report.decision
    variants = {result.variant.key: _variant_view(analysis, result) for result in report.results}
    winner = next((v.key for v in experiment.variants if v.position == decision.winner), None)
    return {
        "experiment_id": experiment.id,
        "name": experiment.name,
        "hypothesis": experiment.hypothesis,
        "status": experiment.status,
        "simulated": experiment.is_simulated,
        **variants,
        "winner": winner,
        "decision": {
            "action": decision.action,
            "headline": decision.headline,
            "reasons": list(decision.reasons),
            "days_left": decision.days_left,
            "money": decision.money or None,
        },
        "primary": experiment.design.primary,
        "rule": experiment.design.rule,
        "phase": experiment.phase,
        "confidence_level": analysis.confidence_level,
        "comparisons": analysis.n_comparisons,
        "method": "always-valid confidence sequence (normal mixture)",
        "sample_ratio_mismatch": analysis.is_ratio_mismatch,
        "sample_ratio_log_e": analysis.log_ratio_evidence,
        "not_counted": {
            "units": analysis.n_not_counted,
            "in_two_variants": analysis.n_multiple,
            "late_outcomes": analysis.n_late,
            "orphaned_outcomes": analysis.n_orphans,
        },
        "warnings": list(report.cautions),
        "guardrails": [
            {
                "variant": guard.variant.key,
                "metric": guard.guardrail.metric,
                "margin": guard.guardrail.margin,
                "state": guard.state,
                "excess": _bounds(guard.excess),
            }
            for guard in analysis.guards
        ],
        "contrasts": [_variant_contrasts(analysis, variant) for variant in experiment.served[1:]],
    }


def _variant_contrasts(analysis: Analysis, variant: Variant) -> dict[str, Any]:
    found = {c.metric: c for c in analysis.contrasts if c.variant.position == variant.position}
    success, rating = found.get("success"), found.get("rating")
    return {
        "variant": variant.key,
        "success_rate_difference": _percent(success.difference) if success else None,
        "rating_difference": _bounds(rating.difference) if rating else None,
        "confidence_level": analysis.confidence_level,
        "method": "always-valid confidence sequence (normal mixture)",
        "metrics": {
            metric: {
                "difference": _bounds(c.difference),
                "relative": _bounds(c.relative) if c.relative else None,
                "p_value": min(1.0, c.p_value * analysis.n_comparisons) if c.p_value == c.p_value else None,
                "claimed": c.is_claimed,
                "told": c.is_told,
            }
            for metric, c in found.items()
        },
    }


def _variant_view(analysis: Analysis, result: VariantResult) -> dict[str, Any]:
    rate, rating = result.estimates.get("success"), result.estimates.get("rating")
    belief = analysis.beliefs.get(result.variant.position)
    return {
        "name": result.variant.name,
        "model": result.variant.model,
        "weight": result.variant.weight,
        "total": result.n_outcomes,
        "successes": result.n_successes,
        "conversion_rate": 100 * rate.estimate if rate else 0.0,
        "conversion_rate_interval": _percent(rate),
        "avg_rating": rating.estimate if rating else None,
        "exposures": result.n_exposed,
        "calls": result.n_calls,
        "errors": result.n_errors,
        "avg_latency": result.latency_mean_s,
        "avg_tokens": result.tokens_mean,
        "total_cost": result.cost_usd,
        "estimates": {metric: _bounds(interval) for metric, interval in result.estimates.items()},
        "probability_best": belief.probability_best if belief else None,
        "expected_loss": belief.expected_loss if belief else None,
    }


def _percent(interval: Interval | None) -> dict[str, float | None] | None:
    return _bounds(Interval(*(100 * value for value in interval))) if interval else None


def _bounds(interval: Interval | None) -> dict[str, float | None] | None:
    """JSON has no infinity: a bound that is not there is null."""
    if interval is None:
        return None
    estimate, lower, upper = (value if math.isfinite(value) else None for value in interval)
    return {"estimate": estimate, "lower": lower, "upper": upper}
