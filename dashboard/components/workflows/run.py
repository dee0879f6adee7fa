"""A workflow run: drawn while it runs, stopped, resumed, and its output taken away."""

import time

import streamlit as st

from core import NotFound
from core.domain.workflow import WorkflowRun
from dashboard import address
from dashboard.components import estimates
from dashboard.components.workflows import timeline
from dashboard.process import manager

PAINT_S = 0.25


def watch(run_id: str) -> None:
    """Draw the run until it is over. A click elsewhere ends this script run; the workflow goes on."""
    place = st.empty()
    while True:
        run = manager().workflows.run(run_id)
        with place.container():
            timeline.draw(run)
        if run.is_over:
            return
        time.sleep(PAINT_S)


def controls(run: WorkflowRun) -> None:
    row = st.container(horizontal=True)
    if not run.is_over and row.button("Stop", icon=":material/stop:", key="run_stop"):
        manager().workflows.cancel(run.id)
        st.rerun()
    if run.status in ("failed", "cancelled", "paused") and row.button(
        "Continue with the current spending limit" if run.status == "paused" else "Resume from the failed step",
        icon=":material/play_arrow:",
        key="run_resume",
        help="Finished steps are kept and not paid for again.",
    ):
        manager().workflows.resume(run.id, cap_usd=estimates.cap("flow_cap"))
        st.rerun()
    if run.final_output:
        row.download_button("Download output", run.final_output, f"{run.workflow_name}.md", icon=":material/download:")


def found(run_id: str | None) -> WorkflowRun | None:
    """The run that the address names; said in words where there is none."""
    try:
        return None if run_id is None else manager().workflows.run(run_id)
    except NotFound:
        address.missing("run", "run")
        return None
