"""What the benchmarks share: temporary databases, the real server, Chromium and tables of figures."""

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import psutil

from core import ModelManager
from core.config import Settings
from core.demo.history import DemoSize

ROOT = Path(__file__).parent.parent
DASHBOARD = ROOT / "dashboard" / "app.py"
DEMO_DAYS = 90
CHROMIUM_FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
# Set to nothing, which is stronger than a .env: no benchmark may reach a vendor.
NO_VENDOR = dict.fromkeys(
    ("GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_GEMINI_BASE_URL", "AIMM_DEFAULT_MODEL", "OPENAI_API_KEY", "ANTHROPIC_API_KEY",
     "OLLAMA_HOST", "AIMM_SERVERS"), "",
)  # fmt: skip


class Server:
    """A running Streamlit server with its process tree."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
        self.process, self.port, self.log = process, port, log
        self.address = f"http://localhost:{port}"

    def wait_for(self, health: str) -> None:
        try:
            wait_until(lambda: answers(self.address + health), 180, "the server did not answer")
        except TimeoutError as error:
            raise TimeoutError(f"{error}; it said: {self.log.read_text()[-2000:]}") from None

    def tree(self) -> list[psutil.Process]:
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]

    def rss_mb(self) -> float:
        """Resident memory of all its processes in MB (10^6 bytes)."""
        return float(sum(process.memory_info().rss for process in self.tree())) / 1e6

    def kill(self) -> None:
        """kill -9, with all its children."""
        for process in self.tree():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait(20)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()


@contextmanager
def serving(database: Path, vendors: Mapping[str, str] = NO_VENDOR) -> Iterator[Server]:
    """A server over a SQLite file that answers already; killed at the end if it does not stop."""
    with started_server(database, vendors=vendors) as server:
        server.wait_for("/health")
        yield server


@contextmanager
def started_server(
    database: Path | None, script: Path = DASHBOARD, cwd: Path = ROOT, vendors: Mapping[str, str] = NO_VENDOR
) -> Iterator[Server]:
    """The process just started, as `streamlit run` starts it, without waiting for an answer."""
    port = free_port()
    environ = {**os.environ, **NO_VENDOR, **vendors}
    if database is not None:
        environ["DATABASE_URL"] = url_of(database)
    command = [sys.executable, "-m", "streamlit", "run", str(script.relative_to(cwd)), "--server.port", str(port)]
    command += ["--server.headless", "true", "--browser.gatherUsageStats", "false", "--server.address", "localhost"]
    with temporary_folder() as folder, (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=cwd, env=environ, stdout=log, stderr=subprocess.STDOUT)
        server = Server(process, port, folder / "server.log")
        try:
            yield server
        finally:
            server.stop()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=2) as response:
            return int(response.status) == 200
    except OSError:
        return False


def wait_until(holds: Callable[[], bool], timeout_s: float, message: str) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(message)
        time.sleep(0.01)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="aimm-benchmark-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def url_of(database: Path) -> str:
    return f"sqlite:///{database}"


def open_manager(database: Path, *, simulated_speed: float = 1.0) -> ModelManager:
    """A manager without any vendor's key."""
    return ModelManager.open(Settings(database_url=url_of(database)), simulated_speed=simulated_speed)


def arguments(description: str | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--cache", type=Path, help="a folder that keeps the large demo databases for the next run")
    return parser.parse_args()


@contextmanager
def demo_database(n_generations: int, cache: Path | None) -> Iterator[Path]:
    """A copy, to be written to freely, of a demo database of that size over 90 days up to today."""
    with temporary_folder() as folder:
        # Demo data end now, so one of another day would show another window.
        name = f"demo-{n_generations}-{datetime.now(UTC):%Y%m%d}.db"
        original = (cache or folder) / name
        if not original.exists():
            original.parent.mkdir(parents=True, exist_ok=True)
            unfinished = original.with_suffix(".part")
            with open_manager(unfinished) as mm:
                mm.demo.fill(DemoSize(n_generations, DEMO_DAYS))
            unfinished.rename(original)
        copy = folder / "aimm.db"
        shutil.copyfile(original, copy)
        yield copy


def chromium() -> str:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        sys.exit("Chromium or Chrome is needed for this benchmark; none is on the path.")
    return found


def median_ms(seconds: Sequence[float]) -> float:
    return statistics.median(seconds) * 1000


def summary(values_ms: Sequence[float]) -> tuple[str, str, str]:
    """Median, least and greatest, as text."""
    return f"{statistics.median(values_ms):.0f}", f"{min(values_ms):.0f}", f"{max(values_ms):.0f}"


def print_table(title: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns as wide as their widest text; the first to the left, figures to the right."""
    texts = [list(head), *([str(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    print(f"\n{title}")
    for at, row in enumerate(texts):
        cells = [text.rjust(width) for text, width in zip(row, widths, strict=True)]
        print("  ".join([row[0].ljust(widths[0]), *cells[1:]]).rstrip())
        if at == 0:
            print("  ".join("-" * width for width in widths))
