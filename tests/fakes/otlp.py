"""A collector that takes OTLP over HTTP and keeps what came, decoded and as bytes."""

import gzip
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


def plain(pairs: Any) -> dict[str, Any]:
    """OTLP's attributes as a dictionary."""
    return {pair.key: _plain(pair.value) for pair in pairs}


def _plain(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_plain(each) for each in value.array_value.values]
    return getattr(value, kind)


class FakeCollector:
    """hangs: takes what is sent and does not answer."""

    def __init__(self, *, status: int = 200, hangs: bool = False) -> None:
        self.status = status
        self.goes_on = threading.Event()
        if not hangs:
            self.goes_on.set()
        self.headers: list[dict[str, str]] = []
        self.raw: list[bytes] = []
        self.spans: list[Any] = []
        self.resources: list[dict[str, Any]] = []
        self.metrics: dict[str, Any] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def span(self, **attributes: Any) -> Any:
        """The one span with these attributes (dots as __)."""
        wanted = {name.replace("__", "."): value for name, value in attributes.items()}
        found = [span for span in self.spans if wanted.items() <= plain(span.attributes).items()]
        assert len(found) == 1, [plain(span.attributes) for span in self.spans]
        return found[0]

    def points(self, name: str) -> list[tuple[dict[str, Any], Any]]:
        """The data points of a metric with their labels; none = it was not sent."""
        metric = self.metrics.get(name)
        if metric is None:
            return []
        return [(plain(p.attributes), p) for p in getattr(metric, metric.WhichOneof("data")).data_points]

    def take(self, path: str, body: bytes) -> None:
        self.raw.append(body)
        if path == "/v1/traces":
            for group in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.resources.append(plain(group.resource.attributes))
                self.spans += [span for scope in group.scope_spans for span in scope.spans]
        elif path == "/v1/metrics":
            for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                for scope in resource.scope_metrics:
                    self.metrics |= {metric.name: metric for metric in scope.metrics}

    def wait_for_a_request(self) -> None:
        deadline = time.monotonic() + 5
        while not self.raw and time.monotonic() < deadline:
            time.sleep(0.01)

    def close(self) -> None:
        self.goes_on.set()
        self._server.shutdown()
        self._server.server_close()


def _handler(fake: FakeCollector) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            fake.headers.append({name.lower(): value for name, value in self.headers.items()})
            fake.take(self.path, gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
            fake.goes_on.wait(10)
            self.send_response(fake.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

    return Handler
