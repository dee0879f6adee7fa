"""One step of a run, in a drawer at the right: what it was asked, what it said, what it cost."""

import streamlit as st

from core.domain.workflow import StepRun, WorkflowRun
from dashboard import address, formatting, theme
from dashboard.components import answer, receipt
from dashboard.components.log import history
from dashboard.frames import models
from dashboard.process import manager


def show(run: WorkflowRun) -> None:
    """Open the drawer where the address names a step."""
    name = address.value("step")
    if name is None:
        return
    if not any(step.step == name for step in run.steps):
        address.missing("step", "step")
        return
    address.window("step", "Step")(_inside)()


def _inside() -> None:
    """Draw what the address names now: a drawer is drawn again by itself, with the arguments of its first time."""
    name, run_id = address.value("step"), address.value("run")
    if name is None or run_id is None:
        st.rerun()
    run = manager().workflows.run(run_id)
    at = next((at for at, step in enumerate(run.steps) if step.step == name), None)
    if at is None:
        address.missing("step", "step")
        return
    step = run.steps[at]
    _head(run, at)
    calls = [g for g in manager().log.by_ref(run.id) if g.ref_part == name]
    if step.error and step is not run.awaits:
        st.error(formatting.plain(step.error))
    output, given, paid, asked = st.tabs(["Output", "Input", "Receipt", f"Calls ({len(calls)})"])
    with output:
        _output(run, step)
    with given:
        _input(run, step)
    with paid:
        if step.generation_id and (g := manager().log.remembered(step.generation_id)) is not None:
            if step.n_attempts > 1:
                cost = formatting.plain(formatting.usd(step.cost_usd))
                st.caption(f"Of the last of {step.n_attempts} attempts; all of them cost {cost}.")
            receipt.show(g)
        else:
            st.caption("No call was made.")
    with asked:
        for g in calls:
            row = st.container(horizontal=True, vertical_alignment="center")
            row.page_link(
                "pages/log.py",
                label=formatting.at(g.created_at, "%H:%M:%S"),
                icon=":material/list:",
                query_params={"call": g.id},
            )
            row.markdown(receipt.line(g))
        if not calls:
            st.caption("No call of this step is on record.")


def _head(run: WorkflowRun, at: int) -> None:
    step = run.steps[at]
    row = st.container(horizontal=True, vertical_alignment="center", gap="small")
    said = "Waits for approval" if step is run.awaits else step.status.capitalize()
    row.badge(said, color="red" if step.status == "failed" else "green" if step.status == "succeeded" else "gray")
    dot = models.colours(theme.mode()).get(step.model, theme.ink().muted)
    row.html(f'<i class="aimm-dot" style="background:{dot}"></i>', width="content")
    row.markdown(
        f"**{formatting.plain(step.step)}** · {formatting.plain(step.model or 'no model asked')}", width="content"
    )
    row.space("stretch")

    def go(to: int) -> None:
        address.put("step", run.steps[to].step)

    row.button(
        "", icon=":material/keyboard_arrow_up:", key="step_up", help="Previous step", shortcut="K", type="tertiary",
        disabled=at == 0, on_click=go, args=(at - 1,),
    )  # fmt: skip
    row.button(
        "", icon=":material/keyboard_arrow_down:", key="step_down", help="Next step", shortcut="J", type="tertiary",
        disabled=at + 1 == len(run.steps), on_click=go, args=(at + 1,),
    )  # fmt: skip
    grid = st.grid(4, min_column_width=110, gap="small")
    grid.metric("Cost", formatting.usd(step.cost_usd) if step.n_attempts else formatting.UNKNOWN)
    grid.metric("Time", formatting.seconds(step.latency_s or None))
    grid.metric("Tokens", formatting.count(step.tokens) if step.n_attempts else formatting.UNKNOWN)
    grid.metric("Attempts", str(step.n_attempts or formatting.UNKNOWN))


def _output(run: WorkflowRun, step: StepRun) -> None:
    if step.output:
        answer.show(st, step.output)
    elif step.status != "succeeded":
        st.caption("No output. The step was skipped." if step.status == "skipped" else "No output yet.")
    elif not history.deleted(run.created_at):
        st.caption("It gave no text, or texts are not kept.")


def _input(run: WorkflowRun, step: StepRun) -> None:
    asked = next(each for each in run.spec.steps if each.name == step.step)
    if asked.system:
        st.caption("System prompt")
        st.code(asked.system, language=None, wrap_lines=True)
    if not step.prompt:
        history.deleted(run.created_at)
    st.caption("Prompt as sent" if step.prompt else "Prompt")
    st.code(step.prompt or asked.prompt, language=None, wrap_lines=True)
