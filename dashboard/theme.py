"""The theme that the reader looks at."""

import streamlit as st

from dashboard.charts.colours import INKS, Ink, Mode


def mode() -> Mode:
    """Light or dark; Streamlit does not know it in the very first run of a session, and then runs again."""
    return "dark" if st.context.theme.type == "dark" else "light"


def ink() -> Ink:
    return INKS[mode()]
