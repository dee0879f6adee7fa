"""The form that starts a run."""

from typing import Any

import streamlit as st

from core import AimmError
from core.domain.workflow import Workflow
from dashboard import formatting
from dashboard.components import clicks, estimates, inputs
from dashboard.components.workflows import run
from dashboard.frames import models
from dashboard.process import manager
from dashboard.visitors import allowed

SAMPLE = (
    "The harbour city grew from 3,000 to 90,000 people between 1850 and 1900, because the railway reached it in 1853."
)


def _named_input(name: str, default: str, key: str) -> str:
    draw = st.text_area if "\n" in default else st.text_input
    return draw(formatting.plain(name.replace("_", " ")), default, key=key, persist_state="session") or ""


def form(chosen: str, workflow: Workflow | None, *, is_first: bool) -> None:
    """The input of a run. is_first: It is what the page is for just now."""
    with st.form("flow_form", border=False):
        text = st.text_area(
            "Input", SAMPLE, key="flow_input", persist_state="session", height=90, help="Used in prompts as {{input}}."
        )
        grid = st.grid(3, min_column_width=240)
        named = {}
        for name, default in (workflow.inputs if workflow else {}).items():
            with grid.container():
                named[name] = _named_input(name, default, f"flow_in_{chosen}_{name}")
        names = models.names()
        default_model = manager().models.default()
        at = names.index(default_model) if default_model in names else 0
        with grid.container():
            model = inputs.choice(st, "Default model", "flow_model", names, at, help="For steps that name no model.")
        with grid.container():
            estimates.cap_field(
                "flow_cap", "this run", "Pauses when reached: before a step that would exceed it. Nothing is lost."
            )
        buttons = st.container(horizontal=True)
        run_clicked = buttons.form_submit_button(
            "Run",
            type="primary" if is_first else "secondary",
            icon=":material/play_arrow:",
            **allowed.needs("editor", disabled=workflow is None),
        )
        estimate = buttons.form_submit_button(
            "Estimate", icon=":material/calculate:", help=estimates.HELP, disabled=workflow is None
        )
    if estimate and workflow:
        estimates.steps(workflow, {"": text or "", **named}, model or default_model)
    cap = estimates.cap("flow_cap")
    if workflow:
        begin(run_clicked, workflow, text or "", inputs=named, model=model, cap_usd=cap)


def begin(is_clicked: bool, workflow: Workflow | str, text: str, **options: Any) -> None:
    try:
        asked = (workflow, text, options)
        started = clicks.once(is_clicked, "flow", asked, lambda: manager().workflows.start(workflow, text, **options))
    except AimmError as error:
        inputs.refused(st, error)
        return
    if started:
        run.show_only(started)
        st.rerun()
