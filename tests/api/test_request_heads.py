"""What the server refuses before an application hears of it: heads that are too large, too many, too slow."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import uvicorn
from websockets.sync.client import connect

from api import limits
from api.limits import MAX_HEAD_BYTES, MAX_HEADERS, LimitedProtocol

GET = b"GET / HTTP/1.1\r\nhost: localhost\r\n"
LAST = GET + b"connection: close\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
EXTENDED = b"POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Tell how many headers and bytes of a body came; `/slow` takes its time. A WebSocket stays until its client goes."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass
        return
    if scope["path"] == "/slow":
        await asyncio.sleep(0.3)
    if scope["path"] in ("/early", "/large"):  # answered before the body's end
        n_bytes = 7 if scope["path"] == "/early" else 64 * 1024 * 1024
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % n_bytes)]})
        await send({"type": "http.response.body", "body": b"x" * n_bytes})
        return
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message["body"])
        more = message["more_body"]
    text = f"{len(scope['headers'])} headers, {size} bytes;".encode()
    head = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(text)).encode())]}
    await send(head)
    await send({"type": "http.response.body", "body": text})


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    config = uvicorn.Config(echo, "127.0.0.1", 0, log_level="error", lifespan="off", http=LimitedProtocol)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join(10)


def sent(port: int, *parts: bytes, wait_s: float = 0.0, timeout_s: float = 10.0) -> bytes:
    """All that comes back for these bytes, until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout_s) as line:
        for part in parts:
            line.sendall(part)
            time.sleep(wait_s)
        heard = b""
        while piece := line.recv(65536):
            heard += piece
        return heard


