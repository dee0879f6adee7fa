"""Admission: the key of a request, its scopes, and the limits of browsers on a server of this machine.

It stands in front of every address but the health checks. The scope is given the caller's Key; None = none is needed.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from starlette.types import ASGIApp, Receive, Scope, Send

from api.errors import Unexpected, status_of
from api.gateway.exchange import KEY, Exchange
from api.gateway.registry import WIRES, wire_of
from core import AimmError, AuthenticationError, Forbidden, Key, ModelManager, acting
from core.domain.people.actor import Actor
from core.listen_policy import is_loopback

TRUSTED = "aimm.trusted"  # of a scope: its Origin is one that AIMM_CORS_ORIGINS names
ASKED_WITH = "aimm.key_in_query"  # of a scope: a key was taken out of its query
_PREFIX = b"aimm_"
_OPEN = frozenset({"/health", "/healthz", "/readyz", "/api/health"})
_OURS = re.compile(r"/api(/.*)?|/metrics|/openapi\.json", re.DOTALL)
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_ASKING = frozenset(
    {
        "/api/generate",
        "/api/workflow",
        "/api/compare",
        "/api/cost/estimate",
        "/api/evaluations",
        "/api/evaluations/estimate",
    }
)
_SERVING = re.compile(
    r"/api/(experiment/[^/]+/(test|record|assign)|comparisons/[^/]+/(vote|stop|resume)|runs/[^/]+/(stop|resume)"
    r"|evaluations/[^/]+/(stop|cancel|resume|grade|judge))"
)
# A key sees the work that it has begun and its own calls; the route looks whose it is.
_OWN = re.compile(
    r"/api/(runs|comparisons|evaluations)/[^/]+(/events|/cells|/verdict|/report)?"
    r"|/api/logs(/export|/breakdown)?|/api/sessions(/.+)?"
)
_KEY_HEADERS = frozenset({b"x-api-key", b"api-key", *(header for wire in WIRES for header in wire.key_headers)})
_FORWARDED = frozenset({b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip"})
_AUTHORITY = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:@/\[\]]+)(:\d{1,5})?")
_HOW = "Send it as Authorization: Bearer aimm_…, x-api-key or x-goog-api-key. Keys are made by: aimm keys create NAME"
_BROWSER_HINT = "Send a key (aimm keys create NAME), or set AIMM_REQUIRE_KEY=1 where a proxy passes requests on."
_NOUNS = {
    "budgets": "budget",
    "keys": "key",
    "teams": "team",
    "vendors": "deployment",
    "alert-rules": "alert",
    "alert-silences": "silence",
    "aliases": "alias",
    "prices": "price",
    "prompts": "prompt",
} | {
    "datasets": "dataset",
    "baselines": "baseline",
    "evaluations": "evaluation",
    "comparisons": "comparison",
    "runs": "run",
}
_PAGE_HINT = "Set AIMM_REQUIRE_KEY=1 and a login where a proxy passes requests on."


class Access:
    """Lets a request through to `app`, or refuses it in the form of its wire.

    is_local: The server listens on a loopback address only. A connection by another one needs a key anyway.
    """

    def __init__(self, app: ASGIApp, get_manager: Callable[[], ModelManager], *, is_local: bool) -> None:
        self._app = app
        self._get_manager = get_manager
        self._is_local = is_local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return await _refuse_websocket(scope, send)
        scope[KEY] = None
        if scope["path"] in _OPEN or scope["path"] == "/":
            return await self._app(scope, receive, send)
        try:
            key = scope[KEY] = await self._admitted(scope)
        except Exception as caught:  # noqa: BLE001 - refused, and logged unless it is ours
            return await _refuse(scope, receive, send, caught)
        with acting.acting_as(actor_of(key, scope)):
            return await self._app(scope, receive, send)

    async def _admitted(self, scope: Scope) -> Key | None:
        mm, text = self._get_manager(), _key_of(scope)
        if text.startswith(_PREFIX):
            secret = text.decode("latin-1")
            key = mm.keys.cached(secret) or await mm.keys.afind(secret)
            needed = scope_needed(scope["method"], scope["path"])
            is_own = needed == "read" and key.may("call") and _OWN.fullmatch(scope["path"]) is not None
            if not key.may(needed) and not is_own:
                if scope["method"] not in _SAFE:
                    mm.audit.refused(actor_of(key, scope), *_deed(scope["method"], scope["path"]))
                raise Forbidden(f"The key {key.name!r} lacks the scope {needed}; it has {', '.join(key.scopes)}.")
            return key
        is_open = self._is_local and not mm.settings.require_key and _came_by_loopback(scope)
        if not is_open or await mm.people.ahave_passwords():
            problem = "This is no key of this server." if text else "A key of this server is needed."
            raise AuthenticationError(problem, hint=_HOW)
        if problem := _not_from_here(scope):
            raise Forbidden(problem, hint=_BROWSER_HINT)
        return None


def actor_of(key: Key | None, scope: Scope) -> Actor:
    """The actor of a request: a key with what its scopes allow, or the one person of this machine."""
    address = scope["client"][0] if scope.get("client") else ""
    if key is None:
        return Actor(name="local", door="api", address=address)
    return Actor(name=f"key {key.name}", role=key.role, door="api", address=address, id=key.id)


def _deed(method: str, path: str) -> tuple[str, str]:
    """The action and the subject of what was refused at this door, as the audit names them."""
    noun, _, rest = path.removeprefix("/api/").partition("/")
    deed = {"DELETE": "deleted", "POST": "created"}.get(method, "changed")
    deed = "changed" if method == "POST" and rest else deed
    return f"{_NOUNS.get(noun, noun)[:40]} {deed}", rest[:200]


class Nearby:
    """Refuses, on a server for this machine only, all connections by another than a loopback address, of pages too.

    A server is told its address twice, by our settings and by its starter (`uvicorn --host`): the second may differ.

    needs_host: Whether a request must name this machine, which refuses pages of other sites whose names have come to
        mean it; not where a proxy passes requests on.
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
        return await _refuse(scope, receive, send, error)

    def _refused(self, scope: Scope) -> Forbidden | None:
        if not _came_by_loopback(scope):
            return Forbidden(
                "This server is for its own machine; it was started at another address than its settings say."
            )
        if is_behind_access(scope["path"]):
            return None
        problem = _not_from_here(scope)
        return Forbidden(problem, hint=_PAGE_HINT) if problem and self._needs_host() else None


