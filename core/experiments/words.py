"""Metrics, effects and judgements in words and numbers that people read. Pure."""

from dataclasses import dataclass
from typing import Literal

from core.domain.experiment import Metric
from core.experiments.analysis import SHARES, Contrast, GuardResult
from core.statistics.interval import Interval

ScoreState = Literal["better", "within", "worse_within", "worse", "broken", "undecided"]

_NAMES: dict[str, str] = {
    "success": "user success rate",
    "rating": "rating",
    "number": "value",
    "cost_per_success": "dollars per success",
    "latency_p95": "p95 latency",
    "error_rate": "error rate",
    "cost": "dollars per call",
}


@dataclass(frozen=True, slots=True)
class Score:
    """A variant against the control in one metric, judged.

    position: The variant's.
    contrast, guard: None = there is no data yet; there is no guardrail.
    change: Of shares in points (0.01 = one), else as a share of the control's value; None = not known.
    state: within = shown to stay within its limit; worse_within = that, and worse; broken = beyond its guardrail.
    """

    position: int
    metric: Metric
    contrast: Contrast | None
    guard: GuardResult | None
    change: Interval | None
    state: ScoreState
    is_larger_better: bool

    @property
    def is_informal(self) -> bool:
        """True where it is shown for information: it is neither declared nor guarded."""
        return self.guard is None and not (self.contrast and self.contrast.is_claimed)


def names(metric: Metric) -> str:
    return _NAMES[metric]


def amount(metric: Metric, value: float, *, is_difference: bool = False) -> str:
    """A value of a metric: shares in per cent (differences in points), dollars, seconds, or a plain number."""
    if metric in SHARES:
        return f"{100 * value:.1f}{' points' if is_difference else '%'}"
    if metric in ("cost", "cost_per_success"):
        return f"${_dollars(value)}"
    if metric == "latency_p95":
        return f"{100 * value:.0f}%" if is_difference else f"{value:.2f} s"
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
    return f"{head} ({bounds(contrast)}, {100 * confidence_level:.4g}% at every look)."


def short_effect(contrast: Contrast) -> str:
    """A contrast in a few words: success rate +9.3 points (+5.1 to +13.4)."""
    text = f"{names(contrast.metric)} {signed(contrast.metric, contrast.difference.estimate)}"
    return f"{text} ({bounds(contrast).removesuffix(' points')})" if contrast.difference.is_finite else text


def bounds(contrast: Contrast) -> str:
    low, high = (signed(contrast.metric, value) for value in contrast.difference[1:])
    return f"{low.removesuffix(' points').removesuffix(' %')} to {high}"


def in_days(days: float) -> str:
    """Under a day, 1 day, 24 days."""
    n = round(days)
    return "Under a day" if days < 1 else "1 day" if n == 1 else f"{n:,} days"
