"""Baselines: names that point at runs."""

from typing import Any, NamedTuple

from sqlalchemy import Connection, insert, select

from core.clock import from_us
from core.storage.engine.database import Database
from core.storage.engine.records import put
from core.storage.evaluation.schema import baseline_moves, baselines


class Baseline(NamedTuple):
    """A name that points at a run."""

    name: str
    run_id: str
    moved_at: Any
    author: str


class BaselineStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, name: str) -> Baseline | None:
        [*rows] = self._database.rows(select(baselines).where(baselines.c.name == name))
        return _to_baseline(rows[0]) if rows else None

    def all(self) -> list[Baseline]:
        return [_to_baseline(row) for row in self._database.rows(select(baselines).order_by(baselines.c.name))]

    @staticmethod
    def bless(connection: Connection, name: str, run_id: str, moved_at: int, author: str) -> None:
        """Point a baseline at a run, and note where it pointed before."""
        was = connection.execute(select(baselines.c.run_id).where(baselines.c.name == name)).scalar() or ""
        row = {"name": name, "run_id": run_id, "moved_at": moved_at, "author": author}
        put(connection, baselines, row)
        connection.execute(insert(baseline_moves).values(**row, was=was))


def _to_baseline(row: Any) -> Baseline:
    return Baseline(row.name, row.run_id, from_us(row.moved_at), row.author)
