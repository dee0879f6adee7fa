"""A comparison with its names: what was asked, the answers, who was best, and the vote."""

import streamlit as st

from core.comparison import judging
from core.domain.comparison import Candidate, Comparison, Metric
from dashboard import formatting
from dashboard.components import answer, receipt
from dashboard.components.compare import blind, candidates, controls, form, rule_editor, votes
from dashboard.process import manager

METRICS: tuple[tuple[Metric, str, bool], ...] = (
    ("latency", "Fastest", False),
    ("cost", "Cheapest", False),
    ("length", "Longest", True),
)
_LOST = "No answer: the process ended first."


def asked(comparison: Comparison) -> None:
    """The prompt, as all answers had it."""
    if not comparison.prompt:
        st.caption("The prompt of this comparison was not stored.")
        return
    lines = 1 + comparison.prompt.count("\n") + len(comparison.prompt) // 110
    st.code(comparison.prompt, language=None, wrap_lines=True, height=min(240, 46 + 22 * lines))
    if comparison.system:
        st.caption(f"Shared system prompt: {formatting.plain(formatting.short(comparison.system, 300))}")


def draw(comparison: Comparison) -> None:
    if comparison.is_running and not manager().comparisons.is_here(comparison):
        controls.stop(comparison, st)
        blind.wait(comparison.id, "Another process is running this comparison.")
        return
    if comparison.is_running:
        _watch(comparison)
        st.rerun()
    for candidate, slot in zip(comparison.candidates, candidates.slots(comparison), strict=True):
        g = candidate.generation
        slot.settle(g, _error(candidate), receipt.line_beside_others(g) if g else "")
        with slot.place:
            if candidate.system:
                st.caption(f"System prompt: {formatting.plain(formatting.short(candidate.system, 200))}")
            if g is not None:
                receipt.button(g, f"receipt_{comparison.id}_{candidate.position}")
    _verdict(comparison)
    votes.ask(comparison)
    row = st.container(horizontal=True)
    with row:
        form.reuse(comparison)
    controls.resume(comparison, row)


def _watch(comparison: Comparison) -> None:
    calls = manager().comparisons.calls(comparison.id)
    bar = st.container(horizontal=True)
    controls.stop(comparison, bar)
    for position, call in calls.items():
        letter = comparison.candidates[position].letter
        if bar.button(f"Stop {letter}", key=f"stop_{position}", icon=":material/stop:"):
            call.cancel()
    slots = candidates.slots(comparison)
    for position, slot in enumerate(slots):
        if position not in calls and (g := comparison.candidates[position].generation):
            slot.settle(g, answer.error_text(g), "")
    answer.watch(list(calls.values()), [slots[position] for position in calls])
    manager().comparisons.settle(comparison.id)


def _error(candidate: Candidate) -> str:
    g = candidate.generation
    if g is not None:
        call = manager().calls.running(g.id)
        return answer.error_text(g, call.error if call else None)
    return candidate.error or _LOST


def _verdict(comparison: Comparison) -> None:
    if comparison.status == "interrupted":
        text = "This comparison was interrupted: its process ended before all answers had arrived."
        st.warning(text, icon=":material/link_off:")
    if len({c.contestant for c in comparison.candidates}) < 2:
        st.caption("The same model with the same settings: differences are chance, so no winner is named.")
        return
    crowned = [
        f"{word} {_names(comparison, best)}"
        for metric, word, larger in METRICS
        if (best := judging.sole(comparison.candidates, metric, larger_is_better=larger)) is not None
    ]
    st.markdown(" · ".join(crowned) if crowned else "No single fastest, cheapest or longest answer.")
    winner = next((c for c in comparison.candidates if c.position == comparison.winner), None)
    rule = rule_editor.words(comparison.rule)
    if winner is None:
        st.caption(f"No winner by the rule: {rule}.")
    else:
        st.success(f"Winner by rule: {_names(comparison, winner)} – {rule}.", icon=":material/emoji_events:")


def _names(comparison: Comparison, best: Candidate) -> str:
    """The letters of all its answers, and the contestant."""
    letters = [c.letter for c in comparison.candidates if c.can_win and c.contestant == best.contestant]
    return f"**{', '.join(letters)}** ({formatting.plain(best.contestant.label)})"
