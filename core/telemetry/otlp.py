"""Spans and metrics of calls, sent over OTLP in the background. Loaded only where an endpoint is set."""

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import requests
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from core import clock
from core.config import Settings
from core.domain.generation import Generation
from core.domain.metrics import CallFacts
from core.errors import redact
from core.telemetry import conventions
from core.telemetry.conventions import Instrument, Value

SCOPE = "aimm"
MAX_QUEUE = 4096
FLUSH_S = 3.0  # what closing may take where the collector does not answer
_LOGGERS = (
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.exporter.otlp.proto.http.metric_exporter",
    "opentelemetry.sdk._shared_internal",
    "opentelemetry.sdk.metrics._internal.export",
)


logger = logging.getLogger(__name__)


def _without_keys(record: logging.LogRecord) -> bool:
    """A header that cannot be sent would otherwise stand in the exporter's complaint."""
    kind = f" ({record.exc_info[0].__name__})" if record.exc_info and record.exc_info[0] else ""
    record.msg, record.args, record.exc_info = redact(record.getMessage()) + kind, (), None
    return True


_Measured = tuple[Callable[[float, dict[str, str]], None], float, dict[str, str]]


class _CallRecord(NamedTuple):
    """The facts of one call; small, and free of its texts, for it may wait."""

    name: str
    traceparent: str
    attributes: dict[str, Value]
    is_error: bool
    start_ns: int
    end_ns: int
    measured: Sequence[_Measured]


class Otlp:
    """The providers are our own: a program that embeds the core keeps its global ones as they are."""

    def __init__(self, settings: Settings, *, flush_s: float = FLUSH_S) -> None:
        self._flush_s = flush_s
        endpoint = (settings.otel_endpoint or "").rstrip("/")
        self._is_latest = settings.otel_is_latest
        resource = Resource.create({SERVICE_NAME: settings.otel_service_name})
        headers = dict(settings.otel_headers)
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(_without_keys)
        session = requests.Session()
        session.trust_env = False  # a .netrc would replace a header with a key, a proxy of the environment would see it
        self._span_exporter = OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces", headers=headers, session=session)
        self._tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._tracers.add_span_processor(BatchSpanProcessor(self._span_exporter))
        self._tracer = self._tracers.get_tracer(SCOPE)
        self._metric_exporter = OTLPMetricExporter(endpoint=f"{endpoint}/v1/metrics", headers=headers, session=session)
        reader = PeriodicExportingMetricReader(self._metric_exporter)
        self._meters = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
        self._metrics = self._instruments(conventions.LATEST if self._is_latest else conventions.TODAY)
        self._propagator = TraceContextTextMapPropagator()
        self._queue: queue.Queue[_CallRecord | None] = queue.Queue(MAX_QUEUE)
        self._thread = threading.Thread(target=self._run, name="aimm-telemetry", daemon=True)
        self._thread.start()

    def observe(self, g: Generation, facts: CallFacts) -> None:
        """An Observer: note what is to be told. The rest takes ten times as long and is done in a thread of its own."""
        start_us = clock.to_us(g.created_at)
        record = _CallRecord(
            name=f"{g.operation} {g.request_model}",
            traceparent=facts.traceparent,
            attributes=conventions.attributes(g, facts, is_latest=self._is_latest),
            is_error=conventions.error_type(g) is not None,
            start_ns=start_us * 1000,
            end_ns=(start_us + round(g.latency_s * 1e6)) * 1000,
            # Of an answer of our own cache there is nothing to measure: no vendor was asked.
            measured=() if facts.is_hit else self._measured(g, facts),
        )
        with contextlib.suppress(queue.Full):  # it is better to lose a span than to hold up a call
            self._queue.put_nowait(record)

    def _measured(self, g: Generation, facts: CallFacts) -> Sequence[_Measured]:
        values = ((row, add, row.of(g, facts)) for row, add in self._metrics if row.operation in ("", g.operation))
        return [(add, value, conventions.labels(g, row)) for row, add, value in values if value is not None]

    def _run(self) -> None:
        while (record := self._queue.get()) is not None:
            self._tell(record)

    def _tell(self, record: _CallRecord) -> None:
        context = Context()
        if record.traceparent:
            context = self._propagator.extract({"traceparent": record.traceparent}, context)
        span = self._tracer.start_span(
            record.name, context=context, kind=SpanKind.CLIENT, attributes=record.attributes, start_time=record.start_ns
        )
        if record.is_error:
            span.set_status(Status(StatusCode.ERROR))
        span.end(record.end_ns)
        for add, value, labels in record.measured:
            add(value, labels)

    def close(self) -> None:
        """Send what is left; give up after `flush_s`."""
        with contextlib.suppress(queue.Full):
            self._queue.put(None, timeout=self._flush_s)
        self._thread.join(self._flush_s)
        ends = [
            threading.Thread(target=each, name="aimm-telemetry-end", daemon=True)
            for each in (self._tracers.shutdown, self._meters.shutdown)
        ]
        for end in ends:
            end.start()
        until = time.monotonic() + self._flush_s
        for end in ends:
            end.join(max(0.0, until - time.monotonic()))
        if any(end.is_alive() for end in ends):
            logger.warning("The OpenTelemetry collector did not answer; what was not sent is dropped.")
            self._span_exporter.shutdown()  # type: ignore[no-untyped-call]  # wakes what waits between two attempts
            self._metric_exporter.shutdown()

    def _instruments(self, table: tuple[Instrument, ...]) -> list[tuple[Instrument, Any]]:
        meter = self._meters.get_meter(SCOPE)
        made: dict[str, Any] = {}
        for row in table:
            if row.name in made:
                continue
            if row.edges:
                histogram = meter.create_histogram(
                    row.name, row.unit, row.text, explicit_bucket_boundaries_advisory=row.edges
                )
                made[row.name] = histogram.record
            else:
                made[row.name] = meter.create_counter(row.name, row.unit, row.text).add
        return [(row, made[row.name]) for row in table]
