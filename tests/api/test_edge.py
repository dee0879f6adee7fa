"""The edge: pages of other origins, addresses as they were meant, methods, compressed bodies, one model's name."""

import asyncio
import gzip
import json
import logging
import zlib
from collections.abc import Callable
from typing import Any

import anthropic
import brotli
import httpx2
import openai
import pytest
from backports import zstd
from google import genai

from api.access import Access
from api.edge.app import Edge
from api.edge.packing import Expanded
from api.edge.telling import Telling
from api.server import Server
from core import InvalidRequest
from core.config import Settings
from core.telemetry.process_log import JsonLines, requests
from tests.builders import GPT, Running
from tests.conftest import Open
from tests.fakes.vendors import Reply

PAGE = "https://app.example.com"
BODY = {"model": GPT, "messages": [{"role": "user", "content": "Hello"}]}
PREFLIGHT = {
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,x-stainless-os,anthropic-dangerous-direct-browser-access",
}
Asked = Callable[..., httpx2.Response]
http = httpx2.Client(timeout=60, trust_env=False)  # the first request to /api loads its library


@pytest.fixture
def asked(open_manager: Open, sqlite_url: str) -> Asked:
    """Ask an application whose settings name these origins."""

    def ask(origins: tuple[str, ...], method: str, path: str, *, is_local: bool = True, **more: Any) -> httpx2.Response:
        mm = open_manager(sqlite_url, takes_up=False, cors_origins=origins)
        app = Edge(Access(Server(lambda: mm), lambda: mm, is_local=is_local), lambda: mm)

        async def main() -> httpx2.Response:
            transport = httpx2.ASGITransport(app)
            async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
                return await client.request(method, path, **more)

        return asyncio.run(main())

    return ask


def test_a_named_origin_may_ask_and_read_all_headers(asked: Asked):
    first = asked((PAGE,), "OPTIONS", "/v1/messages", is_local=False, headers={"origin": PAGE, **PREFLIGHT})

    assert (first.status_code, first.content) == (204, b"")
    assert first.headers["access-control-allow-origin"] == PAGE
    assert first.headers["access-control-allow-headers"] == PREFLIGHT["access-control-request-headers"]
    assert "POST" in first.headers["access-control-allow-methods"]
    assert "Origin" in first.headers["vary"]

    body = {"model": "sim-fast", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 5}
    answer = asked((PAGE,), "POST", "/v1/chat/completions", json=body, headers={"origin": PAGE})

    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == PAGE
    exposed = answer.headers["access-control-expose-headers"].split(", ")
    assert {name for name in answer.headers if name.startswith("x-")} <= {*exposed}
    assert answer.headers["access-control-allow-credentials"] == "true"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/gemini/v1beta/models", "/api/models"])
def test_pages_read_errors_too(asked: Asked, path: str):
    refused = asked((PAGE,), "GET", path, is_local=False, headers={"origin": PAGE})

    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == PAGE
    assert "x-aimm-request-id" in refused.headers["access-control-expose-headers"]


@pytest.mark.parametrize("origins", [(), ("https://other.example.com",)])
def test_other_origins_are_told_nothing(asked: Asked, origins: tuple[str, ...]):
    for method in ("OPTIONS", "GET"):
        answer = asked(origins, method, "/v1/models", headers={"origin": PAGE, **PREFLIGHT})

        assert answer.status_code == 403
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_any_origin_may_ask_with_a_key_and_never_with_cookies(asked: Asked):
    first = asked(("*",), "OPTIONS", "/api/models", headers={"origin": PAGE, **PREFLIGHT})
    keyless = asked(("*",), "GET", "/api/models", headers={"origin": PAGE})
    literal = asked(("*",), "GET", "/api/models", headers={"origin": "*"})

    assert (first.status_code, first.headers["access-control-allow-origin"]) == (204, "*")
    assert "access-control-allow-credentials" not in first.headers
    assert (literal.status_code, "access-control-allow-credentials" in literal.headers) == (403, False)
    assert (keyless.status_code, keyless.headers["access-control-allow-origin"]) == (403, "*")


