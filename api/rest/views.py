"""Core values as the JSON of the answers. Money is a number of US dollars; null = unknown."""

import math
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from core.domain.alert import Alert
from core.domain.budget import BudgetOutlook
from core.domain.experiment import Alias, Experiment, Variant
from core.domain.generation import Generation, Model
from core.domain.metrics import MetricsRow
from core.domain.price import RATE_NAMES, Price, RepricedDay, TeamPrice, UnpricedModel
from core.domain.workflow import WorkflowRun
from core.experiments.analysis import Analysis, VariantResult
from core.experiments.service import ExperimentReport
from core.pricing.estimate import Estimate
from core.statistics.interval import Interval


def usd(amount: Decimal | None) -> float | None:
    return None if amount is None else float(amount)


def generation(g: Generation) -> dict[str, Any]:
    return {
        "id": g.id,
        "model": g.model,
        "response": g.text,
        "tokens": g.usage.total_tokens,
        "latency": g.latency_s,
        "ttft": g.ttft_s,
        "cost": usd(g.cost_usd),
        "cost_status": g.cost_status,
        "price_id": g.price_id,
        "service_tier": g.service_tier,
        "note": g.note or None,
        "damaged": list(g.damaged),
        "usage": {
            "input": g.usage.input_tokens,
            "cached": g.usage.cached_tokens,
            "thinking": g.usage.thinking_tokens,
            "output": g.usage.output_tokens,
        },
        "finish_reason": g.finish_reason,
        "simulated": g.is_simulated,
    }


def model(m: Model) -> dict[str, Any]:
    return {
        "name": m.name,
        "provider": m.provider,
        "label": m.label,
        "simulated": m.is_simulated,
        "parameters": sorted(m.accepts),
        "context_tokens": m.context_tokens,
        "max_output_tokens": m.max_output_tokens,
    }


def workflow_run(run: WorkflowRun) -> dict[str, Any]:
    return {
        "run_id": run.id,
        "workflow_name": run.workflow_name,
        "status": run.status,
        "source": run.source,
        "demo": run.source == "demo",
        "created_at": run.created_at.isoformat(),
        "finished_at": run.finished_at.isoformat() if run.finished_at else None,
        "inputs": {name or "input": value for name, value in run.inputs.items()},
        "error": run.error or None,
        "steps": [
            {
                "step": step.step,
                "status": step.status,
                "model": step.model or None,
                "prompt": step.prompt,
                "response": step.output,
                "tokens": step.tokens,
                "latency": step.latency_s,
                "cost": usd(step.cost_usd),
                "attempts": step.n_attempts,
                "error": step.error or None,
            }
            for step in run.steps
        ],
        "final_output": run.final_output,
        "total_tokens": run.total_tokens,
        "total_latency": run.total_latency_s,
        "total_cost": usd(run.total_cost_usd),
    }


def experiment(e: Experiment) -> dict[str, Any]:
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


def alias(a: Alias) -> dict[str, Any]:
    return {
        "name": a.name,
        "model": a.target.model,
        "system": a.target.system,
        "parameters": a.target.parameters.as_dict(),
        "prompt_version": a.target.prompt_version,
        "fallbacks": list(a.target.fallbacks),
        "cache_s": a.target.cache_s,
        "rollout": a.rollout_id,
        "note": a.note,
        "changed_at": a.changed_at.isoformat(),
    }


