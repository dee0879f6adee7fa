"""Bodies that come compressed, expanded while they are read: whoever reads them limits what they expand to."""

import asyncio
import sys
import zlib
from collections.abc import Callable, Iterator

import brotli  # type: ignore[import-untyped]
from starlette.types import Message, Receive

from api.errors import Unserved
from core import InvalidRequest

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

SLICE_BYTES = 256 * 1024
_BROKEN = (zlib.error, zstd.ZstdError, brotli.error)
# A step takes bytes and gives (expanded bytes, what is left of those taken, whether a whole has ended).
_Step = Callable[[bytes], tuple[bytes, bytes, bool]]


def _zlib(bits: int) -> _Step:
    inner = zlib.decompressobj(bits)
    return lambda data: (inner.decompress(data, SLICE_BYTES), inner.unconsumed_tail or inner.unused_data, inner.eof)


def _deflate(first: bytes) -> _Step:
    """Deflate with its head, and as some clients send it, without."""
    return _zlib(15 if first[0] & 15 == 8 else -15)


def _zstd(_: bytes) -> _Step:
    inner = zstd.ZstdDecompressor()
    return lambda data: (inner.decompress(data, SLICE_BYTES), inner.unused_data, inner.eof)


def _brotli(_: bytes) -> _Step:
    inner = brotli.Decompressor()
    return lambda data: (inner.process(data, output_buffer_limit=SLICE_BYTES), b"", inner.is_finished())


_CODINGS: dict[str, Callable[[bytes], _Step]] = {
    "gzip": lambda _: _zlib(31), "x-gzip": lambda _: _zlib(31), "deflate": _deflate, "zstd": _zstd, "br": _brotli,
}  # fmt: skip


class Expanded:
    """A `receive` that gives the body expanded, in slices. coding: As Content-Encoding says."""

    def __init__(self, receive: Receive, coding: str) -> None:
        self._receive = receive
        self._coding = coding
        self._step: _Step | None = None
        self._is_whole = True  # as nothing is
        self._slices: Iterator[bytes] = iter(())
        self._has_more, self._has_ended = True, False

    async def __call__(self) -> Message:
        """Raises: Unserved: The coding is none of those. InvalidRequest: the body is not in it."""
        if self._has_ended:
            return await self._receive()
        if self._coding not in _CODINGS:
            told = f"Bodies are taken as they are, or in gzip, deflate, zstd or br, not in {self._coding[:40]!r}."
            raise Unserved(told, 415, {"accept-encoding": "gzip, deflate, zstd, br"})
        try:
            while (made := next(self._slices, None)) is None:
                if not self._has_more:
                    if not self._is_whole:
                        raise self._refused()
                    self._has_ended = True
                    return {"type": "http.request", "body": b"", "more_body": False}
                message = await self._receive()
                if message["type"] != "http.request":
                    return message
                self._has_more = message.get("more_body", False)
                self._slices = self._expand(message.get("body", b""))
        except _BROKEN:
            raise self._refused() from None
        await asyncio.sleep(0)  # a small body may expand to much: others have their turn meanwhile
        return {"type": "http.request", "body": made, "more_body": True}

    def _expand(self, data: bytes) -> Iterator[bytes]:
        made = b""
        while data or (made and not self._is_whole):  # more may come out while nothing goes in
            if self._step is None or self._is_whole:  # such a body may have several parts
                self._step = _CODINGS[self._coding](data)
            made, data, self._is_whole = self._step(data)
            yield made

    def _refused(self) -> InvalidRequest:
        return InvalidRequest(f"The body is not whole in {self._coding}, which its Content-Encoding names.")
