"""A test that units fell on the variants as the weights say; valid however often one looks."""

import math
from collections.abc import Sequence

CONCENTRATION = 1000.0
ALARM_E_VALUE = 100.0  # at most one false alarm in a hundred experiments


def sample_ratio_test(counts: Sequence[int], weights: Sequence[float]) -> float:
    """p-value of Pearson's χ² for one look; looked at all the time it alarms falsely in every second experiment.

    Raises:
        ValueError: Lengths differ, or a weight is not positive.

    Source: Pearson (1900), Philosophical Magazine 50, 157-175.
    """
    from scipy.special import chdtrc  # at first use: scipy takes a sixth of a second to import

    _check(counts, weights)
    n, total = sum(counts), sum(weights)
    if not n:
        return 1.0
    expected = [n * weight / total for weight in weights]
    statistic = sum((count - e) ** 2 / e for count, e in zip(counts, expected, strict=True))
    return float(chdtrc(len(counts) - 1, statistic)) if len(counts) > 1 else 1.0


def sequential_sample_ratio(counts: Sequence[int], weights: Sequence[float]) -> float:
    """Log e-value against the split that `weights` promise; alarm when e ≥ 100.

    Source: Lindon and Malek (2022), arXiv:2011.03567: Dirichlet mixture around the promised split.

    Raises:
        ValueError: Lengths differ, or a weight is not positive.
    """
    _check(counts, weights)
    total, n = sum(weights), sum(counts)
    k = CONCENTRATION
    value = math.lgamma(k) - math.lgamma(k + n)
    for count, weight in zip(counts, weights, strict=True):
        share = weight / total
        value += math.lgamma(k * share + count) - math.lgamma(k * share) - count * math.log(share)
    return value


def is_mismatch(counts: Sequence[int], weights: Sequence[float]) -> bool:
    return sequential_sample_ratio(counts, weights) >= math.log(ALARM_E_VALUE)


def _check(counts: Sequence[int], weights: Sequence[float]) -> None:
    if len(counts) != len(weights) or not len(counts):
        raise ValueError(f"{len(counts)} counts and {len(weights)} weights, must be as many and at least one")
    if not all(0 < weight < math.inf for weight in weights) or min(counts) < 0:
        raise ValueError(f"counts == {list(counts)}, weights == {list(weights)}: weights must be > 0, counts >= 0")
