"""A double click asks for one thing."""

import time
from collections.abc import Callable
from typing import TypeVar

import streamlit as st

DOUBLE_S = 3.0  # the second click is seen when the first one's run has got so far that it can be interrupted

_Made = TypeVar("_Made")


def once(is_clicked: bool, key: str, asked: object, make: Callable[[], _Made]) -> _Made | None:
    """The result of `make` where a button was clicked. A second click for the same makes nothing, and gets the same: it
    ends the first one's run, perhaps before that has shown anything."""
    if not is_clicked:
        return None
    said, now, state = repr(asked), time.monotonic(), st.session_state
    before = state.get(f"clicked_{key}")
    if before is None or before[0] != said or now - before[1] >= DOUBLE_S:
        before = state[f"clicked_{key}"] = said, now, make()
    made: _Made = before[2]
    return made


def first(is_clicked: bool, key: str, asked: object) -> bool:
    """True if a button was clicked, and not just now for the same."""
    this = object()
    return is_clicked and once(is_clicked, key, asked, lambda: this) is this
