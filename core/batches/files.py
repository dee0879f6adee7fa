"""Files of callers, kept in the database, where every process and every backup finds them, until their time is up."""

import asyncio
import re
import secrets
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial

from core import clock
from core.domain.batches.file import StoredFile
from core.domain.key import Key
from core.errors import Conflict, InvalidRequest, NotFound, TooLarge
from core.formats.text import storable
from core.storage.batches.files import CHUNK_BYTES, FileStore
from core.storage.engine.database import Connection, Database
from core.storage.engine.writer import Writer

MAX_FILE_BYTES = 200 * 1024 * 1024
LEAST_KEPT_S, KEPT_S = 3600, 30 * 86_400
SENDING_S = 86_400  # after which a file that did not come whole is given up
FILE = "file-"
PURPOSE, RESULTS = "batch", "batch_output"


class FileService:
    def __init__(self, database: Database, writer: Writer) -> None:
        self._store = FileStore(database)
        self._writer = writer

    def upload(self, key: Key | None, purpose: str, filename: str, kept_s: int | None = None) -> "Upload":
        """Begin to take a file. kept_s: For how long it is kept; None = as long as files may be.

        Raises:
            InvalidRequest
        """
        if purpose != PURPOSE:
            raise InvalidRequest(f"purpose == {purpose[:40]!r}, must be {PURPOSE!r}: no other files are kept here.")
        now = clock.now()
        file = StoredFile(
            id=new_file_id(),
            key_id=key.id if key is not None else "",
            purpose=purpose,
            filename=storable(re.split(r"[/\\]", filename)[-1])[:200] or "file",
            n_bytes=0,
            created_at=now,
            expires_at=now + timedelta(seconds=checked_life_s(kept_s)),
        )
        return Upload(self._store, self._writer, file)

    def get(self, file_id: str, key: Key | None) -> StoredFile:
        """A file that this key may see. Raises: NotFound."""
        file = self._store.get(file_id)
        if file is None or not is_owner(key, file.key_id) or file.expires_at <= clock.now():
            raise NotFound(f"No such File object: {file_id[:60]}")
        return file

    def page(
        self, key: Key | None, limit: int, *, after: str = "", purpose: str = "", oldest_first: bool = False
    ) -> tuple[list[StoredFile], bool]:
        """The files that a key may see, newest first, and whether there are more."""
        mine = None if is_owner(key, "") else key.id if key is not None else ""
        place = checked_place(after, FILE)
        found = self._store.page(limit + 1, place, key_id=mine, purpose=purpose, oldest_first=oldest_first)
        return list(found[:limit]), len(found) > limit

    def pieces(self, file: StoredFile) -> Iterator[bytes]:
        """Its bytes, a bounded part of them at a time."""
        return self._store.pieces(file)

    def delete(self, file_id: str, key: Key | None) -> None:
        """Raises: NotFound; Conflict: a batch that is not over reads it."""
        file = self.get(file_id, key)

        def work(connection: Connection) -> None:
            if self._store.is_used(connection, file.id):
                raise Conflict("A batch that is not over reads this file; cancel it first.")
            self._store.delete(connection, file)

        self._writer.run(work)

    def forget_old(self) -> None:
        """Delete files whose time is up, one a transaction."""
        now_us = clock.now_us()
        for file in self._store.forgotten(now_us, now_us - SENDING_S * 1_000_000):
            self._writer.run(partial(self._forget, file=file))

    def _forget(self, connection: Connection, file: StoredFile) -> None:
        if not self._store.is_used(connection, file.id):
            self._store.delete(connection, file)


class Upload:
    """A file that is being sent, at any length up to the limit, of which no more than a piece is in memory."""

    def __init__(self, store: FileStore, writer: Writer, file: StoredFile) -> None:
        self._store = store
        self._writer = writer
        self._file = file
        self._held = bytearray()
        self._n_pieces = 0

    async def write(self, data: bytes) -> None:
        """Raises: TooLarge."""
        if self._file.n_bytes + len(data) > MAX_FILE_BYTES:
            raise TooLarge(f"The file is larger than {MAX_FILE_BYTES:,} bytes.")
        self._file = replace(self._file, n_bytes=self._file.n_bytes + len(data))
        self._held += data
        while len(self._held) >= CHUNK_BYTES:
            await self._put(bytes(self._held[:CHUNK_BYTES]))
            del self._held[:CHUNK_BYTES]

    async def finish(self) -> StoredFile:
        """The file, now that it is whole."""
        if self._held or not self._n_pieces:
            await self._put(bytes(self._held))
        await asyncio.wrap_future(self._writer.submit(lambda connection: self._store.finish(connection, self._file)))
        return self._file

    async def give_up(self) -> None:
        """Forget what came so far."""
        await asyncio.wrap_future(self._writer.submit(lambda connection: self._store.delete(connection, self._file)))

    async def _put(self, piece: bytes) -> None:
        file, position = self._file, self._n_pieces
        self._n_pieces += 1

        def work(connection: Connection) -> None:
            if not position:
                self._store.insert(connection, file, is_whole=False)
            self._store.append(connection, file.id, position, piece)

        await asyncio.wrap_future(self._writer.submit(work))


def new_id(kind: str) -> str:
    """An id that comes after all others of its kind in their order."""
    return f"{kind}{clock.now_us():x}{secrets.token_hex(6)}"


def new_file_id() -> str:
    return new_id(FILE)


def checked_place(after: str, kind: str) -> str:
    """The id behind which a list goes on; what it names may be gone by now. Raises: InvalidRequest: It is none."""
    if after and not re.fullmatch(f"{kind}[0-9a-f]{{12,32}}", after):
        raise InvalidRequest(f"after == {after[:60]!r}, must be an id of the list.")
    return after


def is_owner(key: Key | None, key_id: str) -> bool:
    """Tell whether a caller may see what a key has made: its own; who needs no key, or has `admin`, everybody's."""
    return key is None or key.id == key_id or "admin" in key.scopes


def checked_life_s(seconds: int | None) -> int:
    """Raises: InvalidRequest."""
    if seconds is None:
        return KEPT_S
    if isinstance(seconds, bool) or not isinstance(seconds, int) or not LEAST_KEPT_S <= seconds <= KEPT_S:
        raise InvalidRequest(f"expires_after.seconds must be whole seconds from {LEAST_KEPT_S:,} to {KEPT_S:,}.")
    return seconds
