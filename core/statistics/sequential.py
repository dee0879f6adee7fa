"""Intervals that hold at every look, however often one looks.

A normal-mixture confidence sequence (also known as the mixture sequential probability ratio test), with a standard
error that is guarded against small variants and rare outcomes.
Source: Robbins (1970), Ann. Math. Stat. 41; Howard, Ramdas, McAuliffe, Sekhon (2021), Ann. Stat. 49;
Johari, Pekelis, Walsh, arXiv:1512.04922; Waudby-Smith et al., arXiv:2103.06476, eq. 9 and 134.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

from core.statistics.interval import Interval, alpha_of
from core.statistics.means import Sample, check_sample
from core.statistics.proportions import check_counts

MIN_PER_SIDE = 30
TUNED_FOR = 1000  # observations, both sides together, at which the interval is tightest
_TUNED_ALPHA = 0.05


class Difference(NamedTuple):
    """treatment − control with its guarded squared standard error; n: observations of both sides, smallest: of one."""

    estimate: float
    squared_error: float
    n: int
    smallest: int

    @property
    def is_enough(self) -> bool:
        return self.smallest >= MIN_PER_SIDE

    def interval(self, *, confidence_level: float = 0.95, tuned_for: int = TUNED_FOR) -> Interval:
        """Two-sided; infinite before 30 a side, and while nothing has varied, since the spread is then unknown."""
        alpha = alpha_of(confidence_level)
        if not self.is_enough or self.squared_error == 0:
            return Interval(self.estimate, -math.inf, math.inf)
        half = math.sqrt(self.squared_error) * _width(self.n * _rho2(_TUNED_ALPHA, tuned_for), alpha)
        return Interval(self.estimate, self.estimate - half, self.estimate + half)

    def p_value(self, *, tuned_for: int = TUNED_FOR) -> float:
        """Always valid: at most α of all experiments without a difference ever fall to α or below.

        It agrees with `interval`: p < α exactly where the interval at level 1 − α leaves out 0.
        """
        if not self.is_enough:
            return 1.0
        if self.squared_error == 0:
            return 1.0
        load = self.n * _rho2(_TUNED_ALPHA, tuned_for)
        evidence = self.estimate**2 / self.squared_error * load / (2 * (1 + load)) - math.log1p(load) / 2
        return min(1.0, math.exp(-evidence)) if evidence > 0 else 1.0

    def upper_bound(self, *, confidence_level: float = 0.95, tuned_for: int = TUNED_FOR) -> float:
        """One-sided: the difference is at most this, at every look. Infinite before 30 a side."""
        alpha = alpha_of(confidence_level)
        if not self.is_enough or self.squared_error == 0:
            return math.inf
        load = self.n * _rho2(2 * _TUNED_ALPHA, tuned_for)
        inner = 2 * (load + 1) / load * math.log1p(math.sqrt(load + 1) / (2 * alpha))
        return self.estimate + math.sqrt(self.squared_error * inner)

    def lower_bound(self, *, confidence_level: float = 0.95, tuned_for: int = TUNED_FOR) -> float:
        """One-sided: the difference is at least this, at every look. Minus infinity before 30 a side."""
        turned = self._replace(estimate=-self.estimate)
        return -turned.upper_bound(confidence_level=confidence_level, tuned_for=tuned_for)


def of_proportions(control: tuple[int, int], treatment: tuple[int, int]) -> Difference:
    """Two proportions, each (successes, trials)."""
    control, treatment = check_counts(*control), check_counts(*treatment)
    samples = [_of_counts(*control), _of_counts(*treatment)]
    # One success and one failure more keep a variant that has seen none (or nothing else) from claiming certainty.
    shrunk = [(successes + 1) / (trials + 2) for successes, trials in (control, treatment)]
    smoothed = sum(p * (1 - p) / sample.n for p, sample in zip(shrunk, samples, strict=True))
    return _guarded(*samples, at_least=smoothed)


def of_means(control: Sample, treatment: Sample, *, factor: float = 1.0, at_least: float = 0.0) -> Difference:
    """Two means: treatment − factor × control. at_least: a floor of the squared standard error."""
    control, treatment = Sample(*control), Sample(*treatment)
    check_sample(control)
    check_sample(treatment)
    scaled = Sample(control.n, factor * control.mean, factor * factor * control.variance)
    return _guarded(scaled, treatment, at_least=at_least)


def combined(parts: Sequence[Difference]) -> Difference | None:
    """One difference from several phases, each compared within itself and weighted by its sizes.

    Pooling the rows of phases with different weights would mistake a drift of quality for an effect. The weights are
    n_a·n_b / (n_a + n_b) (Mantel and Haenszel 1959): estimated precisions would favour phases that came out low. Phases
    with fewer than 30 a side take no part; None where there is no part at all.
    """
    usable = [part for part in parts if part.is_enough and part.squared_error > 0]
    if not usable:
        return max(parts, key=lambda part: part.n) if parts else None
    weights = [part.smallest * (part.n - part.smallest) / part.n for part in usable]
    total, n = sum(weights), sum(part.n for part in usable)
    estimate = sum(w * part.estimate for w, part in zip(weights, usable, strict=True)) / total
    squared_error = sum(w * w * part.squared_error for w, part in zip(weights, usable, strict=True)) / total**2
    return Difference(estimate, squared_error, n, sum(part.smallest for part in usable))


def proportion_difference(
    control: tuple[int, int], treatment: tuple[int, int], *, confidence_level: float = 0.95
) -> Interval:
    """Treatment − control of two proportions, each (successes, trials); infinite before 30 a side.

    Raises:
        ValueError: An argument is out of its range.
    """
    found = of_proportions(control, treatment).interval(confidence_level=confidence_level)
    return Interval(found.estimate, max(-1.0, found.lower), min(1.0, found.upper)) if found.is_finite else found


def mean_difference(control: Sample, treatment: Sample, *, confidence_level: float = 0.95) -> Interval:
    """Treatment − control of two means; infinite before 30 a side.

    Raises:
        ValueError: An argument is out of its range.
    """
    return of_means(control, treatment).interval(confidence_level=confidence_level)


def relative_difference(
    control: Sample, treatment: Sample, *, confidence_level: float = 0.95, tuned_for: int = TUNED_FOR
) -> Interval:
    """treatment / control − 1 for positive means: all r for which the interval of treatment − (1 + r) × control has 0.

    Unlike a delta-method interval of the ratio it stays true for rare outcomes. Infinite where the control's own mean
    cannot be told from 0.

    Source: Fieller (1954), JRSS B 16, 175-185.
    """

    def interval(r: float) -> Interval:
        found = of_means(control, treatment, factor=1 + r)
        return found.interval(confidence_level=confidence_level, tuned_for=tuned_for)

    own = mean_interval(control, confidence_level=confidence_level, tuned_for=tuned_for)
    if control.mean <= 0 or not own.is_finite or own.lower <= 0:
        return Interval(treatment.mean / control.mean - 1 if control.mean > 0 else math.nan, -math.inf, math.inf)
    estimate = treatment.mean / control.mean - 1
    low, high = estimate - 1, estimate + 1
    for _ in range(60):
        if interval(low).lower > 0 and interval(high).upper < 0:
            break
        low, high = min(low * 2, -1.0), high * 2 + 1
    return Interval(
        estimate,
        _crossing(lambda r: interval(r).lower > 0, low, estimate),
        _crossing(lambda r: interval(r).upper < 0, high, estimate),
    )


def mean_interval(
    sample: Sample, *, at_least: float = 0.0, confidence_level: float = 0.95, tuned_for: int = TUNED_FOR
) -> Interval:
    """One mean, at every look; infinite before 30 observations. at_least: a floor of the squared standard error.

    Raises:
        ValueError: An argument is out of its range.
    """
    sample = Sample(*sample)
    check_sample(sample)
    part = Difference(sample.mean, max(sample.variance / sample.n, at_least), sample.n, sample.n)
    return part.interval(confidence_level=confidence_level, tuned_for=tuned_for)


def proportion_interval(successes: int, trials: int, *, confidence_level: float = 0.95) -> Interval:
    """One proportion, at every look and for any number of trials: exact, no approximation.

    The values p against which the uniform mixture of likelihoods has gathered less than 1/α of evidence.

    Raises:
        ValueError: An argument is out of its range.

    Source: Robbins (1970); Howard et al. (2021), section 3.2 (beta-binomial mixture).
    """
    successes, trials = check_counts(successes, trials)
    failures, estimate = trials - successes, successes / trials
    mixture = math.lgamma(successes + 1) + math.lgamma(failures + 1) - math.lgamma(trials + 2)
    limit = -math.log(alpha_of(confidence_level))

    def is_against(p: float) -> bool:
        return mixture - successes * math.log(p) - failures * math.log1p(-p) >= limit

    lower = _crossing(is_against, 0.0, estimate) if successes else 0.0
    upper = _crossing(is_against, 1.0, estimate) if failures else 1.0
    return Interval(estimate, lower, upper)


def _crossing(is_against: Callable[[float], bool], outside: float, inside: float) -> float:
    """The point at which the evidence against p crosses its limit, between a refused value and one that is not."""
    for _ in range(60):
        middle = (outside + inside) / 2
        if middle in (outside, inside):
            break
        if is_against(middle):
            outside = middle
        else:
            inside = middle
    return outside


def _of_counts(successes: int, trials: int) -> Sample:
    p = successes / trials
    return Sample(trials, p, p * (1 - p) * trials / (trials - 1) if trials > 1 else 0.0)


def _guarded(control: Sample, treatment: Sample, *, at_least: float) -> Difference:
    """With the larger of Welch's and the pooled squared standard error: the pooled one protects the small variant."""
    welch = control.variance / control.n + treatment.variance / treatment.n
    freedom = control.n + treatment.n - 2
    pooled = 0.0
    if freedom > 0:
        squares = (control.n - 1) * control.variance + (treatment.n - 1) * treatment.variance
        pooled = squares / freedom * (1 / control.n + 1 / treatment.n)
    squared_error = max(welch, pooled, at_least)
    n = control.n + treatment.n
    return Difference(treatment.mean - control.mean, squared_error, n, min(control.n, treatment.n))


def _width(load: float, alpha: float) -> float:
    """Half the interval's width in standard errors."""
    return math.sqrt((1 + 1 / load) * (2 * math.log(1 / alpha) + math.log1p(load)))


@lru_cache(maxsize=64)
def _rho2(alpha: float, tuned_for: int) -> float:
    """(−W₋₁(−α²/e) − 1) / tuned_for, the mixture's scale; W by fixed-point iteration of w = x + ln(w)."""
    x = 1 - 2 * math.log(alpha)  # solves w − ln w = x, with w = −W₋₁(−α²/e)
    w = x
    for _ in range(60):
        w = x + math.log(w)
    return (w - 1) / tuned_for
