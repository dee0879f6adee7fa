"""Slowness: what is named is what changed, and nothing is named that chance explains."""

from datetime import timedelta
from itertools import count

import numpy as np
import pytest

from core.domain.generation import Usage
from core.domain.metrics import Window
from core.monitoring.service import MonitoringService
from core.monitoring.slowness import _parts, _quantile
from core.storage.calls.generations import to_row
from core.storage.calls.record import log_rows
from core.storage.calls.rollups import RollupStore
from core.storage.engine.database import Database
from core.storage.engine.writer import Writer
from tests.builders import NOON, a_generation

AFTER = Window(NOON, NOON + timedelta(hours=2))
BEFORE = AFTER.previous


@pytest.fixture
def world(database_url: str):
    """Monitoring, and a function that logs calls of a model in the window before (0) or after (1)."""
    database = Database(database_url)
    writer, numbers = Writer(database), count()

    def log(period: int, model: str, n: int, latency_s: float, **changes: object) -> None:
        at = (BEFORE, AFTER)[period].since
        fields = {"created_at": at, "request_model": model, "ttft_s": latency_s / 4, **changes}
        spread = 1.004 ** np.arange(-50, 50)  # times as they come: none is like the other
        calls = [
            a_generation(f"g{next(numbers)}", latency_s=latency_s * spread[i * 37 % 100], **fields) for i in range(n)
        ]
        writer.run(lambda connection: log_rows(connection, [to_row(call) for call in calls], []))

    yield MonitoringService(RollupStore(database)), log
    writer.close()
    database.close()


def test_a_larger_share_of_a_slow_model_is_named(world):
    monitoring, log = world
    log(0, "fast", 970, 0.5), log(0, "slow", 30, 4.0)
    log(1, "fast", 800, 0.5), log(1, "slow", 200, 4.0)
    found = monitoring.slowdown(AFTER, BEFORE)
    assert found is not None and found.is_sure and found.is_mix
    assert (found.model, found.share) == ("slow", (0.03, 0.2))
    assert found.p95_s == (pytest.approx(0.59, rel=0.05), pytest.approx(4.4, rel=0.1))


def test_the_model_that_became_slower_is_named(world):
    monitoring, log = world
    for model, latency_s in {"a": 0.5, "b": 0.6, "c": 0.4}.items():
        log(0, model, 200, latency_s), log(1, model, 200, latency_s * (5 if model == "b" else 1))
    found = monitoring.slowdown(AFTER, BEFORE)
    assert found is not None and found.is_sure and (found.is_mix, found.model) == (False, "b")


def test_a_models_own_times_are_told_apart_and_its_failures_counted(world):
    monitoring, log = world
    log(0, "m", 400, 1.0, usage=Usage(input_tokens=9, output_tokens=75))
    log(1, "m", 400, 3.0, usage=Usage(input_tokens=9, output_tokens=225), n_attempts=2)
    log(1, "m", 100, 0.1, status="error", error_class="rate_limited", usage=Usage(), ttft_s=None)
    log(1, "m", 9, 0.1, status="stopped", cost_status="estimated")

    found = monitoring.slowdown(AFTER, BEFORE)
    assert found is not None and found.is_sure and not found.is_mix
    before, now = found.pace
    assert (before.tokens, now.tokens) == (75, 225)
    assert (before.tokens_per_s, now.tokens_per_s) == (pytest.approx(100, rel=0.05), pytest.approx(100, rel=0.05))
    assert (before.first_s, now.first_s) == (pytest.approx(0.25, rel=0.05), pytest.approx(0.75, rel=0.05))
    assert (before.errors, now.errors) == ({}, {"rate_limited": 100})
    assert (before.attempts, now.attempts) == (1.0, 2.0)


def test_a_workflow_that_most_slow_answers_were_made_for_is_named(world):
    monitoring, log = world
    log(0, "m", 100, 1.0), log(1, "m", 150, 1.0)
    log(1, "m", 60, 1.0, key_id="k"), log(1, "m", 60, 5.0, ref_name="workflow:digest", key_id="k")
    found = monitoring.slowdown(AFTER, BEFORE)
    assert found is not None and found.made_for is not None
    assert (found.made_for.kind, found.made_for.value) == ("workflow", "digest")
    assert found.made_for.of_slow > 0.7 > 0.3 > found.made_for.of_all

    log(1, "m", 150, 5.0)  # others are as slow
    found = monitoring.slowdown(AFTER, BEFORE)
    assert found is not None and found.made_for is None


def test_few_calls_are_chance_and_a_period_without_answers_says_nothing(world):
    monitoring, log = world
    assert monitoring.slowdown(AFTER, BEFORE) is None
    log(0, "m", 40, 1.0), log(1, "m", 40, 1.3)
    found = monitoring.slowdown(AFTER, BEFORE)
    assert found is not None and found.rise > 0.2 and not found.is_sure
    assert monitoring.slowdown(AFTER, BEFORE, model="another") is None


def test_answers_that_were_not_streamed_have_no_first_token_to_compare(world):
    monitoring, log = world
    log(0, "m", 50, 1.0), log(1, "m", 50, 1.0, ttft_s=None)
    found = monitoring.slowdown(AFTER, BEFORE)
    assert found is not None and found.pace[0].first_s is not None and found.pace[1].first_s is None


def test_the_parts_of_a_rise_add_up_to_it():
    rng = np.random.default_rng(3)
    counts = rng.integers(0, 50, size=(2, 5, 40))
    counts[0, 4] = counts[1, 3] = 0  # one that came and one that went
    edges = 2.0 ** (np.arange(41) / 4)
    shapes = counts.sum(axis=1) / counts.sum(axis=(1, 2))[:, None]

    parts = _parts(counts, edges)

    assert sum(parts) == pytest.approx(_quantile(shapes[1], edges) - _quantile(shapes[0], edges))
    assert parts[4:] == [0.0, 0.0]
