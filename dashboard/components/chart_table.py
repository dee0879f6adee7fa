"""A chart with the table behind it, as CSV too."""

from typing import Any

import pandas as pd
import streamlit as st

from dashboard import tables


def show(title: str, chart: Any, frame: pd.DataFrame, *, help_text: str, key: str) -> None:
    st.markdown(f"**{title}**", help=help_text)
    st.altair_chart(chart)
    with st.expander("Table", icon=":material/table:"):
        tables.show(frame)
        tables.csv(frame, key)
