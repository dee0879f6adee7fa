"""The strip and the banners on top of every page."""

import streamlit as st

from core.domain.budget import BudgetStatus
from dashboard import formatting, queries
from dashboard.components import demo as demo_data
from dashboard.session import manager


def strip() -> None:
    """Spend today and this month, and whether demo data is shown."""
    month = queries.spend()
    today, this_month, demo = st.columns([1, 2, 1.4], vertical_alignment="center")
    today.caption(
        f"Today **{_money(queries.spend_today())}**",
        help="Known cost of real calls since midnight UTC. Simulated calls are left out.",
    )
    text = f"Month **{_money(month.spent_usd)}**"
    if month.projected_usd is not None and month.spent_usd:
        text += f" → about {_money(month.projected_usd)} at its end"
    this_month.caption(
        text,
        help="This calendar month (UTC). The projection goes on at the average so far; before a tenth of the month is over, none is made.",
    )
    with demo.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center"):
        demo_data.switch()


def banners() -> None:
    """A line for each budget that has reached a threshold."""
    for status in manager().budgets.statuses():
        if status.reached is not None:
            _banner(status)


def _banner(status: BudgetStatus) -> None:
    budget = status.budget
    scope = "" if budget.scope == "all" else f" for {formatting.plain(budget.scope.removeprefix('model:'))}"
    text = (
        f"**Budget {formatting.plain(budget.name)}{scope}: {formatting.percent(status.share_spent, 0)} spent** – "
        f"{_money(status.spent_usd)} of {_money(budget.limit_usd)} this {budget.period}, until {formatting.when(status.resets_at)}."
    )
    if status.projected_usd is not None:
        text += f" At this rate {_money(status.projected_usd)} by then."
    if status.n_unpriced:
        text += f" {status.n_unpriced:,} calls have no known price and are not in it."
    if status.share_spent >= 1:
        more = " Further calls are refused; simulated models keep working." if budget.action == "stop" else ""
        st.error(text + more, icon=":material/block:")
    else:
        st.warning(text, icon=":material/warning:")


def _money(amount: object) -> str:
    # A dollar sign starts a formula in Markdown.
    return formatting.usd(amount).replace("$", "\\$")  # type: ignore[arg-type]
