"""HTTP/1.1 to one vendor on aiohttp: kept connections, bodies handed on as they arrive, no redirects, no second tries.

aiohttp leaves open what is closed here: it takes what a vendor sends unasked for the answer to the next request, drops
what came right before a fault, and takes a broken connection, or a packed body without its end, for the end.
"""

import asyncio
import io
import select
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any
from weakref import WeakSet

import aiohttp
from aiohttp.client_proto import ResponseHandler
from yarl import URL

from core.errors import AimmError, ProviderError
from core.providers.http.network import Network, Refused, unreachable

CONNECT_S = 10.0
IDLE_S = 30.0
END_S = 1.0
MAX_ANSWER_BYTES = 32 * 1024 * 1024  # of what is read whole, or unpacked at once
MAX_HEADER_BYTES = 64 * 1024  # of one line of the head
_AT_ONCE = 1024 * 1024  # aiohttp warns of a body that is larger and comes in one part
# Bytes, or what gives them anew for each attempt; then the headers say how many they are.
Body = bytes | Callable[[], AsyncIterator[bytes]]
_USED: WeakSet[ResponseHandler] = WeakSet()  # connections that have been asked before


class _Stale(aiohttp.ClientError):
    """Nothing was sent: the kept connection has ended, or holds words that nobody asked for."""


class _Request(aiohttp.ClientRequest):
    """A request that is sent only on a connection on which nothing waits to be read."""

    async def send(self, conn: Any) -> aiohttp.ClientResponse:
        handler: ResponseHandler = conn.protocol
        if handler not in _USED:
            _USED.add(handler)
        elif handler.should_close or not _is_quiet(conn.transport):
            raise _Stale
        return await super().send(conn)


class _Response(aiohttp.ClientResponse):
    """A response that remembers its connection, which aiohttp takes from it at the end."""

    handler: ResponseHandler

    async def start(self, connection: Any) -> aiohttp.ClientResponse:
        self.handler = connection.protocol
        return await super().start(connection)


def _is_quiet(transport: Any) -> bool:
    """True where nothing lies unread in the socket: neither an end nor words that nobody asked for."""
    socket = transport.get_extra_info("socket")
    if socket is None or not hasattr(select, "poll"):
        return True
    poll = select.poll()
    poll.register(socket.fileno(), select.POLLIN)
    return not poll.poll(0)


class Incoming:
    """An answer whose headers have come.

    is_ending: Nothing more is said, and only the end of the body is missing.
    """

    def __init__(self, response: Any, label: str) -> None:
        self.status: int = response.status
        self.headers: Mapping[str, str] = response.headers
        self.is_ending = False
        self._response = response
        self._label = label
        self._fault: Exception | None = None
        packings = self.headers.get("content-encoding", "").lower().replace(",", " ").split()
        self._unpacker = None if {"gzip", "deflate"}.isdisjoint(packings) else _Unpacker()

    async def read(self) -> bytes:
        """The bytes of the body that have come since; empty = that was all.

        Raises:
            ProviderError: It broke off.
        """
        while data := await self._received():
            try:
                part = data if self._unpacker is None else self._unpacker.feed(data)
            except (zlib.error, ValueError) as error:
                raise broken(self._label, f"its packed body cannot be read: {error}") from None
            if part:
                return part
        if self._unpacker is not None and self._unpacker.is_cut:
            raise broken(self._label, "its packed body is cut off")
        return b""

    async def _received(self) -> bytes:
        content = self._response.content
        try:
            if self._fault is not None:
                raise self._fault
            data: bytes = await content.readany()
            fault = None if data else self._response.handler.exception()
            if isinstance(fault, OSError):
                raise fault
            return data
        except (aiohttp.ClientError, OSError, RuntimeError) as error:
            content.set_exception(None)  # else what came before the fault could not be read
            if self._fault is None and (rest := content.read_nowait()):
                self._fault = error
                return bytes(rest)
            raise broken(self._label, _words(error)) from None

    def release(self) -> None:
        """Keep a connection whose answer was read to its end; close any other."""
        if self.is_ending and not self._response.content.is_eof():
            asyncio.get_running_loop().call_later(END_S, self._response.close)
        else:
            self._response.close()


