"""The record of calls: their rows, bodies, sums and charges, written in one transaction."""

from collections.abc import Callable
from functools import partial

from sqlalchemy import Connection, insert

from core.storage.calls import rollups
from core.storage.engine.prepared import Prepared
from core.storage.engine.writer import Record, Rows
from core.storage.experiments import units
from core.storage.money import spend_by
from core.storage.money.ledger import lock_ledger
from core.storage.schema import call_tags, generation_bodies, generations

Charge = Callable[[Connection, Rows], None]

_LOG = Prepared(lambda _: insert(generations))
_LOG_BODY = Prepared(lambda _: insert(generation_bodies))
_LOG_TAG = Prepared(lambda _: insert(call_tags))


def recording(charge: Charge | None = None) -> Record:
    """The writer's way to record calls. charge: Charges them to their budgets, in the same transaction."""
    return partial(_record, charge)


def _record(charge: Charge | None, connection: Connection, rows: Rows, bodies: Rows) -> None:
    lock_ledger(connection)
    log_rows(connection, rows, bodies)
    if charge is not None:
        charge(connection, rows)


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
