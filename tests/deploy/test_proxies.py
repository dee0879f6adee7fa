"""nginx and Caddy, by the kit's files, before a real `aimm serve`: no chunk is kept back, nothing is lost on a reload."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest

from core import ModelManager
from tests.api.test_serve import Served, serving
from tests.builders import settings_of, until
from tests.conftest import copied, free_port
from tests.deploy.tools import KIT, running, tool
from tests.fakes.vendors import KEY, FakeVendor, Reply, openai_answer

N_STREAMS = 20
Proxy = tuple[list[str], Callable[[int], None]]


class Held(list[Any]):
    """Events of which the second waits for the first gate, and the third for the second one."""

    def __init__(self, events: list[Any], gates: Sequence[threading.Event]) -> None:
        super().__init__(events)
        self._gates = gates

    def __iter__(self) -> Iterator[Any]:
        for event, gate in zip_longest(super().__iter__(), (None, *self._gates)):
            if gate is not None:
                gate.wait(30)
            yield event


@pytest.fixture(scope="module")
def vendor() -> Iterator[FakeVendor]:
    fake = FakeVendor()
    yield fake
    fake.close()


@pytest.fixture(scope="module")
def key_and_server(
    sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory, vendor: FakeVendor
) -> Iterator[tuple[str, Served]]:
    folder = tmp_path_factory.mktemp("behind")
    url = copied(sqlite_template, folder)
    with ModelManager.open(settings_of(database_url=url), takes_up=False) as mm:
        _, key = mm.keys.create("programs")
    with serving(
        folder,
        url,
        AIMM_REQUIRE_KEY="1",
        AIMM_LOG_FORMAT="json",
        OPENAI_API_KEY=KEY,
        OPENAI_BASE_URL=f"{vendor.url}/v1",
    ) as server:
        yield key, server
    told = [json.loads(line) for line in (folder / f"server-{server.port}.log").read_text().splitlines()]
    assert sum(line["message"] == "call" for line in told) >= N_STREAMS


@pytest.fixture
def upgraded() -> Iterator[tuple[int, list[bytes]]]:
    """Stands for the dashboard: the port, and the heads of requests; it agrees to speak WebSocket."""
    heads: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    heads.append(connection.recv(65_536))
                    connection.sendall(
                        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\nhello"
                    )

        threading.Thread(target=answer, daemon=True).start()
        yield listener.getsockname()[1], heads


def nginx(folder: Path, port: int, gateway: int, dashboard: int) -> Proxy:
    """The command that starts it with the kit's file, and what makes it read that again."""
    site = (KIT / "nginx" / "aimm.conf").read_text("utf-8")
    site = re.sub(r"ssl_certificate\S* .*;\n", "", site.replace("listen 443 ssl http2", f"listen 127.0.0.1:{port}"))
    site = site.replace("127.0.0.1:8080", f"127.0.0.1:{gateway}").replace("127.0.0.1:8501", f"127.0.0.1:{dashboard}")
    paths = "".join(f"{n}_temp_path {folder}/{n};" for n in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    user = "user root;" if os.getuid() == 0 else ""
    (folder / "site.conf").write_text(site)
    (folder / "nginx.conf").write_text(
        f"daemon off; {user} worker_processes 2; pid {folder}/pid; error_log {folder}/errors;"
        f" events {{}} http {{ access_log off; {paths} include {folder}/site.conf; }}"
    )
    command = [tool("nginx"), "-e", f"{folder}/errors", "-p", str(folder), "-c", f"{folder}/nginx.conf"]

    def reload(pid: int) -> None:
        def workers() -> set[str]:
            return set(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())

        before = workers()
        os.kill(pid, signal.SIGHUP)
        assert until(lambda: len(workers() - before) == 2, 10)

    return command, reload


def caddy(folder: Path, port: int, gateway: int, dashboard: int) -> Proxy:
    """As above."""
    site = (KIT / "caddy" / "Caddyfile").read_text("utf-8").replace("models.example.com", f"http://127.0.0.1:{port}")
    site = site.replace("127.0.0.1:8080", f"127.0.0.1:{gateway}").replace("127.0.0.1:8501", f"127.0.0.1:{dashboard}")
    socket_ = f"unix/{folder}/admin"
    (folder / "Caddyfile").write_text(f"{{\n\tadmin {socket_}\n}}\n{site}")
    program, config = tool("caddy"), ["--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]

    def reload(_pid: int) -> None:
        subprocess.run([program, "reload", *config, "--address", socket_, "--force"], check=True, capture_output=True)

    return ["env", f"XDG_CONFIG_HOME={folder}", f"XDG_DATA_HOME={folder}", program, "run", *config], reload


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def asked(port: int, key: str, body: dict[str, Any]) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
    raw = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}], **body})
    connection.request("POST", "/v1/chat/completions", raw, headers)
    return connection.getresponse()


