"""`aimm serve` as it runs for a team: several processes on one address and one database, asked from outside.

What is promised of a key, a limit, a budget, an experiment and a cached response holds whichever process answers.
"""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Any

import psutil
import pytest

from core import InvalidRequest, ModelManager
from core.config import Settings
from core.keys.issuing import Allowance
from tests.api.test_request_heads import sent
from tests.conftest import ROOT, free_port, fresh, new_database
from tests.fakes.vendors import KEY, FakeVendor

Answer = tuple[int, dict[str, str], Any]
FOREIGN = ("GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_GEMINI_BASE_URL", "AIMM_DEFAULT_MODEL", "ANTHROPIC_API_KEY", "AIMM_SERVERS", "AIMM_REQUIRE_KEY", "PROMETHEUS_MULTIPROC_DIR")  # fmt: skip


class Line(http.client.HTTPConnection):
    """One kept connection: all that is asked on it is answered by one process."""

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        lines = {"content-type": "application/json"} | {n.replace("_", "-"): value for n, value in headers.items()}
        self.request(method, path, None if body is None else json.dumps(body), lines)
        answer = self.getresponse()
        return answer.status, {n.lower(): value for n, value in answer.getheaders()}, json.loads(answer.read() or b"{}")

    def chat(
        self, model: str = "sim-fast", *, key: str = "", text: str = "Hello", user: str = "u", **headers: str
    ) -> Answer:
        body = {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 5, "user": user}
        if key:
            headers["authorization"] = f"Bearer {key}"
        return self.ask("POST", "/v1/chat/completions", body, **headers)


