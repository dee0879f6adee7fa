"""Comparisons, their candidates and votes."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from core.clock import from_us, to_us
from core.domain import strict_json as json
from core.domain.comparison import Candidate, Comparison, Criterion, Vote
from core.domain.generation import Generation, Parameters
from core.storage.database import Database
from core.storage.generations import GenerationStore
from core.storage.reading import each, readable, whole
from core.storage.schema import candidates, comparisons, votes


class ComparisonStore:
    def __init__(self, database: Database, generations: GenerationStore) -> None:
        self._database = database
        self._generations = generations

    @staticmethod
    def insert(connection: Connection, comparison: Comparison) -> None:
        connection.execute(
            insert(comparisons).values(
                id=comparison.id,
                created_at=to_us(comparison.created_at),
                source=comparison.source,
                prompt=comparison.prompt,
                system=comparison.system,
                rule=rule_to_json(comparison.rule),
                winner=comparison.winner,
            )
        )
        rows = [
            {
                "comparison_id": comparison.id,
                "position": candidate.position,
                "model": candidate.model,
                "settings": json.dumps({"system": candidate.system, "parameters": candidate.parameters.as_dict()}),
                "generation_id": candidate.generation.id if candidate.generation else None,
            }
            for candidate in comparison.candidates
        ]
        connection.execute(insert(candidates), rows)

    @staticmethod
    def set_generation(connection: Connection, comparison_id: str, position: int, generation_id: str) -> None:
        c = candidates.c
        connection.execute(
            update(candidates)
            .where(c.comparison_id == comparison_id, c.position == position)
            .values(generation_id=generation_id)
        )

    @staticmethod
    def set_winner(
        connection: Connection, comparison_id: str, rule: Sequence[Criterion] | None, winner: int | None
    ) -> None:
        """Set the winner, and the rule that found it; None = the rule that is stored."""
        values = {"winner": winner} if rule is None else {"winner": winner, "rule": rule_to_json(rule)}
        connection.execute(update(comparisons).where(comparisons.c.id == comparison_id).values(**values))

    @staticmethod
    def insert_votes(connection: Connection, rows: list[dict[str, Any]]) -> None:
        connection.execute(insert(votes), rows)

    def get(self, comparison_id: str) -> Comparison | None:
        with self._database.read() as connection:
            row = (
                connection.execute(select(comparisons).where(comparisons.c.id == comparison_id))
                .mappings()
                .one_or_none()
            )
            if row is None:
                return None
            c = candidates.c
            parts = (
                connection.execute(select(candidates).where(c.comparison_id == comparison_id).order_by(c.position))
                .mappings()
                .all()
            )
        by_id = {generation.id: generation for generation in self._generations.by_ref(comparison_id)}
        return whole("comparison", row, lambda row: _to_comparison(row, parts, by_id))

    def latest(self, limit: int) -> list[Comparison]:
        """Newest first, without the answers."""
        with self._database.read() as connection:
            rows = (
                connection.execute(select(comparisons).order_by(comparisons.c.created_at.desc()).limit(limit))
                .mappings()
                .all()
            )
            ids = [row["id"] for row in rows]
            parts = (
                connection.execute(
                    select(candidates).where(candidates.c.comparison_id.in_(ids)).order_by(candidates.c.position)
                )
                .mappings()
                .all()
            )
        by_comparison: dict[str, list[Any]] = {}
        for part in parts:
            by_comparison.setdefault(part["comparison_id"], []).append(part)
        return readable("comparison", rows, lambda row: _to_comparison(row, by_comparison.get(row["id"], []), {}))

    def votes(self, *, demo: bool = False) -> list[Vote]:
        """All votes, oldest first; those on demo comparisons only if asked for."""
        is_demo = comparisons.c.source == "demo"
        statement = (
            select(votes)
            .join(comparisons, comparisons.c.id == votes.c.comparison_id)
            .where(is_demo if demo else ~is_demo)
            .order_by(votes.c.created_at)
        )
        with self._database.read() as connection:
            rows = connection.execute(statement).mappings().all()
        return [
            Vote(
                **{name: row[name] for name in ("comparison_id", "model_a", "model_b", "choice")},
                created_at=from_us(row["created_at"]),
                is_blind=bool(row["is_blind"]),
            )
            for row in rows
        ]

    @staticmethod
    def delete_source(connection: Connection, source: str) -> None:
        ids = select(comparisons.c.id).where(comparisons.c.source == source)
        for table in (votes, candidates):
            connection.execute(delete(table).where(table.c.comparison_id.in_(ids)))
        connection.execute(delete(comparisons).where(comparisons.c.source == source))


def rule_to_json(rule: Sequence[Criterion]) -> str:
    return json.dumps([[c.metric, c.tie_share, c.larger_is_better] for c in rule])


_CRITERIA = each(lambda values: Criterion(*values))


def _to_comparison(row: Any, parts: Sequence[Any], by_id: dict[str, Generation]) -> Comparison:
    return Comparison(
        **{name: row[name] for name in ("id", "source", "prompt", "system", "winner")},
        created_at=from_us(row["created_at"]),
        rule=_CRITERIA(row["rule"]),
        candidates=tuple(_to_candidate(part, by_id) for part in parts),
    )


def _to_candidate(part: Any, by_id: dict[str, Generation]) -> Candidate:
    settings = json.loads(part["settings"])
    return Candidate(
        position=part["position"],
        model=part["model"],
        system=settings.get("system"),
        parameters=Parameters(**settings.get("parameters", {})),
        generation=by_id.get(part["generation_id"] or ""),
    )
