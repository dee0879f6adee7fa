"""The form of a comparison: prompt, models, rule, spending limit. It folds to one line once a comparison is shown."""

from decimal import Decimal
from typing import Any

import streamlit as st

from core import AimmError
from core.domain.comparison import Comparison, Criterion
from dashboard import formatting
from dashboard.components import clicks, estimates, inputs
from dashboard.components.compare import candidates, rule_editor
from dashboard.components.log import history
from dashboard.process import manager
from dashboard.visitors import allowed

SAMPLE = "Explain in three sentences why a small model can be the better choice."
_IN_TABLE = {"temperature", "max_tokens"}
_TITLE_LETTERS = 90


def show(shown: Comparison | None) -> tuple[str | None, list[Criterion] | None]:
    """Draw it; the id of the comparison that was begun just now, and the rule as it stands (None: it is folded)."""
    if shown is None:
        with st.container(border=True):  # no form: what is typed in one is lost with a change of page
            return _fields()
    with folded(shown, f"{len(shown.candidates)} models · {_cost(shown)}") as box:
        if not box.open:
            return None, None
        if shown.prompt != st.session_state.get("compare_prompt"):
            asked(shown)
        _reuse(shown)
        return _fields()


def folded(shown: Comparison, about: str) -> Any:
    """The line that a comparison's prompt is folded into."""
    prompt = formatting.plain(formatting.short(shown.prompt, _TITLE_LETTERS)) or "Prompt not stored"
    label, key = f"**{prompt}** · {formatting.plain(about)}", f"compare_form_{shown.id}"
    return st.expander(label, icon=":material/edit:", key=key, on_change="rerun")


def asked(comparison: Comparison) -> None:
    """The prompt, as all answers had it."""
    if not comparison.prompt:
        history.missing("The prompt of this comparison", comparison.created_at)
        return
    lines = 1 + comparison.prompt.count("\n") + len(comparison.prompt) // 110
    st.code(comparison.prompt, language=None, wrap_lines=True, height=min(240, 46 + 22 * lines))
    if comparison.system:
        st.caption(f"Shared system prompt: {formatting.plain(formatting.short(comparison.system, 300))}")


def _cost(comparison: Comparison) -> str:
    if comparison.is_running:
        requests = [candidates.request_of(c, comparison.prompt, comparison.system) for c in comparison.candidates]
        return estimates.expected(requests)
    costs = [each.generation.cost_usd for each in comparison.candidates if each.generation]
    known = [cost for cost in costs if cost is not None]
    return "cost unknown" if len(known) < len(costs) else formatting.usd(sum(known, Decimal(0)))


def _fields() -> tuple[str | None, list[Criterion]]:
    st.session_state.setdefault("compare_prompt", SAMPLE)
    prompt = st.text_area("Prompt", key="compare_prompt", height=90, persist_state="session") or ""
    chosen = candidates.table()
    wide, narrow = st.columns([3, 2], vertical_alignment="bottom")
    system = inputs.text(wide, "Shared system prompt", "compare_system", placeholder="optional")
    with narrow:
        estimates.cap_field("compare_cap", "this comparison")
    row = st.container(horizontal=True, vertical_alignment="center")
    blind_help = "Answers appear in shuffled order. Models, costs, times and the winner are shown after you vote."
    is_blind = inputs.switch(row, "Blind", "compare_hidden", blind_help)
    with row:
        rule = rule_editor.edit("compare_rule")
        requests = [candidates.request_of(each, prompt, system) for each in chosen]
        estimates.popover(requests, "compare_estimate")
    row.space("stretch")
    run = row.button(
        "Compare", key="compare_run", type="primary", icon=":material/play_arrow:", shortcut="Ctrl+Enter",
        **allowed.needs("editor"),
    )  # fmt: skip
    cap = estimates.cap("compare_cap")
    try:
        begun = clicks.once(
            run, "compare", (prompt, chosen, system, cap, is_blind),
            lambda: manager().comparisons.start(
                prompt, chosen, system=system, rule=rule, cap_usd=cap, is_blind=is_blind
            ),
        )  # fmt: skip
    except AimmError as error:
        inputs.refused(st, error)
        return None, rule
    return begun, rule


def _reuse(comparison: Comparison) -> None:
    """A button that fills the form with what a comparison asked."""
    is_expressible = all(set(c.parameters.as_dict()) <= _IN_TABLE for c in comparison.candidates)
    if comparison.prompt and is_expressible:
        st.button(
            "Fill in the form with it",
            icon=":material/edit_note:",
            key="compare_reuse",
            on_click=_fill,
            args=(comparison,),
            help="Prompt, system prompts, models and their settings. Nothing is sent yet.",
        )


def _fill(comparison: Comparison) -> None:
    state = st.session_state
    state.compare_prompt, state.compare_system = comparison.prompt, comparison.system or ""
    candidates.fill(comparison.candidates)
