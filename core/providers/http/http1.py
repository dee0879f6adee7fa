"""HTTP/1.1 to vendors: kept connections, a parser in C, and bodies handed on as they arrive.

A general HTTP client takes a third of a millisecond of processor time a request and 80 microseconds a piece of a stream, more
than everything else that a call passes through; this takes a tenth of that. No redirects, because the key would travel
along, and no proxies from the environment.
"""

import asyncio
import select
import ssl
import time
import zlib
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import httptools

from core.errors import ProviderError, ProviderUnavailable
from core.providers.http.network import connect, unreachable

MAX_IDLE = 256
IDLE_S = 30.0
END_S = 1.0
MAX_BUFFER_BYTES = 1024 * 1024  # of an answer that nobody reads yet; then the vendor has to wait
MAX_ANSWER_BYTES = 32 * 1024 * 1024  # of what is read whole, or unpacked at once
MAX_HEADER_BYTES = 64 * 1024


def _nobody(_channel: "Channel") -> None:
    """Nobody waits for the end."""


class Channel(asyncio.Protocol):
    """One connection, and the answer that comes in on it."""

    def __init__(self) -> None:
        self._transport: Any = None
        self._waiter: asyncio.Future[None] | None = None
        self._error: str = ""
        self._is_paused = self._is_asked = False
        self.is_closed = False
        self.label = "the vendor"
        self.idle_since = 0.0
        self._reset()

    def _reset(self) -> None:
        self.headers: dict[str, str] = {}
        self.status = 0
        self._body: deque[bytes] = deque()
        self._size = self._header_size = 0
        self._has_head = self.is_whole = self._keeps_alive = False
        self._is_packed = False
        self._decoder: Any = None
        # Nothing more is said, and only the end of the body is missing: whoever waits for it is told.
        self.is_ending = False
        self.on_end: Callable[[Channel], None] = _nobody
        self._closing: asyncio.TimerHandle | None = None
        self._parser = httptools.HttpResponseParser(self)

    # asyncio's side

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self.is_whole or not self._is_asked:
            self._spoke_unasked()
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, ValueError, zlib.error) as error:
            self._fail(f"the answer is no HTTP ({type(error).__name__})")
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_closed = True
        if not self.is_whole:
            # Without a length, the orderly end of the connection is the end of the answer.
            has_length = {"content-length", "transfer-encoding"} & self.headers.keys()
            if exc is None and not self._error and self._has_head and not has_length and not self._is_cut:
                self.is_whole = True
            else:
                self._error = self._error or f"the connection broke{f' ({exc})' if exc else ''}"
        self._wake()

    def _fail(self, why: str) -> None:
        self._error = why
        self.is_closed = True
        self._transport.abort()

    def _spoke_unasked(self) -> None:
        """More came than was asked for: the next request would get the wrong answer on this connection."""
        self.is_closed = True
        self._transport.abort()

    @property
    def _is_cut(self) -> bool:
        """Whether a packed body has not come to its own end."""
        return self._decoder is not None and not self._decoder.eof

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # The parser's side; what it finds behind the end of the answer is not the answer's

    def on_message_begin(self) -> None:
        if self.is_whole:
            self._spoke_unasked()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.is_whole:
            return
        self._header_size += len(name) + len(value)
        if self._header_size > MAX_HEADER_BYTES:
            raise ValueError("headers too large")
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self.is_whole:
            return
        self.status = self._parser.get_status_code()
        if self.status >= 200:
            self._has_head = True
            packings = self.headers.get("content-encoding", "").lower().replace(",", " ").split()
            self._is_packed = not {"gzip", "deflate"}.isdisjoint(packings)

    def on_body(self, piece: bytes) -> None:
        if self.is_whole:
            return
        if self._is_packed:
            piece = self._unpacked(piece)
            if not piece:
                return  # an empty piece would read as the end
        self._body.append(piece)
        self._size += len(piece)
        if self._size > MAX_BUFFER_BYTES and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()

    def _unpacked(self, piece: bytes) -> bytes:
        room = max(1, MAX_ANSWER_BYTES - self._size)
        if self._decoder is None:
            self._decoder = zlib.decompressobj(47)
            try:
                zlib.decompressobj(47).decompress(piece, 1)
            except zlib.error:
                self._decoder = zlib.decompressobj(-15)  # what some call deflate, without its frame
        piece = self._decoder.decompress(piece, room)
        if len(piece) >= room or self._decoder.unused_data:
            raise ValueError("the body unpacks to too much, or more follows it")
        return piece

    def on_message_complete(self) -> None:
        if self.is_whole:
            return
        if self.status >= 200:
            if self._is_cut:
                self._fail("its packed body is cut off")
                return
            self.is_whole, self._keeps_alive = True, self._parser.should_keep_alive()
            if self._closing is not None:
                self._closing.cancel()  # it would hit the next request on this connection
            on_end, self.on_end = self.on_end, _nobody
            on_end(self)
        else:
            self.headers = {}

    # The caller's side

    def send(self, head: bytes, body: bytes) -> None:
        self._reset()
        self._is_asked = True
        self._transport.write(head + body)

    async def head(self) -> int:
        """The status, once the headers are there. Raises: ProviderError."""
        while not self._has_head:
            await self._more()
        return self.status

    async def read(self) -> bytes:
        """What has come of the body since; empty = that was all. Raises: ProviderError: it broke off."""
        while not self._body:
            if self.is_whole:
                return b""
            await self._more()
        data = self._body.popleft() if len(self._body) == 1 else b"".join(self._body)
        self._body.clear()
        self._size = 0
        if self._is_paused:
            self._is_paused = False
            self._transport.resume_reading()
        return data

    async def _more(self) -> None:
        if self._error:
            text = f"The connection to {self.label} broke ({self._error})."
            raise ProviderError(text, hint="Check the network and the address.")
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    @property
    def is_reusable(self) -> bool:
        return self._keeps_alive and self.is_whole and not self.is_closed and not self._body

    @property
    def is_quiet(self) -> bool:
        """Whether nothing lies unread in the socket: neither an end nor words that nobody asked for."""
        socket = self._transport.get_extra_info("socket")
        if socket is None or not hasattr(select, "poll"):
            return True
        poll = select.poll()
        poll.register(socket.fileno(), select.POLLIN)
        return not poll.poll(0)

    def close_in(self, seconds: float) -> None:
        """Close it, unless its answer ends before."""
        self._closing = asyncio.get_running_loop().call_later(seconds, self.close)

    def close(self) -> None:
        self.is_closed = True
        if self._transport is not None:
            self._transport.abort()


