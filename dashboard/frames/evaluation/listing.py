"""The list of evaluations, and how far each of them is."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import pandas as pd

from core import AimmError, clock
from core.domain.evaluation.run import Contestant, EvaluationRun
from core.evaluation.gate import to_dict
from core.evaluation.verdict import brief, is_decided
from core.formats.figures import signed
from core.statistics.rates import Rate
from dashboard import formatting
from dashboard.frames.evaluation.reading import Seen, View, kept, key_of, rates, seen, usual_opponent, verdicts
from dashboard.process import manager

STATUS = {
    "queued": "Queued", "running": "Running", "paused": "Paused", "stopped": "Stopped", "finished": "Finished",
}  # fmt: skip
MOST_CELLS = 60_000  # that one view of the list reads for its verdicts
FAILED = 100


def judged(run: EvaluationRun) -> EvaluationRun:
    """The run with its gate asked, once it has ended."""
    if run.status == "finished" and run.plan.gate is not None and not run.judged:
        try:
            return replace(run, judged=to_dict(manager().evaluations.verdicts.keep(run.id)))
        except AimmError:  # such as a baseline that is not there yet: the run's own page says so
            return run
    return run


def gate_text(run: EvaluationRun) -> str:
    """Passed, failed or not asked, in a word; empty = the run has no gate."""
    code = run.judged.get("exit_code")
    return "" if code is None or run.plan.gate is None else {0: "passed", FAILED: "failed"}.get(int(code), "cannot say")


def time_text(run: EvaluationRun) -> str:
    return formatting.seconds((run.ended_at - run.created_at).total_seconds()) if run.ended_at else formatting.UNKNOWN


def left_s(of: Seen, since: tuple[int, datetime] | None = None) -> float | None:
    """The time that the rest will take at the pace so far. since: Cells done at a moment; None = at its start."""
    n_before, began = since or (0, of.run.created_at)
    n_new, elapsed = of.n_done - n_before, (clock.now() - began).total_seconds()
    return (of.run.n_cells - of.n_done) * elapsed / n_new if n_new > 0 and elapsed > 1 else None


def status_text(of: Seen) -> str:
    share = formatting.percent(of.n_done / of.run.n_cells, 0)
    if of.run.is_running:
        left = left_s(of)
        return (
            f"{STATUS[of.run.status]} {share}{'' if left is None else f' · {formatting.seconds(max(1.0, left))} left'}"
        )
    return STATUS[of.run.status] if of.n_done == of.run.n_cells else f"{STATUS[of.run.status]} {share}"


def progress_of(run: EvaluationRun) -> str:
    return status_text(seen(run))


def table(runs: Sequence[EvaluationRun]) -> pd.DataFrame:
    """A row a run, as the list shows it: what it found stands first, for a narrow page shows the first columns."""
    rows, n_read = [], 0
    for run in map(judged, runs):
        of = seen(run)
        said = ""
        if not run.is_running and n_read + run.n_cells <= MOST_CELLS:
            n_read += run.n_cells
            said = short_verdict(of)
        by_rate = rates(of)
        said = said or ("" if run.is_running else _alone(run, by_rate))
        rows.append(
            {
                "name": run.plan.name,
                "verdict": said,
                "contestants": contestant_texts(run),
                "pass rate": " · ".join(
                    f"{each.letter} {formatting.percent(rate.passes.estimate)}"
                    for each in run.plan.contestants
                    if (rate := by_rate.get(each.position)) is not None and rate.passes is not None
                ),
                "status": f"Gate {gate}" if (gate := gate_text(run)) else status_text(of),
                "dataset": run.plan.dataset.partition("@")[0],
                "cost $": float(run.spent_usd),
                "started": run.created_at,
            }
        )
    return pd.DataFrame(rows)


def _alone(run: EvaluationRun, by_rate: Mapping[int, Rate]) -> str:
    """The interval of the pass rate of a contestant that nothing is compared with; empty = there are several."""
    found = by_rate.get(0)
    if len(run.plan.contestants) > 1 or found is None or found.passes is None:
        return ""
    low, high = (formatting.percent(each) for each in found.passes[1:])
    return f"no baseline: passes {low} to {high}"


@kept
def _short_verdict(key: str, view: View, other_key: str, _of: Seen) -> str:
    return brief(verdicts(_of, view))


def short_verdict(of: Seen) -> str:
    """Against the gate's baseline, else against the first contestant; empty where there is nothing to compare."""
    view = View(against=usual_opponent(of.run))
    return _short_verdict(of.key, view, key_of(view.against), of)


def told(run: EvaluationRun) -> str:
    """A comparison in a line: who is better, by how much, and the pass rates; empty = nothing is to be said."""
    of, names = seen(run), {text[0]: text for text in contestant_texts(run)}
    found = [each for each in verdicts(of, View()) if each is not None and each.comparison is not None]
    if not found:
        return ""
    each = max(found, key=lambda each: abs(each.comparison.difference.estimate) if each.comparison else 0.0)
    a, b, difference = each.baseline, each.candidate, each.comparison.difference if each.comparison else None
    if a.mean is None or b.mean is None or difference is None:
        return ""
    low, high = (signed(100 * bound, ".1f") for bound in (difference.lower, difference.upper))
    word = (
        "no difference is shown"
        if not is_decided(each)
        else f"{names[(b if difference.estimate > 0 else a).label]} is better"
    )
    rates_ = f"{names[b.label]} passes {formatting.percent(b.mean)}, {names[a.label]} {formatting.percent(a.mean)}"
    return f"{word} – {rates_} (difference {low} to {high} points, 95%)"


def contestant_texts(run: EvaluationRun) -> list[str]:
    """Each contestant short: its letter, and its name or what tells it from the others, its prompt or its model."""
    several = run.plan.contestants
    prompts, models = {each.prompt for each in several}, {each.model for each in several}

    def text(each: Contestant) -> str:
        if each.name or not (each.prompt and each.model) or (len(prompts) > 1 and len(models) > 1):
            return each.label
        if len(prompts) > 1 and len(models) == 1:
            return each.prompt
        version = each.prompt.rpartition("@")[2] if len(several) == 1 and "@" in each.prompt else ""
        return f"@{version} {each.model}" if version else each.model

    return [f"{each.letter} {formatting.squeezed(text(each), 22)}" for each in several]
