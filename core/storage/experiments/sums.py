"""Totals of units and the sums over them: sufficient statistics that are written once a transaction.

A unit (user, session, request) is what was randomised; its totals are one observation, however many calls it made.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, bindparam, func, insert, select, text
from sqlalchemy.dialects import postgresql, sqlite

from core.clock import DAY_US
from core.formats import strict_json as json
from core.statistics import histogram
from core.statistics.moments import Moments
from core.storage.calls.reading import Parts
from core.storage.engine.bulk import as_value, insert_many, is_among, update_many
from core.storage.engine.prepared import Prepared
from core.storage.experiments.schema import (
    UNIT_TOTALS,
    experiment_days,
    experiment_looks,
    experiment_sums,
    experiment_units,
    experiments,
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
MOMENTS = ("n", "mean_x", "mean_y", "m_xx", "m_xy", "m_yy", "origin")
KEY = ("experiment_id", "phase", "position")
DAY_COUNTS = ("n_exposed", "n_outcomes", "n_successes")
NOT_COUNTED = -1  # the position under which excluded units are summed
LOOK_GROWTH = 1.05
_LOCK = 7_264_112

Key = tuple[str, int, int]  # experiment, phase, position
Totals = list[float]
SumsByKey = dict[tuple[Any, ...], tuple[Moments, bytes | None]]  # key and metric -> moments, histogram


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


def units_of(connection: Connection, ids: Iterable[str]) -> list[Unit]:
    """The units of these assignments that are on record."""
    found = _UNITS.run(connection, {"ids": as_value(connection.dialect.name, ids)})
    return [Unit(row[0], row[1], row[2], row[3], row[4], list(row[5:])) for row in found]


def save(connection: Connection, changes: Changes) -> None:
    """Write units, sums, days and looks."""
    moved: dict[Key, tuple[list[Totals], list[Totals]]] = {}
    new = [row | dict(zip(TOTALS, changes.units[row["assignment_id"]].totals, strict=True)) for row in changes.new]
    insert_many(connection, experiment_units, new)
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
    values = [{"assignment_id": unit.id, **dict(zip(TOTALS, unit.totals, strict=True))} for unit in changed]
    update_many(connection, experiment_units, "assignment_id", values)
    if moved:
        sums = _move_sums(connection, moved, changes.latencies)
        for experiment_id, phase in sorted({key[:2] for key in moved}):
            _look(connection, experiment_id, phase, changes.now_us, sums)
    _add_days(connection, changes.days)


def _units(dialect: str) -> Any:
    c = experiment_units.c
    columns = (c.assignment_id, c.experiment_id, c.phase, c.position, c.reason, *(c[name] for name in TOTALS))
    return select(*columns).where(is_among(dialect, c.assignment_id, bindparam("ids")))


def _sums(_: str) -> Any:
    c = experiment_sums.c
    columns = (c.position, c.metric, c.histogram, *(c[name] for name in MOMENTS))
    return select(*columns).where(c.experiment_id == bindparam("experiment_id"), c.phase == bindparam("phase"))


def _put_sums(dialect: str) -> Any:
    statement = (sqlite if dialect == "sqlite" else postgresql).insert(experiment_sums)
    changes = {name: statement.excluded[name] for name in (*MOMENTS, "histogram")}
    return statement.on_conflict_do_update(index_elements=[*KEY, "metric"], set_=changes)


def _days(dialect: str) -> Any:
    statement = (sqlite if dialect == "sqlite" else postgresql).insert(experiment_days)
    changes = {name: experiment_days.c[name] + statement.excluded[name] for name in DAY_COUNTS}
    return statement.on_conflict_do_update(index_elements=[*KEY, "day_at"], set_=changes)


def _last_look(_: str) -> Any:
    c, e = experiment_looks.c, experiments.c
    last = select(func.max(c.n)).where(c.experiment_id == e.id, c.phase == bindparam("phase")).scalar_subquery()
    return select(e.design, last).where(e.id == bindparam("experiment_id"))


_UNITS, _SUMS, _PUT_SUMS = Prepared(_units), Prepared(_sums), Prepared(_put_sums)
_ADD_DAYS, _LAST_LOOK = Prepared(_days), Prepared(_last_look)


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


def _move_sums(
    connection: Connection, moved: dict[Key, tuple[list[Totals], list[Totals]]], latencies: dict[Key, dict[int, int]]
) -> SumsByKey:
    """Write what has changed; all sums of the phases concerned, as they are now."""
    sums = _sums_of(connection, moved)
    rows = []
    for key, changed in sorted(moved.items()):
        removed, added = (table_of(totals) for totals in changed)
        for metric in PAIRS:
            before, after = pairs_of(removed, metric), pairs_of(added, metric)
            moments, blob = sums.get((*key, metric), (Moments(), None))
            counts = latencies.get(key) if metric == "latency" else None
            if np.array_equal(before, after) and not counts:
                continue
            moments = moments.changed(before, after)
            blob = histogram.merge(blob or b"", counts) if counts else blob
            sums[(*key, metric)] = moments, blob
            rows.append(sum_row(key, metric, moments, blob))
    _PUT_SUMS.run_many(connection, rows)
    return sums


def sum_row(key: Key, metric: str, moments: Moments, blob: bytes | None) -> dict[str, Any]:
    values = {name: getattr(moments, name) for name in MOMENTS}
    return {**dict(zip(KEY, key, strict=True)), "metric": metric, **values, "histogram": blob}


def _sums_of(connection: Connection, keys: Iterable[Key]) -> SumsByKey:
    found: SumsByKey = {}
    for phase in sorted({key[:2] for key in keys}):
        for position, metric, blob, n, *others in _SUMS.run(connection, dict(zip(KEY, phase, strict=False))):
            found[(*phase, position, metric)] = Moments(int(n), *map(float, others)), blob
    return found


def add_to_sum(connection: Connection, key: Key, metric: str, n: int) -> None:
    """A bare count among the sums: of outcomes that came late, or belong to nothing."""
    old = _sums_of(connection, [key]).get((*key, metric), (Moments(), None))[0]
    row = sum_row(key, metric, Moments(old.n + n, 1.0), None)
    _PUT_SUMS.run(connection, row)


def _add_days(connection: Connection, days: dict[tuple[Any, ...], list[int]]) -> None:
    names = (*KEY, "day_at", *DAY_COUNTS)
    rows = [dict(zip(names, (*key, *added), strict=True)) for key, added in sorted(days.items())]
    _ADD_DAYS.run_many(connection, rows)


def _look(connection: Connection, experiment_id: str, phase: int, now_us: int, all_sums: SumsByKey) -> None:
    """Keep the primary metric's sums if they have grown by a twentieth since they were kept last."""
    [(design, last)] = _LAST_LOOK.run(connection, {"experiment_id": experiment_id, "phase": phase})
    primary = Parts({"design": design or "{}"}).read("design", lambda text: json.loads(text).get("primary", ""), "")
    metric = metric_of_sums(primary or "success")
    sums = {
        key[2]: moments
        for key, (moments, _) in all_sums.items()
        if key[:2] == (experiment_id, phase) and key[3] == metric and key[2] != NOT_COUNTED
    }
    n = sum(moments.n for moments in sums.values())
    if n and n >= LOOK_GROWTH * (last or 0) and n > (last or 0):
        kept = {position: [getattr(moments, name) for name in MOMENTS] for position, moments in sorted(sums.items())}
        row = {"experiment_id": experiment_id, "phase": phase, "n": n, "at": now_us, "sums": json.dumps(kept)}
        connection.execute(insert(experiment_looks), [row])


def metric_of_sums(metric: str) -> str:
    """The sums in which a metric is found: a p95's history is that of the typical latency."""
    return "log_latency" if metric == "latency_p95" else metric