@pytest.mark.parametrize(
    "value", ["app.example.com", "https://app.example.com/x", "https://*.example.com", "null", "https://a.example:443"]
)
def test_what_is_no_origin_is_refused_at_the_start(value: str):
    with pytest.raises(InvalidRequest, match="AIMM_CORS_ORIGINS"):
        Settings.from_environ({"AIMM_CORS_ORIGINS": value})


def test_origins_as_people_write_them():
    given = {"AIMM_CORS_ORIGINS": "https://App.example.com, http://localhost:3000 tauri://localhost http://[::1]:5173"}

    assert len(Settings.from_environ(given).cors_origins) == 4


def test_clients_with_another_wires_base_url_are_answered(served: Running):
    for base in ("", "/", "/v1/", "/v1/v1", "//v1"):
        client = openai.OpenAI(base_url=f"{served.address}{base}", api_key="none", max_retries=0)
        assert client.chat.completions.create(**BODY).choices[0].message.content  # type: ignore[call-overload]
    for base in ("/v1", "//"):
        claude = anthropic.Anthropic(base_url=f"{served.address}{base}", api_key="none", max_retries=0)
        message: Any = claude.messages.create(max_tokens=9, **BODY)  # type: ignore[call-overload]
        assert message.content[0].text
    for base in ("", "/v1", "/gemini/", "/gemini/v1beta"):
        google = genai.Client(api_key="none", http_options={"base_url": f"{served.address}{base}"})
        assert google.models.generate_content(model=GPT, contents="Hello").text


def test_an_address_that_is_none_says_which_base_urls_there_are(served: Running):
    answer = http.post(f"{served.address}/v1/chat/completions/chat/completions", json=BODY)

    assert answer.status_code == 404
    assert f"{served.address}/v1 for OpenAI's clients" in answer.json()["error"]["message"]
    assert http.get(f"{served.address}/models").status_code == 404
    assert http.post(f"{served.address}/api/prompts/a/versions").status_code == 404  # a prompt takes posts, this none


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/chat/completions", "POST, OPTIONS"),
        ("HEAD", "/v1/messages", "POST, OPTIONS"),
        ("PUT", "/v1/models/a/b", "GET, HEAD, OPTIONS"),
        ("GET", "/gemini/v1/models/x:generateContent", "POST, OPTIONS"),
        ("DELETE", "/api/models", "GET, HEAD, OPTIONS"),
        ("POST", "/health", "GET, HEAD, OPTIONS"),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(served: Running, method: str, path: str, allowed: str):
    answer = http.request(method, served.address + path)
    asked = http.options(served.address + path)

    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
    assert (asked.status_code, asked.headers["allow"]) == (204, allowed)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/health",
        "/v1/models",
        "/v1/models/gpt-4o",
        "/gemini/v1beta/models",
        "/api/models",
        "/api/docs/",
        "/api/hello",
        "/metrics",
    ],
)
def test_head_is_answered_where_get_is(served: Running, path: str):
    answer = http.head(served.address + path)

    assert (answer.status_code, answer.content) == (200, b"")


def deflate(raw: bytes) -> bytes:
    return zlib.compress(raw)[2:-4]


@pytest.mark.parametrize(
    ("coding", "pack"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", deflate),
        ("zstd", zstd.compress),
        ("br", brotli.compress),
        ("identity", bytes),
    ],
)
def test_compressed_bodies(served: Running, coding: str, pack: Callable[[bytes], bytes]):
    long = json.dumps({**BODY, "messages": [{"role": "user", "content": "word " * 200_000}]}).encode()
    headers = {"content-encoding": coding, "content-type": "application/json"}
    for path in ("/v1/chat/completions", "/api/generate"):
        raw = long if path.startswith("/v1") else json.dumps({"model": GPT, "prompt": "Hello"}).encode()
        answer = http.post(served.address + path, content=pack(raw), headers=headers)

        assert answer.status_code == 200, answer.text
    assert served.vendor.requests[0]["body"]["messages"][0]["content"] == "word " * 200_000


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress, brotli.compress])
def test_a_small_body_that_expands_to_too_much_is_refused(served: Running, pack: Callable[[bytes], bytes]):
    coding = {gzip.compress: "gzip", zstd.compress: "zstd"}.get(pack, "br")
    answer = http.post(
        f"{served.address}/v1/messages", content=pack(b"0" * 40_000_000), headers={"content-encoding": coding}
    )

    assert (answer.status_code, answer.json()["error"]["type"]) == (413, "request_too_large")


