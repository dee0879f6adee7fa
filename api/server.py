"""The application of every server: the gateway, /api, /metrics, the OpenAPI document, and the state of the server."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.errors import Unserved
from api.gateway.app import Gateway
from api.gateway.exchange import Exchange
from api.gateway.registry import WIRES, wire_of
from api.idempotency import Idempotent
from api.openapi import document
from core import ModelManager, NotFound
from core.formats.strict_json import encoded

if TYPE_CHECKING:
    from fastapi import FastAPI


class Server:
    """The application. The part that is rarely asked, /api, is made when it is first asked."""

    def __init__(self, get_manager: Callable[[], ModelManager]) -> None:
        self._get_manager = get_manager
        self._gateway = Gateway(get_manager)
        self._rest: FastAPI | None = None
        self._once = Idempotent(self._answer, get_manager)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            # HEAD is answered as GET; the server leaves the body out.
            await self._once({**scope, "method": "GET"} if scope["method"] == "HEAD" else scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send, wire_of(scope["path"], scope["headers"]))
        async with exchange.refusing():
            if exchange.wire is not None:
                await self._gateway.handle(exchange, exchange.wire)
            elif exchange.path.startswith("/api/"):
                await self._answer_api(exchange, scope)
            elif exchange.path == "/metrics":
                figures = self._get_manager().metrics
                text = await asyncio.to_thread(figures.render)
                await Response(text, media_type=figures.content_type)(scope, receive, exchange.send)
            elif exchange.path == "/openapi.json":
                await exchange.answer(200, encoded(document(self._made_rest().openapi(), WIRES)))
            else:
                await self._answer_state(exchange)

    async def _answer_api(self, exchange: Exchange, scope: Scope) -> None:
        if b"%00" in exchange.query or "\x00" in exchange.path:
            raise Unserved("The address holds a NUL character.", 400)
        await exchange.body()
        await self._made_rest()({**scope, "root_path": "/api"}, exchange.again, exchange.send)

    def _made_rest(self) -> "FastAPI":
        if self._rest is None:
            from api.rest.app import make_app

            self._rest = make_app(self._get_manager)
        return self._rest

    async def _answer_state(self, exchange: Exchange) -> None:
        if exchange.path in ("/health", "/healthz"):
            return await exchange.answer(200, b'{"status":"healthy"}')
        if exchange.path == "/readyz":
            is_ready = await asyncio.to_thread(self._is_ready)
            return await exchange.answer(200 if is_ready else 503, encoded({"ready": is_ready}))
        raise NotFound("There is nothing at this address.")

    def _is_ready(self) -> bool:
        try:
            return self._get_manager().is_ready()
        except Exception:  # noqa: BLE001 - whatever it is, it is not ready
            return False
