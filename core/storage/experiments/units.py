"""What is recorded of experiments: units, outcomes, calls, and the sums that pages read instead of rows.

Every function runs in its caller's transaction: what is recorded and the sums over it change together or not at all.
A unit (user, session, request) is what was randomised; its totals are one observation, however many calls it made.
"""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, insert, select, update

from core.clock import DAY_US
from core.domain.experiment import (
    Assignment,
    Experiment,
    OutcomeInput,
    OutcomeState,
    assignment_id,
    excluded_because,
    redraw,
)
from core.statistics import histogram
from core.storage.engine.bulk import insert_many, is_one_of, update_many
from core.storage.experiments.schema import experiment_outcomes, experiment_runs
from core.storage.experiments.sums import (
    AT,
    NOT_COUNTED,
    Changes,
    Totals,
    Unit,
    add_to_sum,
    lock,
    nothing,
    save,
    units_of,
)
from core.storage.schema import generations, workflow_runs

_FAILED = ("error", "blocked", "truncated")


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
    if mine:
        lock(connection)
        count_calls(connection, mine)


def count_calls(connection: Connection, mine: Sequence[Mapping[str, Any]]) -> None:
    """Add calls to the totals of their units (`ref_part`)."""
    changes = Changes(max(row["created_at"] for row in mine))
    changes.load(connection, [row["ref_part"] for row in mine])
    for row in mine:
        unit = changes.units.get(row["ref_part"])
        if unit is not None:
            is_first = row["status"] == "ok" and not unit.totals[AT["n_ok"]]
            add_call(unit.totals, row)
            if is_first:
                # One latency a unit: calls of one user hang together, and a p95 has no totals to add up.
                unit.totals[AT["first_latency_us"]] = row["latency_us"]
                counts = changes.latencies.setdefault(unit.key, {})
                bucket = histogram.bucket_of(row["latency_us"])
                counts[bucket] = counts.get(bucket, 0) + 1
    save(connection, changes)


def begin_run(connection: Connection, run_id: str, assignment: str) -> None:
    """Note that a workflow run answers a unit."""
    (unit,) = units_of(connection, [assignment])
    row = {"run_id": run_id, "experiment_id": unit.experiment_id, "assignment_id": assignment, "status": None}
    connection.execute(insert(experiment_runs), [row])


def runs_to_settle(connection: Connection) -> list[str]:
    """Runs of units that are over and not counted yet. A paused one is not over: it can go on."""
    r, w = experiment_runs.c, workflow_runs.c
    joined = experiment_runs.join(workflow_runs, w.id == r.run_id)
    is_over = w.status.in_(("succeeded", "failed", "cancelled")) & (w.is_paused == 0)
    return list(connection.execute(select(r.run_id).select_from(joined).where(r.status.is_(None), is_over)).scalars())


