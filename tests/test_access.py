"""Who may ask: keys and scopes, what browsers must not do, where a server may listen, and the login of the pages."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import streamlit as st
from sqlalchemy import text
from starlette.routing import Mount, Router
from streamlit.testing.v1 import AppTest

from api.access import KEY, Access, Nearby, scope_needed
from api.errors import Guard
from api.manager import make_app
from core import InvalidRequest, ModelManager
from core.binding import check_binding, is_loopback
from core.config import Settings
from core.keys.rules import new_secret
from dashboard import login, session
from tests.conftest import ROOT, Open, free_port, running_server
from tests.test_pages import _pages_as_the_server_has_them as _pages_as_the_server_has_them
from tests.test_pages import button, show, texts
from tests.test_request_heads import sent

PASSWORD = "correct horse battery"
Answer = tuple[int, Any, dict[str, Any]]


@pytest.fixture
def mm(open_manager: Open, sqlite_url: str) -> ModelManager:
    return open_manager(sqlite_url, takes_up=False)


@pytest.fixture(scope="module")
def keyless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelManager]:
    """A manager that nobody makes a key of, for all tests of the module."""
    settings = Settings(database_url=f"sqlite:///{tmp_path_factory.mktemp('keyless')}/aimm.db")
    with ModelManager.open(settings, simulated_speed=0, takes_up=False) as manager:
        yield manager


async def _served(scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


def ask(
    app: Any, path: str = "/api/models", method: str = "GET", *, server: str = "127.0.0.1", query: bytes = b"",
    **headers: str,
) -> Answer:  # fmt: skip
    """Status, body and scope of one request as an ASGI server would hand it on."""
    sent: list[dict[str, Any]] = []
    named = {"host": "localhost:8501", **{name.replace("_", "-"): value for name, value in headers.items()}}
    scope: dict[str, Any] = {
        "type": "http", "method": method, "path": path, "query_string": query, "server": (server, 8501),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in named.items() if value],
    }  # fmt: skip

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return sent[0]["status"], json.loads(sent[1]["body"]), scope


def local(mm: ModelManager) -> Access:
    return Access(_served, lambda: mm, is_local=True)


def remote(mm: ModelManager) -> Access:
    return Access(_served, lambda: mm, is_local=False)


def test_on_this_machine_no_key_is_needed_and_a_foreign_one_is_ignored(keyless: ModelManager):
    for headers in ({}, {"authorization": "Bearer none"}, {"x_api_key": "sk-proj-abcdefghij"}):
        status, _, scope = ask(local(keyless), "/api/prices", "POST", **headers)

        assert (status, scope[KEY]) == (200, None)


def test_a_key_of_ours_must_be_valid_even_on_this_machine(keyless: ModelManager):
    status, body, _ = ask(local(keyless), authorization=f"Bearer {new_secret()}")

    assert (status, body["code"]) == (401, "authentication")
    assert "not known here" in body["error"]


@pytest.mark.parametrize("path", ["/health", "/healthz", "/readyz", "/api/health"])
def test_health_needs_no_key_anywhere(keyless: ModelManager, path: str):
    assert ask(remote(keyless), path, host="example.com")[0] == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/models", {"error": "TEXT", "code": "authentication"}),
        ("/metrics", {"error": "TEXT", "code": "authentication"}),
        (
            "/v1/chat/completions",
            {"error": {"message": "TEXT", "type": "authentication_error", "code": "invalid_api_key", "param": None}},
        ),
        ("/gemini/v1beta/models", {"error": {"code": 401, "message": "TEXT", "status": "UNAUTHENTICATED"}}),
    ],
)
def test_elsewhere_a_key_is_needed_and_each_wire_says_so_in_its_own_form(keyless: ModelManager, path: str, body: Any):
    for headers in ({}, {"authorization": "Bearer none"}):
        status, answer, _ = ask(remote(keyless), path, **headers)

        assert status == 401
        found = json.dumps(answer)
        assert "key of this server" in found
        told = answer["error"] if isinstance(answer["error"], str) else answer["error"]["message"]
        assert json.loads(found.replace(json.dumps(told), '"TEXT"')) == body


def test_a_missing_scope_is_403_in_each_wire_s_form(mm: ModelManager):
    _, secret = mm.keys.create("reader", scopes=("read",))

    answers = {path: ask(local(mm), path, "POST", x_api_key=secret) for path in ("/api/generate", "/v1/x", "/gemini/x")}

    assert {status for status, _, _ in answers.values()} == {403}
    assert answers["/api/generate"][1]["code"] == "forbidden"
    assert answers["/v1/x"][1]["error"]["type"] == "permission_error"
    assert answers["/gemini/x"][1]["error"]["status"] == "PERMISSION_DENIED"


@pytest.mark.parametrize("is_local", [True, False])
def test_the_scopes_of_a_key_hold_wherever_it_is_used(mm: ModelManager, is_local: bool):
    access = Access(_served, lambda: mm, is_local=is_local)
    secrets = {scope: mm.keys.create(scope, scopes=(scope,))[1] for scope in ("call", "read", "admin")}
    asked = {"call": ("POST", "/api/generate"), "read": ("GET", "/api/costs"), "admin": ("POST", "/api/prices")}

    allowed = {
        (scope, needed): ask(access, path, method, x_api_key=secret)[0]
        for scope, secret in secrets.items()
        for needed, (method, path) in asked.items()
    }

    assert {pair for pair, status in allowed.items() if status == 200} == {
        ("call", "call"), ("read", "read"), ("admin", "call"), ("admin", "read"), ("admin", "admin"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("POST", "/v1/chat/completions", "call"),
        ("GET", "/v1/models", "call"),
        ("POST", "/gemini/v1beta/models/gemini-2.5-flash:generateContent", "call"),
        ("POST", "/api/generate", "call"),
        ("POST", "/api/workflow", "call"),
        ("POST", "/api/compare", "call"),
        ("POST", "/api/cost/estimate", "call"),
        ("POST", "/api/experiment/e_1/test", "call"),
        ("POST", "/api/experiment/e_1/assign", "call"),
        ("POST", "/api/experiment/e_1/record", "call"),
        ("GET", "/api/experiment/e_1/stats", "read"),
        ("GET", "/api/keys", "read"),
        ("GET", "/api/openapi.json", "read"),
        ("GET", "/metrics", "read"),
        ("POST", "/api/experiment", "admin"),
        ("POST", "/api/experiment/e_1/stop", "admin"),
        ("POST", "/api/experiment/e/1/test", "admin"),
        ("POST", "/api/keys", "admin"),
        ("PATCH", "/api/budgets/b_1", "admin"),
        ("DELETE", "/api/keys/k_1", "admin"),
        ("PUT", "/api/generate", "admin"),
        ("POST", "/metrics", "admin"),
    ],
)
def test_each_address_needs_one_scope(method: str, path: str, scope: str):
    assert scope_needed(method, path) == scope


def test_every_route_of_the_api_is_read_call_or_admin_as_its_method_says(keyless: ModelManager):
    asking = {"generate", "workflow", "compare", "estimate", "test", "assign", "record"}

    for path, methods in make_app(lambda: keyless).openapi()["paths"].items():
        for method in map(str.upper, methods):
            expected = "read" if method == "GET" else "call" if path.rsplit("/", 1)[1] in asking else "admin"
            assert scope_needed(method, f"/api{path}") == expected, path


@pytest.mark.parametrize(
    ("query", "headers", "left"),
    [
        (b"", {"authorization": "Bearer KEY"}, b""),
        (b"", {"authorization": "bearer  KEY"}, b""),
        (b"", {"x_api_key": "KEY"}, b""),
        (b"", {"x_goog_api_key": "KEY"}, b""),
        (b"", {"authorization": "Bearer none", "x_api_key": "KEY"}, b""),
        (b"key=KEY", {}, b""),
        (b"alt=sse&key=KEY&a=b", {}, b"alt=sse&a=b"),
        (b"%6bey=KEY&a=", {}, b"a="),
        (b"user_key=1&key=KEY&key=KEY", {"authorization": "Bearer none"}, b"user_key=1"),
    ],
)
def test_a_key_is_found_wherever_clients_put_it_and_does_not_stay_in_the_address(
    mm: ModelManager, query: bytes, headers: dict[str, str], left: bytes
):
    key, secret = mm.keys.create("ci")
    given = {name: value.replace("KEY", secret) for name, value in headers.items()}

    status, _, scope = ask(remote(mm), "/v1/models", query=query.replace(b"KEY", secret.encode()), **given)

    assert (status, scope[KEY], scope["query_string"]) == (200, key, left)


def test_a_foreign_key_does_not_stay_in_the_address_either(keyless: ModelManager):
    _, _, scope = ask(local(keyless), "/gemini/v1/models", query=b"key=AIzaSyabcdefghijk&alt=sse")

    assert scope["query_string"] == b"alt=sse"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("localhost:8501", 200),
        ("127.0.0.1:8501", 200),
        ("127.8.9.10", 200),
        ("[::1]:8501", 200),
        ("aimm.localhost:8501", 200),
        ("evil.example:8501", 403),
        ("localhost.evil.example", 403),
        ("localhost@evil.example", 403),
        ("192.168.1.5:8501", 403),
        ("0.0.0.0:8501", 403),
        ("[::]:8501", 403),
        ("", 403),
    ],
)
def test_a_name_that_was_made_to_point_here_is_refused(keyless: ModelManager, host: str, status: int):
    assert ask(local(keyless), host=host)[0] == status


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost:8501", 200),
        ("http://127.0.0.1:3000", 200),
        ("https://[::1]:8501", 200),
        ("https://evil.example", 403),
        ("http://localhost.evil.example", 403),
        ("null", 403),
        ("chrome-extension://abcdef", 403),
    ],
)
def test_pages_of_other_sites_may_not_ask_a_server_on_this_machine(keyless: ModelManager, origin: str, status: int):
    assert ask(local(keyless), "/api/generate", "POST", origin=origin)[0] == status


def test_with_a_key_any_page_and_any_name_may_ask(mm: ModelManager):
    _, secret = mm.keys.create("ci")

    status, _, _ = ask(local(mm), "/v1/models", host="proxy.example", origin="https://app.example", x_api_key=secret)

    assert status == 200


def test_a_connection_from_outside_needs_a_key_whatever_the_settings_say(keyless: ModelManager):
    assert ask(local(keyless), server="192.168.1.5")[0] == 401
    assert ask(local(keyless), server="::ffff:127.0.0.1")[0] == 200


def test_behind_a_proxy_a_local_server_can_be_told_to_need_keys(open_manager: Open, sqlite_url: str):
    mm = open_manager(sqlite_url, takes_up=False, require_key=True)
    _, secret = mm.keys.create("ci")

    assert ask(local(mm), "/v1/models")[0] == 401
    assert ask(local(mm), "/v1/models", x_api_key=secret, host="aimm.example")[0] == 200


def test_a_page_too_is_refused_over_an_address_that_the_settings_do_not_name():
    for server, status in (("192.168.1.5", 403), ("127.0.0.1", 200)):
        assert ask(Nearby(_served, is_local=True), "/monitoring", server=server)[0] == status
    assert ask(Nearby(_served, is_local=False), "/monitoring", server="192.168.1.5")[0] == 200


def test_keys_that_cannot_be_read_let_nobody_in(mm: ModelManager, caplog: pytest.LogCaptureFixture):
    _, secret = mm.keys.create("ci")
    with mm.database.write() as connection:
        connection.execute(text("DROP TABLE api_keys"))

    status, body, _ = ask(remote(mm), "/v1/models", x_api_key=secret)

    assert (status, body["error"]["type"]) == (503, "api_error")
    assert secret not in caplog.text


def test_a_known_key_costs_microseconds(mm: ModelManager):
    _, secret = mm.keys.create("ci")
    names = (
        "accept",
        "accept-encoding",
        "connection",
        "user-agent",
        "content-type",
        "content-length",
        "x-stainless-os",
    )
    headers = [(b"host", b"localhost"), *((name.encode(), b"x") for name in names)]
    headers.append((b"authorization", f"Bearer {secret}".encode()))

    async def nothing(*_: Any) -> None: ...

    async def measured() -> float:
        access = Access(nothing, lambda: mm, is_local=False)
        scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "query_string": b"", "headers": headers}  # fmt: skip
        await access(scope, nothing, nothing)  # type: ignore[arg-type]
        start = time.perf_counter()
        for _ in range(200):
            await access(scope, nothing, nothing)  # type: ignore[arg-type]
        return (time.perf_counter() - start) / 200

    assert min(asyncio.run(measured()) for _ in range(5)) < 30e-6


# The API with keys ----------------------------------------------------------------------------------------------------


class Api:
    """The API in front of a manager of this process, asked with one key or none."""

    def __init__(self, mm: ModelManager, secret: str = "") -> None:
        self._app = Access(Guard(make_app(lambda: mm)), lambda: mm, is_local=True)
        self._headers = {"authorization": f"Bearer {secret}"}

    def send(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        async def go() -> httpx2.Response:
            transport = httpx2.ASGITransport(app=_under_api(self._app))
            async with httpx2.AsyncClient(
                transport=transport, base_url="http://localhost", headers=self._headers, timeout=60
            ) as client:
                return await client.request(method, path, json=body)

        response = asyncio.run(go())
        return response.status_code, response.json()


def _under_api(app: Any) -> Any:
    """As the server mounts it."""
    return Router([Mount("/api", app=app)])


def test_keys_are_made_changed_and_revoked_over_http(mm: ModelManager):
    api = Api(mm)
    status, made = api.send("POST", "/api/keys", {"name": "ci", "models": ["sim-*"], "budget": {"limit_usd": 5}})
    key = made["key"]

    assert (status, key["name"], key["scopes"], key["valid"]) == (201, "ci", ["call"], True)
    assert mm.keys.find(made["secret"]).id == key["id"]
    assert (made["budget"]["scope"], made["budget"]["limit_usd"], made["budget"]["action"]) == (f"key:{key['id']}", 5.0, "stop")  # fmt: skip

    _, changed = api.send("PATCH", f"/api/keys/{key['id']}", {"rpm": 5, "expires_at": "2090-01-01"})
    assert (changed["key"]["rpm"], changed["key"]["models"]) == (5, ["sim-*"])
    assert changed["key"]["expires_at"].startswith("2090-01-01T00:00:00")
    _, changed = api.send("PATCH", f"/api/keys/{key['id']}", {"rpm": None})
    assert (changed["key"]["rpm"], changed["key"]["expires_at"] is None) == (None, False)

    _, listed = api.send("GET", "/api/keys")
    assert [each["id"] for each in listed["keys"]] == [key["id"]] and made["secret"] not in json.dumps(listed)

    assert api.send("DELETE", f"/api/keys/{key['id']}")[1]["key"]["valid"] is False
    assert api.send("DELETE", f"/api/keys/{key['id']}")[0] == 409
    assert api.send("DELETE", "/api/keys/k_none")[0] == 404


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "x", "scopes": []},
        {"name": "x", "scopes": ["root"]},
        {"name": "x", "rpm": 0},
        {"name": "x", "rpn": 5},
        {"name": "x", "expires_at": "tomorrow"},
        {"name": "x", "expires_at": "2020-01-01"},
        {"name": "x", "budget": {"limit_usd": 0}},
        {"name": "x", "budget": {"limit_usd": 5, "period": "year"}},
        {"name": "x", "tags": ["a b"]},
    ],
)
def test_a_key_that_cannot_be_is_refused_over_http(keyless: ModelManager, body: dict[str, Any]):
    assert Api(keyless).send("POST", "/api/keys", body)[0] == 422
    assert keyless.keys.all() == []


def test_whatever_a_key_asks_through_the_api_is_charged_to_it(mm: ModelManager):
    key, secret = mm.keys.create("ci", scopes=("admin",), tags=("team-a",))
    api = Api(mm, secret)
    variants = {"name": "x", "variant_a": "sim-fast", "variant_b": "sim-balanced"}
    experiment = api.send("POST", "/api/experiment", variants)[1]["experiment_id"]

    asked = [
        api.send("POST", "/api/generate", {"prompt": "Why?", "model": "sim-fast", "tags": ["mine"]}),
        api.send("POST", "/api/compare", {"prompt": "Why?", "models": ["sim-fast", "sim-fast"]}),
        api.send("POST", "/api/workflow", {"template": "translation", "input": "Hello", "model": "sim-fast"}),
        api.send("POST", f"/api/experiment/{experiment}/test", {"prompt": "Why?", "user_id": "u_1"}),
    ]

    assert [status for status, _ in asked] == [200, 200, 200, 200], asked
    calls = mm.log.latest()
    assert len(calls) == 1 + 2 + 3 + 1
    assert {call.key_id for call in calls} == {key.id}
    assert all(call.tags[0] == "team-a" for call in calls)
    assert next(call.tags for call in calls if call.source == "api" and not call.ref_id) == ("team-a", "mine")


def test_a_key_asks_no_model_that_it_may_not(mm: ModelManager):
    _, secret = mm.keys.create("ci", scopes=("admin",), models=("sim-fast", "exp:mine"))
    api = Api(mm, secret)
    bodies = {"variant_a": "sim-fast", "variant_b": "sim-balanced"}
    mine = api.send("POST", "/api/experiment", {"name": "mine", **bodies})[1]["experiment_id"]
    other = api.send("POST", "/api/experiment", {"name": "other", **bodies})[1]["experiment_id"]

    refused = [
        api.send("POST", "/api/generate", {"prompt": "Why?", "model": "sim-careful"}),
        api.send("POST", "/api/cost/estimate", {"prompt": "Why?", "model": "sim-careful"}),
        api.send("POST", "/api/compare", {"prompt": "Why?", "models": ["sim-fast", "sim-careful"]}),
        api.send("POST", "/api/workflow", {"template": "translation", "input": "Hello", "model": "sim-careful"}),
        api.send("POST", f"/api/experiment/{other}/test", {"prompt": "Why?", "user_id": "u_1"}),
        api.send("POST", f"/api/experiment/{other}/assign", {"user_id": "u_1"}),
    ]

    assert {(status, body["code"]) for status, body in refused} == {(403, "forbidden")}
    assert mm.log.latest() == []
    assert api.send("POST", f"/api/experiment/{mine}/test", {"prompt": "Why?", "user_id": "u_1"})[0] == 200
    assert api.send("POST", "/api/generate", {"prompt": "Why?", "model": "sim-fast"})[0] == 200


# Where a server may listen --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "is_near"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("[::1]", True),
        ("::ffff:127.0.0.1", True),
        ("", False),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.5", False),
        ("localhost.example.com", False),
        ("unix:///run/aimm.sock", False),
        ("2130706433", False),
    ],
)
def test_which_addresses_only_this_machine_can_reach(address: str, is_near: bool):
    assert is_loopback(address) is is_near


def test_a_server_for_others_needs_a_key_and_its_pages_a_login(open_manager: Open, sqlite_url: str):
    mm = open_manager(sqlite_url, takes_up=False)
    check_binding(mm, "localhost", has_dashboard=True, has_login=False)

    with pytest.raises(InvalidRequest, match=r"aimm keys create NAME; and set AIMM_DASHBOARD_PASSWORD"):
        check_binding(mm, "0.0.0.0", has_dashboard=True, has_login=False)
    key, _ = mm.keys.create("ci")
    check_binding(mm, "0.0.0.0", has_dashboard=False, has_login=False)
    check_binding(mm, "", has_dashboard=True, has_login=True)
    with pytest.raises(InvalidRequest, match=r"every address is open to others.*First set AIMM_DASHBOARD_PASSWORD"):
        check_binding(mm, "", has_dashboard=True, has_login=False)
    mm.keys.revoke(key.id)
    with pytest.raises(InvalidRequest, match="First make a key"):
        check_binding(mm, "0.0.0.0", has_dashboard=False, has_login=False)


def test_a_server_behind_a_proxy_needs_the_same(open_manager: Open, sqlite_url: str):
    mm = open_manager(sqlite_url, takes_up=False, require_key=True)

    with pytest.raises(InvalidRequest, match="AIMM_REQUIRE_KEY is set"):
        check_binding(mm, "localhost", has_dashboard=False, has_login=False)


@pytest.mark.parametrize(
    "password", ["short", "password", "passwordpassword", "Password1234!", "123456789012", "aaaaaaaaaaaaaa", "abcabcabcabc"]
)  # fmt: skip
def test_a_password_that_can_be_guessed_is_refused_and_not_echoed(password: str):
    with pytest.raises(InvalidRequest, match="can be guessed") as error:
        Settings.from_environ({"AIMM_DASHBOARD_PASSWORD": password})
    assert password not in str(error.value)


def test_settings_of_access_are_read_from_the_environment():
    settings = Settings.from_environ({
        "AIMM_DASHBOARD_PASSWORD": PASSWORD, "AIMM_REQUIRE_KEY": "1", "AIMM_LOGIN_ALLOWED": "Ada@example.com, @example.org",
    })  # fmt: skip

    assert settings.dashboard_password == PASSWORD and PASSWORD not in repr(settings)
    assert settings.require_key and settings.login_allowed == ("ada@example.com", "@example.org")
    with pytest.raises(InvalidRequest, match="must be 1 or 0"):
        Settings.from_environ({"AIMM_REQUIRE_KEY": "perhaps"})


def test_the_dashboard_ends_at_once_rather_than_let_strangers_in(tmp_path: Path):
    environ = {**os.environ, "DATABASE_URL": f"sqlite:///{tmp_path}/aimm.db", "OLLAMA_HOST": ""}
    command = [sys.executable, "-m", "streamlit", "run", "dashboard/app.py", "--server.port", str(free_port())]
    command += ["--server.address", "0.0.0.0"]

    ended = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60)

    assert ended.returncode == 1
    assert "The server does not start: 0.0.0.0 is open to others" in ended.stderr


@pytest.fixture(scope="module")
def open_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, Path]]:
    """A server that listens on all addresses: its own, a key of it, and the folder with its output."""
    folder = tmp_path_factory.mktemp("open")
    url = f"sqlite:///{folder}/aimm.db"
    with ModelManager.open(Settings(database_url=url), takes_up=False) as mm:
        secret = mm.keys.create("ci")[1]
    environ = {"DATABASE_URL": url, "STREAMLIT_SERVER_ADDRESS": "0.0.0.0", "AIMM_DASHBOARD_PASSWORD": PASSWORD}
    with running_server(folder, **environ) as address:
        yield address, secret, folder


def test_an_open_server_asks_for_the_key_and_logs_it_nowhere(open_server: tuple[str, str, Path]):
    address, secret, folder = open_server

    statuses = [
        httpx2.get(f"{address}/health").status_code,
        httpx2.get(f"{address}/v1/models").status_code,
        httpx2.get(f"{address}/v1/models?key={secret}").status_code,
        httpx2.get(f"{address}/api/models", headers={"x-api-key": secret}).status_code,
        httpx2.post(f"{address}/v1/chat/completions?key={secret}", content=b"{").status_code,
    ]

    assert statuses == [200, 401, 200, 403, 400]
    kept = b"".join(path.read_bytes() for path in folder.iterdir())
    assert secret.encode() not in kept


def test_the_dashboard_s_port_says_how_it_is_and_shows_its_figures_to_whoever_may(open_server: tuple[str, str, Path]):
    address, secret, _ = open_server

    assert httpx2.get(f"{address}/healthz").json() == {"status": "healthy"}
    assert httpx2.get(f"{address}/readyz").json() == {"ready": True}
    assert httpx2.get(f"{address}/metrics").json()["code"] == "authentication"
    assert httpx2.get(f"{address}/metrics", headers={"x-api-key": secret}).json()["code"] == "forbidden"


@pytest.mark.parametrize("path", ["/", "/v1/models", "/_stcore/stream"])
def test_the_dashboard_s_port_takes_no_endless_head(open_server: tuple[str, str, Path], path: str):
    port = int(open_server[0].rpartition(":")[2])

    heard = sent(port, f"GET {path} HTTP/1.1\r\nhost: localhost\r\na: ".encode(), *[b"x" * 65536] * 50)

    assert heard.startswith(b"HTTP/1.1 431 ")


# The login of the pages -----------------------------------------------------------------------------------------------


@pytest.fixture
def locked(open_manager: Open, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[AppTest]:
    """The dashboard with a password."""
    yield from _locked(open_manager(sqlite_url, dashboard_password=PASSWORD), monkeypatch)


def _locked(mm: ModelManager, monkeypatch: pytest.MonkeyPatch) -> Iterator[AppTest]:
    monkeypatch.setattr(login, "tries", login.Tries())  # wrong tries of one test must not keep the next one waiting
    st.cache_data.clear()
    session.use(mm)
    yield AppTest.from_file(str(ROOT / "dashboard" / "shell.py"), default_timeout=30)
    session.use(None)
    st.cache_data.clear()


def try_password(app: AppTest, password: str) -> None:
    app.text_input(key="login_password").input(password)
    button(app, "Log in").click().run()
    assert not app.exception


@pytest.mark.parametrize("page", ["playground", "monitoring", "log", "gateway", "settings"])
def test_nothing_of_a_page_shows_before_the_login(locked: AppTest, page: str):
    show(locked, page)

    assert [title.value for title in locked.title] == ["AI Model Manager"]
    assert texts(locked) == "AI Model Manager"
    assert not locked.sidebar.children and len(locked.button) == 1


def test_the_password_lets_in_and_logging_out_ends_it(locked: AppTest):
    show(locked, "settings")
    try_password(locked, "wrong")
    assert "not the password" in texts(locked) and "Database" not in texts(locked)

    try_password(locked, PASSWORD)
    assert locked.title[0].value == "Settings"

    button(locked, "Log out").click().run()
    assert locked.title[0].value == "AI Model Manager"


def test_an_open_server_without_any_login_shows_no_page(open_manager: Open, sqlite_url: str, monkeypatch: Any):
    for app in _locked(open_manager(sqlite_url, require_key=True), monkeypatch):
        show(app, "monitoring")

        assert "No login is set up" in texts(app)
        assert [title.value for title in app.title] == ["AI Model Manager"]


def test_from_the_fifth_wrong_try_on_each_is_followed_by_a_longer_wait():
    now = 0.0
    tries = login.Tries(lambda: now)

    refusals = [tries.refusal("wrong", PASSWORD) for _ in range(6)]
    assert refusals == ["That is not the password."] * 5 + ["Too many wrong tries. Try again in 1 s."]
    assert "Try again" in tries.refusal(PASSWORD, PASSWORD)  # else a guess could be told from a miss during the wait

    now = 1.0
    assert tries.refusal("wrong", PASSWORD) == "That is not the password."
    assert tries.refusal("wrong", PASSWORD) == "Too many wrong tries. Try again in 2 s."
    now = 3.0
    assert tries.refusal(PASSWORD, PASSWORD) == ""
    assert tries.refusal("wrong", PASSWORD) == "That is not the password."


@pytest.mark.parametrize(
    ("user", "allowed", "shows"),
    [
        ({"is_logged_in": False}, (), "login"),
        ({"is_logged_in": True, "email": "eve@evil.example"}, (), "page"),
        ({"is_logged_in": True, "email": "Ada@Example.com"}, ("ada@example.com",), "page"),
        ({"is_logged_in": True, "email": "bob@example.org"}, ("@example.org",), "page"),
        ({"is_logged_in": True, "email": "bob@example.org", "email_verified": False}, ("@example.org",), "refused"),
        ({"is_logged_in": True, "email": "eve@evil.example"}, ("@example.org",), "refused"),
        ({"is_logged_in": True}, ("@example.org",), "refused"),
    ],
)
def test_an_identity_provider_says_who_it_is_and_the_settings_who_may(
    open_manager: Open, sqlite_url: str, monkeypatch: pytest.MonkeyPatch, user: dict[str, Any], allowed: tuple[str, ...], shows: str
):  # fmt: skip
    # Authlib, which only the redirect to a provider needs, may be missing here.
    monkeypatch.setattr(login, "find_spec", lambda name: object())
    for app in _locked(open_manager(sqlite_url, login_allowed=allowed), monkeypatch):
        app.secrets["auth"] = {"client_id": "x", "redirect_uri": "http://localhost:8501/oauth2callback"}
        app.user = user
        show(app, "settings")

        found = "page" if app.title[0].value == "Settings" else "refused" if "may not look" in texts(app) else "login"
        assert found == shows
