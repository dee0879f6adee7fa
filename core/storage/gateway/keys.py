"""Keys of the team's own programs."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, insert, or_, select, update

from core.domain.key import Key
from core.formats import strict_json as json
from core.storage.engine.damaged import readable, texts
from core.storage.engine.database import Store
from core.storage.engine.prepared import Prepared
from core.storage.engine.records import from_row, to_row
from core.storage.gateway.schema import api_keys
from core.storage.people.schema import people

_OWNER = {"owner_name": people.c.name, "owner_role": people.c.role, "disabled_at": people.c.disabled_at}
_READ = Prepared(
    lambda _: (
        select(api_keys, *(column.label(name) for name, column in _OWNER.items()))
        .outerjoin(people, people.c.id == api_keys.c.owner)
        .order_by(api_keys.c.created_at.desc(), api_keys.c.id)
    )
)
_NAMES = (*api_keys.c.keys(), *_OWNER)
_LISTS = ("scopes", "models", "tags")
_FIXED = ("id", "hint", "created_at", "revoked_at", "last_used_at")


class KeyStore(Store):
    def all(self) -> dict[str, Key]:
        """Digest -> key, the newest first."""
        with self._database.read() as connection:
            return dict(readable("key", _READ.run(connection, {}), lambda row: _to_key(tuple(row))))

    @staticmethod
    def names(connection: Connection) -> dict[str, str]:
        """Id -> name of the keys that are not revoked."""
        rows = connection.execute(select(api_keys.c.id, api_keys.c.name).where(api_keys.c.revoked_at.is_(None)))
        return {row.id: row.name for row in rows}

    @staticmethod
    def insert(connection: Connection, key: Key, digest: str) -> None:
        connection.execute(insert(api_keys).values(digest=digest, **_to_row(key)))

    @staticmethod
    def update(connection: Connection, key: Key) -> bool:
        """Write what may be changed of a key; False when it is revoked."""
        values = {name: value for name, value in _to_row(key).items() if name not in _FIXED}
        c = api_keys.c
        statement = update(api_keys).where(c.id == key.id, c.revoked_at.is_(None)).values(**values)
        return connection.execute(statement).rowcount > 0

    @staticmethod
    def revoke(connection: Connection, key_id: str, now_us: int) -> bool:
        """False when it is revoked already."""
        c = api_keys.c
        statement = update(api_keys).where(c.id == key_id, c.revoked_at.is_(None)).values(revoked_at=now_us)
        return connection.execute(statement).rowcount > 0

    @staticmethod
    def touch(connection: Connection, used: Mapping[str, int]) -> None:
        """Write when keys were last used, by id, unless another process knows of a later use."""
        c = api_keys.c
        for key_id, at in used.items():
            earlier = or_(c.last_used_at.is_(None), c.last_used_at < at)
            connection.execute(update(api_keys).where(c.id == key_id, earlier).values(last_used_at=at))


def _to_row(key: Key) -> dict[str, Any]:
    return to_row(api_keys, key, **{name: json.dumps(list(getattr(key, name))) for name in _LISTS})


@lru_cache(maxsize=20_000)  # read again every second, and hardly ever another
def _to_key(values: tuple[Any, ...]) -> tuple[str, Key]:
    """Digest and key."""
    row = dict(zip(_NAMES, values, strict=True))
    is_lost = bool(row["owner"]) and (row["owner_role"] is None or row["disabled_at"] is not None)
    more = {"owner_name": row["owner_name"] or "", "has_lost_owner": is_lost}
    return row["digest"], from_row(Key, row, **more, **{name: texts(row[name]) for name in _LISTS})
