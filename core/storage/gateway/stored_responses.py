"""Answers of the Responses API, and the items of their outputs, by id."""

import zlib
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, select, update

from core.formats import strict_json as json
from core.storage.engine.damaged import Parts
from core.storage.engine.database import Store
from core.storage.engine.records import upsert
from core.storage.gateway.schema import response_items, stored_responses

MOST_BYTES = 16 * 1024 * 1024  # of one answer with its input; of a larger one only the id is kept
MOST_AT_ONCE = 500
NOBODY = "deleted"  # the key of what was forgotten
_c, _items = stored_responses.c, response_items.c


class StoredResponse(NamedTuple):
    """One answer. content: {"input": items, "response": as it was answered}; None = no texts are kept."""

    id: str
    key_id: str
    provider: str
    previous_id: str
    created_at: int
    content: dict[str, Any] | None


class StoredResponseStore(Store):
    def find(self, response_id: str) -> StoredResponse | None:
        for row in self._database.rows(select(stored_responses).where(_c.id == response_id)):
            values = row._mapping
            content = Parts(values).read("content", lambda raw: json.loads(zlib.decompress(raw)), None)
            return StoredResponse(**{**values, "content": content})
        return None

    def of_items(self, item_ids: Collection[str]) -> dict[str, str]:
        """The ids of the responses that hold these items, by the items' ids."""
        wanted, found = sorted(item_ids), dict[str, str]()
        for at in range(0, len(wanted), MOST_AT_ONCE):
            chosen = _items.id.in_(wanted[at : at + MOST_AT_ONCE])
            found |= {row.id: row.response_id for row in self._database.rows(select(response_items).where(chosen))}
        return found

    @staticmethod
    def put(connection: Connection, stored: StoredResponse, item_ids: Iterable[str]) -> None:
        raw = b"" if stored.content is None else json.encoded(stored.content)
        content = zlib.compress(raw, 3) if 0 < len(raw) <= MOST_BYTES else None
        # The first to have an id keeps it.
        connection.execute(
            upsert(connection.dialect.name, stored_responses, ()), {**stored._asdict(), "content": content}
        )
        rows = [{"id": item_id, "response_id": stored.id} for item_id in dict.fromkeys(item_ids)]
        if rows:  # the first to hold an item keeps it: ids come from outside
            connection.execute(upsert(connection.dialect.name, response_items, ()), rows)

    @staticmethod
    def delete(connection: Connection, response_id: str) -> None:
        """Leave of an answer only that it was there: its vendor may still know it."""
        changed = update(stored_responses).where(_c.id == response_id)
        connection.execute(changed.values(key_id=NOBODY, content=None))

    def has_older(self, before_us: int) -> bool:
        return self._database.value(select(_c.id).where(_c.created_at < before_us).limit(1)) is not None

    @staticmethod
    def delete_older(connection: Connection, before_us: int) -> None:
        old = select(_c.id).where(_c.created_at < before_us)
        connection.execute(delete(response_items).where(_items.response_id.in_(old)))
        connection.execute(delete(stored_responses).where(_c.created_at < before_us))
