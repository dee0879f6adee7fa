"""Two made-up months: offered on empty pages, loaded and removed in the top strip."""

import streamlit as st

from dashboard import process
from dashboard.frames import monitoring
from dashboard.process import manager
from dashboard.visitors import allowed


def switch() -> None:
    """In the strip: remove the demo data where they are in; fill them in while there is no real call."""
    if monitoring.has_demo():
        st.badge(
            "Demo data on",
            icon=":material/science:",
            color="violet",
            help="Made-up data, marked simulated, never counted in real totals.",
        )
        if st.button("Remove demo data", key="demo_remove", type="tertiary", **allowed.needs("editor")):
            remove()
    elif not monitoring.has_calls(simulated=False) and st.button(
        "Load demo data", key="demo_fill", type="tertiary", icon=":material/science:", **allowed.needs("editor")
    ):
        fill()


def offer(text: str, key: str) -> None:
    """Say what is missing, and offer the demo data."""
    st.info(text, icon=":material/inbox:")
    if not monitoring.has_demo() and st.button(
        "Load demo data", key=key, icon=":material/science:", **allowed.needs("editor")
    ):
        fill()


def remove() -> None:
    manager().demo.remove()
    st.cache_data.clear()
    st.rerun()


def fill() -> None:
    with process.aside(), st.spinner("Creating two months of history …"):
        manager().demo.fill()
    st.cache_data.clear()
    st.rerun()
