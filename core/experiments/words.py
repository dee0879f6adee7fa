"""Metrics and effects in words and numbers that people read. Pure."""

from core.domain.experiment import Metric
from core.experiments.analysis import SHARES, Contrast

_NAMES: dict[str, str] = {
    "success": "success rate",
    "rating": "rating",
    "number": "value",
    "cost_per_success": "dollars per success",
    "latency_p95": "p95 latency",
    "error_rate": "error rate",
    "cost": "dollars per call",
}


def names(metric: Metric) -> str:
    return _NAMES[metric]


def amount(metric: Metric, value: float, *, is_difference: bool = False) -> str:
    """A value of a metric: shares in per cent (differences in points), dollars, seconds, or a plain number."""
    if metric in SHARES:
        return f"{100 * value:.1f} {'points' if is_difference else '%'}"
    if metric in ("cost", "cost_per_success"):
        return f"${_dollars(value)}"
    if metric == "latency_p95":
        return f"{100 * value:.0f} %" if is_difference else f"{value:.2f} s"
    return f"{value:.3g}"


def _dollars(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 1 or value == 0:
        return f"{value:.2f}"
    return f"{value:.2g}" if abs(value) >= 1e-4 else f"{value:.9f}".rstrip("0")


def signed(metric: Metric, value: float) -> str:
    """A difference with its sign and unit."""
    sign = "+" if value >= 0 else "−"
    return f"{sign}{amount(metric, abs(value), is_difference=True)}"


def effect(contrast: Contrast, confidence_level: float) -> str:
    """A contrast as a sentence."""
    d, metric = contrast.difference, contrast.metric
    head = f"{contrast.variant.name}: {signed(metric, d.estimate)} of {names(metric)} against the control"
    if not d.is_finite:
        return f"{head}; too little to say how sure that is."
    low, high = signed(metric, d.lower), signed(metric, d.upper)
    bounds = f"{low.removesuffix(' points').removesuffix(' %')} to {high}"
    return f"{head} ({bounds}, {100 * confidence_level:.4g} % at every look)."
