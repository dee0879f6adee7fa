"""Charts cover the chosen range and mark what is not over; changes say what they stand on."""

import json
from datetime import UTC, datetime
from typing import Any

import altair as alt
import pandas as pd
import pytest

from dashboard import formatting
from dashboard.charts import base, colours, evaluation, monitoring, spend, workflows
from dashboard.charts.base import Incident, Span

NOW = datetime(2026, 3, 8, 15, 30, tzinfo=UTC)
SPANS = {
    "day": Span("day", datetime(2026, 3, 2, tzinfo=UTC), datetime(2026, 3, 9, tzinfo=UTC), NOW),
    "hour": Span("hour", datetime(2026, 3, 7, 16, tzinfo=UTC), datetime(2026, 3, 8, 16, tzinfo=UTC), NOW),
}
COLUMNS = ("requests", "success %", "p50 s", "p95 s", "p99 s", "first token p50 s", "first token p95 s", "first token p99 s", "input", "cached", "thinking", "output", "cost $", "unpriced calls", "unpriced tokens", "calls", "errors")  # fmt: skip


def two_buckets(span: Span, model: str = "gpt-5", **cells: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A range in which only the first and the last bucket had calls: a row a bucket, and a row a bucket and model."""
    row = {"model": model, "failures": {"rate_limited": 1}, **dict.fromkeys(COLUMNS, 1.0), **cells}
    times = pd.DataFrame([{"time": pd.Timestamp(at), **row} for at in (span.since, span.edges[-2])])
    whole = base.whole(times, span)
    whole["failures"] = [each if isinstance(each, dict) else {} for each in whole["failures"]]
    counts = ["requests", "input", "cached", "thinking", "output", "cost $", "unpriced calls", "errors"]
    whole = whole.assign(**{name: whole[name].fillna(0) for name in counts})
    return whole, times


def drawn_overview(span: Span, model: str = "gpt-5", **cells: Any) -> dict[str, Any]:
    whole, times = two_buckets(span, model, **cells)
    incident = Incident(span.since, span.since + span.step, 1, "rate_limited", f"{model} (openai)")
    spec, selections = monitoring.overview(whole, times, span, colours.LIGHT, {model: "#1f5fd0"}, [incident])
    assert len(selections) == len(set(selections)) == 2 * len(spec["vconcat"])
    return spec


def layers_of(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return [layer for panel in spec["vconcat"] for layer in panel["layer"]]


@pytest.mark.parametrize("bucket", SPANS)
def test_the_stack_is_a_chart_of_vega_lite(bucket: str):
    alt.VConcatChart.from_dict(
        {"$schema": "https://vega.github.io/schema/vega-lite/v6.json", **drawn_overview(SPANS[bucket])}
    )


@pytest.mark.parametrize("bucket", SPANS)
def test_all_panels_show_the_whole_range_in_plots_of_one_height(bucket: str):
    span = SPANS[bucket]
    spec = drawn_overview(span)

    domains = [layer["encoding"]["x"]["scale"]["domain"] for layer in layers_of(spec)]
    assert domains == [[1000 * span.since.timestamp(), 1000 * span.until.timestamp()]] * len(domains)
    assert len({panel["height"] for panel in spec["vconcat"]}) == 1
    shown = [layer["encoding"]["x"]["axis"]["values"] for layer in spec["vconcat"][-1]["layer"]]
    assert all(0 < len(each) <= 8 for each in shown)


def test_the_bucket_under_way_is_hatched_and_its_line_dashed_and_no_line_is_smoothed():
    layers = layers_of(drawn_overview(SPANS["day"]))
    marks = [layer["mark"] for layer in layers]

    hatched = [layer for layer, mark in zip(layers, marks, strict=True) if mark.get("color") == colours.LIGHT.ground]
    assert len(hatched) == 3  # cost, calls and tokens
    assert all("url" not in json.dumps(layer) for layer in hatched)  # which a change of the address would break
    lines = [mark for mark in marks if mark["type"] == "line"]
    assert [mark.get("strokeDash") for mark in lines] == [None, [3, 3]]
    assert {mark["interpolate"] for mark in lines} == {"linear"}


def test_a_line_breaks_where_nothing_was_measured():
    (line, _) = (layer for layer in layers_of(drawn_overview(SPANS["day"])) if layer["mark"]["type"] == "line")
    p50 = [row["value"] for row in line["data"]["values"] if row["series"] == "p50"]

    assert p50 == [1.0, None, None, None, None, None]  # and the last is dashed


def test_an_axis_without_a_single_value_says_nothing():
    spec = drawn_overview(SPANS["day"], **dict.fromkeys(("p50 s", "p95 s", "p99 s"), float("nan")))

    axes = [layer["encoding"]["y"] for layer in spec["vconcat"][2]["layer"] if "y" in layer["encoding"]]
    assert {(axis["axis"].get("labels"), *axis["scale"]["domain"]) for axis in axes if "axis" in axis} == {
        (False, 0, 1)
    }


def title_of(panel: dict[str, Any]) -> str:
    """A panel's title; where it breaks on narrow charts, as it is on wide ones."""
    text = panel["title"]["text"]
    if isinstance(text, str):
        return text
    whole, lines = map(json.loads, text["expr"].split(" ? ", 1)[1].rsplit(" : ", 1))
    assert " ".join(lines) == whole
    return str(whole)


def test_titles_say_what_the_data_say():
    cost, calls, latency, tokens = map(title_of, drawn_overview(SPANS["day"])["vconcat"])

    assert cost == "Cost $2.00 · gpt-5 is 100% · 2 calls without a price are not in it"
    assert calls == "2 calls · 2 failed (100%) · 50% of them on 2 Mar, mostly rate limited · gpt-5 (openai)"
    assert latency.startswith("Latency: p95 of all calls usually 1.00 s")
    assert tokens == "8 tokens · 50% of the input from the vendor's cache"


def test_the_stack_hands_out_no_formula():
    formula = '=HYPERLINK("http://x")'
    drawn = json.dumps(drawn_overview(SPANS["day"], model=formula)["vconcat"][0]["layer"])

    assert json.dumps(formula) not in drawn
    assert json.dumps(f"'{formula}") in drawn


@pytest.mark.parametrize(
    ("now", "before", "n_now", "n_before", "text"),
    [
        (120, 100, 100, 100, "+20%"), (80, 100, 100, 100, "−20%"), (100, 100, 100, 100, "0%"), (99.7, 100, 99, 99, "0%"),
        (11109, 10, 99, 99, None), (1, 100, 99, 99, None), (120, 100, 100, 29, None), (120, 100, 29, 100, None),
        (5, 0, 99, 99, None), (5, None, 99, 99, None), (None, 5, 99, 99, None),
    ],
)  # fmt: skip
def test_a_change_in_per_cent_stands_on_something(
    now: float | None, before: float | None, n_now: int, n_before: int, text: str | None
):
    found = formatting.change(now, before, n_now, n_before)

    assert (found.text if found else None) == text


def test_a_rate_changes_by_points():
    found = [formatting.change(now, 99.2, 100, 100, in_points=True) for now in (99.2, 98.8, 99.96)]

    assert [each.text for each in found if each] == ["0 pts", "−0.4 pts", "+0.8 pts"]


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (formatting.count(9_999), "9,999"), (formatting.count(10_100), "10.1k"), (formatting.count(375_991), "376k"),
        (formatting.count(999_600), "1.0M"), (formatting.count(353_000_000), "353M"), (formatting.count(2.2e9), "2.2B"),
        (formatting.percent(0.992), "99.2%"), (formatting.percent(1.0), "100%"), (formatting.percent(0.99991), "99.99%"),
        (formatting.percent(0.0), "0%"), (formatting.percent(0.0004), "0.04%"), (formatting.percent(None), "–"),
        (formatting.seconds(0.559), "559 ms"), (formatting.seconds(1.84), "1.84 s"), (formatting.seconds(12.34), "12.3 s"),
    ],
)  # fmt: skip
def test_numbers_are_written_in_one_way(shown: str, text: str):
    assert shown == text


