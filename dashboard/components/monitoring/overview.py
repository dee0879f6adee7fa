"""Monitoring's overview: the numbers, the stack of charts, the tables behind them, and the hours of the week."""

from datetime import timedelta
from typing import Any

import pandas as pd
import streamlit as st

from core.domain.metrics import FAILED, Metrics, Window
from dashboard import formatting, tables
from dashboard.charts import colours
from dashboard.charts import monitoring as charts
from dashboard.components.monitoring import breakdown, headline, plots
from dashboard.frames import latency, models, monitoring
from dashboard.frames.monitoring import Range

FEW_BUCKETS, MAX_INCIDENTS = 3, 3


def show(of: Range, model: str | None, simulated: bool, mode: colours.Mode) -> None:
    now, before = monitoring.totals(of, model, simulated)
    times = monitoring.over_time(of, model, simulated)
    st.caption(_compared(of, before))
    headline.show(now, before, times, breakdown.query_of(of.window, simulated, model=model))
    headline.yesterday(model, simulated)
    headline.speed(of, model, simulated)
    n_buckets = int((times["requests"] > 0).sum())
    if n_buckets < FEW_BUCKETS:
        unit = "days" if of.bucket == "day" else "hours"
        st.caption(
            f"Charts start with three {unit} of calls; so far there {'is' if n_buckets == 1 else 'are'} {n_buckets}."
        )
    else:
        _stack(of, model, simulated, mode)
    breakdown.show(of, model, simulated, mode)
    if of.length >= timedelta(days=7):
        _week(of, model, simulated, mode)


def _compared(of: Range, before: Metrics | None) -> str:
    if before is None:
        return f"No change is shown: the records do not hold the {of.span.n} {of.bucket}s before. Try a shorter range."
    return f"Change against the {of.span.n} {of.bucket}s before, up to the same moment"


@monitoring.kept
def _drawn(of: Range, model: str | None, simulated: bool, mode: colours.Mode) -> tuple[dict[str, Any], list[str]]:
    return charts.overview(
        monitoring.over_time(of, model, simulated),
        monitoring.by_model(of, model, simulated, of.bucket),
        of.span,
        colours.INKS[mode],
        models.colours(mode),
        monitoring.incidents(of, model, simulated),
    )


@monitoring.kept
def _table(of: Range, model: str | None, simulated: bool) -> Any:
    return tables.ready(monitoring.over_time(of, model, simulated).drop(columns=["model", "failures"]))


def _stack(of: Range, model: str | None, simulated: bool, mode: colours.Mode) -> None:
    table = _table(of, model, simulated)
    text = (
        f"Per {of.bucket} · drag over a chart to zoom · click a bar for its calls, of the second chart for failed ones"
    )
    plots.heading(text, table, "over_time")
    drawn, alt = (
        _drawn(of, model, simulated, mode),
        "Cost, calls, latency and tokens over time; Table holds the numbers.",
    )
    plots.draw(drawn, of.span, f"overview_{model}_{simulated}", alt, simulated, model)
    _incidents(of, model, simulated)


def _incidents(of: Range, model: str | None, simulated: bool) -> None:
    """A link to the failed calls of each shaded stretch, those with most of them."""
    found = sorted(monitoring.incidents(of, model, simulated), key=lambda each: each.n, reverse=True)
    if not found:
        return
    st.caption("Shaded: hours in which over 10% failed, and those beside them with over 5%")
    for each in found[:MAX_INCIDENTS]:
        label = f"{formatting.stretch(each.since, each.until)} · {each.n:,} failed, {charts.said(each)}"
        where = Window(each.since, each.until)
        st.page_link(
            "pages/log.py", label=formatting.plain(label), icon=":material/error:",
            query_params=breakdown.query_of(where, simulated, model=model, status=FAILED),
        )  # fmt: skip
        if each.slower:
            said = f"{each.slower}: {latency.because(each, of, simulated)}"
            st.page_link(
                "pages/log.py", label=f"Slower then: {formatting.plain(said)}", icon=":material/speed:",
                query_params=breakdown.query_of(where, simulated, model=each.slower_model),
            )  # fmt: skip
    if len(found) > MAX_INCIDENTS:
        st.caption(f"and {len(found) - MAX_INCIDENTS} more")


@monitoring.kept
def _hours(of: Range, model: str | None, simulated: bool, what: str, mode: colours.Mode) -> tuple[str, dict[str, Any]]:
    """The title and the chart of the hours of the week, its rows as they are sent."""
    frame = monitoring.by_weekday(of, model, simulated)
    spec = charts.week(frame, what, colours.INKS[mode])
    return charts.busiest(frame, what), spec | {"data": {"values": tables.ready(pd.DataFrame(spec["data"]["values"]))}}


def _week(of: Range, model: str | None, simulated: bool, mode: colours.Mode) -> None:
    what = st.segmented_control(
        "By hour of the week", list(charts.OF_WEEK), default="Calls", key="week_of", required=True,
        bind="query-params", label_visibility="collapsed",
    ) or "Calls"  # fmt: skip
    title, spec = _hours(of, model, simulated, what, mode)
    st.html(f'<span class="aimm-title">{title}</span>')
    picked = st.vega_lite_chart(
        spec, width="stretch", key=f"week_{what}_{of.span.since:%Y%m%d%H}",
        on_select="rerun", selection_mode="hour_of_week", alt=f"{what} by hour and weekday.",
    )  # fmt: skip
    if cell := picked.selection.get("hour_of_week"):
        since = monitoring.latest_hour(of, charts.WEEKDAYS.index(cell[0]["day"]), int(cell[0]["hour"]))
        status = FAILED if what == "Failures" else None
        breakdown.calls_of(Window(since, since + timedelta(hours=1)), simulated, model=model, status=status)
