"""Parts of all charts: one colour a model, the axis of time, and texts that are no formulas."""

import zlib
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any, NamedTuple

import altair as alt
import pandas as pd

from dashboard import formatting

# Of similar weight on light and dark ground, and told apart by readers with weak colour vision as far as ten can be.
PALETTE = (
    "#3b82f6", "#0d9488", "#ea7317", "#8b5cf6", "#ca8a04", "#db2777", "#65a30d", "#0891b2", "#dc2626", "#7c7f86",
)  # fmt: skip
_FIXED = {"sim-fast": PALETTE[1], "sim-balanced": PALETTE[0], "sim-careful": PALETTE[3]}
HEIGHT = 250
ERROR_COLOUR = "#dc2626"
GREY = "#94a3b8"


def colour_of(model: str) -> str:
    """A model's colour, the same on all pages and machines."""
    return _FIXED.get(model) or PALETTE[zlib.crc32(model.encode()) % len(PALETTE)]


def of_frame(make: Callable[..., Any]) -> Callable[..., Any]:
    """A chart of a frame in which no text is a formula: a chart's menu hands out, as CSV, what it was drawn from."""

    @wraps(make)
    def made(frame: pd.DataFrame, *rest: Any, **named: Any) -> Any:
        return make(formatting.defused(frame)[0], *rest, **named)

    return made


def by_model(models: Iterable[str], title: str | None = None) -> alt.Color:
    names = sorted(set(models))
    scale = alt.Scale(domain=names, range=[colour_of(name) for name in names])
    return alt.Color("model:N", scale=scale, legend=alt.Legend(title=title, orient="top", columns=3))


class Span(NamedTuple):
    """The range of a time axis, with data or without: whole buckets, the last of which may not be over."""

    bucket: str
    since: datetime
    until: datetime
    now: datetime

    @classmethod
    def around(cls, bucket: str, since: datetime, until: datetime) -> "Span":
        """Whole buckets around two moments, as of now."""
        width = "D" if bucket == "day" else "h"
        return cls(bucket, pd.Timestamp(since).floor(width), pd.Timestamp(until).ceil(width), datetime.now(UTC))

    @property
    def step(self) -> timedelta:
        return timedelta(days=1) if self.bucket == "day" else timedelta(hours=1)

    @property
    def n(self) -> int:
        """The number of buckets."""
        return max(1, round((self.until - self.since) / self.step))

    @property
    def last(self) -> datetime:
        """The start of the bucket that is not over; `until` where all are."""
        start = self.now.replace(minute=0, second=0, microsecond=0)
        start = start if self.bucket == "hour" else start.replace(hour=0)
        return start if self.since <= start < self.until else self.until


def time_axis(span: Span) -> alt.X:
    """The time axis in UTC, whatever the browser's zone; bars fill their bucket."""
    by_day = span.bucket == "day"
    unit = "utcyearmonthdate" if by_day else "utcyearmonthdatehours"
    day = "%d %b" if span.since.year == (span.until - timedelta(hours=1)).year else "%d %b %Y"
    hour: Any = alt.Undefined if by_day else f"utcFormat(datum.value, utchours(datum.value) ? '%H:%M' : '{day}')"
    n_days = (span.until - span.since).days
    ticks: Any = 12 if not by_day else "day" if n_days <= 15 else 10
    axis = alt.Axis(format=day, labelExpr=hour, labelOverlap=True, grid=False, tickCount=ticks)
    scale = alt.Scale(type="utc", domain=[1000 * span.since.timestamp(), 1000 * span.until.timestamp()])
    return alt.X(f"{unit}(time):T", title=f"Time (UTC, per {span.bucket})", axis=axis, scale=scale)


def whole(frame: pd.DataFrame, span: Span) -> pd.DataFrame:
    """A row a bucket of the span: a line breaks where there was nothing, and does not pass over it."""
    times = pd.date_range(
        span.since, span.until, freq="D" if span.bucket == "day" else "h", inclusive="left", name="time"
    )
    return frame.set_index("time").reindex(times).reset_index()


def over_time(span: Span, chart: Any, height: int = HEIGHT) -> Any:
    """A finished chart of time; the bucket that is not over yet is shaded and says so."""
    if span.last < span.until:
        end = span.last + timedelta(**{f"{span.bucket}s": 1})
        over = pd.DataFrame({"time": [span.last], "end": [end], "note": [f"this {span.bucket} is not over yet"]})
        shade = alt.Chart(over).mark_rect(color=GREY, opacity=0.16)
        chart = shade.encode(x=time_axis(span), x2="end:T", tooltip=[alt.Tooltip("note:N", title="so far")]) + chart
    return finish(chart, height)


def time_tip(bucket: str) -> alt.Tooltip:
    unit, form = ("utcyearmonthdate", "%d %b %Y") if bucket == "day" else ("utcyearmonthdatehours", "%d %b %H:%M")
    return alt.Tooltip(f"{unit}(time):T", title="UTC", format=form)


def finish(chart: Any, height: int = HEIGHT) -> Any:
    return chart.properties(height=height).configure_view(strokeWidth=0).configure_legend(symbolType="square")


def legend(**fields: Any) -> alt.Legend:
    return alt.Legend(title=None, orient="top", columns=3, **fields)


def bars(frame: pd.DataFrame, span: Span, y: str | alt.Y, tips: Sequence[Any], **channels: Any) -> Any:
    """Bars that fill their buckets."""
    tooltip = [time_tip(span.bucket), *tips]
    return alt.Chart(frame).mark_bar().encode(x=time_axis(span), y=y, tooltip=tooltip, **channels)


def line(frame: pd.DataFrame, span: Span, y: alt.Y, tips: Sequence[Any], interpolate: Any, **channels: Any) -> Any:
    tooltip = [time_tip(span.bucket), *tips]
    drawn = alt.Chart(frame).mark_line(interpolate=interpolate, point=alt.OverlayMarkDef(size=14))
    return over_time(span, drawn.encode(x=time_axis(span), y=y, tooltip=tooltip, **channels))
