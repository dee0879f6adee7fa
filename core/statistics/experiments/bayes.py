"""The Bayesian view: how likely each variant is to be the best, and what choosing it wrongly would cost.

It answers for one look at the data. Stopping when a probability passes a threshold makes false winners likely (a
probability of 95 %, looked at all the time: two experiments of three without any difference); claims therefore come
from `sequential`.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.statistics.means import Sample
from core.statistics.proportions import check_counts

N_NODES = 2001


class Belief(NamedTuple):
    """One variant.

    probability_best: In [0, 1].
    expected_loss: The average loss from choosing it, in the metric's unit.
    """

    probability_best: float
    expected_loss: float


def of_proportions(counts: Sequence[tuple[int, int]]) -> list[Belief]:
    """From (successes, trials) of each variant, each with a uniform prior: Beta(1 + successes, 1 + failures).

    Raises:
        ValueError: Counts are impossible.

    Source: Gelman et al. (2013), Bayesian Data Analysis, 3rd ed., section 2.4; integrals by the trapezoidal rule.
    """
    for successes, trials in counts:
        check_counts(successes, trials)
    shapes = [(1 + s, 1 + n - s) for s, n in counts]
    means = [a / (a + b) for a, b in shapes]
    spreads = [math.sqrt(a * b / (a + b) ** 2 / (a + b + 1)) for a, b in shapes]
    grid = _grid(means, spreads, 0.0, 1.0)
    inner = np.clip(grid, 1e-300, 1 - 1e-16)
    log_densities = [(a - 1) * np.log(inner) + (b - 1) * np.log1p(-inner) for a, b in shapes]
    return _beliefs(grid, log_densities, True)


def of_means(samples: Sequence[Sample], *, larger_is_better: bool = True) -> list[Belief]:
    """From a sample a variant, each mean normal around what was seen with its standard error (flat prior)."""
    errors = [max(math.sqrt(s.variance / s.n), 1e-12 * max(1.0, abs(s.mean))) for s in samples]
    grid = _grid([s.mean for s in samples], errors, -math.inf, math.inf)
    log_densities = [-(((grid - s.mean) / error) ** 2) / 2 for s, error in zip(samples, errors, strict=True)]
    return _beliefs(grid, log_densities, larger_is_better)


def _grid(means: Sequence[float], spreads: Sequence[float], lowest: float, highest: float) -> NDArray[np.float64]:
    """Nodes where the densities are: around each mean, as dense as its spread asks for."""
    steps = np.linspace(-9, 9, N_NODES)
    nodes = np.concatenate([mean + spread * steps for mean, spread in zip(means, spreads, strict=True)])
    inside: NDArray[np.float64] = np.unique(np.clip(nodes, lowest, highest))
    return inside


def _beliefs(
    grid: NDArray[np.float64], log_densities: Sequence[NDArray[np.float64]], larger_is_better: bool
) -> list[Belief]:
    widths = np.diff(grid)
    densities, below = [], []
    for log_density in log_densities:
        density = np.exp(log_density - log_density.max())
        cumulative = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2 * widths)])
        densities.append(density / cumulative[-1])
        share = cumulative / cumulative[-1]
        below.append(share if larger_is_better else 1 - share)
    # The best one's distribution is the product of all; the mean of the best less one's own mean is one's loss.
    best = np.prod(below, axis=0)
    found = []
    for at, density in enumerate(densities):
        others = np.prod([share for other, share in enumerate(below) if other != at], axis=0)
        chance = float(np.trapezoid(density * others, grid))
        # E[max] − E[own] = ∫ (F_own − F_max); for the smallest, with the tails.
        loss = float(np.trapezoid(below[at] - best, grid))
        found.append(Belief(min(1.0, chance), max(0.0, loss)))
    return found
