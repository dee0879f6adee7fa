"""Figures of calls by model: metrics and costs of a window."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from api.rest.dependencies import Manager, Span, StrictRoute, usd
from core import MetricsRow
from core.domain.metrics import MEASURES

router = APIRouter(route_class=StrictRoute)


@router.get("/metrics")
def metrics(
    mm: Manager,
    window: Span,
    model: Annotated[str | None, Query(max_length=200)] = None,
    bucket: Literal["hour", "day"] | None = None,
    simulated: bool = False,
) -> dict[str, Any]:
    rows = mm.monitoring.by_model(window, bucket=bucket, model=model, simulated=simulated)
    return {
        "status": "success",
        "from": window.since.isoformat(),
        "to": window.until.isoformat(),
        "metrics": [_metrics_view(row) for row in rows],
    }


@router.get("/costs")
def costs(mm: Manager, window: Span, simulated: bool = False) -> dict[str, Any]:
    rows = mm.monitoring.by_model(window, simulated=simulated)
    total = sum((row.metrics.cost_usd for row in rows), start=0)
    return {
        "status": "success",
        "from": window.since.isoformat(),
        "to": window.until.isoformat(),
        "costs": [_costs_view(row) for row in rows],
        "total_cost": float(total),
        "unpriced_requests": sum(row.metrics.n_unpriced for row in rows),
    }


def _metrics_view(row: MetricsRow) -> dict[str, Any]:
    m = row.metrics
    value: dict[str, Any] = {
        "model_name": row.model,
        "provider": row.provider,
        "total_requests": m.n,
        "avg_latency": m.latency_mean_s,
        "avg_tokens": m.total_tokens / m.n if m.n else None,
        **{measure.name: measure.of(m) for measure in MEASURES},
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


def _costs_view(row: MetricsRow) -> dict[str, Any]:
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