def test_the_timeline_of_a_run_is_a_chart_of_vega_lite_and_hands_out_no_formula():
    formula = '=HYPERLINK("http://x")'
    row = {
        "step": formula,
        "kind": "call",
        "what": "call",
        "model": formula,
        "start": 0.0,
        "end": 9_000.0,
        "took": "3 h",
    }
    spec = workflows.gantt(pd.DataFrame([row]), {formula: "$0.10 · 3 h"}, {}, colours.LIGHT)
    alt.LayerChart.from_dict({"$schema": "https://vega.github.io/schema/vega-lite/v6.json", **spec})

    drawn = json.dumps(spec)
    assert json.dumps(formula) not in drawn and json.dumps(f"'{formula}") in drawn
    assert "+ ' h'" in drawn


def drawn_spend(a_day: float | None, model: str = "gpt-5") -> dict[str, Any]:
    spec, _ = spend.daily(*two_buckets(SPANS["day"], model), a_day, SPANS["day"], colours.LIGHT, {})
    return spec


def test_cost_by_day_shows_the_budget_and_which_bars_are_not_whole():
    spec = drawn_spend(0.75)

    alt.VConcatChart.from_dict({"$schema": "https://vega.github.io/schema/vega-lite/v6.json", **spec})
    assert title_of(spec["vconcat"][0]).endswith("· 2 days over the budget's $0.750 a day")
    (limit,) = (layer for layer in layers_of(spec) if "'limit'" in str(layer["data"]))
    assert limit["data"]["values"] == [{"limit": 0.75}]
    (triangles,) = (layer for layer in layers_of(spec) if layer["mark"].get("shape"))
    assert len(triangles["data"]["values"]) == 2
    assert "10000.0" not in str(drawn_spend(10_000.0))  # its line would leave no room for the bars
    formula = '=HYPERLINK("http://x")'
    assert f'"series": {json.dumps(formula)}' not in json.dumps(drawn_spend(None, formula))


