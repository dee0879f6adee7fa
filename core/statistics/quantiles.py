"""Quantiles that hold at every look, from counts in bins: a latency's p95 and the ratio of two of them.

At the true q-quantile the number of observations below it is binomial with share q. A beta mixture of likelihoods
against that share is evidence that holds at every look; the values against which it stays below 1/α are the interval.
Source: Howard and Ramdas (2022), Bernoulli 28, arXiv:1906.09712.
"""

import math

import numpy as np
from numpy.typing import NDArray

from core.statistics.interval import Interval, alpha_of

Counts = NDArray[np.int64]
Values = NDArray[np.float64]
CONCENTRATION = 20.0  # of the beta mixture around q: tightest at some hundred observations for q = 0.95


def quantile_interval(counts: Counts, edges: Values, q: float, *, confidence_level: float = 0.95) -> Interval:
    """The q-quantile of one sample.

    Args:
        counts: Observations in each bin, shape (bins,).
        edges: The bins' borders, ascending, shape (bins + 1,).
        q: The share below, strictly between 0 and 1.
        confidence_level: Two-sided, strictly between 0 and 1.

    Returns:
        In the unit of the edges; the estimate is the geometric middle of its bin. A bound that the data cannot carry
        yet is 0 or infinite.

    Raises:
        ValueError: Shapes do not fit, or a share is out of its range.
    """
    evidence = _evidence(counts, edges, q)
    refused = evidence >= -math.log(alpha_of(confidence_level))
    below = np.concatenate([[0], np.cumsum(counts)]) / max(1, counts.sum())
    lower = edges[refused & (below < q)]
    upper = edges[refused & (below > q)]
    low, high = float(lower[-1]) if lower.size else 0.0, float(upper[0]) if upper.size else math.inf
    return Interval(quantile(counts, edges, q), low, high)


def quantile_ratio(
    control: Counts, treatment: Counts, edges: Values, q: float, *, confidence_level: float = 0.95
) -> Interval:
    """q-quantile of the treatment over that of the control; edges must be log-spaced. Infinite or 0: cannot be told.

    A ratio is refused if, whatever the control's quantile is, both samples together speak against it.
    """
    a, b = _evidence(control, edges, q), _evidence(treatment, edges, q)
    limit = -math.log(alpha_of(confidence_level))
    estimate = quantile(treatment, edges, q) / quantile(control, edges, q)
    step = math.log(edges[-1] / edges[0]) / (len(edges) - 1)
    kept_a, kept_b = np.flatnonzero(a < limit), np.flatnonzero(b < limit)
    if not kept_a.size or not kept_b.size:
        return Interval(estimate, 0.0, math.inf)
    together = a[kept_a][:, None] + b[kept_b][None, :]
    shifts = (kept_b[None, :] - kept_a[:, None])[together < limit]
    # The values between two edges are possible too: one bin more on each side. At the ends nothing is known.
    ends = len(edges) - 1
    lower = 0.0 if kept_b[0] == 0 or kept_a[-1] == ends else math.exp(step * (shifts.min() - 1))
    upper = math.inf if kept_b[-1] == ends or kept_a[0] == 0 else math.exp(step * (shifts.max() + 1))
    return Interval(estimate, lower, upper)


def quantile(counts: Counts, edges: Values, q: float) -> float:
    """The geometric middle of the bin in which the q-quantile lies; nan without observations."""
    total = int(counts.sum())
    if not total:
        return math.nan
    at = int(np.searchsorted(np.cumsum(counts), max(q * total, 0.5)))
    return float(math.sqrt(edges[at] * edges[at + 1]))


def _evidence(counts: Counts, edges: Values, q: float) -> Values:
    """At each edge, the log e-value against its being the q-quantile."""
    if len(edges) != len(counts) + 1 or not 0 < q < 1:
        raise ValueError(f"{len(counts)} counts, {len(edges)} edges, q == {q}: one edge more than counts, q in (0, 1)")
    below = np.concatenate([[0], np.cumsum(counts)])
    n = below[-1]
    a, b = CONCENTRATION * q, CONCENTRATION * (1 - q)
    # The evidence changes only where the count does.
    distinct, where = np.unique(below, return_inverse=True)
    prior = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    values = [
        math.lgamma(a + s) + math.lgamma(b + n - s) - math.lgamma(a + b + n) - prior
        - s * math.log(q) - (n - s) * math.log1p(-q)
        for s in distinct.tolist()
    ]  # fmt: skip
    return np.array(values)[where]
