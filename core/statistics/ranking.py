"""Ratings of contestants from wins, losses and ties of their pairs. Pure."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.statistics.proportions import z_of

Values = NDArray[np.float64]
CENTRE, POINTS = 1000.0, 400 / math.log(10)
FEW_VOTES = 20  # a contestant, below which the wider of two intervals is taken


class Ranking(NamedTuple):
    """Ratings around 1,000, with 400 points for odds of 10 to 1, in the order of the table."""

    ratings: list[float]
    lower: list[float]
    upper: list[float]


def bradley_terry(
    wins: Sequence[Sequence[float]],
    ties: Sequence[Sequence[float]] | None = None,
    *,
    ridge: float = 0.5,
    confidence_level: float = 0.95,
) -> Ranking:
    """Bradley–Terry ratings; a tie is half a win for each.

    Args:
        wins: wins[i][j] = how often i won against j.
        ties: The same for ties, symmetric; None = there are none.
        ridge: Weight of the prior that all are equal, which an unbeaten contestant needs.

    Raises:
        ValueError: The table is not square, or pairs do not connect all contestants, so that they cannot be compared.

    Source: Bradley & Terry (1952), Biometrika 39, 324-345; sandwich variance: White (1982), Econometrica 50, 1-25.
    """
    won, tied = np.asarray(wins, dtype=float), np.zeros_like(np.asarray(wins, dtype=float))
    if ties is not None:
        tied = np.asarray(ties, dtype=float)
    k = len(won)
    if won.shape != (k, k) or tied.shape != (k, k) or k < 2 or (won < 0).any():
        raise ValueError(f"the tables have the shapes {won.shape} and {tied.shape}, must be square, of two or more")
    if len(components(won + won.T + tied)) > 1:
        raise ValueError("the contestants cannot be compared: no pairs connect all of them")
    halves = won + tied / 2
    total = halves + halves.T
    theta = _fitted(halves, total, ridge)
    chance = 1 / (1 + np.exp(np.subtract.outer(-theta, -theta)))
    hessian = _laplacian(total * chance * (1 - chance)) + ridge * np.eye(k)
    residuals = won * (1 - chance) ** 2 + won.T * chance**2 + tied * (0.5 - chance) ** 2
    inverse = np.linalg.pinv(hessian)
    centred = np.eye(k) - 1 / k  # ratings are told around their mean
    sandwich = np.diag(centred @ inverse @ _laplacian(residuals) @ inverse @ centred)
    laplace = np.diag(centred @ inverse @ centred)
    is_few = total.sum(1) < FEW_VOTES
    half = z_of(confidence_level) * POINTS * np.sqrt(np.where(is_few, np.maximum(sandwich, laplace), sandwich))
    ratings = CENTRE + POINTS * theta
    return Ranking(ratings.tolist(), (ratings - half).tolist(), (ratings + half).tolist())


def _fitted(halves: Values, total: Values, ridge: float) -> Values:
    k = len(halves)
    theta: Values = np.zeros(k)
    for _ in range(100):
        chance = 1 / (1 + np.exp(np.subtract.outer(-theta, -theta)))
        gradient = (halves - total * chance).sum(1) - ridge * theta
        hessian = _laplacian(total * chance * (1 - chance)) + (ridge + 1e-12) * np.eye(k)
        step = np.linalg.lstsq(hessian, gradient, rcond=None)[0]
        theta = theta + step / max(1.0, float(np.abs(step).max()))  # never more than one logit at once
        theta -= theta.mean()
        if np.abs(step).max() < 1e-10:
            return theta
    raise ValueError("the ratings do not converge: a contestant won or lost everything; a ridge above 0 settles them")


def _laplacian(weights: Values) -> Values:
    found: Values = np.diag(weights.sum(1)) - weights
    return found


def components(pairs: Values) -> list[list[int]]:
    """The groups of contestants that pairs connect."""
    left, found = set(range(len(pairs))), []
    while left:
        group, edge = set(), {min(left)}
        while edge:
            group |= edge
            edge = {int(j) for i in edge for j in np.flatnonzero(pairs[i])} - group
        found.append(sorted(group))
        left -= group
    return found
