"""Data frame -> Altair chart. One colour a model everywhere; units on every axis."""

import zlib
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
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
    """What a time axis covers, whether there are data or not: whole buckets, the last of which may not be over."""

    bucket: str
    since: datetime
    until: datetime
    now: datetime

    @property
    def last(self) -> datetime:
        """Where the bucket that is not over begins; `until` where all are."""
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


def _legend(**fields: Any) -> alt.Legend:
    return alt.Legend(title=None, orient="top", columns=3, **fields)


def bars(frame: pd.DataFrame, span: Span, y: str | alt.Y, tips: Sequence[Any], **channels: Any) -> Any:
    """Bars that fill their buckets."""
    tooltip = [time_tip(span.bucket), *tips]
    return alt.Chart(frame).mark_bar().encode(x=time_axis(span), y=y, tooltip=tooltip, **channels)


def _line(frame: pd.DataFrame, span: Span, y: alt.Y, tips: Sequence[Any], interpolate: Any, **channels: Any) -> Any:
    tooltip = [time_tip(span.bucket), *tips]
    line = alt.Chart(frame).mark_line(interpolate=interpolate, point=alt.OverlayMarkDef(size=14))
    return over_time(span, line.encode(x=time_axis(span), y=y, tooltip=tooltip, **channels))


@of_frame
def cost_over_time(frame: pd.DataFrame, span: Span) -> Any:
    tips = ["model:N", alt.Tooltip("cost $:Q", format="$.6f"), "requests:Q", "unpriced calls:Q"]
    y = alt.Y("sum(cost $):Q", title="Cost (USD)")
    return over_time(span, bars(frame, span, y, tips, color=by_model(frame["model"])))


def _lines(frame: pd.DataFrame, names: dict[str, str], span: Span, title: str) -> Any:
    wide = whole(frame, span)[["time", *names]].rename(columns=names)
    long = wide.melt("time", var_name="series", value_name="value")
    tips = ["series:N", alt.Tooltip("value:Q", format=".3f")]
    color = alt.Color("series:N", sort=list(names.values()), legend=_legend())
    return _line(long, span, alt.Y("value:Q", title=title), tips, "linear", color=color)


def latency_over_time(frame: pd.DataFrame, span: Span) -> Any:
    names = {"p50 s": "p50", "p95 s": "p95", "p99 s": "p99"}
    return _lines(frame, names, span, "Latency (s)")


def ttft_over_time(frame: pd.DataFrame, span: Span) -> Any:
    names = {"TTFT p50 s": "p50", "TTFT p95 s": "p95", "TTFT p99 s": "p99"}
    return _lines(frame, names, span, "Time to first token (s)")


def requests_over_time(frame: pd.DataFrame, span: Span) -> Any:
    chart = bars(frame, span, alt.Y("requests:Q", title="Requests"), ["requests:Q", "success %:Q"])
    return over_time(span, chart.encode(color=alt.value(PALETTE[0])))


def success_over_time(frame: pd.DataFrame, span: Span) -> Any:
    lowest = min([90.0, *frame["success %"].dropna()])
    y = alt.Y("success %:Q", title="Answered (%)", scale=alt.Scale(domain=[lowest, 100]))
    tips = [alt.Tooltip("success %:Q", format=".2f"), "requests:Q"]
    return _line(whole(frame, span), span, y, tips, "linear", color=alt.value("#0d9488"))


def errors_over_time(frame: pd.DataFrame, span: Span) -> Any:
    scale = alt.Scale(range=["#dc2626", "#ea7317", "#ca8a04", "#8b5cf6", "#0891b2", "#7c7f86"])
    color = alt.Color("class:N", scale=scale, legend=_legend())
    y = alt.Y("sum(errors):Q", title="Failed requests")
    return over_time(span, bars(frame, span, y, ["class:N", "errors:Q"], color=color))


