"""Settings: what this process runs with, and the demo data."""

import streamlit as st

from dashboard import formatting, login
from dashboard.frames import monitoring
from dashboard.process import manager

mm = manager()
settings = mm.settings
st.title("Settings")
rows = {
    "Database": mm.database_address,
    "Default model": mm.default_model(),
    "Deadline of a call": f"{settings.call_timeout_s:g} s",
    "What is kept of prompts and answers": settings.log_content,
    "Gemini key": "set" if mm.has_key else "not set",
    "Gemini address": settings.gemini_base_url or "the vendor's own",
    "Calls on record": f"{mm.log.count():,}",
}
st.table({name: formatting.plain(str(value)) for name, value in rows.items()})
st.caption("Set by environment variables or a .env file in the folder the server was started from; see .env.example.")
login.log_out()

st.subheader("Demo data")
if monitoring.has_demo():
    st.caption("Thirty made-up days are in. They are marked simulated and never part of real totals.")
    if st.button("Remove the demo data", icon=":material/delete:", key="settings_remove"):
        mm.demo.remove()
        st.cache_data.clear()
        st.rerun()
else:
    st.caption(
        "Thirty made-up days: calls with an incident on one of them, a workflow run, comparisons with votes, two experiments."
    )
    if st.button("Fill in demo data", icon=":material/science:", key="settings_fill"):
        with st.spinner("Making thirty days of history …"):
            mm.demo.fill()
        st.cache_data.clear()
        st.rerun()
