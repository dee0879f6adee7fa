"""Calls over time: how many, how fast, how they went, what they cost."""

from typing import Any

import altair as alt
import pandas as pd

from dashboard.charts.base import PALETTE, Span, bars, by_model, legend, line, of_frame, over_time, whole


@of_frame
def cost_over_time(frame: pd.DataFrame, span: Span) -> Any:
    tips = ["model:N", alt.Tooltip("cost $:Q", format="$.6f"), "requests:Q", "unpriced calls:Q"]
    y = alt.Y("sum(cost $):Q", title="Cost (USD)")
    return over_time(span, bars(frame, span, y, tips, color=by_model(frame["model"])))


def lines_over_time(frame: pd.DataFrame, names: dict[str, str], span: Span, title: str) -> Any:
    wide = whole(frame, span)[["time", *names]].rename(columns=names)
    long = wide.melt("time", var_name="series", value_name="value")
    tips = ["series:N", alt.Tooltip("value:Q", format=".3f")]
    color = alt.Color("series:N", sort=list(names.values()), legend=legend())
    return line(long, span, alt.Y("value:Q", title=title), tips, "linear", color=color)


def latency_over_time(frame: pd.DataFrame, span: Span) -> Any:
    names = {"p50 s": "p50", "p95 s": "p95", "p99 s": "p99"}
    return lines_over_time(frame, names, span, "Latency (s)")


def ttft_over_time(frame: pd.DataFrame, span: Span) -> Any:
    names = {"first token p50 s": "p50", "first token p95 s": "p95", "first token p99 s": "p99"}
    return lines_over_time(frame, names, span, "Time to first token (s)")


def requests_over_time(frame: pd.DataFrame, span: Span) -> Any:
    chart = bars(frame, span, alt.Y("requests:Q", title="Requests"), ["requests:Q", "success %:Q"])
    return over_time(span, chart.encode(color=alt.value(PALETTE[0])))


def success_over_time(frame: pd.DataFrame, span: Span) -> Any:
    lowest = min([90.0, *frame["success %"].dropna()])
    y = alt.Y("success %:Q", title="Success rate (%)", scale=alt.Scale(domain=[lowest, 100]))
    tips = [alt.Tooltip("success %:Q", format=".2f"), "requests:Q"]
    return line(whole(frame, span), span, y, tips, "linear", color=alt.value("#0d9488"))


def errors_over_time(frame: pd.DataFrame, span: Span) -> Any:
    scale = alt.Scale(range=["#dc2626", "#ea7317", "#ca8a04", "#8b5cf6", "#0891b2", "#7c7f86"])
    color = alt.Color("class:N", scale=scale, legend=legend())
    y = alt.Y("sum(errors):Q", title="Failed requests")
    return over_time(span, bars(frame, span, y, ["class:N", "errors:Q"], color=color))


def tokens_over_time(frame: pd.DataFrame, span: Span) -> Any:
    kinds = ["input", "cached", "thinking", "output"]
    long = frame[["time", *kinds]].melt("time", var_name="kind", value_name="tokens")
    scale = alt.Scale(domain=kinds, range=["#3b82f6", "#93c5fd", "#c4b5fd", "#8b5cf6"])
    color = alt.Color("kind:N", scale=scale, sort=kinds, legend=legend())
    y = alt.Y("sum(tokens):Q", title="Tokens", axis=alt.Axis(format="~s"))
    tips = ["kind:N", alt.Tooltip("tokens:Q", format=",")]
    return over_time(span, bars(long, span, y, tips, color=color, order=alt.Order("kind:N")))
