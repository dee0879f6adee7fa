"""Stop, Resume and Retry of a comparison; and its progress, whoever asks."""

from collections.abc import Collection
from typing import Any

import streamlit as st

from core import Conflict
from core.domain.comparison import Comparison
from dashboard import formatting
from dashboard.components import estimates
from dashboard.process import manager
from dashboard.visitors import allowed

LOOK_S = 0.5


def stop(comparison: Comparison, place: Any) -> None:
    may = allowed.needs("editor", "What came is kept; it can be resumed.")
    if place.button("Stop", key="compare_stop", icon=":material/stop:", **may):
        try:
            manager().comparisons.stop(comparison.id)
        except Conflict:  # it has ended meanwhile
            st.toast("The comparison was over already.")
        st.rerun()


def resume(comparison: Comparison, place: Any) -> None:
    """A button, where answers are missing for a reason that may be gone by now."""
    label = "Ask for the missing answers" if comparison.status == "finished" else "Resume"
    if any(candidate.is_waiting for candidate in comparison.candidates) and place.button(
        label,
        icon=":material/play_arrow:",
        key="compare_resume",
        **allowed.needs("editor", "Only those without an answer are asked, with the spending limit as it is now."),
    ):
        _ask(comparison, None)


def retry(comparison: Comparison, positions: Collection[int], place: Any, label: str, key: str) -> None:
    """A button that asks failed answers again. What is there is neither asked nor paid again."""
    may = allowed.needs("editor", "Makes a new call. Answers that are there are not asked or charged again.")
    if positions and place.button(label, icon=":material/refresh:", key=key, **may):
        _ask(comparison, positions)


def _ask(comparison: Comparison, positions: Collection[int] | None) -> None:
    try:
        manager().comparisons.resume(comparison.id, positions=positions, cap_usd=estimates.cap("compare_cap"))
    except Conflict as refused:  # another one was quicker, or it may not be asked again
        st.toast(refused.message)
    st.rerun()


@st.fragment(run_every=LOOK_S)
def wait(comparison_id: str, words: str) -> None:
    """Wait for all answers, whoever asks for them. The page's run ends meanwhile: nothing of the last one is left."""
    comparison = manager().comparisons.get(comparison_id)
    if not comparison.is_running:
        st.rerun()
    n, n_done = len(comparison.candidates), sum(not candidate.is_lost for candidate in comparison.candidates)
    st.progress(n_done / n, f"{words} {n_done} of {n} answers have arrived.")


def progress(place: Any, shares: Collection[float], left_s: Collection[float | None], elapsed_s: float) -> None:
    """Draw how far a comparison is. left_s: Of each answer; None = not known yet."""
    known = [each for each in left_s if each is not None]
    left = (
        f" · about {formatting.seconds(max(known))} left" if known and len(known) == len(left_s) and max(known) else ""
    )
    n_done = sum(each == 1 for each in shares)
    text = f"{n_done} of {len(shares)} answers · {formatting.seconds(elapsed_s)}{left}"
    place.progress(sum(shares) / len(shares), text)
