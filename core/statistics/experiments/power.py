"""Sample sizes: the observations that an effect needs, and the effect that a number of them can show."""

import math
from statistics import NormalDist

from core.statistics.interval import alpha_of
from core.statistics.sequential import MIN_PER_SIDE, Difference

_NORMAL = NormalDist()
LARGEST = 10**12


def required_sample_size(baseline: float, effect: float, *, power: float = 0.8, significance: float = 0.05) -> int:
    """Observations a side that show a difference of two proportions at one planned look.

    Args:
        baseline: The control's proportion, in [0, 1].
        effect: treatment − control, not 0, with baseline + effect in [0, 1].
        power: Chance to show it if it is there.
        significance: Two-sided error if it is not.

    Raises:
        ValueError: An argument is out of its range.

    Source: Fleiss, Levin, Paik (2003), Statistical Methods for Rates and Proportions, ch. 4, with unpooled variances
    and without a continuity correction.
    """
    if not 0 <= baseline <= 1 or not 0 <= baseline + effect <= 1:
        raise ValueError(f"baseline == {baseline}, effect == {effect}: both proportions must be in [0, 1]")
    return fixed_sample_size(spread_of(baseline, effect), effect, power=power, significance=significance)


def spread_of(baseline: float, effect: float) -> float:
    """The two variances of proportions, summed."""
    other = baseline + effect
    return max(baseline * (1 - baseline) + other * (1 - other), 1e-12)


def fixed_sample_size(spread: float, effect: float, *, power: float = 0.8, significance: float = 0.05) -> int:
    """Observations a side for one planned look. spread: the two sides' variances, summed.

    Raises:
        ValueError: An argument is out of its range.
    """
    _check(spread, effect, power)
    z = _NORMAL.inv_cdf(1 - alpha_of(1 - significance) / 2) + _NORMAL.inv_cdf(power)
    return min(LARGEST, max(2, math.ceil(z * z * spread / (effect * effect) - 1e-9)))


def sequential_sample_size(
    spread: float, effect: float, *, power: float = 0.8, significance: float = 0.05, tuned_for: int = 1000
) -> int:
    """Observations a side after which the interval that holds at every look has shown the effect with this power.

    Conservative: it counts what the last look shows, and earlier looks may have shown it already.

    Raises:
        ValueError: An argument is out of its range.
    """
    _check(spread, effect, power)
    low, high = MIN_PER_SIDE - 1, MIN_PER_SIDE
    while _power_at(high, spread, effect, significance, tuned_for) < power:
        low, high = high, high * 2
        if high > LARGEST:
            return LARGEST
    while high - low > 1:
        middle = (low + high) // 2
        if _power_at(middle, spread, effect, significance, tuned_for) < power:
            low = middle
        else:
            high = middle
    return high


def detectable_effect(
    spread: float, n: int, *, power: float = 0.8, significance: float = 0.05, tuned_for: int | None = None
) -> float:
    """The smallest difference that n observations a side show: at one look, or with `tuned_for` at every look.

    Raises:
        ValueError: An argument is out of its range.
    """
    if n < 2:
        raise ValueError(f"n == {n}, must be >= 2")
    _check(spread, 1.0, power)
    error = math.sqrt(spread / n)
    if tuned_for is None:
        return error * (_NORMAL.inv_cdf(1 - alpha_of(1 - significance) / 2) + _NORMAL.inv_cdf(power))
    if n < MIN_PER_SIDE:
        return math.inf
    half = Difference(0.0, error * error, 2 * n, n).interval(confidence_level=1 - significance, tuned_for=tuned_for)
    return half.upper + error * _NORMAL.inv_cdf(power)


def _power_at(n: int, spread: float, effect: float, significance: float, tuned_for: int) -> float:
    error = math.sqrt(spread / n)
    half = Difference(0.0, error * error, 2 * n, n).interval(confidence_level=1 - significance, tuned_for=tuned_for)
    shown = abs(effect) / error - half.upper / error
    return _NORMAL.cdf(shown) + _NORMAL.cdf(-half.upper / error - abs(effect) / error)


def _check(spread: float, effect: float, power: float) -> None:
    if not 0 < spread < math.inf or effect == 0 or not math.isfinite(effect) or not 0 < power < 1:
        raise ValueError(f"spread == {spread}, effect == {effect}, power == {power}: out of range")
