"""In front of Streamlit: who is not logged in reaches nothing of it that holds memory."""

import asyncio
import base64
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import streamlit as st
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect
from streamlit import auth_util, runtime

from core import AimmError
from core.domain.key import LOGIN_LIFE_S
from core.domain.people.actor import Actor
from core.domain.people.person import Person
from dashboard import login
from dashboard.process import manager
from dashboard.visitors import voter

MAX_FORM_BYTES = 8192
FORM_TIMEOUT_S = 10.0
MAX_SESSION_BYTES, MAX_UPLOADED_BYTES = 60_000_000, 200_000_000
_UPLOAD = re.compile(r".*/_stcore/upload_file/([^/]+)/([^/]+)", re.DOTALL)
# What a browser shows by itself; all else is asked for by a page that is open already.
_PAGE = re.compile(r"(?!.*/(_stcore|static|media|component)/)/.*", re.DOTALL)
_OPEN = frozenset({"/_stcore/health", "/auth/login", "/oauth2callback", "/auth/logout"})

tries = login.Tries()


class Gate:
    """Lets nobody through to Streamlit who must log in first; serves /login and /logout.

    is_elsewhere: Whether an address is none of the pages', and asks for a key by itself.
    """

    def __init__(self, app: ASGIApp, *, is_elsewhere: Callable[[str], bool]) -> None:
        self._app = app
        self._is_elsewhere = is_elsewhere

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or self._is_elsewhere(scope["path"]):
            return await self._app(scope, receive, send)
        own = _OWN.get(scope["path"]) if scope["type"] == "http" else None
        if own is None and (scope["path"] in _OPEN or not login.is_needed()):
            return await self._app(scope, receive, send)
        answer: Response | None
        try:
            if own is not None:
                answer = await own(Request(scope, receive))
            else:
                answer = None if await login.is_in(HTTPConnection(scope)) else _refused(scope)
        except AimmError as error:  # the database cannot say who is in
            answer = _failed(scope, error)
        if scope["type"] == "websocket" and answer is not None:
            return await send({"type": "websocket.close", "code": 1008})
        if scope["type"] == "websocket":
            return await _while_in(self._app, scope, receive, send)
        return await (answer or self._app)(scope, receive, send)


def _is_page(scope: Scope) -> bool:
    return scope["type"] == "http" and scope["method"] in ("GET", "HEAD") and bool(_PAGE.fullmatch(scope["path"]))


def _refused(scope: Scope) -> Response:
    if not _is_page(scope):
        return JSONResponse({"error": "Log in first, at /login.", "code": "authentication"}, 401)
    query = scope["query_string"].decode("latin-1")
    return RedirectResponse(f"/login?next={quote(scope['path'] + (f'?{query}' if query else ''))}", 303)


def _failed(scope: Scope, error: AimmError) -> Response:
    if _is_page(scope) or scope["path"] in _OWN:
        return _shown(f'<p role="alert">{escape(error.text)}</p>', 503)
    return JSONResponse({"error": error.text, "code": error.code}, 503)


