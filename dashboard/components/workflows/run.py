"""A workflow run: drawn while it runs, let through, stopped, resumed, and its output taken away."""

import html
from functools import partial

import streamlit as st

from core import AimmError, NotFound, clock
from core.domain.workflow import WorkflowRun
from dashboard import address, failure, formatting, tables, theme
from dashboard.charts.colours import INKS, Mode
from dashboard.charts.stack import Spec
from dashboard.charts.workflows import SELECTION, gantt
from dashboard.components import answer, clicks, estimates, inputs
from dashboard.components.log import history
from dashboard.components.workflows import picture, step
from dashboard.frames import models, workflows
from dashboard.process import manager
from dashboard.visitors import allowed

PAINT_S = 0.5
_COLOURS = {
    "queued": "gray", "running": "blue", "paused": "orange", "succeeded": "green", "failed": "red", "cancelled": "gray",
}  # fmt: skip


def found(run_id: str | None) -> WorkflowRun | None:
    """The run that the address names; said in words where there is none."""
    try:
        return None if run_id is None else manager().workflows.run(run_id)
    except NotFound:
        address.missing("run", "run")
        return None


def show(run: WorkflowRun) -> None:
    """The run; while it runs it is drawn again by itself, and goes on whoever looks."""
    if run.is_over:
        _draw(run)
    else:
        st.fragment(_watch, run_every=PAINT_S)(run.id)
    step.show(run)


def _watch(run_id: str) -> None:
    with failure.contained():
        run = manager().workflows.run(run_id)
        if run.is_over:
            st.rerun()
        _draw(run)


def _draw(run: WorkflowRun) -> None:
    _head(run)
    if run.awaits:
        _approval(run)
    elif run.error:
        (st.warning if run.status in ("paused", "cancelled") else st.error)(formatting.plain(run.error))
    if not run.is_over:
        done, of = run.n_done, len(run.steps)
        left_s = run.time_left_s(workflows.usual_s(run.workflow_name), clock.now())
        left = "" if left_s is None else f" · about {formatting.seconds(max(1.0, left_s))} left"
        st.progress(done / of, formatting.plain(f"{done} of {of} steps{left}"))
    picture.of_run(run)
    _timeline(run)
    _output(run)


def _head(run: WorkflowRun) -> None:
    row = st.container(horizontal=True, vertical_alignment="center", gap="small")
    row.badge(workflows.status_text(run), color=_COLOURS[run.status])  # type: ignore[arg-type]
    parts = [
        f"**{formatting.plain(run.workflow_name)}**", formatting.plain(formatting.when(run.created_at)),
        formatting.plain(formatting.usd(run.total_cost_usd)), f"{formatting.seconds(run.total_latency_s)} in steps",
        formatting.tokens(run.total_tokens),
    ]  # fmt: skip
    if run.cap_usd is not None:
        parts.append(formatting.plain(f"limit {formatting.usd(run.cap_usd)}"))
    row.markdown(" · ".join(parts), width="content")
    if run.n_starts > 1 and run.saved_usd:
        row.badge(
            formatting.plain(f"{formatting.usd(run.saved_usd)} saved by resume"), color="green",
            help="The cost of asking the finished steps again, each time the run was taken up.",
        )  # fmt: skip
    row.space("stretch")
    may = allowed.needs("editor")
    if not run.is_over:
        row.button("Stop", icon=":material/stop:", key="run_stop", on_click=_do, args=("cancel", run.id), **may)
    elif run.status != "succeeded" and not run.awaits:
        _resume(row, run)
    if run.is_over:
        _again(row, run)
    row.button("Close", icon=":material/close:", key="run_close", type="tertiary", on_click=show_only, args=(None,))


def show_only(run_id: str | None) -> None:
    """Show another run from now on, or none."""
    address.put("run", run_id)
    address.put("step", None)


def _do(what: str, run_id: str, **options: object) -> None:
    inputs.done(st, getattr(manager().workflows, what), run_id, **options)


def _approval(run: WorkflowRun) -> None:
    """In place of all other news: what waits for whoever reads, and what it will be asked."""
    waiting = run.awaits
    if waiting is None:
        return
    box = st.container(border=True)
    name = f"**{formatting.plain(waiting.step)}**"
    box.markdown(f":material/front_hand: Step {name} waits for your approval. Until then nothing is asked or paid.")
    with box.expander("Prompt that will be sent"):
        st.code(waiting.prompt, language=None, wrap_lines=True)
    row = box.container(horizontal=True)
    may = allowed.needs("editor")
    row.button(
        "Approve",
        type="primary",
        icon=":material/check:",
        key="run_approve",
        on_click=_do,
        args=("resume", run.id),
        **may,
    )
    row.button("Reject", icon=":material/close:", key="run_reject", on_click=_do, args=("cancel", run.id), **may)


