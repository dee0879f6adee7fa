"""The first steps of somebody who is new here."""

from typing import Any

import streamlit as st

from dashboard.components import demo, key_card
from dashboard.frames import gateway, monitoring
from dashboard.process import manager


def show() -> None:
    """Three steps, each ticked off once it has been taken; nothing when all have."""
    has_asked = monitoring.has_calls(simulated=False) or monitoring.has_calls(simulated=True)
    has_key, has_program = manager().vendors.has_key, gateway.recent()[0] > 0
    if has_asked and has_key:
        return
    st.subheader("First steps", anchor=False)
    grid = st.grid("auto", min_column_width=280)
    with _card(grid, "1 · Ask a model", is_done=has_asked):
        st.caption("Simulated models answer at once, without a key and without cost.")
        st.page_link("pages/playground.py", label="Open the Playground", icon=":material/chat:")
    with _card(grid, "2 · Use a real model", is_done=has_key):
        if not has_key:
            key_card.form()
    with _card(grid, "3 · Point a program here", is_done=has_program):
        st.caption("OpenAI's, Anthropic's and Gemini's clients work unchanged: give them this server's address.")
        st.page_link("pages/gateway.py", label="Code to copy, on the page Gateway", icon=":material/router:")
    if not has_asked:
        demo.offer("Or look around first: two months of made-up calls fill every page.", "home_demo")


def _card(grid: Any, title: str, *, is_done: bool) -> Any:
    card = grid.container(border=True, height="stretch")
    card.markdown(f"**{title}**" + (" :green[:material/check_circle: done]" if is_done else ""))
    return card
