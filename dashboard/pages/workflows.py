"""Workflows: chain calls, watch a run fill in, take up what failed."""

from collections.abc import Sequence

import streamlit as st

from core.domain.workflow import WorkflowRun
from dashboard import address, formatting, tables, theme
from dashboard.components import head
from dashboard.components.workflows import drafts, editor, picture, run, start
from dashboard.frames import workflows
from dashboard.process import manager
from dashboard.visitors import allowed

mm = manager()
state = st.session_state
EXAMPLE, EXAMPLE_MODEL = "content_generation", "sim-fast"
VIEWS = ("Run", "Edit", "YAML")
PAGE_SIZE = 20


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
        start.begin(example, EXAMPLE, start.SAMPLE, model=EXAMPLE_MODEL)
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
    start.form(chosen, current.ready, is_first=True)
else:
    run.show(shown)
    with st.expander(f"Run {formatting.plain(chosen)} with another input", icon=":material/edit:"):
        start.form(chosen, current.ready, is_first=False)
runs_list()
