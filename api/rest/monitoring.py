"""Figures of calls by model: metrics and costs of a window."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from api.rest.dependencies import Manager, Span, StrictRoute, usd
from api.rest.views import View, tokens_view
from core import Metrics, MetricsRow
from core.domain.metrics import MEASURES, Window

router = APIRouter(route_class=StrictRoute)

_head_view = View(
    MetricsRow,
    "model_name=model provider total_requests=metrics.n avg_latency=metrics.latency_mean_s avg_tokens=metrics",
    avg_tokens=lambda m: m.total_tokens / m.n if m.n else None,
)
_sums_view = View(
    MetricsRow,
    "tokens=metrics total_cost=metrics unpriced_requests=metrics.n_unpriced errors=metrics.errors",
    tokens=tokens_view,
    total_cost=lambda m: _known_cost(m),
)
_costs_view = View(
    MetricsRow,
    "model_name=model provider total_requests=metrics.n total_cost=metrics avg_cost=metrics.cost_per_call_usd"
    " total_tokens=metrics.total_tokens unpriced_requests=metrics.n_unpriced unpriced_tokens=metrics.unpriced_tokens",
    total_cost=lambda m: _known_cost(m),
)


@router.get("/metrics")
def metrics(
    mm: Manager,
    window: Span,
    model: Annotated[str | None, Query(max_length=200)] = None,
    bucket: Literal["hour", "day"] | None = None,
    simulated: bool = False,
) -> dict[str, Any]:
    rows = mm.monitoring.by_model(window, bucket=bucket, model=model, simulated=simulated)
    return _answered(window) | {"metrics": [_metrics_view(row) for row in rows]}


@router.get("/costs")
def costs(mm: Manager, window: Span, simulated: bool = False) -> dict[str, Any]:
    rows = mm.monitoring.by_model(window, simulated=simulated)
    total = sum((row.metrics.cost_usd for row in rows), start=0)
    return {
        **_answered(window),
        "costs": _costs_view.each(rows),
        "total_cost": float(total),
        "unpriced_requests": sum(row.metrics.n_unpriced for row in rows),
    }


def _answered(window: Window) -> dict[str, Any]:
    return {"status": "success", "from": window.since.isoformat(), "to": window.until.isoformat()}


def _metrics_view(row: MetricsRow) -> dict[str, Any]:
    measured = {measure.name: measure.of(row.metrics) for measure in MEASURES}
    value = _head_view(row) | measured | _sums_view(row)
    return value if row.bucket is None else value | {"bucket": row.bucket.isoformat()}


def _known_cost(m: Metrics) -> float | None:
    """null where no call has a price."""
    return None if m.n and m.n_unpriced == m.n else usd(m.cost_usd)
