"""The head of a page: its title, and its controls at the right of it."""

from typing import Any

import streamlit as st


def show(title: str) -> Any:
    """Draw the title; what is put into the container that comes back stands at the right of it."""
    row = st.container(horizontal=True, vertical_alignment="center", key="head")
    row.title(title, width="content", anchor=False)
    row.space("stretch")
    return row
