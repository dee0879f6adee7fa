"""Cached responses: answers that may be given again."""

import zlib
from typing import Any

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from core.formats import strict_json as json
from core.storage.engine.damaged import Parts
from core.storage.engine.database import Database
from core.storage.gateway.schema import cached_responses


class ResponseStore:
    """A response is JSON, compressed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, digest: str, now_us: int) -> Any:
        """The answer to a request, if one is cached; else None."""
        c = cached_responses.c
        with self._database.read() as connection:
            found = connection.execute(select(c.response).where(c.digest == digest, c.expires_at > now_us)).scalar()
        return Parts({"response": found}).read("response", lambda raw: json.loads(zlib.decompress(raw)), None)

    @staticmethod
    def put(connection: Connection, digest: str, response: Any, now_us: int, ttl_us: int) -> None:
        raw = zlib.compress(json.encoded(response), 3)
        values = {"response": raw, "created_at": now_us, "expires_at": now_us + ttl_us}
        dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
        statement = dialect.insert(cached_responses).values(digest=digest, **values)
        connection.execute(statement.on_conflict_do_update(index_elements=["digest"], set_=values))

    def has_old(self, now_us: int) -> bool:
        """True where something has expired."""
        c = cached_responses.c
        with self._database.read() as connection:
            return connection.execute(select(c.digest).where(c.expires_at <= now_us).limit(1)).first() is not None

    @staticmethod
    def delete_old(connection: Connection, now_us: int) -> None:
        connection.execute(delete(cached_responses).where(cached_responses.c.expires_at <= now_us))