def tokens_over_time(frame: pd.DataFrame, span: Span) -> Any:
    kinds = ["input", "cached", "thinking", "output"]
    long = frame[["time", *kinds]].melt("time", var_name="kind", value_name="tokens")
    scale = alt.Scale(domain=kinds, range=["#3b82f6", "#93c5fd", "#c4b5fd", "#8b5cf6"])
    color = alt.Color("kind:N", scale=scale, sort=kinds, legend=_legend())
    y = alt.Y("sum(tokens):Q", title="Tokens", axis=alt.Axis(format="~s"))
    tips = ["kind:N", alt.Tooltip("tokens:Q", format=",")]
    return over_time(span, bars(long, span, y, tips, color=color, order=alt.Order("kind:N")))


@of_frame
def gantt(frame: pd.DataFrame, order: list[str], end_s: float) -> Any:
    """The steps of a run over time; failed ones are red."""
    order = [str(formatting.cell(step)) for step in order]
    frame = frame.assign(
        colour=[ERROR_COLOUR if s == "failed" else colour_of(m) for s, m in frame[["status", "model"]].values]
    )
    base = alt.Chart(frame).encode(
        y=alt.Y("step:N", sort=order, title=None, scale=alt.Scale(domain=order), axis=alt.Axis(labelOverlap=False)),
        x=alt.X("start:Q", title="Seconds since the start", scale=alt.Scale(domain=[0, max(end_s, 0.5) * 1.3])),
        x2="end:Q",
        tooltip=[
            "step:N",
            "model:N",
            "status:N",
            alt.Tooltip("start:Q", format=".2f"),
            alt.Tooltip("end:Q", format=".2f"),
        ],
    )
    bars = base.mark_bar(height=16, cornerRadius=2).encode(color=alt.Color("colour:N", scale=None))
    labels = (
        alt.Chart(frame)
        .mark_text(align="left", dx=5, fontSize=11, color="#7c8796")
        .encode(y=alt.Y("step:N", sort=order), x="end:Q", text="label:N")
    )
    return finish(bars + labels, height=70 + 34 * len(order))


@of_frame
def win_rates(frame: pd.DataFrame) -> Any:
    known = frame.dropna(subset=["win rate %"])
    order = known["model"].tolist()
    y = alt.Y("model:N", sort=order, title=None)
    x = alt.Scale(domain=[0, 100])
    rule = alt.Chart(pd.DataFrame({"x": [50]})).mark_rule(strokeDash=[4, 4], color="#94a3b8").encode(x="x:Q")
    bars = alt.Chart(known).mark_rule(strokeWidth=3).encode(
        y=y, x=alt.X("lower %:Q", scale=x, title="Win rate (%), 95 % interval"), x2="upper %:Q",
        color=by_model(known["model"]).legend(None),
    )  # fmt: skip
    points = alt.Chart(known).mark_circle(size=90, opacity=1).encode(
        y=y, x=alt.X("win rate %:Q", scale=x), color=by_model(known["model"]).legend(None),
        tooltip=["model:N", "win rate %:Q", "lower %:Q", "upper %:Q", "decided:Q"],
    )  # fmt: skip
    return finish(rule + bars + points, height=40 + 32 * max(1, len(order)))


@of_frame
def win_rate_over_time(frame: pd.DataFrame, span: Span) -> Any:
    y = alt.Y("win rate %:Q", title="Win rate so far (%)", scale=alt.Scale(domain=[0, 100]))
    tips = ["model:N", alt.Tooltip("win rate %:Q", format=".1f")]
    return _line(frame, span, y, tips, "step-after", color=by_model(frame["model"]))


UNPRICED = "#a855f7"