def next_data(stream: http.client.HTTPResponse) -> bytes:
    return next(line for line in iter(stream.readline, b"") if line.startswith(b"data: "))


@pytest.mark.parametrize("proxy", [nginx, caddy])
def test_streams_come_as_they_are_and_outlive_a_reload(
    proxy: Callable[[Path, int, int, int], Proxy],
    tmp_path: Path,
    key_and_server: tuple[str, Served],
    vendor: FakeVendor,
    upgraded: tuple[int, list[bytes]],
):
    (key, server), port = key_and_server, free_port()
    command, reload = proxy(tmp_path, port, server.port, upgraded[0])
    gates, text = (threading.Event(), threading.Event()), "A long answer, piece by piece."
    events = openai_answer(text).events
    vendor.next(*(Reply(events=Held(events, gates)) for _ in range(N_STREAMS)))

    with running(command, tmp_path, lambda: answers(port), until) as pid, ThreadPoolExecutor(N_STREAMS) as pool:
        streams = list(pool.map(lambda _: asked(port, key, {"stream": True}), range(N_STREAMS)))
        for gate, piece in zip(gates, (b"A long answer", b"piece by piece"), strict=True):
            assert all(piece in chunk for chunk in pool.map(next_data, streams))  # while the vendor holds back the next
            if gate is gates[0]:
                gate.set()
        reload(pid)
        with closing(asked(port, key, {})) as later:
            assert (later.status, json.loads(later.read())["usage"]["total_tokens"]) == (200, 15)
        gates[1].set()
        for whole in pool.map(lambda stream: stream.read(), streams):
            assert whole.rstrip().endswith(b"data: [DONE]")

        with closing(
            asked(port, key, {"user": "u" * 3_000_000})
        ) as large:  # above a proxy's usual megabyte: ours to judge
            assert large.status != 413 and large.headers["content-type"] == "application/json"
        with closing(socket.create_connection(("127.0.0.1", port))) as pages:
            pages.sendall(
                b"GET /_stcore/stream HTTP/1.1\r\nhost: 127.0.0.1\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\r\n"
            )
            assert pages.recv(12) == b"HTTP/1.1 101"
    assert b"upgrade: websocket" in upgraded[1][0].lower()


def test_a_server_that_is_told_to_stop_ends_its_answers_and_takes_no_more(
    key_and_server: tuple[str, Served], vendor: FakeVendor
):
    """The last of this module: afterwards there is none."""
    (key, server), gates = key_and_server, (threading.Event(), threading.Event())
    vendor.next(Reply(events=Held(openai_answer("A long answer, piece by piece.").events, gates)))
    stream = asked(server.port, key, {"stream": True})
    assert stream.headers["x-accel-buffering"] == "no" and b"A long answer" in next_data(stream)

    server.process.terminate()
    assert until(lambda: not answers(server.port), 10)
    for gate in gates:
        gate.set()

    assert stream.read().rstrip().endswith(b"data: [DONE]") and server.process.wait(20) == 0
