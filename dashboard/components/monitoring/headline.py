"""The row of numbers on top of Monitoring, each against the period before."""

from collections.abc import Callable
from typing import NamedTuple

import streamlit as st

from core.domain.metrics import MEASURES, Measure, Metrics
from dashboard import formatting

CARD_WIDTH = 158


class Tile(NamedTuple):
    """A number of the row: its label, its text, the value that is compared, and its help."""

    label: str
    text: Callable[[Metrics], str]
    value: Callable[[Metrics], float | None]
    help: str
    rise_is_bad: bool = False


def _cost(m: Metrics) -> str:
    return "unknown" if m.n and m.n_unpriced == m.n else formatting.usd(m.cost_usd)


def _measured(measure: Measure) -> Tile:
    shown = formatting.BY_UNIT[measure.unit]
    return Tile(measure.label, lambda m: shown(measure.of(m)), measure.of, measure.help, measure.rise_is_bad)


TILES = (
    Tile("Requests", lambda m: formatting.count(m.n), lambda m: m.n, "All calls, failed ones too."),
    *(_measured(measure) for measure in MEASURES if measure.label),
    Tile("Cost", _cost, lambda m: float(m.cost_usd), "Known cost in USD.", rise_is_bad=True),
)


def show(now: Metrics, before: Metrics | None) -> None:
    """before: Of the period before; None = the records do not reach back so far."""
    cards = st.container(horizontal=True)
    for tile in TILES:
        change, is_number = _change(tile, now, before)
        cards.metric(
            tile.label,
            tile.text(now),
            change,
            delta_color="off" if not is_number else "inverse" if tile.rise_is_bad else "normal",
            delta_arrow="auto" if is_number else "off",
            border=True,
            width=CARD_WIDTH,
            help=f"{tile.help} Below: compared with the previous period.",
        )
    if now.n_unpriced:
        st.warning(
            f"{now.n_unpriced:,} calls ({formatting.tokens(now.unpriced_tokens)}) without a price are not in the cost.",
            icon=":material/help:",
        )
    if now.n_estimated:
        st.caption(f"{now.n_estimated:,} calls broke off or had no token count; their cost is estimated.")


def _change(tile: Tile, now: Metrics, before: Metrics | None) -> tuple[str, bool]:
    if before is None:
        return "no previous period", False
    if tile.label == "Cost" and (now.n_unpriced or before.n_unpriced):
        return "partly unknown", False
    return formatting.change(tile.value(now), tile.value(before), before.n)
