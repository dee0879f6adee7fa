"""Records of experiments: units, outcomes and calls, with the sums that pages read instead of rows.

Every function runs in its caller's transaction: what is recorded and the sums over it change together or not at all.
Rows are read here, what becomes of them is decided by `core.assignment`, and what it says is written.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from core.assignment.counting import Changes, Unit, count_calls
from core.assignment.outcomes import Given, PlacedOutcome, Records, assignments_of, decide_outcomes
from core.assignment.placement import add_units, ids_of_units
from core.domain.experiment import Assignment, Experiment, OutcomeState
from core.statistics.experiments.sums import NOT_COUNTED
from core.storage.engine.bulk import insert_many, is_one_of, update_many
from core.storage.experiments.schema import experiment_outcomes, experiment_runs
from core.storage.experiments.sums import add_to_sum, lock, save, units_of
from core.storage.retention.schema import experiment_calls
from core.storage.schema import generations, workflow_runs


def expose(connection: Connection, experiment: Experiment, given: Sequence[tuple[Assignment, int]]) -> dict[str, Unit]:
    """Record units with the moment they came. Returns assignment id -> the unit: one that came before is as it was."""
    lock(connection)
    ids = ids_of_units(experiment, (assignment.unit_id for assignment, _ in given))
    changes = Changes(units_of(connection, ids))
    found = add_units(changes, experiment, given)
    save(connection, changes, max((at for _, at in given), default=0))
    return found


def log_calls(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add freshly logged generation rows that belong to a unit of an experiment."""
    mine = [row for row in rows if (row["ref_part"] or "").startswith("a_")]
    if mine:
        lock(connection)
        _add_calls(connection, mine)


def _add_calls(connection: Connection, mine: Sequence[Mapping[str, Any]]) -> None:
    changes = count_calls(units_of(connection, (row["ref_part"] for row in mine)), mine)
    save(connection, changes, max(row["created_at"] for row in mine))


def begin_run(connection: Connection, run_id: str, assignment: str) -> None:
    """Note that a workflow run answers a unit."""
    unit = units_of(connection, [assignment])[assignment]
    row = {"run_id": run_id, "experiment_id": unit.experiment_id, "assignment_id": assignment, "status": None}
    connection.execute(insert(experiment_runs), [row])


def runs_to_settle(connection: Connection) -> list[str]:
    """Runs of units that are over and not counted yet. A paused one is not over: it can go on."""
    r, w = experiment_runs.c, workflow_runs.c
    joined = experiment_runs.join(workflow_runs, w.id == r.run_id)
    is_over = w.status.in_(("succeeded", "failed", "cancelled")) & (w.is_paused == 0)
    return list(connection.execute(select(r.run_id).select_from(joined).where(r.status.is_(None), is_over)).scalars())


def settle_run(connection: Connection, run_id: str) -> None:
    """Count a run that is over like one call: its time and the cost of all its calls, unknown if one has no price."""
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
    _add_calls(connection, [{**row, "ref_part": row["assignment_id"], "created_at": run.created_at}])


def record(connection: Connection, experiment: Experiment, given: Given, now_us: int) -> list[OutcomeState]:
    """Record outcomes, each with its id. Returns what became of each; see `decide_outcomes`."""
    lock(connection)
    of_generations = [outcome.generation_id for _, outcome in given if outcome.generation_id]
    assignments = _assignments_of(connection, experiment.id, of_generations)
    units = units_of(connection, assignments_of(experiment, given, assignments))
    records = Records(units, assignments, _earlier(connection, experiment.id, of_generations))
    placed = decide_outcomes(records, given, experiment, now_us)
    replaced = [{"id": outcome_id, "state": "replaced"} for outcome_id in placed.replaced]
    update_many(connection, experiment_outcomes, "id", replaced)
    insert_many(connection, experiment_outcomes, [outcome._asdict() for outcome in placed.outcomes])
    save(connection, placed.changes, now_us)
    bare: tuple[OutcomeState, ...] = ("late", "orphan")
    for state in bare:
        if n := placed.count(state):
            add_to_sum(connection, (experiment.id, experiment.phase, NOT_COUNTED), state, n)
    return [outcome.state for outcome in placed.outcomes]


def _assignments_of(connection: Connection, experiment_id: str, ids: Sequence[str]) -> dict[str, str]:
    """Generation -> assignment, of the experiment's own generations."""
    if not ids:
        return {}
    found: dict[str, str] = {}
    for c, id_ in ((generations.c, generations.c.id), (experiment_calls.c, experiment_calls.c.generation_id)):
        statement = select(id_, c.ref_part).where(is_one_of(connection, id_, ids), c.ref_id == experiment_id)
        found |= {row[0]: row[1] for row in connection.execute(statement)}
    return found


def _earlier(connection: Connection, experiment_id: str, ids: Sequence[str]) -> dict[str, PlacedOutcome]:
    """Generation -> its outcome that counts so far."""
    c = experiment_outcomes.c
    if not ids:
        return {}
    statement = select(*(c[name] for name in PlacedOutcome._fields)).where(
        is_one_of(connection, c.generation_id, ids), c.experiment_id == experiment_id, c.state == "counted"
    )
    return {row.generation_id: PlacedOutcome(*row) for row in connection.execute(statement)}
