"""Experiments as they are defined: designs, phases, variants; and what pages read of what was recorded."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Integer, delete, func, insert, select, union_all, update

from core.clock import from_us, to_us
from core.domain.experiment import DayCounts, Design, Experiment, Guardrail, Phase, ShadowCalls, UnitRow, Variant
from core.domain.generation import Parameters
from core.domain.metrics import Window
from core.formats import strict_json as json
from core.statistics.experiments.moments import Moments
from core.statistics.experiments.sums import NOT_COUNTED, Look, Sums
from core.storage.engine.damaged import readable
from core.storage.engine.database import Store
from core.storage.engine.records import from_row, grouped, to_row
from core.storage.experiments.schema import (
    experiment_days,
    experiment_looks,
    experiment_outcomes,
    experiment_phases,
    experiment_runs,
    experiment_sums,
    experiment_units,
    experiment_variants,
    experiments,
)
from core.storage.experiments.sums import MOMENTS
from core.storage.retention.deleted import calls_of_experiments
from core.storage.retention.schema import experiment_calls
from core.storage.schema import generations

_TABLES = (
    experiment_runs,
    experiment_looks, experiment_days, experiment_sums, experiment_outcomes, experiment_units, experiment_variants,
    experiment_phases,
)  # fmt: skip


class ExperimentStore(Store):
    @staticmethod
    def insert(connection: Connection, experiment: Experiment) -> None:
        row = to_row(experiments, experiment, design=design_to_json(experiment.design))
        connection.execute(insert(experiments).values(**row))
        phases = experiment.phases or (
            Phase(number=1, started_at=experiment.created_at, ended_at=None, variants=experiment.variants),
        )
        for phase in phases:
            ExperimentStore.insert_phase(connection, experiment.id, phase)

    @staticmethod
    def insert_phase(connection: Connection, experiment_id: str, phase: Phase) -> bool:
        """Open a phase; the one before ends with it. False: it has ended already, another was opened meanwhile."""
        c = experiment_phases.c
        started_at = to_us(phase.started_at)
        before = update(experiment_phases).where(
            c.experiment_id == experiment_id, c.phase == phase.number - 1, c.ended_at.is_(None)
        )
        ended = connection.execute(before.values(ended_at=started_at)).rowcount
        if phase.number > 1 and not ended:
            return False
        row = {"experiment_id": experiment_id, "phase": phase.number, "started_at": started_at, "ended_at": None}
        connection.execute(insert(experiment_phases), [row])
        variants = [_variant_row(experiment_id, phase.number, variant) for variant in phase.variants]
        connection.execute(insert(experiment_variants), variants)
        return True

    @staticmethod
    def stop(connection: Connection, experiment_id: str, now_us: int, why: str) -> bool:
        c = experiments.c
        statement = update(experiments).where(c.id == experiment_id, c.status == "running")
        return connection.execute(statement.values(status="stopped", stopped_at=now_us, ended=why)).rowcount > 0

    @staticmethod
    def acknowledge(connection: Connection, experiment_id: str, now_us: int) -> None:
        statement = update(experiments).where(experiments.c.id == experiment_id)
        connection.execute(statement.values(acknowledged_at=now_us))

    def get(self, experiment_id: str) -> Experiment | None:
        found = self._select(experiments.c.id == experiment_id)
        return found[0] if found else None

    def all(self) -> list[Experiment]:
        """Running ones first, then newest first."""
        return self._select()

    def _select(self, *where: Any) -> list[Experiment]:
        statement = select(experiments).where(*where).order_by(experiments.c.status, experiments.c.created_at.desc())
        with self._database.read() as connection:
            rows = connection.execute(statement).all()
            ids = [row.id for row in rows]
            p, v = experiment_phases.c, experiment_variants.c
            phases = select(experiment_phases).where(p.experiment_id.in_(ids)).order_by(p.phase)
            variants = select(experiment_variants).where(v.experiment_id.in_(ids)).order_by(v.position)
            phases_of, variants_of = (
                grouped(connection.execute(chosen).mappings(), "experiment_id") for chosen in (phases, variants)
            )
        return readable("experiment", rows, lambda row: _to_experiment(row, phases_of[row.id], variants_of[row.id]))

    def sums(self, experiment_id: str) -> Sums:
        """All that the analysis needs; as many rows at ten outcomes as at ten million."""
        c = experiment_sums.c
        rows = self._database.rows(select(experiment_sums).where(c.experiment_id == experiment_id))
        moments = {}
        for row in rows:
            sums = (float(getattr(row, name)) for name in MOMENTS[1:])
            moments[row.phase, row.position, row.metric] = Moments(int(row.n), *sums)
        return Sums(moments, {(row.phase, row.position): row.histogram for row in rows if row.histogram})

    def looks(self, experiment_id: str) -> list[Look]:
        """The history of the primary metric, oldest first."""
        c = experiment_looks.c
        statement = select(experiment_looks).where(c.experiment_id == experiment_id).order_by(c.phase, c.n)
        return readable("look", self._database.rows(statement), _to_look)

    def days(self, experiment_id: str) -> list[DayCounts]:
        """Oldest first."""
        c = experiment_days.c
        statement = (
            select(c.day_at, c.phase, c.position, c.n_exposed, c.n_outcomes, c.n_successes)
            .where(c.experiment_id == experiment_id, c.position != NOT_COUNTED)
            .order_by(c.day_at, c.phase, c.position)
        )
        return [from_row(DayCounts, row) for row in self._database.rows(statement)]

    def latest_units(self, experiment_id: str, limit: int = 10) -> list[UnitRow]:
        """The last assignments, newest first."""
        c = experiment_units.c
        columns = (c.assignment_id, c.unit_id, c.phase, c.position, c.reason, c.created_at, c.n_outcomes)
        statement = select(*columns).where(c.experiment_id == experiment_id).order_by(c.created_at.desc()).limit(limit)
        return [from_row(UnitRow, row) for row in self._database.rows(statement)]

    def successes(self, window: Window, *, simulated: bool) -> dict[str, int]:
        """Successful outcomes recorded on the days that begin in a window, by experiment name."""
        d, v = experiment_days.c, experiment_variants.c
        joined = experiment_days.join(experiments, d.experiment_id == experiments.c.id).join(
            experiment_variants,
            (d.experiment_id == v.experiment_id) & (d.phase == v.phase) & (d.position == v.position),
        )
        is_made_up = (experiments.c.is_demo == 1) | v.model.like("sim-%")
        statement = (
            select(experiments.c.name, func.sum(d.n_successes))
            .select_from(joined)
            .where(d.day_at >= to_us(window.since), d.day_at < to_us(window.until), d.position != NOT_COUNTED)
            .where(is_made_up == simulated)
            .group_by(experiments.c.name)
        )
        return {name: int(n) for name, n in self._database.rows(statement)}

    def owner(self, generation_id: str | None, assignment_id: str | None) -> str | None:
        """The experiment of a generation or, without one, of an assignment."""
        u = experiment_units.c
        statement: Any = select(u.experiment_id).where(u.assignment_id == assignment_id)
        if generation_id is not None:
            by_call = select(experiments.c.id).join(generations, generations.c.ref_id == experiments.c.id)
            by_deleted = select(experiment_calls.c.ref_id).where(experiment_calls.c.generation_id == generation_id)
            statement = union_all(by_call.where(generations.c.id == generation_id), by_deleted)
        return self._database.value(statement)

    def shadow_pairs(self, experiment_id: str, limit: int) -> list[tuple[str, str]]:
        """(shadow generation, served generation) of answered shadows, the latest first."""
        c = generations.c
        chosen = (
            select(c.id, c.ref_part)
            .where(c.ref_id == experiment_id, c.ref_part.like("shadow:%"), c.status == "ok")
            .order_by(c.created_at.desc())
            .limit(limit)
        )
        return [(row.id, row.ref_part.split(":", 2)[2]) for row in self._database.rows(chosen)]

    def shadow_calls(self, experiment_id: str) -> list[ShadowCalls]:
        """Of each shadow variant."""
        c = calls_of_experiments()
        position = func.substr(c.ref_part, len("shadow:") + 1, 1).label("position")  # of at most ten variants
        n, failed = func.count(), func.sum((c.status != "ok").cast(Integer))
        cost, unpriced = func.coalesce(func.sum(c.cost_nano_usd), 0), n - func.count(c.cost_nano_usd)
        statement = (
            select(
                position,
                n.label("n"),
                failed.label("n_failed"),
                cost.label("cost_nano_usd"),
                unpriced.label("n_unpriced"),
            )
            .where(c.ref_id == experiment_id, c.ref_part.like("shadow:%"))
            .group_by(position)
            .order_by(position)
        )
        return [from_row(ShadowCalls, row) for row in self._database.rows(statement)]

    @staticmethod
    def delete_demo(connection: Connection) -> None:
        ids = select(experiments.c.id).where(experiments.c.is_demo == 1)
        for table in _TABLES:
            connection.execute(delete(table).where(table.c.experiment_id.in_(ids)))
        connection.execute(delete(experiments).where(experiments.c.is_demo == 1))


def design_to_json(design: Design) -> str:
    return json.dumps(asdict(design), sort_keys=True)


def design_from_json(text: str) -> Design:
    values = json.loads(text)
    values["guardrails"] = tuple(Guardrail(**each) for each in values.get("guardrails", ()))
    for name in ("secondary", "internal_units"):
        values[name] = tuple(values.get(name, ()))
    return Design(**values)


def _variant_row(experiment_id: str, phase: int, variant: Variant) -> dict[str, Any]:
    parameters = json.dumps(variant.parameters.as_dict())
    return to_row(experiment_variants, variant, experiment_id=experiment_id, phase=phase, parameters=parameters)


def _to_variant(row: Any) -> Variant:
    return from_row(Variant, row, parameters=Parameters(**json.loads(row["parameters"])))


def _to_look(row: Any) -> Look:
    sums = {int(position): Moments(*values) for position, values in json.loads(row.sums).items()}
    return Look(row.phase, int(row.n), from_us(row.at), sums)


def _to_experiment(row: Any, phases: Sequence[Any], variants: Sequence[Any]) -> Experiment:
    by_phase = grouped(variants, "phase")
    spans = tuple(
        from_row(Phase, phase, number=phase["phase"], variants=tuple(map(_to_variant, by_phase[phase["phase"]])))
        for phase in phases
    )
    design = design_from_json(row.design)
    return from_row(Experiment, row, design=design, phases=spans, variants=spans[-1].variants)
