"""A line of the log for each request of a program that made no call; calls have lines of their own."""

import re
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.gateway.exchange import KEY, REQUEST_ID
from core.telemetry.process_log import request_under_way, tell_request, tells_requests

_ASKED_OFTEN = frozenset({"/", "/health", "/healthz", "/readyz", "/api/health", "/metrics"})  # told where they fail
_OF_SOMEBODY = re.compile(r"^(/api/(?:users|sessions)/).+?(/data)?$", re.DOTALL)


class Telling:
    """Stands before the admission. It does nothing unless such lines are written."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not tells_requests():
            return await self._app(scope, receive, send)
        status, request_id = 0, ""

        async def sending(message: Message) -> None:
            nonlocal status, request_id
            if message["type"] == "http.response.start":
                status = message["status"]
                request_id = next((v.decode() for n, v in message["headers"] if n == REQUEST_ID.encode()), "")
            await send(message)

        begun, path = time.monotonic(), _OF_SOMEBODY.sub(r"\1…\2", scope["path"])
        with request_under_way(path) as request:
            try:
                await self._app(scope, receive, sending)
            finally:
                is_usual = scope["path"] in _ASKED_OFTEN and status < 400
                if not request.n_told and not is_usual:
                    key = scope.get(KEY)
                    tell_request(
                        {
                            "id": request_id or None, "key_id": key.id if key else None, "method": scope["method"],
                            "path": path, "http_status": status or None,
                            "ms": round((time.monotonic() - begun) * 1e3, 1),
                        }
                    )  # fmt: skip
        return None
