"""Calls of a range of time: totals, over time, by model. Reads rollups, never single calls."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from typing import NamedTuple

import pandas as pd
import streamlit as st

from core.domain.metrics import MEASURES, Bucket, Measure, Metrics, MetricsRow, Window
from core.formats import zones
from dashboard import address, formatting, tables
from dashboard.charts.base import Incident, Span, whole
from dashboard.process import manager, zone

RANGES: dict[str, timedelta] = {
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
    "90d": timedelta(days=90),
}
ROUNDED_S = 10  # what is drawn is shared by all who look within so many seconds
HOURS_UP_TO, MAX_ZOOM = timedelta(days=4), timedelta(days=364)
# Of an hour: with so many calls it is looked at, and from these shares it is an incident, or belongs to one beside it.
FEW_CALLS, FAILED_SHARE, RAISED_SHARE = 20, 0.1, 0.05
SLOWER = 1.5  # times the usual latency, from which an incident names it


class Range(NamedTuple):
    """A range of time as it is looked at.

    span: All of it, in whole buckets.
    window: The part of it that has been; whole hours.
    """

    span: Span
    window: Window
    is_zoomed: bool

    @property
    def bucket(self) -> Bucket:
        return "hour" if self.span.bucket == "hour" else "day"

    @property
    def length(self) -> timedelta:
        return self.span.until - self.span.since

    @property
    def before(self) -> Window:
        """As long a part of the range before, up to the same moment."""
        return Window(self.window.since - self.length, self.window.until - self.length)


# For all viewers of the same range; told apart by its text, which is quicker than by its parts.
kept = st.cache_data(ttl=ROUNDED_S, show_spinner=False, max_entries=60, hash_funcs={Range: repr})


def chosen(label: str, zoom: str | None = None) -> Range:
    """The range of a label, or of `zoom`: two moments in Unix seconds with a dash between. A bad zoom is none."""
    now, length = _rounded(datetime.now(UTC)), RANGES[label]
    ends, bucket = _zoomed(zoom), "hour" if length <= timedelta(days=2) else "day"
    if ends is not None:
        since, until = ends
        bucket = "hour" if until - since <= HOURS_UP_TO else "day"
    elif bucket == "hour":
        until = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
        since = until - length
    else:
        local, until = zone(), now
        since = zones.first_hour(zones.day_of(now, local) + timedelta(days=1) - length, local)
    span = Span.around(bucket, since, until, zone().key)._replace(now=now)
    window = manager().monitoring.window(span.since, min(span.until, now))
    return Range(span, window, ends is not None)


def _zoomed(zoom: str | None) -> tuple[datetime, datetime] | None:
    ends = address.moments(zoom)
    return ends if ends and ends[0] < datetime.now(UTC) and ends[1] - ends[0] <= MAX_ZOOM else None


def _rounded(moment: datetime) -> datetime:
    return moment.replace(second=moment.second // ROUNDED_S * ROUNDED_S, microsecond=0)


@st.cache_data(ttl=5, show_spinner=False)
def has_demo() -> bool:
    return manager().demo.is_present()


def has_calls(simulated: bool) -> bool:
    """Not kept: what is first shown rests on it, and it is found in an index."""
    return manager().monitoring.has_any(simulated=simulated)


@kept
def totals(of: Range, model: str | None, simulated: bool) -> tuple[Metrics, Metrics | None]:
    """Of the range, and of the range before it; None = the records do not reach back so far."""
    monitoring = manager().monitoring
    now = monitoring.total(of.window, model=model, simulated=simulated)
    if not reaches_back(of, simulated):
        return now, None
    return now, monitoring.total(of.before, model=model, simulated=simulated)


def reaches_back(of: Range, simulated: bool) -> bool:
    """True if the whole of the range before is on record."""
    return manager().monitoring.reaches_back(of.before.since, simulated=simulated)


@kept
def _rows(of: Range, bucket: Bucket, model: str | None, simulated: bool) -> list[MetricsRow]:
    return manager().monitoring.over_time(
        of.window, bucket=bucket, timezone=of.span.zone, model=model, simulated=simulated
    )


@kept
def over_time(of: Range, model: str | None, simulated: bool) -> pd.DataFrame:
    """A row a bucket, those without calls too: requests, success rate, percentiles, tokens by kind, cost, failures."""
    rows = _rows(of, of.bucket, model, simulated)
    frame = whole(metrics_frame(rows), of.span)
    errors = {row.bucket: row.metrics.errors for row in rows}
    frame["failures"] = [errors.get(time.to_pydatetime(), {}) for time in frame["time"]]
    counts = ["requests", "input", "cached", "thinking", "output", "cost $", "unpriced calls", "errors"]
    return frame.assign(**{name: frame[name].fillna(0) for name in counts})


@kept
def by_model(of: Range, model: str | None, simulated: bool, bucket: Bucket | None = None) -> pd.DataFrame:
    rows = manager().monitoring.by_model(
        of.window, bucket=bucket, timezone=of.span.zone, model=model, simulated=simulated
    )
    return metrics_frame(rows)


@kept
def by_model_before(of: Range, model: str | None, simulated: bool) -> pd.DataFrame:
    return metrics_frame(manager().monitoring.by_model(of.before, model=model, simulated=simulated))


@kept
def incidents(of: Range, model: str | None, simulated: bool) -> list[Incident]:
    """Stretches around hours in which over a tenth of the calls failed, with the hours beside these that were raised.

    One quiet hour does not end a stretch.
    """
    rows = _rows(of, "hour", model, simulated)
    found: list[tuple[datetime, datetime, bool]] = []
    for row in rows:
        n, share = row.metrics.n, sum(row.metrics.errors.values()) / row.metrics.n
        if row.bucket is None or n < FEW_CALLS or share <= RAISED_SHARE:
            continue
        since, is_bad = row.bucket, share > FAILED_SHARE
        if found and since - found[-1][1] <= timedelta(hours=1):
            since, _, was_bad = found.pop()
            is_bad |= was_bad
        found.append((since, row.bucket + timedelta(hours=1), is_bad))
    return [_incident(Window(since, until), of, model, simulated) for since, until, is_bad in found if is_bad]


def _incident(window: Window, of: Range, model: str | None, simulated: bool) -> Incident:
    causes, whose, slower = Counter[str](), Counter[str](), dict[float, tuple[str, str]]()
    usual = by_model(of, model, simulated).set_index("model")[["p50 s", "p95 s"]].to_dict("index")
    for row in manager().monitoring.by_model(window, model=model, simulated=simulated):
        causes.update(row.metrics.errors)
        whose[f"{row.model} ({row.provider})"] += sum(row.metrics.errors.values())
        for name, now in (("p50", row.metrics.p50_s), ("p95", row.metrics.p95_s)):
            before = usual.get(str(row.model), {}).get(f"{name} s")
            if before and now and row.metrics.n_ok >= formatting.FEW:
                text = f"{row.model} {name} {formatting.seconds(now)} instead of {formatting.seconds(before)}"
                slower[now / before] = text, str(row.model)
    shown = [name for name, n in whose.most_common() if n >= whose.total() / 5]
    rest = " and others" if sum(whose[name] for name in shown) < 0.8 * whose.total() else ""
    most = max(slower, default=0.0)
    return Incident(
        window.since, window.until, causes.total(), causes.most_common(1)[0][0], ", ".join(shown) + rest,
        *(slower[most] if most >= SLOWER else ()),
    )  # fmt: skip


@kept
def by_weekday(of: Range, model: str | None, simulated: bool) -> pd.DataFrame:
    """A row an hour of the week with calls, cost and failures an hour, as a mean of the weeks."""
    frame = metrics_frame(_rows(of, "hour", model, simulated))
    times = pd.date_range(of.window.since, of.window.until, freq="h", inclusive="left")
    hours = frame.set_index("time").reindex(times)[["requests", "cost $", "errors"]].fillna(0.0)
    local = times.tz_convert(of.span.zone)
    return hours.groupby([local.day_of_week, local.hour]).mean().rename_axis(["day", "hour"]).reset_index()


def latest_hour(of: Range, weekday: int, hour: int) -> datetime:
    """The last hour of a range that is this one of the week."""
    local = zone()
    back = (of.window.until - timedelta(hours=n) for n in count(1))
    return next(each for each in back if (at := each.astimezone(local)).weekday() == weekday and at.hour == hour)


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
