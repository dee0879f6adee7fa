"""The table of what the calls of a range were made with or for; a click on a row opens its calls in the Log."""

from typing import Any

import streamlit as st

from core.domain.metrics import Window
from dashboard import address, formatting, tables
from dashboard.charts.colours import Mode
from dashboard.frames import breakdown, log, models
from dashboard.frames.breakdown import SHOWN_MEASURES
from dashboard.frames.monitoring import Range, kept

ROWS = 12
_WIDTHS = {"success %": 76, "first token p50 s": 84}
_HINTS = {
    "key": "Calls were made without a key.",
    "tag": "Send `tags` with a call.",
    "user": "Send `user` with a call.",
    "workflow": "Run one on the page Workflows.",
    "experiment": "Begin one on the page Experiments.",
}
AGAINST = {
    "model": "against the period before, up to the same moment",
    "other": "on the days that are over, against as many days before them",
}


def show(of: Range, model: str | None, simulated: bool, mode: Mode) -> None:
    address.check("spend_by", breakdown.DIMENSIONS, "dimension")
    row = st.container(horizontal=True, vertical_alignment="center")
    row.subheader("By", anchor=False, width="content")
    dimension = row.segmented_control(
        "By", breakdown.DIMENSIONS, default="model", key="spend_by", bind="query-params", required=True,
        label_visibility="collapsed",
    ) or "model"  # fmt: skip
    found = breakdown.by(dimension, of, model, simulated)
    if found.frame.empty:
        st.caption(f"No calls with a {dimension} in this range. {_HINTS.get(dimension, '')}")
        return
    with row:  # not at the right end, where the table has its own tools
        tables.csv(found.frame.drop(columns=["trend"]), f"by_{dimension}")
    if found.moved:
        st.caption(formatting.plain(f"{found.moved}, {AGAINST['model' if dimension == 'model' else 'other']}."))
    table, config = _drawn(dimension, of, model, simulated, mode)
    height: Any = "auto" if len(table) <= ROWS else 36 * (ROWS + 1)
    at = tables.opened(
        table, f"by_{dimension}", found.frame["name"], column_config=config, row_height=36, height=height
    )
    notes = [found.rest, f"{found.n_more:,} more are not shown." if found.n_more else ""]
    notes += ["" if dimension == "model" else f"Whole days{formatting.of_utc()}."]
    st.caption(formatting.plain(" ".join(note for note in notes if note)))
    if at is not None:
        calls_of(found.window, simulated, **{"model": model, dimension: at})


@kept
def _drawn(dimension: str, of: Range, model: str | None, simulated: bool, mode: Mode) -> tuple[Any, dict[str, Any]]:
    """The table as it is sent, and its columns."""
    frame, c = breakdown.by(dimension, of, model, simulated).frame, st.column_config
    is_model = dimension == "model"
    against = AGAINST["model" if is_model else "other"]
    money = {"per call $": "Cost per call", "$ per success": "Per user success"}
    config = {
        "name": tables.model_column(frame["name"], models.colours(mode), letters=tables.LETTERS, width=152)
        if is_model
        else c.TextColumn(dimension.capitalize(), width=240),
        "trend": c.BarChartColumn(f"Cost per {of.bucket if is_model else 'day'}", width=104, y_min=0),
        "share": c.ProgressColumn("Share of cost", format="percent", min_value=0, max_value=1, width=96),
        "change": c.TextColumn("Change", width=62, alignment="right", help=f"Of the cost, {against}."),
        "change $": tables.money_column("Change in $", frame["change $"], is_change=True, width=86),
        **{name: tables.money_column(label, frame.get(name, ()), width=92) for name, label in money.items()},
        "calls": c.NumberColumn("Calls", format="localized", width=62),
        "successes": c.NumberColumn("User successes", format="localized", width=110),
        **{
            measure.column: c.NumberColumn(
                "Calls OK" if measure.unit == "%" else tables.bare(measure.column).removesuffix(" p50"),
                format=formatting.COLUMN_FORMATS[measure.unit],
                width=_WIDTHS.get(measure.column, 62),
            )
            for measure in SHOWN_MEASURES
        },
        "tokens": c.NumberColumn("Tokens", format="compact", width=62),
        "cost $": tables.money_column("Cost", frame["cost $"], width=84),
    }
    shown = frame[[name for name in config if name in frame]]
    shown = shown.assign(name=tables.chips(frame["name"], tables.LETTERS)) if is_model else shown
    return tables.ready(shown), config


def calls_of(window: Window, simulated: bool, **filters: str | None) -> None:
    """Open the Log with the calls of a window that filters find."""
    st.switch_page("pages/log.py", query_params=query_of(window, simulated, **filters))


def query_of(window: Window, simulated: bool, **filters: str | None) -> dict[str, str]:
    """The address of these calls in the Log, without what is empty: taking that out would be a step of its own back."""
    filters["calls"] = log.KIND[simulated]
    given = {f"log_{name}": value for name, value in filters.items() if value}
    return {"log_range": address.span(window.since, window.until)} | given
