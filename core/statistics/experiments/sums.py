"""Totals of a unit, and the sums over units that an analysis reads instead of rows. Pure.

A unit (user, session, request) is what was randomised; its totals are one observation, however many calls it made.
Sums are kept per phase, variant (by position) and metric, as moments of pairs (x, y).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.statistics import histogram
from core.statistics.experiments.moments import Moments

# What is added up for each unit. Money in nano-dollars, times in seconds unless the name says otherwise.
TOTALS = (
    "n_exposed", "n_multiple", "n_outcomes", "n_successes", "n_ratings", "rating_sum", "n_numbers", "number_sum",
    "n_calls", "n_errors", "n_ok", "latency_sum_s", "log_latency_sum", "first_latency_us", "n_priced",
    "cost_nano_usd", "tokens",
)  # fmt: skip
REAL_TOTALS = ("rating_sum", "number_sum", "latency_sum_s", "log_latency_sum")  # the others are whole numbers
AT = {name: at for at, name in enumerate(TOTALS)}
NOTHING = (0,) * len(TOTALS)
# Metric -> x and y of a unit. A ratio of sums is the estimate, Σy / Σx.
PAIRS: dict[str, tuple[str, str | None]] = {
    "exposure": ("n_exposed", None),
    "multiple": ("n_multiple", None),
    "success": ("n_outcomes", "n_successes"),
    "rating": ("n_ratings", "rating_sum"),
    "number": ("n_numbers", "number_sum"),
    "error_rate": ("n_calls", "n_errors"),
    "latency": ("n_ok", "latency_sum_s"),
    "log_latency": ("n_ok", "log_latency_sum"),
    "cost": ("n_priced", "cost_nano_usd"),
    "cost_per_success": ("n_successes", "cost_nano_usd"),
    "tokens": ("n_calls", "tokens"),
}
BARE_COUNTS = ("late", "orphan")  # outcomes that belong to no sum of units
NOT_COUNTED = -1  # the position under which excluded units are summed
LOOK_GROWTH = 1.05

Key = tuple[str, int, int]  # experiment, phase, position
Totals = list[float]
Moved = dict[Key, tuple[list[Totals], list[Totals]]]  # totals that leave a sum, and that come
SumsByKey = dict[tuple[Any, ...], tuple[Moments, bytes | None]]  # key and metric -> moments, histogram


def nothing() -> Totals:
    return list(NOTHING)


@dataclass(frozen=True, slots=True)
class Sums:
    """All sums of an experiment.

    moments: (phase, position, metric) -> moments.
    latencies: (phase, position) -> histogram.
    """

    moments: dict[tuple[int, int, str], Moments]
    latencies: dict[tuple[int, int], bytes]

    def of(self, phase: int, position: int, metric: str) -> Moments:
        return self.moments.get((phase, position, metric), Moments())

    def total(self, phases: Sequence[int], position: int, metric: str) -> Moments:
        """Of several phases together."""
        whole = Moments()
        for phase in phases:
            whole = whole.merged(self.of(phase, position, metric))
        return whole

    def not_counted(self, metric: str) -> int:
        """Units that were served and not counted (`exposure`), or outcomes that came `late` or are an `orphan`."""
        return sum(m.n for (_, position, name), m in self.moments.items() if position == NOT_COUNTED and name == metric)


@dataclass(frozen=True, slots=True)
class Look:
    """The primary metric's sums at one moment, by position."""

    phase: int
    n: int
    at: datetime
    moments: dict[int, Moments]


def metric_of_sums(metric: str) -> str:
    """The sums in which a metric is found: a p95's history is that of the typical latency."""
    return "log_latency" if metric == "latency_p95" else metric


def is_look_due(n: int, last: int | None) -> bool:
    """Tell if n units are a twentieth more than at the last look."""
    return bool(n) and n >= LOOK_GROWTH * (last or 0) and n > (last or 0)


