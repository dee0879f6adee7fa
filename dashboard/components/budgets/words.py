"""Budgets in words: the calls that one covers, its period, and its action at the limit."""

from datetime import timedelta

from core.domain.budget import Budget, BudgetOutlook, BudgetStatus
from dashboard import formatting, process
from dashboard.frames import log


def scope(budget: Budget, *, in_sentence: bool = False) -> str:
    """All calls, Model gpt-5-mini, Key ci."""
    kind, value = budget.scope_kind, budget.scope_value
    text = f"{kind} {log.key_labels().get(value, value)}" if value else "all calls"
    return text if in_sentence else text[:1].upper() + text[1:]


def searched(budget: Budget) -> str:
    """The text in which a search looks."""
    return f"{budget.name} {budget.scope} {scope(budget)}"


def action(status: BudgetStatus) -> str:
    budget, is_over = status.budget, status.spent_usd >= status.limit_usd
    if budget.action == "stop":
        return "Calls are refused" if status.is_refusing else "Refuses calls at the limit"
    if budget.action == "downgrade":
        return f"{'Calls go' if is_over else 'Sends calls at the limit'} to {budget.downgrade_to}"
    return "Notifies only"


def period(budget: Budget) -> str:
    """Today, This month, In the last 3 days."""
    text = "today" if budget.period == "day" else budget.period_text
    return text[:1].upper() + text[1:]


def resets(status: BudgetStatus) -> str:
    if status.budget.period == "rolling":
        return "The oldest hour falls out each hour"
    zone = status.budget.timezone
    text = f"Resets {formatting.at(status.resets_at, '%-d %b %H:%M')}"
    return text if zone == process.zone().key else f"{text}, midnight in {zone}"


def forecast(outlook: BudgetOutlook) -> tuple[str, str]:
    """The expected spend at the period's end and its range; or a dash and why there is none."""
    if outlook.expected_usd is None or outlook.interval_usd is None:
        return formatting.UNKNOWN, outlook.reason
    low, high = (formatting.usd(each) for each in outlook.interval_usd)
    last = outlook.status.resets_at - timedelta(seconds=1)  # its last day, as charts and Home say it
    by = f"{formatting.usd(outlook.expected_usd)} by {formatting.at(last, '%-d %b')}"
    return by, f"8 in 10: {low} – {high}"
