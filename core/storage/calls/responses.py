"""Cached responses: answers that may be given again."""

import zlib
from typing import Any

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from core.formats import strict_json as json
from core.storage.calls.reading import Parts
from core.storage.engine.database import Database
from core.storage.gateway.schema import cached_answers


class ResponseStore:
    """A response is JSON, compressed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, digest: str, now_us: int) -> Any:
        """The answer to a request, if one is cached; else None."""
        c = cached_answers.c
        with self._database.read() as connection:
            found = connection.execute(select(c.answer).where(c.digest == digest, c.expires_at > now_us)).scalar()
        return Parts({"answer": found}).read("answer", lambda raw: json.loads(zlib.decompress(raw)), None)

    @staticmethod
    def put(connection: Connection, digest: str, answer: Any, now_us: int, ttl_us: int) -> None:
        raw = zlib.compress(json.encoded(answer), 3)
        values = {"answer": raw, "created_at": now_us, "expires_at": now_us + ttl_us}
        dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
        statement = dialect.insert(cached_answers).values(digest=digest, **values)
        connection.execute(statement.on_conflict_do_update(index_elements=["digest"], set_=values))

    def has_old(self, now_us: int) -> bool:
        """Whether there is anything that has expired."""
        c = cached_answers.c
        with self._database.read() as connection:
            return connection.execute(select(c.digest).where(c.expires_at <= now_us).limit(1)).first() is not None

    @staticmethod
    def delete_old(connection: Connection, now_us: int) -> None:
        connection.execute(delete(cached_answers).where(cached_answers.c.expires_at <= now_us))
