"""The body of a request, read within the limits of its size and of its time; a large one lies on the disk."""

import asyncio
import tempfile
import threading
import weakref
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import IO

from starlette.types import Receive

from api.errors import CallerLeft, Unserved
from core import TooLarge

MAX_BODY_BYTES = 8 * 1024 * 1024  # where no setting says otherwise; and the most that is kept in memory
BODY_TIMEOUT_S = 60.0  # for that much
DRAIN_BYTES, DRAIN_S = 256 * 1024 * 1024, 20.0
_PART = 1024 * 1024  # written or read at once


class Body:
    """A body that has come. One that is larger than what is kept in memory is a file that has no name, and is gone with
    the last who holds this."""

    def __init__(self, expected: int = 0) -> None:
        self.size = 0
        self._is_large = expected > MAX_BODY_BYTES
        self._file: IO[bytes] | None = None
        self._parts: list[bytes] = []
        self._n_held = 0
        self._lock = threading.Lock()

    async def add(self, data: bytes) -> None:
        self.size += len(data)
        self._n_held += len(data)
        self._parts.append(data)
        self._is_large = self._is_large or self.size > MAX_BODY_BYTES
        if self._is_large and self._n_held > _PART:
            await self._write()

    async def end(self) -> None:
        """Nothing more is added."""
        if self._is_large:
            await self._write()
        elif len(self._parts) > 1:
            self._parts = [b"".join(self._parts)]

    @property
    def is_on_disk(self) -> bool:
        return self._file is not None

    def read(self, start: int = 0, stop: int | None = None) -> bytes:
        """The bytes from one place to another."""
        stop = self.size if stop is None else min(stop, self.size)
        if self._file is None:
            whole = self._parts[0] if self._parts else b""
            return whole if (start, stop) == (0, self.size) else whole[start:stop]
        with self._lock:  # a shadow reads it at the same time
            self._file.seek(start)
            return self._file.read(max(0, stop - start))

    async def chunks(self, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        stop = self.size if stop is None else stop
        for at in range(start, stop, _PART):
            until = min(stop, at + _PART)
            yield self.read(at, until) if self._file is None else await asyncio.to_thread(self.read, at, until)

    async def _write(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - it is closed with this
            weakref.finalize(self, self._file.close)
        parts, self._parts, self._n_held = self._parts, [], 0
        await asyncio.to_thread(self._file.writelines, parts)


async def read_body(receive: Receive, length: bytes, most: int = MAX_BODY_BYTES) -> Body:
    """The body, whole. length: As its header says. Raises: TooLarge, Unserved: it takes too long; CallerLeft."""
    if not length.isdigit() or int(length) > most:
        raise _too_large(most)
    timeout_s = BODY_TIMEOUT_S * max(1.0, most / MAX_BODY_BYTES)
    try:
        async with asyncio.timeout(timeout_s):
            return await _read(receive, Body(int(length)), most)
    except TimeoutError:
        raise Unserved(f"The body did not come within {timeout_s:g} s.", 408) from None


async def _read(receive: Receive, body: Body, most: int) -> Body:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise CallerLeft
        if data := message.get("body", b""):
            if body.size + len(data) > most:
                raise _too_large(most)
            await body.add(data)
        if not message.get("more_body", False):
            await body.end()
            return body


def _too_large(most: int) -> TooLarge:
    return TooLarge(f"The body is larger than {most:,} bytes.")


async def drain(receive: Receive) -> None:
    """Read the rest and drop it: a client that is still sending would see a reset connection, not the answer."""
    with suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_S):
            left, more = DRAIN_BYTES, True
            while more and left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                more = message.get("more_body", False)
