"""The edge: what is done for every request of a program before its key is read, and for its answer at last.

An address as it was meant, a body expanded, and what a page of another origin is told.
"""

from collections.abc import Callable
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.access import TRUSTED, is_behind_access
from api.edge.addresses import meant
from api.edge.cors import ANY, answer_headers, is_named, preflight_headers
from api.edge.packing import Expanded
from core import ModelManager

_PACKED = frozenset({b"content-encoding", b"content-length"})


class Edge:
    """In front of all else. Pages, which stand beside programs' addresses, are left alone."""

    def __init__(self, app: ASGIApp, get_manager: Callable[[], ModelManager]) -> None:
        self._app = app
        self._get_manager = get_manager

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = meant(scope["method"], scope["path"])
            if is_behind_access(path):
                await self._answer({**scope, "path": path}, receive, send)
                return
        await self._app(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        coding = headers.get(b"content-encoding", b"").strip().lower()
        if coding not in (b"", b"identity"):
            scope["headers"] = [line for line in scope["headers"] if line[0] not in _PACKED]
            receive = Expanded(receive, coding.decode("latin-1"))
        if allowed := self._get_manager().settings.cors_origins:
            origin = headers.get(b"origin", b"")
            scope[TRUSTED] = is_named(origin, allowed)
            is_preflight = scope["method"] == "OPTIONS" and b"access-control-request-method" in headers
            if is_preflight and (scope[TRUSTED] or ANY in allowed):
                await _allow(send, [*answer_headers(origin, allowed, ()), *preflight_headers(headers)])
                return
            send = _telling(send, lambda names: answer_headers(origin, allowed, names))
        await self._app(scope, receive, send)


async def _allow(send: Send, headers: list[tuple[bytes, bytes]]) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def _telling(send: Send, more: Callable[[list[bytes]], list[tuple[bytes, bytes]]]) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            lines: list[Any] = list(message["headers"])
            message = {**message, "headers": [*lines, *more([name for name, _ in lines])]}
        await send(message)

    return sending
