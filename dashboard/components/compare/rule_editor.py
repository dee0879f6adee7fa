"""The winner rule, visible and editable: criteria in order, each with a tie band. Units are never added."""

from collections.abc import Sequence

import streamlit as st

from core.domain.comparison import Criterion, Metric
from dashboard import formatting
from dashboard.components import inputs
from dashboard.visitors import allowed

LABELS: dict[Metric, str] = {
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
    with st.popover("Winner rule", icon=":material/rule:", type="tertiary", **allowed.needs("editor")):
        st.caption("Each criterion breaks the ties of the one before. Empty, failed and stopped answers cannot win.")
        row = st.columns(3)
        first = inputs.choice(row[0], "First", f"{key}_first", list(LABELS), format_func=LABELS.__getitem__)
        then = inputs.choice(
            row[1], "Then", f"{key}_second", ["–", *LABELS], 2, format_func=lambda metric: LABELS.get(metric, metric)
        )
        help_text = "Values this close to the best count as equal."
        tie = inputs.number(row[2], "Tie band (%)", f"{key}_band", (0, 100), 5, help=help_text)
    chosen = [metric for metric in dict.fromkeys((first, then)) if metric in LABELS]
    return [Criterion(metric, (tie or 0) / 100, metric in _LARGER) for metric in chosen]
