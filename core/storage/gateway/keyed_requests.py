"""Requests with an Idempotency-Key: who answers one, and the answer."""

from typing import NamedTuple

from sqlalchemy import Connection, delete, select, update

from core.storage.engine.records import upsert
from core.storage.gateway.schema import keyed_requests

_c = keyed_requests.c


class KeyedRow(NamedTuple):
    digest: str
    owner: str
    created_at: int
    answered_at: int | None
    answer: bytes | None


def read(connection: Connection, scope: str, key: str) -> KeyedRow | None:
    columns = (_c[name] for name in KeyedRow._fields)
    row = connection.execute(select(*columns).where(_c.scope == scope, _c.key == key)).first()
    return None if row is None else KeyedRow(*row)


def take(connection: Connection, scope: str, key: str, digest: str, owner: str, now_us: int) -> bool:
    """Take a key for this owner; False = it was not free."""
    row = {"scope": scope, "key": key, "digest": digest, "owner": owner, "created_at": now_us}
    statement = upsert(connection.dialect.name, keyed_requests, ()).returning(_c.key)
    return connection.execute(statement, row).first() is not None


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
