"""Keys: made, changed, revoked, and looked up for each request."""

import asyncio
import math
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from core import clock
from core.domain.key import Key
from core.errors import AuthenticationError, Conflict, NotFound
from core.keys import rules
from core.storage.engine.database import Connection, Database
from core.storage.engine.writer import Writer
from core.storage.gateway.keys import KeyStore
from core.storage.people.audit import note

FRESH_S = 0.9  # a revocation holds in all processes within a second, the reading included
UNKNOWN_FRESH_S = 0.1  # a key that is not there may have been made just now, in another process
FLUSH_EVERY_US = 60_000_000
_WHAT_NEXT = "Make one with: aimm keys create NAME, or on the Gateway page."


class KeyService:
    """`find`, `afind` and `cached` read all keys at once and keep them for less than a second."""

    def __init__(self, database: Database, writer: Writer, owner_id: Callable[[str], str]) -> None:
        """owner_id: The id of a person by name or id; raises NotFound."""
        self.owner_of = owner_id
        self._store = KeyStore(database)
        self._writer = writer
        self._known: tuple[dict[str, Key], float] = {}, -math.inf  # by digest, and when they were read
        self._version = 0
        self._lock = threading.Lock()
        self._reading: asyncio.Future[None] | None = None
        self._used: dict[str, int] = {}  # when each was last used; and what of it is written
        self._written: dict[str, int] = {}

    # Made and changed

    def create(self, name: str, **fields: Any) -> tuple[Key, str]:
        """Make a key; its text is given here and is nowhere else.

        fields: scopes, models, tags, limits, log_content, shares_cache, expires_at, owner (a name or
            an id), team; see Key.

        Raises:
            InvalidRequest: A field is out of range. Conflict: a key of that name is in use.
        """
        secret, now = rules.new_secret(), clock.now()
        bare = Key(id=f"k_{secrets.token_hex(8)}", name=name, hint=rules.hint_of(secret), created_at=now)
        key = rules.checked(bare, self._owned(fields), now)

        def work(connection: Connection) -> None:
            self._refuse_taken(connection, key)
            self._store.insert(connection, key, rules.digest_of(secret))
            note(connection, "key created", key.name, {})

        self._writer.run(work)
        self._forget()
        return key, secret

    def change(self, key_id: str, **fields: Any) -> Key:
        """Change fields of a key; `name` among them. Raises: see create, and NotFound; Conflict: it is revoked."""
        old = self.get(key_id)
        key = rules.checked(old, self._owned(fields), clock.now())

        def work(connection: Connection) -> None:
            self._refuse_taken(connection, key)
            if not self._store.update(connection, key):
                raise Conflict(f"The key {old.name!r} is revoked.")
            note(connection, "key changed", key.name, {})

        self._writer.run(work)
        self._forget()
        return key

    def _owned(self, fields: dict[str, Any]) -> dict[str, Any]:
        """The fields with an owner by their id. Raises: NotFound."""
        return fields | {"owner": self.owner_of(fields["owner"])} if fields.get("owner") else fields

    def revoke(self, key_id: str) -> Key:
        """It holds here at once, and in other processes within a second. Raises: NotFound; Conflict: it is revoked."""
        key, now_us = self.get(key_id), clock.now_us()

        def work(connection: Connection) -> None:
            if not self._store.revoke(connection, key_id, now_us):
                raise Conflict(f"The key {key.name!r} is revoked already.")
            note(connection, "key revoked", key.name, {})

        self._writer.run(work)
        self._forget()
        return replace(key, revoked_at=clock.from_us(now_us))

    # Read

    def all(self) -> list[Key]:
        """The newest first, revoked ones too."""
        return [self._with_use(key) for key in self._store.all().values()]

    def get(self, key_id: str) -> Key:
        found = self.of_id(key_id)
        if found is None:
            raise NotFound(f"There is no key {key_id[:60]!r}.")
        return found

    def of_id(self, key_id: str) -> Key | None:
        """The key of an id, revoked or not; None where there is none, or no id."""
        return next((key for key in self.all() if key.id == key_id), None) if key_id else None

    def named(self, id_or_name: str) -> Key:
        """The key of an id, or the one of a name that is not revoked.

        Raises:
            NotFound. Conflict: several have the name.
        """
        keys = self.all()
        named = [key for key in keys if key.name == id_or_name and key.revoked_at is None]
        if len(named) > 1:
            raise Conflict(f"Several keys are named {id_or_name!r}: {', '.join(k.id for k in named)}. Say which.")
        return named[0] if named else self.get(id_or_name)

    # Looked up

    def find(self, secret: str) -> Key:
        """The key of a text.

        Raises:
            AuthenticationError: It is unknown, revoked or expired.
        """
        if self._is_stale(secret):
            self._read()
        return self._judged(secret)

    async def afind(self, secret: str) -> Key:
        """`find` that never holds up the caller's event loop; who comes at the same time shares one reading."""
        if self._is_stale(secret):
            await self._aread()
        return self._judged(secret)

    def cached(self, secret: str) -> Key | None:
        """The key of a text, where it is valid and that is known without a reading; else None, and `afind` tells."""
        keys, read_at = self._known
        if time.monotonic() - read_at > FRESH_S:
            return None
        key = keys.get(rules.digest_of(secret))
        if key is None or not (
            (key.revoked_at is key.expires_at is None and not key.has_lost_owner) or key.is_valid_at(clock.now())
        ):
            return None
        self._used[key.id] = clock.now_us()
        return key

    def _judged(self, secret: str) -> Key:
        key = self._known[0].get(rules.digest_of(secret))
        if key is None:
            known = "is not known here" if rules.is_well_formed(secret) else "is mistyped: its check sum does not fit"
            raise AuthenticationError(f"The key {known}.", hint=_WHAT_NEXT)
        if not key.is_valid_at(clock.now()):
            if key.has_lost_owner:
                raise AuthenticationError(
                    f"The key {key.name!r} stopped: its owner {key.owner_name} was disabled.", hint=_WHAT_NEXT
                )
            end, what = (key.revoked_at, "was revoked") if key.revoked_at else (key.expires_at, "expired")
            raise AuthenticationError(f"The key {key.name!r} {what} at {end:%Y-%m-%d %H:%M} UTC.", hint=_WHAT_NEXT)
        self._used[key.id] = clock.now_us()
        return key

    def _is_stale(self, secret: str) -> bool:
        keys, read_at = self._known
        age_s = time.monotonic() - read_at
        return age_s > FRESH_S or (age_s > UNKNOWN_FRESH_S and rules.digest_of(secret) not in keys)

    def refresh(self) -> None:
        """Read what other processes have changed, so that the next look-up need not."""
        self._read()

    def _read(self) -> None:
        while True:
            version, at = self._version, time.monotonic()
            keys = self._store.all()
            with self._lock:
                if version == self._version:  # nothing was changed here meanwhile
                    self._known = keys, at
                    return

    async def _aread(self) -> None:
        reading = self._reading
        if reading is None or reading.done() or reading.get_loop() is not asyncio.get_running_loop():
            reading = self._reading = asyncio.ensure_future(asyncio.to_thread(self._read))
        await asyncio.shield(reading)

    # Last use

    def flush(self, least_us: int = FLUSH_EVERY_US) -> None:
        """Write when keys were last used, of those whose last writing is so long ago."""
        due = {i: at for i, at in self._used.copy().items() if at - self._written.get(i, 0) >= least_us}
        if due:
            self._writer.run(lambda connection: self._store.touch(connection, due))
            self._written |= due

    def close(self) -> None:
        self.flush(1)

    def _with_use(self, key: Key) -> Key:
        at = self._used.get(key.id)
        if at is None or (key.last_used_at is not None and clock.to_us(key.last_used_at) > at):
            return key
        return replace(key, last_used_at=clock.from_us(at))

    def _forget(self) -> None:
        with self._lock:
            self._version += 1
            self._known = self._known[0], -math.inf

    def _refuse_taken(self, connection: Connection, key: Key) -> None:
        if any(name == key.name and key_id != key.id for key_id, name in self._store.names(connection).items()):
            raise Conflict(f"There is a key named {key.name!r} already.")
