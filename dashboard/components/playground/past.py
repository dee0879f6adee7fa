"""The calls that were made on this page before."""

import streamlit as st

from dashboard.components.log import drawer, history
from dashboard.frames import log

PAGE_SIZE = 50


def show(source: str) -> None:
    with st.expander("History", icon=":material/history:"):
        search = st.text_input(
            "Search prompts and answers", key=f"{source}_search", placeholder="words", icon=":material/search:",
            bind="query-params", max_chars=1000,
        )  # fmt: skip
        found = log.latest(limit=PAGE_SIZE, source=source, search=search or None)
        if not found:
            st.caption("No calls match." if search else "No calls yet.")
        ids = history.table(found, f"{source}_history") if found else []
    drawer.show(ids)