class _Unpacker:
    """Unpacks gzip, and both of what is called deflate."""

    def __init__(self) -> None:
        self._decoder: Any = None

    @property
    def is_cut(self) -> bool:
        """True while the body has not come to its own end."""
        return self._decoder is not None and not self._decoder.eof

    def feed(self, data: bytes) -> bytes:
        if self._decoder is None:
            self._decoder = zlib.decompressobj(47)
            try:
                zlib.decompressobj(47).decompress(data, 1)
            except zlib.error:
                self._decoder = zlib.decompressobj(-15)  # what some call deflate, without its frame
        part: bytes = self._decoder.decompress(data, MAX_ANSWER_BYTES)
        while len(part) < MAX_ANSWER_BYTES and (rest := self._decoder.unused_data):
            self._decoder = zlib.decompressobj(31)  # gzip may come in several members
            part += self._decoder.decompress(rest, MAX_ANSWER_BYTES - len(part))
        if len(part) >= MAX_ANSWER_BYTES:
            raise ValueError("it unpacks to too much")
        return part


class Session:
    """The connections to one base address.

    headers: Of every request; they hold the key.
    """

    def __init__(self, label: str, base_url: str, headers: Mapping[str, str], network: Network) -> None:
        self.label = label
        self._base = base_url.rstrip("/")
        self._headers = {"accept": "*/*", "accept-encoding": "identity", "user-agent": "aimm", **headers}
        self._network = network
        self._session: aiohttp.ClientSession | None = None
        self._proxy: str | None = None
        self._urls: dict[str, URL] = {}

    async def request(self, method: str, path: str, body: Body, headers: Mapping[str, str] | None = None) -> Incoming:
        """Send a request and wait for the head of its answer, which whoever takes it releases.

        Raises:
            ProviderUnavailable: The vendor cannot be reached.
            ProviderError: The connection broke.
        """
        try:
            if self._session is None:
                self._session = self._open()
            url = self._url(path)
            while True:
                data: Any = body() if callable(body) else io.BytesIO(body) if len(body) > _AT_ONCE else body
                try:
                    response = await self._session.request(
                        method, url, data=data or None, headers=headers, allow_redirects=False, proxy=self._proxy
                    )
                    if response.status == 407:  # to a proxy that is asked without a tunnel
                        response.close()
                        raise aiohttp.ClientHttpProxyError(
                            response.request_info, (), status=407, message=response.reason or ""
                        )
                    return Incoming(response, self.label)
                except _Stale:
                    continue
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise self._translated(error) from None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=0, keepalive_timeout=IDLE_S, ssl=self._tls(), socket_factory=self._network.socket
        )
        self._proxy = self._network.proxy_for(self._base)
        return aiohttp.ClientSession(
            connector=connector,
            headers=self._headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_S),
            auto_decompress=False,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            request_class=_Request,
            response_class=_Response,
        )

    def _tls(self) -> Any:
        if not self._base.startswith("https"):
            return True
        import httpx2

        return httpx2.create_ssl_context(trust_env=False)

    def _url(self, path: str) -> URL:
        found = self._urls.get(path)
        if found is None:
            found = URL(self._base + path, encoded=True)
            self._network.check(found.host or "")
            if len(self._urls) < 100:
                self._urls[path] = found
        return found

    def _translated(self, error: Exception) -> AimmError:
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return unreachable(self.label, "no connection in time")
        if isinstance(error, aiohttp.ClientHttpProxyError):
            said = f"the proxy refused: {error.status} {error.message}"
            helps = error.status >= 500 or error.status in (408, 429)
            return unreachable(self.label, said if helps else Refused(said))
        if isinstance(error, aiohttp.ClientConnectorError):
            return unreachable(self.label, error.__cause__ or "no connection")
        if isinstance(error, Refused):
            return unreachable(self.label, error)
        if isinstance(error, ValueError):
            return unreachable(self.label, "its address is none")
        return broken(self.label, _words(error))


def broken(label: str, why: str) -> ProviderError:
    """The error for a connection that broke after the request was sent."""
    return ProviderError(f"The connection to {label} broke ({why}).", hint="Check the network and the address.")


def _words(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the answer is cut off"
    if isinstance(error, aiohttp.ClientResponseError):
        return "the answer is no HTTP"
    return str(error) or type(error).__name__