def test_bodies_that_cannot_be_expanded(served: Running):
    def ask(coding: str, raw: bytes) -> httpx2.Response:
        return http.post(f"{served.address}/v1/chat/completions", content=raw, headers={"content-encoding": coding})

    unknown, broken, cut = ask("compress", b"x"), ask("gzip", b"{}"), ask("br", brotli.compress(b"{}" * 99)[:-3])

    assert (unknown.status_code, unknown.headers["accept-encoding"]) == (415, "gzip, deflate, zstd, br")
    assert "compress" in unknown.json()["error"]["message"]
    assert (broken.status_code, cut.status_code) == (400, 400)


def test_a_body_in_two_parts_a_byte_at_a_time_and_a_caller_who_leaves():
    raw = gzip.compress(b"Hello ") + gzip.compress(b"there.")
    messages = [
        {"type": "http.request", "body": raw[at : at + 1], "more_body": at < len(raw) - 1} for at in range(len(raw))
    ]
    messages.append({"type": "http.disconnect"})

    async def receive() -> Any:
        return messages.pop(0)

    async def main() -> tuple[bytes, str]:
        expanded, parts = Expanded(receive, "gzip"), b""
        while (message := await expanded())["more_body"]:
            parts += message["body"]
        return parts, (await expanded())["type"]

    assert asyncio.run(main()) == (b"Hello there.", "http.disconnect")


def test_one_model_by_the_name_of_its_vendor(served: Running):
    client = openai.OpenAI(base_url=f"{served.address}/v1", api_key="none", max_retries=0)
    for name in ("gpt-4o", "openai/gpt-4o", "openai:gpt-4o", "vllm/gpt-4o", "llama3.2:3b", "ollama/llama3.2:3b"):
        assert client.models.retrieve(name).id == name
    for name in ("openai/gpt-9", "claude/gpt-4o", "nobody/gpt-4o"):
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve(name)
    names = [model.id for model in client.models.list()]
    assert len(names) == len(set(names))
    for path in ("/v1/models/openai%2Fgpt-4o", "/gemini/v1beta/models/openai/gpt-4o"):
        assert http.get(served.address + path).status_code == 200


def test_a_key_sees_no_model_by_another_spelling(served: Running):
    _, secret, _ = served.mm.issuer.issue("claude-only", models=("claude-*",))
    client = openai.OpenAI(base_url=f"{served.address}/v1", api_key=secret, max_retries=0)

    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("openai/gpt-4o")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"detail": "Model is loading"}, "Model is loading"),
        (
            {"detail": [{"loc": ["body", "messages", 0, "role"], "msg": "Field required", "type": "missing"}]},
            "messages.0.role: Field required",
        ),
        (
            {"object": "error", "message": {"detail": [{"loc": ["body", "top_p"], "msg": "too large"}]}},
            "top_p: too large",
        ),
        ({"errors": [{"message": "no such tool"}]}, "no such tool"),
    ],
)
def test_a_vendors_fault_is_told_wherever_its_words_lie(served: Running, body: Any, told: str):
    served.vendor.next(Reply(status=422, body=body))
    answer = http.post(f"{served.address}/v1/chat/completions", json={**BODY, "model": "vllm/my-model"})

    assert (answer.status_code, answer.json()["error"]["message"]) == (422, told)


def test_a_line_of_the_log_names_nobody_of_whom_a_path_is(caplog: pytest.LogCaptureFixture):
    async def gone(*_: object) -> None:
        """A caller who left: nothing was answered."""

    caplog.set_level(logging.INFO, requests.name)
    for path in ("/api/users/ada@x.org/data", "/api/sessions/ada/7", "/api/users", "/v1/models"):
        asyncio.run(Telling(gone)({"type": "http", "method": "GET", "path": path}, gone, gone))  # type: ignore[arg-type]

    told = [json.loads(JsonLines().format(record)) for record in caplog.records]
    assert [line["path"] for line in told] == ["/api/users/…/data", "/api/sessions/…", "/api/users", "/v1/models"]
    assert {line["http_status"] for line in told} == {None}
