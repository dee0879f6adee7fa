"""One experiment: verdict, effects, history, split, cost, and what can be done with it."""

import streamlit as st

from core import AimmError, ExperimentReport
from core.domain.experiment import SMALLER_IS_BETTER, Experiment, OutcomeInput
from core.experiments.analysis import SHARES
from core.experiments.words import names
from dashboard import formatting, tables
from dashboard.charts.experiments import effect_over_time, forest_plot, split_shares, units_per_day
from dashboard.components import answer, chart_table, inputs
from dashboard.frames import experiments
from dashboard.process import manager

BANNER = {"ship": st.success, "hold": st.warning, "stop": st.error, "inconclusive": st.info}
PLAYED = 1000
BAYES = (
    "What a Bayesian with flat priors believes now. It does not control the rate of errors: stopping as soon as a"
    " variant is 95 % likely to be best names a false winner in two of three experiments without any difference. The"
    " verdict does not use it."
)
EFFECTS_HELP = (
    "Differences to the control. Every interval holds however often you look: it is a confidence sequence, wider than"
    " the usual interval for one look. Pale ones are shown for information only."
)
SPLIT_HELP = (
    "Bars: actual shares. Marks: planned shares. The alarm holds at every look: at most one false alarm in a hundred"
    " experiments. Evidence against the planned split: log e-value {:.2f}; the alarm goes off at 4.61."
)
FEW = "Shown from 30 units per variant."


def show(found: ExperimentReport) -> None:
    experiment, analysis = found.experiment, found.analysis
    _head(experiment)
    _verdict(found)
    _numbers(found)
    _actions(found)
    primary = experiment.design.primary
    left, right = st.columns(2, gap="medium")
    with left:
        frame = experiments.effects(analysis, primary)
        st.markdown("**Effects**", help=EFFECTS_HELP)
        if frame.empty:
            st.caption(FEW)
        else:
            st.altair_chart(forest_plot(frame))
    with right:
        history = experiments.history(experiment)
        unit = "points" if primary in SHARES else "%" if primary == "latency_p95" else "difference"
        text = f"{names(primary).capitalize()}, treatment − control, with the interval that held at each look."
        st.markdown("**Effect over time**", help=text)
        if history.empty:
            st.caption(FEW)
        else:
            st.altair_chart(effect_over_time(history, f"{names(primary)} ({unit})"))
    config = {"latency s": st.column_config.NumberColumn(format="%.2f")}
    tables.show(experiments.variants(found.results), column_config=config)
    left, right = st.columns(2, gap="medium")
    with left:
        days = experiments.days(experiment)
        if not days.empty:
            chart = units_per_day(days, experiments.span(experiment))
            text = "New units by the day they arrived (UTC)."
            chart_table.show("Units per day", chart, days, help_text=text, key="exp_days")
    with right:
        _split(found)
    _more(found)


def _head(experiment: Experiment) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(experiment.status, color="blue" if experiment.status == "running" else "gray")
        if experiment.is_simulated:
            st.badge("simulated", color="orange")
        if experiment.phase > 1:
            text = "Weights or variants have changed. Each phase is compared within itself; phases are never pooled."
            st.badge(f"phase {experiment.phase}", color="violet", help=text)
        if experiment.design.allocation == "thompson":
            st.badge("adaptive traffic", color="green")
        since = formatting.when(experiment.created_at)
        text = f"{experiment.hypothesis.rstrip('.')} · by {experiment.unit} · since {since}"
        if experiment.ended:
            text += f" · stopped: {experiment.ended}"
        st.caption(formatting.plain(text))


def _verdict(found: ExperimentReport) -> None:
    experiment, decision = found.experiment, found.decision
    reasons = [*decision.reasons, *([decision.money] if decision.money else [])]
    text = "\n".join(f"- {formatting.plain(reason)}" for reason in reasons)
    BANNER[decision.action](f"**{formatting.plain(decision.headline)}**\n\n{text}")
    if found.analysis.is_ratio_mismatch and experiment.acknowledged_at is None:
        with st.container(horizontal=True, vertical_alignment="center"):
            if st.button("Show the verdict anyway", key="exp_acknowledge", icon=":material/visibility:"):
                manager().experiments.designs.acknowledge(experiment.id)
                st.rerun()
            st.caption("Recorded in the audit trail.")
    cautions = [*found.cautions, *manager().experiments.reports.novelty(experiment.id)]
    if cautions:
        st.warning("\n".join(f"- {formatting.plain(caution)}" for caution in cautions), icon=":material/info:")


def _numbers(found: ExperimentReport) -> None:
    analysis, traffic = found.analysis, found.traffic
    so_far, to_finish = experiments.costs(found)
    n_units = sum(r.n_exposed for r in analysis.results)
    level_help = f"Corrected for {analysis.n_comparisons} comparisons. Holds at every look."
    with st.container(horizontal=True):
        st.metric("Units", f"{n_units:,}", help=f"About {traffic.units:,.0f} per day.")
        st.metric("Outcomes", f"{analysis.n_outcomes:,}")
        st.metric("Cost so far", so_far)
        st.metric(
            "Cost to finish", to_finish, help="For each further day, at the traffic and the cost per call so far."
        )
        st.metric("Confidence", f"{100 * analysis.confidence_level:.4g} %", help=level_help)


