"""A server that takes what Sentry's client sends, and keeps it expanded."""

import gzip
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import brotli

from core.formats import strict_json as json

EXPAND: dict[str, Callable[[bytes], bytes]] = {"": bytes, "gzip": gzip.decompress, "br": brotli.decompress}


class FakeSentry:
    """bodies: As they came, expanded. events: The events in them."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def dsn(self) -> str:
        return f"http://0123456789abcdef0123456789abcdef@127.0.0.1:{self._server.server_address[1]}/7"

    @property
    def events(self) -> list[dict[str, Any]]:
        found = []
        for body in self.bodies:
            _head, _, rest = body.partition(b"\n")
            while rest.strip():
                item, _, rest = rest.partition(b"\n")
                length = json.loads(item).get("length", rest.find(b"\n"))
                if json.loads(item)["type"] == "event":
                    found.append(json.loads(rest[:length]))
                rest = rest[length:].lstrip(b"\n")
        return found

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(fake: FakeSentry) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Say nothing."""

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            fake.bodies.append(EXPAND[self.headers.get("Content-Encoding", "")](body))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

    return Handler
