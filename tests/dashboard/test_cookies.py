"""Cookies that go out with pages: a browser's id, and its last visit."""

import asyncio
import time
from typing import Any

import pytest

from dashboard.visitors import visits, voter
from dashboard.visitors.cookies import PageCookie


def sent(kind: str, cookie: str, **how: Any) -> str:
    """The cookie that a page sets for a browser that comes with another one."""

    async def page(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind.encode())]})

    messages: list[Any] = []

    async def send(message: Any) -> None:
        messages.append(message)

    scope = {"type": "http", "method": "GET", "scheme": "https", "headers": [(b"cookie", cookie.encode())]}
    asyncio.run(PageCookie(page, **how)(scope, None, send))  # type: ignore[arg-type]
    return dict(messages[0]["headers"]).get(b"set-cookie", b"").decode()


@pytest.mark.parametrize(
    ("kind", "cookie", "is_needed", "is_set"),
    [
        ("text/html; charset=utf-8", "", True, True),
        ("text/html", "other=1; aimm_browser=short", True, True),
        ("text/html", f"aimm_browser={'b' * 32}", True, False),
        ("text/html", "", False, False),
        ("application/json", "", True, False),
    ],
)
def test_a_browser_gets_an_id_with_its_first_page(
    kind: str, cookie: str, is_needed: bool, is_set: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("dashboard.login.is_needed", lambda: is_needed)

    given = sent(kind, cookie, name=voter.COOKIE, renew=voter.browser_id)

    assert bool(given) is is_set
    assert not given or all(part in given for part in ("HttpOnly", "SameSite=Lax", "Secure", "Max-Age="))


@pytest.mark.parametrize(
    ("before", "ends"),
    [("", 0), ("rubbish", 0), ("1.2.3", 0), ("{ago:7200}.0", 7200), ("{ago:60}.{ago:7200}", 7200)],
)
def test_a_visit_ends_when_no_page_was_loaded_for_half_an_hour(before: str, ends: int, monkeypatch: pytest.MonkeyPatch):
    now = int(time.time())
    for ago in (60, 7200):
        before = before.replace(f"{{ago:{ago}}}", str(now - ago))

    value = sent("text/html", f"{visits.COOKIE}={before}", name=visits.COOKIE, renew=visits.noted)
    cookie = value.split(";")[0].removeprefix(f"{visits.COOKIE}=")
    monkeypatch.setattr("streamlit.runtime.context.ContextProxy.cookies", {visits.COOKIE: cookie})

    found = visits.last()
    assert (0 if found is None else now - found.timestamp()) == ends
