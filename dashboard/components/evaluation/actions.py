"""The things that can be done with a run; those that cannot be done are there too, with the reason."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import streamlit as st

from core import AimmError
from core.domain.evaluation.prompt import LIVE
from core.domain.evaluation.run import Contestant
from dashboard import address, formatting
from dashboard.components import clicks, estimates, inputs
from dashboard.components.evaluation import checks, form
from dashboard.components.library.people import author
from dashboard.frames.evaluation import after
from dashboard.frames.evaluation.reading import Seen
from dashboard.process import manager
from dashboard.visitors import allowed

_CHANGE_HELP = "Fills in the form with its plan. Nothing is asked yet."
_KINDS = {"JSON": "application/json", "JUnit": "application/xml", "CSV": "text/csv"}


def draw(row: Any, of: Seen) -> None:
    run = of.run
    if run.is_running:
        row.button(
            "Stop", key="eval_stop", icon=":material/stop:", on_click=_do, args=("stop", run.id),
            **allowed.needs("editor", "What came is kept; it can be resumed."),
        )  # fmt: skip
        return
    _resume(row, of)
    reason = "Functions of a program were asked: only it can ask them again." if after.has_functions(run) else ""
    if reason:
        row.button("Run again", key="eval_again", icon=":material/replay:", type="tertiary", disabled=True, help=reason)
    else:
        with row.popover(
            "Run again", type="tertiary", icon=":material/replay:", key="eval_again_box", **allowed.needs("editor")
        ):
            _again(of)
    with row.popover("Next steps", icon=":material/rocket_launch:", key="eval_after", **allowed.needs("editor")):
        _make_live(of)
        _bless(of)
        _prove(of)
        _add(of)
    with row.popover(
        "Grade anew", type="tertiary", icon=":material/rule:", key="eval_regrade_box", on_change="rerun",
        **allowed.needs("editor"),
    ) as box:  # fmt: skip
        if box.open:
            _regrade(of)
    with row.popover("Export", type="tertiary", icon=":material/download:", key="eval_export"):
        for kind, mime in _KINDS.items():
            st.download_button(
                kind, partial(after.exported, run, kind), f"{run.plan.name}-{run.id}.{after.SUFFIXES[kind]}", mime,
                key=f"eval_export_{kind}", on_click="ignore", width="stretch",
            )  # fmt: skip


def _do(what: str, run_id: str, **options: Any) -> bool:
    return inputs.done(st, getattr(manager().evaluations, what), run_id, **options)


def _resume(row: Any, of: Seen) -> None:
    n_left = of.run.n_cells - of.n_done
    n_errors = sum(tally.outcomes.get("error", 0) for tally in of.tallies)
    if not n_left and not n_errors:
        return
    with row.popover("Resume", icon=":material/play_arrow:", key="eval_resume_box", **allowed.needs("editor")):
        st.markdown(f"{n_left:,} cells have no answer, {n_errors:,} failed. What was answered is not asked again.")
        estimates.cap_field("eval_cap", "this run", "Empty: as before. It counts what the run has cost already.")
        with_errors = st.toggle("Ask the failed ones too", True, key="eval_resume_errors")
        clicked = st.button("Resume run", type="primary", key="eval_resume")
        if clicks.first(clicked, "eval_resume", of.key) and _do(
            "resume", of.run.id, limit_usd=estimates.cap("eval_cap"), errors=with_errors
        ):
            st.rerun()


def _again(of: Seen) -> None:
    """The same plan once more, or first changed in the form."""
    cost = formatting.usd(of.run.spent_usd)
    st.markdown(formatting.plain(f"Asks all {of.run.n_cells:,} cells again. This run cost {cost}."))
    clicked = st.button("Start a new run", type="primary", key="eval_again")
    try:
        started = clicks.once(clicked, "eval_again", of.run.id, partial(manager().evaluations.start, of.run.plan))
    except AimmError as error:
        inputs.refused(st, error)
        return
    if started:
        address.put("evaluation", started)
        st.rerun()
    reason = after.more_than_form(of.run.plan)
    st.button(
        "Change it first", key="eval_change", icon=":material/edit:", disabled=bool(reason),
        help=reason or _CHANGE_HELP, on_click=form.fill, args=(of.run.plan,),
    )  # fmt: skip


# After the verdict


def _chosen(label: str, key: str, options: Mapping[int, Contestant], reason: str) -> Contestant | None:
    """One contestant of those with which something can be done; where there is none, why."""
    st.markdown(f"**{label}**")
    if not options:
        st.caption(formatting.plain(reason))
        return None
    at = st.selectbox(
        label, list(options), len(options) - 1, key=key, label_visibility="collapsed",
        format_func=lambda each: f"{options[each].letter} {options[each].label}",
    )  # fmt: skip
    return options[at]


def _make_live(of: Seen) -> None:
    able = after.can_live(of.run)
    who = _chosen("Make live", "eval_live", able, "No contestant is a version of a prompt in the library.")
    if who is None:
        return
    name, _, number = who.prompt.partition("@")
    before = after.live_number(name)
    if before == int(number):
        st.caption(formatting.plain(f"{who.prompt} is live."))
        moved = after.last_move(name)
        if moved is not None and moved.run_id == of.run.id and moved.was is not None:
            st.button(
                f"Back to version {moved.was}", key="eval_unlive", icon=":material/undo:",
                on_click=_label, args=(partial(manager().prompts.undo_label, name, LIVE, author=author()),),
            )  # fmt: skip
        return
    was = "no version" if before is None else f"version {before}"
    st.caption(formatting.plain(f"Moves the label live of {name} from {was} to {number}, with this run as the reason."))
    move = partial(manager().prompts.move_label, name, LIVE, int(number), author=author(), run_id=of.run.id)
    st.button(
        f"Make version {number} live", key="eval_make_live", icon=":material/rocket_launch:",
        on_click=_label, args=(move,),
    )  # fmt: skip


def _label(move: Callable[[], object]) -> None:
    inputs.done(st, move)


def _bless(of: Seen) -> None:
    st.markdown("**Bless as baseline**")
    n_left = of.run.n_cells - of.n_done
    if n_left:
        st.caption(f"{n_left:,} cells have no answer: resume it first.")
        return
    name = st.text_input(
        "Name of the baseline", after.baseline_of(of.run) or "main", key="eval_bless_name",
        label_visibility="collapsed", max_chars=100,
    )  # fmt: skip
    clicked = st.button("Bless", key="eval_bless", icon=":material/verified:")
    if clicks.first(clicked, "eval_bless", (name, of.run.id)) and inputs.done(
        st, manager().evaluations.verdicts.bless, of.run.id, name.strip(), author=author()
    ):
        st.success(formatting.plain(f"{name} points at this run."))


def _prove(of: Seen) -> None:
    st.markdown("**Prove it on traffic**")
    able = [each for each in of.run.plan.contestants if not each.function and (each.model or each.workflow)]
    if len(able) < 2:
        st.caption("An experiment takes two contestants that can be asked; this evaluation has fewer.")
        return
    labels = {each.position: f"{each.letter} {each.label}" for each in able}
    picked = st.multiselect(
        "Variants", list(labels), list(labels)[:2], format_func=labels.__getitem__, key="eval_prove_which",
        label_visibility="collapsed", max_selections=10,
    )  # fmt: skip
    if st.button("Fill in an experiment", key="eval_prove", icon=":material/science:", disabled=len(picked) < 2):
        inputs.forget(after.DRAFT)
        st.session_state.update(after.experiment_of(of.run, picked))
        st.switch_page("pages/experiments.py", query_params={"experiment": "new"})


def _add(of: Seen) -> None:
    st.markdown("**Add failed items to a dataset**")
    if not any(tally.outcomes.get("fail") for tally in of.tallies):
        st.caption("No item failed.")
        return
    whole = of.run.plan.dataset.partition("@")[0]
    name = st.text_input(
        "Dataset", f"{whole[:70]}-failed", key="eval_add_name", label_visibility="collapsed", max_chars=80
    )
    clicked = st.button("Add failed items", key="eval_add", icon=":material/playlist_add:")
    if not clicks.first(clicked, "eval_add", (name, of.key)):
        return
    try:
        version = after.add_items(of.run, after.failed_items(of), name.strip(), author())
    except AimmError as error:
        inputs.refused(st, error)
        return
    st.success(formatting.plain(f"{version.ref} has {version.n_rows:,} rows now."))
    st.page_link("pages/library/datasets.py", label="Open", query_params={"dataset": version.ref})


def _regrade(of: Seen) -> None:
    st.caption("Runs these checks on the answers that are on record. It asks no model and costs nothing.")
    if reason := after.more_than_table(of.run.plan.checks):
        st.caption(formatting.plain(f"{reason} Change them with `aimm` or the API."))
        return
    try:
        given = checks.edit(f"eval_regrade_{of.run.id}_", of.run.plan.checks)
    except AimmError as error:
        inputs.refused(st, error)
        return
    clicked = st.button("Grade", type="primary", key="eval_regrade", icon=":material/rule:")
    if clicks.first(clicked, "eval_regrade", (of.key, given)):
        with st.spinner(f"Grading {of.run.n_cells:,} answers …"):
            is_done = _do("regrade", of.run.id, checks=given)
        if is_done:
            address.put("eval_page", None)
            st.rerun()
