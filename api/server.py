"""The application of every server: the gateway, /api, /metrics, the OpenAPI document, and the state of the server."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.edge.addresses import methods_at, unserved
from api.errors import Nowhere, Unserved
from api.gateway.app import Gateway
from api.gateway.batches.lines import Lines
from api.gateway.exchange import Exchange
from api.gateway.registry import WIRES, wire_of
from api.idempotency import Idempotent
from api.openapi import document
from core import AimmError, ModelManager, NotFound
from core.formats.strict_json import encoded

if TYPE_CHECKING:
    from fastapi import FastAPI

_STATE = frozenset({"/", "/health", "/healthz", "/readyz", "/metrics", "/openapi.json"})


class Server:
    """The application. The part that is rarely asked, /api, is made when it is first asked."""

    def __init__(self, get_manager: Callable[[], ModelManager]) -> None:
        self._get_manager = get_manager
        self._gateway = Gateway(get_manager)
        self._rest: FastAPI | None = None
        self._once = Idempotent(self._answer, get_manager)

    def begin(self) -> None:
        """Let the manager, which is open by now, work on batches too: their lines are written in the wires."""
        self._get_manager().batches.read_with(Lines(self._get_manager))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            # HEAD is answered as GET; the server leaves the body out.
            await self._once({**scope, "method": "GET"} if scope["method"] == "HEAD" else scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send, wire_of(scope["path"], scope["headers"]))
        async with exchange.refusing():
            try:
                if exchange.method == "OPTIONS":
                    await self._answer_options(exchange)
                elif exchange.wire is not None:
                    await self._gateway.handle(exchange, exchange.wire)
                elif exchange.path.startswith("/api/"):
                    await self._answer_api(exchange, scope)
                elif exchange.path == "/openapi.json" and exchange.method == "GET":
                    await exchange.answer(200, encoded(document(self._made_rest().openapi(), WIRES)))
                else:
                    await self._answer_state(exchange, scope)
            except Nowhere:
                raise self._unserved(exchange, scope) from None

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

    async def _answer_state(self, exchange: Exchange, scope: Scope) -> None:
        """Answer where the server tells of itself; clients look at / to see whether there is one."""
        if exchange.method != "GET":
            raise Nowhere
        if exchange.path in ("/", "/health", "/healthz"):
            await exchange.answer(200, b'{"status":"healthy"}')
        elif exchange.path == "/readyz":
            is_ready = await asyncio.to_thread(self._is_ready)
            await exchange.answer(200 if is_ready else 503, encoded({"ready": is_ready}))
        elif exchange.path == "/metrics":
            figures = self._get_manager().metrics
            text = await asyncio.to_thread(figures.render)
            await Response(text, media_type=figures.content_type)(scope, exchange.again, exchange.send)
        else:
            raise Nowhere

    async def _answer_options(self, exchange: Exchange) -> None:
        if not (methods := self._methods_at(exchange.path)):
            raise Nowhere
        headers = [(b"allow", ", ".join(methods).encode())]
        await exchange.send({"type": "http.response.start", "status": 204, "headers": headers})
        await exchange.write(b"", more=False)

    def _methods_at(self, path: str) -> list[str]:
        if path.startswith("/api/"):
            return methods_at(path.removeprefix("/api"), self._made_rest().openapi()["paths"])
        return methods_at(path) or ["GET", "HEAD", "OPTIONS"] * (path in _STATE)

    def _unserved(self, exchange: Exchange, scope: Scope) -> AimmError:
        """The error for an address that nobody answers, or not by this method."""
        if methods := self._methods_at(exchange.path):
            return unserved(exchange.method, methods)
        server = f"{scope.get('scheme', 'http')}://{exchange.header(b'host') or 'this-server'}"
        hint = f"Base URLs: {server}/v1 for OpenAI's clients, {server} for Anthropic's, {server}/gemini for Gemini's."
        return NotFound("There is nothing at this address.", hint=hint)

    def _is_ready(self) -> bool:
        try:
            return self._get_manager().is_ready()
        except Exception:  # noqa: BLE001 - whatever it is, it is not ready
            return False
