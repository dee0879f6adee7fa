"""GET /metrics: that its figures are those of the log, in every process and after a restart, and tell nobody's secrets."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import insert
from starlette.testclient import TestClient

from api.server import Server
from core import ModelManager, clock
from core.calls.origin import Origin
from core.domain.experiment import OutcomeInput
from core.domain.generation import Generation, Usage
from core.domain.metrics import CallFacts, CallTotals, VariantTotals
from core.statistics.experiments.sample_ratio import sequential_sample_ratio
from core.storage.calls.generations import to_row
from core.storage.calls.record import log_rows
from core.storage.calls.totals import TotalsStore
from core.storage.engine.database import Database
from core.storage.engine.writer import Writer
from core.storage.schema import workflow_runs
from core.telemetry import families
from core.telemetry.conventions import SECONDS
from core.telemetry.prometheus import PrometheusMetrics
from tests.builders import a_generation
from tests.conftest import ROOT, Open
from tests.fakes.vendors import KEY, FakeVendor, failure, openai_answer

Log = Callable[..., Generation]


class Figures:
    """The text of /metrics, read back as Prometheus reads it."""

    def __init__(self, text: bytes) -> None:
        self.types = {}
        self.samples: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
        for family in text_string_to_metric_families(text.decode()):
            self.types[family.name] = family.type
            for sample in family.samples:
                key = sample.name, frozenset(sample.labels.items())
                assert key not in self.samples, f"{key} twice"
                self.samples[key] = sample.value

    def __call__(self, name: str, **labels: str) -> float:
        return self.samples[name, frozenset(labels.items())]

    def sum(self, name: str, **labels: str) -> float:
        return sum(v for (n, found), v in self.samples.items() if n == name and labels.items() <= dict(found).items())

    def names(self) -> set[str]:
        return {name for name, _ in self.samples}


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    yield opened
    opened.close()


@pytest.fixture
def log(database: Database) -> Iterator[Log]:
    """Records a call as the engine does."""
    writer = Writer(database)

    def log_(**changes: Any) -> Generation:
        g = a_generation(f"g_{random.random()}", **{"created_at": clock.now(), **changes})
        writer.record_together(log_rows, to_row(g), None).result()
        return g

    yield log_
    writer.close()


def figures(database: Database) -> Figures:
    return Figures(PrometheusMetrics(TotalsStore(database), list, lambda: 0).render())


# Totals


def test_every_figure_is_that_of_the_log(database: Database, log: Log):
    rng = random.Random(4)
    logged = []
    for n in range(120):
        status = rng.choice(["ok", "ok", "ok", "error", "stopped", "truncated"])
        cost = rng.choice([None, Decimal(rng.randrange(10**9)) / 10**9])
        logged.append(
            log(
                created_at=clock.now() - timedelta(days=rng.choice([0, 1, 2, 3, 40])),
                provider=rng.choice(["gemini", "openai", "simulated"]),
                request_model=rng.choice(["a", "b"]),
                source=rng.choice(["api", "workflow"]),
                status=status,
                error_class="rate_limited" if status == "error" else "",
                usage=Usage(input_tokens=n + 9, cached_tokens=n // 2, output_tokens=n, thinking_tokens=n // 3),
                cost_usd=cost,
                cost_status="unknown" if cost is None else rng.choice(["priced", "estimated"]),
                latency_s=rng.choice([0.005, 0.3, 0.9, 3.0, 100.0]),
                ttft_s=rng.choice([None, 0.003, 0.1]),
            )
        )

    told = figures(database)

    for provider in ("gemini", "openai", "simulated"):
        for model in ("a", "b"):
            mine = [g for g in logged if (g.provider, g.request_model) == (provider, model)]
            who = {"provider": provider, "model": model}
            for status in ("ok", "error", "stopped", "truncated"):
                for source in ("api", "workflow"):
                    n = sum((g.status, g.source) == (status, source) for g in mine)
                    error = "rate_limited" if status == "error" else ""
                    assert told.sum("aimm_requests_total", **who, outcome=status, route=source, error_class=error) == n
            for kind in ("input", "cached", "output", "thinking"):
                expected = sum(getattr(g.usage, f"{kind}_tokens") for g in mine)
                assert told("aimm_tokens_total", **who, kind=kind) == expected
            cost = sum((g.cost_usd for g in mine if g.cost_usd is not None), Decimal(0))
            assert told("aimm_cost_usd_total", **who, status="known") == float(cost)
            assert told("aimm_unpriced_requests_total", **who) == sum(g.cost_usd is None for g in mine)
            assert told("aimm_estimated_requests_total", **who) == sum(g.cost_status == "estimated" for g in mine)
            answered = [g for g in mine if g.status == "ok"]
            _assert_histogram(told, "aimm_request_duration_seconds", who, [g.latency_s for g in answered])
            firsts = [g.ttft_s for g in answered if g.ttft_s is not None]
            _assert_histogram(told, "aimm_time_to_first_token_seconds", who, firsts)


def _assert_histogram(told: Figures, name: str, who: dict[str, str], seconds: list[float]) -> None:
    for edge in SECONDS:
        assert told(f"{name}_bucket", **who, le=str(edge)) == sum(s <= edge for s in seconds)
    assert told(f"{name}_bucket", **who, le="+Inf") == told(f"{name}_count", **who) == len(seconds)
    assert told(f"{name}_sum", **who) == pytest.approx(sum(seconds), abs=1e-6)


def test_money_is_added_up_exactly(database: Database, log: Log):
    for _ in range(10):
        log(cost_usd=Decimal("0.1"))  # ten times 0.1 is 0.9999999999999999 in floats

    assert figures(database)("aimm_cost_usd_total", provider="gemini", model="m", status="known") == 1.0


def test_a_restart_and_another_process_tell_the_same_totals(database: Database, log: Log, database_url: str):
    log(created_at=clock.now() - timedelta(days=9))
    log()
    before = figures(database)

    other = Database(database_url)
    after = figures(other)
    other.close()

    assert before.samples == after.samples
    assert after.sum("aimm_requests_total") == 2


def test_what_budgets_refused_is_counted(database: Database, log: Log):
    log(status="error", error_class="budget_exceeded", usage=Usage(), cost_usd=Decimal(0))
    log()

    assert figures(database)("aimm_budget_blocks_total", provider="gemini", model="m") == 1


def test_days_that_are_over_are_read_once_a_minute_and_today_at_once(database: Database, log: Log):
    store, now = TotalsStore(database), clock.now_us()
    assert store.read(now).calls == []
    log(created_at=clock.now() - timedelta(days=5))
    log()

    assert sum(row.n for row in store.read(now + 30_000_000).calls) == 1
    assert sum(row.n for row in store.read(now + 61_000_000).calls) == 2
    assert sum(row.n for row in store.read(now - 1).calls) == 2  # a clock that was set back reads anew


def test_an_empty_database_is_no_error(database: Database):
    told = figures(database)

    assert told("aimm_job_queue_depth", state="queued") == 0
    assert told("aimm_inflight_requests") == 0
    assert told.types["aimm_requests"] == "counter"


def test_open_runs_are_the_depth_of_the_queue(database: Database):
    rows = [("r1", "queued"), ("r2", "queued"), ("r3", "running"), ("r4", "succeeded"), ("r5", "failed")]
    with database.write() as connection:
        values = {"workflow_name": "w", "spec": "{}", "inputs": "{}", "source": "api", "created_at": 1}
        connection.execute(insert(workflow_runs), [{**values, "id": id_, "status": status} for id_, status in rows])

    told = figures(database)

    assert told("aimm_job_queue_depth", state="queued") == 2
    assert told("aimm_job_queue_depth", state="running") == 1


def test_budgets_stand_as_they_do_on_the_page(mm: ModelManager):
    status = mm.budgets.create("March", "12.5", period="day", timezone="Europe/Berlin")

    told = Figures(mm.metrics.render())

    assert told("aimm_budget_limit_usd", budget="March") == 12.5
    assert told("aimm_budget_spent_usd", budget="March") == told("aimm_budget_reserved_usd", budget="March") == 0
    assert told("aimm_budget_reset_timestamp_seconds", budget="March") == status.resets_at.timestamp()


def test_experiments_are_told_by_variant(mm: ModelManager):
    experiment = mm.experiments.create("Tone", ["sim-fast", "sim-careful"])
    served = [mm.experiments.assign(experiment.id, f"u{n}") for n in range(30)]
    mm.experiments.record(experiment.id, [OutcomeInput(success=n % 2 == 0, unit_id=f"u{n}") for n in range(12)])

    told = figures(mm.database)

    for variant in experiment.variants:
        labels = {"experiment": "Tone", "variant": variant.name}
        n = sum(each.variant.position == variant.position for each in served)
        assert told("aimm_experiment_assignments_total", **labels) == n
    assert told.sum("aimm_experiment_outcomes_total", experiment="Tone") == 12
    assert told("aimm_experiment_srm_pvalue", experiment="Tone") > 0.01
    mm.experiments.stop(experiment.id)
    stopped = figures(mm.database)
    assert stopped.sum("aimm_experiment_assignments_total", experiment="Tone") == 30
    assert "aimm_experiment_srm_pvalue" not in stopped.names()


# What is made of totals


def a_variant(variant: str, n: int, **changes: Any) -> VariantTotals:
    variant = VariantTotals("e1", "Tone", True, 1, variant, 1, True, n, 0)
    return variant._replace(**changes)


def p_value(*variants: VariantTotals) -> float:
    (family,) = [f for f in families.of_experiments(variants) if f.name == "aimm_experiment_srm_pvalue"]
    return float(family.samples[0].value)


def test_a_wrong_split_has_a_small_p_value():
    wrong = a_variant("A", 500), a_variant("B", 700)

    assert p_value(*wrong) == pytest.approx(2.718281828 ** -sequential_sample_ratio([500, 700], [1, 1]))
    assert p_value(*wrong) < 0.01
    assert p_value(a_variant("A", 500), a_variant("B", 510)) == 1.0
    assert p_value(a_variant("A", 500), a_variant("B", 700), a_variant("C", 0, is_served=False, weight=0)) == p_value(
        *wrong
    )


def test_of_two_experiments_of_one_name_the_counts_add_up_and_the_worse_split_shows():
    fine = [a_variant("A", 10, experiment_id="e2"), a_variant("B", 11, experiment_id="e2")]
    wrong = [a_variant("A", 500), a_variant("B", 700)]

    assigned = next(iter(families.of_experiments(fine + wrong)))

    assert {sample.labels["variant"]: sample.value for sample in assigned.samples} == {"A": 510, "B": 711}
    assert p_value(*fine, *wrong) == p_value(*wrong)


def test_at_most_500_models_are_told_apart_and_the_first_keep_their_names():
    rows = [CallTotals(f"m{n}", "vllm", "api", "ok", "", n, 1, *[0] * 7) for n in range(503)]
    bounded = families.Bounded(row.model for row in rows)

    requests = next(iter(families.of_calls(rows, bounded)))

    by_model = {sample.labels["model"]: sample.value for sample in requests.samples}
    assert len(by_model) == 501
    assert (by_model["m499"], by_model["other"]) == (1, 3)


# What only the process knows


def test_an_observer_counts_what_the_log_does_not_hold(database: Database):
    metrics = PrometheusMetrics(TotalsStore(database), list, lambda: 3)
    g = a_generation("g_1")

    metrics.observe(g, CallFacts(overhead_s=0.002))
    metrics.observe(g, CallFacts(overhead_s=0.02, n_retries=2, is_hit=True))
    metrics.observe(g, CallFacts(overhead_s=0.3, fallback_from="gpt-4o", fallback_reason="rate_limited"))

    told = Figures(metrics.render())
    assert (told("aimm_overhead_seconds_count"), told("aimm_overhead_seconds_sum")) == (3, pytest.approx(0.322))
    assert told("aimm_overhead_seconds_bucket", le="0.0025") == 1
    assert told("aimm_retries_total", provider="gemini", model="m") == 2
    assert told("aimm_cache_hits_total", provider="gemini", model="m") == 1
    labels = {"from": "gpt-4o", "to": "m", "reason": "rate_limited"}
    assert told("aimm_fallbacks_total", **labels) == 1
    assert told("aimm_inflight_requests") == 3
    assert not any(name.endswith("_created") for name in told.names())


def test_two_managers_of_one_process_count_apart(database: Database):
    one, other = (PrometheusMetrics(TotalsStore(database), list, lambda: 0) for _ in range(2))

    one.observe(a_generation("g_1"), CallFacts(overhead_s=0.002))

    assert Figures(one.render())("aimm_overhead_seconds_count") == 1
    assert Figures(other.render())("aimm_overhead_seconds_count") == 0


def test_calls_through_the_door_are_told(open_manager: Open, database_url: str):
    vendor = FakeVendor()
    mm = open_manager(database_url, openai_api_key=KEY, openai_base_url=f"{vendor.url}/v1", call_timeout_s=5.0)
    vendor.next(failure(500, "Try again."), openai_answer(), failure(401, "No."))

    origin = Origin(user_id="alice@example.com", key_id="k_alice", tags=("alices-tag",))
    for model in ("gpt-4o", "gpt-4o", "sim-fast"):
        mm.submit(mm.request("the secret prompt", model=model, system="the secret system"), origin).result()
    vendor.next(failure(503, "Down.", headers={"Retry-After": "60"}))
    answered = mm.submit(mm.request("Hello", model="gpt-4o"), Origin(fallbacks=("sim-fast",))).result()
    mm.models()  # through the loop, which has told the observers by then

    text = mm.metrics.render()
    told = Figures(text)
    logged = mm.log.latest(limit=10)
    vendor.close()
    assert answered.model == "sim-fast"
    for g in logged:
        alike = sum((g.provider, g.model, g.status) == (o.provider, o.model, o.status) for o in logged)
        assert told.sum("aimm_requests_total", provider=g.provider, model=g.model, outcome=g.status) == alike
    assert told.sum("aimm_requests_total") == len(logged) == told("aimm_overhead_seconds_count")
    known = [g.cost_usd for g in logged if g.model == "gpt-4o" and g.cost_usd is not None]
    assert told("aimm_cost_usd_total", provider="openai", model="gpt-4o", status="known") == float(sum(known))
    assert told("aimm_retries_total", provider="openai", model="gpt-4o") == 1
    labels = {"from": "gpt-4o", "to": "sim-fast", "reason": "provider_unavailable"}
    assert told("aimm_fallbacks_total", **labels) == 1
    assert told("aimm_inflight_requests") == 0
    assert not any(word in text for word in (b"secret", b"alice", KEY.encode(), b"Hello"))


def test_the_endpoint_answers_as_text(mm: ModelManager):
    response = TestClient(Server(lambda: mm)).get("/metrics")

    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert Figures(response.content).types["aimm_job_queue_depth"] == "gauge"


WORKER = """
import sys, time
from pathlib import Path
from core.domain.metrics import CallFacts
from core.telemetry.prometheus import PrometheusMetrics
from core.storage.engine.database import Database
from core.storage.calls.totals import TotalsStore
from core import clock
from core.domain.generation import Generation
folder, url, n, in_flight, then = sys.argv[1:]
metrics = PrometheusMetrics(TotalsStore(Database(url)), list, lambda: int(in_flight), folder=Path(folder))
made = Generation(
    id="g_1", created_at=clock.now(), request_model="m", response_model="m", provider="gemini", source="api", status="ok",
    latency_s=0.5, ttft_s=0.1,
)
for _ in range(int(n)):
    metrics.observe(made, CallFacts(overhead_s=0.002, n_retries=1))
