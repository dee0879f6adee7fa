"""Compare: one prompt, two to eight models side by side."""

import streamlit as st

from core import AimmError
from core.comparison import judging
from core.domain.comparison import Comparison
from dashboard import formatting, queries, tables
from dashboard.components import answer, candidates, estimates, receipt, rule_editor, votes
from dashboard.session import manager

mm = manager()
state = st.session_state
SAMPLE = "Explain in three sentences why a small model can be the better choice."
METRICS = (("latency", "Fastest", False), ("cost", "Cheapest", False), ("length", "Longest", True))


def verdict(comparison: Comparison, hidden: bool) -> None:
    crowned = [
        f"{word} **{best.letter}**" + ("" if hidden else f" ({formatting.plain(best.model)})")
        for metric, word, larger in METRICS
        if (best := judging.sole(comparison.candidates, metric, larger_is_better=larger)) is not None  # type: ignore[arg-type]
    ]
    st.markdown(" · ".join(crowned) if crowned else "No single fastest, cheapest or longest answer.")
    winner = next((c for c in comparison.candidates if c.position == comparison.winner), None)
    rule = rule_editor.words(comparison.rule)
    if winner is None:
        st.caption(f"No winner by the rule: {rule}.")
    else:
        st.success(
            f"By the rule **{winner.letter}** wins{'' if hidden else ' – ' + formatting.plain(winner.model)}: {rule}.",
            icon=":material/emoji_events:",
        )


def draw_finished(comparison: Comparison, hidden: bool) -> None:
    errors = {at: answer.outcome(call)[1] for at, call in enumerate(mm.comparisons.calls(comparison.id))}
    for candidate, slot in zip(comparison.candidates, candidates.slots(comparison, hidden), strict=True):
        g = candidate.generation
        error = (
            answer.error_text(g)
            if g
            else errors.get(candidate.position) or "There is no answer; the process ended before it."
        )
        slot.settle(g, error, receipt.line_beside_others(g, hidden) if g else "")
        if g is not None and not hidden:
            with slot.place:
                receipt.button(g, f"receipt_{comparison.id}_{candidate.position}")
    verdict(comparison, hidden)
    votes.ask(comparison, hidden)


st.title("Compare")
names = queries.model_names()
with st.form("compare_form", border=True):
    prompt = st.text_area("Prompt", SAMPLE, key="compare_prompt", height=90)
    chosen = candidates.table(names)
    low = st.columns([3, 1], vertical_alignment="bottom")
    system = low[0].text_input("System prompt for all", key="compare_system", placeholder="optional")
    run = low[1].form_submit_button("Compare", type="primary", icon=":material/play_arrow:", width="stretch")
    cap_place, estimate_place = st.columns([3, 1], vertical_alignment="bottom")
    with cap_place:
        estimates.cap_field("compare_cap", "all answers together")
    estimate = estimate_place.form_submit_button(
        "Estimate", icon=":material/calculate:", width="stretch", help=estimates.HELP
    )
if estimate and prompt and prompt.strip():
    estimates.several([candidates.request_of(each, prompt, system) for each in chosen])
rule = rule_editor.edit("compare_rule")
hidden = st.toggle(
    "Hide names", key="compare_hidden", help="Vote on the text alone; the names come back when you switch this off."
)

if run:
    try:
        state.compare_id = mm.comparisons.start(
            prompt or "", chosen, system=system, rule=rule, cap_usd=estimates.cap("compare_cap")
        )
        state.compare_rule_words = rule_editor.words(rule)
    except AimmError as error:
        st.error(formatting.plain(f"{error.message} {error.hint}"), icon=":material/error:")

if state.get("compare_id"):
    calls = mm.comparisons.calls(state.compare_id)
    comparison = mm.comparisons.get(state.compare_id)
    if mm.comparisons.is_running(state.compare_id):
        bar = st.container(horizontal=True)
        for call, candidate in zip(calls, comparison.candidates, strict=True):
            if bar.button(f"Stop {candidate.letter}", key=f"stop_{candidate.position}", icon=":material/stop:"):
                call.cancel()
        answer.watch(calls, candidates.slots(comparison, hidden))
        mm.comparisons.settle(state.compare_id)
        st.rerun()
    if rule_editor.words(rule) != state.get("compare_rule_words"):
        comparison = mm.comparisons.settle(comparison.id, rule)
        state.compare_rule_words = rule_editor.words(rule)
    draw_finished(comparison, hidden)
    if any(call.error is not None and call.error.code in estimates.OUT_OF_MONEY for call in calls) and st.button(
        "Ask the paused ones with the cap as it is now", icon=":material/play_arrow:", key="compare_resume"
    ):
        mm.comparisons.resume(comparison.id, cap_usd=estimates.cap("compare_cap"))
        st.rerun()

votes.standings()
st.subheader("History")
past = mm.comparisons.latest(50)
if not past:
    st.caption("No comparisons yet.")
    st.stop()
frame = queries.comparisons_frame(past)
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
    state.compare_rule_words = rule_editor.words(rule)
    st.rerun()
