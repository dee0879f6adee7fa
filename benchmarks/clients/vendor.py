"""One fake vendor on three wires, OpenAI's, Anthropic's and Gemini's, that answers by what is asked of it.

It wants its own key: a gateway that handed a client's key on would get a 401.
"""

import json
import re
import threading
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from clients.asks import answer
from clients.wires import Anthropic, Event, Gemini, OpenAI

KEY = "sk-TheKeyOfTheFakeVendor0123456789"
RETRY_AFTER_S = 7
MODELS = {"openai": "gpt-4o", "anthropic": "claude-sonnet-4-5", "gemini": "gemini-2.5-flash"}
WIRES: dict[str, Any] = {"openai": OpenAI, "anthropic": Anthropic, "gemini": Gemini}
# Failure -> (status, message, OpenAI's code, Anthropic's type, Gemini's status).
FAILURES = {
    "not_found": (404, "The model `{model}` does not exist or you do not have access to it.", "model_not_found", "not_found_error", "NOT_FOUND"),
    "overloaded": (429, "Rate limit reached for {model}. Please try again in 7s.", "rate_limit_exceeded", "rate_limit_error", "RESOURCE_EXHAUSTED"),
    "too_long": (400, "", "context_length_exceeded", "invalid_request_error", "INVALID_ARGUMENT"),
    "wrong_key": (401, "Incorrect API key provided.", "invalid_api_key", "authentication_error", "UNAUTHENTICATED"),
}  # fmt: skip
TOO_LONG = {
    "openai": "This model's maximum context length is 128000 tokens. However, your messages resulted in 150000 tokens. Please reduce the length of the messages.",
    "anthropic": "prompt is too long: 250000 tokens > 200000 maximum",
    "gemini": "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
}


class Vendor:
    """Serves from its construction to `close`; `requests` holds what was asked, as (path, body)."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Ours", (Handler,), {"vendor": self}))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def error_body(wire: str, failure: str, model: str) -> dict[str, Any]:
    status, message, code, kind, name = FAILURES[failure]
    message = TOO_LONG[wire] if failure == "too_long" else message.format(model=model)
    if wire == "openai":
        kind = "requests" if failure == "overloaded" else "invalid_request_error"
        return {"error": {"message": message, "type": kind, "param": None, "code": code}}
    if wire == "anthropic":
        return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}
    retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{RETRY_AFTER_S}s"}
    details = {"details": [retry]} if failure == "overloaded" else {}
    return {"error": {"code": status, "message": message, "status": name, **details}}


def model_list(wire: str) -> dict[str, Any]:
    name = MODELS[wire]
    if wire == "gemini":
        methods = ["generateContent", "countTokens"]
        return {"models": [{"name": f"models/{name}", "displayName": name, "supportedGenerationMethods": methods}]}
    if wire == "anthropic":
        listed = {"type": "model", "id": name, "display_name": name, "created_at": "2026-01-01T00:00:00Z"}
        return {"data": [listed], "has_more": False, "first_id": name, "last_id": name}
    return {"object": "list", "data": [{"id": name, "object": "model", "created": 1, "owned_by": "openai"}]}


class Handler(BaseHTTPRequestHandler):
    vendor: Vendor
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        if self._wire is not None:
            self._json(200, model_list(self._wire))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        path = self.path.partition("?")[0]
        self.vendor.requests.append((path, body))
        wire = self._wire
        if wire is None:
            return
        if path.endswith("/embeddings"):
            self._json(200, _embeddings(body))
        elif path.endswith(("count_tokens", "countTokens")):
            self._json(200, {"input_tokens": 40, "totalTokens": 40})
        elif called := re.fullmatch(r"/v1(?:beta)?/models/(.+):(generate|streamGenerate)Content", path):
            body["model"] = called[1]
            self._answer(wire, body, is_stream=called[2] == "streamGenerate")
        elif path in ("/v1/chat/completions", "/v1/messages"):
            self._answer(wire, body, is_stream=bool(body.get("stream")))
        else:
            self._json(404, error_body(wire, "not_found", path))

    @property
    def _wire(self) -> str | None:
        """Whose wire is spoken; None (and a 401 is sent) if the key is not ours."""
        bearer = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        key = self.headers.get("x-goog-api-key") or self.headers.get("x-api-key") or bearer
        wire = "gemini" if self.headers.get("x-goog-api-key") else "openai"
        wire = "anthropic" if self.headers.get("anthropic-version") else wire
        if key == KEY:
            return wire
        self._json(401, error_body(wire, "wrong_key", ""))
        return None

    def _answer(self, wire: str, body: dict[str, Any], *, is_stream: bool) -> None:
        ask = WIRES[wire].read(body)
        found = answer(ask)
        if found.failure:
            waits = found.failure == "overloaded" and wire != "gemini"  # which says it in the body alone
            headers = {"Retry-After": str(RETRY_AFTER_S)} if waits else {}
            self._json(FAILURES[found.failure][0], error_body(wire, found.failure, ask.model), headers)
        elif is_stream:
            self._stream(WIRES[wire].events(ask, found, body))
        else:
            self._json(200, WIRES[wire].plain(ask, found))

    def _json(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        raw = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def _stream(self, events: Iterable[Event]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for name, value in events:
            data = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            raw = ((f"event: {name}\n" if name else "") + f"data: {data}\n\n").encode()
            self.wfile.write(f"{len(raw):x}\r\n".encode() + raw + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")


def _embeddings(body: dict[str, Any]) -> dict[str, Any]:
    texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
    data = [{"object": "embedding", "index": at, "embedding": [0.25, -0.5, 1.0]} for at in range(len(texts))]
    return {"object": "list", "data": data, "model": body["model"], "usage": {"prompt_tokens": 40, "total_tokens": 40}}
