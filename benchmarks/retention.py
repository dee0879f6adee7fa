"""Retention of many calls while 50 requests a second run: `python benchmarks/retention.py`.

Calls over 100 days, all but the last 30 of which go; every fifth has texts, and one in 50 is an experiment's. A server of its own answers 50
requests a second before a fake vendor, first alone, then while it deletes. Then it is killed in the middle (kill -9) and started again. At the end all
sums must be as before, and `aimm check` clean.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Any

import aiohttp
import gateway_servers as servers
from common import ROOT, print_table, temporary_folder, url_of, wait_until
from gateway_load import QUESTION
from gateway_servers import Asked

sys.path.insert(0, str(ROOT))
from core import ModelManager, clock
from core.clock import DAY_US
from core.config import Settings
from core.domain.metrics import Window
from core.formats.text import searchable
from core.storage.calls.generations import empty_row
from core.storage.calls.record import log_rows
from core.storage.engine.database import Database

DAYS, KEPT_DAYS, CHUNK = 100, 30, 2000
RATE = 50.0
MODELS = ("gpt-4o", "gpt-4o-mini", "claude-sonnet-4-5", "gemini-2.5-flash")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=5_000_000)
    parser.add_argument("--seconds", type=float, default=30, help="how long the server is measured alone")
    parser.add_argument("--postgresql", action="store_true")
    parser.add_argument("--database", help="the address of a database that was filled before")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="the longest that deleting is watched")
    parser.add_argument("--kill", action="store_true", help="kill -9 after a third, and start again")
    args = parser.parse_args()
    with ExitStack() as stack:
        if args.database:
            measured(args, args.database, stack.enter_context(servers.vendor()))
            return
        if args.postgresql:
            from rates import postgresql

            address = stack.enter_context(postgresql()).address
        else:
            address = url_of(stack.enter_context(temporary_folder()) / "aimm.db")
        begun = time.perf_counter()
        filled(address, args.calls)
        print(f"{args.calls:,} calls written in {time.perf_counter() - begun:.0f} s", flush=True)
        measured(args, address, stack.enter_context(servers.vendor()))


def filled(address: str, n_calls: int) -> None:
    with ModelManager.open(Settings(database_url=address), takes_up=False) as mm:
        made = mm.experiments.create("Tone", ["sim-fast", "sim-balanced"])
        units = [mm.experiments.assign(made.id, f"u{at}").id for at in range(1000)]
        until = clock.now_us() // DAY_US * DAY_US
        for start in range(0, n_calls, CHUNK):
            rows, bodies = chunk(start, min(CHUNK, n_calls - start), n_calls, until, made.id, units)
            with mm.database.write() as connection:
                log_rows(connection, rows, bodies)
        for scope in ("all", "user:user7", "tag:support"):
            mm.budgets.create(scope, "1000000", scope=scope, period="month")


def chunk(start: int, n: int, n_calls: int, until: int, experiment: str, units: list[str]) -> tuple[Any, Any]:
    rng, blank = random.Random(start), empty_row()
    rows, bodies = [], []
    for at in range(start, start + n):
        created = until - DAYS * DAY_US + at * DAYS * DAY_US // n_calls
        is_of = at % 50 == 0
        rows.append(
            blank | {
                "id": f"g_{created:x}{at:010x}", "created_at": created, "request_model": rng.choice(MODELS),
                "response_model": "m", "provider": "openai", "source": "experiment" if is_of else "gateway",
                "status": "error" if at % 97 == 0 else "ok", "error_class": "rate_limited" if at % 97 == 0 else "",
                "input_tokens": rng.randrange(50, 3000), "output_tokens": rng.randrange(10, 900), "cached_tokens": 0,
                "thinking_tokens": 0, "cost_nano_usd": rng.randrange(10_000, 9_000_000), "cost_status": "priced",
                "latency_us": int(rng.lognormvariate(14, 0.7)), "ttft_us": 300_000, "price_id": "p",
                "user_id": f"user{rng.randrange(500)}", "tags": rng.choice((",support,", "", ",search,eu,")),
                "key_id": rng.choice(("k_1", "k_2", "")), "finish_reason": "stop",
                "ref_id": experiment if is_of else None, "ref_part": units[at % 1000] if is_of else None,
            }
        )  # fmt: skip
        if at % 5 == 0:
            text = " ".join(f"word{int(rng.paretovariate(0.6)) % 30_000}" for _ in range(60))
            bodies.append({
                "generation_id": rows[-1]["id"], "messages": json.dumps([["user", text]]), "system": None,
                "parameters": "{}", "text": text, "thinking": None, "tools": None, "tool_calls": None, "receipts": "[]",
                "search_text": searchable(f"{text}\n{text}"),
            })  # fmt: skip
    return rows, bodies


def figures(address: str) -> list[Any]:
    """The sums of the past, those of budgets and experiments."""
    with ModelManager.open(Settings(database_url=address), takes_up=False) as mm:
        today = clock.from_us(clock.now_us() // DAY_US * DAY_US)
        past = Window(today - timedelta(days=DAYS + 1), today)
        [experiment] = mm.experiments.all()
        report = mm.experiments.report(experiment.id)
        by = [mm.spend.by(kind, past) for kind in ("user", "key", "tag")]
        return [mm.monitoring.by_model(past, bucket="day"), mm.monitoring.total(past), by, report.analysis]


@contextmanager
def served(address: str, vendor: Asked) -> Iterator[Asked]:
    """A server that keeps calls for KEPT_DAYS; its first round would begin after a minute, or when it is told."""
    with servers.ours(vendor.port, database=address, AIMM_KEEP_CALLS=f"{KEPT_DAYS}d", AIMM_KEEP_TEXTS="10d") as asked:
        yield asked


def measured(args: argparse.Namespace, address: str, vendor: Asked) -> None:
    before, n_bytes = figures(address), size(address)
    rows = []
    print(f"Load before: {', '.join(f'{each:.1f}' for each in os.getloadavg())}", flush=True)
    with served(address, vendor) as asked:
        asyncio.run(asked_at_a_rate(asked, 5))
        alone = asyncio.run(asked_at_a_rate(asked, args.seconds))
        rows.append(row("alone", alone))
        post(asked, "/api/retention/run")
        wait_until(lambda: state(asked)["running"], 30, "no round began")
        begun, cpu = time.perf_counter(), asked.cpu_s()
        seen: list[float] = []
        while state(asked)["running"]:
            seen += asyncio.run(asked_at_a_rate(asked, 20))
            found = state(asked)
            print(
                f"{time.perf_counter() - begun:6.0f} s {found['requests']} p95 {p95(seen[-1000:]):.1f} ms", flush=True
            )
            if time.perf_counter() - begun > args.minutes * 60:
                break
            if args.kill and found["requests"][1] > args.calls // 3:
                asked.server.kill()
                break
        took, cpu = time.perf_counter() - begun, (0.0 if args.kill else asked.cpu_s() - cpu)
        rows.append(row("while calls are deleted", seen))
        after_alone = [] if args.kill else asyncio.run(asked_at_a_rate(asked, args.seconds))
        rows += [row("alone, after it", after_alone)] if after_alone else []
        if not args.kill:
            print(
                f"{state(asked)['requests']} (texts, calls) in {took:.0f} s, {cpu:.0f} s of processor time, calls included"
            )
    if args.kill:
        print(f"killed after {took:.0f} s; sums {'equal' if figures(address) == before else 'DIFFER'}", flush=True)
        print(checked(address))
        with temporary_folder() as folder:
            environ = servers.clean_environ() | {"DATABASE_URL": address, "AIMM_KEEP_CALLS": f"{KEPT_DAYS}d"}
            print(servers.aimm(folder, environ, "retention", "run").strip())
    print_table(f"{RATE:.0f} requests a second, milliseconds", ("", "requests", "p50", "p95", "p99", "failed"), rows)
    print(f"sums, budgets and experiments: {'equal' if figures(address) == before else 'DIFFER'}")
    print(f"database: {n_bytes / 1e6:,.0f} MB before, {size(address) / 1e6:,.0f} MB after")
    print(checked(address))
    print(f"Load after: {', '.join(f'{each:.1f}' for each in os.getloadavg())}")


def checked(address: str) -> str:
    with temporary_folder() as folder:
        begun = time.perf_counter()
        environ = servers.clean_environ() | {"DATABASE_URL": address}
        said = servers.aimm(folder, environ, "check").strip()
        return f"aimm check, {time.perf_counter() - begun:.0f} s: {said}"


async def asked_at_a_rate(asked: Asked, seconds: float) -> list[float]:
    """The milliseconds of each request; one begins each 20 ms, whatever became of those before. A failed one is nan."""
    took: list[float] = []
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": QUESTION}], "user": "user7"}
    headers = {"Authorization": f"Bearer {asked.key}"}
    address = f"http://127.0.0.1:{asked.port}/v1/chat/completions"

    async def one(session: aiohttp.ClientSession, number: int) -> None:
        begun = time.perf_counter()
        named = body | {"messages": [{"role": "user", "content": QUESTION.replace("000000000", f"{number:09}")}]}
        async with session.post(address, json=named, headers=headers) as answer:
            await answer.read()
            took.append((time.perf_counter() - begun) * 1000 if answer.status == 200 else float("nan"))

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=64)) as session:
        begun, tasks = time.perf_counter(), []
        for number in range(int(seconds * RATE)):
            await asyncio.sleep(max(0.0, begun + number / RATE - time.perf_counter()))
            tasks.append(asyncio.ensure_future(one(session, number)))
        await asyncio.gather(*tasks)
    return took


def row(name: str, took: list[float]) -> tuple[str, ...]:
    sound = sorted(each for each in took if each == each)
    shares = [sound[int(len(sound) * share)] for share in (0.5, 0.95, 0.99)]
    return name, f"{len(took):,}", *(f"{each:.1f}" for each in shares), str(len(took) - len(sound))


def p95(took: list[float]) -> float:
    return statistics.quantiles(took, n=20)[-1]


def state(asked: Asked) -> dict[str, Any]:
    found = json.loads(said(asked, "/api/retention"))["round"]
    return {"running": found["running"], "requests": (found["texts"], found["calls"])}


def post(asked: Asked, path: str) -> None:
    said(asked, path, b"{}")


def said(asked: Asked, path: str, body: bytes | None = None) -> bytes:
    headers = {"Authorization": f"Bearer {asked.key}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{asked.port}{path}", body, headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return bytes(answer.read())


def size(address: str) -> int:
    database = Database(address)
    try:
        return database.n_bytes() or 0
    finally:
        database.close()


if __name__ == "__main__":
    main()