async def _while_in(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """A connection of a page, which ends with the login it was opened with."""
    connection = HTTPConnection(scope)

    async def receiving() -> Message:
        message = await receive()
        if message["type"] == "websocket.receive" and not await login.is_in(connection):
            await send({"type": "websocket.close", "code": 1008})
            return {"type": "websocket.disconnect", "code": 1008}
        return message

    async def sending(message: Message) -> None:
        if message["type"] == "websocket.send" and not await login.is_in(connection):
            await send({"type": "websocket.close", "code": 1008})
            raise WebSocketDisconnect(1008)
        await send(message)

    await app(scope, receiving, sending)


# The login's own page -------------------------------------------------------------------------------------------------

_LOOK = """body{font:15px/1.5 system-ui,sans-serif;margin:0;display:grid;place-items:center;min-height:100vh;
background:#fff;color:#1b2430}main{width:min(22rem,calc(100vw - 3rem))}h1{font-size:1.55rem;font-weight:600}
input,button,a.way{font:inherit;box-sizing:border-box;width:100%;padding:.5rem .75rem;border:1px solid #dde3ea;
border-radius:.375rem;background:transparent;color:inherit;margin:.25rem 0 .75rem}a.way{display:block;text-align:center;
text-decoration:none}button{background:#2563eb;border-color:#2563eb;color:#fff;cursor:pointer}
p[role=alert]{padding:.6rem .75rem;border-radius:.375rem;background:#fdecec;color:#8a1f1f}
:focus-visible{outline:2px solid #2563eb;outline-offset:2px}@media(prefers-color-scheme:dark){body{background:#10151c;
color:#e4e9f0}input,a.way{border-color:#2b3644}p[role=alert]{background:#3a1c1f;color:#ffc9c9}}"""


def _page(request: Request, problem: str = "", status: int = 200) -> Response:
    password, ways = manager().settings.dashboard_password, login.providers()
    target = quote(_next(request.query_params.get("next", "")))
    account = login.account_of(request.cookies)
    if not problem and account and login.person_of(account) is None:
        named = account.get("email") or "This account"
        told = "AIMM_LOGIN_ALLOWED says who may"
        if login.is_allowed(account):
            told = "no role is given to it, or it was disabled; AIMM_ADMINS, AIMM_EDITORS and AIMM_VIEWERS give roles"
        problem = f"{named} may not look at this server; {told}."
    if not problem and password is None and not ways and not manager().people.have_passwords():
        problem = "No login is set up. Make a person (aimm users add NAME), set AIMM_DASHBOARD_PASSWORD, or set [auth]."
    parts = [f'<p role="alert">{escape(problem)}</p>'] if problem else []
    has_people = manager().people.have_passwords()
    if account:
        parts.append('<a class="way" href="/logout">Log out</a>')
    for name in ways:
        label = "Log in" if name == "default" else f"Log in with {name}"
        parts.append(f'<a class="way" href="/login?with={quote(name)}">{escape(label)}</a>')
    if has_people or password is not None:
        parts.append(
            f'<form method="post" action="/login?next={target}">{_fields(has_people, password is not None)}</form>'
        )
    return _shown("".join(parts), status)


def _fields(has_people: bool, is_shared: bool) -> str:
    """The fields of the form. is_shared: There is a password that all share, with which no name goes."""
    name = (
        f'<label>Name<input name="name" autocomplete="username" autofocus{"" if is_shared else " required"}></label>'
        if has_people
        else ""
    )
    hint = "<small>Without a name: the password that all share.</small>" if has_people and is_shared else ""
    focus = "" if has_people else " autofocus"
    return (
        f'{name}<label>Password<input type="password" name="password" autocomplete="current-password" required{focus}>'
        f'</label>{hint}<button type="submit">Log in</button>'
    )


def _shown(inner: str, status: int) -> Response:
    text = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'<link rel="icon" href="data:,"><title>Log in – AI Model Manager</title><style>{_LOOK}</style>'
        f"<main><h1>AI Model Manager</h1>{inner}</main></html>"
    )
    return HTMLResponse(text, status, {"cache-control": "no-store"})


async def _login(request: Request) -> Response:
    target = _next(request.query_params.get("next", ""))
    if not login.is_needed() or (request.method in ("GET", "HEAD") and await login.is_in(request)):
        return RedirectResponse(target, 303)
    if request.method == "POST":
        return await _tried(request, target)
    way = request.query_params.get("with", "")
    if way not in login.providers():
        return _page(request)
    try:
        auth_util.validate_auth_credentials(way)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with the secrets is for the operator to read
        return _page(request, f"[auth] in .streamlit/secrets.toml: {str(error)[:300]}")
    return RedirectResponse(f"/auth/login?provider={quote(auth_util.encode_provider_token(way))}", 303)


async def _tried(request: Request, target: str) -> Response:
    origin = request.headers.get("origin", "")
    has_password = manager().settings.dashboard_password is not None or manager().people.have_passwords()
    if not has_password or (origin and urlsplit(origin).netloc != request.headers.get("host")):
        return _page(request, "Log in on this page.", 403)
    try:
        async with asyncio.timeout(FORM_TIMEOUT_S):
            raw = await _form(request)
    except TimeoutError:
        return _page(request, "The password did not come in time.", 408)
    given = dict(parse_qsl(raw.decode("utf-8", "replace")))
    address = request.client.host if request.client else ""
    token = await asyncio.to_thread(_begun, given, address, request.cookies.get(voter.COOKIE, ""))
    if " " in token:
        return _page(request, token, 429 if "Try again" in token else 403)
    answer = RedirectResponse(target, 303)
    is_secure = request.url.scheme == "https"
    answer.set_cookie(login.COOKIE, token, LOGIN_LIFE_S, path="/", secure=is_secure, httponly=True, samesite="lax")
    return answer


