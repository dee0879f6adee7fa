"""Two contestants on the same items: what broke, what was fixed, and how sure that is. Pure.

The item is the unit, its repetitions averaged. An answer that failed is neither a loss nor a pass: its item is left out
of the comparison, and named.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from core.domain.evaluation.run import MEASURED, OVERALL, Cell, Contestant, Outcome, Reading
from core.formats.figures import percent, signed
from core.formats.money import dollars
from core.statistics.gate import Comparison, compare
from core.statistics.multiplicity import holm

Change = Literal["broken", "worse", "fixed", "better", "same"]


class ItemPair(NamedTuple):
    """An item that both sides answered.

    item: Its place in the candidate's run. damage: Baseline − candidate; of cost and latency the other way round.
    """

    row_id: str
    item: int
    baseline: float
    candidate: float
    change: Change
    damage: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One side of a verdict. mean: Over its items with a value; None = it has none.

    mean_with_errors: Of a pass rate, with each failed answer counted as a fail.
    """

    label: str
    mean: float | None
    mean_with_errors: float | None
    n_items: int
    outcomes: Mapping[Outcome, int]

    @property
    def n_missing(self) -> int:
        """Cells without a grade for another reason than that nothing checks them."""
        return self.outcomes.get("error", 0) + self.outcomes.get("not_run", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A candidate against a baseline on one metric.

    comparison: Higher is better; of cost and latency the negated values. None = they share no item with a value.
    only_baseline, only_candidate: Rows of one run alone. unpaired: Rows of both, of which one side has no value.
    items: Sorted by damage, the worst first.
    """

    metric: str
    baseline: Side
    candidate: Side
    comparison: Comparison | None
    items: tuple[ItemPair, ...]
    only_baseline: tuple[str, ...] = ()
    only_candidate: tuple[str, ...] = ()
    unpaired: tuple[str, ...] = ()

    def n(self, *changes: Change) -> int:
        return sum(each.change in changes for each in self.items)


class Gathered(NamedTuple):
    """A contestant's cells as comparisons read them.

    means: Row id -> the metric's mean over the repetitions; see `item_means`. rows: Row id -> place, in order.
    """

    metric: str
    means: Mapping[str, float]
    rows: Mapping[str, int]
    outcomes: Mapping[Outcome, int]
    n_repetitions: int


def verdict(  # noqa: PLR0913 - a comparison and its rules
    baseline: Sequence[Cell | Reading],
    candidate: Sequence[Cell | Reading],
    *,
    metric: str = OVERALL,
    labels: tuple[str, str] = ("A", "B"),
    n_tests: int = 1,
    is_exact: bool = False,
    significance: float = 0.05,
) -> Verdict:
    """Compare two contestants' cells, of one run or of two.

    n_tests: Tests of the declared family, for the intervals.
    """
    sides = gathered(baseline, metric), gathered(candidate, metric)
    return verdict_of(*sides, labels=labels, n_tests=n_tests, is_exact=is_exact, significance=significance)


def gathered(cells: Sequence[Cell | Reading], metric: str) -> Gathered:
    """The cells of one contestant, gathered once however often they are compared."""
    outcomes = Counter(cell.outcome for cell in cells)
    n_repetitions = 1 + max((cell.repetition for cell in cells), default=0)
    rows = {cell.row_id: cell.item for cell in sorted(cells, key=lambda cell: cell.item)}
    return Gathered(metric, item_means(cells, metric), rows, outcomes, n_repetitions)


def verdict_of(
    baseline: Gathered,
    candidate: Gathered,
    *,
    labels: tuple[str, str] = ("A", "B"),
    n_tests: int = 1,
    is_exact: bool = False,
    significance: float = 0.05,
) -> Verdict:
    """See `verdict`."""
    before, after = baseline.means, candidate.means
    rows_before, rows_after, metric = baseline.rows, candidate.rows, baseline.metric
    sign = -1.0 if metric in MEASURED else 1.0
    pairs = sorted(
        (
            _pair(row_id, item, before[row_id], after[row_id], sign)
            for row_id, item in rows_after.items()
            if row_id in before and row_id in after
        ),
        key=lambda pair: (-pair.damage, pair.item),
    )
    comparison = None
    if pairs:
        comparison = compare(
            [sign * pair.baseline for pair in pairs],
            [sign * pair.candidate for pair in pairs],
            repetitions=max(baseline.n_repetitions, candidate.n_repetitions),
            is_exact=is_exact,
            significance=significance,
            n_tests=n_tests,
        )
    both = rows_before.keys() & rows_after.keys()
    return Verdict(
        metric=metric,
        baseline=_side(labels[0], baseline),
        candidate=_side(labels[1], candidate),
        comparison=comparison,
        items=tuple(pairs),
        only_baseline=tuple(row for row in rows_before if row not in rows_after),
        only_candidate=tuple(row for row in rows_after if row not in rows_before),
        unpaired=tuple(row for row in rows_after if row in both and not (row in before and row in after)),
    )


def corrected(verdicts: Sequence[Verdict | None]) -> tuple[Verdict | None, ...]:
    """The verdicts of one family, each with the p values that Holm's correction leaves it."""
    known = [each.comparison for each in verdicts if each is not None and each.comparison is not None]
    p_values = iter(holm([each.p_value for each in known]))
    p_worse = iter(holm([each.p_worse for each in known]))
    return tuple(
        each
        if each is None or each.comparison is None
        else replace(each, comparison=replace(each.comparison, p_value=next(p_values), p_worse=next(p_worse)))
        for each in verdicts
    )


def item_means(cells: Iterable[Cell | Reading], metric: str) -> dict[str, float]:
    """Row id -> the mean of a metric over the item's repetitions; items without a value are left out."""
    found: dict[str, list[float]] = {}
    for cell in cells:
        value = cell.value(metric)
        if value is not None:
            found.setdefault(cell.row_id, []).append(value)
    return {row_id: sum(values) / len(values) for row_id, values in found.items()}


def metrics_of(cells: Iterable[Cell]) -> tuple[str, ...]:
    """The metrics that checks of these cells name, in the order in which they come up."""
    return tuple(dict.fromkeys(score.metric for cell in cells for score in cell.scores if score.metric))


def sentence(verdict: Verdict, *, level: float = 0.95, n_holm: int = 1) -> str:
    """The verdict in words, with its uncertainty, what is missing, and what it could not have seen."""
    a, b, found = verdict.baseline, verdict.candidate, verdict.comparison
    if found is None or a.mean is None or b.mean is None:
        return f"{a.label} and {b.label} have no item in common with a value on both sides: nothing can be said."
    lead = (
        "No difference is shown"
        if not is_decided(verdict, level)
        else f"{b.label if found.difference.estimate > 0 else a.label} is better"
    )
    corrected = f", Holm over {n_holm}" if n_holm > 1 else ""
    parts = [
        f"{lead}: {_values(verdict)} ({_difference(verdict, level)}, {found.method} {_p(found.p_value)}{corrected})."
    ]
    for side in (a, b):
        if n := side.outcomes.get("error", 0):
            parts.append(f"{n:,} answer{'s' if n > 1 else ''} of {side.label} failed.")
        if n := side.outcomes.get("not_run", 0):
            parts.append(f"{n:,} of {side.label} did not run.")
    if lonely := len(verdict.only_baseline) + len(verdict.only_candidate):
        parts.append(f"{lonely:,} items are in one run only.")
    parts.append(could_see(verdict))
    return " ".join(each for each in parts if each)


def is_decided(verdict: Verdict, level: float = 0.95) -> bool:
    """Tell whether a difference is shown, in either direction."""
    found = verdict.comparison
    return found is not None and found.difference.excludes(0.0) and found.p_value <= 1 - level


def brief(verdicts: Sequence[Verdict | None]) -> str:
    """The verdicts of a family in a few words with their intervals, the decided ones first; empty = there is none."""
    known = sorted((each for each in verdicts if each is not None), key=lambda each: not is_decided(each))
    return "; ".join(f"{each.candidate.label} {_judged(each)}" for each in known)


def _judged(each: Verdict) -> str:
    """Better, worse or undecided, with the interval that says so."""
    if each.comparison is None:
        return "not comparable"
    word = "better" if each.comparison.difference.estimate > 0 else "worse"
    return f"{word if is_decided(each) else 'undecided'}: {_difference(each, 0.95).replace(', 95% ', ' (')})"


def could_see(verdict: Verdict) -> str:
    """The smallest drop that a comparison like this one shows."""
    found = verdict.comparison
    if found is None:
        return ""
    least, n = found.smallest_detectable_drop, found.n_items
    items = f"{n:,} item{'s' if n > 1 else ''}"
    if not least < (float("inf") if verdict.metric in MEASURED else 1.0):
        return f"{items} cannot show any drop."
    if verdict.metric in MEASURED:
        return f"{items} cannot show a rise of less than {_measured(verdict.metric, least)}."
    return f"{items} cannot show a drop of less than {least * 100:.1f} points."


def _pair(row_id: str, item: int, before: float, after: float, sign: float) -> ItemPair:
    damage = sign * (before - after)
    change: Change = "same"
    if damage > 0:
        change = "broken" if (before, after) == (1.0, 0.0) else "worse"
    elif damage < 0:
        change = "fixed" if (before, after) == (0.0, 1.0) else "better"
    return ItemPair(row_id, item, before, after, change, damage)


def _side(label: str, of: Gathered) -> Side:
    outcomes, means, with_errors = of.outcomes, of.means, None
    if of.metric == OVERALL:
        n_graded = sum(outcomes.get(each, 0) for each in ("pass", "fail", "error"))
        with_errors = outcomes.get("pass", 0) / n_graded if n_graded else None
    return Side(
        label=label,
        mean=sum(means.values()) / len(means) if means else None,
        mean_with_errors=with_errors,
        n_items=len(means),
        outcomes=outcomes,
    )


def _values(verdict: Verdict) -> str:
    """Both sides' values on the items that both answered."""
    n = len(verdict.items)
    before, after = (sum(side) / n for side in zip(*((p.baseline, p.candidate) for p in verdict.items), strict=True))
    a, b = verdict.baseline.label, verdict.candidate.label
    if verdict.metric in MEASURED:
        return f"{b} {_measured(verdict.metric, after)} against {_measured(verdict.metric, before)} of {a}"
    what = "passes" if verdict.metric == OVERALL else f"{verdict.metric}"
    return f"{b} {what} {percent(after)} of {n:,} items, {a} {percent(before)}"


def _difference(verdict: Verdict, level: float) -> str:
    found = verdict.comparison
    assert found is not None  # noqa: S101 - asked by who knows
    if verdict.metric in MEASURED:
        turned = found.difference.scaled(-1)
        low, high = (_measured(verdict.metric, each) for each in (turned.lower, turned.upper))
        return f"{_measured(verdict.metric, turned.estimate, sign=True)}, {level:.0%} {low} to {high}"
    points = found.difference.scaled(100)
    low, high = (signed(each, ".1f") for each in (points.lower, points.upper))
    return f"{signed(points.estimate, '.1f')} points, {level:.0%} {low} to {high}"


def _measured(metric: str, value: float, *, sign: bool = False) -> str:
    plus = "+" if sign and value > 0 else ""
    return plus + (dollars(value) if metric == "cost" else f"{value:.2f} s".replace("-", "−"))


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def counterpart(candidate: Contestant, baselines: Sequence[Contestant]) -> Contestant | None:
    """The contestant of another run that a candidate is held against.

    Of the same name; else with the same prompt, whatever its version, and model; else with the same model or the same
    prompt, where one alone has it; else the only one there is.
    """
    wanted = _facets(candidate)
    for which in ((0,), (1, 2), (2,), (1,)):
        key = tuple(wanted[at] for at in which)
        found = [each for each in baselines if tuple(_facets(each)[at] for at in which) == key and all(key)]
        if len(found) == 1:
            return found[0]
    return baselines[0] if len(baselines) == 1 else None


def _facets(contestant: Contestant) -> tuple[str, str, str]:
    return (
        contestant.name,
        contestant.prompt.partition("@")[0],
        contestant.model or contestant.function or contestant.workflow,
    )
