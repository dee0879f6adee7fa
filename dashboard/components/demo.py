"""What an empty page offers: thirty made-up days."""

import streamlit as st

from dashboard import queries
from dashboard.session import manager


def offer(text: str, key: str) -> None:
    """Say what is missing, and offer the demo data."""
    st.info(text, icon=":material/inbox:")
    if not queries.has_demo() and st.button("Show me demo data", key=key, icon=":material/science:"):
        with st.spinner("Making thirty days of history …"):
            manager().demo.fill()
        st.cache_data.clear()
        st.rerun()
