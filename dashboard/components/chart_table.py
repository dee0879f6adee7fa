"""A chart with the table behind it, as CSV too."""

from typing import Any

import pandas as pd
import streamlit as st


def show(title: str, chart: Any, frame: pd.DataFrame, *, help_text: str, key: str) -> None:
    st.markdown(f"**{title}**", help=help_text)
    st.altair_chart(chart)
    with st.expander("Table", icon=":material/table:"):
        st.dataframe(frame, hide_index=True)
        csv(frame, key)


def csv(frame: pd.DataFrame, key: str) -> None:
    data = frame.to_csv(index=False).encode()
    st.download_button(
        "CSV", data, f"{key}.csv", "text/csv", key=f"csv_{key}", icon=":material/download:", on_click="ignore"
    )
