"""One experiment: the verdict, the scorecard, its course, and what can be done with it."""

import math
from collections.abc import Callable
from typing import Literal

import streamlit as st

from core import ExperimentReport
from core.domain.experiment import Experiment, OutcomeInput
from core.experiments.analysis import SHARES
from core.experiments.words import short_effect
from core.statistics.experiments.sample_ratio import ALARM_E_VALUE
from dashboard import address, failure, formatting, tables, theme
from dashboard.charts.experiments import effect_over_time, units_per_day
from dashboard.components import answer, head
from dashboard.components.experiments import deciding, learning, scorecard
from dashboard.frames import experiments, models
from dashboard.process import manager
from dashboard.visitors import allowed

COLOURS: dict[str, Literal["blue", "green", "red"]] = {
    "Running": "blue",
    "Decided": "green",
    "Limit broken": "red",
    "Split is off": "red",
}
BAYES = (
    "What a Bayesian with flat priors believes now of the main metric. It does not control the rate of errors:"
    " stopping as soon as a variant is 95% likely to be best names a false winner in two of three experiments without"
    " any difference. The verdict does not use it."
)
CONFIDENCE = "Level {:.4g}%: alpha {:.4g} for each of {} comparisons. It holds at every look."
SPLIT = "{}. Log e-value against the planned split {:.2f}; the alarm is at {:.2f}, one false alarm in a hundred."
FEW = "The course of the effect is shown from the second look with 30 {}s per variant on."
FEW_DAYS, FEW_LOOKS = 3, 2


def show(found: ExperimentReport) -> None:
    experiment = found.experiment
    row = head.show(formatting.plain(experiment.name))
    row.button(
        "All experiments", icon=":material/arrow_back:", type="tertiary", key="exp_back",
        on_click=lambda: address.put("experiment", None),
    )  # fmt: skip
    deciding.buttons(found, row)
    _badges(found)
    _verdict(found)
    scorecard.show(found)
    _over_time(found)
    st.subheader("Variants", anchor=False)
    _variants(found)
    _more(found)


def _badges(found: ExperimentReport) -> None:
    experiment, analysis = found.experiment, found.analysis
    with st.container(horizontal=True, vertical_alignment="center"):
        status = experiments.status(experiment, found.decision)
        st.badge(status, color=COLOURS.get(status, "gray"))
        evidence = SPLIT.format(experiments.split(experiment), analysis.log_ratio_evidence, math.log(ALARM_E_VALUE))
        if analysis.is_ratio_mismatch:
            st.badge("Split not as planned", icon=":material/warning:", color="red", help=evidence)
        elif any(result.n_exposed for result in analysis.results):
            st.badge("Split as planned", icon=":material/check:", color="gray", help=evidence)
        if experiment.is_simulated:
            st.badge("Simulated", color="orange")
        if experiment.phase > 1:
            text = "Weights or variants have changed. Each phase is compared within itself; phases are never pooled."
            st.badge(f"Phase {experiment.phase}", color="gray", help=text)
        if experiment.design.allocation == "thompson":
            st.badge("Adaptive traffic", color="gray", help="Traffic moves to the variant that looks best.")
        text = f"{experiment.hypothesis.rstrip('.')} · since {formatting.when(experiment.created_at)}"
        if experiment.ended:
            text += f" · ended: {experiment.ended}"
        st.caption(formatting.plain(text))


def _verdict(found: ExperimentReport) -> None:
    experiment, decision, analysis = found.experiment, found.decision, found.analysis
    unit, way = f"{experiment.unit}s", found.progress
    n_units = sum(result.n_exposed for result in analysis.results)
    with st.container(border=True):
        st.subheader(formatting.plain(experiments.said(found.verdict)), anchor=False)
        if found.advice:
            st.markdown(formatting.plain(found.advice))
        if way is not None and decision.action == "inconclusive" and not found.is_same:
            size = f"{way.n:,} of about {way.needed:,} {unit}"
            st.progress(way.share, f"{formatting.percent(way.share, 0)} of the size needed · {size} · {_left(found)}")
        level = f"confidence {100 * analysis.confidence_level:.4g}%"
        facts = [f"{n_units:,} {unit}", f"{analysis.n_outcomes:,} outcomes", experiments.costs(found), level]
        alpha = 1 - analysis.confidence_level
        st.caption(
            formatting.plain(" · ".join(facts)),
            help=CONFIDENCE.format(100 * analysis.confidence_level, alpha, analysis.n_comparisons),
        )
        reasons = [*decision.reasons, *([decision.money] if decision.money else [])]
        st.caption("\n".join(f"- {formatting.plain(experiments.said(reason))}" for reason in reasons))
        if analysis.is_ratio_mismatch and experiment.acknowledged_at is None:
            row = st.container(horizontal=True, vertical_alignment="center")
            may = allowed.needs("editor")
            if row.button("Show the verdict anyway", key="exp_acknowledge", icon=":material/visibility:", **may):
                manager().experiments.designs.acknowledge(experiment.id)
                experiments.forget()
                st.rerun()
            row.caption("Recorded in the audit trail.")
    cautions = [*found.cautions, *experiments.novelty(experiment.id)]
    if cautions:
        text = "\n".join(f"- {formatting.plain(experiments.said(caution))}" for caution in cautions)
        st.warning(text, icon=":material/info:")