@of_frame
def daily_spend(frame: pd.DataFrame, budget_usd: float | None, span: Span) -> Any:
    """Cost a day stacked by model; days with unpriced calls carry a hatched cap, and the budget's share a day a dashed line.

    The hatch has no height in money, because there is none: it says that the bar is not whole.
    """
    tips = ["model:N", alt.Tooltip("cost $:Q", format="$.6f"), "calls:Q", "unpriced calls:Q"]
    y = alt.Y("sum(cost $):Q", title="Cost (USD per day)")
    layers = [bars(frame, span, y, tips, color=by_model(frame["model"]))]
    by_day = frame.groupby("time", as_index=False)[["cost $", "unpriced calls", "unpriced tokens"]].sum()
    missing = by_day[by_day["unpriced calls"] > 0]
    if not missing.empty:
        height = max(float(by_day["cost $"].max()) * 0.12, 1e-6)
        steps = pd.concat([missing.assign(low=missing["cost $"] + height * n / 5, high=missing["cost $"] + height * (n + 0.5) / 5) for n in range(5)])  # fmt: skip
        tips = [
            time_tip("day"),
            alt.Tooltip("unpriced calls:Q", title="unpriced calls"),
            alt.Tooltip("unpriced tokens:Q", format=","),
        ]
        hatch = alt.Chart(steps).mark_bar(color=UNPRICED, opacity=0.75)
        layers.append(
            hatch.encode(x=time_axis(span), y=alt.Y("low:Q", title="Cost (USD per day)"), y2="high:Q", tooltip=tips)
        )
    if budget_usd is not None:
        rule = alt.Chart(pd.DataFrame({"y": [budget_usd]})).mark_rule(strokeDash=[6, 4], color=ERROR_COLOUR)
        layers.append(rule.encode(y="y:Q", tooltip=[alt.Tooltip("y:Q", title="budget a day", format="$.4f")]))
    return over_time(span, alt.layer(*layers))


def forecast(frame: pd.DataFrame, limit_usd: float | None, span: Span) -> Any:
    """Spend of the month so far, where it is heading with its 80 % range, and the budget as a dashed line."""
    x = time_axis(span)
    layers = []
    if "expected" in frame:
        path = frame.dropna(subset=["expected"])
        tips = [
            time_tip("day"),
            *(alt.Tooltip(f"{name}:Q", format="$,.4f") for name in ("expected", "lower", "upper")),
        ]
        fan = alt.Chart(path).mark_area(opacity=0.25, color=PALETTE[0])
        layers.append(fan.encode(x=x, y=alt.Y("lower:Q", title="Spend of the month (USD)"), y2="upper:Q", tooltip=tips))
        layers.append(
            alt.Chart(path).mark_line(strokeDash=[4, 3], color=PALETTE[0]).encode(x=x, y="expected:Q", tooltip=tips)
        )
    if "spent" in frame:
        spent = alt.Chart(frame.dropna(subset=["spent"])).mark_line(color=PALETTE[0], point=alt.OverlayMarkDef(size=14))
        tips = [time_tip("day"), alt.Tooltip("spent:Q", format="$,.4f")]
        layers.append(spent.encode(x=x, y=alt.Y("spent:Q", title="Spend of the month (USD)"), tooltip=tips))
    if limit_usd is not None:
        rule = alt.Chart(pd.DataFrame({"y": [limit_usd]})).mark_rule(strokeDash=[6, 4], color=ERROR_COLOUR)
        layers.append(rule.encode(y="y:Q", tooltip=[alt.Tooltip("y:Q", title="budget", format="$,.2f")]))
    return over_time(span, alt.layer(*layers))


def bridge(frame: pd.DataFrame) -> Any:
    """A waterfall from one period's spend to another's."""
    order = frame["step"].tolist()
    x = alt.X(
        "step:N",
        sort=order,
        scale=alt.Scale(domain=order),
        title=None,
        axis=alt.Axis(labelAngle=-35, labelOverlap=False),
    )
    colour = alt.Scale(domain=["total", "more", "less"], range=["#7c7f86", "#dc2626", "#0d9488"])
    bars = (
        alt.Chart(frame)
        .mark_bar(size=34)
        .encode(
            x=x,
            y=alt.Y("start:Q", title="Spend (USD)"),
            y2="end:Q",
            color=alt.Color("kind:N", scale=colour, legend=None),
            tooltip=[
                "step:N",
                alt.Tooltip("change:Q", format="+$,.6f"),
                alt.Tooltip("end:Q", format="$,.6f"),
            ],
        )
    )
    return finish(bars)
