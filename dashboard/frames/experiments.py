"""Experiments as data frames."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import streamlit as st

from core import ExperimentReport
from core.domain.experiment import Experiment, Metric
from core.experiments.analysis import SHARES, Analysis, VariantResult
from core.experiments.planner import Plan, plan
from core.experiments.words import amount, names, signed
from core.statistics import power
from core.statistics.interval import Interval
from core.statistics.peeking import METHODS, Peeking, simulate
from core.statistics.sequential import MIN_PER_SIDE
from dashboard import formatting, tables
from dashboard.charts.base import Span
from dashboard.process import manager

SHOWN: tuple[Metric, ...] = ("success", "rating", "number", "cost_per_success", "latency_p95", "error_rate", "cost")


def report(experiment_id: str) -> ExperimentReport:
    return manager().experiments.report(experiment_id)


def variants(results: Sequence[VariantResult]) -> pd.DataFrame:
    """A row a variant; intervals in the text hold at every look."""
    records = []
    for r in results:
        record: dict[str, object] = {
            "variant": r.variant.name,
            "answers with": r.variant.workflow or r.variant.model,
            "units": r.n_exposed,
            "outcomes": r.n_outcomes,
        }
        for metric in SHOWN:
            if any(metric in other.estimates for other in results):
                record[names(metric)] = _with_bounds(metric, r.estimates.get(metric))
        record |= {"calls": r.n_calls, "latency s": r.latency_mean_s, "cost": formatting.usd(r.cost_usd)}
        if r.variant.is_shadow:
            record["variant"] = f"{r.variant.name} (shadow)"
        records.append(record)
    return pd.DataFrame(records)


def _with_bounds(metric: Metric, interval: Interval | None) -> str:
    if interval is None:
        return formatting.UNKNOWN
    text = amount(metric, interval.estimate)
    if not interval.is_finite:
        return text
    return f"{text} ({amount(metric, interval.lower)} – {amount(metric, interval.upper)})"


def effects(analysis: Analysis, primary: Metric) -> pd.DataFrame:
    """Every contrast as a share of the control's value, in per cent; what cannot be told yet is left out."""
    records = []
    for c in analysis.contrasts:
        share = c.relative if c.relative is not None else _relative(analysis, c.metric, c.difference)
        if share is None or not share.is_finite:
            continue
        records.append(
            {
                "metric": names(c.metric) + (" (primary)" if c.metric == primary else ""),
                "variant": c.variant.name,
                "effect": 100 * share.estimate,
                "lower": 100 * share.lower,
                "upper": 100 * share.upper,
                "absolute": signed(c.metric, c.difference.estimate),
                "claimed": c.is_claimed,
                "rank": 0 if c.metric == primary else 1 + SHOWN.index(c.metric),
            }
        )
    columns = ["metric", "variant", "effect", "lower", "upper", "absolute", "claimed", "rank"]
    return pd.DataFrame(records, columns=columns).sort_values("rank")


def _relative(analysis: Analysis, metric: Metric, difference: Interval) -> Interval | None:
    """Of several phases: the difference over the control's mean in all of them."""
    control = analysis.control.estimates.get(metric)
    return difference.scaled(1 / control.estimate) if control and control.estimate > 0 else None


def contrasts(analysis: Analysis) -> pd.DataFrame:
    """The table behind the forest plot, in each metric's own unit."""
    return tables.frame(
        analysis.contrasts,
        {
            "variant": lambda c: c.variant.name,
            "metric": lambda c: names(c.metric),
            "difference": lambda c: signed(c.metric, c.difference.estimate),
            "from": lambda c: (
                signed(c.metric, c.difference.lower) if math.isfinite(c.difference.lower) else formatting.UNKNOWN
            ),
            "to": lambda c: (
                signed(c.metric, c.difference.upper) if math.isfinite(c.difference.upper) else formatting.UNKNOWN
            ),
            "p (any look)": lambda c: None if math.isnan(c.p_value) else min(1.0, c.p_value * analysis.n_comparisons),
            "units": lambda c: c.n,
            "claimed": lambda c: c.is_claimed,
        },
    )


def history(experiment: Experiment) -> pd.DataFrame:
    """The primary metric's difference at each look, with the band that held then; points for shares, % for p95."""
    scale = 100 if experiment.design.primary in (*SHARES, "latency_p95") else 1
    records = []
    found = manager().experiments.reports.history(experiment.id)
    for variant in experiment.served[1:]:
        for look, interval in found.get(variant.position, ()):
            if interval.is_finite:
                records.append(
                    {
                        "units": look.n,
                        "at": look.at.isoformat(timespec="minutes"),
                        "phase": look.phase,
                        "variant": variant.name,
                        "effect": scale * interval.estimate,
                        "lower": scale * interval.lower,
                        "upper": scale * interval.upper,
                    }
                )
    return pd.DataFrame(records, columns=["units", "at", "phase", "variant", "effect", "lower", "upper"])


