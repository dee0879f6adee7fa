"""Agreement of raters, and what a judge's pass rate is worth once people have labelled a part of it. Pure."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.statistics.interval import Interval, alpha_of
from core.statistics.proportions import wilson_interval, z_of

Values = NDArray[np.float64]
Weights = Literal["linear", "quadratic"]
Level = Literal["nominal", "ordinal", "interval", "ratio"]
FEWEST_LABELS, FEWEST_OF_A_CLASS = 20, 5  # below which a judge is "not calibrated"


class Kappa(NamedTuple):
    """Agreement beyond chance, nan where one class alone was used; agreement: the share of equal labels.

    lower, upper: From the table with a quarter of a label added to each cell, which keeps its coverage.
    """

    value: float
    lower: float
    upper: float
    agreement: float


class PositionBias(NamedTuple):
    """A judge asked in both orders. A flip is a tie.

    first_share: Of the flips, those that preferred the answer shown first; None without flips. p_value: Against a half.
    first_position_rate: How often the answer shown first was preferred.
    """

    flip_rate: float
    first_share: Interval | None
    p_value: float
    first_position_rate: float


def kappa(table: Sequence[Sequence[float]], *, weights: Weights | None = None, confidence_level: float = 0.95) -> Kappa:
    """Cohen's kappa of a square table of counts, row = the one rater's label, column = the other's.

    weights: For ordered labels: how much a distance counts. None = every difference is the same.

    Raises:
        ValueError: The table is not square, or empty.

    Source: Cohen (1960, 1968); Fleiss, Cohen & Everitt (1969), Psychol. Bull. 72, 323-327 for the standard error.
    """
    from scipy.special import stdtrit

    counts = np.asarray(table, dtype=float)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or counts.sum() <= 0 or (counts < 0).any():
        raise ValueError(f"the table has the shape {counts.shape}, must be square, of counts, and not empty")
    agreeing = _weights(len(counts), weights)
    n = float(counts.sum())
    value, _ = _kappa(counts, agreeing)
    smoothed, error = _kappa(counts + 1 / len(counts) ** 2, agreeing)
    half = float(stdtrit(max(1.0, n - 1), 1 - alpha_of(confidence_level) / 2)) * error
    bounds = max(-1.0, smoothed - half), min(1.0, smoothed + half)
    return Kappa(value, *bounds, float(np.trace(counts)) / n)


def kappa_standard_error(table: Sequence[Sequence[float]], *, weights: Weights | None = None) -> float:
    """The standard error of Fleiss, Cohen and Everitt, of the table as it is."""
    counts = np.asarray(table, dtype=float)
    return _kappa(counts, _weights(len(counts), weights))[1]


def _weights(k: int, weights: Weights | None) -> Values:
    distance = np.abs(np.subtract.outer(np.arange(k), np.arange(k))) / max(1, k - 1)
    if weights is None:
        return np.eye(k)
    found: Values = 1 - (distance if weights == "linear" else distance**2)
    return found


def _kappa(counts: Values, agreeing: Values) -> tuple[float, float]:
    n = counts.sum()
    shares = counts / n
    rows, columns = shares.sum(1), shares.sum(0)
    observed, chance = float((agreeing * shares).sum()), float(rows @ agreeing @ columns)
    if chance >= 1:
        return math.nan, math.nan
    value = (observed - chance) / (1 - chance)
    spread = agreeing - np.add.outer(agreeing @ columns, rows @ agreeing) * (1 - value)
    variance = ((shares * spread**2).sum() - (value - chance * (1 - value)) ** 2) / (1 - chance) ** 2 / n
    return value, math.sqrt(max(0.0, float(variance)))


def krippendorff_alpha(raters: Sequence[Sequence[float | None]], *, level: Level = "nominal") -> float:
    """Krippendorff's alpha of any number of raters; None = no label. nan where nothing can be compared.

    Args:
        raters: One row a rater, one column an item.
        level: How far two labels are apart; ordinal labels are numbers in their order.

    Source: Krippendorff (2011), Computing Krippendorff's alpha-reliability.
    """
    items = [[float(label) for label in item if label is not None] for item in zip(*raters, strict=True)]
    items = [item for item in items if len(item) > 1]
    values = sorted({label for item in items for label in item})
    if len(values) < 2:
        return math.nan
    place = {value: index for index, value in enumerate(values)}
    pairs = np.zeros((len(values), len(values)))
    for item in items:
        counts = np.bincount([place[label] for label in item], minlength=len(values)).astype(float)
        pairs += (np.outer(counts, counts) - np.diag(counts)) / (len(item) - 1)
    totals = pairs.sum(1)
    n, distance = totals.sum(), _distance(np.array(values), totals, level)
    expected = (np.outer(totals, totals) * distance).sum() / (n - 1)
    return float(1 - (pairs * distance).sum() / expected) if expected else math.nan


def _distance(values: Values, totals: Values, level: Level) -> Values:
    if level == "nominal":
        return 1 - np.eye(len(values))
    if level == "ordinal":
        middle = np.cumsum(totals) - totals / 2
        found: Values = np.subtract.outer(middle, middle) ** 2
        return found
    difference = np.subtract.outer(values, values)
    if level == "ratio":
        with np.errstate(invalid="ignore", divide="ignore"):
            difference = np.nan_to_num(difference / np.add.outer(values, values))
    squared: Values = difference**2
    return squared


def corrected_pass_rate(
    human: Sequence[float],
    judge_on_human: Sequence[float],
    judge_on_rest: Sequence[float],
    *,
    confidence_level: float = 0.95,
) -> Interval:
    """The true pass rate of all items, from a judge on all and people on a random part.

    Prediction-powered, its weight tuned, with four pseudo labels (two passes, two fails, the judge at its mean) that
    keep the coverage where nearly all pass. The labelled part must be chosen without looking at the judge.

    Raises:
        ValueError: The labelled sides differ in length, or are empty.

    Source: Angelopoulos, Duchi, Zrnic (2023), arXiv:2311.01453; the pseudo labels are ours: measured lowest coverage
        95.1 % in 27 settings of 50 labels, bias −0.01 to −0.02.
    """
    from scipy.special import stdtrit

    h, j, rest = (np.asarray(each, dtype=float) for each in (human, judge_on_human, judge_on_rest))
    m, unlabelled = len(h), len(rest)
    if m != len(j) or m < 1:
        raise ValueError(f"{m} labels and {len(j)} of the judge: must be as many, and at least one")
    variance = float(j.var(ddof=1)) if m > 1 else 0.0
    weight = 0.0
    if variance > 0 and unlabelled > 1:
        weight = min(1.0, max(0.0, float(np.cov(h, j)[0, 1]) / (variance * (1 + m / unlabelled))))
    mean = float(j.mean())
    pseudo = [1 - weight * mean, 1 - weight * mean, -weight * mean, -weight * mean]
    rectified = np.concatenate([h - weight * j, pseudo])
    estimate = (weight * float(rest.mean()) if unlabelled else 0.0) + float(rectified.mean())
    spread = float(rectified.var(ddof=1)) / (m + 4)
    spread += weight**2 * float(rest.var(ddof=1)) / unlabelled if unlabelled > 1 else 0.0
    half = float(stdtrit(m + 3, 1 - alpha_of(confidence_level) / 2)) * math.sqrt(spread)
    estimate = min(1.0, max(0.0, estimate))
    return Interval(estimate, max(0.0, estimate - half), min(1.0, estimate + half))


def rogan_gladen(  # noqa: PLR0913 - three counts out of three
    judge_pass: int,
    n_judged: int,
    true_pass: int,
    human_pass: int,
    true_fail: int,
    human_fail: int,
    *,
    confidence_level: float = 0.95,
) -> Interval:
    """The true pass rate from a judge's; its sensitivity is true_pass / human_pass, its specificity the same of fails.

    Raises:
        ValueError: The judge does no better than chance, so that nothing follows from it.

    Source: Rogan & Gladen (1978), Am. J. Epidemiol. 107, 71-76; the interval by Lang & Reiczigel (2014), Prev. Vet.
        Med. 113, 13-22.
    """
    z = z_of(confidence_level)
    n, n1, n0 = n_judged + z * z, human_pass + 2.0, human_fail + 2.0
    p, sensitivity, specificity = (judge_pass + z * z / 2) / n, (true_pass + 1) / n1, (true_fail + 1) / n0
    youden = sensitivity + specificity - 1
    if youden <= 0:
        raise ValueError(f"sensitivity + specificity == {youden + 1:.3f}, must be above 1")
    rate = (p + specificity - 1) / youden
    spread_1, spread_0 = sensitivity * (1 - sensitivity) / n1, specificity * (1 - specificity) / n0
    shift = 2 * z * z * (rate * spread_1 - (1 - rate) * spread_0)
    half = z * math.sqrt(p * (1 - p) / n + rate**2 * spread_1 + (1 - rate) ** 2 * spread_0) / youden
    point, lower, upper = (min(1.0, max(0.0, each)) for each in (rate, rate + shift - half, rate + shift + half))
    return Interval(point, min(point, lower), max(point, upper))


def position_bias(flip_first: int, flip_second: int, consistent: int) -> PositionBias:
    """The preference of a judge for a place.

    Args:
        flip_first: Pairs in which it preferred the answer shown first, both times.
        flip_second: Pairs in which it preferred the one shown second, both times.
        consistent: Pairs in which it preferred the same answer in both orders.

    Raises:
        ValueError: There is no pair.
    """
    from scipy.stats import binomtest

    flips, n = flip_first + flip_second, flip_first + flip_second + consistent
    if n < 1 or min(flip_first, flip_second, consistent) < 0:
        raise ValueError(f"{n} pairs, must be at least one, of counts >= 0")
    share = wilson_interval(flip_first, flips) if flips else None
    p_value = float(binomtest(flip_first, flips).pvalue) if flips else 1.0
    return PositionBias(flips / n, share, p_value, 0.5 + (flip_first - flip_second) / (2 * n))
