"""The strip and the banners on top of every page."""

from decimal import Decimal
from typing import NamedTuple

import streamlit as st

from core import clock
from core.domain.budget import BudgetOutlook
from core.monitoring.forecast import Forecast
from dashboard import formatting, process
from dashboard.components import demo
from dashboard.components.budgets import words
from dashboard.frames import monitoring
from dashboard.frames.money import budgets

MAX_BANNERS = 3


class Notice(NamedTuple):
    """A budget's state in a sentence of Markdown. is_over: All of it is spent."""

    text: str
    icon: str
    is_over: bool = False


def strip() -> None:
    """In the sidebar: spend today and this month, where the month is heading, open alerts, and demo data."""
    simulated = not monitoring.has_calls(simulated=False) and monitoring.has_calls(simulated=True)
    kind, forecast = "simulated" if simulated else "real", budgets.month_forecast(simulated)
    today, this_month = budgets.spent(simulated)
    box = st.sidebar.container(key="strip", gap="small")
    box.caption(f"Spend, {kind} calls only")
    box.caption(f"Today **{_money(today)}**", help=f"Known cost of {kind} calls since midnight.")
    text = f"Month **{_money(this_month)}**"
    if isinstance(forecast, Forecast) and forecast.expected_usd:
        expected, low, high = map(_money, (forecast.expected_usd, forecast.lower_usd, forecast.upper_usd))
        text += f" → {expected} by its end"
        note = f"Between {low} and {high} in 8 of 10 months; from {forecast.n_days} days, with the weekly pattern."
    else:
        note = "" if isinstance(forecast, Forecast) else f"No forecast yet: {forecast.reason}"
    box.caption(text, help=f"This calendar month. {formatting.plain(note)}")
    n_firing = sum(alert.state == "firing" for alert in budgets.alerts())
    if n_firing:
        box.page_link(
            "pages/budgets.py", label=f":red[:material/notifications:] Alerts **{n_firing}**",
            help="Budget thresholds that are exceeded.",
        )  # fmt: skip
    box.caption(
        f"As of {formatting.at(clock.now(), '%H:%M')}, {formatting.plain(process.zone().key)}",
        help="The time zone of all times and days, set by AIMM_TIME_ZONE. R draws the page anew.",
    )
    with box:
        demo.switch()


def banners() -> None:
    for notice in notices():
        show = st.error if notice.is_over else st.warning
        show(notice.text, icon=f":material/{notice.icon}:")


def notices() -> list[Notice]:
    """One for each budget that has reached a threshold or is heading past one: the fullest, then how many more."""
    reached = [
        each for each in budgets.standing() if each.status.reached is not None or each.forecast_reached is not None
    ]
    reached.sort(key=lambda each: each.status.share_spent, reverse=True)
    found = [_notice(budgets.whole(outlook)) for outlook in reached[:MAX_BANNERS]]
    if (n := len(reached) - MAX_BANNERS) > 0:
        found.append(Notice(f"{n:,} more budgets have passed a threshold; see Budgets.", "warning"))
    return found


def _notice(outlook: BudgetOutlook) -> Notice:
    status, budget = outlook.status, outlook.status.budget
    scope = "" if budget.scope == "all" else f" for {formatting.plain(words.scope(budget, in_sentence=True))}"
    text = (
        f"**Budget {formatting.plain(budget.name)}{scope}: {formatting.percent(status.share_spent, 0)} spent** – "
        f"{_money(status.spent_usd)} of {_money(status.limit_usd)} {budget.period_text}"
    )
    text += "." if budget.period == "rolling" else f", until {formatting.when(status.resets_at)}."
    if status.reserved_usd:
        text += f" {_money(status.reserved_usd)} more is reserved by calls in progress."
    if outlook.runs_out_on is not None and status.share_spent < 1:
        text += f" Runs out on {outlook.runs_out_on:%d %B}."
    elif outlook.expected_usd is not None and status.share_spent < 1:
        text += f" Forecast: {_money(outlook.expected_usd)}."
    if status.n_unpriced:
        text += f" {status.n_unpriced:,} calls have no known price and are not included."
    if why := budgets.why(status.budget.id):
        text += f" {formatting.plain(why)}"
    if status.share_spent >= 1:
        icon = "notifications" if budget.action == "notify" else "block"
        return Notice(f"{text} {_consequence(outlook)}".strip(), icon, is_over=True)
    return Notice(text, "warning")


def _consequence(outlook: BudgetOutlook) -> str:
    budget = outlook.status.budget
    if budget.action == "stop":
        return "Further calls are refused; free and simulated models keep working. Raise it once on Budgets."
    if budget.action == "downgrade":
        return f"Calls now go to {formatting.plain(budget.downgrade_to)}."
    return "Calls continue: this budget only notifies."


def _money(amount: Decimal | float | None) -> str:
    return formatting.plain(formatting.usd(amount))
