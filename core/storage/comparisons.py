"""Comparisons: runs of one item, kept with evaluations."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, replace
from decimal import Decimal
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from core.clock import now_us, to_us
from core.domain.comparison import INTERRUPTED, STOPPED, Candidate, Comparison, Criterion
from core.domain.evaluation.run import Plan, plan_from_json, plan_to_json
from core.domain.generation import Generation
from core.formats.money import from_nano, to_nano
from core.storage.calls.generations import GenerationStore
from core.storage.engine.damaged import readable, whole
from core.storage.engine.database import Database
from core.storage.engine.paging import read_page
from core.storage.engine.records import from_row, grouped, to_row
from core.storage.evaluation.runs import spend
from core.storage.evaluation.schema import evaluation_cells, evaluations
from core.storage.runs import Unfinished, move, read_unfinished
from core.storage.schema import votes

_e, _c = evaluations.c, evaluation_cells.c
IS_QUICK = _e.is_quick == 1


class ComparisonStore:
    def __init__(self, database: Database, generations: GenerationStore) -> None:
        self._database = database
        self._generations = generations

    @staticmethod
    def insert(connection: Connection, comparison: Comparison, plan: Plan, *, is_simulated: bool = False) -> None:
        """Write a comparison down with a cell for each answer, which is asked now.

        plan: See `core.comparison.plan`. is_simulated: No real model is among those that are asked.
        """
        row = to_row(
            evaluations, comparison, name=plan.name, dataset=plan.dataset, plan=plan_to_json(plan), n_items=1,
            n_cells=len(comparison.candidates), is_quick=1, is_simulated=int(is_simulated),
            limit_nano_usd=None if comparison.cap_usd is None else to_nano(comparison.cap_usd),
        )  # fmt: skip
        connection.execute(insert(evaluations).values(**row))
        of_all = {"run_id": comparison.id, "item": 0, "repetition": 0, "state": "running", "start": 1}
        of_all["row_id"] = plan.quick.row.id if plan.quick else ""
        connection.execute(
            insert(evaluation_cells), [of_all | {"contestant": each.position} for each in comparison.candidates]
        )

    @staticmethod
    def set_candidate(
        connection: Connection,
        comparison_id: str,
        position: int,
        generation_id: str | None,
        error: str = "",
        **measured: Any,
    ) -> None:
        """Say what became of a candidate's call; neither an id nor an error = it is asked now.

        measured: See `_measured`.
        """
        state = "running"
        if error:
            state = "waiting" if error in (INTERRUPTED, STOPPED) else "error"
        elif generation_id:
            state = "answered"
        values = _UNMEASURED | {"state": state, "generation_id": generation_id or "", "error": error} | measured
        connection.execute(
            update(evaluation_cells)
            .where(_c.run_id == comparison_id, _c.item == 0, _c.contestant == position)
            .values(**values)
        )

    @classmethod
    def record(
        cls, connection: Connection, comparison_id: str, position: int, generation: Generation, error: str
    ) -> None:
        """Give a candidate its call, and charge it to the comparison."""
        cost = None if generation.cost_usd is None else to_nano(generation.cost_usd)
        measured = {} if error else _measured(generation, cost)
        cls.set_candidate(connection, comparison_id, position, generation.id, error, **measured)
        spend(connection, comparison_id, worst=0, cost=cost, is_asked=bool(generation.n_attempts))

    @staticmethod
    def set_winner(
        connection: Connection, comparison_id: str, rule: Sequence[Criterion] | None, winner: int | None
    ) -> None:
        """Set the winner, and the rule that found it; None = the rule that is stored."""
        row = connection.execute(select(_e.plan).where(_e.id == comparison_id).with_for_update()).one()
        plan = plan_from_json(row.plan)
        assert plan.quick is not None  # noqa: S101 - it is a comparison
        quick = replace(plan.quick, winner=winner)
        if rule is not None:
            quick = replace(quick, rule=tuple(map(astuple, rule)))
        changed = plan_to_json(replace(plan, quick=quick))
        connection.execute(update(evaluations).where(_e.id == comparison_id).values(plan=changed))

    @staticmethod
    def move(connection: Connection, comparison_id: str, to: str, came_from: tuple[str, ...], **values: Any) -> bool:
        """See `core.storage.runs.move`; it says too when the run ended."""
        values["ended_at"] = now_us() if to in ("finished", "stopped") else None
        return move(connection, evaluations, comparison_id, to, came_from, **values)

    @staticmethod
    def standing(connection: Connection, comparison_id: str) -> tuple[str, int]:
        """Its status, and how often it was started; ("", 0) where there is none."""
        row = connection.execute(select(_e.status, _e.n_starts).where(_e.id == comparison_id)).one_or_none()
        return (row.status, row.n_starts) if row else ("", 0)

    def unfinished(self) -> list[Unfinished]:
        return read_unfinished(self._database, evaluations, IS_QUICK)

    def spent(self, comparison_id: str) -> Decimal:
        """The cost of all its calls so far; an unknown one counts as nothing."""
        return sum((g.cost_usd or Decimal(0) for g in self._generations.by_ref(comparison_id)), Decimal(0))

    def get(self, comparison_id: str) -> Comparison | None:
        with self._database.read() as connection:
            row = connection.execute(select(evaluations).where(_e.id == comparison_id, IS_QUICK)).one_or_none()
            if row is None:
                return None
            cells = _cells(connection, [comparison_id])
        by_id = {generation.id: generation for generation in self._generations.by_ref(comparison_id)}
        return whole("comparison", row, lambda row: _to_comparison(row, cells, by_id))

    def page(self, limit: int, before: str | None, *, demo: bool | None = None) -> tuple[list[Comparison], str | None]:
        """Newest first, without the answers. demo: None = those of the demo among the others."""
        statement = select(evaluations).where(IS_QUICK)
        if demo is not None:
            statement = statement.where((_e.source == "demo") == demo)
        with self._database.read() as connection:
            rows, after = read_page(connection, statement, (_e.created_at, _e.id), limit, before)
            cells = _cells(connection, [row.id for row in rows])
        by_run = grouped(cells, "run_id")
        return readable("comparison", rows, lambda row: _to_comparison(row, by_run.get(row.id, ()), {})), after

    @staticmethod
    def delete_source(connection: Connection, source: str) -> None:
        ids = select(_e.id).where(_e.source == source, IS_QUICK)
        connection.execute(delete(votes).where(votes.c.comparison_id.in_(ids)))
        connection.execute(delete(evaluation_cells).where(_c.run_id.in_(ids)))
        connection.execute(delete(evaluations).where(_e.source == source, IS_QUICK))


_UNMEASURED: dict[str, Any] = {
    "grade": "", "cost_nano_usd": None, "latency_us": None, "finish_reason": "", "error_class": "", "answered_at": None,
}  # fmt: skip


def _measured(generation: Generation, cost: int | None) -> dict[str, Any]:
    """The values that a call gives its cell beside its own id."""
    found = {"cost_nano_usd": cost, "finish_reason": generation.finish_reason or ""}
    if generation.status != "ok":
        return found | {"state": "error", "error_class": generation.error_class or generation.status}
    latency_us = round(generation.latency_s * 1e6)
    answered_at = to_us(generation.created_at) + latency_us
    return found | {"grade": "unchecked", "latency_us": latency_us, "answered_at": answered_at}


def candidates_of(plan_json: str) -> tuple[Candidate, ...]:
    """The candidates of a comparison by its plan, without their answers. They are the same for the same text."""
    return _of_plan(plan_json)[1]


@lru_cache(maxsize=2048)
def _of_plan(plan_json: str) -> tuple[Plan, tuple[Candidate, ...]]:
    plan = plan_from_json(plan_json)
    quick = plan.quick
    assert quick is not None  # noqa: S101 - it is a comparison's
    named = zip(plan.contestants, quick.systems, quick.digests, strict=True)
    found = [
        Candidate(
            position=each.position,
            model=each.asked,
            system=system,
            parameters=each.parameters,
            prompt=digest,
            alias="" if each.model == each.asked else each.model,
        )
        for each, system, digest in named
    ]
    return plan, tuple(found)


def _cells(connection: Connection, ids: Iterable[str]) -> Sequence[Any]:
    columns = (_c.run_id, _c.contestant, _c.generation_id, _c.error)
    statement = select(*columns).where(_c.run_id.in_(list(ids)), _c.item == 0).order_by(_c.contestant)
    return connection.execute(statement).mappings().all()


def _to_comparison(row: Any, cells: Sequence[Any], by_id: Mapping[str, Generation]) -> Comparison:
    plan, candidates = _of_plan(row.plan)
    quick = plan.quick
    assert quick is not None  # noqa: S101 - see _of_plan
    by_position = {cell["contestant"]: cell for cell in cells}
    answers = []
    for candidate in candidates:
        cell = by_position[candidate.position]
        known = {"generation_id": cell["generation_id"], "error": cell["error"]}
        answers.append(replace(candidate, **known, generation=by_id.get(cell["generation_id"])))
    return from_row(
        Comparison,
        row,
        prompt=quick.prompt,
        system=quick.system,
        rule=[Criterion(*step) for step in quick.rule],  # type: ignore[arg-type]  # a metric is one
        candidates=tuple(answers),
        winner=quick.winner,
        cap_usd=None if row.limit_nano_usd is None else from_nano(row.limit_nano_usd),
    )
