"""Measures how many can look at the pages at once: viewers over Streamlit's own WebSocket, against one server on this machine's cores.

For each page: the processor time of one view by a single viewer, warm, at 10,000 and at 1,000,000 demo calls; then, at 1,000,000, pages a
second and the time of a page with many viewers, each of whom asks for the page again as soon as it is drawn, and beside them what a
program waits for a simulated model that answers at once, longer than with nobody looking. A view is a run of the page's whole script up to
`script_finished`, its messages received, not drawn. The viewers run in a process of their own on the same cores.
"""

import argparse
import asyncio
import json
import os
import statistics
import time
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from common import Server, demo_database, print_table, serving
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect

PATHS = (
    "monitoring", "experiments", "log", "workflows", "settings", "home", "playground", "compare", "gateway", "models", "budgets",
    "prompts", "datasets",
)  # fmt: skip
SIZES = (10_000, 1_000_000)
N_VIEWERS, SECONDS = 30, 20.0
N_WARM, N_SINGLE = 4, 15
LOADED_AFTER_S = 8.0  # the workflow engine loads 3 s after the start
LARGEST_NOTICE = 1000  # what says that a run began or ended is short; only that is read
BETWEEN_CALLS_S = 0.1
QUIET_S = 10.0
TIMEOUT_S = 180.0


class Seen(NamedTuple):
    """What many viewers got of a page, and what a program waited meanwhile; seconds."""

    rate: float
    views: list[float]
    calls: list[float]


class Viewer:
    """A browser's connection without its drawing."""

    def __init__(self, socket: ClientConnection, page: str) -> None:
        self._socket = socket
        self._page = page
        self._hash = ""

    async def view(self) -> float:
        """Ask for the page and wait until its script has run; the seconds that it took."""
        asked = BackMsg()
        asked.rerun_script.page_script_hash = self._hash
        asked.rerun_script.page_name = "" if self._hash else self._page
        asked.rerun_script.context_info.color_scheme = "light"
        begun = time.perf_counter()
        await self._socket.send(asked.SerializeToString())
        async with asyncio.timeout(TIMEOUT_S):
            while not self._is_over(await self._socket.recv(decode=False)):
                pass
        return time.perf_counter() - begun

    def _is_over(self, message: bytes) -> bool:
        if self._hash and len(message) > LARGEST_NOTICE:
            return False
        read = ForwardMsg.FromString(message)
        kind = read.WhichOneof("type")
        if kind == "navigation":
            self._hash = read.navigation.page_script_hash
        elif kind == "page_not_found":
            raise LookupError(f"there is no page {self._page}")
        return kind == "script_finished" and bool(read.script_finished == ForwardMsg.FINISHED_SUCCESSFULLY)


@asynccontextmanager
async def viewer(server: Server, page: str) -> AsyncIterator[Viewer]:
    address = f"ws://localhost:{server.port}/_stcore/stream"
    async with connect(address, subprotocols=["streamlit"], max_size=None, compression="deflate") as socket:  # type: ignore[list-item]
        yield Viewer(socket, page)


def main() -> None:
    given = parsed()
    costs: dict[str, list[str]] = {page: [] for page in given.pages}
    crowds: list[tuple[str, ...]] = []
    print(f"load before: {load()}; {os.cpu_count()} cores")
    for size in SIZES:
        with demo_database(size, given.cache) as database, serving(database, {"AIMM_SIMULATED_SPEED": "0"}) as server:
            time.sleep(LOADED_AFTER_S)
            for page in given.pages:
                costs[page] += asyncio.run(single(server, page))
            if size == SIZES[-1]:
                quiet = asyncio.run(quiet_calls(server))
                for page in given.pages:
                    crowds.append(crowd_row(page, asyncio.run(crowd(server, page, given)), quiet))
                    print(*crowds[-1], flush=True)
    head = ("page", *(f"{what} at {size:,}" for size in SIZES for what in ("cold ms", "warm ms", "processor ms")))
    print_table("One viewer: a first view, then the median of warm ones and their processor time", head, [(page, *cost) for page, cost in costs.items()])  # fmt: skip
    head = ("page", "pages/s", "p50 s", "p95 s", "program's p50 ms", "p95 ms", "added p95 ms")
    print_table(f"{given.viewers} viewers at once, {SIZES[-1]:,} calls; load {load()}", head, crowds)


