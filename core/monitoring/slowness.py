"""The reason why calls took longer in one period than in another. Pure.

The p95 of all calls is that of a mixture: each model's times, by its share of the answers. How far it moved is
shared out among the shares of the models and the times of each by Shapley values, as in `bridge`. A model's own times
are described by means: until the first token, how long its answers are, and how many tokens come a second.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import combinations
from math import factorial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.domain.metrics import Answered, MadeFor, Pace, RollupRows, Slowdown
from core.statistics.histogram import PER_DOUBLING, merge_groups
from core.statistics.proportions import difference_interval
from core.statistics.quantiles import quantile, quantile_ratio

Q = 0.95
MOST = 7  # models that are looked at one by one; the others together are one
OTHERS = "other models"
FEW = 20  # slow answers, and others, from which on it is asked what they were made for
MIN_STREAMED = 0.9  # of the answers, from which on the time until the first token is said

Counts = NDArray[np.int64]
Values = NDArray[np.float64]


def slowdown(before: RollupRows, after: RollupRows) -> Slowdown | None:
    """The move of the p95 of all calls, and what moved it most; None = one period has no answer to measure."""
    periods, names = (before, after), _models(before, after)
    if not names:
        return None
    counts, first = _merged(periods, names, "latency_histogram")  # by period, model and bucket
    totals = counts.sum(axis=1)
    if not totals.sum(axis=1).all():
        return None
    edges = 2.0 ** (np.arange(first, first + counts.shape[2] + 1) / PER_DOUBLING) / 1e6
    ratio, p95 = quantile_ratio(totals[0], totals[1], edges, Q), [quantile(each, edges, Q) for each in totals]
    parts = np.array(_parts(counts, edges)) * (1 if p95[1] >= p95[0] else -1)
    is_mix = int(parts.argmax()) == 0
    at = _grown(counts, edges, p95[0]) if is_mix else int(parts.argmax()) - 1
    streamed, first_of_these = _merged(periods, names, "ttft_histogram")
    return Slowdown(
        p95_s=(p95[0], p95[1]),
        n=(int(totals[0].sum()), int(totals[1].sum())),
        is_sure=ratio.lower > 1 or ratio.upper < 1,
        is_mix=is_mix,
        model=names[at],
        share=(float(counts[0, at].sum() / totals[0].sum()), float(counts[1, at].sum() / totals[1].sum())),
        pace=(
            _pace(before, names[at], counts[0, at], edges, streamed[0, at], first_of_these),
            _pace(after, names[at], counts[1, at], edges, streamed[1, at], first_of_these),
        ),
    )


def detailed(found: Slowdown, before: Sequence[Answered], after: Sequence[Answered]) -> Slowdown:
    """With what the model's newest answers of both periods say."""
    old, new = (
        pace._replace(attempts=sum(each.n_attempts for each in some) / len(some) if some else None)
        for pace, some in zip(found.pace, (before, after), strict=True)
    )
    return found._replace(pace=(old, new), made_for=_made_for(after, old.p95_s))


def _made_for(answers: Sequence[Answered], usual_p95_s: float | None) -> MadeFor | None:
    """The workflow or key of more than half of the answers that are slower than p95 was, and of fewer others.

    None where chance explains it, for one look in a hundred.
    """
    slow, others = list[Answered](), list[Answered]()
    for each in answers:
        (slow if each.latency_us > (usual_p95_s or 0.0) * 1e6 else others).append(each)
    if min(len(slow), len(others)) < FEW:
        return None
    found = []
    for kind, of in _MADE_FOR.items():
        value, n = Counter(map(of, slow)).most_common(1)[0]
        n_others = sum(of(each) == value for each in others)
        apart = difference_interval((n_others, len(others)), (n, len(slow)), confidence_level=0.99)
        if value and n > len(slow) / 2 and apart.lower > 0:
            found.append((apart.estimate, MadeFor(kind, value, n / len(slow), (n + n_others) / len(answers))))
    return max(found)[1] if found else None


def _workflow(each: Answered) -> str:
    kind, _, name = each.ref_name.partition(":")
    return name if kind == "workflow" else ""


def _key(each: Answered) -> str:
    return each.key_id


_MADE_FOR: dict[Literal["workflow", "key"], Callable[[Answered], str]] = {"workflow": _workflow, "key": _key}


