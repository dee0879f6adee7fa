"""Cookies that go out with pages."""

from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LIFE_S = 400 * 86_400  # as long as browsers keep a cookie


class PageCookie:
    """Gives a browser a cookie with each page that it asks for.

    renew: The new value, from the one that the browser has (empty = none); None = it stays as it is.
    """

    def __init__(self, app: ASGIApp, *, name: str, renew: Callable[[str], str | None]) -> None:
        self._app = app
        self._name = name
        self._renew = renew

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start" and _is_page(message):
                value = self._renew(_found(scope, self._name))
                if value is not None:
                    cookie = f"{self._name}={value}; Path=/; Max-Age={_LIFE_S}; HttpOnly; SameSite=Lax"
                    cookie += "; Secure" if scope.get("scheme") == "https" else ""
                    message = {**message, "headers": [*message["headers"], (b"set-cookie", cookie.encode())]}
            await send(message)

        await self._app(scope, receive, sending)


def _is_page(message: Message) -> bool:
    kinds = [value for name, value in message["headers"] if name.lower() == b"content-type"]
    return any(kind.startswith(b"text/html") for kind in kinds)


def _found(scope: Scope, name: str) -> str:
    for header, value in scope["headers"]:
        if header == b"cookie":
            try:
                found = SimpleCookie(value.decode("latin-1")).get(name)
            except CookieError:
                continue
            if found is not None:
                return found.value
    return ""
