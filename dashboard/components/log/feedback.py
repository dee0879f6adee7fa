"""People's opinions of answers: of one call, and by model and tag."""

import streamlit as st

from core.domain.generation import Generation
from dashboard import formatting, tables
from dashboard.frames import log

_COLUMNS = {"rating": st.column_config.NumberColumn("Mean rating", format="%.2f")}


def of_call(g: Generation) -> None:
    """Each opinion with its author."""
    found = log.feedback(g)
    if found:
        st.caption("Feedback")
    for each, author in found:
        st.markdown(formatting.plain(f"{formatting.mark(each)} by {author}, {formatting.when(each.updated_at)}"))
        if each.text:
            st.code(each.text, language=None, wrap_lines=True)


def sums() -> None:
    """Of the last days, by model and by tag; nothing where nobody said anything."""
    if found := log.feedback_sums():
        with st.expander(f"Feedback from the last {log.FEEDBACK_DAYS} days", icon=":material/thumbs_up_down:"):
            for frame in found:
                tables.show(frame, column_config=_COLUMNS)
