"""Who may ask: the key of a request, its scopes, and what a browser must not do to a server on this machine.

In front of every address but the health checks. The key is put into `scope["aimm.key"]`: a Key, or None where none is needed.
"""

import logging
import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from api.gateway.exchange import REQUEST_ID, new_id
from api.refusal import refusal
from core import AimmError, AuthenticationError, Forbidden, ModelManager
from core.domain.key import Key
from core.listen_policy import is_loopback

logger = logging.getLogger(__name__)

KEY = "aimm.key"
_PREFIX = b"aimm_"
_OPEN = frozenset({"/health", "/healthz", "/readyz", "/api/health"})
_WIRE = re.compile(r"/(v1|gemini)(/.*)?", re.DOTALL)
# What Access stands before, also where pages are served beside it.
_BEHIND_ACCESS = re.compile(r"/(api|v1|gemini)(/.*)?|/metrics|/openapi\.json", re.DOTALL)
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_ASKING = frozenset({"/api/generate", "/api/workflow", "/api/compare", "/api/cost/estimate"})
_SERVING = re.compile(r"/api/(experiment/[^/]+/(test|record|assign)|comparisons/[^/]+/vote)")
_FORWARDED = frozenset({b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip"})
_AUTHORITY = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:@/\[\]]+)(:\d{1,5})?")
_HOW = "Send it as Authorization: Bearer aimm_…, x-api-key or x-goog-api-key. Keys are made by: aimm keys create NAME"
_BROWSER_HINT = "Send a key (aimm keys create NAME), or set AIMM_REQUIRE_KEY=1 where a proxy passes requests on."
_PAGE_HINT = "Set AIMM_REQUIRE_KEY=1 and a login where a proxy passes requests on."


class _Given(NamedTuple):
    key: bytes
    host: bytes
    origin: bytes
    is_forwarded: bool  # a proxy says that somebody else asked it


class Access:
    """Lets a request through to `app`, or refuses it in the form of its wire.

    is_local: The server listens on a loopback address only. A connection that comes in by another one needs a key anyway.
    """

    def __init__(self, app: ASGIApp, get_manager: Callable[[], ModelManager], *, is_local: bool) -> None:
        self._app = app
        self._get_manager = get_manager
        self._is_local = is_local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":  # nothing here speaks over a WebSocket
            return await send({"type": "websocket.close", "code": 1008})
        scope[KEY] = None
        if scope["path"] not in _OPEN:
            try:
                scope[KEY] = await self._admitted(scope)
            except AimmError as error:
                return await _refusal(scope["path"], error)(scope, receive, send)
            except Exception as error:
                logger.exception("keys cannot be read: %s", type(error).__name__)
                unreadable = AimmError("Keys cannot be read just now; the server's log says more.")
                return await _refusal(scope["path"], unreadable)(scope, receive, send)
        return await self._app(scope, receive, send)

    async def _admitted(self, scope: Scope) -> Key | None:
        given = _read(scope)
        mm = self._get_manager()
        if given.key.startswith(_PREFIX):
            text = given.key.decode("latin-1")
            key = mm.keys.cached(text) or await mm.keys.afind(text)
            needed = scope_needed(scope["method"], scope["path"])
            if not key.may(needed):
                raise Forbidden(f"The key {key.name!r} lacks the scope {needed}; it has {', '.join(key.scopes)}.")
            return key
        if not self._is_local or mm.settings.require_key or not _came_by_loopback(scope):
            raise AuthenticationError("A key of this server is needed." if not given.key else "This is no key of this server.", hint=_HOW)  # fmt: skip
        if problem := _not_from_here(given):
            raise Forbidden(problem, hint=_BROWSER_HINT)
        return None


