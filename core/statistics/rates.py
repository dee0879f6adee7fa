"""The figures of each contestant by itself, with their intervals, and who is outdone. Pure; the item is the unit."""

from collections.abc import Sequence
from typing import NamedTuple

from core.formats.money import NANO
from core.statistics.interval import Interval
from core.statistics.means import Sample, mean_interval
from core.statistics.proportions import item_rate_interval


class Rate(NamedTuple):
    """A contestant's pass rate and what 1,000 of its answers cost in USD. None = nothing was graded, or priced.

    n: Items with a grade. n_cost: Items with a known cost.
    """

    contestant: int
    n: int
    passes: Interval | None
    n_cost: int
    per_1000_usd: Interval | None


def rate(  # noqa: PLR0913 - sums over items
    contestant: int,
    n: int,
    rates: float,
    rates_squared: float,
    n_cost: int,
    costs: float,
    costs_squared: float,
    *,
    repetitions: int = 1,
) -> Rate:
    """Of sums over the means of items; costs in nano-dollars."""
    passes = cost = None
    if n:
        mean, variance = _moments(n, rates, rates_squared)
        passes = item_rate_interval(min(1.0, mean), variance, n, repetitions=repetitions)
    if n_cost:
        mean, variance = _moments(n_cost, costs, costs_squared)
        cost = mean_interval(Sample(n_cost, mean, variance)).scaled(1000 / NANO)
    return Rate(contestant, n, passes, n_cost, cost)


def outdone(rates: Sequence[Rate]) -> set[int]:
    """The contestants that another one surpasses: no worse in pass rate and in cost, and better in one of both."""
    known = [
        (each.contestant, each.passes.estimate, each.per_1000_usd.estimate)
        for each in rates
        if each.passes is not None and each.per_1000_usd is not None
    ]
    return {
        who
        for who, passes, usd in known
        if any(p >= passes and c <= usd and (p > passes or c < usd) for _, p, c in known)
    }


def _moments(n: int, total: float, squares: float) -> tuple[float, float]:
    """The mean, and the sample's variance: 0 of one alone."""
    mean = total / n
    return mean, max(0.0, (squares - n * mean * mean) / (n - 1)) if n > 1 else 0.0
