"""A double click asks for one thing."""

import time

import streamlit as st

DOUBLE_S = 3.0  # the second click is seen when the first one's run has got so far that it can be interrupted


def first(is_clicked: bool, key: str, asked: object) -> bool:
    """True if a button was clicked, and not just now for the same."""
    said, now, state = repr(asked), time.monotonic(), st.session_state
    before, at = state.get(f"clicked_{key}", ("", 0.0))
    if is_clicked:
        state[f"clicked_{key}"] = said, now
    return is_clicked and not (said == before and now - at < DOUBLE_S)
