"""Tables as they are drawn and as they leave: no cell of a file or of the clipboard is a formula to a spreadsheet."""

from typing import Any

import pandas as pd
import streamlit as st

from dashboard import formatting


def show(frame: pd.DataFrame, **options: Any) -> Any:
    """`st.dataframe`: shows the cells as they are; what is downloaded or copied from it is harmless."""
    safe, changed = defused(frame)
    if not changed:
        return st.dataframe(frame, **options)
    return st.dataframe(safe.style.format(formatting.uncell, subset=changed), **options)


def csv(frame: pd.DataFrame, key: str) -> None:
    """A button that downloads it, with the mark by which spreadsheets know UTF-8."""
    data = defused(frame)[0].to_csv(index=False, lineterminator="\r\n").encode("utf-8-sig")
    st.download_button(
        "CSV", data, f"{key}.csv", "text/csv", key=f"csv_{key}", icon=":material/download:", on_click="ignore"
    )


def defused(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The frame without formulas, and the columns in which there were any."""
    texts = [name for name in frame.columns if not pd.api.types.is_numeric_dtype(frame[name])]
    safe = {name: frame[name].map(formatting.cell) for name in texts}
    changed = [name for name, column in safe.items() if not column.equals(frame[name])]
    return (frame.assign(**{name: safe[name] for name in changed}) if changed else frame), changed
