"""The shards of evaluation runs, which processes work on."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, insert, select, update

from core.storage.engine.database import Database
from core.storage.evaluation.schema import evaluation_shards
from core.storage.runs import Unfinished, move, read_unfinished

_s = evaluation_shards.c


class Shard(NamedTuple):
    """A span of a run's items that one process works on at a time."""

    id: str
    run_id: str
    first_item: int
    n_items: int
    status: str
    n_starts: int


class ShardStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    def unfinished(self) -> list[Unfinished]:
        return read_unfinished(self._database, evaluation_shards)

    def get(self, shard_id: str) -> Shard | None:
        columns = (_s.id, _s.run_id, _s.first_item, _s.n_items, _s.status, _s.n_starts)
        [*rows] = self._database.rows(select(*columns).where(_s.id == shard_id))
        return Shard(*rows[0]) if rows else None

    def n_of(self, owner: str) -> int:
        """The shards that a process works on now."""
        return int(self._database.value(select(func.count()).where(_s.owner == owner, _s.status == "running")) or 0)

    # In transactions

    @staticmethod
    def insert(connection: Connection, shards: Sequence[Mapping[str, Any]]) -> None:
        connection.execute(insert(evaluation_shards), list(shards))

    @staticmethod
    def move(connection: Connection, shard_id: str, to: str, came_from: tuple[str, ...], **values: Any) -> bool:
        return move(connection, evaluation_shards, shard_id, to, came_from, **values)

    @staticmethod
    def requeue(connection: Connection, run_id: str, owner: str) -> list[str]:
        """Queue the shards of a run that have ended; their ids."""
        ended = (_s.run_id == run_id, _s.status == "ended")
        ids = [row.id for row in connection.execute(select(_s.id).where(*ended).order_by(_s.first_item))]
        connection.execute(update(evaluation_shards).where(*ended).values(status="queued", owner=owner))
        return ids

    @staticmethod
    def n_left(connection: Connection, run_id: str) -> int:
        """The shards of a run that are not over."""
        left = select(func.count()).where(_s.run_id == run_id, _s.status != "ended")
        return int(connection.execute(left).scalar() or 0)