@dataclass
class Served:
    process: "subprocess.Popen[bytes]"
    port: int
    environ: dict[str, str]
    folder: Path

    def line(self, host: str = "127.0.0.1") -> Line:
        return Line(host, self.port, timeout=30)

    def workers(self) -> list[psutil.Process]:
        """The processes that answer; beside them multiprocessing keeps one that counts resources."""
        with suppress(psutil.NoSuchProcess):
            children = psutil.Process(self.process.pid).children()
            return [child for child in children if "spawn_main" in " ".join(child.cmdline())]
        return []

    def lines_of_each(self) -> list[list[Line]]:
        """Kept connections, by the process that answers them; at least one to each."""
        found: dict[int, list[Line]] = {}
        while len(found) < 2:
            line = self.line()
            assert line.ask("GET", "/healthz")[0] == 200
            mine = line.sock.getsockname()[1]
            pid = wait_for(lambda mine=mine: self._answering(mine), 5)
            found.setdefault(pid, []).append(line)
            assert sum(map(len, found.values())) < 200, "one process answers all"
        return list(found.values())

    def _answering(self, port: int) -> int:
        for worker in self.workers():
            if any(c.raddr and c.raddr.port == port for c in worker.net_connections("tcp")):
                return worker.pid
        return 0

    def command(self, *arguments: str) -> str:
        """`aimm …` beside the server."""
        command = [sys.executable, "-m", "core.cli.__main__", *arguments]
        done = subprocess.run(command, cwd=self.folder, env=self.environ, capture_output=True, text=True, check=False, timeout=30)  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def still_running(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Those that have not ended by then; one that has waits as a zombie until its new parent asks after it."""
    left = psutil.wait_procs(processes, timeout=seconds)[1]
    return [each for each in left if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]


def wait_for(found: Callable[[], Any], seconds: float) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.02)
    return value


def started(folder: Path, url: str, *arguments: str, **more: str) -> Served:
    port = free_port()
    clean = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    environ = clean | {"DATABASE_URL": url, "OLLAMA_HOST": "", "AIMM_SIMULATED_SPEED": "0", "PYTHONPATH": str(ROOT), "OPENAI_API_KEY": "", **more}  # fmt: skip
    command = [sys.executable, "-m", "api", "--port", str(port), *arguments]
    with (folder / f"server-{port}.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environ, stdout=log, stderr=subprocess.STDOUT)
    return Served(process, port, environ, folder)


@contextmanager
def serving(folder: Path, url: str, *arguments: str, **more: str) -> Iterator[Served]:
    server = started(folder, url, *arguments, **more)
    try:
        wait_for(lambda: server.process.poll() is not None or is_up(server), 40)
        assert server.process.poll() is None, (folder / f"server-{server.port}.log").read_text()
        yield server
    finally:
        left = server.workers()
        server.process.terminate()
        server.process.wait(20)
        for worker in left:
            with suppress(psutil.NoSuchProcess):
                worker.kill()


def is_up(server: Served) -> bool:
    try:
        with closing(server.line()) as line:
            return line.ask("GET", "/readyz")[0] == 200
    except OSError:
        return False


def together(n: int, ask: Callable[[int], Any]) -> list[Any]:
    with ThreadPoolExecutor(n) as pool:
        return list(pool.map(ask, range(n)))


def wait_for_key(secret: str, lines: Sequence[Line]) -> None:
    """A key that is not known is looked for again after a tenth of a second."""
    headers = {"authorization": f"Bearer {secret}"}
    for line in lines:
        wait_for(lambda line=line: line.ask("GET", "/v1/models", **headers)[0] == 200, 2)


@pytest.fixture(scope="module")
def vendor() -> Iterator[FakeVendor]:
    server = FakeVendor()
    yield server
    server.close()


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, vendor: FakeVendor
) -> Iterator[Served]:
    """Two processes on a database that neither had opened before."""
    folder = tmp_path_factory.mktemp("serve")
    is_sqlite = request.param == "sqlite"
    url = f"sqlite:///{folder}/aimm.db" if is_sqlite else new_database(request.getfixturevalue("postgres_server"))
    with serving(folder, url, "--workers", "2", OPENAI_API_KEY=KEY, OPENAI_BASE_URL=f"{vendor.url}/v1") as server:
        yield server


@pytest.fixture(scope="module")
def mm(served: Served) -> Iterator[ModelManager]:
    """A manager on the server's database, beside it."""
    with ModelManager.open(Settings(database_url=served.environ["DATABASE_URL"]), takes_up=False) as manager:
        yield manager


@pytest.fixture(scope="module")
def lines(served: Served) -> Iterator[tuple[Line, Line]]:
    """One kept connection to each of the two processes."""
    found = served.lines_of_each()
    yield found[0][0], found[1][0]
    for line in (*found[0], *found[1]):
        line.close()


def test_parallel_requests_are_all_answered(served: Served):
    def ask(_: int) -> str:
        with closing(served.line()) as line:
            status, headers, body = line.chat()
        assert (status, body["object"]) == (200, "chat.completion")
        return headers["x-aimm-request-id"]

    assert len(set(together(30, ask))) == 30


def test_no_process_takes_an_endless_head(served: Served):
    heard = sent(served.port, b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\na: ", *[b"x" * 65536] * 50)

    assert heard.startswith(b"HTTP/1.1 431 ")


def test_browsers_are_told_to_guess_and_load_nothing_and_head_is_answered_as_get(served: Served):
    for path, status in (
        ("/v1/models", 200),
        ("/api/models", 200),
        ("/api/docs", 200),
        ("/gemini/x", 404),
        ("/metrics", 200),
    ):
        heads = []
        for method in (b"HEAD", b"GET"):
            ask = b"%s %s HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n" % (method, path.encode())
            head, _, body = sent(served.port, ask).partition(b"\r\n\r\n")
            heads.append(
                {name.lower(): value for name, _, value in (line.partition(b": ") for line in head.split(b"\r\n")[1:])}
            )
            assert head.startswith(b"HTTP/1.1 %d " % status) and bool(body) is (method == b"GET"), path
        assert heads[0].keys() == heads[1].keys()
        assert heads[0][b"x-content-type-options"] == b"nosniff"
        assert b"default-src 'none'" in heads[0][b"content-security-policy"]


def test_each_process_is_ready_and_counts_for_all(lines: tuple[Line, Line]):
    for line in lines:
        assert line.ask("GET", "/healthz")[2] == {"status": "healthy"}
        assert line.ask("GET", "/readyz")[2] == {"ready": True}


def test_a_revoked_key_is_refused_by_every_process(served: Served, mm: ModelManager, lines: tuple[Line, Line]):
    _, secret, _ = mm.issuer.issue("short-lived")
    wait_for_key(secret, lines)
    assert [line.chat(key=secret)[0] for line in lines] == [200, 200]

    served.command("keys", "revoke", "short-lived")
    deadline = time.monotonic() + 1.5
    while [line.chat(key=secret)[0] for line in lines] != [401, 401]:
        assert time.monotonic() < deadline

    assert [line.chat(key=secret)[0] for line in lines] == [401, 401]


def test_requests_a_minute_are_counted_over_all_processes(mm: ModelManager, served: Served, lines: tuple[Line, Line]):
    _, secret, _ = mm.issuer.issue("ten", rpm=10)
    wait_for_key(secret, lines)

    def ask(_: int) -> int:
        with closing(served.line()) as line:
            status, headers, _ = line.chat(key=secret)
        assert status == 200 or headers["x-aimm-reason"] == "rate_limited"
        return status

    assert sorted(together(40, ask)) == [200] * 10 + [429] * 30


def test_a_stop_budget_holds_over_all_processes(mm: ModelManager, served: Served, lines: tuple[Line, Line]):
    limit = Decimal("0.001")
    _, secret, budget = mm.issuer.issue("poor", allowance=Allowance(limit, "month"))
    assert budget is not None
    wait_for_key(secret, lines)
    made_at = time.monotonic()
    wait_for(lambda: time.monotonic() > made_at + 1.1, 2)  # within a second a new budget holds in every process
    seen: list[float] = []

    def ask(at: int) -> int:
        with closing(served.line()) as line:
            if at % 6 == 5:
                seen.append(committed(line, budget.id))
            return line.chat("gpt-4o", key=secret)[0]

    statuses = together(60, ask)

    with closing(served.line()) as line:
        seen.append(committed(line, budget.id))
    assert set(statuses) == {200, 429} and max(seen) <= float(limit)
    assert seen[-1] == pytest.approx(statuses.count(200) * 75e-6)
    assert "equal the raw rows" in served.command("check")


def committed(line: Line, budget_id: str) -> float:
    """What a budget has spent and reserved."""
    budgets = line.ask("GET", "/api/budgets")[2]["budgets"]
    return next(float(b["spent"] + b["reserved"]) for b in budgets if b["id"] == budget_id)


def test_a_unit_gets_one_variant_from_every_process(mm: ModelManager, lines: tuple[Line, Line]):
    mm.experiments.create("split", ["sim-fast", "sim-balanced"])

    def variants(line: Line) -> list[str]:
        return [line.chat("exp:split", user=f"u{n}")[1]["x-aimm-variant"] for n in range(12)]

    first, second = map(variants, lines)
    assert first == second
    assert set(first) == {"variant_a", "variant_b"}


def test_every_process_runs_workflows(lines: tuple[Line, Line]):
    body = {
        "template": "translation",
        "input": "Good morning",
        "model": "sim-fast",
        "inputs": {"target_language": "German"},
    }

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda line: line.ask("POST", "/api/workflow", body), lines))

    assert [(status, answer["status"]) for status, _, answer in answers] == [(200, "success")] * 2


