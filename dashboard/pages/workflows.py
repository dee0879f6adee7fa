"""Workflows: chain calls, watch a run fill in, take up what failed."""

import streamlit as st

from dashboard import address, formatting, tables
from dashboard.components import clicks, estimates, inputs
from dashboard.components.workflows import editor, run
from dashboard.frames import models, workflows
from dashboard.process import manager

mm = manager()
state = st.session_state
SAMPLE = (
    "The harbour city grew from 3,000 to 90,000 people between 1850 and 1900, because the railway reached it in 1853."
)


def named_input(name: str, default: str, key: str) -> str:
    draw = st.text_area if "\n" in default else st.text_input
    return draw(formatting.plain(name.replace("_", " ")), default, key=key, persist_state="session") or ""


st.title("Workflows")
written = editor.prepare(mm.workflows.definitions.texts())
chosen = editor.choose(list(written))
workflow = mm.workflows.all().get(chosen)
for name, problem in mm.workflows.definitions.unreadable().items():
    st.warning(formatting.plain(f"The workflow {name} cannot be read: {problem}"), icon=":material/warning:")
st.caption(formatting.plain(workflow.description if workflow else "This workflow has problems; see the editor."))

left, right = st.columns([1, 1], gap="medium")
with left:
    with st.form("flow_form"):
        text = st.text_area(
            "Input", SAMPLE, key="flow_input", persist_state="session", height=110, help="Used in prompts as {{input}}."
        )
        named = {
            name: named_input(name, default, f"flow_in_{chosen}_{name}")
            for name, default in (workflow.inputs if workflow else {}).items()
        }
        names = models.names()
        default_model = mm.models.default()
        at = names.index(default_model) if default_model in names else 0
        model = inputs.choice(st, "Default model", "flow_model", names, at, help="For steps that name no model.")
        estimates.cap_field(
            "flow_cap",
            "this run",
            "The run pauses before a step would exceed it. Raise it and continue: nothing is lost.",
        )
        buttons = st.container(horizontal=True)
        run_clicked = buttons.form_submit_button("Run", type="primary", icon=":material/play_arrow:")
        estimate = buttons.form_submit_button("Estimate", icon=":material/calculate:", help=estimates.HELP)
    if estimate and workflow:
        estimates.steps(workflow, {"": text or "", **named}, model or default_model)
    with st.expander("Edit workflow", icon=":material/edit:"):
        edited = editor.edit(chosen, written[chosen])
        is_taken = edited is not None and edited.name != chosen and mm.workflows.definitions.is_saved(edited.name)
        if is_taken:
            st.warning(
                "A workflow with this name is saved already. Choose another name to save this one.",
                icon=":material/save:",
            )
        row = st.container(horizontal=True)
        save = row.button("Save", icon=":material/save:", disabled=edited is None or is_taken, key="flow_save")
        if save and edited is not None:
            editor.select(mm.workflows.save(state.flow_yaml).name)
            st.toast(f"Saved {formatting.plain(edited.name)}.")
            st.rerun()
        if mm.workflows.definitions.is_saved(chosen) and row.button(
            "Delete saved version", icon=":material/delete:", key="flow_delete"
        ):
            mm.workflows.remove(chosen)
            editor.select(chosen)
            st.rerun()
    cap = estimates.cap("flow_cap")
    if clicks.first(run_clicked, "flow", (edited, text, named, model, cap)):
        if edited is None:
            st.error("This workflow has problems; see the editor.", icon=":material/error:")
        else:
            started = mm.workflows.start(
                edited,
                text or "",
                inputs={k: v for k, v in named.items() if k in edited.inputs},
                model=model,
                cap_usd=cap,
            )
            address.put("run", started)

with right:
    run_id = address.value("run")
    shown = run.found(run_id)
    if run_id is None or shown is None:
        st.info(
            "A run appears here step by step. It continues when this page is closed, and after a crash.",
            icon=":material/account_tree:",
        )
    else:
        run.controls(shown)
        run.watch(run_id)
        if not shown.is_over:  # the buttons of a finished run are others
            st.rerun()

st.subheader("Runs")
frame = workflows.runs()
if frame.empty:
    st.caption("No runs yet.")
    st.stop()
address.table(
    frame, "run", "flow_runs",
    column_config={
        "time": tables.TIME, "time s": st.column_config.NumberColumn(format="%.2f"), "id": None,
    },
)  # fmt: skip
