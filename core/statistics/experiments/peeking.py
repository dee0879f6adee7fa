"""The price of looking again and again, for each way of calling a winner: a simulation with one's own numbers. Pure."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.statistics import sequential

REPEATS = 300
MAX_LOOKS = 200
METHODS = ("higher rate wins", "z-test at each look", "probability to be best over 95%", "always-valid interval")


@dataclass(frozen=True, slots=True, kw_only=True)
class Peeking:
    """The outcome of a simulation, by method.

    rates: The share of experiments in which it ever called a winner.
    stops: Its median units a side; nan = none.
    """

    rates: dict[str, float]
    stops: dict[str, float]


def simulate(
    rate: float, effect: float, n_per_side: int, rng: np.random.Generator, *, repeats: int = REPEATS
) -> Peeking:
    """Look at evenly spaced times up to n_per_side a side. effect: treatment − control; 0 = every winner is false.

    Raises:
        ValueError: A rate is not in [0, 1], or there are fewer than 10 units.
    """
    if not (0 <= rate <= 1 and 0 <= rate + effect <= 1 and n_per_side >= 10):
        raise ValueError(f"rate == {rate}, effect == {effect}, n_per_side == {n_per_side}: out of range")
    looks = np.unique(np.linspace(max(10, n_per_side / MAX_LOOKS), n_per_side, MAX_LOOKS).astype(int))
    steps = np.diff(looks, prepend=0)
    a = np.cumsum(rng.binomial(steps, rate, (repeats, looks.size)), axis=1)
    b = np.cumsum(rng.binomial(steps, rate + effect, (repeats, looks.size)), axis=1)
    z = _z(a, b, looks)
    # With flat priors the probability that B is best is the normal tail of the same z, all but for the first few units.
    is_enough = looks >= 100
    called = {
        METHODS[0]: a != b,
        METHODS[1]: np.abs(z) > 1.959964,
        METHODS[2]: (np.abs(z) > 1.644854) & is_enough,
        METHODS[3]: _always_valid(a, b, looks),
    }
    rates = {name: float(hits.any(axis=1).mean()) for name, hits in called.items()}
    stops = {name: _median_stop(hits, looks) for name, hits in called.items()}
    return Peeking(rates=rates, stops=stops)


def _z(a: NDArray[np.int64], b: NDArray[np.int64], looks: NDArray[np.int64]) -> NDArray[np.float64]:
    pa, pb = a / looks, b / looks
    error = np.sqrt((pa * (1 - pa) + pb * (1 - pb)) / looks)
    with np.errstate(divide="ignore", invalid="ignore"):
        z: NDArray[np.float64] = np.nan_to_num((pb - pa) / error, posinf=0.0, neginf=0.0)
    return z


def _always_valid(a: NDArray[np.int64], b: NDArray[np.int64], looks: NDArray[np.int64]) -> NDArray[np.bool_]:
    hits = np.zeros(a.shape, dtype=bool)
    for row, (wins_a, wins_b) in enumerate(zip(a.tolist(), b.tolist(), strict=True)):
        for at, n in enumerate(looks.tolist()):
            interval = sequential.proportion_difference((wins_a[at], n), (wins_b[at], n))
            if interval.lower > 0 or interval.upper < 0:
                hits[row, at] = True
                break
    return hits


def _median_stop(hits: NDArray[np.bool_], looks: NDArray[np.int64]) -> float:
    """Median over all repeats; one that never stops is beyond every number."""
    first = np.where(hits.any(axis=1), looks[hits.argmax(axis=1)], np.inf)
    median = float(np.median(first))
    return median if np.isfinite(median) else float("nan")
