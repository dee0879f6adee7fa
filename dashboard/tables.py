"""Tables as they are drawn and as they leave: no cell of a file or of the clipboard is a formula to a spreadsheet."""

from typing import Any

import pandas as pd
import streamlit as st

from dashboard import formatting

TIME = st.column_config.DatetimeColumn("Time (UTC)", format="YYYY-MM-DD HH:mm:ss")


def show(frame: pd.DataFrame, **options: Any) -> Any:
    """`st.dataframe`: shows the cells as they are; what is downloaded or copied from it is harmless."""
    safe, changed = formatting.defused(frame)
    if not changed:
        return st.dataframe(frame, **options)
    return st.dataframe(safe.style.format(formatting.uncell, subset=changed), **options)


def editor(frame: pd.DataFrame, key: str, **options: Any) -> Any:
    """`st.data_editor` without its download: what is edited must stay as it was typed."""
    st.html(f"<style>.st-key-{key} [aria-label='Download as CSV'] {{ display: none; }}</style>")
    return st.data_editor(frame, key=key, **options)


def csv(frame: pd.DataFrame, key: str) -> None:
    """A button that downloads it, with the mark by which spreadsheets know UTF-8."""
    data = formatting.defused(frame)[0].to_csv(index=False, lineterminator="\r\n").encode("utf-8-sig")
    st.download_button(
        "CSV", data, f"{key}.csv", "text/csv", key=f"csv_{key}", icon=":material/download:", on_click="ignore"
    )
