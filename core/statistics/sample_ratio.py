"""Whether units fell on the variants as the weights say; valid however often one looks."""

import math
from collections.abc import Sequence

CONCENTRATION = 1000.0
ALARM_E_VALUE = 100.0  # at most one false alarm in a hundred experiments


def sequential_sample_ratio(counts: Sequence[int], weights: Sequence[float]) -> float:
    """Log e-value against the split that `weights` promise; alarm when e ≥ 100.

    Source: Lindon and Malek (2022), arXiv:2011.03567: Dirichlet mixture around the promised split.

    Raises:
        ValueError: Lengths differ, or a weight is not positive.
    """
    if len(counts) != len(weights) or not counts:
        raise ValueError(f"{len(counts)} counts and {len(weights)} weights, must be as many and at least one")
    if min(weights) <= 0 or min(counts) < 0:
        raise ValueError(f"counts == {list(counts)}, weights == {list(weights)}: weights must be > 0, counts >= 0")
    total, n = sum(weights), sum(counts)
    k = CONCENTRATION
    value = math.lgamma(k) - math.lgamma(k + n)
    for count, weight in zip(counts, weights, strict=True):
        share = weight / total
        value += math.lgamma(k * share + count) - math.lgamma(k * share) - count * math.log(share)
    return value


def is_mismatch(counts: Sequence[int], weights: Sequence[float]) -> bool:
    return sequential_sample_ratio(counts, weights) >= math.log(ALARM_E_VALUE)
