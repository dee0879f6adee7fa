"""Money over time: spend by day, where the month is heading, and why spend moved."""

from typing import Any

import altair as alt
import pandas as pd

from dashboard.charts.base import (
    ERROR_COLOUR,
    PALETTE,
    Span,
    bars,
    by_model,
    finish,
    of_frame,
    over_time,
    time_axis,
    time_tip,
)

UNPRICED = "#a855f7"


@of_frame
def daily_spend(frame: pd.DataFrame, budget_usd: float | None, span: Span) -> Any:
    """Cost per day stacked by model; days with unpriced calls are hatched, and the budget per day is a dashed line.

    The hatch has no height in money, because there is none: it says that the bar is not whole.
    """
    tips = ["model:N", alt.Tooltip("cost $:Q", format="$.6f"), "calls:Q", "unpriced calls:Q"]
    y = alt.Y("sum(cost $):Q", title="Cost (USD per day)")
    layers = [bars(frame, span, y, tips, color=by_model(frame["model"]))]
    by_day = frame.groupby("time", as_index=False)[["cost $", "unpriced calls", "unpriced tokens"]].sum()
    missing = by_day[by_day["unpriced calls"] > 0]
    if not missing.empty:
        height = max(float(by_day["cost $"].max()) * 0.12, 1e-6)
        lows = [missing["cost $"] + height * n / 5 for n in range(5)]
        steps = pd.concat([missing.assign(low=low, high=low + height / 10) for low in lows])
        tips = [time_tip("day"), "unpriced calls:Q", alt.Tooltip("unpriced tokens:Q", format=",")]
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
        tips = [time_tip("day"), *(alt.Tooltip(f"{name}:Q", format="$,.4f") for name in ("expected", "lower", "upper"))]
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
    axis = alt.Axis(labelAngle=-35, labelOverlap=False)
    colour = alt.Scale(domain=["total", "more", "less"], range=["#7c7f86", ERROR_COLOUR, PALETTE[1]])
    bars = alt.Chart(frame).mark_bar(size=34)
    return finish(
        bars.encode(
            x=alt.X("step:N", sort=order, scale=alt.Scale(domain=order), title=None, axis=axis),
            y=alt.Y("start:Q", title="Spend (USD)"),
            y2="end:Q",
            color=alt.Color("kind:N", scale=colour, legend=None),
            tooltip=["step:N", alt.Tooltip("change:Q", format="+$,.6f"), alt.Tooltip("end:Q", format="$,.6f")],
        )
    )
