"""Settings: what this process runs with, and the demo data."""

import streamlit as st

from dashboard import formatting, login
from dashboard.components import demo
from dashboard.frames import monitoring
from dashboard.process import manager

mm = manager()
settings = mm.settings
st.title("Settings")
rows = {
    "Database": mm.database.address,
    "Default model": mm.models.default(),
    "Call timeout": f"{settings.call_timeout_s:g} s",
    "Stored content": settings.log_content,
    "Gemini key": "set" if mm.vendors.has_key else "not set",
    "Gemini address": settings.addresses.get("gemini") or "default",
    "Calls on record": f"{mm.monitoring.counted().n:,}",
}
st.table({name: formatting.plain(str(value)) for name, value in rows.items()})
st.caption("Set by environment variables or a .env file in the folder where the server was started; see .env.example.")
login.log_out()

st.subheader("Demo data")
if monitoring.has_demo():
    st.caption("Thirty made-up days are loaded. They are marked simulated and never count in real totals.")
    if st.button("Remove demo data", icon=":material/delete:", key="settings_remove"):
        demo.remove()
else:
    st.caption(
        "Thirty made-up days: calls with an incident on one of them, a workflow run, comparisons with votes, and two"
        " experiments."
    )
    if st.button("Load demo data", icon=":material/science:", key="settings_fill"):
        demo.fill()
