"""Recompute an experiment's sums from its rows: to write them anew, or to say what differs."""

import hashlib
from collections.abc import Iterator
from itertools import chain, groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, select, update

from core.assignment.counting import add_call, add_outcome
from core.formats import strict_json as json
from core.statistics import histogram
from core.statistics.experiments.moments import Moments
from core.statistics.experiments.sums import (
    AT,
    BARE_COUNTS,
    NOT_COUNTED,
    TOTALS,
    GatheredSums,
    Key,
    Sums,
    Totals,
    agree,
    are_same_totals,
    nothing,
)
from core.storage.engine.database import in_batches
from core.storage.experiments.schema import (
    experiment_outcomes,
    experiment_runs,
    experiment_sums,
    experiment_units,
    experiments,
)
from core.storage.experiments.sums import MOMENTS, lock, sum_row
from core.storage.retention.deleted import calls_of_experiments

_PARTS = tuple(f"a_{first:x}" for first in range(16))  # units are read a sixteenth at a time


def needs_sums(connection: Connection) -> list[str]:
    """Experiments that have units or outcomes and no sums yet, as after a migration."""
    has_rows = (
        select(experiment_units.c.assignment_id).where(experiment_units.c.experiment_id == experiments.c.id).exists()
        | select(experiment_outcomes.c.id).where(experiment_outcomes.c.experiment_id == experiments.c.id).exists()
    )
    has_sums = select(experiment_sums.c.n).where(experiment_sums.c.experiment_id == experiments.c.id).exists()
    return list(connection.execute(select(experiments.c.id).where(has_rows, ~has_sums)).scalars())


def recomputed(connection: Connection, experiment_id: str) -> Sums:
    """The sums as the rows say, whatever is kept."""
    found = GatheredSums()
    for _ in _units(connection, experiment_id, found):
        continue
    _alone(connection, experiment_id, found)
    found.finish()
    moments = {(key[1], key[2], metric): m for (key, metric), m in found.moments.items()}
    o = experiment_outcomes.c
    for state in BARE_COUNTS:
        chosen = select(func.count()).where(o.experiment_id == experiment_id, o.state == state)
        if n := int(connection.execute(chosen).scalar_one()):
            moments[(0, NOT_COUNTED, state)] = Moments(n, 1.0)
    return Sums(moments, {key[1:]: histogram.encode(counts) for key, counts in found.latencies.items() if key[2] >= 0})


def data_hash(connection: Connection, experiment_id: str) -> str:
    """SHA-256 over the units and the outcomes that count, in the order of their ids."""
    digest = hashlib.sha256()
    u, o = experiment_units.c, experiment_outcomes.c
    units = select(u.assignment_id, u.unit_id, u.phase, u.position, u.reason).where(u.experiment_id == experiment_id)
    outcomes = select(o.id, o.assignment_id, o.generation_id, o.phase, o.position, o.success, o.rating, o.number).where(
        o.experiment_id == experiment_id, o.state == "counted"
    )
    for statement, order in ((units, u.assignment_id), (outcomes, o.id)):
        # Ordered by bytes, so that both databases give the same.
        in_order = statement.order_by(order.collate("C" if connection.dialect.name == "postgresql" else "BINARY"))
        for row in in_batches(connection, in_order):
            digest.update((json.dumps(list(row)) + "\n").encode())
    return digest.hexdigest()


def price_ids(connection: Connection, experiment_id: str) -> list[str]:
    """The price rows that the experiment's calls were charged with."""
    g = calls_of_experiments()
    chosen = select(g.price_id).where(g.ref_id == experiment_id, g.price_id != "").distinct()
    return sorted(connection.execute(chosen).scalars())


def rebuild(connection: Connection, experiment_id: str) -> None:
    """Write the units' totals and all sums of an experiment anew."""
    lock(connection)
    found = GatheredSums()
    for unit, totals in _units(connection, experiment_id, found):
        if totals != list(unit[5:]):
            values = dict(zip(TOTALS, totals, strict=True))
            statement = update(experiment_units).where(experiment_units.c.assignment_id == bindparam("b_id"))
            connection.execute(statement.values(**values), {"b_id": unit[0]})
    _alone(connection, experiment_id, found)
    found.finish()
    kept = experiment_sums.c.metric.in_(BARE_COUNTS)
    connection.execute(delete(experiment_sums).where(experiment_sums.c.experiment_id == experiment_id, ~kept))
    times = {(key, "latency"): histogram.encode(counts) or None for key, counts in found.latencies.items()}
    rows = [
        sum_row(key, metric, moments, times.get((key, metric)))
        for (key, metric), moments in sorted(found.moments.items())
    ]
    if rows:
        connection.execute(experiment_sums.insert(), rows)


