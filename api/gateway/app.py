"""The gateway as one ASGI application: the OpenAI wire under /v1, Gemini's under /gemini."""

import logging
from collections.abc import Awaitable, Callable

from starlette.types import Receive, Scope, Send

from api.access import KEY
from api.gateway.exchange import Exchange, Left
from api.gateway.gemini import routes as gemini
from api.gateway.openai import routes as openai
from api.gateway.queue import Gate
from api.gateway.respond import retry_headers
from api.refusal import refusal
from core import AimmError, InvalidRequest, ModelManager
from core.domain.key import Key

logger = logging.getLogger(__name__)

Handler = Callable[[Exchange, ModelManager, Key | None], Awaitable[None]]


class Gateway:
    def __init__(self, get_manager: Callable[[], ModelManager]) -> None:
        self._get_manager = get_manager
        self._gate: Gate | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send)
        handle: Handler = openai.handle if exchange.path.startswith("/v1") else gemini.handle
        try:
            mm = self._get_manager()
            if exchange.method != "POST":
                return await handle(exchange, mm, scope.get(KEY))
            if self._gate is None:
                self._gate = Gate(mm.settings.max_in_flight, mm.settings.max_waiting)
            await exchange.body()  # a slow sender must take nobody's turn
            async with self._gate.turn(exchange.gone):
                await handle(exchange, mm, scope.get(KEY))
        except Left:
            return None
        except Exception as caught:
            if exchange.has_begun:
                if not isinstance(caught, AimmError):
                    raise
                return None
            error = _told(caught)
            if error is not caught and not isinstance(caught, RecursionError):
                logger.exception("a request failed unexpectedly: %s", type(caught).__name__)
            status, raw = refusal(exchange.path, error)
            await exchange.answer(status, raw, retry_headers(error))


def _told(caught: Exception) -> AimmError:
    if isinstance(caught, RecursionError):
        return InvalidRequest("The body is nested too deeply.")
    return caught if isinstance(caught, AimmError) else AimmError("Something went wrong here; see the log.")
