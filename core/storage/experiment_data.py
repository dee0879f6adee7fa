"""What is recorded of experiments: units, outcomes, calls, and the sums that pages read instead of rows.

Every function runs in its caller's transaction: what is recorded and the sums over it change together or not at all.
A unit (user, session, request) is what was randomised; its totals are one observation, however many calls it made.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, bindparam, func, insert, select, text, update
from sqlalchemy.dialects import postgresql, sqlite

from core.clock import DAY_US
from core.domain.experiment import Assignment, Experiment, OutcomeInput, OutcomeState, assignment_id
from core.statistics.moments import Moments
from core.storage import histogram
from core.storage.schema import (
    UNIT_TOTALS,
    experiment_days,
    experiment_looks,
    experiment_outcomes,
    experiment_sums,
    experiment_units,
    experiments,
    generations,
)

TOTALS = tuple(UNIT_TOTALS)
AT = {name: at for at, name in enumerate(TOTALS)}
# Metric -> what is x and what is y of a unit. A ratio of sums is the estimate, Σy / Σx.
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
MOMENTS = ("n", "mean_x", "mean_y", "m_xx", "m_xy", "m_yy")
KEY = ("experiment_id", "phase", "position")
NOT_COUNTED = -1  # the position under which excluded units are summed
LOOK_GROWTH = 1.05
_FAILED = ("error", "blocked", "truncated")
_CHUNK = 4000  # both databases take more in one statement
_LOCK = 7_264_112

Key = tuple[str, int, int]  # experiment, phase, position
Totals = list[float]


def nothing() -> Totals:
    return [0] * len(TOTALS)


class Unit(NamedTuple):
    """A row of experiment_units; totals: by TOTALS, changed in place."""

    id: str
    experiment_id: str
    phase: int
    position: int
    reason: str
    totals: Totals

    @property
    def key(self) -> Key:
        return self.experiment_id, self.phase, NOT_COUNTED if self.reason else self.position


@dataclass(slots=True)
class Changes:
    """What a transaction changes, gathered so that each row is written once."""

    now_us: int
    units: dict[str, Unit] = field(default_factory=dict)
    before: dict[str, Totals] = field(default_factory=dict)  # the totals as they were, of units that were there
    new: list[dict[str, Any]] = field(default_factory=list)  # rows of units that were not, without their totals
    alone: list[tuple[Key, Totals, Totals]] = field(default_factory=list)  # outcomes of no unit: before, after
    days: dict[tuple[Any, ...], list[int]] = field(default_factory=dict)  # key and day -> exposed, outcomes, successes
    latencies: dict[Key, dict[int, int]] = field(default_factory=dict)

    def load(self, connection: Connection, ids: Iterable[str]) -> None:
        missing = [one for one in dict.fromkeys(ids) if one not in self.units]
        for unit in units_of(connection, missing):
            self.units[unit.id] = unit
            self.before[unit.id] = list(unit.totals)

    def day(self, key: Key, at_us: int, *added: int) -> None:
        entry = self.days.setdefault((*key, at_us // DAY_US * DAY_US), [0, 0, 0])
        for at, value in enumerate(added):
            entry[at] += value


def lock(connection: Connection) -> None:
    """PostgreSQL: sums are read, changed and written, by one process at a time. SQLite's transaction is alone anyway."""
    if connection.dialect.name != "sqlite":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))


def expose(connection: Connection, experiment: Experiment, given: Sequence[tuple[Assignment, int]]) -> dict[str, Unit]:
    """Record units with the moment they came. Returns assignment id -> the unit: one that came before is as it was."""
    lock(connection)
    changes = Changes(max((at for _, at in given), default=0))
    found = _add_units(connection, changes, experiment, given)
    save(connection, changes)
    return found


