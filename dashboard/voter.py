"""The voter: a login's name, else the browser; at a machine that serves only itself, whoever sits there."""

import re
import secrets
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie

import streamlit as st
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.domain.comparison import LOCAL_VOTER
from dashboard import login

COOKIE = "aimm_browser"
_ID = re.compile(r"[\w-]{20,40}", re.ASCII)
_LIFE_S = 400 * 86_400  # as long as browsers keep a cookie


def voter() -> str:
    """The same in each tab and session of a browser, and of a login by name in each browser too."""
    if not login.is_needed():
        return LOCAL_VOTER
    if login.providers() and st.user.get("is_logged_in"):
        return f"user:{st.user.get('email') or st.user.get('sub')}"
    found = st.context.cookies.get(COOKIE, "")
    return f"browser:{found if _ID.fullmatch(found) else 'without a cookie'}"


class BrowserId:
    """Gives each browser an id, with the first page that it asks for: a password that many share names nobody."""

    def __init__(self, app: ASGIApp, *, is_needed: Callable[[], bool]) -> None:
        self._app = app
        self._is_needed = is_needed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or _has_id(scope):
            await self._app(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start" and _is_page(message) and self._is_needed():
                cookie = f"{COOKIE}={secrets.token_urlsafe(24)}; Path=/; Max-Age={_LIFE_S}; HttpOnly; SameSite=Lax"
                cookie += "; Secure" if scope.get("scheme") == "https" else ""
                message = {**message, "headers": [*message["headers"], (b"set-cookie", cookie.encode())]}
            await send(message)

        await self._app(scope, receive, sending)


def _is_page(message: Message) -> bool:
    kinds = [value for name, value in message["headers"] if name.lower() == b"content-type"]
    return any(kind.startswith(b"text/html") for kind in kinds)


def _has_id(scope: Scope) -> bool:
    for name, value in scope["headers"]:
        if name == b"cookie":
            try:
                found = SimpleCookie(value.decode("latin-1")).get(COOKIE)
            except CookieError:
                continue
            if found is not None and _ID.fullmatch(found.value):
                return True
    return False
