"""The conversations of this page, in a drawer at the right: a click opens one."""

import streamlit as st

from core.domain.log.filter import LogFilter
from dashboard import address, formatting, tables
from dashboard.frames import log
from dashboard.process import manager

PAGE_SIZE = 50


@st.dialog("History", position="right", width="medium")
def show() -> None:
    search = st.text_input(
        "Search prompts and answers", key="playground_search", placeholder="words", icon=":material/search:",
        max_chars=1000,
    )  # fmt: skip
    calls = log.latest(LogFilter(source="playground", text=search or None), PAGE_SIZE)
    followed = {g.ref_id for g in calls}
    last = [g for g in calls if g.id not in followed] if not search else calls
    if not last:
        st.caption("No conversation matches. Other words may find it." if search else "No conversations yet.")
        return
    previews = manager().log.previews([g.id for g in last])
    frame = tables.frame(
        last,
        {
            "time": lambda g: g.created_at,
            "last prompt": lambda g: formatting.short(previews.get(g.id, ""), 120),
            "model": lambda g: g.model,
            "cost": lambda g: formatting.usd(g.cost_usd),
        },
    )
    time = st.column_config.DatetimeColumn("Time", format="D MMM HH:mm", width=100)
    at = tables.opened(frame, "playground_history", [g.id for g in last], column_config={"time": time}, row_height=32)
    if at is not None:
        address.put("conversation", at)
        st.rerun()
