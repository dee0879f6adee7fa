"""Open circuits, for every process to see."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from core.clock import from_us
from core.storage.engine.database import Database
from core.storage.gateway.schema import breakers


class Opening(NamedTuple):
    """A model that is not asked. open_until: Microseconds. n_openings: How often in a row."""

    open_until: int
    n_openings: int
    reason: str

    @property
    def ends_at(self) -> datetime:
        return from_us(self.open_until)


class BreakerStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> dict[tuple[str, str], Opening]:
        with self._database.read() as connection:
            rows = connection.execute(select(breakers)).all()
        return {(row.provider, row.model): Opening(row.open_until, row.n_openings, row.reason) for row in rows}

    @staticmethod
    def put(connection: Connection, key: tuple[str, str], opening: Opening) -> None:
        values = opening._asdict()
        dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
        statement = dialect.insert(breakers).values(provider=key[0], model=key[1], **values)
        connection.execute(statement.on_conflict_do_update(index_elements=["provider", "model"], set_=values))

    @staticmethod
    def remove(connection: Connection, key: tuple[str, str]) -> None:
        connection.execute(delete(breakers).where(breakers.c.provider == key[0], breakers.c.model == key[1]))
