"""The calls of a filter by one or two of their fields, as a table; a click on a row opens its calls."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pandas as pd
import streamlit as st

from core import InvalidRequest
from core.domain.log.breakdown import Cell
from core.domain.log.filter import LogFilter
from core.domain.metrics import Counted
from dashboard import address, formatting, tables
from dashboard.components import inputs
from dashboard.frames import log

# Those that the page has a filter for, so that each row leads to its calls.
FIELDS = (
    "model", "key", "tag", "user", "day", "hour", "vendor", "deployment", "source", "status", "error", "session",
    "prompt",
)  # fmt: skip
SHOWN = 1_000
_WIDTHS = {"day": timedelta(days=1), "hour": timedelta(hours=1)}
_TABLE = "log_cells"


def follow() -> None:
    """Set the filters of the row that was clicked, before they are drawn."""
    if given := tables.clicked_in(_TABLE):
        for name, value in parse_qsl(given):
            if name == "range":
                address.put("log_range", value)
            else:
                st.session_state[f"log_{name}"] = value
        st.session_state["log_view"], st.session_state["log_page"] = "Calls", 1


def fields(place: Any) -> str:
    """The inputs of what to break down by; the fields, by a comma."""
    chosen = []
    for name, label, default in (("by", "By", 0), ("and", "and", FIELDS.index("day"))):
        address.check(f"log_{name}", FIELDS, "field")
        place.markdown(label, width="content")
        chosen.append(
            place.selectbox(
                label,
                FIELDS,
                default,
                key=f"log_{name}",
                bind="query-params",
                label_visibility="collapsed",
                width=124,
                persist_state="session",
            )
        )
    return ",".join(dict.fromkeys(chosen))


def show(wanted: LogFilter, total: Counted | None, by: str, options: Mapping[str, Collection[str]]) -> None:
    """Draw what a filter finds. by: One or two fields. options: The values that filters offer, by name."""
    if wanted.text:
        st.info("A breakdown looks through no texts. Take the search away.", icon=":material/search_off:")
        return
    try:
        cells = log.cells(wanted, by)
    except InvalidRequest as error:
        inputs.refused(st, error)
        return
    names = by.split(",")
    if not cells:
        st.info(f"No call that is found has a {' and a '.join(names)}.", icon=":material/inbox:")
        return
    cost = total.cost_usd if total else Decimal(0)
    frame = _frame(cells, names, cost)
    links = [_link(cell, names, wanted, options) for cell in cells[:SHOWN]]
    tables.opened(frame[:SHOWN], _TABLE, links, column_config=_config(frame, names), height=_height(len(frame)))
    row = st.container(horizontal=True, vertical_alignment="center")
    row.caption(formatting.plain(" ".join(_remarks(cells, names, "" in links))))
    row.space("stretch")
    with row:
        tables.csv(frame, f"calls_by_{'_'.join(names)}")


def _frame(cells: list[Cell], names: list[str], cost: Decimal) -> pd.DataFrame:
    """A row a cell; a cost of which nothing is known is none."""
    labels = {"key": log.key_labels()}

    def known(cell: Cell) -> float | None:
        return float(cell.cost_usd) if cell.n > cell.n_unpriced else None

    def shown(name: str, value: str | None) -> str:
        if value is None:
            return f"no {name}"
        if name in _WIDTHS:
            return f"{datetime.fromisoformat(value):%Y-%m-%d{' %H:%M' if name == 'hour' else ''}}"
        return labels.get(name, {}).get(value, value)

    fields = {name: [shown(name, cell.of[at]) for cell in cells] for at, name in enumerate(names)}
    costs = [known(cell) for cell in cells]
    numbers = {
        "calls": [cell.n for cell in cells],
        "failed": [cell.n_failed for cell in cells],
        "failed %": [100 * cell.n_failed / cell.n for cell in cells],
        "p95 s": [cell.p95_s for cell in cells],
        "unpriced": [cell.n_unpriced for cell in cells],
        "share": [None if each is None or not cost else each / float(cost) for each in costs],
        "cost $": costs,
    }
    frame = pd.DataFrame({**fields, **numbers}).astype({"share": float, "cost $": float, "p95 s": float})
    return frame if frame["unpriced"].any() else frame.drop(columns="unpriced")


def _config(frame: pd.DataFrame, names: list[str]) -> dict[str, Any]:
    c = st.column_config
    utc = formatting.of_utc()
    heads = {name: f"{tables.heading(name)}{utc}" if name in _WIDTHS else tables.heading(name) for name in names}
    return {
        **{name: c.TextColumn(heads[name], width=192) for name in names},
        "calls": c.NumberColumn("Calls", format="localized", width=80),
        "failed": c.NumberColumn("Failed", format="localized", width=72),
        "failed %": c.NumberColumn("Failed (%)", format="%.1f%%", width=80),
        "p95 s": c.NumberColumn("p95 latency", format="%.2f s", width=92, help="Of answered calls."),
        "unpriced": c.NumberColumn("Without a price", format="localized", width=112, help="They are in no cost."),
        "share": c.ProgressColumn("Share of cost", format="percent", min_value=0, max_value=1, width=112),
        "cost $": tables.money_column("Cost", frame["cost $"], width=96),
    }


def _height(n: int) -> Any:
    return "auto" if n <= 18 else 640


def _link(cell: Cell, names: list[str], wanted: LogFilter, options: Mapping[str, Collection[str]]) -> str:
    """The filters of a cell's calls beside those that are set; empty = no filter finds them."""
    found: dict[str, str] = {}
    for name, value in zip(names, cell.of, strict=True):
        if value is None:
            return ""
        if name in _WIDTHS:
            since = datetime.fromisoformat(value)
            until = since + _WIDTHS[name]
            since, until = max(since, wanted.since or since), min(until, wanted.until or until)
            found["range"] = address.span(since, until)
            continue
        shown = log.key_labels().get(value, "") if name == "key" else value
        if shown not in options.get(name, (shown,)) or not shown:
            return ""
        found[name] = shown
    return urlencode(found)


def _remarks(cells: list[Cell], names: list[str], has_unlinked: bool) -> list[str]:
    said = [f"{len(cells):,} rows, the most expensive first; a click on one opens its calls."]
    if len(cells) > SHOWN:
        said.append(f"The file has all, the table {SHOWN:,}.")
    if "tag" in names:
        said.append("A call with two tags is in two rows, one without any in none.")
    if has_unlinked:
        said.append("Rows that say *no …* have no filter and do not open.")
    if any(cell.n == cell.n_unpriced for cell in cells):
        said.append("–: of unknown cost.")
    return said
