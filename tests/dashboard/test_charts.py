"""Charts cover the chosen range and mark what is not over; changes say what they stand on."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pytest

from dashboard import formatting
from dashboard.charts import base, compare, experiments, monitoring, spend, workflows
from dashboard.charts.base import Span

NOW = datetime(2026, 3, 8, 15, 30, tzinfo=UTC)
SPANS = {
    "day": Span("day", datetime(2026, 3, 2, tzinfo=UTC), datetime(2026, 3, 9, tzinfo=UTC), NOW),
    "hour": Span("hour", datetime(2026, 3, 7, 16, tzinfo=UTC), datetime(2026, 3, 8, 16, tzinfo=UTC), NOW),
}
COLUMNS = ("requests", "success %", "p50 s", "p95 s", "p99 s", "first token p50 s", "first token p95 s", "first token p99 s", "input", "cached", "thinking", "output", "cost $", "unpriced calls", "unpriced tokens", "calls", "errors")  # fmt: skip
DRAWN = {
    "cost": monitoring.cost_over_time, "requests": monitoring.requests_over_time, "tokens": monitoring.tokens_over_time,
    "latency": monitoring.latency_over_time, "ttft": monitoring.ttft_over_time, "errors": monitoring.errors_over_time,
    "success": monitoring.success_over_time, "spend": lambda frame, span: spend.daily_spend(frame, None, span),
}  # fmt: skip


@pytest.mark.parametrize("bucket", SPANS)
@pytest.mark.parametrize("name", DRAWN)
def test_a_chart_covers_its_range_and_shades_the_bucket_under_way(name: str, bucket: str):
    span = SPANS[bucket]
    frame = pd.DataFrame({"time": [pd.Timestamp(span.since)], "model": ["sim-fast"], "class": ["timeout"], **dict.fromkeys(COLUMNS, 1.0)})  # fmt: skip

    layers = DRAWN[name](frame, span).to_dict()["layer"]

    flat = [inner for layer in layers for inner in layer.get("layer", [layer])]
    for layer in flat:
        domain = layer["encoding"]["x"]["scale"]["domain"]
        assert domain == [1000 * span.since.timestamp(), 1000 * span.until.timestamp()]
        assert layer["mark"].get("interpolate", "linear") == "linear"  # between two buckets nothing is made up
    assert flat[0]["mark"]["type"] == "rect"
    assert span.last == NOW.replace(minute=0, hour=15 if bucket == "hour" else 0)


@pytest.mark.parametrize(
    ("now", "before", "n_before", "text"),
    [
        (120, 100, 100, "+20 %"), (80, 100, 100, "-20 %"), (100, 100, 100, "± 0 %"), (99.7, 100, 100, "± 0 %"), (11109, 10, 100, "× 1,111"),
        (11109, 10, 10, "only 10 before"), (5, 0, 0, "none before"), (5, 0, 100, "0 before"), (0, 0, 100, "as before"),
        (5, None, 100, "none before"), (None, 5, 100, "none now"), (1e-9, 1e-12, 50, "× 1,000"),
    ],
)  # fmt: skip
def test_a_change_in_per_cent_stands_on_something(now: float | None, before: float | None, n_before: int, text: str):
    assert formatting.change(now, before, n_before)[0] == text


@pytest.mark.parametrize(
    ("draw", "columns"),
    [
        (lambda f: monitoring.cost_over_time(f, SPANS["day"]), "model"), (lambda f: spend.daily_spend(f, None, SPANS["day"]), "model"),
        (lambda f: compare.win_rate_over_time(f, SPANS["day"]), "model"), (compare.win_rates, "model"),
        (lambda f: workflows.gantt(f, f["step"].tolist(), 1.0), "step model label"), (experiments.forest_plot, "variant metric"),
        (lambda f: experiments.effect_over_time(f, "title"), "variant"), (lambda f: experiments.units_per_day(f, SPANS["day"]), "variant"), (experiments.split_shares, "variant"),
    ],
)  # fmt: skip
def test_a_chart_hands_out_no_formula(draw: Callable[[pd.DataFrame], Any], columns: str):
    numbers = (*COLUMNS, "win rate %", "lower %", "upper %", "start", "end", "effect", "lower", "upper", "units", "claimed", "exposed", "outcomes", "seen %", "planned %")  # fmt: skip
    formula = '=HYPERLINK("http://x")'
    frame = pd.DataFrame({"time": [pd.Timestamp(NOW)], "status": ["ok"], **dict.fromkeys(numbers, 1.0), **dict.fromkeys(columns.split(), formula)})  # fmt: skip

    drawn = json.dumps(draw(frame).to_dict())

    assert json.dumps(formula) not in drawn
    assert json.dumps(f"'{formula}") in drawn


def test_an_axis_says_the_day_where_it_changes_and_the_year_where_several_are_shown():
    years = Span("day", datetime(2025, 12, 1, tzinfo=UTC), datetime(2026, 3, 9, tzinfo=UTC), NOW)
    axis = {name: base.time_axis(span).to_dict()["axis"] for name, span in {**SPANS, "years": years}.items()}

    assert [axis[name]["format"] for name in ("day", "years")] == ["%d %b", "%d %b %Y"]
    assert axis["hour"]["labelExpr"] == "utcFormat(datum.value, utchours(datum.value) ? '%H:%M' : '%d %b')"
