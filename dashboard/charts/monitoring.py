"""Calls over time: what they cost, how they went, how fast they were, how much they read and wrote."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pandas as pd

from dashboard import formatting
from dashboard.charts.base import Incident, Span
from dashboard.charts.colours import Ink, of_failure
from dashboard.charts.stack import AXIS_PX, COUNT, MONEY, Series, Stack, Tip, config
from dashboard.formatting import failure_text

MODELS_SHOWN, FAILURES_SHOWN = 5, 2
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
OF_WEEK = {"Calls": "requests", "Cost": "cost $", "Failures": "errors"}
TIPS = (
    Tip("calls text", "Calls"),
    Tip("failed text", "Failed"),
    Tip("cost text", "Cost"),
    Tip("p50 text", "p50"),
    Tip("p95 text", "p95"),
    Tip("p99 text", "p99"),
    Tip("tokens text", "Tokens"),
)


def overview(
    times: pd.DataFrame,
    models: pd.DataFrame,
    span: Span,
    ink: Ink,
    colours: Mapping[str, str],
    incidents: Sequence[Incident],
) -> tuple[dict[str, Any], list[str]]:
    """The specification of the four panels, and the names of its selections.

    times: A row a bucket, without gaps. models: A row a bucket and model.
    """
    frame, shown = with_models(times, models)
    frame, failures = _with_failures(frame)
    frame = frame.assign(
        **{
            "calls text": frame["requests"].map(formatting.count),
            "failed text": _failed(frame, span, incidents),
            "cost text": frame["cost $"].map(formatting.usd),
            "tokens text": frame[["input", "cached", "output", "thinking"]].sum(axis=1).map(formatting.count),
            **{f"{p} text": _seconds(frame[f"{p} s"]) for p in ("p50", "p95", "p99")},
        }
    ).drop(columns=["failures", "model"])
    stack = Stack(frame, span, ink, tips=TIPS, incidents=[(each.since, each.until) for each in incidents])
    stack.bars(cost_title(times, shown, frame), series_of(shown, ink, colours), MONEY)
    counted = [Series("answered", "OK", ink.answered)]
    counted += [Series(column, failure_text(name), of_failure(name, ink)) for column, name in failures.items()]
    stack.bars(_calls_title(times, incidents), counted, COUNT, picked="errors")
    percentiles = [
        Series(f"{p} s", p, colour) for p, colour in zip(("p50", "p95", "p99"), ink.percentiles, strict=True)
    ]
    stack.lines(_latency_title(times, incidents), percentiles, "~r", unit="s")
    kinds = ("input", "cached", "thinking", "output")
    tokens = [Series(kind, kind, colour) for kind, colour in zip(kinds, ink.tokens, strict=True) if times[kind].any()]
    stack.bars(_tokens_title(times), tokens or [Series("input", "input", ink.tokens[0])], COUNT)
    return stack.spec(), stack.selections


def _seconds(column: pd.Series) -> list[str]:
    return [formatting.seconds(None if pd.isna(value) else float(value)) for value in column]


def series_of(shown: Mapping[str, str], ink: Ink, colours: Mapping[str, str]) -> list[Series]:
    """The models of `with_models` in their colours."""
    return [
        Series(column, name, colours.get(name, ink.muted) if name != "other" else ink.answered)
        for column, name in shown.items()
    ]


def with_models(times: pd.DataFrame, models: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, str]]:
    """Cost by model as columns: the dearest, and the rest together; their names by column."""
    cost = models.groupby("model")["cost $"].sum().sort_values(ascending=False)
    top = list(cost.index[:MODELS_SHOWN])
    wide = models.pivot_table(index="time", columns="model", values="cost $", aggfunc="sum", fill_value=0.0)
    wide = wide.reindex(times["time"], fill_value=0.0).reset_index(drop=True)
    named = {f"model {at}": wide[name] for at, name in enumerate(top)}
    shown = {f"model {at}": name for at, name in enumerate(top)}
    if len(cost) > len(top):
        named["model other"] = wide.drop(columns=top).sum(axis=1)
        shown["model other"] = "other"
    return times.reset_index(drop=True).assign(**named), shown


def _with_failures(times: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, str]]:
    """Failures by class as columns: the most frequent, and the rest together; the class by column."""
    total = Counter[str]()
    for each in times["failures"]:
        total.update(each)
    top = [name for name, _ in total.most_common(FAILURES_SHOWN)]
    columns = {f"failed {at}": name for at, name in enumerate(top)}
    named = {column: [each.get(name, 0) for each in times["failures"]] for column, name in columns.items()}
    if len(total) > len(top):
        columns["failed other"] = "other"
        named["failed other"] = [sum(n for name, n in each.items() if name not in top) for each in times["failures"]]
    return times.assign(**named, answered=times["requests"] - times["errors"]), columns


def cost_title(times: pd.DataFrame, shown: Mapping[str, str], frame: pd.DataFrame) -> str:
    total = float(times["cost $"].sum())
    text = f"Cost {formatting.usd(total)}"
    first = next(iter(shown.items()), None)
    if first is not None and total:
        text += f" · {first[1]} is {formatting.percent(float(frame[first[0]].sum()) / total, 0)}"
    n = int(times["unpriced calls"].sum())
    return f"{text} · {n:,} calls without a price are not in it" if n else text


def _calls_title(times: pd.DataFrame, incidents: Sequence[Incident]) -> str:
    n, failed = int(times["requests"].sum()), int(times["errors"].sum())
    text = f"{n:,} calls · " + (f"{failed:,} failed ({formatting.percent(failed / n)})" if failed else "none failed")
    if not incidents or not failed:
        causes = sum(map(Counter[str], times["failures"]), Counter[str]()).most_common(2)
        return " · ".join([text, *(f"{n:,} {failure_text(name).lower()}" for name, n in causes)])
    worst = max(incidents, key=lambda each: each.n)
    share = formatting.percent(worst.n / failed, 0)
    return f"{text} · {share} of them on {formatting.stretch(worst.since, worst.until)}, {said(worst)}"


def said(each: Incident) -> str:
    """The kind and the models of most of its failures."""
    return f"mostly {failure_text(each.cause).lower()} · {each.whose}"


def _failed(frame: pd.DataFrame, span: Span, incidents: Sequence[Incident]) -> list[str]:
    """Failures of each bucket, with what is known of an incident in it."""
    found = [
        next((f" · {said(each)}" for each in incidents if each.since < at + span.step and each.until > at), "")
        for at in frame["time"]
    ]
    return [f"{n:,.0f}{text}" for n, text in zip(frame["errors"], found, strict=True)]


def _latency_title(times: pd.DataFrame, incidents: Sequence[Incident]) -> str:
    known = times.dropna(subset=["p50 s"])
    if known.empty:
        return "No answered call to measure"
    slowest = known.loc[known["p95 s"].idxmax()]
    moment = formatting.at(slowest["time"], "%-d %b %H:%M" if _is_hourly(times) else "%-d %b")
    usual, worst = float(known["p95 s"].median()), float(slowest["p95 s"])
    text = f"Latency: p95 of all calls usually {formatting.seconds(usual)}"
    slower = max((each for each in incidents if each.slower), key=lambda each: each.n, default=None)
    if slower is not None:
        return f"{text} · {formatting.stretch(slower.since, slower.until)}: {slower.slower}"
    return f"{text}, at most {formatting.seconds(worst)} on {moment}" if len(known) > 1 else text


def _is_hourly(times: pd.DataFrame) -> bool:
    return len(times) > 1 and times["time"].iloc[1] - times["time"].iloc[0] < timedelta(hours=2)


def _tokens_title(times: pd.DataFrame) -> str:
    sums = times[["input", "cached", "thinking", "output"]].sum()
    read = float(sums["input"] + sums["cached"])
    text = f"{formatting.count(float(sums.sum()))} tokens"
    return (
        f"{text} · {formatting.percent(float(sums['cached']) / read, 0)} of the input from the vendor's cache"
        if sums["cached"]
        else text
    )


def week(frame: pd.DataFrame, what: str, ink: Ink) -> dict[str, Any]:
    """A heat map, hour by weekday. what: Calls, Cost or Failures; frame: a row an hour of the week."""
    column = OF_WEEK[what]
    text = formatting.usd if what == "Cost" else formatting.mean
    rows = [
        {"day": WEEKDAYS[int(day)], "hour": int(hour), "value": float(value), "text": text(float(value))}
        for day, hour, value in zip(frame["day"], frame["hour"], frame[column], strict=True)
    ]
    strong = ink.fail if what == "Failures" else ink.brand
    hour = "datum.value % 3 == 0 ? (datum.value < 10 ? '0' : '') + datum.value + ':00' : ''"
    axis = {"ticks": False, "domain": False, "title": None}
    return {
        "data": {"values": rows},
        "height": 190,
        "mark": {"type": "rect", "cornerRadius": 2, "cursor": "pointer"},
        "params": [{"name": "hour_of_week", "select": {"type": "point", "fields": ["day", "hour"], "toggle": False}}],
        "encoding": {
            "x": {
                "field": "hour",
                "type": "ordinal",
                "scale": {"domain": list(range(24)), "paddingInner": 0.08},
                "axis": axis | {"labelAngle": 0, "labelExpr": hour},
            },
            "y": {
                "field": "day",
                "type": "ordinal",
                "scale": {"domain": list(WEEKDAYS), "paddingInner": 0.08},
                "axis": axis | {"minExtent": AXIS_PX, "maxExtent": AXIS_PX},
            },
            "color": {
                "field": "value",
                "type": "quantitative",
                "legend": None,
                # Named, as the chart is first drawn before its data are there.
                "scale": {"range": [ink.panel, strong], "domain": [0, max(frame[column], default=0) or 1]},
            },
            "tooltip": [
                {"field": "day", "type": "nominal", "title": "Weekday"},
                {"field": "hour", "type": "ordinal", "title": "Hour"},
                {"field": "text", "type": "nominal", "title": f"{what} an hour"},
            ],
        },
        "config": config(ink),
    }


def busiest(frame: pd.DataFrame, what: str) -> str:
    """The hour of the week that has most, as a sentence."""
    column = OF_WEEK[what]
    if frame.empty or not frame[column].any():
        return f"{what} by hour of the week"
    top = frame.loc[frame[column].idxmax()]
    most = f"{WEEKDAYS[int(top['day'])]} {int(top['hour']):02d}:00"
    return f"{what} by hour of the week · most on {most} · click for the latest of an hour"
