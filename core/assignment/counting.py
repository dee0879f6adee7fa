"""Totals of units as calls and outcomes are added to them, gathered for one transaction. Pure.

A unit (user, session, request) is what was randomised; its totals are one observation, however many calls it made.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from core.clock import DAY_US
from core.statistics import histogram
from core.statistics.experiments.sums import AT, NOT_COUNTED, NOTHING, Key, Moved, Totals

_FAILED = ("error", "blocked", "truncated")


class Unit(NamedTuple):
    """A unit on record.

    id: Of its assignment.
    reason: Why it is not counted; empty = it is.
    totals: By TOTALS.
    """

    id: str
    experiment_id: str
    phase: int
    position: int
    reason: str
    totals: Sequence[float] = NOTHING

    @property
    def key(self) -> Key:
        return self.experiment_id, self.phase, NOT_COUNTED if self.reason else self.position


class NewUnit(NamedTuple):
    """A unit that was not on record. unit_id: As its program names it."""

    unit: Unit
    unit_id: str
    at_us: int


@dataclass(slots=True)
class Changes:
    """The changes of one transaction, gathered so that each row is written once.

    units: Those on record that it may touch, by id; those that it adds join them.
    totals: Of the units that it touches, as they will be.
    alone: Outcomes of no unit: the totals of a unit of their own before and after.
    days: Key and day -> units, outcomes and successes that are added.
    latencies: Key -> {bucket: count} that are added.
    """

    units: dict[str, Unit]
    totals: dict[str, Totals] = field(default_factory=dict)
    new: dict[str, NewUnit] = field(default_factory=dict)
    alone: list[tuple[Key, Totals, Totals]] = field(default_factory=list)
    days: dict[tuple[Any, ...], list[int]] = field(default_factory=dict)
    latencies: dict[Key, dict[int, int]] = field(default_factory=dict)

    def totals_of(self, unit: Unit) -> Totals:
        """A unit's totals, to be changed in place."""
        found = self.totals.get(unit.id)
        if found is None:
            found = self.totals[unit.id] = list(unit.totals)
        return found

    def add_unit(self, unit: Unit, unit_id: str, at_us: int) -> None:
        self.units[unit.id] = unit
        self.new[unit.id] = NewUnit(unit, unit_id, at_us)
        self.totals_of(unit)[AT["n_exposed"]] = 1
        self.add_to_day(unit.key, at_us, 1)

    def mark_multiple(self, unit: Unit, others: Sequence[Unit]) -> None:
        """Note that a unit was in two variants: in one of its assignments, so that it counts once."""
        if not any(self.totals.get(other.id, other.totals)[AT["n_multiple"]] for other in others):
            self.totals_of(unit)[AT["n_multiple"]] = 1

    def add_to_day(self, key: Key, at_us: int, *added: int) -> None:
        entry = self.days.setdefault((*key, at_us // DAY_US * DAY_US), [0, 0, 0])
        for at, value in enumerate(added):
            entry[at] += value

    def changed(self) -> list[tuple[Unit, Totals]]:
        """The units on record whose totals are others than they were."""
        return [
            (unit, totals)
            for unit, totals in self._touched()
            if unit.id not in self.new and totals != list(unit.totals)
        ]

    def moved(self) -> Moved:
        """Key -> the totals that leave its sums, and those that come."""
        moved: Moved = {}
        for unit, after in self._touched():
            before = None if unit.id in self.new else list(unit.totals)
            if before != after:
                removed, added = moved.setdefault(unit.key, ([], []))
                removed += [] if before is None else [before]
                added.append(after)
        for key, before, after in self.alone:
            removed, added = moved.setdefault(key, ([], []))
            removed.append(before)
            added.append(after)
        return moved

    def _touched(self) -> list[tuple[Unit, Totals]]:
        """In the order of the units: sums of floats depend on it."""
        return [(unit, self.totals[at]) for at, unit in self.units.items() if at in self.totals]


def add_call(totals: Totals, row: Any) -> None:
    """Add one generation row to its unit's totals."""
    totals[AT["n_calls"]] += 1
    totals[AT["n_errors"]] += row["status"] in _FAILED
    totals[AT["tokens"]] += row["input_tokens"] + row["output_tokens"]
    if row["cost_nano_usd"] is not None:
        totals[AT["n_priced"]] += 1
        totals[AT["cost_nano_usd"]] += row["cost_nano_usd"]
    if row["status"] == "ok":
        seconds = max(row["latency_us"], histogram.MIN_US) / 1e6
        totals[AT["n_ok"]] += 1
        totals[AT["latency_sum_s"]] += seconds
        totals[AT["log_latency_sum"]] += math.log(seconds)


def add_outcome(
    totals: Totals, success: int | None, rating: float | None, number: float | None, sign: int = 1
) -> Totals:
    """Add an outcome to its unit's totals, or take it back."""
    if success is not None:
        totals[AT["n_outcomes"]] += sign
        totals[AT["n_successes"]] += sign * success
    if rating is not None:
        totals[AT["n_ratings"]] += sign
        totals[AT["rating_sum"]] += sign * rating
    if number is not None:
        totals[AT["n_numbers"]] += sign
        totals[AT["number_sum"]] += sign * number
    return totals


def count_calls(units: Mapping[str, Unit], rows: Sequence[Mapping[str, Any]]) -> Changes:
    """Add calls to the totals of their units (`ref_part`)."""
    changes = Changes(dict(units))
    for row in rows:
        unit = units.get(row["ref_part"])
        if unit is not None:
            totals = changes.totals_of(unit)
            is_first = row["status"] == "ok" and not totals[AT["n_ok"]]
            add_call(totals, row)
            if is_first:
                # One latency a unit: calls of one user hang together, and a p95 has no totals to add up.
                totals[AT["first_latency_us"]] = row["latency_us"]
                counts = changes.latencies.setdefault(unit.key, {})
                bucket = histogram.bucket_of(row["latency_us"])
                counts[bucket] = counts.get(bucket, 0) + 1
    return changes
