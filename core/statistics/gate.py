"""The decision about one metric of two runs on the same items: is it real, and is it worse than allowed. Pure.

Two rules. Alarm (the default): red only if the candidate is shown to be worse and its observed drop passes the margin.
Strict: red unless the drop is shown to be smaller than the margin; honest only with thousands of items.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from core.statistics import paired
from core.statistics.interval import Interval

Method = Literal["McNemar", "sign flips", "t on item means"]
Rule = Literal["alarm", "strict"]
# Shares of the significance, by the simulation in benchmarks/paired.py: mid-p and t run over theirs by up to a tenth.
SPENT, CONFIRMED = 0.9, 0.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One metric on the items that both runs hold; differences are candidate − baseline, higher is better.

    n_items: Items compared.
    n_worse, n_better: Items on which the candidate's mean is lower, or higher.
    difference: With its two-sided interval.
    lower: The one-sided lower bound of the difference at `significance`.
    p_value, p_worse: Two-sided; one-sided for "the candidate is worse".
    method: The test behind the p values. is_exact: They never run over their level.
    smallest_detectable_drop: What a run like this one shows with 80 % power, one-sided; infinite where nothing.
    """

    n_items: int
    n_worse: int
    n_better: int
    difference: Interval
    lower: float
    p_value: float
    p_worse: float
    method: Method
    is_exact: bool
    smallest_detectable_drop: float

    @property
    def drop(self) -> float:
        return -self.difference.estimate

    def fails(
        self,
        *,
        margin: float = 0.0,
        significance: float = 0.05,
        rule: Rule = "alarm",
        p_worse: float | None = None,
        is_confirmation: bool = False,
    ) -> bool:
        """The gate's answer.

        Args:
            margin: The drop allowed, in the metric's unit.
            significance: The share of false alarms promised; the rule spends a little less (SPENT).
            rule: The strict rule reads the bound that `compare` made at its own significance instead.
            p_worse: The corrected one, where several are tested.
            is_confirmation: These are the fresh runs that a red of every night is confirmed with: red only if both
                are. CONFIRMED is what keeps 30 nights below the significance.
        """
        if rule == "strict":
            return not -self.lower < margin
        spent = CONFIRMED if is_confirmation else 1.0 if self.is_exact else SPENT
        return (self.p_worse if p_worse is None else p_worse) <= spent * significance and self.drop > margin


def compare(
    baseline: Sequence[float],
    candidate: Sequence[float],
    *,
    repetitions: int = 1,
    is_exact: bool = False,
    significance: float = 0.05,
    n_tests: int = 1,
) -> Comparison:
    """Compare item means in the same order.

    Pass or fail with one repetition goes to McNemar's test (mid-p) and Tango's interval; all else to the t test on item
    means. Where fewer than ten items differ, t claims nothing: the p values are exact, over the signs of the
    differences, the interval is the plus interval.

    Args:
        baseline: One mean an item, over its repetitions.
        candidate: The same items in the same order.
        repetitions: Answers averaged in an item.
        is_exact: Exact p values instead of mid-p: never above the significance, a little less power.
        significance: Of the intervals, divided by n_tests. The two-sided level is 1 − significance.
        n_tests: Tests of the declared family, so that intervals and corrected p values agree.

    Raises:
        ValueError: The sides differ in length, are empty, or hold a value that is not finite.
    """
    differences = np.asarray(candidate, dtype=float) - np.asarray(baseline, dtype=float)
    n, n_worse, n_better = len(differences), int((differences < 0).sum()), int((differences > 0).sum())
    alpha = significance / n_tests
    values = np.concatenate([baseline, candidate])
    is_binary = repetitions == 1 and set(np.unique(values)) <= {0.0, 1.0}
    is_share = bool(values.min() >= 0 and values.max() <= 1)

    def interval(level: float) -> Interval:
        if is_binary:
            return paired.difference_interval(n_worse, n_better, n, confidence_level=level)
        return paired.mean_difference(baseline, candidate, confidence_level=level, repetitions=repetitions)

    difference = interval(1 - alpha)
    method, p_value, p_worse = _tested(baseline, candidate, is_binary=is_binary, is_exact=is_exact)
    return Comparison(
        n_items=n,
        n_worse=n_worse,
        n_better=n_better,
        difference=difference,
        lower=interval(1 - 2 * alpha).lower,
        p_value=p_value,
        p_worse=p_worse,
        method=method,
        is_exact=is_exact and method != "t on item means",
        smallest_detectable_drop=_detectable(
            differences,
            is_binary=is_binary,
            is_share=is_share,
            repetitions=repetitions,
            significance=alpha * (1.0 if is_exact else SPENT),
        ),
    )


def _tested(
    baseline: Sequence[float], candidate: Sequence[float], *, is_binary: bool, is_exact: bool
) -> tuple[Method, float, float]:
    """(test, two-sided p value, one-sided p value for "the candidate is worse")"""
    differences = np.asarray(candidate, dtype=float) - np.asarray(baseline, dtype=float)
    n_worse, n_better = int((differences < 0).sum()), int((differences > 0).sum())
    if not is_binary and n_worse + n_better >= paired.FEWEST_DIFFERING:
        _, p_value, p_worse = paired.paired_t(baseline, candidate)
        return "t on item means", p_value, p_worse
    p = paired.mcnemar(n_worse, n_better) if is_binary else paired.sign_flips(differences.tolist())
    method: Method = "McNemar" if is_binary else "sign flips"
    return (method, p.exact, p.exact_worse) if is_exact else (method, p.mid_p, p.mid_p_worse)


def _detectable(
    differences: paired.Values, *, is_binary: bool, is_share: bool, repetitions: int, significance: float
) -> float:
    """Few items that differ say little about how many will: two pseudo items stand for what was not seen."""
    n, n_differing = len(differences), int(np.count_nonzero(differences))
    few = n_differing < paired.FEWEST_DIFFERING
    if is_binary:
        discordance = (n_differing + 2) / (n + 2) if few else n_differing / n
        return paired.exact_detectable_drop(n, discordance, significance=significance)
    if few and is_share:
        size = 1 / math.sqrt(repetitions)
        differences = np.concatenate([differences, [size, -size]])
    deviation = float(differences.std(ddof=1)) if len(differences) > 1 else 0.0
    if not deviation:
        return math.inf
    return paired.smallest_detectable_mean_drop(n, deviation, significance=significance)
