"""Requests with an Idempotency-Key: who answers one, and the answer."""

from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from core.storage.gateway.schema import keyed_requests

_c = keyed_requests.c


class KeyedRow(NamedTuple):
    digest: str
    owner: str
    created_at: int
    answered_at: int | None
    answer: bytes | None


def read(connection: Connection, scope: str, key: str) -> KeyedRow | None:
    row = connection.execute(
        select(_c.digest, _c.owner, _c.created_at, _c.answered_at, _c.answer).where(_c.scope == scope, _c.key == key)
    ).first()
    return None if row is None else KeyedRow(*row)


def take(connection: Connection, scope: str, key: str, digest: str, owner: str, now_us: int) -> bool:
    """Take a key for this owner; False = it was not free."""
    dialect: Any = sqlite if connection.dialect.name == "sqlite" else postgresql
    values = {"scope": scope, "key": key, "digest": digest, "owner": owner, "created_at": now_us}
    statement = dialect.insert(keyed_requests).values(values).on_conflict_do_nothing().returning(_c.key)
    return connection.execute(statement).first() is not None


def take_over(connection: Connection, scope: str, key: str, old_owner: str, owner: str) -> bool:
    where = (_c.scope == scope, _c.key == key, _c.owner == old_owner, _c.answered_at.is_(None))
    return connection.execute(update(keyed_requests).where(*where).values(owner=owner)).rowcount == 1


def finish(connection: Connection, scope: str, key: str, answer: bytes | None, now_us: int) -> None:
    where = (_c.scope == scope, _c.key == key)
    connection.execute(update(keyed_requests).where(*where).values(answer=answer, answered_at=now_us))


def free(connection: Connection, scope: str, key: str) -> None:
    connection.execute(delete(keyed_requests).where(_c.scope == scope, _c.key == key))


def forget_old(connection: Connection, before_us: int) -> None:
    """Delete what was answered before then."""
    connection.execute(delete(keyed_requests).where(_c.created_at < before_us, _c.answered_at.is_not(None)))
