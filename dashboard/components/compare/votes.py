"""The vote on all answers of a comparison: one key says which is best."""

from collections.abc import Mapping

import streamlit as st

from core.comparison import ballots
from core.domain.comparison import Best, Comparison
from dashboard import formatting
from dashboard.process import manager
from dashboard.visitors import allowed
from dashboard.visitors.voter import voter

_NONE: dict[str, tuple[Best, str]] = {"0": ("tie", "Tie"), "9": ("both_bad", "All bad")}


def ask(comparison: Comparison, able: Mapping[int, str], *, blind: bool) -> None:
    """Draw a button for each answer at the bottom of the window. able: The names of complete answers by position."""
    if len(able) < 2:
        st.info("Fewer than two complete answers: nothing to vote on.", icon=":material/inbox:")
        return
    mine = ballots.best_of(manager().comparisons.voting.of(comparison.id, voter()), sorted(able))
    bar = st.bottom.container(
        horizontal=True, horizontal_alignment="center", vertical_alignment="center", key="compare_vote"
    )
    bar.markdown(
        "**Which is best?** Click it, or press its key:" if mine is None else _said(comparison, mine), width="content"
    )
    options: dict[str, tuple[Best, str]] = {str(n): (at, name) for n, (at, name) in enumerate(able.items(), 1)}
    options |= _NONE
    may = allowed.needs("editor")
    for digit, (best, name) in options.items():
        icon = ":material/check:" if best == mine else None
        # The key says whether names are hidden: the second of two quick presses must not fall on the next question.
        if bar.button(name, key=f"vote_{digit}_{blind}", shortcut=digit, icon=icon, **may):
            manager().comparisons.voting.choose(comparison.id, best, blind=blind, voter=voter())
            st.session_state.votes_cast = st.session_state.get("votes_cast", 0) + 1
            st.rerun()


def _said(comparison: Comparison, mine: Best) -> str:
    if isinstance(mine, str):
        return f"Your vote: **{dict(_NONE.values())[mine]}**. Another key changes it."
    label = formatting.plain(comparison.candidates[mine].contestant.label)
    return f"Your vote: **{comparison.candidates[mine].letter}** ({label}). Another key changes it."
