"""Tables as they are drawn and as they leave: no cell of a file or of the clipboard is a formula to a spreadsheet."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import pandas as pd
import pyarrow as pa
import streamlit as st
from streamlit.dataframe_util import convert_pandas_df_to_arrow_table

from dashboard import formatting, process
from dashboard.charts.colours import chip

TIME = st.column_config.DatetimeColumn("Time", format="YYYY-MM-DD HH:mm:ss")

_Row = TypeVar("_Row")
LETTERS = 18  # of a chip in a column of 150 px
_OPENED = "table_opened"
_UNITS = ("$/M", "$", "%", "s")


def frame(rows: Iterable[_Row], columns: Mapping[str, Callable[[_Row], object]]) -> pd.DataFrame:
    """A data frame of values: for each column its name and how a row gives it."""
    found = list(rows)
    return pd.DataFrame({name: [of(row) for row in found] for name, of in columns.items()})


def heading(name: str) -> str:
    """The name of a column as people read it: `latency s` is Latency (s)."""
    words, _, unit = name.rpartition(" ")
    text = f"{words} ({unit})" if words and unit in _UNITS else name
    return text if text[1:2].isdigit() else text[:1].upper() + text[1:]  # p95 stays as it is


def bare(name: str) -> str:
    """The same without its unit, for a column whose cells have it: `latency s` is Latency."""
    words, _, unit = name.rpartition(" ")
    return heading(words if words and unit in _UNITS else name)


def _headed(names: Iterable[object], given: Mapping[str, Any]) -> dict[str, Any]:
    config: dict[str, Any] = {}
    for name in map(str, names):
        own = given.get(name, {})
        config[name] = own if own is None or own.get("label") else {**own, "label": heading(name)}
    return config


def ready(frame: pd.DataFrame) -> pa.Table | pd.DataFrame:
    """A table as it is sent, to be kept for all viewers; the frame itself where it holds a formula."""
    return frame if formatting.defused(frame)[1] else convert_pandas_df_to_arrow_table(local(frame))


def show(frame: pd.DataFrame | pa.Table, *, column_config: Mapping[str, Any] | None = None, **options: Any) -> Any:
    """`st.dataframe` with headings; shows the cells as they are, and what is copied or downloaded is harmless."""
    names = frame.column_names if isinstance(frame, pa.Table) else frame.columns
    options |= {"column_config": _headed(names, column_config or {}), "hide_index": True}
    safe, changed = (frame, []) if isinstance(frame, pa.Table) else formatting.defused(local(frame))
    if not changed:
        return st.dataframe(safe, **options)
    return st.dataframe(safe.style.format(formatting.uncell, subset=changed), **options)


def local(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with its moments in the installation's time zone; in a file they have their offset from UTC."""
    moments = [name for name, kind in frame.dtypes.items() if isinstance(kind, pd.DatetimeTZDtype)]
    shown = {str(name): frame[name].dt.tz_convert(process.zone()) for name in moments}
    return frame.assign(**shown) if shown else frame


def editor(frame: pd.DataFrame, key: str, **options: Any) -> Any:
    """`st.data_editor` without its download: what is edited must stay as it was typed."""
    st.html(f"<style>.st-key-{key} [aria-label='Download as CSV'] {{ display: none; }}</style>")
    return st.data_editor(frame, key=key, **options)


def chips(names: Iterable[str], letters: int = 99) -> list[list[str]]:
    """A column of names as it is drawn in coloured chips of so many letters; no formulas to a spreadsheet."""
    return [[str(formatting.cell(formatting.squeezed(name, letters)))] for name in names]


def model_column(
    names: Iterable[str], colours: Mapping[str, str], *, label: str = "Model", letters: int = 99, **options: Any
) -> Any:
    """The configuration of a column of `chips`, each in its model's colour."""
    known = list({formatting.squeezed(name, letters): name for name in names}.values())
    return st.column_config.MultiselectColumn(
        label,
        options=[name for (name,) in chips(known, letters)],
        color=[chip(colours.get(name, "gray")) for name in known],
        **options,
    )


def money_column(label: str, values: Iterable[float | None], *, is_change: bool = False, **options: Any) -> Any:
    """The configuration of a column of dollars with as many decimals as its smallest cell needs to be seen.

    is_change: The sign is shown, and the dollar stands in the label.
    """
    sizes = [abs(value) for value in values if value and math.isfinite(value)]
    smallest = min(sizes, default=1.0)
    digits = 2 if smallest >= 1 else max(4 if smallest >= 0.01 else 6, 1 - math.floor(math.log10(smallest)))
    sign = "%+" if is_change else "$%"
    form = "dollar" if digits == 2 and not is_change else f"{sign}.{min(digits, 12)}f"
    return st.column_config.NumberColumn(label, format=form, **options)


def opened(frame: pd.DataFrame | pa.Table, key: str, ids: Iterable[object], **options: Any) -> str | None:
    """Draw a table of which a click on any cell opens the row; the id of the row that was clicked, once.

    ids: Of its rows. A click is meant for what stood there when it was drawn, also where newer rows have come since.
    """
    state, drawn = f"{key}_row", f"{key}_ids"

    def clicked() -> None:
        cells, shown = st.session_state[key].selection.cells, st.session_state[drawn]
        st.session_state[state], st.session_state[_OPENED] = shown[cells[0][0]] if cells else None, key

    show(frame, key=key, on_select=clicked, selection_mode="single-cell", placeholder=formatting.UNKNOWN, **options)
    st.session_state[drawn] = [str(each) for each in ids]
    return clicked_in(key)


def clicked_in(key: str) -> str | None:
    """The id of the row that was clicked in a table of `opened`, once; for what must know before it is drawn again."""
    found: str | None = st.session_state.pop(f"{key}_row", None)
    return found


def released() -> None:
    """Take the selection out of the table that opened something: a click on the same cell opens it again."""
    if (key := st.session_state.pop(_OPENED, None)) in st.session_state:
        st.session_state[key] = {"selection": {"cells": []}}


def csv(frame: pd.DataFrame | pa.Table, key: str) -> None:
    """A button that downloads it."""
    st.download_button(
        "CSV",
        lambda: csv_data(frame),
        f"{key}.csv",
        "text/csv",
        key=f"csv_{key}",
        icon=":material/download:",
        on_click="ignore",
    )


def csv_data(frame: pd.DataFrame | pa.Table) -> Any:
    """The file of a table: with the mark by which spreadsheets know UTF-8, and nothing that they would execute."""
    rows = frame.to_pandas() if isinstance(frame, pa.Table) else frame
    return formatting.defused(local(rows))[0].to_csv(index=False, lineterminator="\r\n").encode("utf-8-sig")
