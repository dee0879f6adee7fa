"""A stack of charts that leads on: a brush zooms, a click opens the calls of a bucket in the Log."""

from datetime import UTC, datetime
from typing import Any

import streamlit as st

from core.domain.metrics import FAILED, Window
from dashboard import address, tables
from dashboard.charts.base import Span
from dashboard.charts.spend import Drawn
from dashboard.components.monitoring import breakdown


def draw(drawn: Drawn, span: Span, key: str, alt: str, simulated: bool, model: str | None = None) -> None:
    """key: Of all that the chart depends on but its span."""
    spec, selections = drawn
    with st.container(key=f"plots_{key.partition('_')[0]}"):
        picked = st.vega_lite_chart(
            spec, width="stretch", on_select="rerun", selection_mode=selections, alt=alt,
            key=f"stack_{key}_{span.since:%Y%m%d%H}_{span.until:%Y%m%d%H}",
        )  # fmt: skip
    for name, value in picked.selection.items():
        if not value:
            continue
        if name.startswith("zoom"):
            since, until = (round(each / 1000) for each in next(iter(value.values())))
            if until - since >= span.step.total_seconds():
                first, last = round(span.since.timestamp()), round(span.until.timestamp())
                address.put("zoom", f"{max(since, first)}-{min(until, last)}")
                st.rerun()
        else:
            start = datetime.fromtimestamp(round(value[0]["at"] / 1000), UTC)
            status = FAILED if value[0].get("errors") else None
            breakdown.calls_of(Window(start, span.end(start)), simulated, model=model, status=status)


def heading(text: str, frame: Any, key: str) -> None:
    """A line on how a chart is read, with the table behind it."""
    row = st.container(horizontal=True, vertical_alignment="center")
    row.caption(text, width="content")
    with row.popover("Table", icon=":material/table:", type="tertiary"):
        tables.show(frame, width=900)
        tables.csv(frame, key)
