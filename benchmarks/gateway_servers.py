"""The servers that benchmarks/gateway.py compares, each in a process of its own before one fake vendor."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil
from common import DASHBOARD, NO_VENDOR, Server, answers, free_port, temporary_folder, url_of, wait_until
from gateway_load import Load, Result
from gateway_vendor import KEY, NAMES

HERE = Path(__file__).parent
LITELLM = Path.home() / ".cache" / "aimm-benchmarks" / "litellm"  # an environment of its own: it pins what we use
LITELLM_KEY = "sk-0123456789abcdef0123456789abcdef0123456789abcdef"
WAIT_S = 120
# Every variable of ours or of a vendor's would reach the servers otherwise.
FOREIGN = re.compile(
    r"(?i)AIMM|API_KEY|BASE_URL|API_BASE|OPENAI|ANTHROPIC|GEMINI|GOOGLE|AZURE|AWS|OLLAMA|LITELLM|PROXY"
)


@dataclass
class Asked:
    """A server with what a client needs to ask it."""

    name: str
    port: int
    key: str
    server: Server
    folder: Path
    environ: dict[str, str] = field(default_factory=dict)

    def load(self, **wanted: object) -> Result:
        """Ask it from a process of its own."""
        spec = Load(self.port, self.key, **wanted)  # type: ignore[arg-type]
        command = [sys.executable, str(HERE / "gateway_load.py"), json.dumps(asdict(spec))]
        result = Result(**json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
        if result.errors:
            print(f"! {self.name}: {result.errors} of {result.errors + result.done} failed: {result.first_error}")
        return result

    def cpu_s(self) -> float:
        """User and system time of all its processes so far."""
        times = [process.cpu_times() for process in self.server.tree()]
        return float(sum(t.user + t.system + t.children_user + t.children_system for t in times))

    def pin(self, cores: set[int]) -> None:
        for process in self.server.tree():
            for thread in process.threads():
                os.sched_setaffinity(thread.id, cores)


@contextmanager
def launched(command: list[str], port: int, folder: Path, environ: dict[str, str], health: str) -> Iterator[Server]:
    """A started server that answers; stopped at the end."""
    path = folder / f"server-{port}.log"
    with path.open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environ, stdout=log, stderr=subprocess.STDOUT)
        server = Server(process, port, path)
        try:
            wait_until(
                lambda: process.poll() is not None or answers(f"http://127.0.0.1:{port}{health}"), WAIT_S, "no answer"
            )
            if process.poll() is not None:
                raise ChildProcessError(f"{command} ended; it said: {path.read_text()[-2000:]}")
            yield server
        finally:
            server.stop()


def clean_environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not FOREIGN.search(name)}


@contextmanager
def vendor() -> Iterator[Asked]:
    port = free_port()
    command = [sys.executable, str(HERE / "gateway_vendor.py"), str(port)]
    environ = clean_environ() | {n: v for n, v in os.environ.items() if n.startswith("AIMM_BENCH_")}
    with temporary_folder() as folder:
        process = subprocess.Popen(command, env=environ)
        try:
            wait_until(lambda: listens(process.pid), WAIT_S, "the fake vendor did not start")
            yield Asked("direct", port, KEY, Server(process, port, folder / "log"), folder)
        finally:
            process.kill()
            process.wait()


def listens(pid: int) -> bool:
    return any(c.status == psutil.CONN_LISTEN for c in psutil.Process(pid).net_connections())


@contextmanager
def bare(vendor_port: int) -> Iterator[Asked]:
    port = free_port()
    command = [sys.executable, str(HERE / "gateway_bare.py"), str(port), f"http://127.0.0.1:{vendor_port}"]
    with temporary_folder() as folder, launched(command, port, folder, clean_environ(), "/health") as server:
        yield Asked("bare proxy", port, "any", server, folder)


@contextmanager
def litellm(vendor_port: int) -> Iterator[Asked]:
    """One worker, its master key, no database, nothing logged."""
    if not (LITELLM / "bin" / "litellm").exists():
        print(f"LiteLLM is installed into {LITELLM}.")
        subprocess.run([sys.executable, "-m", "venv", str(LITELLM)], check=True)
        subprocess.run(
            [str(LITELLM / "bin" / "pip"), "install", "-q", "litellm[proxy]"], check=True, stderr=subprocess.DEVNULL
        )
    address = f"http://127.0.0.1:{vendor_port}/v1"
    models = [
        {"model_name": name, "litellm_params": {"model": f"openai/{name}", "api_base": address, "api_key": KEY}}
        for name in NAMES
    ]
    config = {
        "model_list": models,
        "litellm_settings": {"telemetry": False, "num_retries": 0},
        "general_settings": {"master_key": LITELLM_KEY},
    }
    environ = clean_environ() | {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR",
    }  # fmt: skip
    port = free_port()
    with temporary_folder() as folder:
        (folder / "config.yaml").write_text(json.dumps(config))
        command = [
            str(LITELLM / "bin" / "litellm"),
            "--config",
            "config.yaml",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
        ]
        with launched([*command, "--num_workers", "1"], port, folder, environ, "/health/liveliness") as server:
            yield Asked("LiteLLM", port, LITELLM_KEY, server, folder)


@contextmanager
def ours(
    vendor_port: int, *, dashboard: bool = False, database: str = "", workers: int = 1, **more: str
) -> Iterator[Asked]:
    """Ours with a key, and with a budget that stops, so that every call is checked, reserved and settled.

    database: Its address; a SQLite file by default. more: Further variables.
    """
    port = free_port()
    with temporary_folder() as folder:
        database = database or url_of(folder / "aimm.db")
        environ = clean_environ() | NO_VENDOR | {"ANTHROPIC_BASE_URL": "", "DATABASE_URL": database, **more}
        environ |= {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": f"http://127.0.0.1:{vendor_port}/v1"}
        environ |= {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{vendor_port}"}
        made = aimm(folder, environ, "keys", "create", "bench", "--scope", "call", "--scope", "admin")
        found = re.search(r"aimm_\S+", made)
        assert found, made
        command = [sys.executable, "-m", "core.cli.__main__", "serve", "--host", "127.0.0.1", "--port", str(port)]
        command += ["--workers", str(workers)]
        if dashboard:
            command = [sys.executable, "-m", "streamlit", "run", str(DASHBOARD), "--server.port", str(port)]
            command += ["--server.headless", "true", "--browser.gatherUsageStats", "false"]
            command += ["--server.address", "127.0.0.1"]
        with launched(command, port, folder, environ, "/health") as server:
            asked = Asked("ours + dashboard" if dashboard else "ours", port, found[0], server, folder, environ)
            make_budget(asked)
            yield asked


def aimm(folder: Path, environ: dict[str, str], *arguments: str) -> str:
    """What the command said; it must succeed."""
    command = [sys.executable, "-m", "core.cli.__main__", *arguments]
    ended = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True)
    assert ended.returncode == 0, f"{arguments}: {ended.stdout} {ended.stderr}"
    return ended.stdout


def make_budget(asked: Asked) -> None:
    budget = {"name": "bench", "limit_usd": 1_000_000, "period": "month", "scope": "all", "action": "stop"}
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {asked.key}"}
    address = f"http://127.0.0.1:{asked.port}/api/budgets"
    request = urllib.request.Request(address, json.dumps(budget).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as response:
        assert response.status in (200, 201), response.read()


def settle() -> None:
    """What a server writes after its answers counts as its work too."""
    time.sleep(1)
