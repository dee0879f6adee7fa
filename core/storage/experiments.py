"""Experiments, variants, exposures and outcomes; sums come from SQL, a row a variant."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Integer, case, cast, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from core.clock import DAY_US, from_us, to_us
from core.domain.experiment import CallSums, Experiment, OutcomeSums, Variant
from core.domain.generation import Parameters
from core.storage.database import Database
from core.storage.schema import experiments, exposures, generations, outcomes, variants


class ExperimentStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    @staticmethod
    def insert(connection: Connection, experiment: Experiment) -> None:
        connection.execute(
            insert(experiments).values(
                **{name: getattr(experiment, name) for name in ("id", "name", "hypothesis", "unit", "salt", "status")},
                created_at=to_us(experiment.created_at),
                stopped_at=to_us(experiment.stopped_at) if experiment.stopped_at else None,
                is_demo=int(experiment.is_demo),
            )
        )
        rows = [
            {
                "experiment_id": experiment.id,
                **{name: getattr(variant, name) for name in ("position", "name", "model", "system", "weight")},
                "parameters": json.dumps(variant.parameters.as_dict()),
            }
            for variant in experiment.variants
        ]
        connection.execute(insert(variants), rows)

    @staticmethod
    def stop(connection: Connection, experiment_id: str, now_us: int) -> bool:
        c = experiments.c
        statement = update(experiments).where(c.id == experiment_id, c.status == "running")
        return connection.execute(statement.values(status="stopped", stopped_at=now_us)).rowcount > 0

    @staticmethod
    def expose(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
        """Record exposures; a unit that was exposed before is left as it was."""
        dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
        connection.execute(dialect.insert(exposures).on_conflict_do_nothing(), list(rows))

    @staticmethod
    def insert_outcomes(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
        connection.execute(insert(outcomes), list(rows))

    def get(self, experiment_id: str) -> Experiment | None:
        found = self._select(experiments.c.id == experiment_id)
        return found[0] if found else None

    def all(self) -> list[Experiment]:
        """Running ones first, then newest first."""
        return self._select()

    def _select(self, *where: Any) -> list[Experiment]:
        statement = select(experiments).where(*where).order_by(experiments.c.status, experiments.c.created_at.desc())
        with self._database.read() as connection:
            rows = connection.execute(statement).mappings().all()
            ids = [row["id"] for row in rows]
            arms = (
                connection.execute(
                    select(variants).where(variants.c.experiment_id.in_(ids)).order_by(variants.c.position)
                )
                .mappings()
                .all()
            )
        by_id: dict[str, list[Variant]] = {experiment_id: [] for experiment_id in ids}
        for arm in arms:
            by_id[arm["experiment_id"]].append(_to_variant(arm))
        return [_to_experiment(row, by_id[row["id"]]) for row in rows]

    def outcome_sums(self, experiment_id: str) -> list[OutcomeSums]:
        e, o = exposures.c, outcomes.c
        with self._database.read() as connection:
            exposed = connection.execute(
                select(e.position, func.count()).where(e.experiment_id == experiment_id).group_by(e.position)
            ).all()
            # Shifted by 3, the middle of the scale, so that the squares lose nothing.
            shifted = o.rating - 3.0
            sums = connection.execute(
                select(
                    o.position,
                    func.count().label("n"),
                    func.sum(o.success).label("successes"),
                    func.count(o.rating).label("n_ratings"),
                    func.coalesce(func.sum(shifted), 0.0).label("total"),
                    func.coalesce(func.sum(shifted * shifted), 0.0).label("squares"),
                )
                .where(o.experiment_id == experiment_id)
                .group_by(o.position)
            ).all()
        n_exposed = {position: int(n) for position, n in exposed}
        by_position = {row.position: row for row in sums}
        return [_to_sums(p, n_exposed.get(p, 0), by_position.get(p)) for p in sorted({*n_exposed, *by_position})]

    def call_sums(self, experiment_id: str) -> list[CallSums]:
        c = generations.c
        failed = case((c.status.in_(("error", "blocked")), 1), else_=0)
        ok_latency = case((c.status == "ok", c.latency_us), else_=None)
        statement = (
            select(
                cast(c.ref_part, Integer).label("position"),
                func.count().label("n"),
                func.sum(failed).label("n_errors"),
                func.avg(ok_latency).label("latency"),
                func.avg(c.input_tokens + c.output_tokens).label("tokens"),
                func.sum(c.cost_nano_usd).label("cost"),
                (func.count() - func.count(c.cost_nano_usd)).label("n_unpriced"),
            )
            .where(c.ref_id == experiment_id)
            .group_by(c.ref_part)
        )
        with self._database.read() as connection:
            rows = connection.execute(statement).all()
        return [
            CallSums(
                position=row.position,
                n=row.n,
                n_errors=int(row.n_errors),
                latency_mean_s=None if row.latency is None else float(row.latency) / 1e6,
                tokens_mean=float(row.tokens),
                cost_usd=None if row.n_unpriced else float(row.cost) / 1e9,
            )
            for row in rows
        ]

    def successes(self) -> dict[str, int]:
        """Successful outcomes by experiment name."""
        joined = outcomes.join(experiments, outcomes.c.experiment_id == experiments.c.id)
        statement = select(experiments.c.name, func.sum(outcomes.c.success)).select_from(joined)
        with self._database.read() as connection:
            return {name: int(n) for name, n in connection.execute(statement.group_by(experiments.c.name))}

    def daily(self, experiment_id: str) -> list[tuple[int, int, int, int]]:
        """(day in microseconds, position, outcomes, successes), oldest first."""
        o = outcomes.c
        day = (o.created_at - o.created_at % DAY_US).label("day")
        statement = (
            select(day, o.position, func.count(), func.sum(o.success))
            .where(o.experiment_id == experiment_id)
            .group_by(day, o.position)
            .order_by(day)
        )
        with self._database.read() as connection:
            return [(int(d), int(p), int(n), int(s)) for d, p, n, s in connection.execute(statement)]

    @staticmethod
    def delete_demo(connection: Connection) -> None:
        ids = select(experiments.c.id).where(experiments.c.is_demo == 1)
        for table in (outcomes, exposures, variants):
            connection.execute(delete(table).where(table.c.experiment_id.in_(ids)))
        connection.execute(delete(experiments).where(experiments.c.is_demo == 1))


def _to_sums(position: int, n_exposed: int, row: Any) -> OutcomeSums:
    if row is None:
        return OutcomeSums(position=position, n_exposed=n_exposed)
    n, total, squares = int(row.n_ratings), float(row.total), float(row.squares)
    return OutcomeSums(
        position=position,
        n_exposed=n_exposed,
        n_outcomes=int(row.n),
        n_successes=int(row.successes),
        n_ratings=n,
        rating_mean=3.0 + total / n if n else 0.0,
        rating_m2=squares - total * total / n if n else 0.0,
    )


def _to_variant(row: Any) -> Variant:
    return Variant(
        **{name: row[name] for name in ("position", "name", "model", "system", "weight")},
        parameters=Parameters(**json.loads(row["parameters"])),
    )


def _to_experiment(row: Any, arms: list[Variant]) -> Experiment:
    return Experiment(
        **{name: row[name] for name in ("id", "name", "hypothesis", "unit", "salt", "status")},
        created_at=from_us(row["created_at"]),
        stopped_at=None if row["stopped_at"] is None else from_us(row["stopped_at"]),
        is_demo=bool(row["is_demo"]),
        variants=tuple(arms),
    )
