"""A browser's last visit: from when on things are new to it."""

import re
import time
from datetime import UTC, datetime

import streamlit as st

COOKIE = "aimm_visits"
PAUSE_S = 30 * 60  # pages loaded within shorter pauses are one visit
_TIMES = re.compile(r"(\d{1,10})\.(\d{1,10})", re.ASCII)  # the last page that was loaded, the end of the visit before


def last() -> datetime | None:
    """The end of the visit before this one; None = we know of none."""
    found = _TIMES.fullmatch(str(st.context.cookies.get(COOKIE, "")))
    return datetime.fromtimestamp(int(found[2]), UTC) if found and 0 < int(found[2]) < time.time() else None


def noted(found: str) -> str:
    """The cookie with this visit in it."""
    now, times = int(time.time()), _TIMES.fullmatch(found)
    if times is None:
        return f"{now}.0"
    return f"{now}.{times[1] if now - int(times[1]) > PAUSE_S else times[2]}"
