"""The total of what the filter of the log finds, in words."""

from functools import partial
from typing import Any

import streamlit as st

from core.domain.log.filter import LogFilter, LogPage
from core.domain.metrics import Counted
from dashboard import formatting
from dashboard.frames import log

_COUNTED = "log_count_all"  # the filter whose calls are counted to the oldest one


def read(wanted: LogFilter) -> LogPage:
    return log.counted(wanted, is_exact=st.session_state.get(_COUNTED) == wanted.digest)


def show(place: Any, found: LogPage, wanted: LogFilter) -> None:
    """The total, and beneath it what is not in it, which a click counts too."""
    said = "Calls with these words" if found.total is None else _said(found.total, found, wanted)
    place.markdown(said, width="content")
    if found.since:
        count = partial(st.session_state.__setitem__, _COUNTED, wanted.digest)
        place.button("Count all", type="tertiary", on_click=count)
    if found.note:
        st.caption(formatting.plain(found.note))


def _said(total: Counted, found: LogPage, wanted: LogFilter) -> str:
    of = f" since {found.since:%d %b %Y}" if found.since else "" if wanted.since else " of all time"
    usd = formatting.plain(formatting.usd(total.cost_usd))
    parts = [f"**{total.n:,}** calls{of}", f"**{usd}**", f"{total.n_failed:,} failed"]
    return " · ".join([*parts, *([f"{total.n_unpriced:,} without a price"] if total.n_unpriced else [])])
