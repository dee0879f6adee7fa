"""Monitoring's view of money: spend by day, where the month is heading, why it moved, and on what it was spent."""

import streamlit as st

from core.domain.budget import BudgetOutlook
from dashboard import formatting
from dashboard.charts.colours import Mode
from dashboard.charts.spend import bridge, daily_spend, forecast
from dashboard.components import chart_table
from dashboard.components.monitoring import breakdown
from dashboard.frames import budgets, monitoring, spend
from dashboard.frames.monitoring import Range


def show(of: Range, model: str | None, simulated: bool, mode: Mode) -> None:
    budget = None if simulated else _month_budget()
    frame = spend.daily(of, simulated)
    left, right = st.columns(2, gap="medium")
    with left:
        a_day = None if budget is None else budgets.usd_a_day(budget.status)
        text = "Known cost. Hatched: days with unpriced calls, which cost more. Dashed: the month's budget, per day."
        chart_table.show(
            "Spend per day", daily_spend(frame, a_day, spend.day_span(of)), frame, help_text=text, key="daily_spend"
        )
        _unpriced(frame)
    with right:
        path, note = spend.forecast(simulated)
        limit = None if budget is None else float(budget.status.limit_usd)
        if path.empty:
            st.markdown("**This month**")
            st.caption(f"No forecast: {formatting.plain(note)}")
        else:
            text = "Spend since the first of the month (UTC), and its forecast with the weekly pattern."
            chart_table.show(
                "This month", forecast(path, limit, spend.month_span()), path, help_text=text, key="forecast"
            )
            st.caption(formatting.plain(note))
            if budget is not None and budget.runs_out_on is not None:
                st.caption(f"**{formatting.plain(budget.status.budget.name)}** runs out on {budget.runs_out_on:%d %B}.")
    _bridge(of, simulated)
    breakdown.show(of, model, simulated, mode)


def _month_budget() -> BudgetOutlook | None:
    """The budget that the whole month's spend is held against."""
    found = [
        each for each in budgets.standing() if (each.status.budget.scope, each.status.budget.period) == ("all", "month")
    ]
    return budgets.whole(min(found, key=lambda each: each.status.limit_usd)) if found else None


def _unpriced(frame: object) -> None:
    n = int(frame["unpriced calls"].sum())  # type: ignore[index]
    if n:
        n_models = frame[frame["unpriced calls"] > 0]["model"].nunique()  # type: ignore[index]
        line = st.container(horizontal=True, vertical_alignment="center")
        line.caption(f":violet[**Unpriced**] calls: {n:,}, models: {n_models} – not in the totals, and not zero.")
        line.page_link(
            "pages/models.py", label="Set a price", icon=":material/sell:", query_params={"prices_view": "Unpriced"}
        )


def _bridge(of: Range, simulated: bool) -> None:
    found = spend.bridge(of, simulated)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        frame = spend.bridge_steps(found)
        text = "From the previous period's spend to this one's. The parts add up exactly (Shapley values)."
        chart_table.show("What changed against the period before", bridge(frame), frame, help_text=text, key="bridge")
    with right:
        st.markdown("**Summary**")
        if not monitoring.reaches_back(of, simulated):
            st.caption("The records do not cover the whole previous period, which explains most of the change.")
        elif not found.before_usd:
            st.caption("No priced calls in the previous period.")
        elif moved := found.moved_most:
            model, part, usd = moved
            parts = [
                f"**{formatting.plain(model)}**, by *{part}*: {formatting.plain(formatting.usd_change(float(usd)))}"
            ]
            parts.append(
                formatting.plain(f"Overall, spend changed by {formatting.usd_change(float(found.difference_usd))}.")
            )
            st.markdown("  \n".join(parts))
        st.caption(
            "volume: number of calls · mix: which models · input and answer length: tokens per call · cache share: part"
            " of the input read from the vendor's cache · price: dollars per token"
        )
