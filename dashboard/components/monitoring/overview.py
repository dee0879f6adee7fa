"""Monitoring's overview: the numbers, the stack of charts, the tables behind them, and the hours of the week."""

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd
import streamlit as st

from core.domain.metrics import MEASURES, Metrics
from dashboard import formatting, tables
from dashboard.charts import colours
from dashboard.charts import monitoring as charts
from dashboard.components.monitoring import headline
from dashboard.frames import models, monitoring
from dashboard.frames.monitoring import Range

FEW_BUCKETS = 3
_HELP_CHANGE = "Of the cost, against the period before. Empty where there are too few calls to compare."
_MEASURES = [measure for measure in MEASURES if not measure.is_wide]


def show(of: Range, model: str | None, simulated: bool, mode: colours.Mode) -> None:
    now, before = monitoring.totals(of, model, simulated)
    times = monitoring.over_time(of, model, simulated)
    st.caption(_compared(of, before))
    headline.show(now, before, times)
    n_buckets = int((times["requests"] > 0).sum())
    if n_buckets < FEW_BUCKETS:
        unit = "days" if of.bucket == "day" else "hours"
        st.caption(
            f"Charts start with three {unit} of calls; so far there {'is' if n_buckets == 1 else 'are'} {n_buckets}."
        )
    else:
        _stack(of, model, simulated, mode, times)
    _by_model(of, model, simulated, mode, now)
    _week(of, model, simulated, mode)


def _compared(of: Range, before: Metrics | None) -> str:
    if before is None:
        return "No earlier data to compare with"
    unit = f"{of.length.days} days" if of.length.days > 1 else f"{of.length.total_seconds() / 3600:.0f} hours"
    return f"Change against the {unit} before, up to the same moment"


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


def _stack(of: Range, model: str | None, simulated: bool, mode: colours.Mode, times: pd.DataFrame) -> None:
    row = st.container(horizontal=True, vertical_alignment="center")
    shaded = " · shaded: over 10% of the calls failed" if monitoring.incidents(of, model, simulated) else ""
    row.caption(
        f"Per {of.bucket}, UTC · drag over a chart to zoom · click a bar for its calls{shaded}", width="content"
    )
    with row.popover("Table", icon=":material/table:", type="tertiary"):
        table = times.drop(columns=["model", "failures"])
        tables.show(table, width=900)
        tables.csv(table, "over_time")
    spec, selections = _drawn(of, model, simulated, mode)
    with st.container(key="plots_overview"):
        key = f"stack_{of.span.since:%Y%m%d%H}_{of.span.until:%Y%m%d%H}_{model}_{simulated}"
        picked = st.vega_lite_chart(
            spec, width="stretch", on_select="rerun", selection_mode=selections, key=key,
            alt="Cost, calls, latency and tokens over time; the table beside it holds the numbers.",
        )  # fmt: skip
    _follow(picked.selection, of, model)


def _follow(selection: Any, of: Range, model: str | None) -> None:
    """Zoom to what was brushed; open the calls of the bucket that was clicked."""
    for name, value in selection.items():
        if not value:
            continue
        if name.startswith("zoom"):
            since, until = (round(each / 1000) for each in next(iter(value.values())))
            if until - since >= of.span.step.total_seconds():
                first, last = round(of.span.since.timestamp()), round(of.span.until.timestamp())
                st.query_params["zoom"] = f"{max(since, first)}-{min(until, last)}"
                st.rerun()
        else:
            at = round(value[0]["at"] / 1000)
            calls_of(at, at + round(of.span.step.total_seconds()), model)


def calls_of(since: int, until: int, model: str | None) -> None:
    """Open the Log with the calls of a stretch of time, in Unix seconds."""
    query = {"log_range": f"{since}-{until}"} | ({"log_model": model} if model else {})
    st.switch_page("pages/log.py", query_params=query)


def _by_model(of: Range, model: str | None, simulated: bool, mode: colours.Mode, now: Metrics) -> None:
    st.subheader("By model", anchor=False)
    found = monitoring.by_model(of, model, simulated).sort_values("cost $", ascending=False, ignore_index=True)
    before = monitoring.by_model_before(of, model, simulated).set_index("model")
    courses = monitoring.by_model(of, model, simulated, of.bucket)
    buckets = monitoring.over_time(of, model, simulated)["time"]
    priced = found["requests"] - found["unpriced calls"]
    total = float(now.cost_usd)
    table = pd.DataFrame(
        {
            "model": tables.chips(found["model"]),
            "trend": [
                courses[courses["model"] == name].set_index("time")["cost $"].reindex(buckets, fill_value=0.0).tolist()
                for name in found["model"]
            ],
            "share": found["cost $"] / total if total else None,
            "change": [_change(row, before) for row in found.to_dict("records")],
            "per call $": (found["cost $"] / priced).where(priced > 0),
            "calls": found["requests"],
            **{measure.column: found[measure.column] for measure in _MEASURES},
            "tokens": found[["input", "cached", "thinking", "output"]].sum(axis=1),
            "cost $": found["cost $"].where(priced > 0),
        }
    )
    c = st.column_config
    config = {
        "model": tables.model_column(found["model"], models.colours(mode), width=158),
        "trend": c.BarChartColumn(f"Cost per {of.bucket}", width=120, y_min=0),
        "share": c.ProgressColumn("Share of cost", format="percent", min_value=0, max_value=1, width=110),
        "change": c.TextColumn("Change", width=74, alignment="right", help=_HELP_CHANGE),
        "per call $": c.NumberColumn("Cost per call", format="$%.6f", width=100),
        "calls": c.NumberColumn("Calls", format="localized", width=76),
        **{
            measure.column: c.NumberColumn(
                tables.bare(measure.column), format=formatting.COLUMN_FORMATS[measure.unit], width=78
            )
            for measure in _MEASURES
        },
        "tokens": c.NumberColumn("Tokens", format="compact", width=76),
        "cost $": c.NumberColumn("Cost", format="dollar", width=84),
    }
    at = tables.opened(table, "by_model", column_config=config, row_height=36)
    if at is not None:
        name = str(found["model"].iloc[at])
        calls_of(round(of.window.since.timestamp()), round(of.window.until.timestamp()), name)
    tables.csv(found.drop(columns=["time"]), "by_model")


def _change(row: Mapping[Hashable, Any], before: pd.DataFrame) -> str | None:
    """The change of a model's cost as a text; None where there is nothing to compare."""
    if row["model"] not in before.index:
        return "new"
    was = before.loc[row["model"]]
    found = formatting.change(row["cost $"], float(was["cost $"]), row["requests"], int(was["requests"]))
    return found.text if found else None


def _week(of: Range, model: str | None, simulated: bool, mode: colours.Mode) -> None:
    what = st.segmented_control(
        "By hour of the week", list(charts.OF_WEEK), default="Calls", key="week_of", required=True,
        bind="query-params", label_visibility="collapsed",
    ) or "Calls"  # fmt: skip
    frame = monitoring.by_weekday(of, model, simulated)
    st.html(f'<span class="aimm-title">{charts.busiest(frame, what)}</span>')
    st.vega_lite_chart(charts.week(frame, what, colours.INKS[mode]), width="stretch", key=f"week_{what}")
