"""Evaluation runs."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from core.clock import to_us
from core.domain.evaluation.run import EvaluationRun, Plan, plan_from_json, plan_to_json
from core.formats import strict_json as json
from core.formats.money import from_nano, to_nano
from core.storage.engine.damaged import readable, whole
from core.storage.engine.database import Database
from core.storage.engine.paging import read_page
from core.storage.engine.records import from_row, to_row
from core.storage.evaluation.schema import evaluation_shards, evaluations
from core.storage.runs import move

_e, _s = evaluations.c, evaluation_shards.c


class RunStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, run_id: str) -> EvaluationRun | None:
        [*rows] = self._database.rows(select(evaluations).where(_e.id == run_id))
        return whole("evaluation", rows[0], _to_run) if rows else None

    def page(
        self,
        limit: int = 50,
        before: str | None = None,
        *,
        name: str = "",
        source: str | None = None,
        quick: bool | None = False,
    ) -> tuple[list[EvaluationRun], str | None]:
        """Newest first, and the `before` of the next page.

        name: Of this suite alone. source: Of this one; None = of all.
        quick: Whether quick comparisons are given instead; None = both.
        """
        statement = select(evaluations)
        if quick is not None:
            statement = statement.where(_e.is_quick == int(quick))
        if name:
            statement = statement.where(_e.name == name)
        if source is not None:
            statement = statement.where(_e.source == source)
        with self._database.read() as connection:
            rows, after = read_page(connection, statement, (_e.created_at, _e.id), limit, before)
        return readable("evaluation", rows, _to_run), after

    def on_dataset(self, name: str, *, demo: bool = False) -> list[str]:
        """The names of runs on any version of a dataset. demo: Those of the demo among them."""
        statement = select(_e.name).where(_e.dataset.startswith(f"{name}@", autoescape=True)).distinct()
        return [row.name for row in self._database.rows(statement if demo else statement.where(_e.source != "demo"))]

    def since(self, name: str, moment: datetime) -> list[EvaluationRun]:
        """The runs of a suite since a moment, newest first."""
        statement = select(evaluations).where(_e.name == name, _e.created_at >= to_us(moment))
        rows = self._database.rows(statement.order_by(_e.created_at.desc(), _e.id.desc()))
        return readable("evaluation", rows, _to_run)

    def n_looks(self, name: str, since_us: int) -> int:
        """The number of runs of a suite since a moment, such as that at which its baseline was blessed."""
        statement = select(func.count()).where(_e.name == name, _e.created_at > since_us)
        return int(self._database.value(statement) or 0)

    # In transactions

    @staticmethod
    def insert(connection: Connection, run: EvaluationRun) -> None:
        more = {
            "plan": plan_to_json(run.plan),
            "name": run.plan.name,
            "dataset": run.plan.dataset,
            "waiting": "{}",
            "judged": "",
        }
        limit = run.plan.limit_usd
        row = to_row(evaluations, run, **more, limit_nano_usd=None if limit is None else to_nano(limit))
        connection.execute(insert(evaluations).values(**row))

    @staticmethod
    def set_plan(connection: Connection, run_id: str, plan: Plan) -> None:
        connection.execute(update(evaluations).where(_e.id == run_id).values(plan=plan_to_json(plan)))

    @staticmethod
    def move(connection: Connection, run_id: str, to: str, came_from: tuple[str, ...], **values: Any) -> bool:
        """See `core.storage.runs.move`."""
        return move(connection, evaluations, run_id, to, came_from, **values)

    @staticmethod
    def set(connection: Connection, run_id: str, **values: Any) -> None:
        connection.execute(update(evaluations).where(_e.id == run_id).values(**values))

    @staticmethod
    def delete_source(connection: Connection, source: str) -> None:
        """Delete those of a source, but for quick comparisons."""
        connection.execute(delete(evaluations).where(_e.source == source, _e.is_quick == 0))

    @staticmethod
    def delete(connection: Connection, run_id: str) -> None:
        connection.execute(delete(evaluations).where(_e.id == run_id))


def reserve(connection: Connection, run_id: str, worst: int) -> bool:
    """Set aside what a call may cost at worst, where the run's limit still pays it."""
    fits = _e.spent_nano_usd + _e.reserved_nano_usd + worst <= func.coalesce(_e.limit_nano_usd, 2**62)
    statement = update(evaluations).where(_e.id == run_id, fits).values(reserved_nano_usd=_e.reserved_nano_usd + worst)
    return connection.execute(statement).rowcount > 0


def spend(connection: Connection, run_id: str, *, worst: int, cost: int | None, is_asked: bool = True) -> None:
    """Charge a call to its run and give back what was reserved for it. cost: None = not known."""
    connection.execute(
        update(evaluations)
        .where(_e.id == run_id)
        .values(
            reserved_nano_usd=_e.reserved_nano_usd - worst,
            spent_nano_usd=_e.spent_nano_usd + (cost or 0),
            n_unpriced=_e.n_unpriced + int(cost is None and is_asked),
        )
    )


def _to_run(row: Any) -> EvaluationRun:
    limit = None if row.limit_nano_usd is None else from_nano(row.limit_nano_usd)
    return from_row(
        EvaluationRun,
        row,
        plan=replace(plan_from_json(row.plan), limit_usd=limit),
        waiting=json.loads(row.waiting),
        judged=json.loads(row.judged or "{}"),
    )