def days(experiment: Experiment) -> pd.DataFrame:
    """Exposures and outcomes per day and variant."""
    name = {variant.position: variant.name for variant in experiment.variants}
    return tables.frame(
        manager().experiments.reports.days(experiment.id),
        {
            "time": lambda day: pd.Timestamp(day.day_at),
            "variant": lambda day: name.get(day.position, f"variant {day.position}"),
            "exposed": lambda day: day.n_exposed,
            "outcomes": lambda day: day.n_outcomes,
        },
    )


def span(experiment: Experiment) -> Span:
    """The days of an experiment, from its start to its end or to today."""
    return Span.around("day", experiment.created_at, experiment.stopped_at or datetime.now(UTC))


def split(found: ExperimentReport) -> pd.DataFrame:
    """Planned and seen shares of the current phase, in per cent."""
    experiment = found.experiment
    sums = manager().experiments.reports.sums(experiment.id)
    counts = [sums.of(experiment.phase, v.position, "exposure").n for v in experiment.served]
    weights = [v.weight for v in experiment.served]
    records = [
        {
            "variant": v.name,
            "planned %": 100 * w / sum(weights),
            "seen %": 100 * n / sum(counts) if sum(counts) else None,
            "units": n,
        }
        for v, w, n in zip(experiment.served, weights, counts, strict=True)
    ]
    return pd.DataFrame(records)


def beliefs(analysis: Analysis, primary: Metric) -> pd.DataFrame:
    records = [
        {
            "variant": r.variant.name,
            "probability to be best %": 100 * belief.probability_best,
            "expected loss": amount(primary, belief.expected_loss, is_difference=True),
        }
        for r in analysis.results
        if (belief := analysis.beliefs.get(r.variant.position)) is not None
    ]
    return pd.DataFrame(records, columns=["variant", "probability to be best %", "expected loss"])


def costs(found: ExperimentReport) -> tuple[str, str]:
    """So far, and for each day on; a dash where it cannot be told."""
    known = [r.cost_usd for r in found.results if r.cost_usd is not None]
    cost = sum(known) if len(known) == len(found.results) else None
    calls = sum(r.n_calls for r in found.analysis.results)  # of units; a shadow's come on top of them
    so_far = formatting.usd(cost) if calls or cost else formatting.UNKNOWN
    if cost is None or not calls or found.experiment.status != "running":
        return so_far, formatting.UNKNOWN
    return so_far, f"{formatting.usd(cost / calls * found.traffic.calls)} per day"


def plans(
    baseline: float, effects_: Sequence[float], per_day: float, n_variants: int, n_comparisons: int
) -> pd.DataFrame:
    """The planner's table for a success rate: both designs, a row an effect."""
    records = []
    for effect in effects_:
        if not 0 < baseline + effect < 1:
            continue
        found: Plan = plan(
            power.spread_of(baseline, effect),
            effect,
            per_day=per_day or None,
            n_variants=n_variants,
            n_comparisons=n_comparisons,
        )
        records.append(
            {
                "difference": f"{100 * effect:+.1f} points",
                "any look: units per variant": found.always_n,
                "any look: days": found.always_days,
                "one look: units per variant": found.fixed_n,
                "one look: days": found.fixed_days,
            }
        )
    return pd.DataFrame(records)


def reach(baseline: float, per_day: float, n_days: int, n_variants: int) -> str:
    """The smallest difference that can be detected in so many days, in words."""
    n = int(per_day * n_days / n_variants)
    if n < MIN_PER_SIDE:
        return f"{n_days} days bring {n:,} units per variant: too few to detect anything."
    spread, level = power.spread_of(baseline, 0.0), 0.05 / max(1, n_variants - 1)
    always = power.detectable_effect(spread, n, significance=level, tuned_for=1000)
    fixed = power.detectable_effect(spread, n, significance=level)
    return (
        f"{n_days} days bring {n:,} units per variant: enough to detect {100 * always:.1f} points at any look,"
        f" {100 * fixed:.1f} at one look."
    )


@st.cache_data(ttl=60, show_spinner=False)
def units_per_day() -> int:
    """Real calls a day over the last fourteen days, for want of a better guess of an experiment's traffic."""
    days = 14
    rows = manager().monitoring.by_model(manager().monitoring.window(days=days), simulated=False)
    return round(sum(row.metrics.n for row in rows) / days)


@st.cache_data(ttl=600, show_spinner="Simulating …")
def peeking(rate: float, effect: float, n_per_side: int) -> pd.DataFrame:
    found: Peeking = simulate(rate, effect, n_per_side, np.random.default_rng(12345))
    return tables.frame(
        METHODS,
        {
            "method": lambda method: method,
            "declares a winner %": lambda method: 100 * found.rates[method],
            "median units per variant": lambda method: None if math.isnan(found.stops[method]) else found.stops[method],
        },
    )


def latest(experiment: Experiment) -> pd.DataFrame:
    """The last assignments."""
    name = {variant.position: variant.name for variant in experiment.variants}
    return tables.frame(
        manager().experiments.reports.latest_units(experiment.id),
        {
            "unit": lambda row: row.unit_id,
            "variant": lambda row: name.get(row.position, str(row.position)),
            "assignment": lambda row: row.assignment_id,
            "when": lambda row: formatting.when(row.created_at),
            "outcomes": lambda row: row.n_outcomes,
            "not counted": lambda row: row.reason,
        },
    )
