"""Asks a gateway over kept connections, each the next question as soon as it has its answer, and prints JSON.

`python benchmarks/gateway_load.py '{"port": 8000, "key": "x", "connections": 32, "seconds": 5}'`; it is a process of
its own, so that its work is not counted as the server's.
"""

import asyncio
import json
import os
import re
import sys
import time
from dataclasses import asdict, dataclass, field

from gateway_wires import WIRES

QUESTION = (
    "Question number 000000000. Please explain in plain words, for somebody who has not heard any physics since "
    "school, why the sky is blue by day, red at sunset and black at night. Use no formula, mention who found it out "
    "and when, name one everyday experiment that shows the same effect, and finish with one sentence that a child "
    "of eight would understand. Keep the whole answer below one hundred and fifty words."
)
NUMBER = b"000000000"
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
TAIL = 20  # bytes kept of what came before: one less than the longest mark that is looked for


@dataclass(frozen=True)
class Load:
    port: int
    key: str
    model: str = ""  # empty = that of the wire
    wire: str = "chat"
    stream: bool = False
    connections: int = 1
    seconds: float = 0.0  # stop asking after so long, or
    requests: int = 0  # after so many
    ramp_s: float = 0.0  # the connections open evenly over this time
    least_events: int = 0  # a stream with fewer is an error
    core: int | None = None


@dataclass
class Result:
    done: int = 0
    errors: int = 0
    first_error: str = ""
    seconds: float = 0.0
    events: int = 0
    total_ms: list[float] = field(default_factory=list)  # at the end: p50, p95, p99
    first_ms: list[float] = field(default_factory=list)


class Client:
    """What the connections share: the question, how many were asked, and what came of them."""

    def __init__(self, load: Load) -> None:
        self.load, self.result = load, Result()
        self.n_asked = 0
        self.number = time.time_ns() // 10**6 % 10**9  # no two runs ask the same question
        self.deadline = time.perf_counter() + load.seconds if load.seconds else float("inf")
        self.wire = WIRES[load.wire]
        self.text = re.compile(self.wire.text)
        body = self.wire.body(QUESTION, load.model or self.wire.model, stream=load.stream)
        content = json.dumps(body).encode()
        head = f"POST {self.wire.path} HTTP/1.1\r\nHost: 127.0.0.1:{load.port}\r\nUser-Agent: benchmark\r\n"
        head += f"Authorization: Bearer {load.key}\r\nContent-Type: application/json\r\nAccept: */*\r\n"
        whole = f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content
        self.before, _, self.after = whole.partition(NUMBER)

    def next_question(self) -> bytes | None:
        load = self.load
        if time.perf_counter() >= self.deadline or (load.requests and self.n_asked >= load.requests):
            return None
        self.n_asked += 1
        self.number = (self.number + 1) % 10**9
        return b"%b%09d%b" % (self.before, self.number, self.after)

    def failed(self, why: str) -> None:
        self.result.errors += 1
        self.result.first_error = self.result.first_error or why


class Connection(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self, client: Client) -> None:
        self.client = client
        self.over = False  # nothing more to ask
        self.closed = asyncio.get_running_loop().create_future()
        self.asking = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.asking:
            self.client.failed(f"the connection broke: {exc}")
        self.closed.set_result(None)

    def ask(self) -> None:
        question = self.client.next_question()
        if question is None:
            self.over = True
            self.transport.close()
            return
        self.head, self.left, self.tail = b"", -1, b""  # left: bytes of a plain body still to come
        self.n_events, self.first_s, self.complete = 0, 0.0, not self.client.load.stream
        self.asking = True
        self.begin = time.perf_counter()
        self.transport.write(question)

    def data_received(self, data: bytes) -> None:
        if not self.tail and self.left < 0:
            self.head += data
            if b"\r\n\r\n" not in self.head:
                return
            self.head, _, data = self.head.partition(b"\r\n\r\n")
            length = LENGTH.search(self.head)
            self.left = int(length[1]) if length else -1
            self.tail = b"\r\n"
        if self.left >= 0:
            self.left -= len(data)
            if self.left <= 0:
                self.answered(data)
            return
        seen = self.tail + data
        self.tail = seen[-TAIL:]
        self.n_events += seen.count(b"data: ")
        if not self.first_s and self.client.text.search(seen):
            self.first_s = time.perf_counter() - self.begin
        self.complete = self.complete or self.client.wire.done in seen
        if seen.endswith(b"0\r\n\r\n"):
            self.answered(seen)

    def answered(self, last: bytes) -> None:
        result = self.client.result
        took_s = time.perf_counter() - self.begin
        self.asking = False
        if b" 200 " not in self.head[:15] or not self.complete or self.n_events < self.client.load.least_events:
            self.client.failed(f"{self.head[:15]!r}, {self.n_events} events, at the end {last[-500:]!r}")
        else:
            result.done += 1
            result.events += self.n_events
            result.total_ms.append(took_s * 1000)
            if self.client.load.stream:
                result.first_ms.append(self.first_s * 1000)
        self.ask()


async def keep_asking(client: Client, wait_s: float) -> None:
    """One connection, opened anew when the server closes it."""
    await asyncio.sleep(wait_s)
    loop = asyncio.get_running_loop()
    over = False
    while not over:
        try:
            _, made = await loop.create_connection(lambda: Connection(client), "127.0.0.1", client.load.port)
        except OSError as error:
            client.failed(f"no connection: {error}")
            return
        await made.closed
        over = made.over


def percentiles(values: list[float]) -> list[float]:
    ordered = sorted(values)
    return [ordered[min(int(len(ordered) * part), len(ordered) - 1)] for part in (0.5, 0.95, 0.99)] if ordered else []


async def run(load: Load) -> Result:
    client = Client(load)
    begin = time.perf_counter()
    n = load.connections
    await asyncio.gather(*(keep_asking(client, load.ramp_s * at / n) for at in range(n)))
    result = client.result
    result.seconds = time.perf_counter() - begin
    result.total_ms, result.first_ms = percentiles(result.total_ms), percentiles(result.first_ms)
    return result


if __name__ == "__main__":
    wanted = Load(**json.loads(sys.argv[1]))
    if wanted.core is not None:
        os.sched_setaffinity(0, {wanted.core})
    print(json.dumps(asdict(asyncio.run(run(wanted)))))
