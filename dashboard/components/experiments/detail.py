"""One experiment: verdict, effects, history, split, cost, and what can be done with it."""

import streamlit as st

from core import AimmError
from core.domain.experiment import SMALLER_IS_BETTER, Experiment, OutcomeInput
from core.experiments.analysis import SHARES
from core.experiments.service import ExperimentReport
from core.experiments.words import names
from dashboard import formatting, tables
from dashboard.charts import experiments as charts
from dashboard.components import answer, chart_table
from dashboard.frames import experiments as frames
from dashboard.process import manager

BANNER = {"ship": st.success, "hold": st.warning, "stop": st.error, "inconclusive": st.info}
PLAYED = 1000
BAYES = (
    "What a Bayesian with flat priors believes now. It does not promise a rate of error: whoever stops as soon as a variant is"
    " 95 % likely to be best calls a false winner in two of three experiments without any difference. The verdict does not use it."
)


def show(found: ExperimentReport) -> None:
    experiment, analysis = found.experiment, found.analysis
    _head(experiment)
    _verdict(found)
    _numbers(found)
    _actions(found)
    primary = experiment.design.primary
    left, right = st.columns(2, gap="medium")
    with left:
        frame = frames.effects(analysis, primary)
        st.markdown("**Effects**", help="Differences to the control. Each interval holds however often you look: it is a confidence sequence, wider than the usual one for one look. Pale ones are shown and claim nothing.")  # fmt: skip
        if frame.empty:
            st.caption("From 30 units a variant on.")
        else:
            st.altair_chart(charts.effects(frame))
    with right:
        history = frames.history(experiment)
        unit = "points" if primary in SHARES else "%" if primary == "latency_p95" else "difference"
        st.markdown("**The effect over time**", help=f"{names(primary).capitalize()}, treatment − control, with the band that held at each look.")  # fmt: skip
        if history.empty:
            st.caption("From 30 units a variant on.")
        else:
            st.altair_chart(charts.history(history, f"{names(primary)} ({unit})"))
    tables.show(
        frames.variants(found.results), hide_index=True, column_config={"latency s": st.column_config.NumberColumn(format="%.2f")}
    )  # fmt: skip
    left, right = st.columns(2, gap="medium")
    with left:
        days = frames.days(experiment)
        if not days.empty:
            chart_table.show("Units per day", charts.days(days, frames.span(experiment)), days, help_text="New units by the day they came (UTC).", key="exp_days")  # fmt: skip
    with right:
        _split(found)
    _more(found)


def _head(experiment: Experiment) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(experiment.status, color="blue" if experiment.status == "running" else "gray")
        if experiment.is_simulated:
            st.badge("simulated", color="orange")
        if experiment.phase > 1:
            st.badge(f"phase {experiment.phase}", color="violet", help="Weights or variants were changed. Phases are compared within themselves, never pooled.")  # fmt: skip
        if experiment.design.allocation == "thompson":
            st.badge("weights follow the data", color="green")
        text = f"{experiment.hypothesis.rstrip('.')} · by {experiment.unit} · since {formatting.when(experiment.created_at)}"
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
            if st.button("I have seen this: show the verdict", key="exp_acknowledge", icon=":material/visibility:"):
                manager().experiments.acknowledge(experiment.id)
                st.rerun()
            st.caption("Kept in the audit trail.")
    cautions = [*found.cautions, *manager().experiments.novelty(experiment.id)]
    if cautions:
        st.warning("\n".join(f"- {formatting.plain(caution)}" for caution in cautions), icon=":material/info:")


def _numbers(found: ExperimentReport) -> None:
    analysis, traffic = found.analysis, found.traffic
    cost = frames.cost_so_far(found.results)
    calls = sum(r.n_calls for r in analysis.results)  # of units; a shadow's come on top of them
    with st.container(horizontal=True):
        st.metric("Units", f"{sum(r.n_exposed for r in analysis.results):,}", help=f"About {traffic.units:,.0f} a day.")
        st.metric("Outcomes", f"{analysis.n_outcomes:,}")
        st.metric("Cost so far", formatting.usd(cost) if calls or cost else formatting.UNKNOWN)
        going_on = formatting.UNKNOWN
        if cost is not None and calls and found.experiment.status == "running":
            going_on = f"{formatting.usd(cost / calls * traffic.calls)} a day"
        st.metric("Cost of going on", going_on)
        st.metric("Level", f"{100 * analysis.confidence_level:.4g} %", help=f"Corrected for {analysis.n_comparisons} comparisons; holds at every look.")  # fmt: skip


