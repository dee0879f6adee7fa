"""Workflow definitions, runs and step runs. A spec is stored as text; the layer above reads it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, delete, insert, select, true, update

from core.domain.workflow import AWAITS, StepRun, Workflow, WorkflowRun
from core.formats import strict_json as json
from core.storage.engine.damaged import readable, whole
from core.storage.engine.database import Database
from core.storage.engine.paging import read_page
from core.storage.engine.records import from_row, grouped
from core.storage.runs import Unfinished, move, read_unfinished
from core.storage.schema import step_runs, workflow_runs, workflows


class WorkflowStore:
    def __init__(self, database: Database, read_spec: Callable[[str], Workflow]) -> None:
        self._database = database
        self._read_spec = read_spec

    # Definitions

    def definitions(self) -> dict[str, str]:
        """Name -> YAML of the workflows that users saved."""
        rows = self._database.rows(select(workflows.c.name, workflows.c.yaml).order_by(workflows.c.name))
        return {row.name: row.yaml for row in rows}

    @staticmethod
    def save(connection: Connection, name: str, text: str, now_us: int) -> None:
        connection.execute(delete(workflows).where(workflows.c.name == name))
        connection.execute(insert(workflows).values(name=name, yaml=text, updated_at=now_us))

    @staticmethod
    def remove(connection: Connection, name: str) -> bool:
        return connection.execute(delete(workflows).where(workflows.c.name == name)).rowcount > 0

    # Runs

    @staticmethod
    def insert_run(connection: Connection, run: Mapping[str, Any]) -> None:
        connection.execute(insert(workflow_runs).values(**run))

    @staticmethod
    def insert_steps(connection: Connection, rows: list[dict[str, Any]]) -> None:
        connection.execute(insert(step_runs), rows)

    @staticmethod
    def move(connection: Connection, run_id: str, to: str, came_from: tuple[str, ...], **values: Any) -> bool:
        """See `core.storage.runs.move`."""
        return move(connection, workflow_runs, run_id, to, came_from, **values)

    @staticmethod
    def put_step(connection: Connection, run_id: str, start: int, step: str, values: Mapping[str, Any]) -> None:
        """Insert or change a step's row. `add_tokens` and `add_cost` (None = unknown) are added to what is there.

        What an earlier start of the run still has to say is kept only if it is a success: a stop that comes late
        must not mark a step as failed that was taken up anew meanwhile.
        """
        now_at = connection.execute(select(workflow_runs.c.n_starts).where(workflow_runs.c.id == run_id)).scalar()
        if now_at != start and values["status"] != "succeeded":
            return
        key = (step_runs.c.run_id == run_id) & (step_runs.c.step == step)
        old = connection.execute(select(step_runs).where(key)).mappings().one_or_none()
        values = {"start": start, **values}
        add_tokens, add_cost = values.pop("add_tokens", 0), values.pop("add_cost", 0)
        tokens = (old["tokens"] if old else 0) + add_tokens
        before = old["cost_nano_usd"] if old else 0
        cost = None if before is None or add_cost is None else before + add_cost
        values |= {"tokens": tokens, "cost_nano_usd": cost}
        if old:
            connection.execute(update(step_runs).where(key).values(**values))
        else:
            connection.execute(insert(step_runs).values(run_id=run_id, step=step, **values))

    @staticmethod
    def reopen_steps(connection: Connection, run_id: str, *, is_awaited: bool) -> None:
        """Make failed and interrupted steps of a run start afresh; their money stays on record.

        is_awaited: A person lets the step through that waits for that, and it was planned so: keeping the finished
            steps saves nothing. Otherwise it goes on waiting.
        """
        is_let_through = true() if is_awaited else step_runs.c.error != AWAITS
        if is_awaited:
            kept = (step_runs.c.run_id == run_id) & (step_runs.c.status == "succeeded")
            connection.execute(update(step_runs).where(kept).values(start=step_runs.c.start + 1))
        connection.execute(
            update(step_runs)
            .where(step_runs.c.run_id == run_id, step_runs.c.status.in_(("failed", "running")), is_let_through)
            .values(status="running", n_attempts=0, error="", started_at=None, finished_at=None)
        )

    def unfinished(self) -> list[Unfinished]:
        return read_unfinished(self._database, workflow_runs)

    def run(self, run_id: str) -> WorkflowRun | None:
        with self._database.read() as connection:
            row = connection.execute(select(workflow_runs).where(workflow_runs.c.id == run_id)).one_or_none()
            if row is None:
                return None
            steps = _steps(connection, [run_id])
        return whole("workflow run", row, lambda row: self._to_run(row, steps.get(run_id, ())))

    def page(
        self, limit: int, before: str | None = None, *, workflow_name: str | None = None, demo: bool | None = None
    ) -> tuple[list[WorkflowRun], str | None]:
        """Runs with their steps, newest first. demo: None = those of the demo among the others."""
        c = workflow_runs.c
        statement = select(workflow_runs)
        if workflow_name:
            statement = statement.where(c.workflow_name == workflow_name)
        if demo is not None:
            statement = statement.where((c.source == "demo") == demo)
        with self._database.read() as connection:
            rows, after = read_page(connection, statement, (c.created_at, c.id), limit, before)
            steps = _steps(connection, [row.id for row in rows])
        return readable("workflow run", rows, lambda row: self._to_run(row, steps.get(row.id, ()))), after

    @staticmethod
    def delete_source(connection: Connection, source: str) -> None:
        ids = select(workflow_runs.c.id).where(workflow_runs.c.source == source)
        connection.execute(delete(step_runs).where(step_runs.c.run_id.in_(ids)))
        connection.execute(delete(workflow_runs).where(workflow_runs.c.source == source))

    def _to_run(self, row: Any, steps: Sequence[Any]) -> WorkflowRun:
        return from_row(
            WorkflowRun,
            row,
            status="paused" if row.is_paused else row.status,
            inputs=dict(json.loads(row.inputs)),
            spec=self._read_spec(row.spec),
            steps=tuple(from_row(StepRun, step) for step in steps),
        )


def _steps(connection: Connection, run_ids: Sequence[str]) -> Mapping[str, Sequence[Any]]:
    """The rows of the steps of runs, by run."""
    c = step_runs.c
    statement = select(step_runs).where(c.run_id.in_(run_ids)).order_by(c.position)
    return grouped(connection.execute(statement).mappings(), "run_id")