def table_of(totals: Sequence[Totals]) -> NDArray[np.float64]:
    """Totals of units, shape (units, totals); dollars for money."""
    table = np.array(totals, dtype=np.float64).reshape(len(totals), len(TOTALS))
    table[:, AT["cost_nano_usd"]] *= 1e-9
    return table


def pairs_of(table: NDArray[np.float64], metric: str) -> NDArray[np.float64]:
    """The (x, y) of each unit that has any, shape (units, 2)."""
    x, y = PAIRS[metric]
    pairs = np.zeros((len(table), 2))
    pairs[:, 0] = table[:, AT[x]]
    if y is not None:
        pairs[:, 1] = table[:, AT[y]]
    kept: NDArray[np.float64] = pairs[pairs.any(axis=1)]
    return kept


def moved_sums(sums: SumsByKey, moved: Moved, latencies: Mapping[Key, dict[int, int]]) -> SumsByKey:
    """The sums that change where units' totals do, as they will be. latencies: {bucket: count} that are added."""
    found: SumsByKey = {}
    for key, changed in sorted(moved.items()):
        removed, added = (table_of(totals) for totals in changed)
        for metric in PAIRS:
            before, after = pairs_of(removed, metric), pairs_of(added, metric)
            moments, blob = sums.get((*key, metric), (Moments(), None))
            counts = latencies.get(key) if metric == "latency" else None
            if np.array_equal(before, after) and not counts:
                continue
            blob = histogram.merge(blob or b"", counts) if counts else blob
            found[(*key, metric)] = moments.changed(before, after), blob
    return found


@dataclass(slots=True)
class GatheredSums:
    """Sums gathered from units, one after the other."""

    moments: dict[tuple[Key, str], Moments] = field(default_factory=dict)
    latencies: dict[Key, dict[int, int]] = field(default_factory=dict)
    _waiting: dict[Key, list[Totals]] = field(default_factory=dict)

    def add(self, key: Key, totals: Totals) -> None:
        rows = self._waiting.setdefault(key, [])
        rows.append(totals)
        if len(rows) >= 20_000:
            self._merge(key, self._waiting.pop(key))

    def add_latency(self, key: Key, latency_us: int) -> None:
        counts = self.latencies.setdefault(key, {})
        bucket = histogram.bucket_of(latency_us)
        counts[bucket] = counts.get(bucket, 0) + 1

    def finish(self) -> None:
        for key, rows in self._waiting.items():
            self._merge(key, rows)
        self._waiting = {}

    def _merge(self, key: Key, rows: list[Totals]) -> None:
        table = table_of(rows)
        for metric in PAIRS:
            pairs = pairs_of(table, metric)
            if len(pairs):
                old = self.moments.get((key, metric), Moments())
                self.moments[(key, metric)] = old.merged(Moments().changed(pairs[:0], pairs))


def are_same_totals(one: Iterable[float], other: Iterable[float]) -> bool:
    return all(math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9) for a, b in zip(one, other, strict=True))


def agree(one: Moments, other: Moments) -> bool:
    """Tell if two moments are the same, to the digits that a sum in another order keeps."""
    if one.n != other.n:
        return False
    if not one.n:
        return True
    other = other.rebased(one.origin)
    n = one.n
    # What a value can be off by after sums in another order: relative to itself, and to what was taken off it.
    off_x = 1e-9 * max(1.0, abs(one.mean_x))
    off_y = 1e-9 * max(1.0, abs(one.mean_y)) + 1e-12 * abs(one.origin * one.mean_x)
    spread_x, spread_y = math.sqrt(one.m_xx / n), math.sqrt(one.m_yy / n)
    limits = {
        "mean_x": off_x,
        "mean_y": off_y,
        "m_xx": n * off_x * (2 * spread_x + 1),
        "m_xy": n * (off_x * (spread_y + 1) + off_y * (spread_x + 1)),
        "m_yy": n * off_y * (2 * spread_y + 1),
    }
    return all(abs(getattr(one, name) - getattr(other, name)) <= limit for name, limit in limits.items())
