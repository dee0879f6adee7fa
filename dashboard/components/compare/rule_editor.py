"""The winner rule, visible and editable: criteria in order, each with a tie band. Units are never added."""

from collections.abc import Sequence

import streamlit as st

from core.domain.comparison import Criterion
from dashboard import formatting

LABELS = {
    "cost": "cheapest",
    "latency": "fastest",
    "ttft": "fastest first token",
    "tokens": "fewest output tokens",
    "length": "longest text",
}
_LARGER = {"length"}


def words(rule: Sequence[Criterion]) -> str:
    return ", then ".join(f"{LABELS[c.metric]} (within {formatting.percent(c.tie_share, 0)} is a tie)" for c in rule)


def edit(key: str) -> list[Criterion]:
    with st.expander("Winner rule", icon=":material/rule:"):
        st.caption("Each criterion breaks the ties of the one before. Empty, failed and stopped answers cannot win.")
        first, second, band = st.columns(3)
        one = first.selectbox(
            "First", list(LABELS), 0, format_func=LABELS.__getitem__, key=f"{key}_first", persist_state="session"
        )
        two = second.selectbox(
            "Then",
            ["–", *LABELS],
            2,
            format_func=lambda m: LABELS.get(m, m),
            key=f"{key}_second",
            persist_state="session",
        )
        tie = band.number_input(
            "Tie band (%)",
            0,
            100,
            5,
            key=f"{key}_band",
            persist_state="session",
            help="Values this close to the best count as equal.",
        )
    chosen = [metric for metric in dict.fromkeys((one, two)) if metric in LABELS]
    return [Criterion(metric, (tie or 0) / 100, metric in _LARGER) for metric in chosen]  # type: ignore[arg-type]