@pytest.mark.parametrize(
    ("raw", "statuses"),
    [
        pytest.param([LAST], [200], id="a plain request"),
        pytest.param([GET + b"a: " + b"x" * 60_000 + b"\r\nconnection: close\r\n\r\n"], [200], id="a large head"),
        pytest.param([GET + b"a: " + b"x" * MAX_HEAD_BYTES + b"\r\n\r\n"], [431], id="one header too large"),
        pytest.param([GET + b"a: ", *[b"x" * 65536] * 160], [431], id="a header without an end"),
        pytest.param([GET + b"x" * 200_000], [431], id="a header's name without an end"),
        pytest.param([GET, *[b"a: b\r\n" * 10_000] * 10], [431], id="headers without an end"),
        pytest.param([GET + b"a: b\r\n" * MAX_HEADERS + b"\r\n"], [431], id="too many headers"),
        pytest.param([GET + b"a: b\r\n" * (MAX_HEADERS - 2) + b"connection: close\r\n\r\n"], [200], id="many headers"),
        pytest.param([GET + (b"a: " + b"x" * 700 + b"\r\n") * 100 + b"\r\n"], [431], id="too much in all"),
        pytest.param([b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n"], [414], id="an address too long"),
        pytest.param([b"GET /", *[b"x" * 65536] * 160], [414], id="an address without an end"),
        pytest.param([b"GET /?q=" + b"x" * 30_000 + b" HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"], [200], id="a long address"),
        pytest.param([b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a:\r\n" * 400 + b"\r\n"], [431], id="empty headers"),
        pytest.param([POST + b"3\r\nabc\r\n" * 30_000 + b"0\r\n\r\n"], [200], id="many small chunks"),
        pytest.param([POST + b"3;" + b"x" * 100_000 + b"\r\nabc\r\n0\r\n\r\n"], [431], id="a chunk's extension too long"),
        pytest.param([POST + b"3\r\nabc\r\n0\r\n" + b"a: b\r\n" * 20_000 + b"\r\n"], [431], id="trailers too large"),
        pytest.param([POST + b"3\r\nabc\r\n0\r\na: " + b"x" * 100_000], [431], id="a trailer without an end"),
        pytest.param([GET + b"\r\n" + GET + b"a: " + b"x" * 90_000], [200, 431], id="the second head too large"),
        pytest.param([(GET + b"\r\n") * 3000 + LAST], [200] * 3001, id="thousands of requests at once"),
        pytest.param([b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n" + GET + b"a: b\r\n" * 300], [200, 431], id="refused in turn"),
        pytest.param([b"\x16\x03\x01" + b"x" * 100_000], [400], id="no HTTP"),
        pytest.param([b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n\x16\x03\x01"], [200, 400], id="no HTTP, in turn"),
        pytest.param([POST + b"zz\r\nabc\r\n"], [400], id="no chunk"),
        pytest.param([GET + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n"], [400], id="two lengths"),
    ],
)  # fmt: skip
def test_a_head_within_limits_is_served_and_one_beyond_them_gets_a_plain_answer(
    port: int, raw: list[bytes], statuses: list[int]
):
    heard = sent(port, *raw)

    found = [int(line[:3]) for line in heard.split(b"HTTP/1.1 ")[1:]]
    assert found == statuses
    if statuses[-1] in (414, 431):
        assert b"65,536 bytes" in heard and b"connection: close" in heard


@pytest.mark.parametrize(
    ("address", "body"),
    [
        ("/v1/chat/completions?x=1", {"error": {"message": "TEXT", "type": "invalid_request_error", "param": None, "code": "bad_request"}}),
        ("/gemini/v1beta/models", {"error": {"code": 431, "message": "TEXT", "status": "INVALID_ARGUMENT"}}),
        ("/api/models", {"error": "TEXT", "code": "bad_request"}),
    ],
)  # fmt: skip
def test_a_refused_head_is_answered_in_the_form_of_its_wire(port: int, address: str, body: Any):
    heard = sent(port, f"GET {address} HTTP/1.1\r\nhost: x\r\n".encode() + b"a: b\r\n" * 300)

    told = json.dumps(json.loads(heard.partition(b"\r\n\r\n")[2]))
    text = next(part for part in told.split('"') if "headers are too large" in part)
    assert json.loads(told.replace(text, "TEXT")) == body and b"application/json" in heard and b"nosniff" in heard


def test_a_body_that_nobody_reads_ends_with_the_connection(port: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "LINGER_S", 0.2)
    early = POST.replace(b"POST /", b"POST /early").replace(b"connection: close\r\n", b"")
    heard = sent(port, early + b"1\r\nx\r\n")
    assert heard.startswith(b"HTTP/1.1 200 ")  # and not for as long as the client likes

    monkeypatch.setattr(limits, "HEAD_TIMEOUT_S", 0.2)
    heard = sent(port, early + b"1\r\nx\r\n", b"0\r\n\r\n" + LAST, wait_s=0.05)
    assert heard.count(b"HTTP/1.1 200 ") == 2
    assert sent(port, early + b"1\r\nx\r\n", b"0\r\n\r\n", wait_s=0.05).count(b"HTTP/1.1 200 ") == 1


def test_a_client_that_takes_nothing_of_its_answer_is_left(port: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "STALL_S", 0.2)
    with socket.create_connection(("127.0.0.1", port), 10) as line:
        line.sendall(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n")
        time.sleep(0.6)
        n_bytes = 0
        with suppress(ConnectionResetError):
            while piece := line.recv(1 << 20):
                n_bytes += len(piece)
    assert n_bytes < 64 * 1024 * 1024


def test_trailers_do_not_change_the_headers_of_a_request(port: int):
    heard = sent(port, EXTENDED + b"3\r\nabc\r\n", b"0\r\nx-admin: 1\r\n\r\n" + LAST, wait_s=0.05)

    assert heard.count(b"2 headers, 3 bytes;") == 1 and heard.count(b"2 headers, 0 bytes;") == 1


def test_a_slow_head_is_refused_whenever_it_comes(port: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "HEAD_TIMEOUT_S", 0.25)

    assert sent(port, b"GET / HT").startswith(b"HTTP/1.1 408 ")
    assert sent(port) == b""  # a connection that was opened ahead is closed without a word
    second = sent(port, GET + b"\r\n", GET + b"a: b\r\n", wait_s=0.05)
    assert second.startswith(b"HTTP/1.1 200 ") and second.count(b"HTTP/1.1 408 ") == 1
    behind = sent(port, b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\nGET / HT")  # half a head that came with the one before
    assert behind.startswith(b"HTTP/1.1 200 ") and behind.count(b"HTTP/1.1 408 ") == 1


def test_a_slow_answer_and_a_slow_body_are_not_a_slow_head(port: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "HEAD_TIMEOUT_S", 0.2)

    assert sent(port, b"GET /slow HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").startswith(b"HTTP/1.1 200 ")
    assert sent(port, POST, b"3\r\nabc\r\n", b"0\r\n\r\n", wait_s=0.15).startswith(b"HTTP/1.1 200 ")


def test_a_websocket_stays_open_though_nothing_else_is_asked(port: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "HEAD_TIMEOUT_S", 0.1)

    with connect(f"ws://127.0.0.1:{port}") as line, pytest.raises(TimeoutError):  # else it would be closed
        line.recv(timeout=0.4)
