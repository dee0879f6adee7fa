"""Monitoring's view of money: cost by day, where the month is heading, why it moved, and on what it was spent."""

import streamlit as st

from core.domain.budget import BudgetOutlook
from dashboard import formatting
from dashboard.charts import colours
from dashboard.charts import spend as charts
from dashboard.charts.colours import Mode
from dashboard.components.monitoring import breakdown, headline, plots
from dashboard.formatting import usd
from dashboard.frames import models, monitoring
from dashboard.frames.money import budgets, spend
from dashboard.frames.monitoring import Range


def show(of: Range, model: str | None, simulated: bool, mode: Mode) -> None:
    budget = None if simulated or model else budgets.of_month()
    headline.yesterday(model, simulated)
    _daily(of, model, simulated, mode, budget)
    beside = st.grid("auto", min_column_width=400, gap="large")
    with beside.container():
        _month(simulated, mode, budget)
    with beside.container():
        _bridge(of, simulated, mode)
    breakdown.show(of, model, simulated, mode)


@monitoring.kept
def _drawn(of: Range, model: str | None, simulated: bool, mode: Mode, a_day: float | None) -> charts.Drawn:
    times, by_model = (
        monitoring.over_time(of, model, simulated), monitoring.by_model(of, model, simulated, of.bucket)
    )  # fmt: skip
    return charts.daily(times, by_model, a_day, of.span, colours.INKS[mode], models.colours(mode))


def _daily(of: Range, model: str | None, simulated: bool, mode: Mode, budget: BudgetOutlook | None) -> None:
    a_day = None if budget is None or of.bucket == "hour" else budgets.usd_a_day(budget.status)
    times = monitoring.over_time(of, model, simulated)
    table = monitoring.by_model(of, model, simulated, of.bucket)[
        ["time", "model", "cost $", "requests", "unpriced calls"]
    ]
    dashed = "" if a_day is None else " · dashed: the month's budget, by the day"
    marked = (
        f" · triangle: a{'n hour' if of.bucket == 'hour' else ' day'} with calls without a price, which cost more"
        if times["unpriced calls"].any()
        else ""
    )
    plots.heading(f"Per {of.bucket} · drag to zoom · click a bar for its calls{dashed}{marked}", table, "daily_spend")
    drawn = _drawn(of, model, simulated, mode, a_day)
    plots.draw(drawn, of.span, f"daily_{model}_{simulated}", "Cost by day and model.", simulated, model)
    headline.unpriced(int(times["unpriced calls"].sum()))


def _month(simulated: bool, mode: Mode, budget: BudgetOutlook | None) -> None:
    path, title, note = spend.forecast(simulated)
    if path["spent"].isna().all():
        st.markdown("**This month**")
        st.caption(f"No calls yet. {formatting.plain(note)}")
        return
    limit = None if budget is None else float(budget.status.limit_usd)
    plots.heading("All models, this month · pale: 8 of 10 end there", path, "forecast")
    drawn = charts.month(path, title, limit, spend.month_span(), colours.INKS[mode])
    plots.draw(drawn, spend.month_span(), f"month_{simulated}", "Spend of the month, and its forecast.", simulated)
    if budget is None:
        note += " Budgets count real calls only." if simulated else " No monthly budget for all calls: see Budgets."
    else:
        name = f"**{formatting.plain(budget.status.budget.name)}**, {formatting.plain(usd(budget.status.limit_usd))}"
        note += f" Dashed: budget {name}"
        note += f", runs out on {budget.runs_out_on:%-d %B}." if budget.runs_out_on is not None else "."
    st.caption(note)


def _bridge(of: Range, simulated: bool, mode: Mode) -> None:
    found = spend.bridge(of, simulated)
    if not found.before_usd or not monitoring.reaches_back(of, simulated):
        st.markdown("**What changed the cost**")
        st.caption("The records do not hold the whole period before, so there is nothing to compare with yet.")
        return
    frame = spend.bridge_steps(found)
    plots.heading("All models, against the period before", frame, "bridge")
    title = spend.bridge_title(found)
    with st.container(key="plots_bridge"):
        st.vega_lite_chart(charts.bridge(frame, title, colours.INKS[mode]), width="stretch", key="bridge", alt=title)
    st.caption("Up to the same moment. The parts add up exactly (Shapley values).")
