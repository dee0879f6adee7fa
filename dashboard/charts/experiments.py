"""Charts of experiments. No streamlit in here."""

from typing import Any

import altair as alt
import pandas as pd

from dashboard.charts.base import GREY, PALETTE, Span, bars, finish, of_frame, over_time

BOUNDS = ("effect", "lower", "upper")


def _by_variant(frame: pd.DataFrame) -> alt.Color:
    order = list(dict.fromkeys(frame["variant"]))
    legend = None if len(order) < 2 else alt.Legend(title=None, orient="top", columns=3)
    return alt.Color("variant:N", sort=order, scale=alt.Scale(domain=order, range=list(PALETTE)), legend=legend)


@of_frame
def forest_plot(frame: pd.DataFrame) -> Any:
    """Forest plot: each metric's difference to the control, as a share of it, with its always-valid interval."""
    order = list(dict.fromkeys(frame["metric"]))
    several = frame["variant"].nunique() > 1
    y = alt.Y("metric:N", sort=order, title=None, axis=alt.Axis(labelLimit=180))
    offset = {"yOffset": alt.YOffset("variant:N")} if several else {}
    zero = alt.Chart(pd.DataFrame({"x": [0]})).mark_rule(strokeDash=[4, 4], color=GREY).encode(x="x:Q")
    title = "Difference (% of the control)"
    shares = [alt.Tooltip(f"{name}:Q", format="+.1f", title=f"{name} %") for name in BOUNDS]
    tooltip = ["variant:N", "metric:N", "absolute:N", *shares]
    opacity = alt.condition("datum.claimed", alt.value(1.0), alt.value(0.45))
    base = alt.Chart(frame)
    bars = base.mark_rule(strokeWidth=3).encode(
        y=y, x=alt.X("lower:Q", title=title), x2="upper:Q", color=_by_variant(frame), opacity=opacity, tooltip=tooltip,
        **offset,
    )  # fmt: skip
    points = base.mark_circle(size=90).encode(
        y=y, x="effect:Q", color=_by_variant(frame), opacity=opacity, tooltip=tooltip, **offset
    )
    return finish(zero + bars + points, height=50 + 32 * len(order) * max(1, frame["variant"].nunique()))


@of_frame
def effect_over_time(frame: pd.DataFrame, title: str) -> Any:
    """The difference as it stood, with the band that held at each look."""
    x = alt.X("units:Q", title="Units so far", axis=alt.Axis(grid=False, format="~s"))
    tooltip = ["variant:N", "at:N", "units:Q", *(alt.Tooltip(f"{name}:Q", format="+.2f") for name in BOUNDS)]
    zero = alt.Chart(pd.DataFrame({"y": [0]})).mark_rule(strokeDash=[4, 4], color=GREY).encode(y="y:Q")
    # The first bands are so wide that they would flatten all that follows.
    limit = 1.6 * float(
        frame.loc[frame["units"] >= frame["units"].max() / 4, ["lower", "upper"]].abs().max().max() or 1
    )
    scale = alt.Scale(domain=[-limit, limit], nice=True)
    base = alt.Chart(frame)
    band = base.mark_area(opacity=0.18, clip=True).encode(
        x=x, y=alt.Y("lower:Q", title=title, scale=scale), y2="upper:Q", color=_by_variant(frame)
    )
    line = base.mark_line(clip=True, point=alt.OverlayMarkDef(size=18)).encode(
        x=x, y=alt.Y("effect:Q", scale=scale), color=_by_variant(frame), tooltip=tooltip
    )
    return finish(band + zero + line)


@of_frame
def units_per_day(frame: pd.DataFrame, span: Span) -> Any:
    y, tips = alt.Y("sum(exposed):Q", title="Units"), ["variant:N", "exposed:Q", "outcomes:Q"]
    return over_time(span, bars(frame, span, y, tips, color=_by_variant(frame)), height=180)


@of_frame
def split_shares(frame: pd.DataFrame) -> Any:
    """Seen shares as bars, planned ones as marks."""
    x = alt.X("seen %:Q", title="Share of units (%)", scale=alt.Scale(domainMin=0))
    y = alt.Y("variant:N", sort=frame["variant"].tolist(), title=None, axis=alt.Axis(labelLimit=160))
    tips = ["variant:N", "units:Q", *(alt.Tooltip(f"{c}:Q", format=".1f") for c in ("planned %", "seen %"))]
    color = _by_variant(frame).legend(None)
    bars = alt.Chart(frame).mark_bar(height=14).encode(x=x, y=y, color=color, tooltip=tips)
    marks = alt.Chart(frame).mark_tick(thickness=3, size=26, color=GREY).encode(x="planned %:Q", y=y, tooltip=tips)
    return finish(bars + marks, height=70 + 34 * len(frame))
