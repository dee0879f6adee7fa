"""Votes on two answers, and what they add up to."""

from typing import Any

import pandas as pd
import streamlit as st

from core.comparison.judging import MIN_DECIDED
from core.domain.comparison import Comparison
from dashboard import formatting, tables
from dashboard.charts.base import Span
from dashboard.charts.compare import win_rate_over_time, win_rates
from dashboard.frames import compare, monitoring
from dashboard.process import manager
from dashboard.visitors.voter import voter

CHOICES = {"a": "{a} is better", "b": "{b} is better", "tie": "Tie", "both_bad": "Both bad"}


def ask(comparison: Comparison) -> None:
    """Vote with the names in sight."""
    able = [candidate for candidate in comparison.candidates if candidate.can_win]
    if len(able) < 2:
        st.caption("A vote needs two complete answers.")
        return
    letters = [candidate.letter for candidate in able]
    row = st.container(horizontal=True, vertical_alignment="bottom")
    a, b = letters[0], letters[1]
    if len(able) > 2:
        a = row.selectbox("Compare", letters, 0, key="pair_a", width=90) or a
        b = row.selectbox("with", letters, 1, key="pair_b", width=90) or b
    pair = ("ABCDEFGH".index(a), "ABCDEFGH".index(b))
    cast = manager().comparisons.voting.of(comparison.id, voter())
    mine = cast.get((min(pair), max(pair)))
    if mine in ("a", "b") and pair[0] > pair[1]:
        mine = "b" if mine == "a" else "a"
    for choice, label in CHOICES.items():
        kind: Any = "primary" if choice == mine else "secondary"
        if row.button(label.format(a=a, b=b), key=f"vote_{choice}", disabled=a == b, type=kind):
            manager().comparisons.vote(comparison.id, choice, pair=pair, voter=voter())  # type: ignore[arg-type]
            st.rerun()
    if mine is not None and mine != "skip":
        row.badge("Your vote – click another one to change it", icon=":material/check:", color="green")


def standings() -> None:
    st.subheader(
        "Win rates",
        help="Share of decided pairs that a contestant (a model with its prompt and parameters) won. Ties do not count."
        " One vote per voter and pair. The interval is Wilson's, 95 %.",
    )
    row = st.container(horizontal=True)
    demo = monitoring.has_demo() and row.toggle("Demo votes", value=not manager().comparisons.votes(), key="votes_demo")
    by_model = row.toggle("Group by model", key="votes_by_model", help="Regardless of prompt and parameters.")
    frame = compare.win_rates(demo, by_model)
    if frame.empty:
        st.caption("No votes yet.")
        return
    few = frame[frame["win rate %"].isna()]
    left, right = st.columns(2, gap="medium")
    with left:
        if len(few) < len(frame):
            st.altair_chart(win_rates(frame))
        for model, decided in few[["model", "decided"]].values:
            missing = MIN_DECIDED - int(decided)
            st.caption(formatting.plain(f"{model}: not enough votes – {decided} decided pairs, {missing} more needed."))
        tables.show(
            frame,
            column_config={
                c: st.column_config.NumberColumn(format="%.1f") for c in ("win rate %", "lower %", "upper %")
            },
        )
        if words := compare.first_shown(demo):
            st.caption(words)
    with right:
        history = compare.win_rate_over_time(demo, by_model)
        if not history.empty:
            st.caption("Win rate over time")
            st.altair_chart(
                win_rate_over_time(history, Span.around("day", history["time"].min(), pd.Timestamp.now("UTC")))
            )