def test_the_month_ahead_is_a_pale_range_that_begins_where_the_spend_ends():
    days = pd.date_range(SPANS["day"].since, periods=7, freq="D", name="time")
    ahead = {
        name: [None, None, 3.0, 4.0 + at, 5.0 + at, None, None]
        for at, name in enumerate(("lower", "expected", "upper"))
    }
    frame = pd.DataFrame({"time": days, "spent": [1.0, 2.0, 3.0, None, None, None, None], **ahead}, dtype=object)

    spec, _ = spend.month(frame, "This month $3.00", 4.0, SPANS["day"], colours.DARK)

    alt.VConcatChart.from_dict({"$schema": "https://vega.github.io/schema/vega-lite/v6.json", **spec})
    area, way, spent, limit = spec["vconcat"][0]["layer"][:4]
    assert [len(layer["data"]["values"]) for layer in (area, way, spent, limit)] == [3, 3, 3, 1]
    assert (area["mark"]["opacity"], way["mark"]["strokeDash"]) == (0.32, [3, 3])


def test_a_bridge_goes_from_before_to_now_in_amounts():
    steps = [("before", 0, 10, "total"), ("volume", 10, 13, "more"), ("price", 13, 12, "less"), ("now", 0, 12, "total")]
    frame = pd.DataFrame(steps, columns=["step", "start", "end", "kind"])

    spec = spend.bridge(frame.assign(change=frame["end"] - frame["start"]), "+$1", colours.LIGHT)

    alt.LayerChart.from_dict({"$schema": "https://vega.github.io/schema/vega-lite/v6.json", **spec})
    texts = [(row["step"], row["text"]) for row in spec["layer"][1]["data"]["values"]]
    assert texts == [
        ("Before", "$10.00"),
        ("Number of calls", "+$3.00"),
        ("Price per token", "−$1.00"),
        ("Now", "$12.00"),
    ]


def evaluation_frames() -> dict[str, pd.DataFrame]:
    """What the charts of evaluations are drawn from, with a name that would be a formula to a spreadsheet."""
    one = {"letter": "B", "position": 1, "contestant": "B =1+1", "items": "200", "p": "0.012"}
    forest = [
        one | {"metric": name, "unit": unit, "better": 0.1, "low": low, "high": 0.2, "difference": "", "interval": ""}
        for name, unit, low in (("Pass rate", "points", 0.05), ("Cost", "$", float("nan")), ("Latency", "s", -0.1))
    ]
    costs = {"usd": 1.0, "usd low": 0.5, "usd high": 1.5, "per 1,000": "$1", "said": "", "pass rate": "90%"}
    rates = {"rate": 0.9, "rate low": 0.8, "rate high": 0.95, "outdone": False}
    tags = one | {"tag": "=rare", "n": 3, "rate": None, "pass rate": "–", "text": "–"}
    run = {"run": "ev_1", "at": "2026-03-08 15:30", "line": "B", "rate": 0.9, "low": 0.8, "high": 0.95}
    told = {"pass rate": "90%", "items": "200", "dataset": "faq@1", "baseline": "main", "contestant": "B"}
    return {
        "forest": pd.DataFrame(forest),
        "pareto": pd.DataFrame([one | rates | costs, one | rates | costs | {"outdone": True, "usd high": 99.0}]),
        "tags": pd.DataFrame([tags, tags | {"tag": "often", "rate": 0.4}]),
        "trend": pd.DataFrame([run | told, run | told | {"run": "ev_2", "baseline": ""}]),
    }


@pytest.mark.parametrize("ink", [colours.LIGHT, colours.DARK])
def test_charts_of_evaluations_are_charts_of_vega_lite_on_honest_axes(ink: colours.Ink):
    frames = evaluation_frames()
    specs = [
        evaluation.forest(frames["forest"], ink),
        evaluation.pareto(frames["pareto"], "Title", ink),
        evaluation.by_tag(frames["tags"], {"=rare": 3, "often": 90}, 20, "Title", ink),
        evaluation.trend(frames["trend"], {"B": "#1f5fd0"}, "Title", ink),
    ]
    for spec in specs:
        alt.VConcatChart.from_dict({"$schema": "https://vega.github.io/schema/vega-lite/v6.json", **spec})

    forest, pareto, tags, trend = specs
    assert len(forest["vconcat"]) == 3  # a panel a unit
    domains = [layer["encoding"]["x"]["scale"]["domain"] for panel in forest["vconcat"] for layer in panel["layer"]]
    assert all(low == -high for low, high in domains)  # the line of no difference is in the middle
    for spec in (pareto, trend):
        layers = [each for each in spec["vconcat"][0]["layer"] if "scale" in each["encoding"].get("y", {})]
        assert layers and all(each["encoding"]["y"]["scale"]["domain"] == [0, 1] for each in layers)
    assert tags["vconcat"][0]["layer"][0]["encoding"]["color"]["scale"]["domain"] == [0, 1]
    assert any("(3, few)" in row["row"] for row in tags["vconcat"][0]["data"]["values"])
