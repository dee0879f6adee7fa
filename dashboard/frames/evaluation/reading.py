"""A run with what it found. What cannot change any more is read once for all viewers."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import streamlit as st

from core import AimmError
from core.domain.evaluation.run import MEASURED, OVERALL, Cell, EvaluationRun, Reading, Tally
from core.evaluation.verdict import Verdict
from core.statistics.rates import Rate
from dashboard import formatting
from dashboard.process import manager

SUITE_RUNS = 10


class Seen(NamedTuple):
    """A run with its tallies, and a key that is another one once anything of its cells has changed."""

    run: EvaluationRun
    tallies: tuple[Tally, ...]
    key: str

    @property
    def n_done(self) -> int:
        return sum(tally.n - tally.outcomes.get("not_run", 0) for tally in self.tallies)


def seen(run: EvaluationRun) -> Seen:
    tallies = tuple(manager().evaluations.tallies(run.id))
    told = repr((run.id, run.status, run.ended_at, run.plan.checks, run.plan.threshold, tallies))
    return Seen(run, tallies, f"{run.id} {hashlib.sha256(told.encode()).hexdigest()[:16]}")


# What is kept is shared as it is, and never changed: pickling ten thousand items would take longer than to read them.
kept = st.cache_resource(max_entries=40, ttl=3600, show_spinner=False)


@st.cache_resource(max_entries=8, ttl=600, show_spinner=False)
def cells_of(key: str, reads: str, _run: EvaluationRun) -> Mapping[int, Sequence[Cell | Reading]]:
    """reads: A metric of those that read the same; see `what_reads`."""
    return manager().evaluations.verdicts.read(_run, reads)


@kept
def _rates(key: str, _run: EvaluationRun) -> list[Rate]:
    return manager().evaluations.verdicts.rates(_run)


def rates(of: Seen) -> dict[int, Rate]:
    """By contestant its pass rate and its cost, with their intervals."""
    return {each.contestant: each for each in _rates(of.key, of.run)}


@kept
def _metrics(key: str, _run: EvaluationRun) -> tuple[str, ...]:
    return manager().evaluations.verdicts.metrics(_run)


def metrics(of: Seen) -> tuple[str, ...]:
    return _metrics(of.key, of.run)


def metric_text(name: str) -> str:
    return {OVERALL: "pass rate", "cost": "cost", "latency": "latency"}.get(name, name)


class View(NamedTuple):
    """The way a run is looked at.

    baseline: The contestant that the others are held against. against: A baseline's name or a run's id in its place.
    """

    baseline: int = 0
    against: str = ""
    metric: str = OVERALL

    def is_baseline(self, contestant: int) -> bool:
        return not self.against and contestant == self.baseline


@kept
def kept_verdicts(key: str, view: View, other_key: str, _run: EvaluationRun) -> tuple[Verdict | None, ...]:
    cells = cells_of(key, what_reads(view.metric), _run)
    return manager().evaluations.verdicts.all(
        _run, cells, baseline=view.baseline, against=view.against, metric=view.metric
    )


def what_reads(metric: str) -> str:
    """One name for all metrics that read the same of a cell."""
    return metric if metric == OVERALL else MEASURED[0] if metric in MEASURED else "of checks"


def verdicts(of: Seen, view: View) -> tuple[Verdict | None, ...]:
    """By contestant; None of the baseline itself. Raises: NotFound: There is no such baseline."""
    if not view.against and len(of.run.plan.contestants) == 1:
        return (None,)
    return kept_verdicts(of.key, view, key_of(view.against), of.run)


def key_of(ref: str) -> str:
    """The key of the run that a baseline points at."""
    return seen(manager().evaluations.verdicts.find(ref)).key if ref else ""


def usual_opponent(run: EvaluationRun) -> str:
    """The baseline of a run's gate; empty where there is none, or it points at this run or a later one by now."""
    gate = run.plan.gate
    if gate is None or not gate.against:
        return ""
    try:
        other = manager().evaluations.verdicts.find(gate.against)
    except AimmError:  # not there yet: the gate says so
        return ""
    return gate.against if other.created_at < run.created_at else ""


def opponents(run: EvaluationRun) -> dict[str, str]:
    """The choices to compare with, in words, by their names in the address: contestants, baselines, earlier runs."""
    evaluations = manager().evaluations
    several = run.plan.contestants if len(run.plan.contestants) > 1 else ()
    found = {each.letter: f"{each.letter} {each.label}" for each in several}
    found |= {f"baseline:{each.name}": f"Baseline {each.name}" for each in evaluations.verdicts.baselines()}
    runs, _ = evaluations.page(SUITE_RUNS + 1, name=run.plan.name)
    others = [each for each in runs if each.id != run.id and not each.is_running]
    return found | {f"run:{each.id}": f"Run of {formatting.when(each.created_at)}" for each in others[:SUITE_RUNS]}


@kept
def _first_error(key: str, contestant: int, _run: EvaluationRun) -> str:
    cells = cells_of(key, OVERALL, _run)[contestant]
    item = next((cell.item for cell in cells if cell.outcome == "error"), None)
    if item is None:
        return ""
    found = manager().evaluations.cells(_run.id, items=[item], contestant=contestant)
    return next((error_text(cell) for cell in found if cell.outcome == "error"), "")


def first_error(of: Seen, contestant: int) -> str:
    """The first error of a contestant, in words."""
    return _first_error(of.key, contestant, of.run)


def error_text(cell: Cell) -> str:
    """The reason that a cell has no outcome: of its call, or of a check that could not be made."""
    of_check = next((score.reason for score in cell.scores if score.passed is None), "")
    return formatting.short(of_check or cell.error or cell.error_class, 200)
