"""Requests that are answered once, however often they come: by an Idempotency-Key, over all processes."""

from collections import OrderedDict
from typing import NamedTuple

from core import clock
from core.errors import Conflict
from core.storage.engine.database import Connection, Database
from core.storage.engine.presence import Presence
from core.storage.engine.writer import Writer
from core.storage.gateway import keyed_requests as store

KEPT_S = 24 * 3600
MAX_ANSWER_BYTES = 16 * 1024 * 1024
MAX_UNWRITTEN_BYTES = 64 * 1024 * 1024  # answers that may not be written down, and are kept in memory


class Claim(NamedTuple):
    """The state of a request that came with an idempotency key.

    state: mine (answer it), busy (another one answers it now) or answered.
    answer: None = it is not kept here.
    """

    state: str
    answer: bytes | None = None


class RequestKeeper:
    def __init__(self, database: Database, writer: Writer, presence: Presence) -> None:
        self._database = database
        self._writer = writer
        self._presence = presence
        self._unwritten: OrderedDict[tuple[str, str], bytes] = OrderedDict()

    def claim(self, scope: str, key: str, digest: str) -> Claim:
        """Take a key, or learn what became of the request that has it. scope: whose key it is.

        Raises:
            Conflict: The key came before with another request.
        """
        owner, now_us = self._presence.announce(), clock.now_us()

        def work(connection: Connection) -> Claim:
            row = store.read(connection, scope, key)
            if row is not None and row.answered_at is not None and row.created_at < now_us - KEPT_S * 1_000_000:
                store.free(connection, scope, key)
                row = None
            if row is None:
                return Claim("mine" if store.take(connection, scope, key, digest, owner, now_us) else "busy")
            if row.digest != digest:
                raise Conflict("This Idempotency-Key came before with another request.")
            if row.answered_at is not None:
                return Claim("answered", row.answer or self._unwritten.get((scope, key)))
            # A process that died has charged nothing that is on record; what it began is begun again.
            if not self._presence.is_alive(row.owner) and store.take_over(connection, scope, key, row.owner, owner):
                return Claim("mine")
            return Claim("busy")

        claim: Claim = self._writer.run(work)
        return claim

    def keep(self, scope: str, key: str, answer: bytes, *, is_written: bool) -> None:
        """Keep an answer for a day. is_written: Its texts may be written down; else it is kept in memory only."""
        now_us = clock.now_us()
        if not is_written:
            self._unwritten[scope, key] = answer
            while sum(map(len, self._unwritten.values())) > MAX_UNWRITTEN_BYTES:
                self._unwritten.popitem(last=False)
        written = answer if is_written and len(answer) <= MAX_ANSWER_BYTES else None

        def work(connection: Connection) -> None:
            store.finish(connection, scope, key, written, now_us)
            store.forget_old(connection, now_us - KEPT_S * 1_000_000)

        self._writer.run(work)

    def free(self, scope: str, key: str) -> None:
        """Let the key be used again: nothing came of the request."""
        self._writer.run(lambda connection: store.free(connection, scope, key))
