"""A run opened: the verdict first, then its contestants, then its items or its charts."""

from datetime import datetime
from typing import Any

import streamlit as st

from core import AimmError, clock
from core.domain.evaluation.run import RUN_IDS, EvaluationRun
from core.evaluation.verdict import sentence
from dashboard import failure, formatting
from dashboard.components import inputs
from dashboard.components.evaluation import actions, contestants, grid, item, linked, plots, setup
from dashboard.frames.evaluation import listing, reading
from dashboard.frames.evaluation.reading import Seen, View
from dashboard.process import manager

NAMES = ("eval_with", "eval_metric", "eval_show", "eval_tag", "eval_words", "eval_page", "eval_view", "item")
VIEWS = ("Items", "Charts", "Setup")
PAINT_S, SENTENCES = 1.0, 3
_COLOURS: dict[str, Any] = {
    "queued": "gray", "running": "blue", "paused": "orange", "stopped": "gray", "finished": "green",
}  # fmt: skip
_GATES: dict[str, Any] = {"passed": "green", "failed": "red"}


def draw(run: EvaluationRun) -> None:
    run = listing.judged(run)
    of = reading.seen(run)
    _head(of)
    if run.is_running:
        st.fragment(_watch, run_every=PAINT_S)(run.id)
    first, below = st.container(), st.container()
    view = _chosen(of)
    with first:
        _verdict(of, view)
    if not run.is_running:
        with below:
            _ended(of)
    if not run.is_running:
        contestants.draw(of, view)
    shown = linked.control(st, "Show", "eval_view", VIEWS)
    if shown == "Charts":
        plots.draw(of, view)
    elif shown == "Setup":
        setup.draw(run)
    else:
        item.show(of, view, grid.draw(of, view))


def _head(of: Seen) -> None:
    run = of.run
    row = st.container(horizontal=True, vertical_alignment="center", gap="small")
    row.badge(listing.STATUS[run.status], color=_COLOURS[run.status])
    if run.is_simulated:
        row.badge("Simulated – costs are examples", color="orange")
    if (gate := listing.gate_text(run)) and run.judged:
        row.badge(f"Gate {gate}", color=_GATES.get(gate, "orange"))
    parts = [
        f"**{formatting.plain(run.plan.name)}**", formatting.plain(run.plan.dataset), f"{run.n_items:,} items",
        *([f"{run.plan.repetitions} repetitions"] if run.plan.repetitions > 1 else []),
        formatting.plain(formatting.when(run.created_at)), formatting.plain(formatting.usd(run.spent_usd)),
        *([f"limit {formatting.plain(formatting.usd(run.plan.limit_usd))}"] if run.plan.limit_usd is not None else []),
        *([f"{run.n_unpriced:,} answers without a price"] if run.n_unpriced else []),
        *([f"took {listing.time_text(run)}"] if run.ended_at else []),
        *filter(None, [manager().evaluations.told_try(run)]),
    ]  # fmt: skip
    row.markdown(" · ".join(parts), width="content")
    row.space("stretch")
    actions.draw(row, of)


def _watch(run_id: str) -> None:
    with failure.contained():
        run = manager().evaluations.get(run_id)
        if not run.is_running:
            st.rerun()
        of = reading.seen(run)
        _progress(of)
        contestants.draw(of, None)


def _progress(of: Seen) -> None:
    first = _first_seen(of)
    left = listing.left_s(of, first)
    text = f"{of.n_done:,} of {of.run.n_cells:,} answers · {formatting.usd(of.run.spent_usd)}"
    text += "" if left is None else f" · about {formatting.seconds(max(1.0, left))} left"
    st.progress(of.n_done / of.run.n_cells, formatting.plain(text))
    for vendor, told in of.run.waiting.items():
        until = clock.from_us(int(told["until_us"]))
        if until > clock.now():
            words = f"{vendor} takes nothing more until {formatting.at(until, '%H:%M:%S')}: {told['why']}"
            st.caption(f":material/hourglass: {formatting.plain(words)}")


def _first_seen(of: Seen) -> tuple[int, datetime] | None:
    """The cells that were done when this viewer first saw this run running: a resumed one began long ago."""
    state, key = st.session_state, f"eval_seen_{of.run.id}_{of.run.n_starts}_{of.run.plan.limit_usd}"
    first: tuple[int, datetime] = state.setdefault(key, (of.n_done, clock.now()))
    return first if (clock.now() - first[1]).total_seconds() > 2 and of.n_done > first[0] else None


def _ended(of: Seen) -> None:
    """The reason that a run is not whole, and the gate's answer."""
    run = of.run
    if run.reason and run.status != "finished":
        st.warning(formatting.plain(run.reason), icon=":material/pause_circle:")
    elif run.reason:
        st.warning(formatting.plain(f"Not whole: {run.reason}"), icon=":material/warning:")
    errors = _error_words(of)
    if errors:
        st.error(formatting.plain(errors), icon=":material/error:")
    if run.judged:
        code, words = run.judged.get("exit_code"), formatting.plain(str(run.judged.get("reason", "")))
        if code == listing.FAILED:
            st.error(words, icon=":material/block:")
        elif code == 0:
            st.markdown(f":green[:material/check_circle:] {words}")
        else:
            st.warning(words, icon=":material/help:")


def _error_words(of: Seen) -> str:
    """The first error of each contestant that has any, named."""
    parts = []
    for tally in of.tallies:
        if n := tally.outcomes.get("error", 0):
            letter = of.run.plan.contestants[tally.contestant].letter
            first = reading.first_error(of, tally.contestant)
            parts.append(f"{n:,} of {letter} failed{f' ({first})' if first else ''}")
    return "; ".join(parts)


def _chosen(of: Seen) -> View:
    """The baseline and the metric, from the address."""
    options = reading.opponents(of.run)
    row = st.container(horizontal=True, vertical_alignment="bottom", gap="small")
    default, usual = next(iter(options), ""), f"baseline:{reading.usual_opponent(of.run)}"
    default = usual if usual in options else default
    view = View(metric=linked.choice(
        row, "Metric", "eval_metric", reading.metrics(of), "pass", format_func=_metric_label, width=180
    ))  # fmt: skip
    if not options:
        row.caption("Nothing to compare with: this evaluation has one contestant, and there is no baseline yet.")
        return view
    picked = linked.choice(
        row, "Compare with", "eval_with", list(options), default, format_func=lambda each: options[each], width=340
    )
    if picked.partition(":")[0] in ("baseline", "run"):
        return view._replace(against=picked.partition(":")[2])
    return view._replace(baseline="ABCDEFGHIJKLMNOPQRSTUVWXYZ".index(picked))


def _metric_label(name: str) -> str:
    return reading.metric_text(name).capitalize()


def _verdict(of: Seen, view: View) -> None:
    try:
        found = [each for each in reading.verdicts(of, view) if each is not None]
    except AimmError as error:
        inputs.refused(st, error)
        return
    if not found:
        if view.against:
            name = "that run" if view.against.startswith(RUN_IDS) else view.against
            st.caption(formatting.plain(f"{name} has no contestant that one of this evaluation could be held against."))
        return
    with st.container(border=True, key="eval_verdict"):
        for each in found[:SENTENCES]:
            st.markdown(formatting.plain(sentence(each, n_holm=len(found))))
        if len(found) > SENTENCES:
            with st.expander(f"{len(found) - SENTENCES} more contestants"):
                for each in found[SENTENCES:]:
                    st.markdown(formatting.plain(sentence(each, n_holm=len(found))))
        if of.run.is_running:
            st.caption("So far: the evaluation still runs, and a verdict before its end may turn.")