def experiment_stats(report: ExperimentReport) -> dict[str, Any]:
    """Rates and their differences in per cent and points; money in dollars; times in seconds."""
    experiment, analysis, decision = report.experiment, report.analysis, report.decision
    arms = {result.variant.key: _arm(analysis, result) for result in report.results}
    winner = next((v.key for v in experiment.variants if v.position == decision.winner), None)
    return {
        "experiment_id": experiment.id,
        "name": experiment.name,
        "hypothesis": experiment.hypothesis,
        "status": experiment.status,
        "simulated": experiment.is_simulated,
        **arms,
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


def _arm(analysis: Analysis, result: VariantResult) -> dict[str, Any]:
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


def metrics_row(row: MetricsRow) -> dict[str, Any]:
    m = row.metrics
    value: dict[str, Any] = {
        "model_name": row.model,
        "provider": row.provider,
        "total_requests": m.n,
        "avg_latency": m.latency_mean_s,
        "success_rate": None if m.success_rate is None else 100 * m.success_rate,
        "avg_tokens": m.total_tokens / m.n if m.n else None,
        "p50": m.p50_s,
        "p95": m.p95_s,
        "p99": m.p99_s,
        "ttft_p50": m.ttft_p50_s,
        "ttft_p95": m.ttft_p95_s,
        "ttft_p99": m.ttft_p99_s,
        "tokens": {
            "input": m.input_tokens,
            "cached": m.cached_tokens,
            "thinking": m.thinking_tokens,
            "output": m.output_tokens,
        },
        "total_cost": None if m.n and m.n_unpriced == m.n else usd(m.cost_usd),
        "unpriced_requests": m.n_unpriced,
        "errors": m.errors,
    }
    if row.bucket is not None:
        value["bucket"] = row.bucket.isoformat()
    return value


def cost_row(row: MetricsRow) -> dict[str, Any]:
    m = row.metrics
    is_unknown = m.n > 0 and m.n_unpriced == m.n
    return {
        "model_name": row.model,
        "provider": row.provider,
        "total_requests": m.n,
        "total_cost": None if is_unknown else usd(m.cost_usd),
        "avg_cost": usd(m.cost_per_call_usd),
        "total_tokens": m.total_tokens,
        "unpriced_requests": m.n_unpriced,
        "unpriced_tokens": m.unpriced_tokens,
    }


def budget(outlook: BudgetOutlook) -> dict[str, Any]:
    status, b = outlook.status, outlook.status.budget
    return {
        "id": b.id,
        "name": b.name,
        "limit_usd": usd(b.limit_usd),
        "raised_usd": usd(status.limit_usd - b.limit_usd),
        "period": b.period,
        "rolling_hours": b.rolling_hours or None,
        "timezone": b.timezone,
        "scope": b.scope,
        "action": b.action,
        "downgrade_to": b.downgrade_to or None,
        "refuses_unpriced": b.refuses_unpriced,
        "thresholds": list(b.thresholds),
        "forecast_thresholds": list(b.forecast_thresholds),
        "spent": usd(status.spent_usd),
        "reserved": usd(status.reserved_usd),
        "left": usd(status.left_usd),
        "unpriced_requests": status.n_unpriced,
        "projected": usd(outlook.expected_usd),
        "projected_interval": None if outlook.interval_usd is None else [usd(each) for each in outlook.interval_usd],
        "projection_note": outlook.reason or None,
        "runs_out_on": outlook.runs_out_on.isoformat() if outlook.runs_out_on else None,
        "threshold_reached": status.reached,
        "resets_at": status.resets_at.isoformat(),
    }


def alert(a: Alert) -> dict[str, Any]:
    return {
        "budget": a.budget_name,
        "threshold": a.threshold,
        "of_forecast": a.is_forecast,
        "state": a.state,
        "since": a.since.isoformat(),
        "text": a.text,
    }


def estimate(e: Estimate) -> dict[str, Any]:
    return {
        "model": e.model,
        "low": usd(e.low_usd),
        "expected": usd(e.expected_usd),
        "high": usd(e.high_usd),
        "input_tokens": e.input_tokens._asdict(),
        "output_tokens": e.output_tokens._asdict(),
    }


def price(m: Model, p: Price | None) -> dict[str, Any]:
    value: dict[str, Any] = {"model": m.name, "provider": m.provider, "price_id": None}
    if p is None:
        return value
    rates = {name: usd(rate.base) for name in RATE_NAMES if (rate := getattr(p, name)) is not None}
    return value | {"price_id": p.id, "source": p.source, "usd_per_mtok": rates, "search_usd": usd(p.search_usd)}


def own_price(row: TeamPrice) -> dict[str, Any]:
    return {
        "id": row.id,
        "provider": row.provider,
        "model": row.model,
        "effective_from": row.effective_from.isoformat(),
        "source": row.source,
        "usd_per_mtok": {name: usd(rate.base) for name, rate in row.rates.items()},
        "above": {
            name: {start: usd(price) for start, price in rate.above} for name, rate in row.rates.items() if rate.above
        },
        "discount_percent": None if row.discount is None else float(100 * row.discount),
        "tiers": {tier: float(factor) for tier, factor in row.tiers.items()},
    }


def unpriced(each: UnpricedModel) -> dict[str, Any]:
    return {
        "provider": each.provider,
        "model": each.model,
        "requests": each.n_calls,
        "input_tokens": each.input_tokens,
        "output_tokens": each.output_tokens,
    }


def repriced(day: RepricedDay) -> dict[str, Any]:
    return {
        "day": day.on.isoformat(),
        "requests": day.n_calls,
        "unpriced": day.n_unpriced,
        "before": usd(day.before_usd),
        "after": usd(day.after_usd),
    }
