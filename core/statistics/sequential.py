"""Intervals for differences that hold at every look, however often one looks.

A normal-mixture confidence sequence with a standard error that is guarded against small arms and rare outcomes.
Source: Robbins (1970), Ann. Math. Stat. 41; Howard, Ramdas, McAuliffe, Sekhon (2021), Ann. Stat. 49;
Waudby-Smith et al., arXiv:2103.06476, eq. 9.
"""

import math

from core.statistics.interval import Interval
from core.statistics.proportions import check_counts

MIN_PER_SIDE = 30
TUNED_FOR = 1000  # observations at which the interval is tightest
_TUNED_LEVEL = 0.95


def proportion_difference(
    control: tuple[int, int], treatment: tuple[int, int], *, confidence_level: float = 0.95
) -> Interval:
    """Treatment − control of two proportions, each (successes, trials); infinite before 30 a side.

    Raises:
        ValueError: An argument is out of its range.
    """
    check_counts(*control)
    check_counts(*treatment)
    (s_a, n_a), (s_b, n_b) = control, treatment
    p_a, p_b = s_a / n_a, s_b / n_b
    variances = [p * (1 - p) * n / (n - 1) if n > 1 else 0.0 for p, n in ((p_a, n_a), (p_b, n_b))]
    # One success added to each side keeps an arm that has seen none (or nothing else) from claiming certainty.
    shrunk = [(s + 1) / (n + 2) for s, n in (control, treatment)]
    smoothed = sum(p * (1 - p) / n for p, n in zip(shrunk, (n_a, n_b), strict=True))
    se2 = max(_guarded(variances, (n_a, n_b)), smoothed)
    return _interval(p_b - p_a, se2, (n_a, n_b), confidence_level)


def mean_difference(
    control: tuple[int, float, float], treatment: tuple[int, float, float], *, confidence_level: float = 0.95
) -> Interval:
    """Treatment − control of two means, each (n, mean, variance with n − 1); infinite before 30 a side."""
    (n_a, mean_a, var_a), (n_b, mean_b, var_b) = control, treatment
    if min(n_a, n_b) < 1 or min(var_a, var_b) < 0:
        raise ValueError(f"control == {control}, treatment == {treatment}: n must be >= 1 and variance >= 0")
    return _interval(mean_b - mean_a, _guarded((var_a, var_b), (n_a, n_b)), (n_a, n_b), confidence_level)


def _guarded(variances: "list[float] | tuple[float, float]", n: tuple[int, int]) -> float:
    """The larger of Welch's and the pooled squared standard error: the pooled one protects the small arm."""
    welch = variances[0] / n[0] + variances[1] / n[1]
    freedom = n[0] + n[1] - 2
    if freedom < 1:
        return welch
    pooled = ((n[0] - 1) * variances[0] + (n[1] - 1) * variances[1]) / freedom
    return max(welch, pooled * (1 / n[0] + 1 / n[1]))


def _interval(difference: float, se2: float, n: tuple[int, int], confidence_level: float) -> Interval:
    if not 0 < confidence_level < 1:
        raise ValueError(f"confidence_level == {confidence_level}, must be in (0, 1)")
    if min(n) < MIN_PER_SIDE:
        return Interval(difference, -math.inf, math.inf)
    alpha = 1 - confidence_level
    load = (n[0] + n[1]) * _rho2()
    half = math.sqrt(se2 * (1 + 1 / load) * (2 * math.log(1 / alpha) + math.log1p(load)))
    return Interval(difference, difference - half, difference + half)


def _rho2() -> float:
    """(−W₋₁(−α²/e) − 1) / TUNED_FOR, the mixture's scale; W by fixed-point iteration of w = x − ln(w)."""
    alpha = 1 - _TUNED_LEVEL
    x = 1 - 2 * math.log(alpha)  # solves w − ln w = x, with w = −W₋₁(−α²/e)
    w = x
    for _ in range(60):
        w = x + math.log(w)
    return (w - 1) / TUNED_FOR
