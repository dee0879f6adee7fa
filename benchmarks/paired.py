"""How often the gate is red without a reason, what it sees, and whether the intervals of paired runs hold.

Everything goes through the functions that the product uses, on simulated runs whose truth is known: items differ in how
hard they are (logits with deviation 2), and two prompts differ from item to item too, equal on average where nothing changed.

    python benchmarks/paired.py            # about fifteen minutes on two cores
    python benchmarks/paired.py --repeats 300
"""

import argparse
from collections.abc import Callable
from functools import cache, partial
from multiprocessing import Pool

import numpy as np
from common import print_table
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit

from core.statistics import gate, paired

SEED, HARD, PERSONAL = 20260101, 2.0, 1.0
NIGHTS, CONFIRMING = 30, 3
Values = NDArray[np.float64]


@cache
def shift(rate: float, personal: float) -> float:
    """The logit that makes the mean over items this rate."""
    logits = np.random.default_rng(SEED).normal(size=200_000) * np.hypot(HARD, personal)
    return float(brentq(lambda middle: expit(logits + middle).mean() - rate, -20, 20))


def chances(rng: np.random.Generator, n: int, rates: tuple[float, float], personal: float) -> tuple[Values, Values]:
    """Each item's chance to pass, with the baseline and with the candidate."""
    hard = rng.normal(size=n) * HARD
    a, b = (expit(hard + rng.normal(size=n) * personal + shift(rate, personal)) for rate in rates)
    return a, b


def answered(rng: np.random.Generator, chance: Values, repetitions: int) -> Values:
    return rng.binomial(repetitions, chance) / repetitions


def compared(
    rng: np.random.Generator, n: int, rates: tuple[float, float], repetitions: int, personal: float = PERSONAL
) -> gate.Comparison:
    runs = [answered(rng, chance, repetitions) for chance in chances(rng, n, rates, personal)]
    return gate.compare(*runs, repetitions=repetitions)


def red(n: int, rates: tuple[float, float], repetitions: int, seed: int, repeats: int) -> float:
    rng = np.random.default_rng(seed)
    return sum(compared(rng, n, rates, repetitions).fails() for _ in range(repeats)) / repeats


def covered(n: int, rates: tuple[float, float], repetitions: int, seed: int, repeats: int) -> tuple[float, float]:
    """The share of intervals that hold the true difference, and the smallest width."""
    rng = np.random.default_rng(seed)
    truth, hits, width = rates[1] - rates[0], 0, np.inf
    for _ in range(repeats):
        interval = compared(rng, n, rates, repetitions).difference
        hits += not interval.excludes(truth)
        width = min(width, interval.upper - interval.lower)
    return hits / repeats, float(width)


def nightly(n: int, rate: float, personal: float, seed: int, repeats: int) -> float:
    """The share of months with a red night: a red run is confirmed with fresh ones at once."""
    rng, months = np.random.default_rng(seed), 0
    for _ in range(repeats):
        a, b = chances(rng, n, (rate, rate), personal)
        b = b if personal else a
        for _ in range(NIGHTS):
            if not gate.compare(answered(rng, a, 1), answered(rng, b, 1)).fails():
                continue
            again = [answered(rng, each, CONFIRMING) for each in (a, b)]
            if gate.compare(*again, repetitions=CONFIRMING).fails(is_confirmation=True):
                months += 1
                break
    return months / repeats


def seen(n: int, discordance: float, seed: int, repeats: int) -> tuple[float, float]:
    """The smallest detectable drop as stated, and how often a true drop of this size is seen; 80 % are promised."""
    rng = np.random.default_rng(seed)
    drop = paired.exact_detectable_drop(n, discordance, significance=0.05 * gate.SPENT)
    share = max(discordance, drop)
    counts = rng.multinomial(n, [(share + drop) / 2, (share - drop) / 2, 1 - share], size=repeats)
    reds = sum(paired.mcnemar(int(b), int(c)).mid_p_worse <= 0.05 * gate.SPENT and b > c for b, c, _ in counts)
    return drop, reds / repeats


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=4000)
    repeats = parser.parse_args().repeats
    with Pool() as pool:

        def run(work: Callable[..., object], cases: list[tuple[object, ...]], times: int = repeats) -> list[object]:
            return pool.starmap(partial(work, repeats=times), [(*case, SEED + i) for i, case in enumerate(cases)])

        rates = (0.02, 0.5, 0.9, 0.98)
        found = run(red, [(200, (rate, rate), r) for r in (1, 5) for rate in rates])
        rows = [[f"{r} repetitions", *[f"{100 * each:.1f} %" for each in found[i * 4 : i * 4 + 4]]] for i, r in enumerate((1, 5))]  # fmt: skip
        print_table("red without a reason, 200 items", ["", *[f"rate {rate:g}" for rate in rates]], rows)

        drops = [(50, 0.1), (200, 0.1), (200, 0.05), (1000, 0.05)]
        found = run(red, [(n, (0.5, 0.5 - drop), r) for r in (1, 5) for n, drop in drops])
        rows = [[f"{r} repetitions", *[f"{100 * each:.0f} %" for each in found[i * 4 : i * 4 + 4]]] for i, r in enumerate((1, 5))]  # fmt: skip
        print_table("red for a reason, rate 0.5", ["", *[f"−{100 * d:.0f} points, {n} items" for n, d in drops]], rows)

        cases = [(n, rate, personal) for personal in (0.0, PERSONAL) for n in (50, 200) for rate in (0.5, 0.9)]
        found = run(nightly, cases, max(100, repeats // 8))
        names = {0.0: "the same prompt", PERSONAL: "another prompt, equal on average"}
        rows = [[names[p], n, rate, f"{100 * each:.1f} %"] for (n, rate, p), each in zip(cases, found, strict=True)]
        print_table("30 nights, red at least once", ["candidate", "items", "rate", "months"], rows)

        cases = [(n, share) for n in (20, 50, 200, 1000) for share in (0.02, 0.1, 0.3)]
        found = run(seen, cases)
        rows = [[n, share, f"{100 * drop:.1f}", f"{100 * power:.0f} %"] for (n, share), (drop, power) in zip(cases, found, strict=True)]  # fmt: skip
        print_table(
            "smallest detectable drop", ["items", "share that differs", "stated smallest drop, points", "seen"], rows
        )

        pairs = [(0.02, 0.02), (0.02, 0.01), (0.5, 0.5), (0.5, 0.4), (0.98, 0.98), (0.98, 0.93)]
        sizes, cases = (
            (20, 50, 200, 1000),
            [(n, pair, r) for r in (1, 5) for pair in pairs for n in (20, 50, 200, 1000)],
        )
        found = run(covered, cases, repeats // 2)
        rows = []
        for i in range(0, len(cases), len(sizes)):
            _, (a, b), r = cases[i]
            part = found[i : i + len(sizes)]
            rows.append([f"{a:g} → {b:g}", r, *[f"{100 * each:.1f} %" for each, _ in part], f"{min(w for _, w in part):.3f}"])  # fmt: skip
        print_table("95 % interval holds the truth", ["rates", "repetitions", *map(str, sizes), "smallest width"], rows)


if __name__ == "__main__":
    main()
