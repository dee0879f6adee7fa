"""Two runs on the same items: tests, intervals and what a run could have seen. Pure.

The unit is the item: repetitions are averaged within it first, since they are no independent pairs. Differences are
candidate − baseline, higher is better; "worse" is one-sided. What costs (dollars, latency) is handed in negated.
"""

import math
import warnings
from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache
from itertools import product
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.statistics.interval import Interval, alpha_of
from core.statistics.proportions import z_of

Values = NDArray[np.float64]
MOST_ENUMERATED = 500  # items that differ, up to which the power is enumerated
RESAMPLES = 2000
FEWEST_DIFFERING = 10  # items that differ, below which a t test claims nothing
_NORMAL = NormalDist()


class McNemar(NamedTuple):
    """P values of McNemar's test. mid_p is the figure to show; exact is for where 5 % must never be exceeded."""

    exact: float
    mid_p: float
    exact_worse: float
    mid_p_worse: float


class Test(NamedTuple):
    """A statistic with its two-sided p value, and the one-sided one for "the candidate is worse"."""

    statistic: float
    p_value: float
    p_worse: float


class ItemMeans(NamedTuple):
    """The mean over items, each weighing the same, and its standard error."""

    mean: float
    standard_error: float
    n: int


def _above(k: Any, n: Any, p: Any) -> Any:
    """The chance of more than k among n. scipy.stats says the same, and takes a second to import."""
    from scipy.special import bdtrc

    return np.where(k < 0, 1.0, np.where(k >= n, 0.0, bdtrc(np.clip(k, 0, n), n, p)))


def _at(k: Any, n: Any, p: Any) -> Any:
    """The chance of exactly k among n."""
    from scipy.special import gammaln, xlog1py, xlogy

    k_in = np.clip(k, 0, n)
    ways = gammaln(n + 1) - gammaln(k_in + 1) - gammaln(n - k_in + 1)
    return np.where(k == k_in, np.exp(ways + xlogy(k_in, p) + xlog1py(n - k_in, -p)), 0.0)


def mcnemar(only_baseline: int, only_candidate: int) -> McNemar:
    """McNemar's test of pass or fail with one repetition, from the items that only one side passed.

    Source: McNemar (1947); mid-p by Fagerland, Lydersen, Laake (2013), BMC Med. Res. Methodol. 13:91.
    """
    _check_pair(only_baseline, only_candidate)
    n, fewer = only_baseline + only_candidate, min(only_baseline, only_candidate)
    if n == 0:
        return McNemar(1.0, 1.0, 1.0, 1.0)
    tail, point = float(_above(n - fewer - 1, n, 0.5)), float(_at(fewer, n, 0.5))
    worse, at = float(_above(only_baseline - 1, n, 0.5)), float(_at(only_baseline, n, 0.5))
    return McNemar(min(1.0, 2 * tail), min(1.0, 2 * tail - point), worse, worse - at / 2)


def difference_interval(only_baseline: int, only_candidate: int, n: int, *, confidence_level: float = 0.95) -> Interval:
    """Tango's score interval for the difference of two paired pass rates. Never of zero width.

    Args:
        only_baseline: Items that only the baseline passed.
        only_candidate: Items that only the candidate passed.
        n: All items.
        confidence_level: Two-sided, strictly between 0 and 1.

    Raises:
        ValueError: An argument is out of its range.

    Source: Tango (1998), Stat. Med. 17, 891-908.
    """
    _check_pair(only_baseline, only_candidate)
    if n < 1 or only_baseline + only_candidate > n:
        raise ValueError(f"n == {n}, must be >= 1 and hold {only_baseline} + {only_candidate} items")
    z = z_of(confidence_level)
    estimate = (only_candidate - only_baseline) / n

    def is_inside(delta: float) -> bool:
        b = (2 * n - only_candidate + only_baseline) * delta - only_candidate - only_baseline
        c = -only_baseline * delta * (1 - delta)
        lost = (math.sqrt(max(0.0, b * b - 8 * n * c)) - b) / (4 * n)
        variance = n * (2 * lost + delta * (1 - delta))
        return (only_candidate - only_baseline - n * delta) ** 2 <= z * z * max(variance, 0.0)

    return Interval(estimate, _border(is_inside, estimate, -1.0), _border(is_inside, estimate, 1.0))


