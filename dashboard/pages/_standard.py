"""Standard: each piece that pages are made of, in each of its states. Shown where AIMM_DEVELOPER is set."""

from datetime import UTC, datetime, timedelta

import pandas as pd
import streamlit as st

from dashboard import failure, formatting, tables, theme
from dashboard.charts import colours
from dashboard.charts.base import Span
from dashboard.charts.stack import MONEY, Series, Stack, Tip
from dashboard.components import answer, head, interval
from dashboard.components.interval import Bar, Cell, Head, Pill
from dashboard.components.monitoring import headline

ink = theme.ink()
DAY = datetime(2026, 3, 2, tzinfo=UTC)
LONG = "a-name-that-is-much-longer-than-its-column-and-has-no-place-to-break"
BARS: tuple[tuple[interval.Tone, int, int, int], ...] = (
    ("good", 4, 1, 7), ("warn", -1, -3, 1), ("fail", -6, -9, -2), ("flat", 1, -5, 7), ("flat", 12, 2, 40),
)  # fmt: skip


def swatches(title: str, named: dict[str, str]) -> None:
    boxes = "".join(
        f'<span style="margin-right:14px"><i class="aimm-dot" style="background:{colour}"></i>{name}</span>'
        for name, colour in named.items()
    )
    st.html(f"<b>{title}</b><div>{boxes}</div>")


def chart(title: str, n: int, values: list[float | None], *, n_over: int) -> None:
    """Bars and a line of so many buckets; those after `n_over` have not begun."""
    span = Span("day", DAY, DAY + timedelta(days=n), DAY + timedelta(days=n_over - 0.5))
    times = [DAY + timedelta(days=at) for at in range(n)]
    frame = pd.DataFrame({"time": pd.to_datetime(times), "a": values, "b": [(v or 0) / 3 for v in values]})
    stack = Stack(
        frame.assign(text=[formatting.usd(v) if v is not None else formatting.UNKNOWN for v in values]), span, ink,
        tips=(Tip("text", "Cost"),), incidents=[(times[n // 3], times[n // 3] + timedelta(hours=18))] if n > 3 else (),
    )  # fmt: skip
    palette = ink.percentiles
    stack.bars(title, [Series("a", "one", palette[0]), Series("b", LONG[:24], palette[1])], MONEY)
    stack.lines(f"The same as a line: {n} buckets", [Series("a", "one", palette[0])], "~s")
    with st.container(key=f"plots_{n}_{n_over}"):
        st.vega_lite_chart(stack.spec(), width="stretch", alt=title)


head.show("Standard")
st.subheader("Colours", anchor=False)
swatches("States", {"failure": ink.fail, "warning": ink.warn, "good": ink.good, "brand": ink.brand, "muted": ink.muted})
swatches("Failures", {formatting.failure_text(name): colour for name, colour in ink.failures.items()})
swatches("Percentiles", dict(zip(("p50", "p95", "p99"), ink.percentiles, strict=True)))
for vendor, shades in colours.SHADES.items():
    swatches(vendor, {f"model {at + 1}": shade for at, shade in enumerate(shades[ink.mode])})

st.subheader("Numbers", anchor=False)
money = (0, 0.0000004, 0.000412, 0.0518, 3.5, 1234.5, None)
rows = {
    "Money": [formatting.usd(each) for each in money],
    "Counts": [formatting.count(each) for each in (0, 7, 9_999, 10_100, 376_000, 1_000_000, 12_345_678_901)],
    "Shares": [formatting.percent(each) for each in (0.0, 0.0004, 0.5, 0.992, 0.99996, 1.0, None)],
}
tables.show(pd.DataFrame([[name, *map(str, texts)] for name, texts in rows.items()]))

st.subheader("Change chips", anchor=False)
grid = st.grid("auto", min_column_width=150)
for label, chip, size in (
    ("As usual", "+13%", 0.1),
    ("Notable", "+31%", 0.3),
    ("Alarming", "+140%", 1.4),
    ("Few", "", 0),
):
    colour, course = headline.of_rise(size), [1.0, 3.0, 2.0, 4.0] if chip else None
    grid.metric(label, "$12.30", chip or None, delta_color=colour, delta_arrow="off", border=True, chart_data=course)

st.subheader("Charts", anchor=False)
chart("Thirty days, the last not over, with a gap and an incident", 30, [None, None, *map(float, range(28))], n_over=30)
chart("Half of the range is still to come", 14, [float(at % 4 + 1) for at in range(14)], n_over=7)
chart("A single day", 1, [2.5], n_over=1)
chart("Nothing", 7, [None] * 7, n_over=7)

st.subheader("Tables", anchor=False)
names = [*list(colours.SHADES)[:3], LONG]
shown = pd.DataFrame(
    {
        "model": tables.chips(names),
        "trend": [[1, 4, 2], [0, 0, 0], [], [5, 1, 9]],
        "share": [0.6, 0.4, None, 0.0],
        "text": ["short", LONG * 3, None, "=1+1"],
        "cost $": [0.000412, 1234.5, None, 0.0],
    }
)
c = st.column_config
config = {
    "model": tables.model_column(names, dict.fromkeys(names, ink.brand), width=160),
    "trend": c.BarChartColumn("Trend", y_min=0, width=120),
    "share": c.ProgressColumn("Share", format="percent", min_value=0, max_value=1, width=110),
    "text": c.TextColumn("Text", width=280),
    "cost $": tables.money_column("Cost", shown["cost $"], width=100),
}
tables.opened(shown, "standard_table", names, column_config=config, row_height=36)
tables.show(shown.head(0), column_config=config)

st.subheader("Intervals", anchor=False)
reach = interval.reach_of([9.0])
interval.table(
    [Head("Metric"), Head("Difference", is_number=True), interval.SCALE, Head("Judgement")],
    [
        [
            Cell(tone, note="note", tip="A tip"),
            Cell(f"{mid:+d}"),
            Bar(mid, low, high, reach, tone, f"{low} to {high}"),
            Pill(tone, tone),
        ]
        for tone, mid, low, high in BARS
    ],
    ink,
    label="Intervals in each judgement",
)

st.subheader("Answers", anchor=False)
UGLY = (
    "Costs $1 and $2, or $((a+b)); see :red[this] :material/home: -> <script>alert(1)</script> "
    "![x](https://x.example/y.png)\n\n"
    "| a | b |\n|---|---|\n| 1 | 2 |\n\n```python\nprint('a fence that is still open"
)
for text in ("", UGLY, '{"name": "Ada", "tags": ["a", "b"]}', LONG * 4):
    with st.container(border=True):
        answer.show(st, text)

st.subheader("Messages and failures", anchor=False)
st.info("Nothing here yet. Ask something in the Playground.", icon=":material/inbox:")
st.warning("Something waits for somebody.", icon=":material/warning:")
st.error("Something was refused.", icon=":material/error:")
st.progress(0.4, text="2 of 5 answers · about 12 s left")
with failure.contained():
    raise RuntimeError("the card that catches everything")
