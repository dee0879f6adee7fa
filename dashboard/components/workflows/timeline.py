"""A workflow run: its steps over time, and what each said."""

import streamlit as st

from core import clock
from core.domain.workflow import StepRun, WorkflowRun
from dashboard import formatting
from dashboard.charts.workflows import gantt
from dashboard.components import answer, receipt
from dashboard.frames import workflows
from dashboard.process import manager

ICON = {
    "waiting": ":material/schedule:",
    "running": ":material/autorenew:",
    "succeeded": ":material/check_circle:",
    "failed": ":material/error:",
    "skipped": ":material/step_over:",
}
STATUS_COLOUR = {
    "succeeded": "green",
    "failed": "red",
    "cancelled": "orange",
    "running": "blue",
    "queued": "gray",
    "paused": "orange",
}


def draw(run: WorkflowRun) -> None:
    """The run as it stands, into the current container."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(run.status, color=STATUS_COLOUR[run.status])  # type: ignore[arg-type]
        text = (
            f"{formatting.seconds(run.total_latency_s)} of step time · {formatting.tokens(run.total_tokens)} · "
            f"{formatting.usd(run.total_cost_usd)} · {formatting.when(run.created_at)}"
        )
        st.caption(formatting.plain(text))
    if run.error:
        st.error(formatting.plain(run.error), icon=":material/error:")
    now = clock.now()
    frame = workflows.steps(run, now)
    if not frame.empty:
        order = [step.step for step in run.steps]
        st.altair_chart(gantt(frame, order, float(frame["end"].max())), key=f"gantt_{run.id}_{now.timestamp()}")
    for step in run.steps:
        _step(run, step)


def _step(run: WorkflowRun, step: StepRun) -> None:
    details = [step.model] if step.model else []
    if step.status in ("succeeded", "failed") and step.n_attempts:
        details += [formatting.seconds(step.latency_s), formatting.tokens(step.tokens), formatting.usd(step.cost_usd)]
        details += [f"{step.n_attempts} attempts"] if step.n_attempts > 1 else []
    label = f"**{formatting.plain(step.step)}** · {formatting.plain(' · '.join([step.status, *details]))}"
    is_last = step.step == run.steps[-1].step
    with st.expander(label, icon=ICON[step.status], expanded=is_last and step.status == "succeeded"):
        if step.status == "running" and (view := manager().workflows.live(run.id)) is not None:
            if view.text:
                answer.show(st, view.text)
            else:
                st.markdown("*waiting for the first token …*")
            st.caption(formatting.plain(view.waiting))
        if step.generation_id and run.is_over and (g := manager().log.remembered(step.generation_id)) is not None:
            receipt.button(g, f"receipt_{run.id}_{step.step}")
        if step.error:
            st.error(formatting.plain(step.error))
        if step.output:
            answer.show(st, step.output)
        if step.prompt:
            st.caption("Prompt as sent")
            st.code(step.prompt, language=None, wrap_lines=True)
