"""The row of numbers on top of Monitoring, each with its course and against the period before."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import pandas as pd
import streamlit as st

from core.domain.metrics import FAILED, MEASURES, Measure, Metrics
from dashboard import formatting
from dashboard.components.monitoring import breakdown
from dashboard.formatting import Change
from dashboard.frames import latency
from dashboard.frames.money import budgets, spend
from dashboard.frames.monitoring import Range

# From these changes on a rise is worth a look, and worth an alarm; success in points of a hundred.
NOTABLE, ALARMING = 0.25, 1.0
NOTABLE_POINTS, ALARMING_POINTS = -0.5, -2.0

MOST_POINTS = 30  # of a course


Compared = Literal["rise", "points", "plain"]


class Tile(NamedTuple):
    """A number of the row: its label, its text, the value that is compared, the column of its course, its help.

    compared: rise: a rise is worse; points: a rate, where a fall is worse; plain: neither is.
    """

    label: str
    text: Callable[[Metrics], str]
    value: Callable[[Metrics], float | None]
    column: str
    help: str
    compared: Compared = "plain"


def _cost(m: Metrics) -> str:
    return "unknown" if m.n and m.n_unpriced == m.n else formatting.usd(m.cost_usd)


def _measured(measure: Measure) -> Tile:
    shown = formatting.BY_UNIT[measure.unit]
    compared: Compared = "points" if measure.unit == "%" else "rise" if measure.rise_is_bad else "plain"
    return Tile(measure.label, lambda m: shown(measure.of(m)), measure.of, measure.column, measure.help, compared)


TILES = (
    Tile("Cost", _cost, lambda m: float(m.cost_usd), "cost $", "Known cost in USD.", "rise"),
    Tile("Calls", lambda m: formatting.count(m.n), lambda m: m.n, "requests", "All calls, failed ones too."),
    *(_measured(measure) for measure in MEASURES if measure.label),
    Tile(
        "Tokens",
        lambda m: formatting.count(m.total_tokens),
        lambda m: m.total_tokens,
        "tokens",
        "Input and output, cached and thinking tokens included.",
    ),
)


def show(now: Metrics, before: Metrics | None, times: pd.DataFrame, calls: dict[str, str]) -> None:
    """Draw a tile a number, all of which leads to its calls.

    before: Of the period before; None = the records do not reach back so far. times: A row a bucket.
    calls: The address of the calls in the Log.
    """
    courses = times.assign(tokens=times[["input", "cached", "thinking", "output"]].sum(axis=1))
    together = pd.RangeIndex(len(times)) // -(-len(times) // MOST_POINTS)  # a small chart costs the browser much
    grid = st.grid("auto", min_column_width=150)
    for tile in TILES:
        found = _change(tile, now, before)
        place = grid.container(border=True, height="stretch", key=f"tile_{tile.column}")
        place.metric(
            tile.label, tile.text(now), found.text if found else None, delta_color=_colour(tile, found),
            delta_arrow="off", help=tile.help,
            chart_data=courses[tile.column].astype(float).groupby(together).mean().dropna().tolist() or None,
            chart_type="bar" if tile.column in ("cost $", "requests", "tokens") else "line",
        )  # fmt: skip
        is_rate = tile.compared == "points"
        place.page_link(
            "pages/log.py", label=f"{tile.label}: {'failed calls' if is_rate else 'calls'} in the Log",
            query_params=calls | ({"log_status": FAILED} if is_rate else {}),
        )  # fmt: skip
    unpriced(now.n_unpriced, f" ({formatting.tokens(now.unpriced_tokens)})")
    if now.n_estimated:
        st.caption(f"Calls that broke off or had no token count, so that their cost is estimated: {now.n_estimated:,}.")


def unpriced(n: int, more: str = "") -> None:
    """Draw how many calls have no price, if any, with the way to give them one."""
    if n:
        row, what = st.container(horizontal=True, vertical_alignment="center"), "call" if n == 1 else "calls"
        row.caption(
            f":violet[**Without a price**]: {n:,} {what}{more}, not in the cost, and not zero.", width="content"
        )
        row.page_link(
            "pages/models.py", label="Set a price", icon=":material/sell:", query_params={"prices_view": "Unpriced"}
        )


def yesterday(model: str | None, simulated: bool) -> None:
    """Draw what the last day that is over cost and whether that is usual, as a link to its calls."""
    found = spend.yesterday(model, simulated)
    usd, total = formatting.usd, found.total
    text = f"**Yesterday, {formatting.at(found.window.since, '%a %-d %b')}: {formatting.plain(_cost(total))}** · "
    if total.n_unpriced:
        text += f"without the {total.n_unpriced:,} calls that have no price"
    elif found.usual is None:
        text += "too few days are on record to say if that is usual"
    else:
        (usual, least, most), cost = found.usual, float(total.cost_usd)
        reach = formatting.plain(f"{usd(least)} – {usd(most)}")
        if least <= cost <= most:
            text += f"usual: the {found.like} cost {reach}"
        else:
            change = formatting.change(cost, usual, formatting.FEW, formatting.FEW)
            said = f"{'more' if cost > usual else 'less'} than usual" + (f", {change.text}" if change else "")
            said = f":{of_rise(change.size)}[{said}]" if change else said
            text += f"{said} · the {found.like}: {reach}, half of them under {formatting.plain(usd(usual))}"
    st.page_link(
        "pages/log.py", label=text, icon=":material/today:",
        query_params=breakdown.query_of(found.window, simulated, model=model),
    )  # fmt: skip


def speed(of: Range, model: str | None, simulated: bool) -> None:
    """Draw how latency moved and why, as a link to the calls that show it."""
    told = latency.moved(of, model, simulated)
    if told is not None:
        text = f"**Latency p95 {formatting.plain(told.text).replace(' · ', '** · ', 1)}"
        st.page_link(
            "pages/log.py", label=text, icon=":material/speed:",
            query_params=breakdown.query_of(told.window, simulated, model=told.model or model, **told.filters),
        )  # fmt: skip


def month(simulated: bool) -> None:
    """Draw what this month has cost and where it is heading, against its budget, as a link to the chart of it."""
    _, title, note = spend.forecast(simulated)
    spent, _, expected = map(formatting.plain, title.replace(" (", " (in 8 of 10 cases ").partition(" · "))
    text = f"**{spent} so far** · {expected or note}"
    if (budget := None if simulated else budgets.of_month()) is not None:
        status = budget.status
        limit, share = formatting.plain(formatting.usd(status.limit_usd)), formatting.percent(status.share_spent, 0)
        text += f" · {share} of the budget {formatting.plain(status.budget.name)}, {limit}"
        if budget.expected_usd is not None:
            ends = budget.runs_out_on
            text += f", which runs out on {ends:%-d %b}" if ends else ", which is expected to hold"
    elif not budgets.standing():
        text += " · no budget is set"
    st.page_link(
        "pages/monitoring.py", label=text, icon=":material/trending_up:", query_params={"monitor_view": "Spend"}
    )


def _change(tile: Tile, now: Metrics, before: Metrics | None) -> Change | None:
    if before is None or (tile.label == "Cost" and (now.n_unpriced or before.n_unpriced)):
        return None
    values = tile.value(now), tile.value(before)
    return formatting.change(*values, now.n, before.n, in_points=tile.compared == "points")


def _colour(tile: Tile, found: Change | None) -> Literal["gray", "orange", "red"]:
    if found is None or tile.compared == "plain":
        return "gray"
    if tile.compared == "points":
        return "red" if found.size <= ALARMING_POINTS else "orange" if found.size <= NOTABLE_POINTS else "gray"
    return of_rise(found.size)


def of_rise(size: float) -> Literal["gray", "orange", "red"]:
    """The colour of a change that is worse the larger it is."""
    return "red" if size >= ALARMING else "orange" if size >= NOTABLE else "gray"
