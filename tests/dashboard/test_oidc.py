"""A login by an identity provider, the whole way: Streamlit's routes, a small issuer, our door, and roles by groups."""

import asyncio
import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from streamlit import config
from streamlit.runtime.secrets import secrets_singleton
from streamlit.web.server.starlette.starlette_auth_routes import create_auth_routes

from api.access import is_behind_access
from core import ModelManager
from dashboard import login, login_gate, process
from tests.conftest import Open
from tests.fakes.oidc import CLIENT, SECRET, FakeIssuer

HERE = "http://localhost:8501"
ANN = {"sub": "42", "email": "ann@example.org", "email_verified": True}


@pytest.fixture
def issuer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeIssuer]:
    """The identity provider of [auth] in Streamlit's secrets."""
    found = FakeIssuer(**ANN)
    (tmp_path / "secrets.toml").write_text(
        f'[auth]\nredirect_uri = "{HERE}/oauth2callback"\ncookie_secret = "{"c" * 40}"\nclient_id = "{CLIENT}"\n'
        f'client_secret = "{SECRET}"\nserver_metadata_url = "{found.url}/.well-known/openid-configuration"\n'
    )
    before = config.get_option("secrets.files")
    config.set_option("secrets.files", [str(tmp_path / "secrets.toml")])
    secrets_singleton._reset()
    monkeypatch.setattr(login_gate, "tries", login.Tries())
    yield found
    config.set_option("secrets.files", before)
    secrets_singleton._reset()
    process.use(None)
    found.close()


class Browser:
    """Follows redirects between the server of this process and the issuer, and keeps the server's cookies."""

    def __init__(self, mm: ModelManager) -> None:
        process.use(mm)
        pages = Starlette(
            routes=[*create_auth_routes(""), Route("/{path:path}", lambda _: PlainTextResponse("a page"))],
            middleware=[
                Middleware(SessionMiddleware, secret_key="s" * 32),
                Middleware(login_gate.Gate, is_elsewhere=is_behind_access),
            ],
        )
        self._transport = httpx2.ASGITransport(app=pages)
        self.cookies: dict[str, str] = {}

    def open(self, path: str) -> httpx2.Response:
        return asyncio.run(self._open(HERE + path))

    async def _open(self, url: str) -> httpx2.Response:
        async with (
            httpx2.AsyncClient(transport=self._transport, base_url=HERE) as here,
            httpx2.AsyncClient() as elsewhere,
        ):
            for _ in range(8):
                is_here = urlsplit(url).netloc == urlsplit(HERE).netloc
                cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
                answer = await (here if is_here else elsewhere).get(url, headers={"cookie": cookie} if is_here else {})
                if is_here:
                    self.cookies |= dict(answer.cookies.items())
                if answer.status_code not in (302, 303):
                    return answer
                url = str(httpx2.URL(url).join(answer.headers["location"]))
        raise AssertionError("redirected without an end")

    def visitor(self) -> login.Visitor | None:
        return login.visitor(self.cookies)


def rules(open_manager: Open, url: str, **more: Any) -> ModelManager:
    return open_manager(url, takes_up=False, admins=("group:platform",), viewers=("group:staff",), **more)


def test_an_account_comes_in_with_the_role_of_its_groups(open_manager: Open, sqlite_url: str, issuer: FakeIssuer):
    mm = rules(open_manager, sqlite_url)
    browser = Browser(mm)
    # So many that they fill several cookies.
    issuer.claims |= {"groups": ["staff", *(hashlib.sha256(bytes([n])).hexdigest() for n in range(200))]}

    assert "Log in" in browser.open("/monitoring").text  # not before

    assert browser.open("/login?with=default").text == "a page"
    ann = browser.visitor()
    assert sum(map(len, browser.cookies.values())) > 8192 and len(browser.cookies) > 4
    assert ann is not None and (ann.name, ann.role) == ("ann@example.org", "viewer")
    assert issuer.asked[0]["code_challenge_method"] == "S256" and "openid" in issuer.asked[0]["scope"]
    came_in, entry = mm.audit.page()[0]
    assert (entry.action, entry.subject, entry.actor) == ("person created", "ann@example.org", "system")
    assert came_in.text == "ann@example.org logged in by identity provider"
    assert (came_in.kind, came_in.role, came_in.door, came_in.address) == ("login", "viewer", "page", "127.0.0.1")
    browser.open("/log")
    issuer.spoils = {"iat": int(time.time()) + 2}
    other = Browser(mm)
    other.open("/login?with=default")
    assert [each.kind for each in mm.audit.page()[0]] == ["login", "login", "person"]

    mm.people.disable(ann.id)
    assert browser.visitor() is None
    assert "it was disabled" in browser.open("/monitoring").text
    mm._writer.run(lambda _: None)  # behind what is noted of refusals
    refused = mm.audit.page()[0][0]
    assert refused.text.startswith("A login as 'ann@example.org' was refused") and refused.outcome == "refused"


def test_who_has_no_role_is_told_so_and_groups_may_lie_deeper(open_manager: Open, sqlite_url: str, issuer: FakeIssuer):
    browser = Browser(rules(open_manager, sqlite_url, groups_claim="realm_access.roles"))
    issuer.claims |= {"groups": ["platform"]}

    told = browser.open("/login?with=default").text
    assert "no role is given to it" in told and browser.visitor() is None

    issuer.claims |= {"realm_access": {"roles": ["platform"]}}
    browser.cookies.clear()
    browser.open("/login?with=default")
    assert browser.visitor() is not None and browser.visitor().role == "admin"  # type: ignore[union-attr]


def test_a_token_that_is_not_for_us_opens_nothing(open_manager: Open, sqlite_url: str, issuer: FakeIssuer):
    browser = Browser(rules(open_manager, sqlite_url))
    issuer.claims |= {"groups": ["platform"]}

    for spoils in ({"aud": "another"}, {"iss": "https://evil.example"}, {"exp": 1}, {"nonce": "x"}):
        issuer.spoils = spoils
        assert "a page" not in browser.open("/login?with=default").text, spoils
        assert browser.visitor() is None
    assert process.manager().people.all() == []


def test_an_address_that_nobody_looked_at_gives_no_role(open_manager: Open, sqlite_url: str, issuer: FakeIssuer):
    browser = Browser(open_manager(sqlite_url, takes_up=False, admins=("ann@example.org",)))
    issuer.claims["email_verified"] = False

    browser.open("/login?with=default")

    assert browser.visitor() is None
