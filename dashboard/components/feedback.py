"""What people thought of answers: of one call, and by model and tag."""

from datetime import timedelta

import pandas as pd
import streamlit as st

from core import clock
from core.domain.generation import Generation
from dashboard import formatting, tables
from dashboard.process import manager

DAYS = 30


def of_call(g: Generation) -> None:
    """Each opinion with its author."""
    found = manager().feedback.of(g.id)
    if found:
        st.caption("Feedback")
    names = {key.id: key.name for key in manager().keys.all()} if any(each.key_id for each in found) else {}
    for each in found:
        by = each.user_id or names.get(each.key_id, each.key_id) or "not said"
        said = f"{formatting.mark(each)} by {by}, {formatting.when(each.updated_at)}"
        st.markdown(formatting.plain(said))
        if each.text:
            st.code(each.text, language=None, wrap_lines=True)


def sums() -> None:
    """Of the last days, by model and by tag; nothing where nobody said anything."""
    until = clock.now()
    since, mm = until - timedelta(days=DAYS), manager()
    found = {
        by: [
            {by: r.name + mark, "opinions": r.n, "up": r.n_up, "down": r.n_down, "rating": r.rating}
            for simulated, mark in ((False, ""), (True, " (simulated)"))
            for r in mm.feedback.sums(since, until, by=by, simulated=simulated)
        ]
        for by in ("model", "tag")
    }
    if not found["model"]:
        return
    with st.expander(f"Feedback of the last {DAYS} days", icon=":material/thumbs_up_down:"):
        for rows in filter(None, found.values()):
            tables.show(
                pd.DataFrame(rows),
                hide_index=True,
                column_config={"rating": st.column_config.NumberColumn("Mean rating", format="%.2f")},
            )