class Nearby:
    """Refuses every connection, of pages too, that came in by another than a loopback address, where only those are meant.

    A server is told its address twice, by our settings and by whoever starts it (`uvicorn --host`): the second may differ.
    And a page of another site whose name has come to mean this machine is refused too, unless needs_host says that names
    are not to be looked at, as where a proxy passes requests on.
    """

    def __init__(self, app: ASGIApp, *, is_local: bool, needs_host: Callable[[], bool] = lambda: True) -> None:
        self._app = app
        self._is_local = is_local
        self._needs_host = needs_host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = None if not self._is_local or scope["type"] == "lifespan" else self._refused(scope)
        if error is None:
            return await self._app(scope, receive, send)
        if scope["type"] == "websocket":
            return await send({"type": "websocket.close", "code": 1008})
        return await _refusal(scope["path"], error)(scope, receive, send)

    def _refused(self, scope: Scope) -> Forbidden | None:
        if not _came_by_loopback(scope):
            return Forbidden(
                "This server is for its own machine; it was started at another address than its settings say."
            )
        if is_behind_access(scope["path"]):
            return None
        problem = _not_from_here(_read({**scope}))
        return Forbidden(problem, hint=_PAGE_HINT) if problem and self._needs_host() else None


def is_behind_access(path: str) -> bool:
    """Whether an address is served by Access, which asks for a key, or needs none."""
    return path in _OPEN or _BEHIND_ACCESS.fullmatch(path) is not None


def scope_needed(method: str, path: str) -> str:
    """call: asks models or records outcomes. read: looks. admin: changes something."""
    if _WIRE.fullmatch(path):
        return "call"
    if method in _SAFE:
        return "read"
    return "call" if method == "POST" and (path in _ASKING or _SERVING.fullmatch(path)) else "admin"


def _not_from_here(given: _Given) -> str:
    """Why a request that came in by a loopback address is not this machine's own; empty = it is."""
    if given.is_forwarded:
        return "On this machine only its own requests are served, and a proxy passed this one on."
    if not _is_local_host(given.host):
        return "On this machine only localhost is served, and the request names another host."
    if given.origin and not _is_local_origin(given.origin):
        return "Pages of other sites may not ask a server on this machine."
    return ""


def _read(scope: Scope) -> _Given:
    """The key and where the request says it goes and comes from. A key in the query is taken out: it must reach no log."""
    key = host = origin = b""
    is_forwarded = False
    for name, value in scope["headers"]:
        if name == b"host":
            host = value if not host else b"?"  # two hosts are no host
        elif name == b"origin":
            origin = value
        elif name == b"authorization":
            # A key of ours is one in any scheme: on this machine it would else be as if nobody's limits held.
            key = _better(key, (value.split() or [b""])[-1].strip(b'"'))
        elif name in (b"x-api-key", b"x-goog-api-key", b"api-key"):
            key = _better(key, value.strip())
        elif name in _FORWARDED:
            is_forwarded = True
    query = scope.get("query_string", b"")
    if b"=" in query and b"key" in unquote_to_bytes(query):
        parts = [part.partition(b"=") for part in query.split(b"&")]
        for name, _, value in parts:
            if unquote_to_bytes(name) == b"key":
                key = _better(key, unquote_to_bytes(value))
        scope["query_string"] = b"&".join(b"".join(part) for part in parts if unquote_to_bytes(part[0]) != b"key")
    return _Given(key, host, origin, is_forwarded)


def _better(old: bytes, new: bytes) -> bytes:
    """The first one, unless only a later one is of ours: clients must often send some key, whatever it is."""
    return new if not old or (new.startswith(_PREFIX) and not old.startswith(_PREFIX)) else old


def _came_by_loopback(scope: Scope) -> bool:
    """Whether a connection came in by a loopback address; true of a Unix socket, and where the server does not say."""
    server = scope.get("server")
    return server is None or server[1] is None or is_loopback(server[0])


@lru_cache(maxsize=256)
def _is_local_host(authority: bytes) -> bool:
    found = _AUTHORITY.fullmatch(authority.decode("latin-1"))
    return found is not None and is_loopback(found[1])


def _is_local_origin(origin: bytes) -> bool:
    scheme, _, authority = origin.partition(b"://")
    return scheme in (b"http", b"https") and _is_local_host(authority)


def _refusal(path: str, error: AimmError) -> Response:
    status, raw = refusal(path, error)
    headers = {"www-authenticate": "Bearer"} if status == 401 else {}
    if _WIRE.fullmatch(path):
        headers[REQUEST_ID] = new_id()
    return Response(raw, status, headers, media_type="application/json")
