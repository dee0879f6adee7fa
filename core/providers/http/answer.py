"""A vendor's answer while it comes in: whole, or as events."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

from core.errors import ProviderError
from core.providers.http.events import MAX_EVENT_BYTES, Event, EventReader, json_values
from core.providers.http.session import MAX_ANSWER_BYTES, Incoming

_BOM = b"\xef\xbb\xbf"
_PACKINGS = ("br", "zstd", "compress", "x-compress", "x-gzip", "lz4")  # only gzip and deflate are unpacked
_FIELDS = (b"data:", b":", b"event:", b"id:", b"retry:")  # with which a line of an event stream begins


class Answer:
    """A vendor's good answer while it comes in."""

    def __init__(self, channel: Incoming, label: str) -> None:
        self._channel = channel
        self._label = label
        self._begun = b""
        self.headers: Mapping[str, str] = channel.headers

    async def is_whole(self) -> bool:
        """True for one JSON value, False for events: the first sign says so, whatever the vendor calls it.

        Raises:
            ProviderError: It is a web page, or packed in a way that is not read here.
        """
        packing, sign = self.headers.get("content-encoding", "").lower(), b""
        if packing in _PACKINGS:
            error = ProviderError(f"{self._label} packed its answer as {packing!r}, which it was not asked to.")
            error.is_retryable = False
            raise error
        while any(begin.startswith(sign) for begin in (_BOM, *_FIELDS)) and (data := await self._channel.read()):
            self._begun += data
            sign = self._begun.lstrip().removeprefix(_BOM).lstrip()
        self._begun = sign
        if sign.startswith(b"<"):
            raise ProviderError(f"{self._label} answered with a web page, not with JSON.", hint="Check its address.")
        is_events = sign.startswith(_FIELDS)
        return sign[:1] in (b"{", b"[", b'"') or ("json" in self.headers.get("content-type", "") and not is_events)

    async def whole(self) -> tuple[bytes | None, list[dict[str, Any]]]:
        """The JSON objects of an answer that comes as one, and its bytes where it is one object."""
        raw = await self.raw()
        values = json_values(raw.splitlines())
        is_one = len(values) == 1 and isinstance(values[0], dict)
        values = [each for value in values for each in (value if isinstance(value, list) else [value])]
        if not values or not all(isinstance(each, dict) for each in values):
            raise ProviderError(f"{self._label}'s answer could not be read (no JSON object).")
        return raw if is_one else None, values

    async def read(self) -> bytes:
        """The bytes that have come since; empty = that was all."""
        begun, self._begun = self._begun, b""
        return begun or await self._channel.read()

    async def events(self, most_bytes: int = MAX_EVENT_BYTES) -> AsyncIterator[list[Event]]:
        """Whole events, as many as came with one packet. It ends with the stream, or with its [DONE]."""
        reader = EventReader(most_bytes)
        while data := await self.read():
            events = reader.feed(data)
            if events:
                yield events
                if events[-1].is_done:
                    self._channel.is_ending = True
                    return
            if reader.problem is not None:
                raise reader.problem
        if rest := reader.end():
            yield rest

    async def raw(self, most_bytes: int = MAX_ANSWER_BYTES) -> bytes:
        parts, size = [], 0
        while data := await self.read():
            parts.append(data)
            size += len(data)
            if size > most_bytes:
                raise ProviderError(f"{self._label}'s answer is larger than {most_bytes:,} bytes.")
        return b"".join(parts)
