"""The server: pages and API on one port. Started by `streamlit run dashboard/app.py`."""

import asyncio
import contextlib
import gc
import os
import socket
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import streamlit as st
import uvicorn
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit.runtime.pages_manager import PagesManager
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.access import Access, Nearby, is_behind_access
from api.edge.app import Edge
from api.edge.telling import Telling
from api.headers import Headers
from api.limits import LimitedProtocol
from api.server import Server
from core import AimmError
from core.listen_policy import check_binding
from core.telemetry.sentry import open_sentry
from dashboard import failure, login, output, process
from dashboard.components.frame import keyboard
from dashboard.login_gate import Gate, Uploads, policy
from dashboard.visitors import visits, voter
from dashboard.visitors.cookies import PageCookie

WARM_UP_AFTER_S = 3.0
# Until st.navigation has run once, Streamlit serves the files of pages/ by themselves, without the shell: the first
# visitor of /monitoring would get a page without navigation, strip and banners.
PagesManager.uses_pages_directory = False
process.keep_settings()


def adjust_server() -> None:
    """Limit request heads, and switch Nagle's algorithm off on the listening sockets; connections inherit both.

    Whoever started the server has made it, and hands it to nobody. Streamlit makes its socket without naming TCP, which
    keeps asyncio from switching Nagle's off: every answer on a kept-alive connection would wait 40 ms for the client's
    delayed acknowledgement (measured: 43 ms to the body, 1 ms with this).
    """
    for thing in gc.get_objects():
        if type(thing) is uvicorn.Config and issubclass(thing.http_protocol_class, HttpToolsProtocol):
            thing.http_protocol_class = LimitedProtocol
        elif type(thing) is socket.socket and thing.fileno() >= 0 and thing.family in (socket.AF_INET, socket.AF_INET6):
            with contextlib.suppress(OSError):
                if thing.type == socket.SOCK_STREAM:
                    thing.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def open_or_refuse() -> None:
    """Open the core, or say why not and end the process: Streamlit would go on without it."""
    try:
        login.check_secrets()
        address = st.get_option("server.address") or ""
        check_binding(process.manager(), address, has_dashboard=True, has_login=bool(login.providers()))
        open_sentry(process.manager().settings)
        process.manager().models(wait_s=0)  # vendors are asked for their lists before a page needs them
    except AimmError as error:
        sys.stderr.write(f"{error.message} {error.hint}".strip() + "\n")
        process.close()
        sys.stderr.flush()
        os._exit(1)


@asynccontextmanager
async def lifespan(_app: Any) -> AsyncIterator[None]:
    output.begin()
    # Page scripts are pure Python beside the API's loop; a shorter switch keeps the API's answers short.
    sys.setswitchinterval(0.001)
    adjust_server()
    # Calls run on the server's own loop: nothing crosses threads between a vendor's bytes and a caller's.
    process.run_on(asyncio.get_running_loop())
    await asyncio.to_thread(open_or_refuse)
    api.begin()
    output.welcome()
    # What takes long to load: after the first page, before the first run and the first verdict.
    timer = threading.Timer(WARM_UP_AFTER_S, process.warm_up)
    timer.daemon = True
    timer.start()
    yield
    timer.cancel()
    await asyncio.to_thread(process.close)


# The same as `aimm serve`: what is asked, by whom, and how the server is. All else is Streamlit's.
api = Server(process.manager)
served = Telling(Access(api, process.manager, is_local=login.is_local()))


class Programs:
    """Requests of programs go past Streamlit, which refuses some addresses in words that are none of their wire's."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_theirs = scope["type"] != "lifespan" and is_behind_access(scope["path"])
        await (served if is_theirs else self._app)(scope, receive, send)


app = st.App(
    "shell.py",
    lifespan=lifespan,
    on_script_error=failure.show,
    middleware=[
        Middleware(Headers, policy=policy(keyboard.SCRIPT)),
        Middleware(Edge, get_manager=process.manager),
        Middleware(Nearby, is_local=login.is_local(), needs_host=lambda: not login.is_needed()),
        Middleware(Programs),
        Middleware(PageCookie, name=voter.COOKIE, renew=voter.browser_id),
        Middleware(PageCookie, name=visits.COOKIE, renew=visits.noted),
        Middleware(Gate, is_elsewhere=is_behind_access),
        Middleware(Uploads),
    ],
)
