"""The transport below google-genai: its requests and their answers travel by the connections of the wire path."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx2

from core.formats import strict_json as json
from core.providers.gemini.response import as_ended
from core.providers.http.answer import Answer
from core.providers.http.client import HttpVendor

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

    prefix: The path of the base address, which the vendor's connections add themselves.
    """

    def __init__(self, vendor: HttpVendor, prefix: str) -> None:
        self._vendor = vendor
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

    async def _as_events(self, answer: Answer) -> AsyncGenerator[bytes]:
        """An answer in whatever form as the events that google-genai reads."""
        if await answer.is_whole():
            _, values = await answer.whole()
            self._vendor.refuse_errors(values)
            for value in as_ended(values):
                yield _carrying(value)
            return
        async for events in answer.events():
            said, error = self._vendor.until_error([event for event in events if event.value is not None])
            for event in said:
                yield _carrying(event.value)
            if error is not None:
                raise error


def _carrying(value: Any) -> bytes:
    """A whole event as a text that google-genai hands on.

    Its own form of one drops counts, finish messages and fields that it does not know, and refuses other shapes.
    """
    return b"data: " + json.encoded({"responseId": json.dumps(value)}) + b"\n\n"


def carried_by(response: Any) -> Any:
    """The vendor's own event that google-genai handed on in a response."""
    return json.loads(response.response_id)
