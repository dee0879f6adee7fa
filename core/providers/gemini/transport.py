"""The transport below google-genai: its requests and their answers travel by the connections of the wire path."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack

import httpx2

from core.providers.http.answer import Answer
from core.providers.http.client import HttpVendor

AsEvents = Callable[[Answer], AsyncGenerator[bytes]]
_KEPT = ("user-agent", "x-goog-api-client", "x-server-timeout")  # of google-genai's headers; the others are the wire's


class _Body(httpx2.AsyncByteStream):
    """A body that is written anew while it comes in."""

    def __init__(self, parts: AsyncGenerator[bytes], stack: AsyncExitStack) -> None:
        self._parts = parts
        self._stack = stack

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._parts

    async def aclose(self) -> None:
        await self._parts.aclose()
        await self._stack.aclose()


class GenaiTransport(httpx2.AsyncBaseTransport):
    """Gives google-genai streams in the one form that it reads, whatever the vendor or a proxy makes of them.

    as_events: Makes events of the answer of a stream.
    prefix: The path of the base address, which the vendor's connections add themselves.
    """

    def __init__(self, vendor: HttpVendor, as_events: AsEvents, prefix: str) -> None:
        self._vendor = vendor
        self._as_events = as_events
        self._prefix = prefix

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        path = request.url.raw_path.decode("ascii").removeprefix(self._prefix)
        headers = {name: request.headers[name] for name in _KEPT if name in request.headers}
        async with AsyncExitStack() as stack:
            exchange = self._vendor.exchange(request.method, path, await request.aread(), headers)
            answer = await stack.enter_async_context(exchange)
            if request.url.path.endswith(":streamGenerateContent"):
                events = {"content-type": "text/event-stream; charset=utf-8"}
                return httpx2.Response(200, headers=events, stream=_Body(self._as_events(answer), stack.pop_all()))
            return httpx2.Response(200, headers={"content-type": "application/json"}, content=await answer.raw())
