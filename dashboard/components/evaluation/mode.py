"""The switch of Compare: one prompt, or a dataset."""

from typing import Any

import streamlit as st

from dashboard import address
from dashboard.components.evaluation import linked

PROMPT, DATASET = "Prompt", "Dataset"
_SHOWN = {PROMPT: "comparison", DATASET: "evaluation"}
_KEPT = "compare_shown_in_"


def choose(row: Any) -> str:
    """The mode; a link that names a comparison or an evaluation says it too."""
    query, state = st.query_params, st.session_state
    if (asked := query.get("evaluation", "")).startswith("c_"):  # a quick comparison is shown as one
        for name, value in (("comparison", asked), ("evaluation", None), ("compare_mode", None)):
            address.put(name, value)
    if "compare_mode" not in query:
        named = next((name for name, param in _SHOWN.items() if param in query), None)
        if named is not None or state.get("compare_is_filled"):  # another page has just filled in the form
            address.put("compare_mode", None if named in (PROMPT, None) else named)
    before = state.get("compare_mode_now")
    now = linked.control(row, "Compare", "compare_mode", (PROMPT, DATASET), is_told=True)
    if before not in (None, now):  # what the other mode showed is there again when it is come back to
        state[f"{_KEPT}{before}"] = address.value(_SHOWN[before])
        address.put(_SHOWN[before], None)
        if not address.value(_SHOWN[now]):
            address.put(_SHOWN[now], state.get(f"{_KEPT}{now}"))
    state["compare_mode_now"] = now
    return now
