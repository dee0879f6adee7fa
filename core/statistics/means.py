"""Means of samples, and their difference at one look."""

import math
from typing import NamedTuple

from core.statistics.interval import Interval, alpha_of


class Sample(NamedTuple):
    """n observations with their mean and their variance (with n − 1)."""

    n: int
    mean: float
    variance: float


def check_sample(sample: Sample) -> None:
    n, mean, variance = sample
    if n < 1 or not math.isfinite(mean) or not 0 <= variance < math.inf:
        raise ValueError(f"{tuple(sample)}: n must be >= 1, the mean finite, the variance finite and >= 0")


def mean_interval(sample: Sample, *, confidence_level: float = 0.95) -> Interval:
    """Student's interval for one mean; infinite for one observation.

    Source: Student (1908), Biometrika 6, 1-25.
    """
    from scipy.special import stdtrit

    check_sample(sample)
    n, mean, variance = sample
    if n < 2:
        return Interval(mean, -math.inf, math.inf)
    half = float(stdtrit(n - 1, 1 - alpha_of(confidence_level) / 2)) * math.sqrt(variance / n)
    return Interval(mean, mean - half, mean + half)


def welch_interval(control: Sample, treatment: Sample, *, confidence_level: float = 0.95) -> Interval:
    """Welch's interval for the difference of two means, treatment − control.

    Valid for one look at a sample size fixed beforehand; for looks as one likes see `sequential`. Infinite where a
    side has fewer than two observations.

    Raises:
        ValueError: An argument is out of its range.

    Source: Welch (1947), Biometrika 34, 28-35; degrees of freedom by Satterthwaite (1946).
    """
    from scipy.special import stdtrit  # at first use: scipy takes a sixth of a second to import

    alpha = alpha_of(confidence_level)
    control, treatment = Sample(*control), Sample(*treatment)
    check_sample(control)
    check_sample(treatment)
    difference = treatment.mean - control.mean
    if min(control.n, treatment.n) < 2:
        return Interval(difference, -math.inf, math.inf)
    parts = [sample.variance / sample.n for sample in (control, treatment)]
    if sum(parts) == 0:
        return Interval(difference, difference, difference)
    spread = sum(part * part / (sample.n - 1) for part, sample in zip(parts, (control, treatment), strict=True))
    freedom = sum(parts) ** 2 / spread if spread > 0 else float(control.n + treatment.n - 2)
    half = float(stdtrit(freedom, 1 - alpha / 2)) * math.sqrt(sum(parts))
    return Interval(difference, difference - half, difference + half)
