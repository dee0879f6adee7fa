"""A small server that speaks Gemini's wire to the real google-genai SDK, and fails on demand.

`server.next(reply, …)` queues what the next requests get; without a queue, every request gets a short answer.
`server.requests` holds what was asked.
"""

import json
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.fakes.batches import FakeGeminiBatches

KEY = "AIzaTestKeyOfTheFakeServer0123456789abc"
MODELS = ("gemini-2.5-flash", "gemini-2.5-pro", "gemini-2.5-flash-lite", "gemini-3.5-flash", "gemini-unpriced-1")


@dataclass
class Reply:
    """One answer. events: JSON chunks of a stream; who asks for no stream gets the same as one body.

    raw, body: sent instead. hang_s: silence before the answer; pause_s: between its events.
    break_after: The connection is cut after so many events, or in the middle of a body. split_at: bytes per write, to cut characters in two.
    """

    status: int = 200
    events: list[dict[str, Any]] = field(default_factory=list)
    body: dict[str, Any] | None = None
    raw: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    hang_s: float = 0.0
    pause_s: float = 0.0
    break_after: int | None = None
    split_at: int | None = None


def usage(prompt: int | None = 10, candidates: int | None = 5, **more: Any) -> dict[str, Any]:
    """usageMetadata; None leaves a field out."""
    values = {"promptTokenCount": prompt, "candidatesTokenCount": candidates, **more}
    total = (
        (prompt or 0) + (candidates or 0) + more.get("thoughtsTokenCount", 0) + more.get("toolUsePromptTokenCount", 0)
    )
    return {name: value for name, value in {**values, "totalTokenCount": total}.items() if value is not None}


def event(
    text: str | None = None,
    *,
    finish: str | None = None,
    usage: dict[str, Any] | None = None,
    thought: bool = False,
    **more: Any,
) -> dict[str, Any]:
    candidate: dict[str, Any] = {"index": 0}
    if text is not None:
        candidate["content"] = {"role": "model", "parts": [{"text": text, **({"thought": True} if thought else {})}]}
    if finish:
        candidate["finishReason"] = finish
    value: dict[str, Any] = {"candidates": [candidate], "responseId": "r1", **more}
    if usage is not None:
        value["usageMetadata"] = usage
    return value


def answer(text: str = "Hello from the fake.", **usage_fields: Any) -> Reply:
    half = len(text) // 2
    counted = usage(**usage_fields)
    return Reply(events=[event(text[:half], usage=counted), event(text[half:], finish="STOP", usage=counted)])


def tool_event(*calls: tuple[str, dict[str, Any], str], finish: str | None = "STOP") -> dict[str, Any]:
    """Calls of tools, (name, arguments, signature or "") each, as one event."""
    parts = [
        {"functionCall": {"name": name, "args": args}, **({"thoughtSignature": signature} if signature else {})}
        for name, args, signature in calls
    ]
    candidate = {"index": 0, "content": {"role": "model", "parts": parts}, "finishReason": finish}
    return {"candidates": [candidate], "responseId": "r1", "usageMetadata": usage()}


def as_response(events: list[dict[str, Any]]) -> dict[str, Any]:
    """The answer of generateContent that a stream spells out."""
    if refused := [value for value in events if "error" in value]:
        return refused[0]
    whole: dict[str, Any] = {}
    candidates: dict[int, dict[str, Any]] = {}
    for value in events:
        whole |= value
        for each in value.get("candidates") or ():
            candidate = candidates.setdefault(each.get("index", 0), {"content": {"role": "model", "parts": []}})
            said = (each.get("content") or {}).get("parts") or []
            content = {"role": "model", "parts": candidate["content"]["parts"] + said}
            candidate |= {**each, "content": content}
    if candidates:
        whole["candidates"] = list(candidates.values())
    return whole


def error(
    code: int, status: str, message: str, *details: dict[str, Any], headers: dict[str, str] | None = None
) -> Reply:
    body = {"error": {"code": code, "status": status, "message": message, "details": list(details)}}
    return Reply(status=code, body=body, headers=headers or {})


def rate_limited(retry_s: float = 0.05) -> Reply:
    return error(
        429,
        "RESOURCE_EXHAUSTED",
        "You exceeded your current quota.",
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{retry_s}s"},
        {
            "@type": "type.googleapis.com/google.rpc.QuotaFailure",
            "violations": [{"quotaId": "GenerateRequestsPerMinutePerProject", "quotaValue": "10"}],
        },
    )


