"""How often looking all the time calls a false winner, how soon a true one is called, and whether intervals hold.

Everything goes through the functions that the product uses, on simulated data whose truth is known.

    python benchmarks/peeking.py            # 2,000 repeats: about eight minutes on two cores
    python benchmarks/peeking.py --repeats 200
"""

import argparse
import math
from collections.abc import Callable
from functools import partial
from multiprocessing import Pool

import numpy as np
from common import print_table
from numpy.typing import NDArray

from core import clock
from core.domain.experiment import Design, Experiment, Guardrail, Phase, Variant
from core.experiments import planner
from core.experiments.analysis import analyse
from core.statistics import quantiles, sequential
from core.statistics.experiments import moments, sample_ratio
from core.statistics.experiments.sums import Sums
from core.statistics.means import Sample

N_TOTAL, EVERY = 20_000, 20  # both sides together: a look after every 10 observations a side
RATINGS = np.array([0.05, 0.08, 0.17, 0.35, 0.35])
SEED = 20260101

Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]


def bernoulli(p: float, rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    return (rng.random(n) < p).astype(float)


def ratings(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    return rng.choice(np.arange(1.0, 6.0), n, p=RATINGS)


def lognormal(sigma: float, rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    return rng.lognormal(0.0, sigma, n)


METRICS: dict[str, Draw] = {
    "success 0.2 %": partial(bernoulli, 0.002),
    "success 2 %": partial(bernoulli, 0.02),
    "success 30 %": partial(bernoulli, 0.3),
    "rating 1–5": ratings,
    "log-normal σ 0.6": partial(lognormal, 0.6),
    "log-normal σ 1": partial(lognormal, 1.0),
}


def called(is_binary: bool, a: NDArray[np.float64], b: NDArray[np.float64], in_b: NDArray[np.bool_]) -> tuple[int, int]:
    """(units so far, −1 or 1) at the first look whose interval leaves out 0; (0, 0) = never. In order of arrival."""
    looks = np.arange(EVERY, in_b.size + 1, EVERY)
    n_b = np.cumsum(in_b)[looks - 1]
    n_a = looks - n_b
    sums = [np.concatenate([[0.0], np.cumsum(x)]) for x in (a, b, a * a, b * b)]
    for look, one, other in zip(looks.tolist(), n_a.tolist(), n_b.tolist(), strict=True):
        if min(one, other) < 2:
            continue
        if is_binary:
            interval = sequential.proportion_difference((int(sums[0][one]), one), (int(sums[1][other]), other))
        else:
            pair = [
                Sample(n, s[n] / n, max(0.0, (q[n] - s[n] ** 2 / n) / (n - 1)))
                for n, s, q in ((one, sums[0], sums[2]), (other, sums[1], sums[3]))
            ]
            interval = sequential.mean_difference(*pair)
        if interval.lower > 0 or interval.upper < 0:
            return look, 1 if interval.lower > 0 else -1
    return 0, 0


def one_test(job: tuple[str, str, float, int]) -> tuple[int, int]:
    first, second, share, seed = job
    rng = np.random.default_rng((SEED, seed))
    in_b = rng.random(N_TOTAL) < share
    draws = [METRICS.get(name) or partial(bernoulli, float(name)) for name in (first, second)]
    n_b = int(in_b.sum())
    is_binary = first not in METRICS or first.startswith("success")
    return called(is_binary, draws[0](rng, N_TOTAL - n_b), draws[1](rng, n_b), in_b)


def false_winners(pool: "Pool", repeats: int) -> None:  # type: ignore[valid-type]
    rows = []
    for name in METRICS:
        row = [name]
        for share in (0.5, 0.1, 0.01):
            found = pool.map(one_test, [(name, name, share, seed) for seed in range(repeats)], chunksize=20)
            row.append(f"{100 * np.mean([n > 0 for n, _ in found]):.1f} %")
        rows.append(row)
    print_table("False winners", ("no difference", "50/50", "90/10", "99/1"), rows)


def true_winners(pool: "Pool", repeats: int) -> None:  # type: ignore[valid-type]
    rows = []
    for first, second in (("0.30", "0.35"), ("0.30", "0.40")):
        found = pool.map(one_test, [(first, second, 0.5, seed) for seed in range(repeats)], chunksize=20)
        stops = [n / 2 if n else math.inf for n, _ in found]
        wrong = 100 * np.mean([sign < 0 for _, sign in found])
        rows.append([f"{first} against {second}", f"{np.median(stops):,.0f}", f"{np.quantile(stops, 0.8):,.0f}", f"{wrong:.2f} %"])  # fmt: skip
    print_table("True winners", ("true difference", "median stop a side", "80 % quantile", "wrong direction"), rows)


# What needs more than two columns of numbers


def many(seed: int) -> bool:
    """Four variants and four metrics without any difference, 12 comparisons that share the error."""
    rng = np.random.default_rng((SEED, 1, seed))
    n, every = 3000, 50
    draws = [partial(bernoulli, 0.3), partial(bernoulli, 0.05), ratings, partial(lognormal, 0.6)]
    data = [[draw(rng, n) for draw in draws] for _ in range(4)]
    sums = [[(np.cumsum(x), np.cumsum(x * x)) for x in arm] for arm in data]
    level = 1 - 0.05 / 12
    for look in range(every, n + 1, every):
        for metric in range(4):
            pairs = [(s[look - 1], q[look - 1]) for s, q in (arm[metric] for arm in sums)]
            if metric < 2:
                control = int(pairs[0][0]), look
                found = [sequential.proportion_difference(control, (int(s), look), confidence_level=level) for s, _ in pairs[1:]]  # fmt: skip
            else:
                samples = [Sample(look, s / look, max(0.0, (q - s * s / look) / (look - 1))) for s, q in pairs]
                found = [sequential.mean_difference(samples[0], other, confidence_level=level) for other in samples[1:]]
            if any(interval.excludes(0) for interval in found):
                return True
    return False


def clustered(seed: int) -> bool:
    """Outcomes of one user hang together (one logit); the user is what was randomised."""
    rng = np.random.default_rng((SEED, 2, seed))
    n_users, every = 4000, 40
    arm = rng.random(n_users) < 0.5
    rate = 1 / (1 + np.exp(-(rng.normal(0, 1, n_users) - 0.8)))
    x = rng.geometric(1 / 7.7, n_users).astype(float)
    y = rng.binomial(x.astype(int), rate).astype(float)
    kept = [moments.Moments(), moments.Moments()]
    none = np.empty((0, 2))
    for start in range(0, n_users, every):
        part = slice(start, start + every)
        for side in (0, 1):
            mine = arm[part] == bool(side)
            kept[side] = kept[side].changed(none, np.column_stack([x[part][mine], y[part][mine]]))
        a, b = kept[0].ratio(), kept[1].ratio()
        if a and b and sequential.mean_difference(a, b).excludes(0):
            return True
    return False


def experiment_of(weights: list[tuple[int, int]], **design: object) -> Experiment:
    variants = tuple(
        Variant(position=at, name="AB"[at], model="sim-fast", weight=w) for at, w in enumerate(weights[-1])
    )
    phases = tuple(
        Phase(
            number=number + 1,
            started_at=clock.EPOCH,
            ended_at=None,
            variants=tuple(
                Variant(position=at, name="AB"[at], model="sim-fast", weight=w) for at, w in enumerate(pair)
            ),
        )
        for number, pair in enumerate(weights)
    )
    return Experiment(
        id="e", name="e", hypothesis="h", unit="user", salt="s", status="running", created_at=clock.EPOCH, stopped_at=None,
        variants=variants, phases=phases, design=Design(**design),
    )  # fmt: skip


def plain(n: int, wins: int) -> moments.Moments:
    p = wins / n if n else 0.0
    return moments.Moments(n, 1.0, p, 0.0, 0.0, n * p * (1 - p)) if n else moments.Moments()


def drifting(seed: int) -> bool:
    """The weights change from 50/50 to 90/10 while quality drifts from 30 to 45 %; no variant is better."""
    rng = np.random.default_rng((SEED, 3, seed))
    n, every = 8000, 100
    at_change = n // 2
    in_b = np.concatenate([rng.random(at_change) < 0.5, rng.random(n - at_change) < 0.1])
    success = rng.random(n) < np.linspace(0.30, 0.45, n)
    both = experiment_of([(1, 1), (9, 1)])
    first_only = experiment_of([(1, 1)])
    for look in range(every, n + 1, every):
        found = {}
        for phase, span in ((1, slice(0, min(look, at_change))), (2, slice(at_change, look))):
            for side in (0, 1):
                mine = success[span][in_b[span] == bool(side)]
                found[(phase, side, "success")] = plain(mine.size, int(mine.sum()))
        contrast = analyse(first_only if look <= at_change else both, Sums(found, {})).contrast(1, "success")
        if contrast is not None and contrast.is_told:
            return True
    return False


def thompson(job: tuple[float, int]) -> bool:
    """Weights follow the data in batches, at least 10 % each; no variant is better."""
    rate, seed = job
    rng = np.random.default_rng((SEED, 4, seed))
    weights, found, every = [(500, 500)], {}, 50
    for _ in range(0, 12_000, every):
        phase = len(weights)
        n_b = int(rng.binomial(every, weights[-1][1] / sum(weights[-1])))
        for side, n in ((0, every - n_b), (1, n_b)):
            old = found.get((phase, side, "success"), moments.Moments())
            found[(phase, side, "success")] = plain(old.n + n, round(old.sum_y) + int(rng.binomial(n, rate)))
            found[(phase, side, "exposure")] = moments.Moments(old.n + n, 1.0)
        made, sums = experiment_of(weights, allocation="thompson"), Sums(found, {})
        contrast = analyse(made, sums).contrast(1, "success")
        if contrast is not None and contrast.is_told:
            return True
        following = planner.next_weights(made, sums)
        if following is not None:
            weights.append((following[0], following[1]))
    return False


def split_alarm(seed: int) -> bool:
    rng = np.random.default_rng((SEED, 5, seed))
    counts = np.cumsum(rng.binomial(20, 0.5, 1000))
    looks = np.arange(20, 20_020, 20)
    return any(sample_ratio.is_mismatch([int(b), int(n - b)], [1, 1]) for b, n in zip(counts, looks, strict=True))


def p95(seed: int) -> tuple[bool, bool]:
    """Whether an interval ever missed: one sample's p95, and the ratio of two equal ones."""
    rng = np.random.default_rng((SEED, 6, seed))
    edges = 2.0 ** (np.arange(-160, 320) / 32)
    truth = math.exp(1.6448536269514722 * 0.6)
    counts = [np.zeros(edges.size - 1, dtype=np.int64) for _ in range(2)]
    missed = [False, False]
    for _ in range(100):
        for side in (0, 1):
            counts[side] += np.histogram(rng.lognormal(0, 0.6, 50), edges)[0]
        one = quantiles.quantile_interval(counts[0], edges, 0.95)
        ratio = quantiles.quantile_ratio(counts[0], counts[1], edges, 0.95)
        missed[0] |= not one.lower <= truth <= one.upper
        missed[1] |= ratio.excludes(1.0)
    return missed[0], missed[1]


def guardrail(job: tuple[float, int]) -> bool:
    """Whether “safe” is ever said of a variant whose dollars a call are exactly at the bound of +10 %."""
    sigma, seed = job
    rng = np.random.default_rng((SEED, 7, seed))
    made = experiment_of([(1, 1)], guardrails=(Guardrail(metric="cost", margin=0.1),))
    kept, none = [moments.Moments(), moments.Moments()], np.empty((0, 2))
    for _ in range(100):
        for side, scale in ((0, 1.0), (1, 1.1)):
            values = scale * rng.lognormal(0, sigma, 50)
            kept[side] = kept[side].changed(none, np.column_stack([np.ones(50), values]))
        found = {(1, side, "cost"): kept[side] for side in (0, 1)}
        if analyse(made, Sums(found, {})).guards[0].state == "safe":
            return True
    return False


def coverage(seed: int) -> list[bool]:
    """At a random stopping time, true differences too: whether each kind of interval held the truth."""
    rng = np.random.default_rng((SEED, 8, seed))
    n = int(rng.integers(40, 6000))
    pa, pb = 0.3, float(rng.choice([0.3, 0.33, 0.4]))
    wins = [int(rng.binomial(n, p)) for p in (pa, pb)]
    shift = float(rng.choice([1.0, 1.2]))
    values = [rng.lognormal(0, 0.6, n), shift * rng.lognormal(0, 0.6, n)]
    samples = [Sample(n, float(v.mean()), float(v.var(ddof=1))) for v in values]
    mean = math.exp(0.18)
    edges = 2.0 ** (np.arange(-160, 320) / 32)
    counts = [np.histogram(v, edges)[0] for v in values]
    q = math.exp(1.6448536269514722 * 0.6)
    checks = [
        (sequential.proportion_interval(wins[0], n), pa),
        (sequential.proportion_difference((wins[0], n), (wins[1], n)), pb - pa),
        (sequential.mean_interval(samples[0]), mean),
        (sequential.mean_difference(*samples), (shift - 1) * mean),
        (sequential.relative_difference(*samples), shift - 1),
        (quantiles.quantile_interval(counts[0], edges, 0.95), q),
        (quantiles.quantile_ratio(counts[0], counts[1], edges, 0.95), shift),
    ]
    return [interval.lower <= truth <= interval.upper for interval, truth in checks]


def share(found: list[bool]) -> str:
    return f"{100 * np.mean(found):.1f} %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=2000)
    repeats = parser.parse_args().repeats
    with Pool(2) as pool:
        false_winners(pool, repeats)
        true_winners(pool, repeats)
        fewer = range(max(100, repeats // 2))
        latency = pool.map(p95, fewer, chunksize=10)
        rows = [
            ["four variants × four metrics, corrected", share(pool.map(many, fewer, chunksize=10))],
            ["outcomes clustered by unit", share(pool.map(clustered, fewer, chunksize=10))],
            ["a change of weights with drift", share(pool.map(drifting, fewer, chunksize=10))],
            ["Thompson, floor 10 %, 30 %", share(pool.map(thompson, [(0.3, s) for s in fewer], chunksize=10))],
            ["Thompson, floor 10 %, 2 %", share(pool.map(thompson, [(0.02, s) for s in fewer], chunksize=10))],
            ["split alarm on a true split, 1,000 looks", share(pool.map(split_alarm, fewer, chunksize=10))],
            ["p95 interval, 100 looks", share([one for one, _ in latency])],
            ["p95 of two equal samples told apart, 100 looks", share([two for _, two in latency])],
            ["“safe” exactly at its bound, σ 0.5", share(pool.map(guardrail, [(0.5, s) for s in fewer], chunksize=10))],
            ["“safe” exactly at its bound, σ 1", share(pool.map(guardrail, [(1.0, s) for s in fewer], chunksize=10))],
        ]
        print_table("Ever wrong", ("what", "share of experiments"), rows)
        held = np.mean(pool.map(coverage, range(repeats * 2), chunksize=20), axis=0)
        names = ("one proportion", "two proportions", "one mean", "two means", "relative", "p95", "ratio of p95")
        print_table("Coverage", ("interval at a random stop", "held the truth"), [[n, f"{100 * h:.1f} %"] for n, h in zip(names, held, strict=True)])  # fmt: skip


if __name__ == "__main__":
    main()
