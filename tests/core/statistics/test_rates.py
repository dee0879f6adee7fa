"""Rates of contestants with intervals that hold, and who is outdone."""

import numpy as np
import pytest

from core.statistics.interval import Interval
from core.statistics.proportions import item_rate_interval, wilson_interval
from core.statistics.rates import Rate, outdone, rate


def test_one_repetition_has_wilsons_interval():
    found = rate(0, 200, 171.0, 171.0, 0, 0.0, 0.0)

    assert found.passes == pytest.approx(wilson_interval(171, 200))
    assert found.per_1000_usd is None


@pytest.mark.parametrize(("n", "p", "repetitions"), [(30, 0.5, 1), (200, 0.9, 5), (60, 0.6, 5), (20, 0.98, 3)])
def test_the_interval_of_a_rate_covers_the_truth(n: int, p: float, repetitions: int):
    """Items that differ: each has its own chance, and p on average. Never of zero width."""
    rng = np.random.default_rng(1)
    chances = np.clip(rng.beta(4 * p, 4 * (1 - p), (2000, n)), 0, 1)
    means = rng.binomial(repetitions, chances) / repetitions
    found = [item_rate_interval(float(row.mean()), float(row.var(ddof=1)), n, repetitions=repetitions) for row in means]

    assert all(each.lower < each.upper for each in found)
    assert np.mean([each.lower <= p <= each.upper for each in found]) >= 0.93


def test_costs_are_told_for_a_thousand_answers():
    costs = np.array([1e6, 2e6, 3e6])  # nano-dollars

    found = rate(0, 0, 0.0, 0.0, 3, float(costs.sum()), float((costs**2).sum())).per_1000_usd

    assert found == pytest.approx((2.0, 2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5), abs=1e-5)


def test_outdone_is_who_another_one_surpasses_in_one_and_equals_in_the_other():
    def made(who: int, passes: float, usd: float | None) -> Rate:
        cost = None if usd is None else Interval(usd, usd, usd)
        return Rate(who, 10, Interval(passes, passes, passes), 10, cost)

    assert outdone([made(0, 0.8, 1.0), made(1, 0.8, 2.0), made(2, 0.9, 3.0), made(3, 0.1, None)]) == {1}
    assert outdone([made(0, 0.8, 1.0), made(1, 0.8, 1.0)]) == set()
