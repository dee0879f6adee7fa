"""The part of a run's row that is the same of every kind: where it stands, and which process executes it."""

from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Table, select, update

from core.storage.engine.database import Database


class Unfinished(NamedTuple):
    """A run that is not over.

    status: `queued` or `running`.
    start: How often it was started.
    owner: The token of the process that executes it (see `Presence`); empty for one that waits.
    """

    run_id: str
    status: str
    start: int
    owner: str


def read_unfinished(database: Database, runs: Table, *which: ColumnElement[bool]) -> list[Unfinished]:
    """Oldest first. which: Of these rows alone."""
    c = runs.c
    statement = select(c.id, c.status, c.n_starts, c.owner).where(c.status.in_(("queued", "running")), *which)
    return [Unfinished(*row) for row in database.rows(statement.order_by(c.created_at))]


def move(
    connection: Connection,
    runs: Table,
    run_id: str,
    to: str,
    came_from: tuple[str, ...],
    *,
    start: int | None = None,
    **values: Any,
) -> bool:
    """Change a run's status if it is one of `came_from` (and of that start); False when it is not."""
    c = runs.c
    statement = update(runs).where(c.id == run_id, c.status.in_(came_from)).values(status=to, **values)
    if start is not None:
        statement = statement.where(c.n_starts == start)
    return connection.execute(statement).rowcount > 0
