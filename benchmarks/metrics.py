"""Measures GET /api/metrics at 10,000 and at 1,000,000 generations, and what the server keeps in memory.

The window is the last 30 days by day. Times are medians of 50 requests after a warm-up over one kept connection, and
the same through `mm.monitoring` in this process. Memory is that of the server's process tree 30 s after its start
with one page open in Chromium.
"""

import http.client
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from common import (
    CHROMIUM_FLAGS,
    arguments,
    chromium,
    demo_database,
    median_ms,
    open_manager,
    print_table,
    serving,
)
from playwright.sync_api import sync_playwright

SIZES = (10_000, 1_000_000)
N_WARM_UP, N_REQUESTS = 10, 50
REST_S = 30.0


def main() -> None:
    cache = arguments(__doc__).cache
    times: list[tuple[float, float]] = []
    memory: list[tuple[str, str]] = []
    for size in SIZES:
        with demo_database(size, cache) as database:
            times.append((median_ms(over_http(database)), median_ms(in_process(database))))
            memory.append((f"{size:,}", f"{rss_at_rest_mb(database):.0f} MB"))
    rows = [
        (f"{size:,}", *(f"{median:.1f} ms" for median in medians)) for size, medians in zip(SIZES, times, strict=True)
    ]
    rows += [("ratio", *(f"{large / small:.2f}" for small, large in zip(*times, strict=True)))]
    print_table("30 days by day, median of 50", ("generations", "GET /api/metrics", "in process"), rows)
    print_table(f"Server at rest, {REST_S:.0f} s after start, one page open", ("generations", "RSS"), memory)


def since() -> datetime:
    return datetime.now(UTC) - timedelta(days=30)


def over_http(database: Path) -> list[float]:
    path = f"/api/metrics?bucket=day&simulated=true&from={since():%Y-%m-%dT%H:%M:%SZ}"
    with serving(database) as server:
        time.sleep(5)  # the workflow engine loads 3 s after the start
        connection = http.client.HTTPConnection("localhost", server.port)

        def ask() -> float:
            begin = time.perf_counter()
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read()
            elapsed = time.perf_counter() - begin
            assert response.status == 200, body
            assert json.loads(body)["metrics"], "no metrics for a database full of calls"
            return elapsed

        result = [ask() for _ in range(N_WARM_UP + N_REQUESTS)][N_WARM_UP:]
        connection.close()
    return result


def in_process(database: Path) -> list[float]:
    result = []
    with open_manager(database) as mm:
        for _ in range(N_WARM_UP + N_REQUESTS):
            begin = time.perf_counter()
            mm.monitoring.by_model(mm.monitoring.window(since()), bucket="day", simulated=True)
            result.append(time.perf_counter() - begin)
    return result[N_WARM_UP:]


def rss_at_rest_mb(database: Path) -> float:
    with serving(database) as server, sync_playwright() as playwright:
        started = time.monotonic()
        browser = playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_FLAGS)
        page = browser.new_page(bypass_csp=True)
        page.goto(server.address)
        page.wait_for_selector("h1")
        time.sleep(max(0.0, REST_S - (time.monotonic() - started)))
        result = server.rss_mb()
        browser.close()
    return result


if __name__ == "__main__":
    main()
