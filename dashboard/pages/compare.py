"""Compare: one prompt, two to eight models side by side."""

import streamlit as st

from core import AimmError
from core.comparison import judging
from core.domain.comparison import Candidate, Comparison
from core.domain.generation import Parameters
from dashboard import formatting, queries
from dashboard.components import answer, receipt, rule_editor, votes
from dashboard.session import manager

mm = manager()
state = st.session_state
SAMPLE = "Explain in three sentences why a small model can be the better choice."
COLUMN_HEIGHT = 300
METRICS = (("latency", "Fastest", False), ("cost", "Cheapest", False), ("length", "Longest", True))


def title_of(candidate: Candidate, hidden: bool) -> str:
    name = "?" if hidden else formatting.plain(candidate.model)
    temperature = candidate.parameters.temperature
    return f"**{candidate.letter}** · {name}" + (
        f" · T {temperature:g}" if temperature is not None and not hidden else ""
    )


def slots_for(comparison: Comparison, hidden: bool) -> list[answer.Slot]:
    slots = []
    for start in range(0, len(comparison.candidates), 4):
        row = comparison.candidates[start : start + 4]
        for candidate, column in zip(row, st.columns(len(row) if start == 0 else 4), strict=False):
            column.markdown(title_of(candidate, hidden))
            slots.append(answer.Slot(column.container(), COLUMN_HEIGHT))
    return slots


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
    errors = state.get("compare_errors", {}) if state.get("compare_id") == comparison.id else {}
    for candidate, slot in zip(comparison.candidates, slots_for(comparison, hidden), strict=True):
        g = candidate.generation
        error = (
            answer.error_text(g)
            if g
            else errors.get(candidate.position) or "There is no answer; the process ended before it."
        )
        line = (
            ""
            if g is None
            else f"TTFT {formatting.seconds(g.ttft_s)} · {len(g.text):,} characters · "
            + (receipt.line(g) if not hidden else f"{formatting.seconds(g.latency_s)}")
        )
        slot.settle(g, error, line)
    verdict(comparison, hidden)
    votes.ask(comparison, hidden)


st.title("Compare")
names = queries.model_names()
with st.form("compare_form", border=True):
    prompt = st.text_area("Prompt", SAMPLE, key="compare_prompt", height=90)
    top = st.columns([3, 1])
    picked = top[0].multiselect(
        "Models (2 to 8)", names, names[-3:], max_selections=8, key="compare_models", select_all=False
    )
    repeats = top[1].number_input(
        "Each", 1, 4, 1, key="compare_repeats", help="How often each model is asked: repeats show its spread."
    )
    low = st.columns([3, 1])
    system = low[0].text_input("System prompt", key="compare_system", placeholder="optional")
    temperature = low[1].number_input(
        "Temperature", 0.0, 2.0, None, 0.1, key="compare_temperature", placeholder="default"
    )
    run = st.form_submit_button("Compare", type="primary", icon=":material/play_arrow:")
rule = rule_editor.edit("compare_rule")
hidden = st.toggle(
    "Hide names", key="compare_hidden", help="Vote on the text alone; the names come back when you switch this off."
)

if run:
    settings = Parameters(temperature=temperature)
    candidates = [
        Candidate(position=0, model=name, parameters=settings) for name in picked for _ in range(int(repeats or 1))
    ]
    try:
        state.compare_id = mm.comparisons.start(prompt or "", candidates, system=system, rule=rule)
        state.compare_errors, state.compare_rule_words = {}, rule_editor.words(rule)
    except AimmError as error:
        st.error(formatting.plain(f"{error.message} {error.hint}"), icon=":material/error:")

if state.get("compare_id"):
    calls = mm.comparisons.calls(state.compare_id)
    comparison = mm.comparisons.get(state.compare_id)
    if calls:
        bar = st.container(horizontal=True)
        for call, candidate in zip(calls, comparison.candidates, strict=True):
            if bar.button(f"Stop {candidate.letter}", key=f"stop_{candidate.position}", icon=":material/stop:"):
                call.cancel()
        answer.watch(calls, slots_for(comparison, hidden))
        state.compare_errors = {at: failure for at, call in enumerate(calls) if (failure := answer.outcome(call)[1])}
        mm.comparisons.settle(state.compare_id)
        st.rerun()
    if rule_editor.words(rule) != state.get("compare_rule_words"):
        comparison = mm.comparisons.settle(comparison.id, rule)
        state.compare_rule_words = rule_editor.words(rule)
    draw_finished(comparison, hidden)

votes.standings()
st.subheader("History")
past = mm.comparisons.latest(50)
if not past:
    st.caption("No comparisons yet.")
    st.stop()
frame = queries.comparisons_frame(past)
event = st.dataframe(
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
