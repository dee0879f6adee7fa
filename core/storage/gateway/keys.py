"""Keys of the team's own programs."""

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, insert, or_, select, update

from core.clock import from_us, to_us
from core.domain.key import Key
from core.formats import strict_json as json
from core.storage.engine.damaged import readable, texts
from core.storage.engine.database import Database
from core.storage.engine.prepared import Prepared
from core.storage.gateway.schema import api_keys

_READ = Prepared(lambda _: select(api_keys).order_by(api_keys.c.created_at.desc(), api_keys.c.id))
_LISTS = ("scopes", "models", "tags")
_SAME = ("id", "name", "hint", "rpm", "user_rpm", "log_content")
_MOMENTS = ("created_at", "expires_at", "revoked_at", "last_used_at")


class KeyStore:
    def __init__(self, database: Database) -> None:
        self._database = database

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
        values = {name: value for name, value in _to_row(key).items() if name not in ("id", "hint", *_MOMENTS)}
        values["expires_at"] = None if key.expires_at is None else to_us(key.expires_at)
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
    return {
        **{name: getattr(key, name) for name in _SAME},
        **{name: json.dumps(list(getattr(key, name))) for name in _LISTS},
        **{name: None if (at := getattr(key, name)) is None else to_us(at) for name in _MOMENTS},
        "shares_cache": int(key.shares_cache),
    }


@lru_cache(maxsize=20_000)  # read again every second, and hardly ever another
def _to_key(values: tuple[Any, ...]) -> tuple[str, Key]:
    """Digest and key."""
    row = dict(zip(api_keys.c.keys(), values, strict=True))
    fields: dict[str, Any] = {name: row[name] for name in _SAME}
    fields |= {name: texts(row[name]) for name in _LISTS}
    fields |= {name: _moment(row[name]) for name in _MOMENTS}
    return row["digest"], Key(**fields, shares_cache=bool(row["shares_cache"]))


def _moment(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else from_us(microseconds)