def log_calls(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add freshly logged generation rows that belong to a unit of an experiment."""
    mine = [row for row in rows if (row["ref_part"] or "").startswith("a_")]
    if not mine:
        return
    lock(connection)
    changes = Changes(max(row["created_at"] for row in mine))
    changes.load(connection, [row["ref_part"] for row in mine])
    for row in mine:
        unit = changes.units.get(row["ref_part"])
        if unit is not None:
            add_call(unit.totals, row)
            if row["status"] == "ok":
                counts = changes.latencies.setdefault(unit.key, {})
                bucket = histogram.bucket_of(row["latency_us"])
                counts[bucket] = counts.get(bucket, 0) + 1
    save(connection, changes)


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


def add_outcome(totals: Totals, outcome: Any, sign: int = 1) -> None:
    """Add an outcome (with success, rating, number) to its unit's totals, or take it back."""
    if outcome.success is not None:
        totals[AT["n_outcomes"]] += sign
        totals[AT["n_successes"]] += sign * int(outcome.success)
    if outcome.rating is not None:
        totals[AT["n_ratings"]] += sign
        totals[AT["rating_sum"]] += sign * outcome.rating
    if outcome.number is not None:
        totals[AT["n_numbers"]] += sign
        totals[AT["number_sum"]] += sign * outcome.number


def record(
    connection: Connection, experiment: Experiment, given: Sequence[tuple[str, OutcomeInput]], now_us: int
) -> list[OutcomeState]:
    """Record outcomes, each with its id; `variant` is a position or None. What becomes of each, in order.

    Of a generation the last outcome counts. What comes after the window, belongs to nothing on record, or to a unit
    that is not counted, is kept and not counted. A variant named for a unit that was never seen makes it seen.
    """
    lock(connection)
    changes = Changes(now_us)
    places = _places(connection, changes, experiment, [outcome for _, outcome in given])
    earlier = _earlier(connection, experiment.id, [o.generation_id for _, o in given if o.generation_id])
    stopped_us = None if experiment.stopped_at is None else int(experiment.stopped_at.timestamp() * 1e6)
    is_late = stopped_us is not None and now_us > stopped_us + experiment.design.window_days * DAY_US
    rows: list[dict[str, Any]] = []
    replaced: list[str] = []
    for (outcome_id, outcome), unit in zip(given, places, strict=True):
        row = _outcome_row(experiment, outcome_id, outcome, unit, now_us)
        if isinstance(unit, str):
            row["state"] = unit
        elif is_late:
            row["state"] = "late"
        elif isinstance(unit, Unit) and unit.reason:
            row["state"] = "excluded"
        else:
            _count(changes, experiment, row, outcome, unit)
            old = earlier.get(outcome.generation_id) if outcome.generation_id else None
            if old is not None:
                _take_back(changes, experiment, old, unit)
                old["state"] = "replaced"
                replaced.append(old["id"])
            earlier[outcome.generation_id] = row
        rows.append(row)
    if replaced:
        statement = update(experiment_outcomes).where(experiment_outcomes.c.id == bindparam("b_id"))
        connection.execute(statement.values(state="replaced"), [{"b_id": one} for one in replaced])
    connection.execute(insert(experiment_outcomes), rows)
    save(connection, changes)
    for state in ("late", "orphan"):
        n = sum(row["state"] == state for row in rows)
        if n:
            _add_to_sum(connection, (experiment.id, experiment.phase, NOT_COUNTED), state, n)
    return [row["state"] for row in rows]


def _outcome_row(
    experiment: Experiment, outcome_id: str, outcome: OutcomeInput, unit: "Unit | int | str", now_us: int
) -> dict[str, Any]:
    is_unit = isinstance(unit, Unit)
    return {
        "id": outcome_id,
        "experiment_id": experiment.id,
        "phase": unit.phase if isinstance(unit, Unit) else experiment.phase,
        "position": unit.position if isinstance(unit, Unit) else unit if isinstance(unit, int) else None,
        "assignment_id": unit.id if is_unit else None,  # type: ignore[union-attr]
        "generation_id": outcome.generation_id,
        "success": None if outcome.success is None else int(outcome.success),
        "rating": outcome.rating,
        "number": outcome.number,
        "text": outcome.text or None,
        "state": "counted",
        "created_at": now_us,
    }


def _count(
    changes: Changes, experiment: Experiment, row: dict[str, Any], outcome: OutcomeInput, unit: "Unit | int | str"
) -> None:
    if isinstance(unit, Unit):
        add_outcome(unit.totals, outcome)
    else:
        after = nothing()
        add_outcome(after, outcome)
        changes.alone.append(((experiment.id, experiment.phase, row["position"]), nothing(), after))
    changes.day(
        (experiment.id, row["phase"], row["position"]), row["created_at"], 0, 1, int(bool(outcome.success))
    )  # fmt: skip


class _Old(NamedTuple):
    success: int | None
    rating: float | None
    number: float | None


def _take_back(changes: Changes, experiment: Experiment, old: dict[str, Any], unit: "Unit | int | str") -> None:
    values = _Old(old["success"], old["rating"], old["number"])
    key = (experiment.id, old["phase"], old["position"])
    if isinstance(unit, Unit) and old["assignment_id"] == unit.id:
        add_outcome(unit.totals, values, -1)
    else:
        before = nothing()
        add_outcome(before, values)
        changes.alone.append((key, before, nothing()))
    changes.day(key, old["created_at"], 0, -1, -int(bool(old["success"])))


def _places(
    connection: Connection, changes: Changes, experiment: Experiment, outcomes: Sequence[OutcomeInput]
) -> "list[Unit | int | str]":
    """Where each outcome belongs: a unit, a variant's position alone, or "orphan"."""
    of_generation = _assignments_of(connection, experiment.id, [o.generation_id for o in outcomes if o.generation_id])
    wanted: list[list[str]] = []
    for outcome in outcomes:
        if outcome.assignment_id:
            wanted.append([outcome.assignment_id])
        elif outcome.generation_id and outcome.generation_id in of_generation:
            wanted.append([of_generation[outcome.generation_id]])
        elif outcome.unit_id:
            wanted.append(_ids_of(experiment, outcome.unit_id))
        else:
            wanted.append([])
    changes.load(connection, (one for ids in wanted for one in ids))
    claimed = [
        (_claim(experiment, outcome), changes.now_us)
        for outcome, ids in zip(outcomes, wanted, strict=True)
        if outcome.unit_id and isinstance(outcome.variant, int) and not outcome.generation_id
        and not any(one in changes.units for one in ids)
    ]  # fmt: skip
    _add_units(connection, changes, experiment, claimed)
    places: list[Unit | int | str] = []
    for outcome, ids in zip(outcomes, wanted, strict=True):
        found = next((changes.units[one] for one in ids if one in changes.units), None)
        if found is not None and found.experiment_id == experiment.id:
            if isinstance(outcome.variant, int) and outcome.variant != found.position:
                found.totals[AT["n_multiple"]] = 1
            places.append(found)
        elif outcome.assignment_id or outcome.generation_id or outcome.unit_id or outcome.variant is None:
            places.append("orphan")
        else:
            places.append(int(outcome.variant))
    return places


@lru_cache(maxsize=20_000)
def _ids(experiment_id: str, n_phases: int, unit_id: str) -> list[str]:
    return [
        assignment_id(experiment_id, phase, unit_id, is_counted=counted)
        for counted in (True, False)
        for phase in range(n_phases, 0, -1)
    ]


def _ids_of(experiment: Experiment, unit_id: str) -> list[str]:
    """Every assignment that a unit may have: the counted ones first, of the latest phase first."""
    return _ids(experiment.id, experiment.phase, unit_id)


def _claim(experiment: Experiment, outcome: OutcomeInput) -> Assignment:
    unit_id = outcome.unit_id or ""
    return Assignment(
        id=assignment_id(experiment.id, experiment.phase, unit_id),
        experiment_id=experiment.id,
        phase=experiment.phase,
        unit_id=unit_id,
        position=int(outcome.variant or 0),
    )


def _assignments_of(connection: Connection, experiment_id: str, ids: Sequence[str]) -> dict[str, str]:
    """Generation -> assignment, of the experiment's own generations."""
    c, found = generations.c, {}
    for part in _parts(ids):
        statement = select(c.id, c.ref_part).where(c.id.in_(part), c.ref_id == experiment_id)
        found.update({row.id: row.ref_part for row in connection.execute(statement)})
    return found


def _earlier(connection: Connection, experiment_id: str, ids: Sequence[str]) -> dict[str | None, dict[str, Any]]:
    """Generation -> its outcome that counts so far."""
    c, found = experiment_outcomes.c, {}
    for part in _parts(ids):
        statement = select(experiment_outcomes).where(c.generation_id.in_(part), c.experiment_id == experiment_id)
        for row in connection.execute(statement.where(c.state == "counted")).mappings():
            found[row["generation_id"]] = dict(row)
    return found


def _parts(ids: Iterable[str]) -> Iterable[list[str]]:
    distinct = list(dict.fromkeys(ids))
    return (distinct[start : start + _CHUNK] for start in range(0, len(distinct), _CHUNK))


def units_of(connection: Connection, ids: Iterable[str]) -> list[Unit]:
    """The units of these assignments that are on record."""
    found = []
    for part in _parts(ids):
        for row in connection.execute(_units_statement(), {"ids": part}):
            found.append(Unit(row[0], row[1], row[2], row[3], row[4], list(row[5:])))
    return found


@cache
def _units_statement() -> Any:
    c = experiment_units.c
    columns = (c.assignment_id, c.experiment_id, c.phase, c.position, c.reason, *(c[name] for name in TOTALS))
    return select(*columns).where(c.assignment_id.in_(bindparam("ids", expanding=True)))


def _add_units(
    connection: Connection, changes: Changes, experiment: Experiment, given: Sequence[tuple[Assignment, int]]
) -> dict[str, Unit]:
    """Insert the units that are not there yet; mark those that have been seen in another variant.

    A unit of an earlier phase stays there with its variant while that is served as it was: each unit is in one
    phase, so that phases are apart. Returns assignment id -> unit.
    """
    others = {
        assignment.id: [one for one in _ids_of(experiment, assignment.unit_id) if one != assignment.id]
        for assignment, _ in given
    }
    changes.load(connection, [one for id_, ids in others.items() for one in (id_, *ids)])
    found = {}
    for assignment, at_us in given:
        earlier = (changes.units[one] for one in others[assignment.id] if one in changes.units)
        kept = changes.units.get(assignment.id)
        if kept is None and assignment.is_counted:
            kept = next((unit for unit in earlier if not unit.reason and _is_served(experiment, unit)), None)
        if kept is not None:
            found[assignment.id] = kept
            continue
        unit = Unit(assignment.id, experiment.id, assignment.phase, assignment.position, assignment.reason, nothing())
        unit.totals[AT["n_exposed"]] = 1
        for other in (changes.units[one] for one in others[assignment.id] if one in changes.units):
            if other.position != unit.position:
                unit.totals[AT["n_multiple"]] = other.totals[AT["n_multiple"]] = 1
        found[assignment.id] = changes.units[unit.id] = unit
        changes.day(unit.key, at_us, 1)
        changes.new.append({
            "assignment_id": unit.id, "experiment_id": unit.experiment_id, "phase": unit.phase,
            "unit_id": assignment.unit_id, "position": unit.position, "reason": unit.reason, "created_at": at_us,
        })  # fmt: skip
    return found


def _is_served(experiment: Experiment, unit: Unit) -> bool:
    """Whether a unit's variant of an earlier phase still gets traffic as it was."""
    then = [v for p in experiment.phases if p.number == unit.phase for v in p.variants if v.position == unit.position]
    return any(now.is_same_as(then[0]) for now in experiment.served) if then else False


def save(connection: Connection, changes: Changes) -> None:
    """Write units, sums, days and looks."""
    moved: dict[Key, tuple[list[Totals], list[Totals]]] = {}
    if changes.new:
        whole = [
            row | dict(zip(TOTALS, changes.units[row["assignment_id"]].totals, strict=True)) for row in changes.new
        ]
        connection.execute(insert(experiment_units), whole)
    changed = []
    for unit in changes.units.values():
        before = changes.before.get(unit.id)
        if before == unit.totals:
            continue
        removed, added = moved.setdefault(unit.key, ([], []))
        if before is not None:
            changed.append(unit)
            removed.append(before)
        added.append(unit.totals)
    for key, before, after in changes.alone:
        removed, added = moved.setdefault(key, ([], []))
        removed.append(before)
        added.append(after)
    if changed:
        values: list[dict[str, Any]] = [
            {"b_id": unit.id, **dict(zip(TOTALS, unit.totals, strict=True))} for unit in changed
        ]
        connection.execute(_unit_update(), values)
    if moved:
        _move_sums(connection, moved, changes.latencies)
    _add_days(connection, changes.days)
    for experiment_id, phase in sorted({key[:2] for key in moved}):
        _look(connection, experiment_id, phase, changes.now_us)


@cache
def _unit_update() -> Any:
    values: dict[str, Any] = {name: bindparam(name) for name in TOTALS}
    return update(experiment_units).where(experiment_units.c.assignment_id == bindparam("b_id")).values(**values)


def pairs_of(totals: Sequence[Totals], metric: str) -> NDArray[np.float64]:
    """The (x, y) of each unit that has any, shape (units, 2); dollars for money."""
    x, y = PAIRS[metric]
    table = np.array(totals, dtype=np.float64).reshape(len(totals), len(TOTALS))
    pairs = np.zeros((len(table), 2))
    pairs[:, 0] = table[:, AT[x]]
    if y is not None:
        pairs[:, 1] = table[:, AT[y]] * (1e-9 if y == "cost_nano_usd" else 1)
    kept: NDArray[np.float64] = pairs[pairs.any(axis=1)]
    return kept


def _move_sums(
    connection: Connection, moved: dict[Key, tuple[list[Totals], list[Totals]]], latencies: dict[Key, dict[int, int]]
) -> None:
    old = _sums_of(connection, moved)
    rows = []
    for key, (removed, added) in sorted(moved.items()):
        for metric in PAIRS:
            before, after = pairs_of(removed, metric), pairs_of(added, metric)
            blob = old.get((*key, metric), (Moments(), None))[1]
            counts = latencies.get(key) if metric == "latency" else None
            if np.array_equal(before, after) and not counts:
                continue
            moments = old.get((*key, metric), (Moments(), None))[0].changed(before, after)
            blob = histogram.merge(blob or b"", counts) if counts else blob
            rows.append(sum_row(key, metric, moments, blob))
    if rows:
        connection.execute(_sums_upsert(connection.dialect.name), rows)


def sum_row(key: Key, metric: str, moments: Moments, blob: bytes | None) -> dict[str, Any]:
    values = {name: getattr(moments, name) for name in MOMENTS}
    return {**dict(zip(KEY, key, strict=True)), "metric": metric, **values, "histogram": blob}


@cache
def _sums_upsert(dialect: str) -> Any:
    statement = (sqlite if dialect == "sqlite" else postgresql).insert(experiment_sums)
    changes = {name: statement.excluded[name] for name in (*MOMENTS, "histogram")}
    return statement.on_conflict_do_update(index_elements=[*KEY, "metric"], set_=changes)


def _sums_of(connection: Connection, keys: Iterable[Key]) -> dict[tuple[Any, ...], tuple[Moments, bytes | None]]:
    found = {}
    for experiment_id, phase in sorted({key[:2] for key in keys}):
        c = experiment_sums.c
        statement = select(experiment_sums).where(c.experiment_id == experiment_id, c.phase == phase)
        for row in connection.execute(statement):
            moments = Moments(int(row.n), *(float(getattr(row, name)) for name in MOMENTS[1:]))
            found[(row.experiment_id, row.phase, row.position, row.metric)] = moments, row.histogram
    return found


def _add_to_sum(connection: Connection, key: Key, metric: str, n: int) -> None:
    """A bare count among the sums: of outcomes that came late, or belong to nothing."""
    old = _sums_of(connection, [key]).get((*key, metric), (Moments(), None))[0]
    row = sum_row(key, metric, Moments(old.n + n, 1.0), None)
    connection.execute(_sums_upsert(connection.dialect.name), [row])


def _add_days(connection: Connection, days: dict[tuple[Any, ...], list[int]]) -> None:
    if not days:
        return
    names = ("n_exposed", "n_outcomes", "n_successes")
    statement = (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(experiment_days)
    changes = {name: experiment_days.c[name] + statement.excluded[name] for name in names}
    statement = statement.on_conflict_do_update(index_elements=[*KEY, "day_at"], set_=changes)
    rows = [dict(zip((*KEY, "day_at", *names), (*key, *added), strict=True)) for key, added in sorted(days.items())]
    connection.execute(statement, rows)


def _look(connection: Connection, experiment_id: str, phase: int, now_us: int) -> None:
    """Keep the primary metric's sums if they have grown by a twentieth since they were kept last."""
    c, e = experiment_looks.c, experiments.c
    design = connection.execute(select(e.design).where(e.id == experiment_id)).scalar() or "{}"
    metric = metric_of_sums(json.loads(design).get("primary", "success"))
    last = connection.execute(
        select(func.max(c.n)).where(c.experiment_id == experiment_id, c.phase == phase)
    ).scalar_one()
    sums = {
        key[2]: moments
        for key, (moments, _) in _sums_of(connection, [(experiment_id, phase, 0)]).items()
        if key[3] == metric and key[2] != NOT_COUNTED
    }
    n = sum(moments.n for moments in sums.values())
    if n and n >= LOOK_GROWTH * (last or 0) and n > (last or 0):
        kept = {position: [getattr(moments, name) for name in MOMENTS] for position, moments in sorted(sums.items())}
        row = {"experiment_id": experiment_id, "phase": phase, "n": n, "at": now_us, "sums": json.dumps(kept)}
        connection.execute(insert(experiment_looks), [row])


def metric_of_sums(metric: str) -> str:
    """The sums in which a metric is found: a p95's history is that of the typical latency."""
    return "log_latency" if metric == "latency_p95" else metric
