"""A server that speaks the OpenAI and the Anthropic wire, and can be told to fail."""

import base64
import json
import socket
import struct
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.fakes import media, refusals

KEY = "sk-TestKeyOfTheFakeVendor0123456789"


@dataclass
class Reply:
    """One answer. events: (event name or "", JSON) of a stream; who asks for no stream gets the same as one body.

    raw, body: sent instead. hang_s: silence before the answer; pause_s: between its events. split_at: bytes per write.
    break_after: The connection is cut after so many events, or in the middle of a body.
    """

    status: int = 200
    events: list[tuple[str, Any]] = field(default_factory=list)
    body: Any = None
    raw: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    hang_s: float = 0.0
    pause_s: float = 0.0
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


def anthropic_answer(
    text: str = "Hello there.",
    usage: dict[str, Any] | None = None,
    thinking: str = "",
    at_end: dict[str, Any] | None = None,
) -> Reply:
    """The events of a message; the input is counted at its start, the output at its end."""
    counted = usage or {"input_tokens": 10}
    head = {"id": "msg_1", "type": "message", "role": "assistant", "content": [], "stop_reason": None}
    message = {**head, "model": "claude-sonnet-4-5-20250929", "usage": {**counted, "output_tokens": 1}}
    events: list[tuple[str, Any]] = [
        ("message_start", {"type": "message_start", "message": message}), ("ping", {"type": "ping"})
    ]  # fmt: skip
    if thinking:
        events += _block(
            0, {"type": "thinking", "thinking": "", "signature": ""}, {"type": "thinking_delta", "thinking": thinking}
        )
    events += _block(int(bool(thinking)), {"type": "text", "text": ""}, {"type": "text_delta", "text": text})
    events += [
        ("message_delta", {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {**(at_end or {}), "output_tokens": 5}}),
        ("message_stop", {"type": "message_stop"}),
    ]  # fmt: skip
    return Reply(events=events)


def _block(index: int, block: dict[str, Any], delta: dict[str, Any]) -> list[tuple[str, Any]]:
    return [
        ("content_block_start", {"type": "content_block_start", "index": index, "content_block": block}),
        ("content_block_delta", {"type": "content_block_delta", "index": index, "delta": delta}),
        ("content_block_stop", {"type": "content_block_stop", "index": index}),
    ]


def openai_tools(*calls: tuple[str, str, str], usage: dict[str, Any] | None = None) -> Reply:
    """Calls of tools, (id, name, arguments) each, the arguments in two pieces."""
    deltas: list[dict[str, Any]] = []
    for at, (call_id, name, arguments) in enumerate(calls):
        half = len(arguments) // 2
        first = {"name": name, "arguments": arguments[:half]}
        deltas.append({"tool_calls": [{"index": at, "id": call_id, "type": "function", "function": first}]})
        deltas.append({"tool_calls": [{"index": at, "function": {"arguments": arguments[half:]}}]})
    head = {"id": "c1", "object": "chat.completion.chunk", "model": "gpt-4o-2024-08-06"}
    events: list[dict[str, Any]] = [{**head, "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    events.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
    counted = {"prompt_tokens": 10, "completion_tokens": 5} if usage is None else usage
    events.append({**head, "choices": [], "usage": counted})
    return Reply(events=[("", event) for event in events] + [("", "[DONE]")])


def anthropic_tools(*calls: tuple[str, str, str], text: str = "") -> Reply:
    """A text, if any, and calls of tools."""
    reply = anthropic_answer(text)
    ended = {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 5}}
    events = [event for event in reply.events if event[0] != "message_delta" and (text or "delta" not in event[0])]
    made: list[tuple[str, Any]] = []
    for at, (call_id, name, arguments) in enumerate(calls, 1):
        block = {"type": "tool_use", "id": call_id, "name": name, "input": {}}
        piece = {"type": "input_json_delta", "partial_json": arguments}
        made.append(("content_block_start", {"type": "content_block_start", "index": at, "content_block": block}))
        made.append(("content_block_delta", {"type": "content_block_delta", "index": at, "delta": piece}))
        made.append(("content_block_stop", {"type": "content_block_stop", "index": at}))
    return Reply(events=[*events[:-1], *made, ("message_delta", ended), events[-1]])


def as_completion(events: list[tuple[str, Any]]) -> dict[str, Any]:
    """The chat.completion that a stream of chunks spells out."""
    values = [value for _, value in events if isinstance(value, dict)]
    if refused := [value for value in values if "error" in value]:
        return dict(refused[0])
    message: dict[str, Any] = {"role": "assistant", "content": None}
    calls: dict[int, dict[str, Any]] = {}
    whole: dict[str, Any] = {"object": "chat.completion", "created": 1}
    finish = None
    for value in values:
        whole |= {k: v for k, v in value.items() if k not in ("choices", "object") and v is not None}
        for choice in value.get("choices") or ():
            delta = choice.get("delta") or {}
            finish = choice.get("finish_reason") or finish
            for name in ("content", "reasoning_content"):
                if delta.get(name) is not None:
                    message[name] = (message.get(name) or "") + delta[name]
            for piece in delta.get("tool_calls") or ():
                call = calls.setdefault(piece["index"], {"type": "function", "function": {"name": "", "arguments": ""}})
                call |= {"id": piece["id"]} if "id" in piece else {}
                for name, text in piece["function"].items():
                    call["function"][name] += text
    if calls:
        message["tool_calls"] = [calls[at] for at in sorted(calls)]
    return {**whole, "choices": [{"index": 0, "message": message, "finish_reason": finish}]}


def as_message(events: list[tuple[str, Any]]) -> dict[str, Any]:
    """The message that Anthropic's events spell out."""
    blocks: dict[Any, dict[str, Any]] = {}
    whole: dict[str, Any] = {"type": "message", "role": "assistant", "stop_reason": None, "usage": {}}
    for name, value in events:
        if name == "error":
            return dict(value)
        if name == "message_start":
            whole |= value["message"]
        elif name == "content_block_start":
            blocks[value["index"], "input_json_delta"] = {**value["content_block"], "json": ""}
        elif name == "content_block_delta":
            kind = value["delta"]["type"]
            words = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}[kind]
            into = "json" if words == "partial_json" else words
            block = blocks.setdefault((value["index"], kind), {"type": words, words: ""})
            block[into] += value["delta"][words]
        elif name == "message_delta":
            whole["stop_reason"] = value["delta"].get("stop_reason")
            whole["usage"] = {**whole["usage"], **value.get("usage", {})}
    for block in blocks.values():
        if "json" in block:
            block["input"] = json.loads(block.pop("json") or "{}")
    return {**whole, "content": list(blocks.values())}


