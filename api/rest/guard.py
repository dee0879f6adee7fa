"""What stands before the routes of /api."""

import logging

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import Unserved, failure
from api.gateway.exchange import Exchange, Left
from api.refusal import refusal
from core import AimmError

logger = logging.getLogger(__name__)


class Guard:
    """Reads a body, within its limits, before the app does, and turns what escapes the app into an answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange, has_begun = Exchange(scope, receive, send), False

        async def sending(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            if b"%00" in exchange.query or "\x00" in exchange.path:
                raise Unserved("The address holds a NUL character.", 400)
            await exchange.body()
            await self._app(scope, exchange.again, sending)
        except Left:
            return None
        except Exception as error:
            if has_begun:
                raise
            if isinstance(error, AimmError):
                return await exchange.answer(*refusal(exchange.path, error), {})
            logger.exception("a request failed unexpectedly: %s", type(error).__name__)
            text = "Something went wrong here; the server's log says more."
            await failure(503, "internal", text)(scope, receive, send)
