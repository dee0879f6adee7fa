"""The form of a comparison: prompt, candidates, rule, spending limit; and the button that starts it."""

import streamlit as st

from core import AimmError
from core.domain.comparison import Comparison, Criterion
from dashboard.components import clicks, estimates, inputs
from dashboard.components.compare import candidates, rule_editor
from dashboard.process import manager

SAMPLE = "Explain in three sentences why a small model can be the better choice."
_IN_TABLE = {"temperature", "max_tokens"}


def show() -> tuple[str | None, list[Criterion]]:
    """Draw it; the id of the comparison that was begun just now, and the rule as it stands."""
    st.session_state.setdefault("compare_prompt", SAMPLE)
    with st.container(border=True):  # no form: what is typed in one is lost with a change of page
        prompt = st.text_area("Prompt", key="compare_prompt", height=90, persist_state="session") or ""
        chosen = candidates.table()
        low = st.columns([3, 1], vertical_alignment="bottom")
        system = inputs.text(low[0], "Shared system prompt", "compare_system", placeholder="optional")
        run = low[1].button("Compare", key="compare_run", type="primary", icon=":material/play_arrow:", width="stretch")
        under = st.columns([3, 2, 2], vertical_alignment="bottom")
        with under[0]:
            estimates.cap_field("compare_cap", "this comparison")
        blind_help = "Answers appear in shuffled order. Models, costs, times and the winner are shown after you vote."
        is_blind = inputs.switch(under[1], "Blind", "compare_hidden", blind_help)
        estimate = under[2].button(
            "Estimate", key="compare_estimate", icon=":material/calculate:", width="stretch", help=estimates.HELP
        )
    if estimate and prompt.strip():
        estimates.several([candidates.request_of(each, prompt, system) for each in chosen])
    rule = rule_editor.edit("compare_rule")
    cap = estimates.cap("compare_cap")
    if not clicks.first(run, "compare", (prompt, chosen, system, cap, is_blind)):
        return None, rule
    try:
        return manager().comparisons.start(
            prompt, chosen, system=system, rule=rule, cap_usd=cap, is_blind=is_blind
        ), rule
    except AimmError as error:
        inputs.refused(st, error)
        return None, rule


def reuse(comparison: Comparison) -> None:
    """A button that fills the form with what a comparison asked."""
    is_expressible = all(set(c.parameters.as_dict()) <= _IN_TABLE for c in comparison.candidates)
    if comparison.prompt and is_expressible:
        st.button(
            "Ask again", icon=":material/replay:", key="compare_reuse", on_click=_fill, args=(comparison,),
            help="Fills in the form. Nothing is sent yet.",
        )  # fmt: skip


def _fill(comparison: Comparison) -> None:
    state = st.session_state
    state.compare_prompt, state.compare_system = comparison.prompt, comparison.system or ""
    candidates.fill(comparison.candidates)
