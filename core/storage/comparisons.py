"""Comparisons and their candidates."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from core.domain.comparison import Candidate, Comparison, Criterion, prompt_digest
from core.domain.generation import Generation, Parameters
from core.formats import strict_json as json
from core.storage.calls.generations import GenerationStore
from core.storage.engine.damaged import each, readable, whole
from core.storage.engine.database import Database
from core.storage.engine.paging import read_page
from core.storage.engine.records import from_row, grouped, to_row
from core.storage.runs import Unfinished, move, read_unfinished
from core.storage.schema import candidates, comparisons, votes


class ComparisonStore:
    def __init__(self, database: Database, generations: GenerationStore) -> None:
        self._database = database
        self._generations = generations

    @staticmethod
    def insert(connection: Connection, comparison: Comparison) -> None:
        row = to_row(comparisons, comparison, rule=rule_to_json(comparison.rule))
        connection.execute(insert(comparisons).values(**row))
        rows = []
        for candidate in comparison.candidates:
            settings = {"system": candidate.system, "parameters": candidate.parameters.as_dict()}
            rows.append({
                "comparison_id": comparison.id, "position": candidate.position, "model": candidate.model,
                "settings": json.dumps(settings | {"prompt": candidate.prompt, "asked": candidate.alias}),
            })  # fmt: skip
        connection.execute(insert(candidates), rows)

    @staticmethod
    def set_candidate(
        connection: Connection, comparison_id: str, position: int, generation_id: str | None, error: str = ""
    ) -> None:
        """Say what became of a candidate's call; neither = it is asked now."""
        c = candidates.c
        connection.execute(
            update(candidates)
            .where(c.comparison_id == comparison_id, c.position == position)
            .values(generation_id=generation_id, error=error)
        )

    @staticmethod
    def set_winner(
        connection: Connection, comparison_id: str, rule: Sequence[Criterion] | None, winner: int | None
    ) -> None:
        """Set the winner, and the rule that found it; None = the rule that is stored."""
        values = {"winner": winner} if rule is None else {"winner": winner, "rule": rule_to_json(rule)}
        connection.execute(update(comparisons).where(comparisons.c.id == comparison_id).values(**values))

    @staticmethod
    def move(connection: Connection, comparison_id: str, to: str, came_from: tuple[str, ...], **values: Any) -> bool:
        """See `core.storage.runs.move`."""
        return move(connection, comparisons, comparison_id, to, came_from, **values)

    @staticmethod
    def standing(connection: Connection, comparison_id: str) -> tuple[str, int]:
        """Its status, and how often it was started; ("", 0) where there is none."""
        c = comparisons.c
        row = connection.execute(select(c.status, c.n_starts).where(c.id == comparison_id)).one_or_none()
        return (row.status, row.n_starts) if row else ("", 0)

    def unfinished(self) -> list[Unfinished]:
        return read_unfinished(self._database, comparisons)

    def spent(self, comparison_id: str) -> Decimal:
        """The cost of all its calls so far; an unknown one counts as nothing."""
        return sum((g.cost_usd or Decimal(0) for g in self._generations.by_ref(comparison_id)), Decimal(0))

    def get(self, comparison_id: str) -> Comparison | None:
        with self._database.read() as connection:
            row = connection.execute(select(comparisons).where(comparisons.c.id == comparison_id)).one_or_none()
            if row is None:
                return None
            parts = _parts(connection, [comparison_id])
        by_id = {generation.id: generation for generation in self._generations.by_ref(comparison_id)}
        return whole("comparison", row, lambda row: _to_comparison(row, parts, by_id))

    def page(self, limit: int, before: str | None, *, demo: bool | None = None) -> tuple[list[Comparison], str | None]:
        """Newest first, without the answers. demo: None = those of the demo among the others."""
        statement = select(comparisons)
        if demo is not None:
            statement = statement.where((comparisons.c.source == "demo") == demo)
        with self._database.read() as connection:
            rows, after = read_page(connection, statement, (comparisons.c.created_at, comparisons.c.id), limit, before)
            parts = _parts(connection, [row.id for row in rows])
        by_comparison = grouped(parts, "comparison_id")
        return readable("comparison", rows, lambda row: _to_comparison(row, by_comparison.get(row.id, ()), {})), after

    @staticmethod
    def delete_source(connection: Connection, source: str) -> None:
        ids = select(comparisons.c.id).where(comparisons.c.source == source)
        for table in (votes, candidates):
            connection.execute(delete(table).where(table.c.comparison_id.in_(ids)))
        connection.execute(delete(comparisons).where(comparisons.c.source == source))


def rule_to_json(rule: Sequence[Criterion]) -> str:
    return json.dumps([[c.metric, c.tie_share, c.larger_is_better] for c in rule])


_CRITERIA = each(lambda values: Criterion(*values))


def to_candidate(part: Mapping[Any, Any], shared_system: str | None, generation: Generation | None = None) -> Candidate:
    """Of a row; a digest that was not yet kept is that of the system prompt as it stands there."""
    settings = json.loads(part["settings"])
    system = settings.get("system")
    return from_row(
        Candidate,
        part,
        system=system,
        parameters=Parameters(**settings.get("parameters", {})),
        prompt=settings.get("prompt", prompt_digest(system or shared_system)),
        alias=settings.get("asked", ""),
        generation_id=part["generation_id"] or "",
        generation=generation,
    )


def _parts(connection: Connection, ids: Sequence[str]) -> Sequence[Any]:
    c = candidates.c
    return connection.execute(select(candidates).where(c.comparison_id.in_(ids)).order_by(c.position)).mappings().all()


def _to_comparison(row: Any, parts: Sequence[Any], by_id: Mapping[str, Generation]) -> Comparison:
    answers = tuple(to_candidate(p, row.system, by_id.get(p["generation_id"] or "")) for p in parts)
    return from_row(Comparison, row, rule=_CRITERIA(row.rule), candidates=answers)