def _actions(found: ExperimentReport) -> None:
    experiment = found.experiment
    row = st.container(horizontal=True)
    if experiment.status == "running":
        if experiment.is_simulated and row.button(
            "Play 1,000 simulated users",
            icon=":material/groups:",
            key="exp_play",
            help="Invents outcomes: A succeeds in 30 %, B in 38 %, C in 34 %; variants that are alike alike. No model is called.",
        ):
            manager().experiments.play(experiment.id, PLAYED)
            st.rerun()
        with row.popover("Change weights", icon=":material/balance:"):
            _weights(experiment)
        with row.popover("Stop", icon=":material/stop:"):
            why = st.text_input("Why", key="exp_why", persist_state="session", placeholder="kept in the decision record")  # fmt: skip
            if st.button("Stop", icon=":material/stop:", key="exp_stop"):
                manager().experiments.stop(experiment.id, why or "")
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
        help="Hypothesis, phases, numbers and decision in one file; `aimm experiments verify FILE` checks it against the database.",
    )


def _weights(experiment: Experiment) -> None:
    st.caption("Opens a new phase. Units that came before keep their variant.")
    with st.form("exp_weights", border=False):
        weights = [
            int(st.number_input(formatting.plain(v.name), 0, 1_000_000, v.weight, key=f"exp_reweigh_{experiment.id}_{v.position}", persist_state="session") or 0)
            for v in experiment.variants
        ]  # fmt: skip
        if st.form_submit_button("Open a new phase"):
            try:
                manager().experiments.weigh(experiment.id, weights)
            except AimmError as error:
                st.error(formatting.plain(error.message))
            else:
                st.rerun()


def _promote(found: ExperimentReport) -> None:
    st.caption(
        "Brings a variant into an alias: 5, 25, then 100 % of traffic, and back by itself at a broken guardrail."
    )
    winner = found.decision.winner
    with st.form("exp_promote", border=False):
        options = {v.position: v.name for v in found.experiment.variants if not v.workflow}
        at = list(options).index(winner) if winner in options else 0
        position = st.selectbox(
            "Variant", list(options), at, key="exp_promote_variant", persist_state="session", format_func=lambda at: options[at]
        )  # fmt: skip
        name = st.text_input("Alias", key="exp_promote_alias", persist_state="session", placeholder="support-bot")
        if winner is None:
            st.caption("The data name no winner yet.")
        if st.form_submit_button("Promote", icon=":material/rocket_launch:"):
            try:
                alias = manager().aliases.promote(found.experiment.id, position or 0, (name or "").strip())
            except AimmError as error:
                st.error(formatting.plain(error.message))
            else:
                st.success(formatting.plain(f"{alias.name}: {alias.note or 'it answers with this already'}"))


def _split(found: ExperimentReport) -> None:
    frame = frames.split(found)
    evidence = found.analysis.log_ratio_evidence
    st.markdown("**Split against plan**", help="Bars: what came; marks: what the weights promise. The alarm is valid at every look: at most one false alarm in a hundred experiments.")  # fmt: skip
    if frame["units"].sum():
        st.altair_chart(charts.split(frame))
    state = "off: something drops or doubles units" if found.analysis.is_ratio_mismatch else "as planned"
    st.caption(f"Evidence against the planned split: log e-value {evidence:.2f}, alarm from 4.61 on. It is {state}.")


def _more(found: ExperimentReport) -> None:
    experiment, analysis = found.experiment, found.analysis
    with st.expander("All differences", icon=":material/table:"):
        tables.show(frames.contrasts(analysis), hide_index=True)
        better = "smaller" if experiment.design.primary in SMALLER_IS_BETTER else "larger"
        st.caption(f"Primary metric: {names(experiment.design.primary)}; {better} is better. One method on this page: confidence sequences, because they stay true however often one looks.")  # fmt: skip
    with st.expander("The Bayesian view", icon=":material/casino:"):
        st.caption(BAYES)
        tables.show(frames.beliefs(analysis, experiment.design.primary), hide_index=True, column_config={"probability to be best %": st.column_config.NumberColumn(format="%.1f")})  # fmt: skip
    if any(variant.is_shadow for variant in experiment.variants):
        with st.expander("Shadow answers", icon=":material/visibility_off:"):
            _shadows(experiment)
    with st.expander("The last assignments", icon=":material/list:"):
        tables.show(frames.latest(experiment), hide_index=True)


def _shadows(experiment: Experiment) -> None:
    """What they cost, and the latest of them beside what was served, to be judged."""
    mm = manager()
    for position, n, failed, nano, unpriced in mm.experiments.shadow_costs(experiment.id):
        name = next((v.name for v in experiment.variants if v.position == position), f"variant {position}")
        text = f"{name}: {n:,} answers that nobody saw, {failed:,} failed, {formatting.usd(nano / 1e9)}"
        st.caption(formatting.plain(text + (f", {unpriced:,} without a price" if unpriced else "")))
    for shadow_id, served_id in mm.experiments.shadow_pairs(experiment.id):
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
            for label, success in (("The shadow is good", True), ("It is not", False)):
                if row.button(label, key=f"shadow_{shadow_id}_{success}"):
                    mm.experiments.record(experiment.id, [OutcomeInput(generation_id=shadow_id, success=success)])
                    st.rerun()