if then == "render":
    sys.stdout.write(metrics.render().decode())
    metrics.close()
else:
    print("ready", flush=True)
    if then == "close":
        metrics.close()
    else:
        time.sleep(60)
"""


def test_several_processes_of_a_server_tell_their_sums(sqlite_url: str, tmp_path: Path):
    folder = tmp_path / "figures"
    folder.mkdir()
    environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)}

    def start(*args: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", WORKER, str(folder), sqlite_url, *map(str, args)]
        process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        if args[2] != "render":
            assert process.stdout.readline() == "ready\n"
        return process

    ended, lives, killed = start(2, 7, "close"), start(3, 4, "stay"), start(5, 9, "stay")
    ended.communicate(timeout=60)
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=60)

    told = Figures(start(1, 1, "render").communicate(timeout=60)[0].encode())
    lives.kill()
    lives.communicate(timeout=60)

    assert told("aimm_retries_total", provider="gemini", model="m") == 2 + 3 + 5 + 1
    assert told("aimm_overhead_seconds_count") == 11
    assert told("aimm_inflight_requests") == 4 + 1  # of those that live


def test_the_core_is_loaded_without_prometheus_and_opentelemetry():
    code = (
        "import sys, core\n"
        "print([name for name in sys.modules if name.startswith(('prometheus_client', 'opentelemetry.sdk', 'opentelemetry.exporter'))])"
    )

    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert result.stdout.strip() == "[]"
