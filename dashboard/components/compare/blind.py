"""A blind vote: two answers without names, in an order drawn for this voter, and nothing else that tells them apart."""

from typing import Any

import streamlit as st

from core.comparison import judging
from core.domain.comparison import Comparison
from dashboard.components import answer
from dashboard.components.compare import controls
from dashboard.process import manager
from dashboard.visitors.voter import voter

LOOK_S = 0.5
# Of the two as they are shown: first or second.
CHOICES = {
    "first": "Answer 1 is better", "second": "Answer 2 is better", "tie": "Tie", "both_bad": "Both bad", "skip": "Skip",
}  # fmt: skip


def draw(comparison: Comparison) -> None:
    """Answers are shown when all are there: how fast one comes would say much about its model."""
    if comparison.is_running:
        wait(comparison.id, "The answers appear together once all have arrived.")
        return
    order = judging.shown_order(comparison.id, voter(), len(comparison.candidates))
    able = [position for position in order if comparison.candidates[position].can_win]
    if len(able) < len(order):
        st.caption(f"Failed answers, left out: {len(order) - len(able)} of {len(order)}.")
    cast = manager().comparisons.voting.of(comparison.id, voter())
    pairs = [(a, b) for at, a in enumerate(able) for b in able[at + 1 :]]
    left = [pair for pair in pairs if (min(pair), max(pair)) not in cast]
    if left:
        _ask(comparison, left[0], len(pairs) - len(left))
        st.caption(f"Pair {len(pairs) - len(left) + 1} of {len(pairs)}")
    else:
        st.info("Fewer than two complete answers: nothing to vote on.", icon=":material/inbox:")
    controls.resume(comparison, st)
    if st.button("Show names without voting", key="blind_reveal", type="tertiary", icon=":material/visibility:"):
        manager().comparisons.voting.reveal(comparison.id, voter())
        st.rerun()


@st.fragment(run_every=LOOK_S)
def wait(comparison_id: str, words: str) -> None:
    """Wait for all answers, whoever asks for them. The page's run ends meanwhile: nothing of the last one is left."""
    if not manager().comparisons.get(comparison_id).is_running:
        st.rerun()
    st.caption(words)


def _ask(comparison: Comparison, pair: tuple[int, int], n_done: int) -> None:
    for at, column in enumerate(st.columns(2, gap="medium")):
        column.markdown(f"**Answer {at + 1}**")
        if (g := comparison.candidates[pair[at]].generation) is not None:
            answer.show(column.container(border=True), g.text)
    row = st.container(horizontal=True)
    for choice, label in CHOICES.items():
        # The key counts the pairs: the second of two quick clicks must not fall on the next one.
        if row.button(label, key=f"blind_{choice}_{n_done}"):
            said: Any = {"first": "a", "second": "b"}.get(choice, choice)
            manager().comparisons.vote(comparison.id, said, pair=pair, blind=True, voter=voter())
            st.rerun()
