"""The steps of a run over time."""

from typing import Any

import altair as alt
import pandas as pd

from dashboard import formatting
from dashboard.charts.base import ERROR_COLOUR, colour_of, finish, of_frame


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
        tooltip=["step:N", "model:N", "status:N", *(alt.Tooltip(f"{at}:Q", format=".2f") for at in ("start", "end"))],
    )
    bars = base.mark_bar(height=16, cornerRadius=2).encode(color=alt.Color("colour:N", scale=None))
    texts = alt.Chart(frame).mark_text(align="left", dx=5, fontSize=11, color="#7c8796")
    labels = texts.encode(y=alt.Y("step:N", sort=order), x="end:Q", text="label:N")
    return finish(bars + labels, height=70 + 34 * len(order))
