"""Measures what the call path adds to a model: calls a second, latency a call, and a comparison's own time.

The simulated model answers at once (speed 0), so that all that is left is ours: admission, stream, price, and the
durable record. A comparison asks five simulated models at their real speed; what it takes beyond its slowest answer
is its own.
"""

import sqlite3
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from common import median_ms, open_manager, print_table, temporary_folder

from core import ModelManager

IN_FLIGHT = (1, 20, 200)
N_CALLS = {1: 500, 20: 3000, 200: 4000}
MODEL = "sim-fast"
CANDIDATES = ("sim-fast", "sim-balanced", "sim-careful", "sim-fast", "sim-balanced")
N_COMPARISONS = 10


def main() -> None:
    with temporary_folder() as folder:
        with open_manager(folder / "calls.db", simulated_speed=0) as mm:
            timed_calls(mm, 20, 200)
            rows = [throughput_row(mm, n) for n in IN_FLIGHT]
            n_expected = 200 + sum(N_CALLS.values())
            assert mm.log.count() == n_expected, f"{mm.log.count()} of {n_expected} calls are in the log"
        head = ("in flight", "calls", "calls/s", "median latency", "p99 latency")
        print_table(f"{MODEL} that answers at once, each call recorded", head, rows)
        commit_ms = bare_commit_ms(folder / "bare.db")
        with open_manager(folder / "compare.db") as mm:
            added_ms = [added_by_comparison_ms(mm, run) for run in range(N_COMPARISONS + 1)][1:]
    print(f"\nFor scale: one row and one durable commit of bare SQLite take {commit_ms:.1f} ms on this disk.")
    row = (f"{statistics.median(added_ms):.1f} ms", f"{min(added_ms):.1f} ms", f"{max(added_ms):.1f} ms")
    title = f"Comparison of {len(CANDIDATES)} models, {N_COMPARISONS} runs: wall time minus the slowest answer"
    print_table(title, ("", "median", "min", "max"), [("added", *row)])


def throughput_row(mm: ModelManager, n_in_flight: int) -> tuple[str, ...]:
    n_calls = N_CALLS[n_in_flight]
    begin = time.perf_counter()
    latencies = timed_calls(mm, n_in_flight, n_calls)
    rate = n_calls / (time.perf_counter() - begin)
    p99_ms = statistics.quantiles(latencies, n=100)[98] * 1000
    return (str(n_in_flight), f"{n_calls:,}", f"{rate:,.0f}", f"{median_ms(latencies):.1f} ms", f"{p99_ms:.1f} ms")


def timed_calls(mm: ModelManager, n_in_flight: int, n_calls: int) -> list[float]:
    """Seconds from asking to having the recorded answer, call by call."""

    def ask(number: int) -> float:
        begin = time.perf_counter()
        mm.generate(f"Say hello to number {number}.", model=MODEL)
        return time.perf_counter() - begin

    with ThreadPoolExecutor(n_in_flight) as pool:
        return list(pool.map(ask, range(n_calls)))


def bare_commit_ms(database: Path) -> float:
    """The median of one insert and commit with the settings that the product's writer has."""
    times = []
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE t (x TEXT)")
        for _ in range(200):
            begin = time.perf_counter()
            connection.execute("INSERT INTO t VALUES (?)", ("x" * 1000,))
            connection.commit()
            times.append(time.perf_counter() - begin)
    return median_ms(times)


def added_by_comparison_ms(mm: ModelManager, run: int) -> float:
    begin = time.perf_counter()
    comparison = mm.comparisons.wait(mm.comparisons.start(f"Why is the sky blue? Question {run}.", CANDIDATES))
    elapsed_s = time.perf_counter() - begin
    answers = [candidate.generation for candidate in comparison.candidates]
    assert all(answer is not None and answer.status == "ok" for answer in answers)
    return (elapsed_s - max(answer.latency_s for answer in answers if answer is not None)) * 1000


if __name__ == "__main__":
    main()
