"""The order in which each vendor's models were first seen."""

from collections.abc import Sequence

from sqlalchemy import Connection, func, select

from core.storage.engine.database import Database
from core.storage.engine.records import upsert
from core.storage.schema import seen_models as table

Name = tuple[str, str]  # vendor and model


def read(database: Database) -> dict[Name, int]:
    """The place of each model among its vendor's, from 0."""
    rows = database.rows(select(table.c.provider, table.c.model, table.c.place))
    return {(row.provider, row.model): row.place for row in rows}


def add(connection: Connection, models: Sequence[Name]) -> None:
    """Put those at the end that are not there yet, in the order given."""
    statement = upsert(connection.dialect.name, table, ())
    for provider, model in models:
        place = connection.scalar(select(func.count()).where(table.c.provider == provider))
        connection.execute(statement, {"provider": provider, "model": model, "place": place})
