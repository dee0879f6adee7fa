"""Who may ask: keys and scopes, what browsers must not do, where a server may listen, and the login of the pages."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
import streamlit as st
from sqlalchemy import text
from streamlit import config
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.secrets import Secrets
from streamlit.runtime.uploaded_file_manager import UploadedFileRec
from streamlit.testing.v1 import AppTest
from streamlit.web.server.starlette.starlette_app_utils import create_signed_value
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from api.access import Access, Nearby, is_behind_access, scope_needed
from api.gateway.exchange import KEY
from api.headers import Headers
from api.rest.app import make_app
from api.server import Server
from core import InvalidRequest, ModelManager
from core.config import Settings
from core.domain.evaluation.dataset import DatasetRow
from core.domain.workflow import Step, Workflow
from core.keys import logins
from core.keys.rules import new_secret
from core.listen_policy import check_binding, is_loopback
from dashboard import login, login_gate, process
from tests.api.test_request_heads import sent
from tests.builders import statements
from tests.conftest import ROOT, Open, free_port, fresh, running_server
from tests.pages import show

pytestmark = pytest.mark.usefixtures("pages_as_served")
PASSWORD = "correct horse battery"
Answer = tuple[int, Any, dict[str, Any]]


@pytest.fixture
def mm(open_manager: Open, sqlite_url: str) -> ModelManager:
    return open_manager(sqlite_url, takes_up=False)


@pytest.fixture(scope="module")
def keyless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelManager]:
    """A manager that nobody makes a key of, for all tests of the module."""
    settings = Settings(database_url=fresh(tmp_path_factory.mktemp("keyless")))
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
        ("POST", "/api/comparisons/c_1/vote", "call"),
        ("POST", "/api/comparisons/c_1/resume", "call"),
        ("POST", "/api/runs/r_1/resume", "call"),
        ("GET", "/api/comparisons/c_1/votes", "read"),
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
    asking = {"generate", "workflow", "compare", "evaluations", "estimate", "test", "assign", "record", "vote"}

    for path, methods in make_app(lambda: keyless).openapi()["paths"].items():
        for method in map(str.upper, methods):
            is_tried = path.startswith(("/alert-rules/", "/vendors/"))  # by whoever may change it
            asks = (path.rsplit("/", 1)[1] in asking and not is_tried) or path.startswith(
                ("/comparisons/{comparison_id}/", "/runs/{run_id}/", "/evaluations/{run_id}/")
            )
            is_read = method == "GET" and not path.startswith("/audit")  # it names people
            expected = "read" if is_read else "call" if asks else "admin"
            assert scope_needed(method, f"/api{path}") == expected, path


WIRES = [
    ("POST", "/v1/chat/completions"), ("POST", "/v1/embeddings"), ("POST", "/v1/feedback"), ("GET", "/v1/models"),
    ("GET", "/v1/models/x"), ("POST", "/gemini/v1beta/models/x:generateContent"), ("GET", "/gemini/v1beta/models"),
    ("POST", "/gemini/v1beta/models/x:streamGenerateContent"), ("POST", "/gemini/v1beta/models/x:countTokens"),
]  # fmt: skip


def test_every_route_lets_in_the_keys_with_its_scope_and_no_others(mm: ModelManager):
    secrets = {scope: mm.keys.create(scope, scopes=(scope,))[1] for scope in ("call", "read", "admin")}
    paths = make_app(lambda: mm).openapi()["paths"]
    routes = [(method.upper(), f"/api{path}") for path, methods in paths.items() for method in methods]
    routes += [*WIRES, ("GET", "/metrics"), ("GET", "/openapi.json"), ("GET", "/api/docs"), ("PUT", "/v1/models")]

    for method, path in routes:
        if path == "/api/health":
            continue
        # Who may call sees the work that it has begun itself; the route looks whose it is.
        own = r".*/{(run_id|comparison_id|session_id)}(/(events|cells|verdict|report))?|/api/(logs(/.*)?|sessions)"
        is_own = method == "GET" and re.fullmatch(own, path) is not None
        allowed = {scope_needed(method, path), "admin", *(["call"] if is_own else [])}
        for scope, secret in secrets.items():
            status = ask(remote(mm), path, method, x_api_key=secret)[0]
            assert status == (200 if scope in allowed else 403), (method, path, scope)
        assert ask(remote(mm), path, method)[0] == 401, (method, path)


@pytest.mark.parametrize(
    ("query", "headers", "left"),
    [
        (b"", {"authorization": "Bearer KEY"}, b""),
        (b"", {"authorization": "bearer  KEY"}, b""),
        (b"", {"x_api_key": "KEY"}, b""),
        (b"", {"x_goog_api_key": "KEY"}, b""),
        (b"", {"api_key": "KEY"}, b""),
        (b"", {"authorization": "KEY"}, b""),
        (b"", {"authorization": 'Token "KEY"'}, b""),
        (b"", {"authorization": "Bearer\tKEY"}, b""),
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
    """On this machine too: there it would else be as if its limits did not hold."""
    key, secret = mm.keys.create("ci")
    given = {name: value.replace("KEY", secret) for name, value in headers.items()}

    status, _, scope = ask(local(mm), "/v1/models", query=query.replace(b"KEY", secret.encode()), **given)

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


@pytest.mark.parametrize("header", ["x_forwarded_for", "x_forwarded_host", "x_real_ip", "forwarded", "via"])
def test_what_a_proxy_passes_on_is_not_from_this_machine(mm: ModelManager, header: str):
    """Proxies often name themselves as the host."""
    _, secret = mm.keys.create("ci", scopes=("read",))
    passed_on = {header: "203.0.113.9"}

    assert ask(local(mm), **passed_on)[0] == 403
    assert ask(local(mm), x_api_key=secret, **passed_on)[0] == 200
    assert ask(Nearby(_served, is_local=True), "/monitoring", **passed_on)[0] == 403
    assert ask(Nearby(_served, is_local=True, needs_host=lambda: False), "/monitoring", **passed_on)[0] == 200


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


def test_a_known_key_asks_the_database_nothing(open_manager: Open, database_url: str):
    mm = open_manager(database_url, takes_up=False)  # nothing else is asked in the background
    _, secret = mm.keys.create("ci")
    assert ask(remote(mm), "/v1/chat/completions", "POST", authorization=f"Bearer {secret}")[0] == 200

    with statements() as asked:
        assert ask(remote(mm), "/v1/chat/completions", "POST", authorization=f"Bearer {secret}")[0] == 200

    assert asked == []


# The API with keys ----------------------------------------------------------------------------------------------------


class Api:
    """The API in front of a manager of this process, asked with one key or none."""

    def __init__(self, mm: ModelManager, secret: str = "") -> None:
        self._app = Access(Server(lambda: mm), lambda: mm, is_local=True)
        self._headers = {"authorization": f"Bearer {secret}"}

    def send(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        async def go() -> httpx2.Response:
            transport = httpx2.ASGITransport(app=self._app)
            async with httpx2.AsyncClient(
                transport=transport, base_url="http://localhost", headers=self._headers, timeout=60
            ) as client:
                return await client.request(method, path, json=body)

        response = asyncio.run(go())
        return response.status_code, response.json()


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

    steps = (Step(name="a", prompt="{input}", model="sim-careful"),)
    mm.workflows.save(Workflow(name="one", description="", steps=steps))
    compared = Api(mm).send("POST", "/api/compare", {"prompt": "Why?", "models": ["sim-careful", "sim-balanced"]})[1]
    run_id = Api(mm).send("POST", "/api/workflow", {"template": "one", "input": "Hi"})[1]["workflow"]["run_id"]
    mm.datasets.save("cases", [DatasetRow(variables={"input": "Why?"})])
    evaluation = {"dataset": "cases", "models": ["sim-careful"]}
    evaluated = Api(mm).send("POST", "/api/evaluations", evaluation)[1]["evaluation"]["id"]
    mm.evaluations.wait(evaluated, 30)
    made = mm.log.count()
    refused = [
        api.send("POST", "/api/evaluations", evaluation),
        api.send("POST", "/api/evaluations/estimate", evaluation),
        *(
            api.send("POST", f"/api/evaluations/{evaluated}/{word}", {})
            for word in ("stop", "cancel", "resume", "grade", "judge")
        ),
        api.send("POST", f"/api/runs/{run_id}/stop"),
        api.send("POST", f"/api/runs/{run_id}/resume"),
        api.send("POST", f"/api/comparisons/{compared['comparison']['id']}/vote", {"choice": "a"}),
        api.send("POST", f"/api/comparisons/{compared['comparison']['id']}/stop"),
        api.send("POST", f"/api/comparisons/{compared['comparison']['id']}/resume"),
        api.send("POST", "/api/generate", {"prompt": "Why?", "model": "sim-careful"}),
        api.send("POST", "/api/cost/estimate", {"prompt": "Why?", "model": "sim-careful"}),
        api.send("POST", "/api/compare", {"prompt": "Why?", "models": ["sim-fast", "sim-careful"]}),
        api.send("POST", "/api/workflow", {"template": "translation", "input": "Hello", "model": "sim-careful"}),
        api.send("POST", f"/api/experiment/{other}/test", {"prompt": "Why?", "user_id": "u_1"}),
        api.send("POST", f"/api/experiment/{other}/assign", {"user_id": "u_1"}),
        api.send("POST", f"/api/experiment/{other}/record", {"variant": "variant_a", "success": True}),
        api.send("POST", f"/api/experiment/{other}/record", {"results": [{"variant": "variant_a", "rating": 5}]}),
    ]

    assert {(status, body["code"]) for status, body in refused} == {(403, "forbidden")}
    # Whatever a key with `call` may ask has been tried: a route that is added must be, too.
    routes = make_app(lambda: mm).openapi()["paths"]
    assert {path for path in routes if scope_needed("POST", f"/api{path}") == "call"} == {
        "/generate", "/cost/estimate", "/compare", "/workflow", "/evaluations", "/evaluations/estimate",
        *(f"/evaluations/{{run_id}}/{word}" for word in ("stop", "cancel", "resume", "grade", "judge")),
        *(f"/comparisons/{{comparison_id}}/{word}" for word in ("vote", "stop", "resume")), *(f"/runs/{{run_id}}/{word}" for word in ("stop", "resume")), *(f"/experiment/{{experiment_id}}/{word}" for word in ("test", "assign", "record")),
    }  # fmt: skip
    assert mm.log.count() == made
    assert mm.experiments.report(other).analysis.results[0].n_outcomes == 0
    assert api.send("POST", f"/api/experiment/{mine}/record", {"variant": "variant_a", "success": True})[0] == 200
    assert api.send("POST", f"/api/experiment/{mine}/test", {"prompt": "Why?", "user_id": "u_1"})[0] == 200
    assert api.send("POST", "/api/generate", {"prompt": "Why?", "model": "sim-fast"})[0] == 200


def test_a_key_resumes_the_run_that_it_asked_for(mm: ModelManager):
    api = Api(mm, mm.keys.create("ci", scopes=("call", "read"))[1])
    body = {"template": "translation", "input": "Hello", "model": "sim-fast", "max_cost_usd": 0.000001}
    paused = api.send("POST", "/api/workflow", body)[1]["workflow"]
    path = f"/api/runs/{paused['run_id']}"

    status, resumed = api.send("POST", f"{path}/resume", {"max_cost_usd": 1})
    ended = mm.workflows.wait(paused["run_id"], timeout_s=20)

    assert (paused["status"], status, resumed["run"]["run_id"]) == ("paused", 200, paused["run_id"])
    assert ended.status == "succeeded"
    assert [api.send("POST", f"{path}/{deed}")[0] for deed in ("stop", "resume")] == [409, 409]
    assert [api.send("POST", f"/api/runs/r_none/{deed}")[0] for deed in ("stop", "resume")] == [404, 404]


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


@pytest.mark.parametrize(
    ("secrets", "words"),
    [
        ("[auth]\nclient_id = 'c\n", "cannot be read as TOML"),
        ("[auth]\nclient_id = 'c'\n", "lets nobody log in"),  # Authlib is not installed here
        ("[auth]\nredirect_uri = 'https://x'\n", "lets nobody log in"),
        ("GEMINI_API_KEY = ''\n", ""),
    ],
)
def test_secrets_that_mean_a_login_and_give_none_are_refused(
    secrets: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "secrets.toml").write_text(secrets)
    monkeypatch.setenv("GEMINI_API_KEY", "")  # Streamlit puts secrets into the environment
    monkeypatch.setattr(login, "find_spec", lambda name: None)
    monkeypatch.setattr(st, "secrets", Secrets())
    before = st.get_option("secrets.files")
    config.set_option("secrets.files", [str(tmp_path / "secrets.toml")])
    try:
        with pytest.raises(InvalidRequest, match=words) if words else nullcontext():
            login.check_secrets()
    finally:
        config.set_option("secrets.files", before)


def test_the_dashboard_ends_at_once_rather_than_let_strangers_in(tmp_path: Path):
    environ = {**os.environ, "DATABASE_URL": fresh(tmp_path), "OLLAMA_HOST": ""}
    command = [sys.executable, "-m", "streamlit", "run", "dashboard/app.py", "--server.port", str(free_port())]
    command += ["--server.address", "0.0.0.0"]

    ended = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120)

    assert ended.returncode == 1
    assert "The server does not start: 0.0.0.0 is open to others" in ended.stderr


@pytest.fixture(scope="module")
def open_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, Path]]:
    """A server that listens on all addresses: its own, a key of it, and the folder with its output."""
    folder = tmp_path_factory.mktemp("open")
    url = fresh(folder)
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

UPLOAD = "/_stcore/upload_file/{session}/{file}"


class Pages:
    """What stands before Streamlit, with a manager of this process, as a browser that keeps cookies asks it."""

    def __init__(self, mm: ModelManager, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            login_gate, "tries", login.Tries()
        )  # wrong tries of one test must not keep the next one waiting
        process.use(mm)
        self.app = Headers(login_gate.Gate(_served, is_elsewhere=is_behind_access), login_gate.policy())
        self.cookies: dict[str, str] = {}

    def ask(
        self, method: str, path: str, content: bytes = b"", *, client: str = "10.0.0.1", scheme: str = "http", **headers: str
    ) -> httpx2.Response:  # fmt: skip
        async def go() -> httpx2.Response:
            transport = httpx2.ASGITransport(app=self.app, client=(client, 5))
            async with httpx2.AsyncClient(transport=transport, base_url=f"{scheme}://aimm.example") as browser:
                sent = {"cookie": "; ".join(f"{n}={v}" for n, v in self.cookies.items()), **headers}
                return await browser.request(method, path, content=content, headers=sent)

        answer = asyncio.run(go())
        for name, value in answer.cookies.items():
            self.cookies[name] = value
        return answer

    def log_in(self, password: str = PASSWORD, path: str = "/login", **more: Any) -> httpx2.Response:
        return self.ask("POST", path, f"password={quote(password)}".encode(), **more)

    def is_in(self, **cookies: str) -> bool:
        self.cookies |= cookies
        return self.ask("GET", "/monitoring").status_code == 200


@pytest.fixture
def locked(open_manager: Open, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pages]:
    """The pages of a server with a password."""
    yield Pages(open_manager(sqlite_url, takes_up=False, dashboard_password=PASSWORD), monkeypatch)
    process.use(None)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", UPLOAD), ("POST", UPLOAD), ("DELETE", UPLOAD), ("OPTIONS", UPLOAD), ("PUT", "/base" + UPLOAD),
        ("GET", "/media/abc.png"), ("GET", "/component/x/y.js"), ("GET", "/_stcore/bidi-components/x/y.js"),
        ("GET", "/_stcore/metrics"), ("GET", "/_stcore/host-config"), ("POST", "/_stcore/agent/interact"),
        ("POST", "/_stcore/agent/mcp"), ("GET", "/_stcore/stream"), ("GET", "/_stcore/script-health-check"),
        ("GET", "/static/js/x.js"), ("POST", "/"), ("PUT", "/monitoring"), ("GET", "/app/static/x"), ("PATCH", "//login"),
    ],
)  # fmt: skip
def test_before_the_login_nothing_of_streamlit_is_reached(locked: Pages, method: str, path: str):
    answer = locked.ask(method, path, b"x" * 1000)

    assert answer.status_code == 401
    assert answer.content != b"{}"


@pytest.mark.parametrize("path", ["/", "/monitoring", "/log?call=g_1&x=%2F", "/a/b"])
def test_a_page_leads_to_the_login_and_the_login_back_to_it(locked: Pages, path: str):
    first = locked.ask("GET", path)
    assert first.status_code == 303
    shown = locked.ask("GET", first.headers["location"])
    assert "AI Model Manager" in shown.text and 'type="password"' in shown.text and shown.status_code == 200

    assert locked.log_in(path=first.headers["location"]).headers["location"] == path
    assert locked.ask("GET", path).content == b"{}"


@pytest.mark.parametrize(
    "wanted", ["//evil.example", "/\\evil.example", "https://evil.example", "evil", "/\nset-cookie: a=b", "/login", "/%09/x", ""]
)  # fmt: skip
def test_the_login_leads_to_pages_of_this_server_only(locked: Pages, wanted: str):
    location = locked.log_in(path=f"/login?next={quote(wanted)}").headers["location"]

    assert location == "/" or (location.startswith("/%09"))


def test_health_and_the_api_stand_beside_the_login(locked: Pages):
    for path in ("/health", "/healthz", "/readyz", "/_stcore/health", "/api/models", "/v1/models", "/metrics"):
        assert locked.ask("GET", path).content == b"{}"


def test_a_socket_of_the_pages_needs_the_login_and_ends_with_it(locked: Pages):
    def opened(*then: Any) -> list[dict[str, Any]]:
        """What is sent over a socket that the app accepts and answers once for each message."""
        sent: list[dict[str, Any]] = []
        coming = [{"type": "websocket.connect"}, *then]

        async def app(_scope: Any, receive: Any, send: Any) -> None:
            while (message := await receive())["type"] != "websocket.disconnect":
                is_first = message["type"] == "websocket.connect"
                await send({"type": "websocket.accept"} if is_first else {"type": "websocket.send", "bytes": b"x"})

        async def receive() -> dict[str, Any]:
            message = coming.pop(0)
            return message() if callable(message) else message

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        cookie = "; ".join(f"{name}={value}" for name, value in locked.cookies.items()).encode()
        scope = {"type": "websocket", "path": "/_stcore/stream", "headers": [(b"cookie", cookie)], "query_string": b""}
        asyncio.run(login_gate.Gate(app, is_elsewhere=is_behind_access)(scope, receive, send))
        return [message["type"] for message in sent]

    asked = {"type": "websocket.receive", "bytes": b"x"}
    assert opened(asked, {"type": "websocket.disconnect"}) == ["websocket.close"]
    locked.log_in()
    assert opened(asked, {"type": "websocket.disconnect"}) == ["websocket.accept", "websocket.send"]

    def ended() -> dict[str, Any]:
        mm = process.manager()
        mm.logins.end(locked.cookies[login.COOKIE], PASSWORD)
        return asked

    assert opened(asked, ended, asked) == ["websocket.accept", "websocket.send", "websocket.close"]


def test_the_cookie_of_a_login_is_for_this_server_alone(locked: Pages):
    plain, secure = locked.log_in(), locked.log_in(scheme="https")

    for answer, is_secure in ((plain, False), (secure, True)):
        words = [word.strip().lower() for word in answer.headers["set-cookie"].split(";")]
        assert {"httponly", "samesite=lax", "path=/"} <= set(words) and ("secure" in words) is is_secure
    assert PASSWORD not in plain.headers["set-cookie"]


@pytest.mark.parametrize("spoil", [lambda t: t[:-1] + ("A" if t[-1] != "A" else "B"), lambda t: "", lambda t: "A" * 43, lambda t: t * 2, lambda t: "%00"])  # fmt: skip
def test_a_cookie_that_was_not_given_opens_nothing(locked: Pages, spoil: Any):
    locked.log_in()
    token = locked.cookies[login.COOKIE]
    assert locked.is_in()

    assert not locked.is_in(**{login.COOKIE: spoil(token)})


def test_a_login_outlives_a_restart_and_ends_with_the_password_a_logout_and_its_time(
    open_manager: Open, database_url: str, monkeypatch: pytest.MonkeyPatch
):
    def restarted(password: str) -> Pages:
        return Pages(open_manager(database_url, takes_up=False, dashboard_password=password), monkeypatch)

    first = restarted(PASSWORD)
    first.log_in()
    token = first.cookies[login.COOKIE]
    assert restarted(PASSWORD).is_in(**{login.COOKIE: token})
    assert not restarted(PASSWORD + "!").is_in(**{login.COOKIE: token})

    again = restarted(PASSWORD)
    again.cookies[login.COOKIE] = token
    out = again.ask("GET", "/logout")
    assert out.headers["location"] == "/login" and 'aimm_login="";' in out.headers["set-cookie"]
    assert not again.is_in(**{login.COOKIE: token})  # also for whoever copied it
    assert not restarted(PASSWORD).is_in(**{login.COOKIE: token})

    monkeypatch.setattr("core.keys.logins.LOGIN_LIFE_S", 0)
    again.log_in()
    assert not again.is_in()
    process.use(None)


def test_another_site_neither_logs_in_nor_out(locked: Pages):
    assert locked.log_in(origin="https://evil.example").status_code == 403
    locked.log_in(origin="http://aimm.example")
    assert locked.ask("GET", "/logout", **{"sec-fetch-site": "cross-site"}).status_code == 403
    assert locked.is_in()


def test_a_login_that_is_no_form_is_no_try(locked: Pages):
    for content in (b"", b"x" * 100_000, b"password", b"&" * 8000, b"\xff\xfe", b"password=%ff"):
        assert locked.ask("POST", "/login", content, client="10.0.0.9").status_code in (403, 429)


def test_wrong_passwords_are_counted_by_address(locked: Pages):
    tried = [locked.log_in("wrong").status_code for _ in range(6)]
    assert tried == [403] * 5 + [429]
    assert locked.log_in().status_code == 429  # else a guess could be told from a miss during the wait
    assert locked.log_in(client="10.0.0.2", **{"x-forwarded-for": "10.0.0.1"}).status_code == 303

    for n in range(5):
        locked.log_in("wrong", client=f"2001:db8::{n}")
    assert locked.log_in(client="2001:db8::ffff").status_code == 429  # anybody has a whole network of those
    assert locked.log_in(client="2001:db8:1::1").status_code == 303


def test_from_the_fifth_wrong_try_on_each_is_followed_by_a_longer_wait():
    now = 0.0
    tries = login.Tries(lambda: now)

    refusals = [tries.refusal("a", "wrong", PASSWORD) for _ in range(6)]
    assert refusals == ["That is not the password."] * 5 + ["Too many wrong tries. Try again in 1 s."]

    now = 1.0
    assert tries.refusal("a", "wrong", PASSWORD) == "That is not the password."
    assert tries.refusal("a", "wrong", PASSWORD) == "Too many wrong tries. Try again in 2 s."
    now = 3.0
    assert tries.refusal("a", PASSWORD, PASSWORD) == ""
    assert tries.refusal("a", "wrong", PASSWORD) == "That is not the password."


def test_who_is_in_stays_so_while_the_database_cannot_be_read_and_others_are_told(
    locked: Pages, monkeypatch: pytest.MonkeyPatch
):
    locked.log_in()
    assert locked.is_in()
    with process.manager().database.write() as connection:
        connection.execute(text("DROP TABLE logins"))
    monkeypatch.setattr(logins, "FRESH_S", 0)

    assert locked.is_in()
    locked.cookies["aimm_login"] = "x" * 43
    told = [locked.ask("GET", "/monitoring"), locked.ask("PUT", UPLOAD), locked.log_in()]
    assert [each.status_code for each in told] == [503] * 3
    assert all("The database cannot be used" in each.text and "nosniff" in str(each.headers) for each in told)


def test_many_addresses_try_one_password_a_second_and_a_known_browser_waits_for_none_of_them():
    now = 0.0
    tries = login.Tries(lambda: now)
    assert tries.refusal("proxy", PASSWORD, PASSWORD, "ada") == ""

    told = [tries.refusal(f"10.0.{n // 250}.{n % 250}", "wrong", PASSWORD) for n in range(login.FREE_IN_ALL + 50)]
    assert [text for text in told if text != "That is not the password."] == [
        "Too many wrong tries. Try again in 1 s."
    ] * 49
    for _ in range(9):
        tries.refusal("proxy", "wrong", PASSWORD)

    assert "Too many" in tries.refusal("proxy", PASSWORD, PASSWORD, "bob")
    assert tries.refusal("proxy", PASSWORD, PASSWORD, "ada") == ""
    assert [tries.refusal("elsewhere", "wrong", PASSWORD, "ada") for _ in range(6)][5].startswith("Too many")
    now = 300.0
    assert tries.refusal("proxy", PASSWORD, PASSWORD, "bob") == ""


def test_an_open_server_without_any_login_shows_no_page(open_manager: Open, sqlite_url: str, monkeypatch: Any):
    pages = Pages(open_manager(sqlite_url, takes_up=False, require_key=True), monkeypatch)

    assert "No login is set up" in pages.ask("GET", "/login").text
    assert pages.ask("GET", "/monitoring").status_code == 303
    assert pages.log_in("").status_code == 403
    process.use(None)


@pytest.mark.parametrize("path", ["/", "/login"])
def test_pages_say_what_may_be_loaded_and_who_may_frame_them(locked: Pages, path: str):
    headers = locked.ask("GET", path).headers

    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["img-src"] == "'self' data: blob:" and policy["frame-ancestors"] == "'self'"
    assert "unsafe" not in policy["script-src"] and policy["default-src"] == "'self'"
    assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "same-origin"


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
        ({"is_logged_in": True, "email": "bob@example.org", "email_verified": "false"}, ("@example.org",), "refused"),
        # Anybody has an account of Google's, and of Microsoft's with any address.
        (
            {"is_logged_in": True, "provider": "google", "email": "eve@evil.example", "email_verified": True},
            (),
            "refused",
        ),
        (
            {"is_logged_in": True, "provider": "google", "email": "bob@example.org", "email_verified": True},
            ("@example.org",),
            "page",
        ),
        ({"is_logged_in": True, "provider": "entra", "email": "bob@example.org"}, ("@example.org",), "refused"),
        ("forged", (), "login"),
    ],
)
def test_an_identity_provider_says_who_it_is_and_the_settings_who_may(
    open_manager: Open, sqlite_url: str, monkeypatch: pytest.MonkeyPatch, user: Any, allowed: tuple[str, ...], shows: str
):  # fmt: skip
    # Authlib, which only the redirect to a provider needs, may be missing here.
    monkeypatch.setattr(login, "providers", lambda: ["default"])
    monkeypatch.setattr(login, "get_cookie_secret", lambda: "s" * 32)
    where = {
        "google": "https://accounts.google.com/.well-known/x",
        "entra": "https://login.microsoftonline.com/common/x",
    }
    monkeypatch.setattr(login, "_metadata_address", lambda provider: where.get(provider, ""))
    pages = Pages(open_manager(sqlite_url, takes_up=False, login_allowed=allowed), monkeypatch)
    secret = "t" * 32 if user == "forged" else "s" * 32
    value = json.dumps({"is_logged_in": True} if user == "forged" else user)
    pages.cookies["_streamlit_user"] = create_signed_value(secret, "_streamlit_user", value).decode()

    told = pages.ask("GET", "/login").text
    found = "page" if pages.is_in() else "refused" if "may not look" in told else "login"
    assert found == shows
    process.use(None)


@pytest.mark.parametrize("page", ["playground", "monitoring", "log", "gateway", "settings"])
def test_a_page_draws_nothing_for_who_has_no_login_even_without_what_stands_before_it(locked: Pages, page: str):
    app = AppTest.from_file(str(ROOT / "dashboard" / "shell.py"), default_timeout=120)
    st.cache_data.clear()
    show(app, page)

    assert [title.value for title in app.title] == ["AI Model Manager"]
    assert not app.sidebar.children and not app.button


# Uploads


def test_a_visitor_of_the_login_uploads_nothing(open_server: tuple[str, str, Path]):
    address, secret, _ = open_server
    body = b"x" * 5_000_000

    for headers in ({}, {"x-api-key": secret}, {"cookie": "aimm_login=" + "A" * 43}):
        for method in ("PUT", "POST", "DELETE", "OPTIONS"):
            path = f"{address}/_stcore/upload_file/session/file"
            assert httpx2.request(method, path, content=body, headers=headers).status_code == 401
    with pytest.raises(InvalidStatus, match="403"):
        connect(f"{address.replace('http', 'ws')}/_stcore/stream")


def test_uploads_are_bounded_of_a_session_and_in_all(monkeypatch: pytest.MonkeyPatch):
    files = MemoryUploadedFileManager("/upload")
    sessions = {"a", "b", "c", "d"}
    infos = SimpleNamespace(get_session_info=lambda each: each if each in sessions else None)
    running = SimpleNamespace(uploaded_file_mgr=files, _session_mgr=infos)
    monkeypatch.setattr(login_gate.runtime, "get_instance", lambda: running)
    monkeypatch.setattr(login_gate, "MAX_SESSION_BYTES", 100)
    monkeypatch.setattr(login_gate, "MAX_UPLOADED_BYTES", 250)

    async def kept(scope: Any, _receive: Any, send: Any) -> None:
        *_, session_id, file_id = scope["path"].split("/")
        n_bytes = int(dict(scope["headers"])[b"content-length"])
        files.add_file(session_id, UploadedFileRec(file_id, "f", "text/plain", b"x" * n_bytes))
        await _served(scope, _receive, send)

    uploads = login_gate.Uploads(kept)

    def put(session_id: str, file_id: str, n_bytes: int | str) -> int:
        sized = {"content-length": str(n_bytes)} if n_bytes != "" else {}
        return ask(uploads, f"/_stcore/upload_file/{session_id}/{file_id}", "PUT", **sized)[0]

    assert [put("a", f"f{n}", 40) for n in range(3)] == [200, 200, 413]
    assert put("a", "whole", "") == 413 and put("a", "odd", "9" * 30) == 413  # as much as may come
    assert [put("b", "f", 90), put("c", "f", 90)] == [200, 413]
    files.remove_session_files("a")  # as Streamlit does when the session ends
    assert put("c", "f", 90) == 200
    sessions.discard("d")
    assert put("d", "late", 10) == 200 and "d" not in files.file_storage
    assert not uploads._coming


def test_pages_are_not_for_other_hosts_names():
    pages = Nearby(_served, is_local=True)
    for given, status in (
        ({"host": "evil.example:8501"}, 403), ({"origin": "http://evil.example"}, 403), ({"origin": "null"}, 403),
        ({"host": "127.0.0.1:8501", "origin": "http://localhost:8501"}, 200), ({}, 200),
    ):  # fmt: skip
        assert ask(pages, "/monitoring", **given)[0] == status
    assert ask(pages, "/healthz", host="evil.example")[0] == 200
    assert ask(pages, "/api/models", host="evil.example")[0] == 200  # Access looks at it, and takes a key
    assert ask(Nearby(_served, is_local=True, needs_host=lambda: False), "/", host="aimm.example")[0] == 200

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    scope = {"type": "websocket", "path": "/_stcore/stream", "server": ("127.0.0.1", 1), "headers": [(b"host", b"evil.example")]}  # fmt: skip
    asyncio.run(pages(scope, receive, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]
