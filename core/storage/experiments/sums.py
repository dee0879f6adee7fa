"""Rows of units and of the sums over them: read before a decision, written once a transaction after it."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select, text

from core.assignment.counting import Changes, Unit
from core.formats import strict_json as json
from core.statistics.experiments.moments import Moments
from core.statistics.experiments.sums import (
    NOT_COUNTED,
    TOTALS,
    Key,
    SumsByKey,
    is_look_due,
    metric_of_sums,
    moved_sums,
)
from core.storage.engine.bulk import as_value, insert_many, is_among, update_many
from core.storage.engine.damaged import Parts
from core.storage.engine.prepared import Prepared
from core.storage.engine.records import upsert
from core.storage.experiments.schema import (
    experiment_days,
    experiment_looks,
    experiment_sums,
    experiment_units,
    experiments,
)

MOMENTS = ("n", "mean_x", "mean_y", "m_xx", "m_xy", "m_yy", "origin")
KEY = ("experiment_id", "phase", "position")
_LOCK = 7_264_112


def lock(connection: Connection) -> None:
    """PostgreSQL: one process at a time reads, changes and writes sums. SQLite's transaction is alone anyway."""
    if connection.dialect.name != "sqlite":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))


def units_of(connection: Connection, ids: Iterable[str]) -> dict[str, Unit]:
    """The units of these assignments that are on record, by assignment."""
    found = _UNITS.run(connection, {"ids": as_value(connection.dialect.name, ids)})
    return {row[0]: Unit(row[0], row[1], row[2], row[3], row[4], row[5:]) for row in found}


def save(connection: Connection, changes: Changes, now_us: int) -> None:
    """Write units, sums, days and looks."""
    new = [
        dict(zip(KEY, (unit.experiment_id, unit.phase, unit.position), strict=True))
        | {"assignment_id": unit.id, "unit_id": unit_id, "reason": unit.reason, "created_at": at_us}
        | dict(zip(TOTALS, changes.totals[unit.id], strict=True))
        for unit, unit_id, at_us in changes.new.values()
    ]
    insert_many(connection, experiment_units, new)
    values = [
        {"assignment_id": unit.id, **dict(zip(TOTALS, totals, strict=True))} for unit, totals in changes.changed()
    ]
    update_many(connection, experiment_units, "assignment_id", values)
    if moved := changes.moved():
        sums = _sums_of(connection, moved)
        changed = moved_sums(sums, moved, changes.latencies)
        _PUT_SUMS.run_many(connection, [sum_row(at[:3], at[3], *value) for at, value in changed.items()])
        for experiment_id, phase in sorted({key[:2] for key in moved}):
            _look(connection, experiment_id, phase, now_us, sums | changed)
    _add_days(connection, changes.days)


def _units(dialect: str) -> Any:
    c = experiment_units.c
    columns = (c.assignment_id, c.experiment_id, c.phase, c.position, c.reason, *(c[name] for name in TOTALS))
    return select(*columns).where(is_among(dialect, c.assignment_id, bindparam("ids")))


def _sums(_: str) -> Any:
    c = experiment_sums.c
    columns = (c.position, c.metric, c.histogram, *(c[name] for name in MOMENTS))
    return select(*columns).where(c.experiment_id == bindparam("experiment_id"), c.phase == bindparam("phase"))


def _last_look(_: str) -> Any:
    c, e = experiment_looks.c, experiments.c
    last = select(func.max(c.n)).where(c.experiment_id == e.id, c.phase == bindparam("phase")).scalar_subquery()
    return select(e.design, last).where(e.id == bindparam("experiment_id"))


_UNITS, _SUMS, _LAST_LOOK = Prepared(_units), Prepared(_sums), Prepared(_last_look)
_PUT_SUMS = Prepared(lambda dialect: upsert(dialect, experiment_sums))
_ADD_DAYS = Prepared(lambda dialect: upsert(dialect, experiment_days, adds=True))


def sum_row(key: tuple[Any, ...], metric: str, moments: Moments, blob: bytes | None) -> dict[str, Any]:
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
    names = experiment_days.c.keys()
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
    if is_look_due(n, last):
        kept = {position: [getattr(moments, name) for name in MOMENTS] for position, moments in sorted(sums.items())}
        row = {"experiment_id": experiment_id, "phase": phase, "n": n, "at": now_us, "sums": json.dumps(kept)}
        connection.execute(insert(experiment_looks), [row])
