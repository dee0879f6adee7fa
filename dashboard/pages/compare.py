"""Compare: one prompt, two to eight models side by side; or prompts and models on a dataset, with checks."""

import streamlit as st

from core import NotFound
from core.domain.comparison import Comparison
from dashboard import address
from dashboard.components import head
from dashboard.components.compare import form, opening, result, rule_editor, standings
from dashboard.components.evaluation import mode, runs
from dashboard.process import manager
from dashboard.visitors.voter import voter

mm = manager()
state = st.session_state


def opened() -> Comparison | None:
    """The comparison that this page shows; none where another page has just filled in the form."""
    if state.pop("compare_is_filled", False):
        address.put("comparison", None)
    comparison_id = address.value("comparison")
    try:
        return mm.comparisons.get(comparison_id) if comparison_id else None
    except NotFound:  # removed meanwhile, as with the demo
        address.missing("comparison", "comparison")
        return None


def vote_blind(shown: Comparison) -> None:
    """The prompt and the answers: nothing beside them may tell them apart."""
    with form.folded(shown, "vote, and the names appear") as box:
        if box.open:
            form.asked(shown)
    result.draw(shown, is_hidden=True)


def ask_and_show(shown: Comparison | None) -> None:
    begun, rule = form.show(shown)
    if begun is not None:
        opening.show(begun)
    if rule is not None:
        words = rule_editor.words(rule)
        if shown is not None and words != state.get("compare_rule_words", words):
            shown = mm.comparisons.settle(shown.id, rule)
        state.compare_rule_words = words
    if shown is not None:
        result.draw(shown)


row = head.show("Compare")
if mode.choose(row) == mode.DATASET:
    runs.draw(row)
    st.stop()
comparison = opened()
is_hidden = comparison is not None and mm.comparisons.voting.hides_names(comparison, voter())
label, icon = ("Vote later", "arrow_back") if is_hidden else ("New comparison", "add")
if comparison is not None and row.button(label, key="compare_new", type="tertiary", icon=f":material/{icon}:"):
    opening.show(None)
view = opening.view(row, comparison)
if view == "Win rates":
    standings.draw()
elif view == "History":
    opening.history()
elif comparison is not None and is_hidden:
    vote_blind(comparison)
else:
    ask_and_show(comparison)