def _left(found: ExperimentReport) -> str:
    text = found.time_left
    return f"{text[:1].lower()}{text[1:]} left" if text != formatting.UNKNOWN else "time left unknown"


def _over_time(found: ExperimentReport) -> None:
    experiment, ink = found.experiment, theme.ink()
    design, history = experiment.design, experiments.history(found)
    if len(experiment.served) > 1:
        text = "Treatment − control, with the interval that held at each look; early ones may reach beyond the plot."
        st.subheader("Effect over time", anchor=False, help=text)
    if history.empty or history["units"].nunique() < FEW_LOOKS:
        if len(experiment.served) > 1:
            st.caption(FEW.format(experiment.unit))
    else:
        unit = " pts" if design.primary in SHARES else "%" if design.primary == "latency_p95" else ""
        shown = set(history["variant"])
        titles = [
            f"{c.variant.name}: {experiments.said(short_effect(c))}"
            for c in found.analysis.contrasts
            if c.metric == design.primary and c.variant.name in shown
        ]
        scale = 100 if design.primary in SHARES else 1
        lines = {}
        if design.rule == "not_worse_and_cheaper":
            worst = -design.margin if design.is_larger_better(design.primary) else design.margin
            lines["acceptable loss"] = scale * worst
        spec = effect_over_time(history, titles, (f"{experiment.unit.capitalize()}s so far", unit), lines, ink)
        with st.container(key="plots_exp_effect"):
            st.vega_lite_chart(spec, width="stretch", key="exp_effect")
    days, span = experiments.days(experiment.id, experiment.created_at, experiment.stopped_at)
    if span.n >= FEW_DAYS and len(days.columns) > 1:
        variants = [v.name for v in experiment.variants if f"units {v.position}" in days]
        title = f"{found.traffic.units:,.0f} new {experiment.unit}s a day{formatting.of_utc()}"
        days.columns = ["time", *(f"units {at}" for at in range(len(variants)))]
        with st.container(key="plots_exp_days"):
            st.vega_lite_chart(units_per_day(days, variants, title, span, ink), width="stretch", key="exp_days")


def _variants(found: ExperimentReport) -> None:
    frame, c = experiments.variants(found), st.column_config
    config = {
        "model": tables.model_column(frame["model"], models.colours(theme.mode()), label="Model or workflow"),
        "best": c.NumberColumn("Chance to be best", format="percent", help=BAYES),
        "units": c.NumberColumn(f"{found.experiment.unit.capitalize()}s", format="localized"),
        **{name: c.NumberColumn(format="localized") for name in ("outcomes", "calls", "failed")},
        "latency s": c.NumberColumn("Mean latency", format="%.2f s"),
        "tokens": c.NumberColumn("Tokens per call", format="%.0f"),
        "cost $": tables.money_column("Cost", frame["cost $"]),
    }
    tables.show(frame.assign(model=tables.chips(frame["model"])), column_config=config, placeholder=formatting.UNKNOWN)


def _more(found: ExperimentReport) -> None:
    """Draw the parts that experts look up; each is computed where it is open."""
    experiment = found.experiment
    parts: dict[str, tuple[str, Callable[[], None]]] = {
        "Latest assignments": ("list", lambda: tables.show(experiments.latest(experiment))),
        "Why you may look at any time": ("science", learning.show),
    }
    if experiment.had_shadows:
        parts["Shadow answers"] = ("visibility_off", lambda: _shadows(experiment))
    if not experiment.is_demo:
        parts["Use from code"] = ("code", lambda: learning.snippet(experiment.id))
    for label, (icon, draw) in parts.items():
        box = st.expander(label, icon=f":material/{icon}:", key=f"exp_open_{label}", on_change="rerun")
        if box.open:
            with box, failure.contained():
                draw()


def _shadows(experiment: Experiment) -> None:
    """Their cost, and the latest of them beside the served answers, to be judged."""
    mm = manager()
    for position, n, failed, cost, unpriced in mm.experiments.reports.shadow_costs(experiment.id):
        name = next((v.name for v in experiment.variants if v.position == position), f"variant {position}")
        text = f"{name}: {n:,} unseen answers, {failed:,} failed, {formatting.usd(cost)}"
        st.caption(formatting.plain(text + (f", {unpriced:,} unpriced" if unpriced else "")))
    for shadow_id, served_id in mm.experiments.reports.shadow_pairs(experiment.id):
        shadow, served = mm.log.get(shadow_id), mm.log.get(served_id)
        if shadow is None or served is None:
            continue
        with st.container(border=True):
            left, right = st.columns(2, gap="medium")
            left.caption("Served")
            answer.show(left, served.text or formatting.UNKNOWN)
            right.caption("Shadow")
            answer.show(right, shadow.text or formatting.UNKNOWN)
            row = st.container(horizontal=True)
            for label, success in (("Shadow is good", True), ("Shadow is bad", False)):
                if row.button(label, key=f"shadow_{shadow_id}_{success}", **allowed.needs("editor")):
                    mm.experiments.record(experiment.id, [OutcomeInput(generation_id=shadow_id, success=success)])
                    st.rerun()
