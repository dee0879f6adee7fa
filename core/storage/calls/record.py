"""The record of calls: their rows, bodies and sums, written in one transaction."""

from sqlalchemy import Connection, insert

from core.storage.calls import rollups
from core.storage.engine.prepared import Prepared
from core.storage.engine.writer import Rows
from core.storage.experiments import units
from core.storage.money import spend_by
from core.storage.schema import call_tags, generation_bodies, generations

_LOG = Prepared(lambda _: insert(generations))
_LOG_BODY = Prepared(lambda _: insert(generation_bodies))
_LOG_TAG = Prepared(lambda _: insert(call_tags))


def log_rows(connection: Connection, rows: Rows, bodies: Rows) -> None:
    """Insert generations with their bodies and bring the rollups up to date, in the caller's transaction."""
    if rows:
        _LOG.run_many(connection, rows)
        tags = [(tag, row["created_at"], row["id"]) for row in rows for tag in set(row["tags"].split(",")) - {""}]
        if tags:
            _LOG_TAG.run_many(connection, [dict(zip(call_tags.c.keys(), each, strict=True)) for each in tags])
        rollups.add_rows(connection, rows)
        spend_by.add_rows(connection, rows)
        units.log_calls(connection, rows)
    if bodies:
        _LOG_BODY.run_many(connection, bodies)
