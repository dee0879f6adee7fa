"""Votes on two answers, and what they add up to."""

import streamlit as st

from core.comparison.judging import MIN_DECIDED
from core.domain.comparison import Comparison
from dashboard import charts, formatting, queries, tables
from dashboard.session import manager

CHOICES = {"a": "{a} is better", "b": "{b} is better", "tie": "Tie", "both_bad": "Both bad"}


def ask(comparison: Comparison, blind: bool) -> None:
    able = [candidate for candidate in comparison.candidates if candidate.can_win]
    if len(able) < 2:
        st.caption("A vote needs two complete answers.")
        return
    letters = [candidate.letter for candidate in able]
    row = st.container(horizontal=True, vertical_alignment="bottom")
    a, b = letters[0], letters[1]
    if len(able) > 2:
        a = row.selectbox("Compare", letters, 0, key="pair_a", width=90)
        b = row.selectbox("with", letters, 1, key="pair_b", width=90)
    for choice, label in CHOICES.items():
        if row.button(label.format(a=a, b=b), key=f"vote_{choice}", disabled=a == b):
            pair = ("ABCDEFGH".index(a or "A"), "ABCDEFGH".index(b or "B"))
            manager().comparisons.vote(comparison.id, choice, pair=pair, blind=blind)  # type: ignore[arg-type]
            st.session_state["compare_voted"] = comparison.id
            st.rerun()
    if st.session_state.get("compare_voted") == comparison.id:
        row.badge("vote counted", icon=":material/check:", color="green")


def standings() -> None:
    st.subheader(
        "Win rates",
        help="Share of decided pairs that a model won in people's votes; ties decide nothing. The interval is Wilson's, 95 %.",
    )
    demo = queries.has_demo() and st.toggle("Demo votes", value=not manager().comparisons.votes(), key="votes_demo")
    frame = queries.win_rates_frame(demo)
    if frame.empty:
        st.caption("No votes yet.")
        return
    few = frame[frame["win rate %"].isna()]
    left, right = st.columns(2, gap="medium")
    with left:
        if len(few) < len(frame):
            st.altair_chart(charts.win_rates(frame))
        for model, decided in few[["model", "decided"]].values:
            missing = MIN_DECIDED - int(decided)
            st.caption(
                formatting.plain(f"{model}: not enough votes – {decided} decided pairs, collect {missing} more.")
            )
        tables.show(
            frame,
            hide_index=True,
            column_config={
                c: st.column_config.NumberColumn(format="%.1f") for c in ("win rate %", "lower %", "upper %")
            },
        )
    with right:
        history = queries.win_rate_over_time(manager().comparisons.votes(demo=demo), MIN_DECIDED)
        if not history.empty:
            st.caption("Win rate over time")
            st.altair_chart(charts.win_rate_over_time(history))
