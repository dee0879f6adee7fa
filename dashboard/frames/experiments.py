"""Experiments as data frames. What is computed from sums and looks is kept for all viewers."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from core import ExperimentReport
from core.domain.experiment import Decision, Experiment, Metric
from core.experiments.analysis import SHARES
from core.experiments.planner import Plan, plan
from core.experiments.words import names, signed
from core.formats import figures
from core.statistics.experiments import power
from core.statistics.experiments.peeking import METHODS, Peeking, simulate
from core.statistics.interval import Interval
from dashboard import formatting, tables
from dashboard.charts.base import Span, whole
from dashboard.process import manager

STATUSES = ("Running", "Rolling out", "Shadow", "Decided", "Stopped", "Limit broken", "Split is off")
kept = st.cache_data(ttl=10, show_spinner=False, max_entries=500)
kept_long = st.cache_data(ttl=60, show_spinner=False, max_entries=2000)  # of stopped ones: outcomes may still come late


@kept
def report(experiment_id: str) -> ExperimentReport:
    return manager().experiments.report(experiment_id)


@kept
def novelty(experiment_id: str) -> list[str]:
    return manager().experiments.reports.novelty(experiment_id)


def forget() -> None:
    """Compute anew what is shown: something was changed here."""
    st.cache_data.clear()


def table(experiments: Sequence[Experiment]) -> pd.DataFrame:
    """A row an experiment: name, status, verdict, effect at each look, time left."""
    rows = [(_row if each.status == "running" else _stopped)(each.id) for each in experiments]
    return pd.DataFrame(rows, columns=["name", "status", "verdict", "effect", "left"])


@kept
def _row(experiment_id: str) -> dict[str, Any]:
    found = report(experiment_id)
    experiment, looks = found.experiment, history(found)
    first = looks[looks["variant"] == looks["variant"].iloc[0]] if len(looks) else looks
    return {
        "name": experiment.name,
        "status": status(experiment, found.decision),
        "verdict": said(found.verdict),
        "effect": first["effect"].tolist(),
        "left": found.time_left,
    }


@kept_long
def _stopped(experiment_id: str) -> dict[str, Any]:
    return _row(experiment_id)


def status(experiment: Experiment, decision: Decision) -> str:
    """One of STATUSES."""
    if experiment.status != "running":
        return "Stopped"
    by_action = {"hold": "Split is off", "stop": "Limit broken"}
    if decision.action in by_action:
        return by_action[decision.action]
    if experiment.is_rollout:
        return "Rolling out"
    if len(experiment.served) < 2:
        return "Shadow"
    return "Decided" if decision.action == "ship" else "Running"


def said(text: str) -> str:
    """A sentence of core as pages write per cents: 95%."""
    return text.replace(" %", "%")


def value(metric: Metric, found: Interval | None) -> str:
    """A variant's value of a metric."""
    if found is None or not math.isfinite(found.estimate):
        return formatting.UNKNOWN
    texts = {"latency_p95": formatting.seconds, "cost": formatting.usd, "cost_per_success": formatting.usd}
    if metric in SHARES:
        return formatting.percent(found.estimate)
    return texts[metric](found.estimate) if metric in texts else f"{found.estimate:.3g}"


def bounds(metric: Metric, found: Interval | None) -> str:
    """The interval of a variant's value, in words."""
    if found is None or not found.is_finite:
        return ""
    low, high = (value(metric, found._replace(estimate=each)) for each in found[1:])
    return f"{low} to {high} at every look"


def label(metric: Metric) -> str:
    """The name of a metric as it stands at the head of a row."""
    named = {"cost": "Cost per call", "cost_per_success": "Cost per success", "latency_p95": "Latency p95"}
    return named.get(metric) or names(metric).capitalize()


def changed(metric: Metric, share: float, *, unit: bool = True) -> str:
    """A change of a metric: +0.6 pts of shares, else +13.0%."""
    text = "0" if abs(share) < 0.0005 else figures.signed(100 * share, ".1f")
    return text + ((" pts" if metric in SHARES else "%") if unit else "")


def variants(found: ExperimentReport) -> pd.DataFrame:
    """A row a variant: what it was asked, and what it cost."""
    beliefs = found.analysis.beliefs
    return tables.frame(
        found.results,
        {
            "variant": lambda r: f"{r.variant.name} (shadow)" if r.variant.is_shadow else r.variant.name,
            "model": lambda r: r.variant.workflow or r.variant.model,
            "weight": lambda r: r.variant.weight,
            "best": lambda r: beliefs[r.variant.position].probability_best if r.variant.position in beliefs else None,
            "units": lambda r: r.n_exposed,
            "outcomes": lambda r: r.n_outcomes,
            "calls": lambda r: r.n_calls,
            "failed": lambda r: r.n_errors,
            "latency s": lambda r: r.latency_mean_s,
            "tokens": lambda r: r.tokens_mean,
            "cost $": lambda r: r.cost_usd,
        },
    )