def _border(is_inside: Callable[[float], bool], inside: float, outside: float, *, steps: int = 60) -> float:
    """The last value that is inside, on the way from one that is to the end of the range."""
    if is_inside(outside):
        return outside
    for _ in range(steps):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if is_inside(middle) else (inside, middle)
    return inside


def paired_t(baseline: Sequence[float], candidate: Sequence[float]) -> Test:
    """Student's paired t test on item means. With no difference anywhere both p values are 1.

    Raises:
        ValueError: The sides differ in length, hold fewer than two items, or a value is not finite.

    Source: Student (1908), Biometrika 6, 1-25.
    """
    from scipy.special import stdtr

    mean, error, n = _item_means(_differences(baseline, candidate))
    if n < 2:
        raise ValueError(f"n == {n}, must be >= 2")
    if error == 0:
        return Test(math.copysign(math.inf, mean), 0.0, float(mean > 0)) if mean else Test(0.0, 1.0, 1.0)
    t = mean / error
    return Test(t, 2 * float(stdtr(n - 1, -abs(t))), float(stdtr(n - 1, t)))


def by_item(items: Sequence[Hashable], differences: Sequence[float]) -> ItemMeans:
    """The mean of repeated differences, averaged within each item first, and its standard error over items.

    Raises:
        ValueError: The two differ in length, or there is none.
    """
    if len(items) != len(differences) or not items:
        raise ValueError(f"{len(items)} items, {len(differences)} differences: must be as many, and at least one")
    grouped: dict[Hashable, list[float]] = {}
    for item, difference in zip(items, differences, strict=True):
        grouped.setdefault(item, []).append(difference)
    return _item_means(np.array([math.fsum(group) / len(group) for group in grouped.values()]))


def mean_difference(
    baseline: Sequence[float],
    candidate: Sequence[float],
    *,
    confidence_level: float = 0.95,
    repetitions: int = 1,
    scale: float | None = None,
) -> Interval:
    """The t interval for the mean difference of item means; where few items differ, the plus interval.

    Below ten items that differ the t interval is too short, down to no width at all. The plus interval appends two
    pseudo items, one better and one worse by scale / √repetitions.

    Args:
        baseline: One mean an item.
        candidate: The same items in the same order.
        confidence_level: Two-sided, strictly between 0 and 1.
        repetitions: Answers averaged in an item.
        scale: The largest difference an item can show. None: 1 where all values are in [0, 1]; for others (dollars,
            milliseconds) the range of the values, and then only where most items do not differ at all.

    Raises:
        ValueError: As `paired_t`, or there is no item.

    Source: Agresti & Min (2005), Stat. Med. 24, 729-740 for the pseudo items; coverage in benchmarks/README.md.
    """
    from scipy.special import stdtrit

    differences = _differences(baseline, candidate)
    estimate, error, n = _item_means(differences)
    if pseudo := _pseudo(differences, np.concatenate([baseline, candidate]), repetitions, scale):
        mean, error, n = _item_means(np.concatenate([differences, [pseudo, -pseudo]]))
    else:
        mean = estimate
    if n < 2 or error == 0:
        return Interval(estimate, -math.inf, math.inf)
    half = float(stdtrit(n - 1, 1 - alpha_of(confidence_level) / 2)) * error
    return Interval(estimate, mean - half, mean + half)


def wilcoxon(baseline: Sequence[float], candidate: Sequence[float]) -> Test:
    """Wilcoxon's signed ranks: of the typical item, a second view. It tests symmetry, not the mean, and makes no gate.

    Raises:
        ValueError: As `paired_t`.

    Source: Wilcoxon (1945), Biometrics Bull. 1, 80-83.
    """
    from scipy import stats

    differences = _differences(baseline, candidate)
    if not differences.any():
        return Test(0.0, 1.0, 1.0)
    two, less = (stats.wilcoxon(differences, alternative=side) for side in ("two-sided", "less"))
    return Test(float(less.statistic), float(two.pvalue), float(less.pvalue))


