"""Calls as an OpenTelemetry collector sees them: what is told, what never is, and that a dead collector harms nothing."""

import logging
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from core import InvalidRequest, ModelManager
from core.calls.origin import Origin
from core.config import Settings
from core.domain.generation import Message, Parameters, Usage
from core.domain.metrics import CallFacts
from core.telemetry.conventions import SECONDS, TOKENS
from core.telemetry.otlp import Otlp
from core.telemetry.tracing import open_tracing
from tests.builders import a_generation
from tests.conftest import free_port
from tests.fakes.otlp import FakeCollector, plain

AT = datetime(2026, 11, 16, 12, 30, 0, 250_000, tzinfo=UTC)
AT_NS = int(AT.timestamp()) * 10**9 + 250_000_000
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SEEN = CallFacts(overhead_s=0.003)


@pytest.fixture
def collector() -> Iterator[FakeCollector]:
    server = FakeCollector()
    yield server
    server.close()


def settings(endpoint: str, **environ: str) -> Settings:
    return Settings.from_environ({"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, **environ})


def send(collector: FakeCollector, *calls: tuple[Any, CallFacts], **environ: str) -> None:
    tracing = open_tracing(settings(collector.url, **environ))
    assert tracing is not None
    for g, seen in calls:
        tracing.observe(g, seen)
    tracing.close()


def a_call(**changes: Any) -> Any:
    parameters = Parameters(temperature=0.2, max_tokens=50, seed=7)
    usage = Usage(input_tokens=100, cached_tokens=40, cache_write_tokens=8, output_tokens=30, thinking_tokens=20)
    fields = {"created_at": AT, "request_model": "gemini-2.5-flash", "finish_reason": "stop", "price_id": "p1"}
    return a_generation("g_1", **{**fields, "parameters": parameters, "usage": usage, **changes})


# Spans


def test_a_span_tells_what_was_asked_and_what_it_came_to(collector: FakeCollector):
    send(collector, (a_call(cost_usd=Decimal("0.0000155")), SEEN), OTEL_SERVICE_NAME="shop")

    (span,) = collector.spans

    assert (span.name, span.kind) == ("chat gemini-2.5-flash", 3)  # CLIENT
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (AT_NS, AT_NS + 500_000_000)
    assert (span.parent_span_id, span.status.code) == (b"", 0)
    assert plain(span.attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "gcp.gemini",
        "gen_ai.request.model": "gemini-2.5-flash",
        "gen_ai.response.model": "m",
        "gen_ai.output.type": "text",
        "gen_ai.request.temperature": 0.2,
        "gen_ai.request.max_tokens": 50,
        "gen_ai.request.seed": 7,
        "gen_ai.request.stream": True,
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.response.time_to_first_chunk": 0.1,
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 30,
        "gen_ai.usage.cache_read.input_tokens": 40,
        "gen_ai.usage.cache_creation.input_tokens": 8,
        "gen_ai.usage.reasoning.output_tokens": 20,
        "aimm.generation.id": "g_1",
        "aimm.source": "api",
        "aimm.status": "ok",
        "aimm.cost.usd": 0.0000155,
        "aimm.cost.status": "priced",
        "aimm.price.id": "p1",
        "aimm.attempts": 1,
        "aimm.overhead_s": 0.003,
    }
    assert collector.resources[0]["service.name"] == "shop"


def test_a_span_hangs_under_the_callers_trace(collector: FakeCollector):
    seen = CallFacts(overhead_s=0.0, traceparent=f"00-{TRACE}-{PARENT}-01")

    send(collector, (a_call(), seen), (a_call(), CallFacts(overhead_s=0.0, traceparent="nonsense")))

    under, alone = collector.spans
    assert (under.trace_id.hex(), under.parent_span_id.hex()) == (TRACE, PARENT)
    assert alone.parent_span_id == b""


def test_what_the_caller_does_not_sample_is_not_sent(collector: FakeCollector):
    send(collector, (a_call(), CallFacts(overhead_s=0.0, traceparent=f"00-{TRACE}-{PARENT}-00")))

    assert collector.spans == []
    assert collector.points("gen_ai.client.operation.duration")  # metrics count every call


@pytest.mark.parametrize(
    ("status", "error_class", "told"),
    [("error", "rate_limited", "rate_limited"), ("blocked", "blocked", "blocked"), ("truncated", "", "truncated")],
)
def test_a_failed_call_is_an_error_by_its_class(collector: FakeCollector, status: str, error_class: str, told: str):
    send(collector, (a_call(status=status, error_class=error_class, error_message="It said: my secret plan"), SEEN))

    (span,) = collector.spans

    assert (span.status.code, span.status.message) == (2, "")
    assert plain(span.attributes)["error.type"] == told


def test_a_stopped_call_is_no_error(collector: FakeCollector):
    send(collector, (a_call(status="stopped"), SEEN))

    assert collector.spans[0].status.code == 0


def test_an_unknown_cost_is_left_out(collector: FakeCollector):
    send(collector, (a_call(cost_usd=None, cost_status="unknown"), SEEN))

    told = plain(collector.spans[0].attributes)
    assert "aimm.cost.usd" not in told
    assert told["aimm.cost.status"] == "unknown"


def test_workflows_and_experiments_are_named(collector: FakeCollector):
    of_workflow = a_call(ref_name="workflow:translation", ref_id="r_1", ref_part="translate")
    of_experiment = a_call(ref_name="experiment:Shorter: prompt", ref_id="e_1", ref_part="a_1", user_id="u_42")

    send(collector, (of_workflow, SEEN), (of_experiment, SEEN))

    workflow = plain(collector.span(gen_ai__workflow__name="translation").attributes)
    experiment = plain(collector.span(feature_flag__key="Shorter: prompt").attributes)
    assert not any(name.startswith("feature_flag") for name in workflow)
    assert (experiment["feature_flag.set.id"], experiment["feature_flag.context.id"]) == ("e_1", "a_1")


def test_nothing_that_was_said_and_nobody_who_said_it_is_sent(collector: FakeCollector):
    g = a_call(
        messages=(Message("user", "the secret prompt"),), system="the secret system", text="the secret answer",
        thinking="the secret thought", note="the secret note", error_message="the secret error", user_id="alice",
        key_id="k_secret", tags=("secret-tag",), parameters=Parameters(stop=("secret stop",), json_schema={"title": "secret"}),
    )  # fmt: skip

    send(collector, (g, CallFacts(overhead_s=0.0, fallback_reason="rate_limited", fallback_from="gpt-4o")))

    everything = b"".join(collector.raw)
    assert b"gemini-2.5-flash" in everything
    assert b"secret" not in everything
    assert b"alice" not in everything


def test_calls_through_the_door_are_sent_by_the_end(collector: FakeCollector, sqlite_url: str):
    known = settings(collector.url)
    origin = Origin(source="api", traceparent=f"00-{TRACE}-{PARENT}-01")
    with ModelManager.open(replace(known, database_url=sqlite_url), simulated_speed=0) as mm:
        g = mm.submit(mm.request("the secret prompt", model="sim-fast"), origin).result()

    span = collector.span(aimm__generation__id=g.id)
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
    told = plain(span.attributes)
    assert told["gen_ai.usage.output_tokens"] == g.usage.output_tokens
    assert told["aimm.cost.usd"] == float(g.cost_usd or 0) > 0
    assert not any(b"secret" in raw or g.text[:20].encode() in raw for raw in collector.raw)


# Metrics


def test_metrics_have_the_conventions_edges(collector: FakeCollector):
    seconds_ago = a_call(latency_s=2.0, ttft_s=0.3)
    failed = a_call(status="error", error_class="rate_limited", usage=Usage(), ttft_s=None, latency_s=0.05)

    send(collector, (a_call(), SEEN), (seconds_ago, SEEN), (failed, SEEN))

    usage = {labels["gen_ai.token.type"]: point for labels, point in collector.points("gen_ai.client.token.usage")}
    assert {kind: (point.count, point.sum) for kind, point in usage.items()} == {"input": (2, 200), "output": (2, 60)}
    assert tuple(usage["input"].explicit_bounds) == TOKENS
    durations = {
        labels.get("error.type"): point for labels, point in collector.points("gen_ai.client.operation.duration")
    }
    assert {error: (point.count, point.sum) for error, point in durations.items()} == {
        None: (2, 2.5),
        "rate_limited": (1, 0.05),
    }
    assert tuple(durations[None].explicit_bounds) == SECONDS
    ((labels, first),) = collector.points("gen_ai.client.operation.time_to_first_chunk")
    assert (first.count, first.sum) == (2, pytest.approx(0.4))
    assert labels == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "gcp.gemini",
        "gen_ai.request.model": "gemini-2.5-flash",
        "gen_ai.response.model": "m",
    }


def test_a_call_that_was_not_streamed_has_no_first_chunk(collector: FakeCollector):
    send(collector, (a_call(), CallFacts(overhead_s=0.0, is_streamed=False)))

    assert collector.points("gen_ai.client.operation.time_to_first_chunk") == []
    assert "gen_ai.request.stream" not in plain(collector.spans[0].attributes)


def test_an_answer_of_our_own_cache_is_a_span_and_no_measurement(collector: FakeCollector):
    send(collector, (a_call(cost_status="cached", cost_usd=Decimal(0)), CallFacts(overhead_s=0.0, is_hit=True)))

    assert plain(collector.spans[0].attributes)["aimm.cache.hit"] is True
    assert collector.metrics == {}


def test_the_newest_names_on_request(collector: FakeCollector):
    opt_in = {"OTEL_SEMCONV_STABILITY_OPT_IN": "http,gen_ai_latest_experimental"}
    embedded = a_call(operation="embeddings", usage=Usage(input_tokens=9), request_model="text-embedding-3-small")

    send(collector, (a_call(), SEEN), (embedded, SEEN), **opt_in)

    told = plain(collector.span(gen_ai__operation__name="chat").attributes)
    assert told["gen_ai.usage.cache_write.input_tokens"] == 8
    assert "gen_ai.usage.cache_creation.input_tokens" not in told
    prefix = "gen_ai.client.inference"
    counters = {
        name: collector.points(f"{prefix}.usage.{name}")[0][1].as_double
        or collector.points(f"{prefix}.usage.{name}")[0][1].as_int
        for name in ("input_tokens", "output_tokens", "cache_read.input_tokens", "cache_write.input_tokens", "reasoning.output_tokens")
    }  # fmt: skip
    assert list(counters.values()) == [100, 30, 40, 8, 20]
    assert collector.points(f"{prefix}.duration")[0][1].count == 1
    assert collector.points("gen_ai.client.embeddings.operation.input_tokens")[0][1].sum == 9
    assert "gen_ai.client.token.usage" not in collector.metrics


# The collector and what is said to it


def test_headers_are_sent_and_never_logged(
    collector: FakeCollector, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login other password other\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    send(collector, (a_call(), SEEN), OTEL_EXPORTER_OTLP_HEADERS="Authorization=Bearer%20tok-1234567, x-team = red")
    assert collector.headers[0]["authorization"] == "Bearer tok-1234567"
    assert collector.headers[0]["x-team"] == "red"

    with caplog.at_level(logging.DEBUG), pytest.raises(InvalidRequest, match="OTLP_HEADERS") as refused:
        settings(collector.url, OTEL_EXPORTER_OTLP_HEADERS="authorization=Bearer%20tok-7654321%0Abroken")

    assert "tok-7654321" not in caplog.text + refused.value.text
    assert "tok-" not in repr(settings(collector.url, OTEL_EXPORTER_OTLP_HEADERS="authorization=tok-7654321"))


def test_a_collector_that_is_not_there_costs_calls_nothing():
    tracing = Otlp(settings(f"http://127.0.0.1:{free_port()}"), flush_s=0.3)

    started = time.monotonic()
    for _ in range(3000):  # more than the queue holds
        tracing.observe(a_call(), SEEN)
    observed = time.monotonic()
    tracing.close()

    assert observed - started < 10  # it waits for nothing: a wait a call would be minutes
    assert time.monotonic() - observed < 10


def test_a_collector_that_never_answers_does_not_hold_up_the_end():
    silent = FakeCollector(hangs=True)
    tracing = Otlp(settings(silent.url), flush_s=0.3)
    tracing.observe(a_call(), SEEN)

    started = time.monotonic()
    tracing.close()

    assert time.monotonic() - started < 10
    silent.close()


def test_without_an_endpoint_nothing_is_opened():
    assert open_tracing(Settings.from_environ({})) is None
    with pytest.raises(InvalidRequest, match="OTEL_EXPORTER_OTLP_ENDPOINT"):
        settings("localhost:4317")


def test_a_missing_package_is_said_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.delitem(sys.modules, "core.telemetry.otlp")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)  # as if it were not installed

    assert open_tracing(settings("http://localhost:4318")) is None

    (record,) = caplog.records
    assert "pip install -e '.[otel]'" in record.getMessage()