def _models(*periods: RollupRows) -> list[str]:
    """Those with most answers; the others under one name."""
    n = Counter[str]()
    for rows in periods:
        for key, calls in zip(rows.keys[: rows.n_answered], rows.counts["n"].tolist(), strict=False):
            n[key.model] += calls
    ranked = [name for name, _ in n.most_common()]
    return ranked[:MOST] + ([OTHERS] if len(ranked) > MOST else [])


def _merged(periods: tuple[RollupRows, RollupRows], names: list[str], histogram: str) -> tuple[Counts, int]:
    """Counts by period, model and bucket, and the first bucket."""
    place = {name: at for at, name in enumerate(names)}
    blobs, groups = list[bytes](), list[int]()
    for period, rows in enumerate(periods):
        blobs += rows.times[histogram]
        own = [place.get(key.model, len(names) - 1) for key in rows.keys[: rows.n_answered]]
        groups += [period * len(names) + at for at in own]
    counts, first = merge_groups(blobs, np.array(groups, dtype=np.int64), 2 * len(names))
    return counts.reshape(2, len(names), -1), first


def _parts(counts: Counts, edges: Values) -> list[float]:
    """Seconds of p95 that the shares of the models brought, and then the times of each model; they add up."""
    n = counts.sum(axis=2)
    weights = n / n.sum(axis=1, keepdims=True)
    # Where a model has no answers in a period, its times are those of the other: it came or went by its share alone.
    known = np.where(n[:, :, None] > 0, counts, counts[::-1])
    shapes = known / np.maximum(known.sum(axis=2, keepdims=True), 1)
    n_factors = counts.shape[1] + 1
    values = {}
    for size in range(n_factors + 1):
        for chosen in combinations(range(n_factors), size):
            models = np.array([int(at + 1 in chosen) for at in range(counts.shape[1])])
            mixed = weights[int(0 in chosen)] @ shapes[models, np.arange(counts.shape[1])]
            values[frozenset(chosen)] = _quantile(mixed, edges)
    return [_shapley(factor, n_factors, values) for factor in range(n_factors)]


def _shapley(factor: int, n: int, values: dict[frozenset[int], float]) -> float:
    return sum(
        factorial(len(chosen)) * factorial(n - len(chosen) - 1) / factorial(n) * (values[chosen | {factor}] - value)
        for chosen, value in values.items()
        if factor not in chosen
    )


def _quantile(shape: Values, edges: Values) -> float:
    """Between the edges of its bucket by the share of it that lies below: a mixture has no steps of whole calls."""
    below = np.concatenate([[0.0], np.cumsum(shape)])
    return float(np.exp(np.interp(Q * below[-1], below, np.log(edges))))


def _grown(counts: Counts, edges: Values, p95_s: float) -> int:
    """The model whose larger share of the answers added most that are slower than p95 was."""
    shares = counts.sum(axis=2) / counts.sum(axis=(1, 2))[:, None]
    both = counts.sum(axis=0)
    slow = both[:, edges[:-1] >= p95_s].sum(axis=1) / np.maximum(both.sum(axis=1), 1)
    return int(((shares[1] - shares[0]) * slow).argmax())


def _pace(rows: RollupRows, model: str, counts: Counts, edges: Values, streamed: Counts, first: int) -> Pace:
    is_own = np.array([key.model == model for key in rows.keys], dtype=bool)
    is_ok = is_own[: rows.n_answered]
    n_ok, n = int(rows.counts["n"][: rows.n_answered][is_ok].sum()), int(counts.sum())
    total_s = float(np.array(rows.times["latency_sum_us"], dtype=np.float64)[is_ok].sum()) / 1e6
    middles = 2.0 ** ((np.arange(streamed.size) + first + 0.5) / PER_DOUBLING) / 1e6
    is_streamed = n and int(streamed.sum()) >= MIN_STREAMED * n
    errors = Counter[str]()
    for key, own, calls in zip(rows.keys, is_own.tolist(), rows.counts["n"].tolist(), strict=True):
        if own and key.status not in ("ok", "stopped"):
            errors[key.error_class or key.status] += calls
    return Pace(
        n=n,
        p95_s=quantile(counts, edges, Q) if n else None,
        mean_s=total_s / n if n else None,
        first_s=float((streamed * middles).sum() / streamed.sum()) if is_streamed else None,
        tokens=float(rows.counts["output_tokens"][: rows.n_answered][is_ok].sum()) / n_ok if n_ok else None,
        errors=dict(errors),
    )