def bootstrap_interval(
    baseline: Sequence[float],
    candidate: Sequence[float],
    statistic: Callable[[Values, Values], float],
    *,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """The BCa bootstrap interval of any statistic of paired items, such as a ratio of costs or of quantiles.

    For showing, with 200 items or more; below, and with heavy tails, it is too short. Infinite where it is not defined.

    Source: Efron (1987), J. Am. Statist. Assoc. 82, 171-185.
    """
    from scipy import stats

    _differences(baseline, candidate)
    sides: list[Values] = [np.asarray(side, dtype=float) for side in (baseline, candidate)]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of data without spread, which the answer says
        estimate = float(statistic(*sides))
        found = stats.bootstrap(
            sides, statistic, paired=True, vectorized=False, n_resamples=RESAMPLES, confidence_level=confidence_level,
            method="BCa", rng=np.random.default_rng(seed),
        ).confidence_interval  # fmt: skip
    if not (math.isfinite(found.low) and math.isfinite(found.high)):
        return Interval(estimate, -math.inf, math.inf)
    return Interval(estimate, float(found.low), float(found.high))


def _pseudo(differences: Values, values: Values, repetitions: int, scale: float | None) -> float:
    """The size of the pseudo items; 0 where the t interval stands as it is."""
    if repetitions < 1:
        raise ValueError(f"repetitions == {repetitions}, must be >= 1")
    n_differing = int(np.count_nonzero(differences))
    if n_differing >= FEWEST_DIFFERING and np.ptp(differences) > 0:
        return 0.0
    if scale is None and values.min() >= 0 and values.max() <= 1:
        scale = 1.0
    if scale is None and (2 * n_differing < len(differences) or np.ptp(differences) == 0):
        scale = float(np.ptp(values))
    return (scale or 0.0) / math.sqrt(repetitions)


def sign_flips(differences: Sequence[float]) -> McNemar:
    """The exact test of a few differences: each may as well have had the other sign. McNemar's for differences of ±1.

    Raises:
        ValueError: More than 20 items differ.

    Source: Fisher (1935), The Design of Experiments, §21.
    """
    differing = np.array([each for each in differences if each != 0], dtype=float)
    if len(differing) > 20:
        raise ValueError(f"{len(differing)} items differ, must be <= 20")
    if len(differing) == 0:
        return McNemar(1.0, 1.0, 1.0, 1.0)
    observed, size = float(differing.sum()), np.abs(differing)
    sums = np.array(list(product((-1.0, 1.0), repeat=len(size)))) @ size
    slack = 1e-9 * float(size.sum())
    below, far = sums < observed - slack, np.abs(sums) > abs(observed) + slack
    at = np.abs(sums - observed) <= slack
    as_far = np.abs(np.abs(sums) - abs(observed)) <= slack
    return McNemar(
        float((far | as_far).mean()),
        float(far.mean() + as_far.mean() / 2),
        float((below | at).mean()),
        float(below.mean() + at.mean() / 2),
    )


def smallest_detectable_drop(n: int, discordance: float, *, significance: float = 0.05, power: float = 0.8) -> float:
    """The smallest true drop of the pass rate that n items show with this power, one-sided; infinite where none is.

    Args:
        n: Items.
        discordance: The share of items that only one side passes, from earlier runs; it grows with the drop.
        significance: One-sided.
        power: The chance to see it.

    Raises:
        ValueError: An argument is out of its range.

    Source: Miettinen (1968), Biometrics 24, 339-352; Connor (1987), Biometrics 43, 207-211.
    """
    if n < 1 or not 0 <= discordance <= 1 or not 0.5 <= power < 1:
        raise ValueError(f"n == {n}, discordance == {discordance}, power == {power}: out of range")
    z_a, z_b = _NORMAL.inv_cdf(1 - alpha_of(1 - significance)), _NORMAL.inv_cdf(power)

    def is_unseen(drop: float) -> bool:
        share = max(discordance, drop)
        return z_a * math.sqrt(share) + z_b * math.sqrt(max(0.0, share - drop * drop)) > drop * math.sqrt(n)

    return math.inf if is_unseen(1.0) else _border(is_unseen, 0.0, 1.0)


@lru_cache(maxsize=4096)
def exact_detectable_drop(n: int, discordance: float, *, significance: float = 0.05, power: float = 0.8) -> float:
    """The same from the test itself, by enumeration: its steps matter where few items differ.

    Raises:
        ValueError: An argument is out of its range.
    """
    approximate = smallest_detectable_drop(n, discordance, significance=significance, power=power)
    if n * max(discordance, min(approximate, 1.0)) > MOST_ENUMERATED:
        return approximate
    needed = _needed(n, significance)

    def is_unseen(drop: float) -> bool:
        share = max(discordance, drop)
        near = 30 + 9 * math.sqrt(n * share * (1 - share))  # further off is less than one in a billion
        counts = np.arange(max(0, math.floor(n * share - near)), min(n, math.ceil(n * share + near)) + 1)
        seen = _above(needed[counts] - 1, counts, (share + drop) / (2 * share))
        return float(_at(counts, n, share) @ seen) < power

    return math.inf if is_unseen(1.0) else _border(is_unseen, 0.0, 1.0, steps=16)


@lru_cache(maxsize=64)
def _needed(n: int, significance: float) -> NDArray[np.int64]:
    """For each number of differing items up to n: the fewest lost ones that mid-p calls worse; one more = never."""
    counts = np.arange(n + 1)
    # From below, as the normal approximation is less than three off.
    start = counts / 2 + _NORMAL.inv_cdf(1 - significance) * np.sqrt(counts) / 2 - 3
    lost = np.maximum(0, np.floor(start)).astype(np.int64)
    while (too_few := _above(lost, counts, 0.5) + _at(lost, counts, 0.5) / 2 > significance).any():
        lost += too_few
    return lost


def smallest_detectable_mean_drop(
    n: int, standard_deviation: float, *, significance: float = 0.05, power: float = 0.8
) -> float:
    """The same for means: standard_deviation is that of the items' differences."""
    if n < 1 or standard_deviation < 0 or not 0.5 <= power < 1:
        raise ValueError(f"n == {n}, standard_deviation == {standard_deviation}, power == {power}: out of range")
    z = _NORMAL.inv_cdf(1 - alpha_of(1 - significance)) + _NORMAL.inv_cdf(power)
    return z * standard_deviation / math.sqrt(n)


def worse_e_value(only_candidate: int, only_baseline: int) -> float:
    """Evidence over all nights that the candidate is worse on these items: alarm at 1 / significance, at any look.

    The counts are summed over nights, each with a fresh pair of answers.

    Source: beta mixture of likelihoods over the share in (½, 1); Robbins (1970), Ann. Math. Statist. 41, 1397-1409.
    """
    from scipy.special import betainc, betaln

    _check_pair(only_baseline, only_candidate)
    a, b = only_baseline + 1, only_candidate + 1
    tail = float(betainc(b, a, 0.5))
    log_e = float(betaln(a, b)) + math.log(tail) + (a + b - 1) * math.log(2) if tail > 0 else -math.inf
    return math.exp(log_e) if log_e < 700 else math.inf


def significance_at_look(k: int, significance: float = 0.05) -> float:
    """The part of the error that the k-th look may spend, so that all looks together stay below it."""
    if k < 1:
        raise ValueError(f"k == {k}, must be >= 1")
    return alpha_of(1 - significance) * 6 / (math.pi * k) ** 2


def _differences(baseline: Sequence[float], candidate: Sequence[float]) -> Values:
    if len(baseline) != len(candidate) or not len(baseline):
        raise ValueError(f"{len(baseline)} and {len(candidate)} items: must be the same, and at least one")
    differences: Values = np.asarray(candidate, dtype=float) - np.asarray(baseline, dtype=float)
    if not np.isfinite(differences).all():
        raise ValueError("a value is not finite; leave the item out and name it")
    return differences


def _item_means(values: Values) -> ItemMeans:
    n = len(values)
    return ItemMeans(float(values.mean()), float(values.std(ddof=1)) / math.sqrt(n) if n > 1 else math.inf, n)


def _check_pair(only_baseline: int, only_candidate: int) -> None:
    for name, count in (("only_baseline", only_baseline), ("only_candidate", only_candidate)):
        if count < 0 or count != int(count):
            raise ValueError(f"{name} == {count}, must be a whole number >= 0")
