"""Open circuits, for every process to see."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, delete, select

from core.clock import from_us
from core.storage.engine.database import Store
from core.storage.engine.records import put as put_row
from core.storage.gateway.schema import breakers


class Opening(NamedTuple):
    """A model that is not asked.

    open_until: Microseconds. n_openings: How often in a row.
    code: Of the error that opened it.
    asks_at: When it may be asked where nobody else can answer, in microseconds; 0 = not before `open_until`.
    """

    open_until: int
    n_openings: int
    reason: str
    code: str = ""
    asks_at: int = 0

    @property
    def ends_at(self) -> datetime:
        return from_us(self.open_until)


class BreakerStore(Store):
    def all(self) -> dict[tuple[str, str], Opening]:
        rows = self._database.rows(select(breakers))
        return {(row.provider, row.model): Opening(*row[2:]) for row in rows}

    @staticmethod
    def put(connection: Connection, key: tuple[str, str], opening: Opening) -> None:
        put_row(connection, breakers, {"provider": key[0], "model": key[1], **opening._asdict()})

    @staticmethod
    def remove(connection: Connection, key: tuple[str, str]) -> None:
        connection.execute(delete(breakers).where(breakers.c.provider == key[0], breakers.c.model == key[1]))
