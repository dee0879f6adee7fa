"""Intervals for proportions, looked at once."""

import math
from statistics import NormalDist

from core.statistics.interval import Interval, alpha_of


def wilson_interval(successes: int, trials: int, *, confidence_level: float = 0.95) -> Interval:
    """Wilson's score interval for one proportion.

    Unlike the Wald interval it keeps its coverage for few trials and never leaves [0, 1].

    Args:
        successes: Units with the outcome, 0 ≤ successes ≤ trials.
        trials: Units exposed, at least 1.
        confidence_level: Two-sided, strictly between 0 and 1.

    Returns:
        Proportions in [0, 1], not percent. `estimate` is successes / trials.

    Raises:
        ValueError: An argument is out of its range.

    Source: Wilson (1927), JASA 22, 209-212; Newcombe (1998a), Stat. Med. 17, 857-872, method 3.
    """
    successes, trials = check_counts(successes, trials)
    return _score_interval(successes / trials, trials, z_of(confidence_level))


def item_rate_interval(
    mean: float, variance: float, n: int, *, repetitions: int = 1, confidence_level: float = 0.95
) -> Interval:
    """Wilson's interval for the mean of item means, each over repetitions that pass or fail.

    Its trials are those that would spread as much: from n, where repetitions tell nothing new, to n × repetitions.

    Args:
        mean, variance: Of the n item means; the variance with n − 1.
        n: Items, at least 1.

    Source: Korn & Graubard (1998), Surv. Methodol. 24, 193-201, effective sample size; Wilson (1927) for the interval.
    """
    trials = float(n)
    if variance > 0:
        trials = min(n * float(repetitions), max(trials, n * mean * (1 - mean) / variance))
    return _score_interval(mean, trials, z_of(confidence_level))


def _score_interval(p: float, trials: float, z: float) -> Interval:
    centre = p + z * z / (2 * trials)
    spread = z * math.sqrt(p * (1 - p) / trials + z * z / (4 * trials * trials))
    shrink = 1 + z * z / trials
    lower, upper = (centre - spread) / shrink, (centre + spread) / shrink
    # Rounding can put a bound 1e-17 on the wrong side of an estimate of 0 or 1.
    return Interval(p, min(p, max(0.0, lower)), max(p, min(1.0, upper)))


def difference_interval(
    control: tuple[int, int], treatment: tuple[int, int], *, confidence_level: float = 0.95
) -> Interval:
    """Newcombe's hybrid score interval for treatment − control. Both are (successes, trials).

    Valid for one look at a sample size fixed beforehand; for looks as one likes see `sequential`.

    Source: Newcombe (1998b), Stat. Med. 17, 873-890, method 10.
    """
    c = wilson_interval(*control, confidence_level=confidence_level)
    t = wilson_interval(*treatment, confidence_level=confidence_level)
    difference = t.estimate - c.estimate
    lower = difference - math.hypot(t.estimate - t.lower, c.upper - c.estimate)
    upper = difference + math.hypot(t.upper - t.estimate, c.estimate - c.lower)
    return Interval(difference, max(-1.0, lower), min(1.0, upper))


def z_of(confidence_level: float) -> float:
    """The standard normal quantile of a two-sided level."""
    return NormalDist().inv_cdf(1 - alpha_of(confidence_level) / 2)


def check_counts(successes: int, trials: int) -> tuple[int, int]:
    """The counts as whole numbers of Python's, which do not overflow. Raises: ValueError"""
    if successes != int(successes) or trials != int(trials):
        raise ValueError(f"successes == {successes}, trials == {trials}, must be whole numbers")
    successes, trials = int(successes), int(trials)
    if trials < 1:
        raise ValueError(f"trials == {trials}, must be >= 1")
    if not 0 <= successes <= trials:
        raise ValueError(f"successes == {successes}, must be in [0, {trials}]")
    return successes, trials
