"""Our guarded connections under the HTTP client that google-genai uses."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import httpcore2
import httpx2

from core.providers.http.client import Answer
from core.providers.http.network import Refused, connect, unreachable

AsEvents = Callable[[Answer], AsyncIterator[bytes]]
MAX_BUFFER_BYTES = 1024 * 1024  # of an answer that nobody reads yet; then the vendor has to wait


class Connection(asyncio.Protocol, httpcore2.AsyncNetworkStream):
    """One TCP or TLS connection."""

    def __init__(self) -> None:
        self._transport: Any = None
        self._buffer = bytearray()
        self._waiter: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._has_ended = False
        self._error: Exception | None = None
        self._is_paused = False

    # asyncio's side

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) > MAX_BUFFER_BYTES and not self._is_paused:
            self._transport.pause_reading()
            self._is_paused = True
        self._wake()

    def eof_received(self) -> bool:
        self._has_ended = True
        self._wake()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._has_ended = True
        self._error = exc
        self._wake()
        self.resume_writing()

    def pause_writing(self) -> None:
        self._drained = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # The HTTP client's side

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if not self._buffer and not self._has_ended:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(timeout):
                    await self._waiter
            except TimeoutError:
                raise httpcore2.ReadTimeout("nothing came in time") from None
            finally:
                self._waiter = None
        if self._error is not None and not self._buffer:
            raise httpcore2.ReadError(str(self._error)) from None
        data = bytes(self._buffer[:max_bytes])
        del self._buffer[:max_bytes]
        if self._is_paused and len(self._buffer) < MAX_BUFFER_BYTES:
            self._is_paused = False
            self._transport.resume_reading()
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if not buffer:
            return
        if self._has_ended and self._transport.is_closing():
            raise httpcore2.WriteError("the connection is closed")
        self._transport.write(buffer)
        if self._drained is not None:
            try:
                async with asyncio.timeout(timeout):
                    await self._drained
            except TimeoutError:
                raise httpcore2.WriteTimeout("nothing was taken in time") from None

    async def aclose(self) -> None:
        if self._transport is not None:
            self._transport.abort() if self._buffer else self._transport.close()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> "Connection":
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout):
                self._transport = await loop.start_tls(
                    self._transport, self, ssl_context, server_hostname=server_hostname
                )
        except TimeoutError:
            await self.aclose()
            raise httpcore2.ConnectTimeout("no TLS in time") from None
        except (OSError, ssl.SSLError) as error:
            await self.aclose()
            raise httpcore2.ConnectError(str(error)) from None
        return self

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":  # while nothing is asked: the vendor has closed it, or speaks out of turn
            return self._has_ended or bool(self._buffer)
        names = {"ssl_object": "ssl_object", "client_addr": "sockname", "server_addr": "peername", "socket": "socket"}
        return self._transport.get_extra_info(names[info]) if info in names else None


class Network(httpcore2.AsyncNetworkBackend):
    """allows_link_local: For those whose vendor really is there."""

    def __init__(self, *, allows_link_local: bool = False) -> None:
        self._allows_link_local = allows_link_local

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> Connection:
        try:
            async with asyncio.timeout(timeout):
                return await self._connect(host, port)
        except TimeoutError:
            raise httpcore2.ConnectTimeout(f"no connection to {host} in time") from None

    async def _connect(self, host: str, port: int) -> Connection:
        try:
            return await connect(Connection, host, port, None, allows_link_local=self._allows_link_local)
        except Refused as error:
            raise unreachable(error) from None
        except OSError as error:
            raise httpcore2.ConnectError(str(error)) from None

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _Incoming:
    """A good answer as it is read everywhere else."""

    def __init__(self, response: httpx2.Response) -> None:
        self.headers = {name.lower(): value for name, value in response.headers.items()}
        self.is_ending = False
        self._pieces = response.aiter_bytes()

    async def read(self) -> bytes:
        async for piece in self._pieces:
            if piece:
                return piece
        return b""


class _Stream(httpx2.AsyncByteStream):
    """An answer written anew as the events that the client can read. It is unpacked before."""

    def __init__(self, response: httpx2.Response, as_events: AsEvents) -> None:
        self._response = response
        self._as_events = as_events

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._as_events(Answer(_Incoming(self._response), "Gemini"))

    async def aclose(self) -> None:
        await self._response.aclose()


class _Normalising(httpx2.AsyncBaseTransport):
    """Gives streams in one form, whatever the vendor, or a proxy before it, makes of them: google-genai reads fewer of
    them than the event-stream standard has."""

    def __init__(self, transport: httpx2.AsyncBaseTransport, as_events: AsEvents) -> None:
        self._transport = transport
        self._as_events = as_events

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._transport.handle_async_request(request)
        if response.status_code != 200 or not request.url.path.endswith(":streamGenerateContent"):
            return response
        dropped = ("content-encoding", "content-length", "transfer-encoding", "content-type")
        headers = [(name, value) for name, value in response.headers.items() if name.lower() not in dropped]
        stream = _Stream(response, self._as_events)
        return httpx2.Response(
            200, headers=[*headers, ("content-type", "text/event-stream; charset=utf-8")], stream=stream
        )

    async def aclose(self) -> None:
        await self._transport.aclose()


def make_client(as_events: AsEvents, *, allows_link_local: bool = False) -> httpx2.AsyncClient:
    """A client without redirects, because the key would travel along, and without proxies from the environment.

    as_events: Makes events of the answers of streams.
    """
    transport = httpx2.AsyncHTTPTransport(trust_env=False)
    # The transport offers no way to bring a network of one's own; its pool does.
    transport._pool = httpcore2.AsyncConnectionPool(
        ssl_context=httpx2.create_ssl_context(trust_env=False),
        max_connections=1024,
        max_keepalive_connections=256,
        keepalive_expiry=30.0,
        network_backend=Network(allows_link_local=allows_link_local),
    )
    normal = _Normalising(transport, as_events)
    return httpx2.AsyncClient(follow_redirects=False, trust_env=False, transport=normal)