def as_embeddings(body: dict[str, Any]) -> dict[str, Any]:
    given = body["input"] if isinstance(body["input"], list) else [body["input"]]
    data: list[dict[str, Any]] = []
    for at, _ in enumerate(given):
        vector: Any = [0.25, -0.5, float(at)]
        if body.get("encoding_format") == "base64":
            vector = base64.b64encode(struct.pack("<3f", *vector)).decode()
        data.append({"object": "embedding", "index": at, "embedding": vector})
    return {"object": "list", "model": body["model"], "data": data, "usage": {"prompt_tokens": 8, "total_tokens": 8}}


def failure(status: int, message: str, code: str = "", headers: dict[str, str] | None = None) -> Reply:
    return Reply(status=status, body={"error": {"message": message, "type": code, "code": code}}, headers=headers or {})


from tests.fakes import batches, responses  # noqa: E402 - which is written with the words above


class FakeVendor:
    """Answers /v1/chat/completions, /v1/messages, /v1/messages/count_tokens and /v1/models."""

    def __init__(
        self,
        models: tuple[str, ...] = ("gpt-4o", "claude-sonnet-4-5", "llama3.2:3b", "text-embedding-3-small"),
        key: str = KEY,
    ) -> None:
        self.key = key
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.models = models
        self.deleted: list[str] = []
        self.stored: set[str] = set()  # ids of responses and items that it keeps
        self.cut_off = threading.Event()
        self.hold: threading.Event | None = None  # answers wait for it
        self._queue: deque[Reply] = deque()
        self.batches = batches.FakeBatches(self._in_batch)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def next(self, *replies: Reply) -> None:
        self._queue.extend(replies)

    def forget(self) -> None:
        """Forget what is queued, what was asked, and who left."""
        self._queue.clear()
        self.requests.clear()
        self.stored.clear()
        self.deleted.clear()
        self.headers.clear()
        self.cut_off.clear()
        self.batches.forget()
        self.hold = None

    def pending(self) -> int:
        """How many queued replies nobody has asked for."""
        return len(self._queue)

    def take(self, path: str, body: dict[str, Any]) -> Reply:
        if self._queue:
            return self._queue.popleft()
        if path.endswith("/embeddings"):
            return Reply(body=as_embeddings(body))
        if path.endswith("/responses"):
            return responses.response_answer()
        if refused := media.refusal(path, body):
            return failure(400, refused, "invalid_request_error")
        if (made := media.answer(path, body)) is not None:
            return Reply(raw=made[0], content_type=made[1])
        return anthropic_answer() if path.endswith("/messages") else openai_answer()

    def _in_batch(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """The status and the body of the answer to a line of a batch."""
        reply = self.take(path, body)
        as_one = as_message if path.endswith("/messages") else as_completion
        as_one = responses.as_response if path.endswith("/responses") else as_one
        whole = reply.body if reply.raw is None else json.loads(reply.raw)
        return reply.status, whole if whole is not None else as_one(reply.events)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(fake: FakeVendor) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            if not self._authorised() or self._batched(b""):
                return
            self._json(200, {"data": [{"id": name, "display_name": name.title()} for name in fake.models]}, {})

        def do_DELETE(self) -> None:
            if self._authorised() and not self._batched(b""):
                fake.deleted.append(self.path)
                self._json(200, {"deleted": True}, {})

        def _batched(self, raw: bytes) -> bool:
            """Answer what is about batches."""
            if not fake.batches.owns(self.path):
                return False
            status, body = fake.batches.handle(self.command, self.path, self.headers["Content-Type"] or "", raw)
            if body is None:
                self._cut()
            elif isinstance(body, bytes):
                self._bytes(status, body, {"Content-Type": "application/octet-stream"})
            else:
                self._json(status, body, {})
            return True

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            if fake.batches.owns(self.path) and (not self._authorised() or self._batched(raw)):
                return
            kind = self.headers["Content-Type"]
            body = media.form(raw, kind) if kind.startswith("multipart/") else json.loads(raw)
            if not self._authorised():
                return
            fake.requests.append({"path": self.path, "body": body})
            fake.headers.append(dict(self.headers))
            if self.path.endswith(("/count_tokens", "/input_tokens")):
                self._json(200, {"input_tokens": 42}, {})
                return
            if self.path.endswith("/messages"):
                lines = {name.lower(): value for name, value in self.headers.items()}
                if refusal := refusals.by_anthropic(body, lines):
                    error = {"type": "invalid_request_error", "message": refusal}
                    self._json(400, {"type": "error", "error": error, "request_id": "req_1"}, {})
                    return
            if self.path.endswith("/completions") and "codex" in str(body.get("model")):
                words = "This model is only supported in v1/responses and not in v1/chat/completions."
                self._json(404, failure(404, words, "").body, {})
                return
            if self.path.endswith("/responses") and (refused := responses.refusal(body, fake.stored)):
                status, code, words = refused
                self._json(status, failure(status, words, code).body, {})
                return
            reply = fake.take(self.path, body)
            time.sleep(reply.hang_s)
            if fake.hold is not None:
                fake.hold.wait(20)
            try:
                if reply.body is not None:
                    self._json(reply.status, reply.body, reply.headers, reply)
                elif reply.raw is not None:
                    self._bytes(reply.status, reply.raw, {"Content-Type": reply.content_type, **reply.headers}, reply)
                elif body.get("stream"):
                    self._stream(reply)
                else:
                    as_one = as_message if self.path.endswith("/messages") else as_completion
                    as_one = responses.as_response if self.path.endswith("/responses") else as_one
                    self._json(reply.status, as_one(reply.events), reply.headers, reply)
            except (BrokenPipeError, ConnectionResetError):
                fake.cut_off.set()
                self.close_connection = True

        def _authorised(self) -> bool:
            given = (
                self.headers.get("x-api-key")
                or self.headers.get("api-key")
                or (self.headers.get("Authorization") or "").removeprefix("Bearer ")
            )
            if given in (fake.key, ""):
                return True
            self._json(
                401, {"error": {"message": f"Incorrect API key provided: {given}", "code": "invalid_api_key"}}, {}
            )
            return False

        def _json(self, status: int, body: Any, headers: dict[str, str], reply: Reply | None = None) -> None:
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
            self.send_header("Content-Type", "text/event-stream; charset=utf-8")
            self.send_header("Transfer-Encoding", "chunked")
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self._chunk(b": a comment, as some servers send\n\n")
            for number, (name, value) in enumerate(reply.events):
                if reply.break_after is not None and number >= reply.break_after:
                    self._cut()
                    return
                data = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
                raw = (f"event: {name}\n" if name else "").encode() + f"data: {data}\n\n".encode()
                size = reply.split_at or len(raw)
                for at in range(0, len(raw), size):
                    self._chunk(raw[at : at + size])
                time.sleep(reply.pause_s)
            self._chunk(b"")

        def _chunk(self, raw: bytes) -> None:
            self.wfile.write(f"{len(raw):x}\r\n".encode() + raw + b"\r\n")
            self.wfile.flush()

    return Handler