def _resume(row: object, run: WorkflowRun) -> None:
    kept = [each for each in run.steps if each.status == "succeeded"]
    may = allowed.needs("editor")
    with row.popover("Resume", icon=":material/play_arrow:", key="run_resume_box", **may):  # type: ignore[attr-defined]
        costs = [each.cost_usd for each in kept]
        worth = None if None in costs else sum(cost for cost in costs if cost is not None)
        n_left = len(run.steps) - run.n_done
        paid = formatting.usd(worth)
        text = f"{len(kept)} finished steps are kept and not paid again ({paid}); {n_left} are left to ask."
        st.markdown(formatting.plain(text))
        estimates.cap_field("run_cap", "this run", "Empty: as before. It counts what the run has cost already.")
        if st.button("Resume run", type="primary", key="run_resume"):
            _do("resume", run.id, cap_usd=estimates.cap("run_cap"))
            st.rerun()


def _again(row: object, run: WorkflowRun) -> None:
    if "" not in run.inputs:  # retention has deleted what it was asked
        return
    may = allowed.needs("editor")
    with row.popover("Run again", icon=":material/replay:", key="run_again_box", **may):  # type: ignore[attr-defined]
        cost = formatting.usd(run.total_cost_usd)
        text = f"Asks all {len(run.steps)} steps again, with the same input. This run cost {cost}."
        st.markdown(formatting.plain(text))
        clicked = st.button("Start a new run", type="primary", key="run_again")
        named = {name: value for name, value in run.inputs.items() if name}
        start = partial(manager().workflows.start, run.spec, run.inputs[""], inputs=named, cap_usd=run.cap_usd)
        try:
            started = clicks.once(clicked, "run_again", run.id, start)
        except AimmError as error:
            inputs.refused(st, error)
            return
        if started:
            show_only(started)
            st.rerun()


def _as_it_ended(run: WorkflowRun) -> object:
    return run.id, run.n_starts, run.finished_at


@st.cache_data(show_spinner=False, max_entries=100, hash_funcs={WorkflowRun: _as_it_ended})
def _kept_chart(run: WorkflowRun, mode: Mode) -> Spec:
    """The timeline of a run that is over, for all who look at it."""
    return _chart(run, mode)


def _chart(run: WorkflowRun, mode: Mode) -> Spec:
    frame = workflows.timeline(run, manager().log.by_ref(run.id))
    return gantt(frame, workflows.sums(run), models.colours(mode), INKS[mode])


def _timeline_title(run: WorkflowRun) -> str:
    costs = {step.step: step.cost_usd for step in run.steps if step.cost_usd}
    title = "Timeline and cost of each step"
    if len(costs) < 2:
        return title
    most = max(costs, key=lambda name: costs[name] or 0)
    return f"{title} · {most} costs most, {formatting.usd(costs[most])}"


def _timeline(run: WorkflowRun) -> None:
    def clicked() -> None:
        chosen = st.session_state["run_gantt"].selection.get(SELECTION)
        if chosen:
            address.put("step", str(formatting.uncell(chosen[0]["step"])))

    st.html(f'<p class="aimm-title">{html.escape(_timeline_title(run))}</p>')
    if run.is_over:
        spec = (_chart if run.awaits else _kept_chart)(run, theme.mode())
        st.vega_lite_chart(spec=spec, key="run_gantt", on_select=clicked, selection_mode=SELECTION, width="stretch")
    else:
        st.vega_lite_chart(spec=_chart(run, theme.mode()), key="run_live", width="stretch")
    names = [each.model for each in run.steps]
    at = tables.opened(
        workflows.steps(run).assign(model=tables.chips(names)), "run_steps", [each.step for each in run.steps],
        column_config={"model": tables.model_column(names, models.colours(theme.mode()))},
    )  # fmt: skip
    if at is not None:
        address.put("step", at)
        st.rerun()


def _output(run: WorkflowRun) -> None:
    view = None if run.is_over else manager().workflows.live(run.id)
    text = view.text if view else run.final_output
    if not text and view is None:
        if run.status == "succeeded":
            st.space(24)
            history.deleted(run.finished_at or run.created_at)
        return
    st.space(24)  # of the tools of the table above
    row = st.container(horizontal=True, vertical_alignment="center")
    row.subheader("Answer so far" if view else "Output", anchor=False, width="content")
    row.space("stretch")
    if run.final_output and run.is_over:
        row.download_button("Download output", run.final_output, f"{run.workflow_name}.md", icon=":material/download:")
    with st.container(border=True):
        if text:
            answer.show(st, text)
        if view is not None:
            st.caption(formatting.plain(view.waiting or answer.running_line(view)))