def is_behind_access(path: str) -> bool:
    """True of an address that Access stands before, also where pages are served beside it; and of health checks."""
    return path in _OPEN or wire_of(path) is not None or _OURS.fullmatch(path) is not None


def scope_needed(method: str, path: str) -> str:
    """call: asks models or records outcomes. read: looks. admin: changes something."""
    if wire_of(path) is not None:
        return "call"
    if method in _SAFE:
        return "admin" if path.startswith("/api/audit") else "read"
    return "call" if method == "POST" and (path in _ASKING or _SERVING.fullmatch(path)) else "admin"


def _not_from_here(scope: Scope) -> str:
    """The reason why a request that came in by a loopback address is not this machine's own; empty = it is."""
    host = origin = b""
    for name, value in scope["headers"]:
        if name in _FORWARDED:
            return "On this machine only its own requests are served, and a proxy passed this one on."
        if name == b"host":
            host = value if not host else b"?"  # of two hosts, neither can be trusted
        elif name == b"origin":
            origin = value
    if not _is_local_host(host):
        return "On this machine only localhost is served, and the request names another host."
    if origin and not scope.get(TRUSTED) and not _is_local_origin(origin):
        return "Pages of other sites may not ask a server on this machine."
    return ""


async def _refuse_websocket(scope: Scope, send: Send) -> None:
    """Nothing here speaks over a WebSocket: clients that try one first turn to HTTP at once when they hear 426."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008})
        return
    await send({"type": "websocket.http.response.start", "status": 426, "headers": [(b"content-length", b"0")]})
    await send({"type": "websocket.http.response.body", "body": b""})


def _key_of(scope: Scope) -> bytes:
    """The key of a request. One in the query is taken out: it must reach no log."""
    key = b""
    for name, value in scope["headers"]:
        if name == b"authorization":
            # A key of ours is one in any scheme: on this machine it would else be as if nobody's limits held.
            key = _better(key, (value.split() or [b""])[-1].strip(b'"'))
        elif name in _KEY_HEADERS:
            key = _better(key, value.strip())
    query = scope.get("query_string", b"")
    if b"=" in query and b"key" in unquote_to_bytes(query):
        parts = [part.partition(b"=") for part in query.split(b"&")]
        for name, _, value in parts:
            if unquote_to_bytes(name) == b"key":
                key = _better(key, unquote_to_bytes(value))
        scope[ASKED_WITH] = any(unquote_to_bytes(part[0]) == b"key" for part in parts)
        scope["query_string"] = b"&".join(b"".join(part) for part in parts if unquote_to_bytes(part[0]) != b"key")
    return key


def _better(old: bytes, new: bytes) -> bytes:
    """The first one, unless only a later one is of ours: clients must often send some key, whatever it is."""
    return new if not old or (new.startswith(_PREFIX) and not old.startswith(_PREFIX)) else old


def _came_by_loopback(scope: Scope) -> bool:
    """True of a connection by a loopback address, of a Unix socket, and where the server does not say."""
    server = scope.get("server")
    return server is None or server[1] is None or is_loopback(server[0])


@lru_cache(maxsize=256)
def _is_local_host(authority: bytes) -> bool:
    found = _AUTHORITY.fullmatch(authority.decode("latin-1"))
    return found is not None and is_loopback(found[1])


def _is_local_origin(origin: bytes) -> bool:
    scheme, _, authority = origin.partition(b"://")
    return scheme in (b"http", b"https") and _is_local_host(authority)


async def _refuse(scope: Scope, receive: Receive, send: Send, caught: Exception) -> None:
    error = caught if isinstance(caught, AimmError) else Unexpected(caught, "Keys cannot be read just now")
    headers = {"www-authenticate": "Bearer"} if status_of(error) == 401 else {}
    await Exchange(scope, receive, send, wire_of(scope["path"], scope["headers"])).refuse(error, headers)
