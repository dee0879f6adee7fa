"""Experiments: prove on traffic which variant is better, and say so only when the data carry it."""

import streamlit as st

from core.experiments.service import ExperimentReport
from dashboard import charts, formatting, queries
from dashboard.components import demo, experiment_form
from dashboard.session import manager

mm = manager()
state = st.session_state
BANNER = {"ship": st.success, "hold": st.warning, "inconclusive": st.info}
PLAYED = 1000


def draw(report: ExperimentReport) -> None:
    experiment, analysis, decision = report.experiment, report.analysis, report.decision
    is_simulated = experiment.is_demo or all(v.model.startswith("sim-") for v in experiment.variants)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(experiment.status, color="blue" if experiment.status == "running" else "gray")
        if is_simulated:
            st.badge("simulated", color="orange")
        st.caption(formatting.plain(f"{experiment.hypothesis} · since {formatting.when(experiment.created_at)}"))
    reasons = "\n".join(f"- {formatting.plain(reason)}" for reason in decision.reasons)
    BANNER[decision.action](f"**{formatting.plain(decision.headline)}**\n\n{reasons}")
    row = st.container(horizontal=True)
    if experiment.status == "running":
        if is_simulated and row.button(
            "Play 1,000 simulated users",
            icon=":material/groups:",
            key="exp_play",
            help="Invents outcomes: A succeeds in 30 %, B in 38 %, C in 34 %. Watch the interval narrow. No model is called.",
        ):
            mm.experiments.play(experiment.id, PLAYED)
            st.rerun()
        if row.button("Stop", icon=":material/stop:", key="exp_stop"):
            mm.experiments.stop(experiment.id)
            st.rerun()
    config = {
        name: st.column_config.NumberColumn(format="%.2f")
        for name in ("success %", "rating", "latency s", "tokens/call")
    }
    st.dataframe(queries.variants_frame(analysis), hide_index=True, column_config=config)
    left, right = st.columns(2, gap="medium")
    effects = queries.effects_frame(analysis)
    with left:
        st.markdown(
            "**Effect**",
            help="Difference of success rate to the control. The interval holds however often you look: it is a confidence sequence, wider than the usual interval for one look.",
        )
        if effects.empty:
            st.caption("From 30 outcomes a variant on.")
        else:
            st.altair_chart(charts.effects(effects))
    with right:
        st.markdown("**Outcomes per day**")
        daily = queries.outcomes_per_day(experiment.id, [v.name for v in experiment.variants])
        if daily.empty:
            st.caption("No outcomes yet. Record them with the calls below.")
        else:
            st.altair_chart(charts.outcomes_per_day(daily))
    with st.expander("Use it from a program", icon=":material/code:"):
        snippet(experiment.id)


def snippet(experiment_id: str) -> None:
    base = str(st.context.url or "http://localhost:8501").split("/experiments")[0].rstrip("/")
    head = "-H 'Content-Type: application/json'"
    st.code(
        f'curl {base}/api/experiment/{experiment_id}/test {head} \\\n  -d \'{{"user_id": "u_42", "prompt": "…"}}\'\n\n'
        f'curl {base}/api/experiment/{experiment_id}/record {head} \\\n  -d \'{{"variant": "variant_a", "success": true, "rating": 5}}\'\n\n'
        f"curl {base}/api/experiment/{experiment_id}/stats",
        language="bash",
    )


st.title("Experiments")
experiments = {experiment.id: experiment for experiment in mm.experiments.all()}
with st.expander("New experiment", icon=":material/add:", expanded=not experiments):
    experiment_form.show()
if not experiments:
    demo.offer("No experiments yet. Start one above, or look at two made-up ones.", "exp_demo")
    st.stop()
if state.get("exp_id") not in experiments:
    state.exp_id = next(iter(experiments))
label = st.selectbox(
    "Experiment",
    list(experiments),
    key="exp_id",
    format_func=lambda i: (
        f"{experiments[i].name} ({experiments[i].status}{', demo' if experiments[i].is_demo else ''})"
    ),
)
draw(mm.experiments.report(label))
