"""Workflows: chain calls, watch a run fill in, take up what failed."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from core import AimmError
from core.domain.workflow import Workflow, WorkflowRun
from dashboard import address, formatting, tables, theme
from dashboard.components import clicks, estimates, head, inputs
from dashboard.components.workflows import drafts, editor, picture, run
from dashboard.frames import models, workflows
from dashboard.process import manager
from dashboard.visitors import allowed

mm = manager()
state = st.session_state
SAMPLE = (
    "The harbour city grew from 3,000 to 90,000 people between 1850 and 1900, because the railway reached it in 1853."
)
EXAMPLE, EXAMPLE_MODEL = "content_generation", "sim-fast"
VIEWS = ("Run", "Edit", "YAML")
PAGE_SIZE = 20


def named_input(name: str, default: str, key: str) -> str:
    draw = st.text_area if "\n" in default else st.text_input
    return draw(formatting.plain(name.replace("_", " ")), default, key=key, persist_state="session") or ""


def start_form(chosen: str, workflow: Workflow | None, *, is_first: bool) -> None:
    """The input of a run. is_first: It is what the page is for just now."""
    with st.form("flow_form", border=False):
        text = st.text_area(
            "Input", SAMPLE, key="flow_input", persist_state="session", height=90, help="Used in prompts as {{input}}."
        )
        grid = st.grid(3, min_column_width=240)
        named = {}
        for name, default in (workflow.inputs if workflow else {}).items():
            with grid.container():
                named[name] = named_input(name, default, f"flow_in_{chosen}_{name}")
        names = models.names()
        default_model = mm.models.default()
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
        started = clicks.once(is_clicked, "flow", asked, lambda: mm.workflows.start(workflow, text, **options))
    except AimmError as error:
        inputs.refused(st, error)
        return
    if started:
        run.show_only(started)
        st.rerun()


def runs_table(found: Sequence[WorkflowRun]) -> None:
    frame = workflows.runs(found)
    at = tables.opened(
        frame, "flow_runs", frame["id"],
        column_config={
            "started": tables.TIME | {"label": "Started"}, "id": None,
            "steps": st.column_config.ProgressColumn("Steps done", format="%.0f%%", min_value=0, max_value=100),
        },
    )  # fmt: skip
    if at is not None:
        run.show_only(at)
        st.rerun()


def runs_list() -> None:
    limit = state.setdefault("flow_limit", PAGE_SIZE)
    found = workflows.latest(limit)
    if not found:
        st.info("No runs yet. Run the workflow above, or open an example.", icon=":material/account_tree:")
        free = "On a simulated model, free of charge."
        example = st.button(
            "Run an example", key="flow_example", icon=":material/science:", **allowed.needs("editor", free)
        )
        begin(example, EXAMPLE, SAMPLE, model=EXAMPLE_MODEL)
        return
    st.subheader("Runs", anchor=False)
    runs_table(found)
    if len(found) == limit and st.button("Show older runs", key="flow_older", type="tertiary"):
        state["flow_limit"] += PAGE_SIZE
        st.rerun()


top = head.show("Workflows")
written = drafts.prepare(mm.workflows.definitions.texts())
shown = run.found(address.value("run"))
if shown is not None and state.get("flow_run") != shown.id and shown.workflow_name in written:
    state["flow_selected"] = shown.workflow_name  # a run that is opened is of the workflow that is shown
state["flow_run"] = shown.id if shown is not None else None
chosen = drafts.choose(top, list(written))
current = drafts.load(chosen, written[chosen])
address.check("flow_view", VIEWS, "view")
view = top.segmented_control(
    "View", VIEWS, default=VIEWS[0], key="flow_view", required=True, bind="query-params",
    label_visibility="collapsed", on_change=address.put, args=("step", None),
)  # fmt: skip
for name, text in written.items():
    if text and (problem := workflows.problem(text)):
        st.warning(formatting.plain(f"The workflow {name} cannot be read: {problem}"), icon=":material/warning:")
if view in VIEWS[1:]:
    editor.show(chosen, current, view)
    st.stop()

if shown is None:
    editor.says(chosen, current)
    if (cost := workflows.cost(chosen)) is not None:
        st.page_link(
            "pages/monitoring.py", label=formatting.plain(cost.text), icon=":material/payments:",
            query_params=cost.query,
        )  # fmt: skip
    if current.workflow:
        picture.show(current.workflow, current.marks(theme.ink()))
    start_form(chosen, current.ready, is_first=True)
else:
    run.show(shown)
    with st.expander(f"Run {formatting.plain(chosen)} with another input", icon=":material/edit:"):
        start_form(chosen, current.ready, is_first=False)
runs_list()
