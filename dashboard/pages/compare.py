"""Compare: one prompt, two to eight models side by side."""

import streamlit as st

from core import NotFound
from core.domain.comparison import Comparison
from dashboard import queries, tables
from dashboard.components import blind, compare_form, compared, rule_editor, votes
from dashboard.session import manager
from dashboard.voter import voter

mm = manager()
state = st.session_state


def opened() -> Comparison | None:
    """The comparison that this page shows."""
    if not state.get("compare_id"):
        return None
    try:
        return mm.comparisons.get(state.compare_id)
    except NotFound:  # removed meanwhile, as with the demo
        state.compare_id = None
        return None


def vote_blind(shown: Comparison) -> None:
    """In place of the whole page: nothing beside the answers may tell them apart."""
    if st.button("Leave it for later", key="blind_leave", type="tertiary", icon=":material/arrow_back:"):
        state.compare_id = None
        st.rerun()
    compared.asked(shown)
    blind.draw(shown)


def compare(shown: Comparison | None) -> None:
    begun, rule = compare_form.show()
    words = rule_editor.words(rule)
    if begun is not None:
        state.compare_id, state.compare_rule_words = begun, words
        st.rerun()
    if shown is not None:
        if words != state.get("compare_rule_words", words):
            shown = mm.comparisons.settle(shown.id, rule)
        compared.asked(shown)
        compared.draw(shown)
    state.compare_rule_words = words


def history() -> None:
    st.subheader("History")
    past = mm.comparisons.latest(50)
    if not past:
        st.caption("No comparisons yet.")
        return
    frame = queries.comparisons_frame(past, {c.id for c in past if mm.comparisons.voting.hides_names(c, voter())})
    event = tables.show(
        frame,
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        key="compare_history",
        column_config={"time": st.column_config.DatetimeColumn("Time (UTC)", format="YYYY-MM-DD HH:mm:ss"), "id": None},
    )
    rows = event.selection.rows
    if (
        rows
        and rows[0] < len(frame)
        and st.button("Show this comparison", icon=":material/open_in_new:", key="compare_show")
    ):
        state.compare_id = str(frame["id"].iloc[rows[0]])
        st.rerun()


st.title("Compare")
comparison = opened()
if comparison is not None and mm.comparisons.voting.hides_names(comparison, voter()):
    vote_blind(comparison)
else:
    compare(comparison)
    votes.standings()
    history()
