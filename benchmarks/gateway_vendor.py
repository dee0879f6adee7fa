"""A fake vendor on OpenAI's wires and Anthropic's, as cheap as a server in Python can be: `python benchmarks/gateway_vendor.py PORT`.

The model's name in the body says how a stream comes: `gpt-4o` 60 chunks at full speed, `gpt-4.1` the same 20 ms apart,
`gpt-4o-mini` 20 chunks a second for a minute (AIMM_BENCH_CHUNKS_PER_S, AIMM_BENCH_STREAM_S). Every chunk is a write
of its own. Whoever does not show the vendor's key is refused.
"""

import asyncio
import json
import os
import re
import sys
from itertools import cycle, islice
from typing import Any

from gateway_wires import N_CHUNKS, WORDS, message_answer, message_events, response_answer, response_events

KEY = "sk-bench-0123456789abcdef0123456789abcdef"
PAUSE_S = 0.02
CHUNKS_PER_S = float(os.environ.get("AIMM_BENCH_CHUNKS_PER_S", "20"))
STREAM_S = float(os.environ.get("AIMM_BENCH_STREAM_S", "60"))
USAGE = {
    "prompt_tokens": 120,
    "completion_tokens": 150,
    "total_tokens": 270,
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
    "completion_tokens_details": {
        "reasoning_tokens": 0,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
}
IDENTITY = {"id": "chatcmpl-BenchmarkBenchmarkBenchmark00", "created": 1790000000, "model": "gpt-4o-2024-08-06"}
END = {"service_tier": "default", "system_fingerprint": "fp_a1b2c3d4e5"}
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
STREAMED = re.compile(rb'"stream": ?true')


def response(status: str, answer: dict[str, Any]) -> bytes:
    body = json.dumps(answer, separators=(",", ":")).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nx-request-id: req_bench\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def plain() -> bytes:
    message = {"role": "assistant", "content": " ".join(islice(cycle(WORDS), 130)), "refusal": None, "annotations": []}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return response("200 OK", {**IDENTITY, "object": "chat.completion", "choices": [choice], "usage": USAGE, **END})


def event(choices: list[dict[str, Any]], usage: dict[str, Any] | None = None) -> bytes:
    whole = {**IDENTITY, "object": "chat.completion.chunk", **END, "choices": choices, "usage": usage}
    return chunk(b"data: " + json.dumps(whole, separators=(",", ":")).encode() + b"\n\n")


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def delta(part: dict[str, Any], finish_reason: str | None = None) -> bytes:
    return event([{"index": 0, "delta": part, "logprobs": None, "finish_reason": finish_reason}])


def streamed(n_chunks: int) -> list[bytes]:
    """The writes of a stream's contents; the first also holds the head, and says the role as the first event."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nx-request-id: req_bench\r\n"
    first = head + b"Transfer-Encoding: chunked\r\n\r\n" + delta({"role": "assistant", "content": "", "refusal": None})
    pieces = [delta({"content": f"{word} "}) for word in islice(cycle(WORDS), n_chunks)]
    return [first + pieces[0], *pieces[1:]]


PLAIN = plain()
STREAM = streamed(N_CHUNKS)
LONG_STREAM = streamed(int(CHUNKS_PER_S * STREAM_S))
FINISH, USED, DONE = delta({}, "stop"), event([], USAGE), chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
# By the end of the address: a plain answer, and the writes of a stream.
OTHERS = {
    b"/responses ": (response("200 OK", response_answer(130)), [chunk(e) for e in response_events(N_CHUNKS)]),
    b"/messages ": (response("200 OK", message_answer(130)), [chunk(e) for e in message_events(N_CHUNKS)]),
}
EMPTY = response("400 Bad Request", {"error": {"message": "Missing required parameter: 'model'."}})
NAMES = ("gpt-4o", "gpt-4.1", "gpt-4o-mini", "claude-sonnet-4-5")
MODELS = response(
    "200 OK", {"object": "list", "data": [{"id": name, "object": "model", "owned_by": "x"} for name in NAMES]}
)
REFUSED = response("401 Unauthorized", {"error": {"message": "Incorrect API key", "code": "invalid_api_key"}})


class Vendor(asyncio.Protocol):
    transport: asyncio.Transport
    task: "asyncio.Task[None] | None" = None

    def __init__(self) -> None:
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, mark, body = self.received.partition(b"\r\n\r\n")
        if not mark:
            return
        length = LENGTH.search(head)
        if length and len(body) < int(length[1]):
            return
        self.received = b""
        self.answer(head, body)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.task:
            self.task.cancel()

    def answer(self, head: bytes, body: bytes) -> None:
        if KEY.encode() not in head:
            self.transport.write(REFUSED)
        elif head.startswith(b"GET "):
            self.transport.write(MODELS)
        elif (
            other := next((each for end, each in OTHERS.items() if end in head.split(b"\r\n", 1)[0]), None)
        ) is not None:
            if len(body) < 5:
                self.transport.write(EMPTY)
            elif STREAMED.search(body):
                self.task = asyncio.ensure_future(self.written([EVENTS + other[1][0], *other[1][1:], b"0\r\n\r\n"]))
            else:
                self.transport.write(other[0])
        elif not STREAMED.search(body):
            self.transport.write(PLAIN)
        else:
            self.task = asyncio.ensure_future(self.stream(body))

    async def written(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            self.transport.write(piece)
            await asyncio.sleep(0)
        self.task = None

    async def stream(self, body: bytes) -> None:
        pieces, pause_s = STREAM, 0.0
        if b'"gpt-4o-mini"' in body:
            pieces, pause_s = LONG_STREAM, 1 / CHUNKS_PER_S
        elif b'"gpt-4.1"' in body:
            pause_s = PAUSE_S
        now = asyncio.get_running_loop().time
        due = now()
        for piece in pieces:
            self.transport.write(piece)
            due += pause_s
            await asyncio.sleep(max(0, due - now()))
        for piece in (FINISH, USED, DONE) if b'"include_usage"' in body else (FINISH, DONE):
            self.transport.write(piece)
            await asyncio.sleep(0)
        self.task = None


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Vendor, "127.0.0.1", int(sys.argv[1]), backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