class FakeGemini:
    def __init__(self, key: str = KEY) -> None:
        self.key = key
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.cut_off = threading.Event()  # set when a client left in the middle of an answer
        self._queue: deque[Reply] = deque()
        self.batches = FakeGeminiBatches(self._in_batch)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def next(self, *replies: Reply) -> None:
        self._queue.extend(replies)

    def clear(self) -> None:
        self._queue.clear()

    def forget(self) -> None:
        """Forget what is queued, what was asked, and who left."""
        self._queue.clear()
        self.requests.clear()
        self.headers.clear()
        self.cut_off.clear()
        self.batches.forget()

    def take(self, path: str = "", body: dict[str, Any] | None = None) -> Reply:
        if self._queue:
            return self._queue.popleft()
        if path.endswith(":batchEmbedContents"):
            return Reply(
                body={
                    "embeddings": [{"values": [0.25, -0.5, float(at)]} for at, _ in enumerate((body or {})["requests"])]
                }
            )
        if path.endswith(":embedContent"):
            return Reply(body={"embedding": {"values": [0.25, -0.5, 9.0]}})
        return Reply(body={"totalTokens": 7}) if path.endswith(":countTokens") else answer()

    def _in_batch(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        reply = self.take(":generateContent", body)
        return reply.status, reply.body if reply.body is not None else as_response(reply.events)

    def pending(self) -> int:
        """How many queued replies nobody has asked for."""
        return len(self._queue)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(fake: FakeGemini) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            if not self._authorised() or self._batched(b""):
                return
            models = [
                {
                    "name": f"models/{name}",
                    "displayName": name,
                    "inputTokenLimit": 1_048_576,
                    "outputTokenLimit": 65_536,
                    "supportedGenerationMethods": ["generateContent", "countTokens"],
                }
                for name in MODELS
            ]
            self._json(200, {"models": models}, {})

        def do_DELETE(self) -> None:
            if self._authorised():
                self._batched(b"")

        def _batched(self, raw: bytes) -> bool:
            """Answer what is about batches."""
            if not fake.batches.owns(self.path):
                return False
            status, body = fake.batches.handle(self.command, self.path, raw)
            if body is None:
                self._cut()
            elif isinstance(body, bytes):
                self._bytes(status, body, {})
            else:
                self._json(status, body, {})
            return True

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            if not self._authorised() or self._batched(raw):
                return
            body = json.loads(raw)
            fake.requests.append({"path": self.path, "body": body})
            fake.headers.append(dict(self.headers))
            model = self.path.rpartition("/")[2].partition(":")[0]
            if any(each.get("model") != f"models/{model}" for each in body.get("requests", ())):
                refused = error(400, "INVALID_ARGUMENT", "requests[].model must match the model of the address.")
                self._json(400, refused.body or {}, {})
                return
            reply = fake.take(self.path, body)
            time.sleep(reply.hang_s)
            try:
                if reply.body is not None:
                    self._json(reply.status, reply.body, reply.headers, reply)
                elif reply.raw is not None:
                    self._bytes(reply.status, reply.raw, reply.headers)
                elif ":streamGenerateContent" in self.path:
                    self._stream(reply)
                else:
                    self._json(reply.status, as_response(reply.events), reply.headers, reply)
            except (BrokenPipeError, ConnectionResetError):
                fake.cut_off.set()
                self.close_connection = True

        def _authorised(self) -> bool:
            if fake.key in (self.headers.get("x-goog-api-key"), (self.headers.get("Authorization") or "")[7:]):
                return True
            info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
            bad = error(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", info)
            self._json(400, bad.body or {}, {})
            return False

        def _json(self, status: int, body: dict[str, Any], headers: dict[str, str], reply: Reply | None = None) -> None:
            raw = json.dumps(body, ensure_ascii=False).encode()
            self._bytes(status, raw, {"Content-Type": "application/json", **headers}, reply)

        def _bytes(self, status: int, raw: bytes, headers: dict[str, str], reply: Reply | None = None) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(raw)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if reply is not None and reply.break_after is not None:
                raw = raw[: len(raw) // 2] if reply.break_after else b""
            size = (reply.split_at if reply else None) or max(1, len(raw))
            for at in range(0, len(raw), size):
                self.wfile.write(raw[at : at + size])
                self.wfile.flush()
            if reply is not None and reply.break_after is not None:
                self._cut()

        def _cut(self) -> None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

        def _stream(self, reply: Reply) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            for number, value in enumerate(reply.events):
                if reply.break_after is not None and number >= reply.break_after:
                    self._cut()
                    return
                raw = b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\r\n\r\n"
                size = reply.split_at or len(raw)
                for at in range(0, len(raw), size):
                    self._chunk(raw[at : at + size])
                time.sleep(reply.pause_s)
            self._chunk(b"")

        def _chunk(self, raw: bytes) -> None:
            self.wfile.write(f"{len(raw):x}\r\n".encode() + raw + b"\r\n")
            self.wfile.flush()

    return Handler
