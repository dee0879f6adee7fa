"""Cached responses: answers that may be given again."""

import zlib
from typing import Any

from sqlalchemy import Connection, delete, select

from core.formats import strict_json as json
from core.storage.engine.damaged import Parts
from core.storage.engine.database import Store
from core.storage.engine.records import put
from core.storage.gateway.schema import cached_responses


class ResponseStore(Store):
    """A response is JSON, compressed."""

    def get(self, digest: str, now_us: int) -> Any:
        """The answer to a request, if one is cached; else None."""
        c = cached_responses.c
        found = self._database.value(select(c.response).where(c.digest == digest, c.expires_at > now_us))
        return Parts({"response": found}).read("response", lambda raw: json.loads(zlib.decompress(raw)), None)

    @staticmethod
    def put(connection: Connection, digest: str, response: Any, now_us: int, ttl_us: int) -> None:
        raw = zlib.compress(json.encoded(response), 3)
        row = {"digest": digest, "response": raw, "created_at": now_us, "expires_at": now_us + ttl_us}
        put(connection, cached_responses, row)

    def has_old(self, now_us: int) -> bool:
        """True where something has expired."""
        c = cached_responses.c
        return self._database.value(select(c.digest).where(c.expires_at <= now_us).limit(1)) is not None

    @staticmethod
    def delete_old(connection: Connection, now_us: int) -> None:
        connection.execute(delete(cached_responses).where(cached_responses.c.expires_at <= now_us))
