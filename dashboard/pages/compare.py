"""Compare: one prompt, two to eight models side by side."""

import streamlit as st

from core import NotFound
from core.domain.comparison import Comparison
from dashboard import address, tables
from dashboard.components.compare import blind, form, result, rule_editor, votes
from dashboard.frames import compare
from dashboard.process import manager
from dashboard.visitors.voter import voter

mm = manager()
state = st.session_state


def opened() -> Comparison | None:
    """The comparison that this page shows."""
    comparison_id = address.value("comparison")
    try:
        return mm.comparisons.get(comparison_id) if comparison_id else None
    except NotFound:  # removed meanwhile, as with the demo
        address.missing("comparison", "comparison")
        return None


def vote_blind(shown: Comparison) -> None:
    """In place of the whole page: nothing beside the answers may tell them apart."""
    if st.button("Vote later", key="blind_leave", type="tertiary", icon=":material/arrow_back:"):
        address.put("comparison", None)
        st.rerun()
    result.asked(shown)
    blind.draw(shown)


def ask_and_show(shown: Comparison | None) -> None:
    begun, rule = form.show()
    words = rule_editor.words(rule)
    if begun is not None:
        address.put("comparison", begun)
        state.compare_rule_words = words
        st.rerun()
    if shown is not None:
        if words != state.get("compare_rule_words", words):
            shown = mm.comparisons.settle(shown.id, rule)
        result.asked(shown)
        result.draw(shown)
    state.compare_rule_words = words


def history() -> None:
    st.subheader("History")
    frame = compare.history()
    if frame.empty:
        st.caption("No comparisons yet.")
        return
    address.table(frame, "comparison", "compare_history", column_config={"time": tables.TIME, "id": None})


st.title("Compare")
comparison = opened()
if comparison is not None and mm.comparisons.voting.hides_names(comparison, voter()):
    vote_blind(comparison)
else:
    ask_and_show(comparison)
    votes.standings()
    history()