async def single(server: Server, page: str) -> list[str]:
    """The first view, the median of warm ones, and the processor time of one of these, its share of the background included; ms."""
    async with viewer(server, page) as one:
        cold = await one.view()
        for _ in range(N_WARM):
            await one.view()
        begun = processor_s(server)
        views = [await one.view() for _ in range(N_SINGLE)]
        await asyncio.sleep(0.3)  # what a run leaves behind is tidied up after its end
        spent = (processor_s(server) - begun) / N_SINGLE
    return [f"{1000 * seconds:.0f}" for seconds in (cold, statistics.median(views), spent)]


def processor_s(server: Server) -> float:
    return float(sum(times.user + times.system for times in (each.cpu_times() for each in server.tree())))


async def crowd(server: Server, page: str, given: argparse.Namespace) -> Seen:
    views: list[float] = []
    begins = asyncio.Event()
    over = time.perf_counter() + TIMEOUT_S

    async def looks() -> None:
        async with viewer(server, page) as one:
            await one.view()
            arrived.release()
            await begins.wait()
            while time.perf_counter() < over:
                seconds = await one.view()
                if time.perf_counter() < over:
                    views.append(seconds)

    arrived = asyncio.Semaphore(0)
    async with asyncio.TaskGroup() as group:  # ends with the first viewer that fails
        for _ in range(given.viewers):
            group.create_task(looks())
        for _ in range(given.viewers):
            await arrived.acquire()
        over = time.perf_counter() + given.seconds
        begins.set()
        calls = await timed_calls(server, given.seconds)
    return Seen(len(views) / given.seconds, views, calls)


async def quiet_calls(server: Server) -> list[float]:
    await timed_calls(server, 1.0)
    return await timed_calls(server, QUIET_S)


async def timed_calls(server: Server, seconds: float) -> list[float]:
    """The times of a program's calls, one after the other, for so long."""
    over, found = time.perf_counter() + seconds, list[float]()
    while time.perf_counter() < over:
        found.append(await asyncio.to_thread(call, server, len(found)))
        await asyncio.sleep(BETWEEN_CALLS_S)
    return found


def call(server: Server, number: int) -> float:
    body = {"model": "sim-fast", "messages": [{"role": "user", "content": f"Ahoy, number {number}?"}], "max_tokens": 20}
    request = urllib.request.Request(f"{server.address}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"})  # fmt: skip
    begun = time.perf_counter()
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
        response.read()
    return time.perf_counter() - begun


def crowd_row(page: str, seen: Seen, quiet: Sequence[float]) -> tuple[str, ...]:
    views = f"{seen.rate:.1f}", f"{at(seen.views, 50):.2f}", f"{at(seen.views, 95):.2f}"
    calls = [
        f"{1000 * seconds:.0f}"
        for seconds in (at(seen.calls, 50), at(seen.calls, 95), at(seen.calls, 95) - at(quiet, 95))
    ]
    return (page, *views, *calls)


def at(values: Sequence[float], percentile: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percentile - 1] if len(values) > 1 else float("nan")


def load() -> str:
    return " ".join(f"{each:.1f}" for each in os.getloadavg())


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, help="a folder that keeps the large demo databases for the next run")
    parser.add_argument("--viewers", type=int, default=N_VIEWERS)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for each page")
    parser.add_argument("pages", nargs="*", default=PATHS, help="the pages' addresses; by default all")
    return parser.parse_args()


if __name__ == "__main__":
    main()
