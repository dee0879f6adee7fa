"""Stop and Resume of a comparison."""

from typing import Any

import streamlit as st

from core import Conflict
from core.domain.comparison import Comparison
from dashboard.components import estimates
from dashboard.process import manager


def stop(comparison: Comparison, place: Any) -> None:
    if place.button("Stop", key="compare_stop", icon=":material/stop:", help="What came is kept; it can be resumed."):
        try:
            manager().comparisons.stop(comparison.id)
        except Conflict:  # it has ended meanwhile
            st.toast("The comparison was over already.")
        st.rerun()


def resume(comparison: Comparison, place: Any) -> None:
    """A button, where answers are missing for a reason that may be gone by now."""
    waiting = [candidate for candidate in comparison.candidates if candidate.is_waiting]
    label = "Ask for the missing answers" if comparison.status == "finished" else "Resume"
    if waiting and place.button(
        label,
        icon=":material/play_arrow:",
        key="compare_resume",
        help="Only those without an answer are asked, with the cap as it is now.",
    ):
        try:
            manager().comparisons.resume(comparison.id, cap_usd=estimates.cap("compare_cap"))
        except Conflict as refused:  # another one was quicker, or it may not be asked again
            st.toast(refused.message)
        st.rerun()
