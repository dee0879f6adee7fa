"""A server that speaks the OpenAI and the Anthropic wire, and can be told to fail."""

import json
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-TestKeyOfTheFakeVendor0123456789"


@dataclass
class Reply:
    """One answer. events: (event name or "", JSON) of a stream. raw: bytes sent instead; split_at: bytes per write."""

    status: int = 200
    events: list[tuple[str, Any]] = field(default_factory=list)
    body: Any = None
    raw: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    hang_s: float = 0.0
    break_after: int | None = None
    split_at: int | None = None
    content_type: str = "text/event-stream"


def openai_answer(text: str = "Hello there.", usage: dict[str, Any] | None = None, **more: Any) -> Reply:
    """A stream of two pieces, a finish reason, and usage in a chunk of its own."""
    head = {"id": "c1", "object": "chat.completion.chunk", "model": "gpt-4o-2024-08-06", **more}
    half = len(text) // 2
    counted = usage if usage is not None else {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    events = [
        {**head, "choices": [{"index": 0, "delta": {"role": "assistant", "content": text[:half]}}]},
        {**head, "choices": [{"index": 0, "delta": {"content": text[half:]}}]},
        {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    ]
    if counted:
        events.append({**head, "choices": [], "usage": counted})
    return Reply(events=[("", event) for event in events] + [("", "[DONE]")])


def anthropic_answer(text: str = "Hello there.", usage: dict[str, Any] | None = None, thinking: str = "") -> Reply:
    """The events of a message; the input is counted at its start, the output at its end."""
    counted = usage or {"input_tokens": 10}
    events: list[tuple[str, Any]] = [
        ("message_start", {"type": "message_start", "message": {"model": "claude-sonnet-4-5-20250929", "usage": {**counted, "output_tokens": 1}}}),
        ("ping", {"type": "ping"}),
    ]  # fmt: skip
    if thinking:
        events.append(("content_block_delta", {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": thinking}}))  # fmt: skip
    events += [
        ("content_block_delta", {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}),
        ("message_delta", {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}}),
        ("message_stop", {"type": "message_stop"}),
    ]  # fmt: skip
    return Reply(events=events)


def failure(status: int, message: str, code: str = "", headers: dict[str, str] | None = None) -> Reply:
    return Reply(status=status, body={"error": {"message": message, "type": code, "code": code}}, headers=headers or {})


class FakeVendor:
    """Answers /v1/chat/completions, /v1/messages, /v1/messages/count_tokens and /v1/models."""

    def __init__(
        self, models: tuple[str, ...] = ("gpt-4o", "claude-sonnet-4-5", "llama3.2:3b", "text-embedding-3-small")
    ) -> None:
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.models = models
        self.cut_off = threading.Event()
        self._queue: deque[Reply] = deque()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def next(self, *replies: Reply) -> None:
        self._queue.extend(replies)

    def take(self, path: str) -> Reply:
        if self._queue:
            return self._queue.popleft()
        return anthropic_answer() if path.endswith("/messages") else openai_answer()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(fake: FakeVendor) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            if not self._authorised():
                return
            self._json(200, {"data": [{"id": name, "display_name": name.title()} for name in fake.models]}, {})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if not self._authorised():
                return
            fake.requests.append({"path": self.path, "body": body})
            fake.headers.append(dict(self.headers))
            if self.path.endswith("/count_tokens"):
                self._json(200, {"input_tokens": 42}, {})
                return
            reply = fake.take(self.path)
            time.sleep(reply.hang_s)
            try:
                if reply.body is not None:
                    self._json(reply.status, reply.body, reply.headers)
                elif reply.raw is not None:
                    self._bytes(reply.status, reply.raw, {"Content-Type": reply.content_type, **reply.headers})
                else:
                    self._stream(reply)
            except (BrokenPipeError, ConnectionResetError):
                fake.cut_off.set()
                self.close_connection = True

        def _authorised(self) -> bool:
            given = self.headers.get("x-api-key") or (self.headers.get("Authorization") or "").removeprefix("Bearer ")
            if given in (KEY, ""):
                return True
            self._json(
                401, {"error": {"message": f"Incorrect API key provided: {given}", "code": "invalid_api_key"}}, {}
            )
            return False

        def _json(self, status: int, body: Any, headers: dict[str, str]) -> None:
            self._bytes(status, json.dumps(body).encode(), {"Content-Type": "application/json", **headers})

        def _bytes(self, status: int, raw: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(raw)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(raw)

        def _stream(self, reply: Reply) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream; charset=utf-8")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self._chunk(b": a comment, as some servers send\n\n")
            for number, (name, value) in enumerate(reply.events):
                if reply.break_after is not None and number >= reply.break_after:
                    self.close_connection = True
                    self.connection.close()
                    return
                data = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
                raw = (f"event: {name}\n" if name else "").encode() + f"data: {data}\n\n".encode()
                size = reply.split_at or len(raw)
                for at in range(0, len(raw), size):
                    self._chunk(raw[at : at + size])
            self._chunk(b"")

        def _chunk(self, raw: bytes) -> None:
            self.wfile.write(f"{len(raw):x}\r\n".encode() + raw + b"\r\n")
            self.wfile.flush()

    return Handler