def _begun(given: Mapping[str, str], address: str, browser: str) -> str:
    """The token of a new login, or why there is none, which is a sentence."""
    name, typed = given.get("name", "").strip(), given.get("password", "")
    people, found = manager().people, list[Person]()

    def is_right() -> bool:
        if not name:
            shared = manager().settings.dashboard_password
            return shared is not None and login.is_same(typed, shared)
        found.extend(filter(None, [people.check(name, typed)]))
        return bool(found)

    if problem := tries.refused(address, is_right, browser):
        known = next((each.name for each in people.all() if name and each.name.casefold() == name.casefold()), "")
        manager().audit.login_refused(known, address, problem if problem != login.WRONG else "wrong password")
        return problem if problem != login.WRONG or not name else "That is not the name or not the password."
    if found:
        manager().audit.logged_in(login.actor_of(found[0], address), "password")
        return manager().logins.begin(found[0].password or "", found[0].id)
    manager().audit.logged_in(Actor(name="shared login", door="page", address=address), "the password that all share")
    return manager().logins.begin(manager().settings.dashboard_password or "")


async def _form(request: Request) -> bytes:
    raw = b""
    async for part in request.stream():
        raw += part
        if len(raw) > MAX_FORM_BYTES:
            return b""
    return raw


async def _logout(request: Request) -> Response:
    if request.headers.get("sec-fetch-site", "") == "cross-site":
        return _page(request, "Log out on a page of this server.", 403)
    token, secret = login.held_by(request.cookies)
    if token and secret:
        await asyncio.to_thread(manager().logins.end, token, secret)
    by_provider = bool(login.account_of(request.cookies))
    answer = RedirectResponse("/auth/logout" if by_provider else "/login", 303, {"cache-control": "no-store"})
    answer.delete_cookie(login.COOKIE, path="/", httponly=True, samesite="lax")
    return answer


_OWN = {"/login": _login, "/logout": _logout}


def _next(wanted: str) -> str:
    """A page of this server, whatever was asked for."""
    is_here = re.fullmatch(r"/(?![/\\])[!-~]*", wanted) is not None and "\\" not in wanted
    return wanted if is_here and not wanted.startswith(("/login", "/logout")) else "/"


# Uploads --------------------------------------------------------------------------------------------------------------


class Uploads:
    """Bounds what uploaded files hold in memory, of one session and in all; Streamlit bounds each file only."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._coming: Counter[str] = Counter()  # bytes on their way, by session

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = _UPLOAD.fullmatch(scope["path"]) if scope["type"] == "http" and scope["method"] == "PUT" else None
        if found is None:
            return await self._app(scope, receive, send)
        session_id, n_bytes = found[1], _length(scope)
        held = _held()
        mine = held.get(session_id, 0) + self._coming[session_id] + n_bytes
        if mine > MAX_SESSION_BYTES or sum(held.values()) + self._coming.total() + n_bytes > MAX_UPLOADED_BYTES:
            text = (
                f"Uploaded files may hold {MAX_SESSION_BYTES:,} bytes of a session and {MAX_UPLOADED_BYTES:,} in all."
            )
            return await JSONResponse({"error": text, "code": "too_large"}, 413)(scope, receive, send)
        self._coming[session_id] += n_bytes
        try:
            await self._app(scope, receive, send)
        finally:
            self._coming[session_id] -= n_bytes
            self._coming += Counter()  # drops what is 0
            _forget_if_ended(session_id)
        return None


def _length(scope: Scope) -> int:
    """Bytes that come; without a length, as many as may come."""
    given = dict(scope["headers"]).get(b"content-length", b"")
    return (
        int(given) if given.isdigit() and len(given) < 20 else (st.get_option("server.maxUploadSize") + 1) * 1024 * 1024
    )


def _held() -> dict[str, int]:
    files: Any = runtime.get_instance().uploaded_file_mgr
    return {each: sum(len(file.data) for file in list(of.values())) for each, of in list(files.file_storage.items())}


def _forget_if_ended(session_id: str) -> None:
    """Drop what arrived when its session had ended: nobody else would."""
    running: Any = runtime.get_instance()
    if running._session_mgr.get_session_info(session_id) is None:
        running.uploaded_file_mgr.remove_session_files(session_id)


def policy(*own: str) -> str:
    """The Content-Security-Policy of pages: everything from here.

    Streamlit's scripts make styles as they run, and its page has a few lines of script of its own.

    own: Our scripts.
    """
    html = (Path(st.__file__).parent / "static" / "index.html").read_text(encoding="utf-8")
    scripts = [*re.findall(r"<script>(.*?)</script>", html, re.DOTALL), *own]
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(each.encode()).digest()).decode()}'" for each in scripts]
    return "; ".join([
        "default-src 'self'", f"script-src 'self' {' '.join(hashes)}", "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:", "font-src 'self' data:", "media-src 'self' data: blob:",
        "worker-src 'self' blob:",
        "connect-src 'self'", "object-src 'none'", "base-uri 'self'", "form-action 'self'", "frame-ancestors 'self'",
    ])  # fmt: skip