@kept
def _looks(experiment_id: str) -> dict[int, Any]:
    return manager().experiments.reports.history(experiment_id)


def history(found: ExperimentReport) -> pd.DataFrame:
    """The primary metric's difference at each look and now, with the band that held then.

    Points for shares, % for p95.
    """
    experiment, metric = found.experiment, found.experiment.design.primary
    n_now, now = sum(result.n_exposed for result in found.results), experiment.stopped_at or datetime.now(UTC)
    by_variant: dict[int, list[tuple[int, datetime, Interval]]] = {
        position: [(look.n, look.at, interval) for look, interval in looks]
        for position, looks in _looks(experiment.id).items()
    }
    for each in found.analysis.contrasts:
        looks = by_variant.get(each.variant.position)
        if each.metric == metric and metric != "latency_p95" and looks and looks[-1][0] < n_now:
            looks.append((n_now, now, each.difference))
    scale = 100 if metric in (*SHARES, "latency_p95") else 1
    records = [
        {
            "units": n,
            "at": formatting.when(at),
            "variant": variant.name,
            "effect": scale * interval.estimate,
            "lower": scale * interval.lower,
            "upper": scale * interval.upper,
            "effect text": signed(metric, interval.estimate),
            "bounds text": f"{signed(metric, interval.lower)} to {signed(metric, interval.upper)}",
        }
        for variant in experiment.served[1:]
        for n, at, interval in by_variant.get(variant.position, ())
        if interval.is_finite
    ]
    columns = ["units", "at", "variant", "effect", "lower", "upper", "effect text", "bounds text"]
    return pd.DataFrame(records, columns=columns)


@kept
def days(experiment_id: str, since: datetime, until: datetime | None) -> tuple[pd.DataFrame, Span]:
    """New units per day, a column a variant, from the start to the end or to today."""
    span = Span.around("day", since, until or datetime.now(UTC))
    frame = tables.frame(
        manager().experiments.reports.days(experiment_id),
        {
            "time": lambda day: pd.Timestamp(day.day_at),
            "variant": lambda day: f"units {day.position}",
            "exposed": lambda day: day.n_exposed,
        },
    )
    wide = frame.pivot_table(index="time", columns="variant", values="exposed", aggfunc="sum", fill_value=0)
    return whole(wide.reset_index(), span).fillna(0), span


@kept
def split(experiment: Experiment) -> str:
    """Planned and seen shares of the current phase, in words."""
    sums = manager().experiments.reports.sums(experiment.id)
    counts = [sums.of(experiment.phase, v.position, "exposure").n for v in experiment.served]
    total, weights = sum(counts), sum(v.weight for v in experiment.served)
    return ", ".join(
        f"{v.letter} {n:,} ({formatting.percent(n / total if total else None)}, planned"
        f" {formatting.percent(v.weight / weights)})"
        for v, n in zip(experiment.served, counts, strict=True)
    )


def costs(found: ExperimentReport) -> str:
    """So far, and until it is decided or for each day on; a dash where it cannot be told."""
    known = [r.cost_usd for r in found.results if r.cost_usd is not None]
    cost = sum(known) if len(known) == len(found.results) else None
    calls = sum(r.n_calls for r in found.analysis.results)  # of units; a shadow's come on top of them
    text = f"{formatting.usd(cost) if calls or cost else formatting.UNKNOWN} so far"
    if cost is None or not calls or found.experiment.status != "running":
        return text
    per_day, days = cost / calls * found.traffic.calls, found.decision.days_left
    if days is None or days > found.experiment.design.max_days:
        return f"{text}, {formatting.usd(per_day)} a day"
    return f"{text}, about {formatting.usd(per_day * days)} until the end"


@st.cache_data(ttl=600, show_spinner=False, max_entries=500)
def expected(primary: Metric, typical: float, effect: float, per_day: float, n_variants: int) -> Plan | None:
    """The plan for an effect; None = it cannot be told before there are data.

    typical: The success rate as it is today, or a unit's standard deviation.
    """
    if n_variants < 2 or primary not in ("success", "rating", "number"):
        return None
    up = effect if typical + effect < 1 else -effect
    if primary == "success" and not 0 < typical + up < 1:
        return None
    spread = power.spread_of(typical, up) if primary == "success" else 2 * typical * typical
    return plan(spread, up, per_day=per_day or None, n_variants=n_variants, n_comparisons=n_variants - 1)


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