def _actions(found: ExperimentReport) -> None:
    experiment = found.experiment
    row = st.container(horizontal=True)
    if experiment.status == "running":
        if experiment.is_simulated and row.button(
            "Simulate 1,000 users",
            icon=":material/groups:",
            key="exp_play",
            help="Invents outcomes: A succeeds in 30 %, B in 38 %, C in 34 %, identical ones alike. Calls no model.",
        ):
            manager().experiments.traffic.play(experiment.id, PLAYED)
            st.rerun()
        with row.popover("Change weights", icon=":material/balance:"):
            _weights(experiment)
        with row.popover("Stop", icon=":material/stop:"):
            why = inputs.text(st, "Reason", "exp_why", placeholder="for the decision record")
            if st.button("Stop", icon=":material/stop:", key="exp_stop"):
                manager().experiments.stop(experiment.id, why)
                st.rerun()
    if not experiment.is_demo:
        with row.popover("Promote", icon=":material/rocket_launch:"):
            _promote(found)
    row.download_button(
        "Decision record",
        lambda: manager().experiments.record_of(experiment.id),
        f"{experiment.name}.md",
        "text/markdown",
        icon=":material/description:",
        key="exp_record",
        on_click="ignore",
        help="Hypothesis, phases, numbers and decision. `aimm experiments verify FILE` checks it against the database.",
    )


def _weights(experiment: Experiment) -> None:
    st.caption("Starts a new phase. Units already assigned keep their variant.")
    key = f"exp_reweigh_{experiment.id}"
    with st.form("exp_weights", border=False):
        weights = [
            int(inputs.number(st, formatting.plain(v.name), f"{key}_{v.position}", (0, 1_000_000), v.weight) or 0)
            for v in experiment.variants
        ]
        if st.form_submit_button("Start a new phase"):
            try:
                manager().experiments.weigh(experiment.id, weights)
            except AimmError as error:
                inputs.refused(st, error)
            else:
                st.rerun()


def _promote(found: ExperimentReport) -> None:
    st.caption(
        "Rolls a variant out to an alias: 5, 25, then 100 % of traffic. Rolls back by itself if a guardrail breaks."
    )
    winner = found.decision.winner
    with st.form("exp_promote", border=False):
        options = {v.position: v.name for v in found.experiment.variants if not v.workflow}
        at = list(options).index(winner) if winner in options else 0
        position = inputs.choice(
            st, "Variant", "exp_promote_variant", list(options), at, format_func=options.__getitem__
        )
        name = inputs.text(st, "Alias", "exp_promote_alias", placeholder="support-bot")
        if winner is None:
            st.caption("There is no winner yet.")
        if st.form_submit_button("Promote", icon=":material/rocket_launch:"):
            try:
                alias = manager().aliases.promote(found.experiment.id, position or 0, name.strip())
            except AimmError as error:
                inputs.refused(st, error)
            else:
                st.success(formatting.plain(f"{alias.name}: {alias.note or 'it uses this variant already'}"))


def _split(found: ExperimentReport) -> None:
    frame = experiments.split(found)
    st.markdown("**Traffic split**", help=SPLIT_HELP.format(found.analysis.log_ratio_evidence))
    if frame["units"].sum():
        st.altair_chart(split_shares(frame))
    is_off = found.analysis.is_ratio_mismatch
    st.caption("Not as planned: something drops or duplicates units." if is_off else "As planned.")


def _more(found: ExperimentReport) -> None:
    experiment, analysis = found.experiment, found.analysis
    with st.expander("All differences", icon=":material/table:"):
        tables.show(experiments.contrasts(analysis))
        better = "smaller" if experiment.design.primary in SMALLER_IS_BETTER else "larger"
        st.caption(
            f"Primary metric: {names(experiment.design.primary)}; {better} is better. All intervals on this page are"
            " confidence sequences: they hold however often you look."
        )
    with st.expander("Bayesian view", icon=":material/casino:"):
        st.caption(BAYES)
        config = {"probability to be best %": st.column_config.NumberColumn(format="%.1f")}
        tables.show(experiments.beliefs(analysis, experiment.design.primary), column_config=config)
    if any(variant.is_shadow for variant in experiment.variants):
        with st.expander("Shadow answers", icon=":material/visibility_off:"):
            _shadows(experiment)
    with st.expander("Latest assignments", icon=":material/list:"):
        tables.show(experiments.latest(experiment))


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
                if row.button(label, key=f"shadow_{shadow_id}_{success}"):
                    mm.experiments.record(experiment.id, [OutcomeInput(generation_id=shadow_id, success=success)])
                    st.rerun()
