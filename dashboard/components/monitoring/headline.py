"""The row of numbers on top of Monitoring, each against the period before."""

from collections.abc import Callable

import streamlit as st

from core.domain.metrics import Metrics
from dashboard import formatting

CARD_WIDTH = 158
# label, value, what is compared, is a rise bad, help
_NUMBERS: tuple[tuple[str, Callable[[Metrics], str], Callable[[Metrics], float | None], bool, str], ...] = (
    ("Requests", lambda m: formatting.count(m.n), lambda m: m.n, False, "All calls, failed ones too."),
    (
        "Success rate",
        lambda m: formatting.percent(m.success_rate),
        lambda m: m.success_rate,
        False,
        "Share of calls with a complete answer, stopped ones aside.",
    ),
    (
        "Latency p50",
        lambda m: formatting.seconds(m.p50_s),
        lambda m: m.p50_s,
        True,
        "Half of the successful calls were faster.",
    ),
    (
        "Latency p95",
        lambda m: formatting.seconds(m.p95_s),
        lambda m: m.p95_s,
        True,
        "95 of 100 successful calls were faster.",
    ),
    (
        "First token p50",
        lambda m: formatting.seconds(m.ttft_p50_s),
        lambda m: m.ttft_p50_s,
        True,
        "Half of the calls showed their first text sooner.",
    ),
    (
        "Cost",
        lambda m: "unknown" if m.n and m.n_unpriced == m.n else formatting.usd(m.cost_usd),
        lambda m: float(m.cost_usd),
        True,
        "Known cost in USD.",
    ),
)


def show(now: Metrics, before: Metrics | None) -> None:
    """before: Of the period before; None = the records do not reach back so far."""
    cards = st.container(horizontal=True)
    for label, value, number, rise_is_bad, help_text in _NUMBERS:
        text, is_number = _change(label, now, before, number)
        cards.metric(
            label,
            value(now),
            text,
            delta_color="off" if not is_number else "inverse" if rise_is_bad else "normal",
            delta_arrow="auto" if is_number else "off",
            border=True,
            width=CARD_WIDTH,
            help=f"{help_text} Below: compared with the previous period.",
        )
    if now.n_unpriced:
        st.warning(
            f"{now.n_unpriced:,} calls ({formatting.tokens(now.unpriced_tokens)}) without a price are not in the cost.",
            icon=":material/help:",
        )
    if now.n_estimated:
        st.caption(f"{now.n_estimated:,} calls broke off or had no token count; their cost is estimated.")


def _change(
    label: str, now: Metrics, before: Metrics | None, number: Callable[[Metrics], float | None]
) -> tuple[str, bool]:
    if before is None:
        return "no previous period", False
    if label == "Cost" and (now.n_unpriced or before.n_unpriced):
        return "partly unknown", False
    return formatting.change(number(now), number(before), before.n)