def differences(connection: Connection, experiment_id: str) -> list[str]:
    """Disagreements of totals and sums with the rows behind them; empty = nowhere."""
    found, wrong = GatheredSums(), []
    for unit, totals in _units(connection, experiment_id, found):
        if not are_same_totals(totals, unit[5:]):
            wrong.append(f"experiment {experiment_id}: the totals of assignment {unit[0]} differ from its rows")
    _alone(connection, experiment_id, found)
    found.finish()
    c = experiment_sums.c
    kept: dict[tuple[Key, str], tuple[Moments, bytes | None]] = {}
    for row in connection.execute(select(experiment_sums).where(c.experiment_id == experiment_id)):
        if row.metric not in BARE_COUNTS:
            values = (float(getattr(row, name)) for name in MOMENTS[1:])
            moments = Moments(int(row.n), *values)
            kept[((row.experiment_id, row.phase, row.position), row.metric)] = moments, row.histogram
    for at in sorted(kept.keys() | found.moments.keys()):
        expected, (booked, blob) = found.moments.get(at, Moments()), kept.get(at, (Moments(), None))
        latencies = found.latencies.get(at[0], {}) if at[1] == "latency" else {}
        if not agree(expected, booked) or (at[1] == "latency" and histogram.decode(blob or b"") != latencies):
            wrong.append(f"experiment {experiment_id}: {at[1]} of phase {at[0][1]}, variant {at[0][2]} differs")
    return wrong


def _units(connection: Connection, experiment_id: str, found: GatheredSums) -> Iterator[tuple[Any, Totals]]:
    """Each unit's row with its totals from its outcomes and calls; what is summed goes into `found`."""
    u, o, g = experiment_units.c, experiment_outcomes.c, calls_of_experiments()
    calls = (g.ref_part, g.status, g.input_tokens, g.output_tokens, g.cost_nano_usd, g.latency_us)
    for part in _PARTS:
        span = part, part + "g"  # after every hexadecimal digit, in every collation
        units = connection.execute(
            select(u.assignment_id, u.experiment_id, u.phase, u.position, u.reason, *(u[name] for name in TOTALS))
            .where(u.experiment_id == experiment_id, u.assignment_id.between(*span))
        ).all()  # fmt: skip
        outcomes = connection.execute(
            select(o.assignment_id, o.success, o.rating, o.number)
            .where(o.experiment_id == experiment_id, o.state == "counted", o.assignment_id.between(*span))
            .order_by(o.assignment_id)
        )  # fmt: skip
        made = connection.execute(
            select(*calls).where(g.ref_id == experiment_id, g.ref_part.between(*span)).order_by(g.ref_part)
        ).mappings()
        ended = connection.execute(
            select(experiment_runs, experiment_runs.c.assignment_id.label("ref_part"))
            .where(experiment_runs.c.experiment_id == experiment_id, experiment_runs.c.status.is_not(None))
            .where(experiment_runs.c.assignment_id.between(*span))
        ).mappings()
        by_unit: dict[str, Totals] = {}
        for assignment, rows in groupby(outcomes, itemgetter(0)):
            totals = by_unit.setdefault(assignment, nothing())
            for each in rows:
                add_outcome(totals, *each[1:])
        keys = {unit[0]: _key(unit) for unit in units}
        times: dict[str, list[int]] = {}
        for row in chain(made, ended):
            if row["ref_part"] in keys:
                add_call(by_unit.setdefault(row["ref_part"], nothing()), row)
                if row["status"] == "ok":
                    times.setdefault(row["ref_part"], []).append(row["latency_us"])
        for unit in units:
            totals = by_unit.get(unit[0], nothing())
            if unit[0] in times:
                # Only the unit itself knows which call was recorded first; that it was one of them can be checked.
                kept = unit[5 + AT["first_latency_us"]]
                totals[AT["first_latency_us"]] = kept if kept in times[unit[0]] else times[unit[0]][0]
                found.add_latency(keys[unit[0]], int(totals[AT["first_latency_us"]]))
            for name in ("n_exposed", "n_multiple"):  # said by the row itself
                totals[AT[name]] = unit[5 + AT[name]]
            found.add(keys[unit[0]], totals)
            yield unit, totals


def _key(unit: Any) -> Key:
    return unit[1], unit[2], NOT_COUNTED if unit[4] else unit[3]


def _alone(connection: Connection, experiment_id: str, found: GatheredSums) -> None:
    """Outcomes of a variant alone are units of their own."""
    o = experiment_outcomes.c
    rows = in_batches(
        connection,
        select(o.phase, o.position, o.success, o.rating, o.number).where(
            o.experiment_id == experiment_id, o.state == "counted", o.assignment_id.is_(None)
        ),
    )
    for phase, position, *values in rows:
        found.add((experiment_id, phase, position), add_outcome(nothing(), *values))
