"""Calls of a range of time: totals, over time, by model. Reads rollups, never single calls."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

import pandas as pd
import streamlit as st

from core.domain.metrics import MEASURES, Bucket, Measure, Metrics, MetricsRow, Window
from dashboard import tables
from dashboard.charts.base import Span
from dashboard.process import manager

RANGES: dict[str, timedelta] = {
    "24 h": timedelta(hours=24),
    "7 days": timedelta(days=7),
    "30 days": timedelta(days=30),
    "90 days": timedelta(days=90),
}


@st.cache_data(ttl=5, show_spinner=False)
def has_demo() -> bool:
    return manager().demo.is_present()


@st.cache_data(ttl=5, show_spinner=False)
def has_calls(simulated: bool) -> bool:
    return manager().monitoring.has_any(simulated=simulated)


def window(label: str) -> Window:
    """Whole buckets up to now, the one under way included: 24 hours, 7 days, today with them."""
    bucket, now = bucket_of(label), datetime.now(UTC)
    start = now.replace(hour=now.hour if bucket == "hour" else 0, minute=0, second=0, microsecond=0)
    width = timedelta(hours=1) if bucket == "hour" else timedelta(days=1)
    return manager().monitoring.window(start - RANGES[label] + width, now)


def span(label: str) -> Span:
    """The same as an axis: to the end of the bucket under way."""
    chosen, bucket = window(label), bucket_of(label)
    return Span.around(bucket, chosen.since, chosen.until)


def bucket_of(label: str) -> Bucket:
    return "hour" if RANGES[label] <= timedelta(days=2) else "day"


@st.cache_data(ttl=3, show_spinner=False)
def totals(label: str, model: str | None, simulated: bool) -> tuple[Metrics, Metrics | None]:
    """Of the range, and of the range before it; None = the records do not reach back so far."""
    monitoring, now = manager().monitoring, window(label)
    before = now.previous if reaches_back(label, simulated) else None
    found = [monitoring.total(w, model=model, simulated=simulated) for w in (now, before) if w is not None]
    return found[0], found[1] if before is not None else None


def reaches_back(label: str, simulated: bool) -> bool:
    """True if the whole of the range before is on record."""
    return manager().monitoring.reaches_back(window(label).previous.since, simulated=simulated)


@st.cache_data(ttl=3, show_spinner=False)
def over_time(label: str, model: str | None, simulated: bool) -> pd.DataFrame:
    """One row a bucket: requests, success rate, latency and first-token percentiles, tokens by kind, cost."""
    rows = manager().monitoring.over_time(window(label), bucket=bucket_of(label), model=model, simulated=simulated)
    return metrics_frame(rows)


@st.cache_data(ttl=3, show_spinner=False)
def by_model(label: str, model: str | None, simulated: bool, bucket: Bucket | None = None) -> pd.DataFrame:
    return metrics_frame(manager().monitoring.by_model(window(label), bucket=bucket, model=model, simulated=simulated))


@st.cache_data(ttl=3, show_spinner=False)
def errors_over_time(label: str, model: str | None, simulated: bool) -> pd.DataFrame:
    rows = manager().monitoring.over_time(window(label), bucket=bucket_of(label), model=model, simulated=simulated)
    records = [
        {"time": row.bucket, "class": name.replace("_", " "), "errors": n}
        for row in rows
        for name, n in row.metrics.errors.items()
    ]
    return pd.DataFrame(records, columns=["time", "class", "errors"])


def _measured(row: MetricsRow, measure: Measure) -> float | None:
    return measure.of(row.metrics)


def metrics_frame(rows: Sequence[MetricsRow]) -> pd.DataFrame:
    return tables.frame(
        rows,
        {
            "time": lambda row: row.bucket,
            "model": lambda row: row.model,
            "requests": lambda row: row.metrics.n,
            **{measure.column: partial(_measured, measure=measure) for measure in MEASURES},
            "input": lambda row: row.metrics.input_tokens - row.metrics.cached_tokens,
            "cached": lambda row: row.metrics.cached_tokens,
            "thinking": lambda row: row.metrics.thinking_tokens,
            "output": lambda row: row.metrics.output_tokens - row.metrics.thinking_tokens,
            "cost $": lambda row: float(row.metrics.cost_usd),
            "unpriced calls": lambda row: row.metrics.n_unpriced,
            "errors": lambda row: sum(row.metrics.errors.values()),
        },
    )
