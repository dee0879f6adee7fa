"""The charts of a run."""

import streamlit as st

from dashboard.frames.evaluation.reading import Seen, View


def draw(of: Seen, view: View) -> None:
    st.caption("Charts follow.")