def settle_run(connection: Connection, run_id: str) -> None:
    """Count a run that is over like one call: its time, and what all its calls cost; unknown if one of them has no price."""
    lock(connection)
    r, w, g = experiment_runs.c, workflow_runs.c, generations.c
    run = connection.execute(select(w.status, w.created_at, w.finished_at).where(w.id == run_id)).one()
    calls = connection.execute(
        select(
            func.coalesce(func.sum(g.input_tokens), 0),
            func.coalesce(func.sum(g.output_tokens), 0),
            func.coalesce(func.sum(g.cost_nano_usd), 0),
            func.count() - func.count(g.cost_nano_usd),
        ).where(g.ref_id == run_id)
    ).one()
    values = {
        "status": "ok" if run.status == "succeeded" else "error",
        "latency_us": max(0, (run.finished_at or run.created_at) - run.created_at),
        "input_tokens": int(calls[0]),
        "output_tokens": int(calls[1]),
        "cost_nano_usd": None if calls[3] else int(calls[2]),
    }
    mine = update(experiment_runs).where(r.run_id == run_id, r.status.is_(None))
    if not connection.execute(mine.values(**values)).rowcount:
        return  # another process has counted it
    row = connection.execute(select(experiment_runs).where(r.run_id == run_id)).mappings().one()
    count_calls(connection, [{**row, "ref_part": row["assignment_id"], "created_at": run.created_at}])


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
        # Some of them may be among the rows to come, which know it already.
        update_many(connection, experiment_outcomes, "id", [{"id": one, "state": "replaced"} for one in replaced])
    insert_many(connection, experiment_outcomes, rows)
    save(connection, changes)
    for state in ("late", "orphan"):
        n = sum(row["state"] == state for row in rows)
        if n:
            add_to_sum(connection, (experiment.id, experiment.phase, NOT_COUNTED), state, n)
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
            wanted.append([of_generation[outcome.generation_id] or ""])
        elif outcome.unit_id:
            wanted.append(_ids_of(experiment, outcome.unit_id))
        else:
            wanted.append([])
    changes.load(connection, (one for ids in wanted for one in ids))
    served = {variant.position for variant in experiment.served}
    claimed = [
        (_claim(experiment, outcome), changes.now_us)
        for outcome, ids in zip(outcomes, wanted, strict=True)
        if outcome.unit_id and outcome.variant in served and not outcome.generation_id
        and not any(one in changes.units for one in ids)
    ]  # fmt: skip
    _add_units(connection, changes, experiment, claimed)
    places: list[Unit | int | str] = []
    for outcome, ids in zip(outcomes, wanted, strict=True):
        found = next((changes.units[one] for one in ids if one in changes.units), None)
        if found is not None and found.experiment_id == experiment.id:
            if isinstance(outcome.variant, int) and outcome.variant != found.position:
                _mark_multiple(found, [changes.units[one] for one in ids if one in changes.units])
            places.append(found)
        elif ids and ids[0].startswith("shadow:"):
            places.append(int(ids[0].split(":")[1]))  # judged later: a unit of its own, of the shadow variant
        elif (
            outcome.assignment_id
            or outcome.generation_id
            or outcome.variant is None
            or (outcome.unit_id and outcome.variant in served)
        ):
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
    reason = excluded_because(experiment, unit_id)
    return Assignment(
        id=assignment_id(experiment.id, experiment.phase, unit_id, is_counted=not reason),
        experiment_id=experiment.id,
        phase=experiment.phase,
        unit_id=unit_id,
        variant=experiment.variants[int(outcome.variant or 0)],
        reason=reason,
    )


def _assignments_of(connection: Connection, experiment_id: str, ids: Sequence[str]) -> dict[str, str]:
    """Generation -> assignment, of the experiment's own generations."""
    c = generations.c
    if not ids:
        return {}
    statement = select(c.id, c.ref_part).where(is_one_of(connection, c.id, ids), c.ref_id == experiment_id)
    return {row.id: row.ref_part for row in connection.execute(statement)}


def _earlier(connection: Connection, experiment_id: str, ids: Sequence[str]) -> dict[str | None, dict[str, Any]]:
    """Generation -> its outcome that counts so far."""
    c = experiment_outcomes.c
    if not ids:
        return {}
    statement = select(experiment_outcomes).where(
        is_one_of(connection, c.generation_id, ids), c.experiment_id == experiment_id, c.state == "counted"
    )
    return {row["generation_id"]: dict(row) for row in connection.execute(statement).mappings()}


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
        position = assignment.variant.position
        if assignment.is_counted and any(one in changes.units and not changes.units[one].reason for one in others[assignment.id]):  # fmt: skip
            position = redraw(experiment, assignment.unit_id).position
        unit = Unit(assignment.id, experiment.id, assignment.phase, position, assignment.reason, nothing())
        unit.totals[AT["n_exposed"]] = 1
        same = [changes.units[one] for one in others[assignment.id] if one in changes.units]
        if any(other.position != unit.position for other in same):
            _mark_multiple(unit, same)
        found[assignment.id] = changes.units[unit.id] = unit
        changes.day(unit.key, at_us, 1)
        changes.new.append({
            "assignment_id": unit.id, "experiment_id": unit.experiment_id, "phase": unit.phase,
            "unit_id": assignment.unit_id, "position": unit.position, "reason": unit.reason, "created_at": at_us,
        })  # fmt: skip
    return found


def _mark_multiple(unit: Unit, same: Sequence[Unit]) -> None:
    """Note that a unit was in two variants: in one of its assignments, so that it counts once."""
    if not any(other.totals[AT["n_multiple"]] for other in same):
        unit.totals[AT["n_multiple"]] = 1


def _is_served(experiment: Experiment, unit: Unit) -> bool:
    """Whether a unit's variant of an earlier phase still gets traffic as it was."""
    then = [v for p in experiment.phases if p.number == unit.phase for v in p.variants if v.position == unit.position]
    return any(now.is_same_as(then[0]) for now in experiment.served) if then else False