class Http1Client:
    """One vendor's address. headers: of every request; they hold the key."""

    def __init__(self, base_url: str, headers: Mapping[str, str], *, allows_link_local: bool = False) -> None:
        parts = urlsplit(base_url)
        self._host, self._is_tls = parts.hostname or "", parts.scheme == "https"
        try:
            self._port = parts.port or (443 if self._is_tls else 80)
        except ValueError:
            self._host = ""
        self._prefix = parts.path.rstrip("/")
        self._allows_link_local = allows_link_local
        host = parts.netloc.rpartition("@")[2]
        lines = {"host": host, "accept": "*/*", "accept-encoding": "identity", "user-agent": "aimm", **headers}
        self._lines = "".join(f"{name}: {value}\r\n" for name, value in lines.items()).encode("latin-1", "replace")
        self._idle: list[Channel] = []
        self._context: ssl.SSLContext | None = None

    async def request(self, method: str, path: str, body: bytes, connect_s: float) -> Channel:
        """Send a request; its answer comes in on the channel, which is given back by `release`.

        Raises:
            ProviderUnavailable: The vendor cannot be reached.
        """
        channel = self._reused() or await self._connected(connect_s)
        length = f"content-length: {len(body)}\r\n" if method == "POST" else ""
        head = (
            f"{method} {self._prefix}{path} HTTP/1.1\r\n{length}".encode("latin-1", "replace") + self._lines + b"\r\n"
        )
        channel.send(head, body)
        return channel

    def release(self, channel: Channel) -> None:
        """Keep a connection whose answer was read to its end; close any other."""
        if channel.is_ending and not channel.is_whole and not channel.is_closed:
            channel.on_end = self.release
            channel.close_in(END_S)
        elif channel.is_reusable and len(self._idle) < MAX_IDLE:
            channel.idle_since = time.monotonic()
            self._idle.append(channel)
        else:
            channel.close()

    async def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def _reused(self) -> Channel | None:
        """The connection that was used last: the others may grow old and go."""
        while self._idle:
            channel = self._idle.pop()
            is_young = time.monotonic() - channel.idle_since < IDLE_S
            if is_young and not channel.is_closed and channel.is_quiet:
                return channel
            channel.close()
        return None

    async def _connected(self, connect_s: float) -> Channel:
        if not self._host:
            raise ProviderUnavailable("its address is none")
        try:
            async with asyncio.timeout(connect_s):
                return await connect(
                    Channel, self._host, self._port, self._tls(), allows_link_local=self._allows_link_local
                )
        except TimeoutError:
            raise ProviderUnavailable("no connection in time", hint="Check the network and the address.") from None
        except (OSError, UnicodeError) as error:
            raise unreachable(error) from None

    def _tls(self) -> ssl.SSLContext | None:
        if self._is_tls and self._context is None:
            import httpx2

            self._context = httpx2.create_ssl_context(trust_env=False)
        return self._context