def test_an_answer_that_one_process_kept_is_given_by_the_other(lines: tuple[Line, Line]):
    asked = [line.chat(text="Keep this.", x_aimm_cache="3600") for line in lines]

    assert [headers["x-aimm-cache"] for _, headers, _ in asked] == ["miss", "hit"]
    assert asked[0][2]["choices"] == asked[1][2]["choices"]


def test_all_end_in_order_when_told_to(served: Served):
    """The last one: it ends the server of this module."""
    wait_for(lambda: len(served.workers()) == 2, 10)
    children = psutil.Process(served.process.pid).children(recursive=True)
    served.process.send_signal(signal.SIGTERM)

    assert served.process.wait(10) == 0
    assert still_running(children, 2) == []


def test_a_killed_process_is_replaced_and_none_outlives_the_first(tmp_path: Path):
    with serving(tmp_path, fresh(tmp_path), "--workers", "2") as served:
        wait_for(lambda: len(served.workers()) == 2, 10)
        for line in chain.from_iterable(served.lines_of_each()):
            line.close()
        killed = min(worker.pid for worker in served.workers())
        os.kill(killed, signal.SIGKILL)

        def are_two() -> bool:
            with closing(served.line()) as line:
                assert line.chat()[0] == 200
            return len({worker.pid for worker in served.workers()} - {killed}) == 2

        wait_for(are_two, 10)
        left = served.workers()
        served.process.kill()
        assert still_running(left, 30) == []  # one may be starting still


@pytest.mark.parametrize("workers", [[], ["--workers", "2"]])
def test_beyond_this_machine_a_server_needs_a_key(tmp_path: Path, workers: Sequence[str]):
    served = started(tmp_path, fresh(tmp_path), "--host", "0.0.0.0", *workers)

    assert served.process.wait(30) == 1
    assert (tmp_path / f"server-{served.port}.log").read_text().count("aimm keys create") == 1


def test_a_server_with_a_key_lets_only_its_holders_in(tmp_path: Path):
    url = fresh(tmp_path)
    with ModelManager.open(Settings(database_url=url), takes_up=False) as mm:
        _, secret, _ = mm.issuer.issue("team")
    with serving(tmp_path, url, "--host", "0.0.0.0") as served, closing(served.line()) as line:
        assert line.chat()[0] == 401
        assert line.chat(key=secret)[0] == 200
        assert line.ask("GET", "/healthz")[0] == 200
        served.process.send_signal(signal.SIGINT)
        assert served.process.wait(10) == 0
    assert "Traceback" not in (tmp_path / f"server-{served.port}.log").read_text()


@pytest.mark.parametrize("text", ["-1", "fast", "nan", "1e9"])
def test_a_speed_that_cannot_be_is_refused(text: str):
    assert Settings.from_environ({"AIMM_SIMULATED_SPEED": "0"}).simulated_speed == 0
    with pytest.raises(InvalidRequest, match="AIMM_SIMULATED_SPEED"):
        Settings.from_environ({"AIMM_SIMULATED_SPEED": text})
