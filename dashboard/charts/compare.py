"""Win rates, and how they came about."""

from typing import Any

import altair as alt
import pandas as pd

from dashboard.charts.base import GREY, Span, by_model, finish, line, of_frame


@of_frame
def win_rates(frame: pd.DataFrame) -> Any:
    known = frame.dropna(subset=["win rate %"])
    order = known["model"].tolist()
    y = alt.Y("model:N", sort=order, title=None)
    x = alt.Scale(domain=[0, 100])
    rule = alt.Chart(pd.DataFrame({"x": [50]})).mark_rule(strokeDash=[4, 4], color=GREY).encode(x="x:Q")
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
    return line(frame, span, y, tips, "step-after", color=by_model(frame["model"]))
