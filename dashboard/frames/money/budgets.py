"""Budgets, where the month stands, and alerts."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pandas as pd
import streamlit as st

from core.domain.alert import Alert
from core.domain.budget import BudgetOutlook, BudgetStatus
from core.formats import zones
from core.monitoring.forecast import Forecast, TooEarly
from dashboard import formatting, tables
from dashboard.process import manager, zone


@st.cache_data(ttl=3, show_spinner=False)
def spent(simulated: bool) -> tuple[Decimal, Decimal]:
    """Known cost of today and of this month; of simulated calls to the hour."""
    known, name = manager().monitoring, zone().key
    if not simulated:
        return known.spend_today(name), known.month(name).spent_usd
    now, local = datetime.now(UTC), zone()
    starts = zones.first_hour(zones.day_of(now, local), local), zones.month_of(now, local)[0]
    today, month = (known.counted(known.window(start, now), simulated=True).cost_usd for start in starts)
    return today, month


@st.cache_data(ttl=30, show_spinner=False)
def month_forecast(simulated: bool) -> Forecast | TooEarly:
    return manager().spend.month(simulated=simulated, timezone=zone().key)


def standing() -> list[BudgetOutlook]:
    """All budgets as they stand; with a forecast only where an alert rests on one."""
    return manager().spend.standing()


def of_month() -> BudgetOutlook | None:
    """The budget that the whole month's spend is held against, with its forecast; the smallest of several."""
    found = [each for each in standing() if (each.status.budget.scope, each.status.budget.period) == ("all", "month")]
    return whole(min(found, key=lambda each: each.status.limit_usd)) if found else None


def whole(outlook: BudgetOutlook) -> BudgetOutlook:
    """One budget with its forecast."""
    return manager().spend.of_budget(outlook.status)


@st.cache_data(ttl=5, show_spinner=False)
def alerts() -> list[Alert]:
    return manager().alerts.all()


@st.cache_data(ttl=30, show_spinner=False)
def why(budget_id: str) -> str:
    """The cause that moved a budget most, in a sentence; may be empty."""
    status = next((each for each in manager().budgets.statuses() if each.budget.id == budget_id), None)
    return "" if status is None else manager().spend.why(status)


def usd_a_day(status: BudgetStatus) -> float:
    """A day's share of a budget; where clocks change, a month is not whole days long."""
    return float(status.limit_usd) / round((status.resets_at - status.starts_at) / timedelta(days=1))


def alerts_table() -> pd.DataFrame:
    """Alerts that are not at rest."""
    return tables.frame(
        [alert for alert in alerts() if alert.state != "ok"],
        {
            "State": lambda alert: alert.state.capitalize(),
            "Budget": lambda alert: formatting.plain(alert.budget_name),
            "At": lambda alert: f"{'Forecast ' if alert.is_forecast else ''}{formatting.percent(alert.threshold, 0)}",
            "Since": lambda alert: formatting.when(alert.since),
            "Text": lambda alert: formatting.plain(alert.text) or formatting.UNKNOWN,
        },
    )


def outbox() -> pd.DataFrame:
    return tables.frame(
        manager().alerts.outbox.latest(),
        {
            "channel": lambda each: each.channel,
            "made": lambda each: each.created_at,
            "delivered": lambda each: each.delivered_at,
            "attempts": lambda each: each.n_attempts,
            "problem": lambda each: each.error,
            "text": lambda each: each.title,
        },
    )
