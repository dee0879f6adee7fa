"""Rules by which an alert fires, stays silent and resolves. Pure.

ok -> pending -> firing -> resolved -> ok. Spend cannot fall within a period, so its thresholds fire at once; a forecast
wavers, so it must hold for a while first. While an alert is firing it does not speak again. A new period starts afresh.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from core.domain.alert import Alert
from core.domain.budget import BudgetOutlook
from core.formats.money import dollars

FORECAST_PENDING = timedelta(minutes=10)
RESOLVED_FOR = timedelta(hours=1)


def due(outlook: BudgetOutlook, period_start: datetime | None, now: datetime) -> list[tuple[Alert, bool | None]]:
    """Each threshold of a budget as an alert at rest, and whether it is passed now; None = there is no forecast."""
    budget = outlook.status.budget
    shares = [(share, False) for share in budget.thresholds] + [(share, True) for share in budget.forecast_thresholds]
    expected = None if outlook.expected_usd is None else float(outlook.expected_usd / outlook.status.limit_usd)
    found: list[tuple[Alert, bool | None]] = []
    for share, is_forecast in shares:
        spent = expected if is_forecast else outlook.status.share_spent
        alert = Alert(
            budget_id=budget.id,
            budget_name=budget.name,
            threshold=share,
            is_forecast=is_forecast,
            state="ok",
            since=now,
            period_start=period_start,
        )
        found.append((alert, None if spent is None else spent >= share))
    return found


def step(alert: Alert, holds: bool | None, period_start: datetime | None, now: datetime) -> Alert:
    """The alert a moment later. A state that did not change keeps its `since`, unless it was reached anew."""
    if holds is None:  # not known: nothing has passed or come back
        return alert
    if alert.period_start != period_start:  # what holds in a new period is passed for the first time there
        alert = replace(alert, state="ok" if holds else alert.state, period_start=period_start)
    if holds and alert.state in ("ok", "resolved"):
        return replace(alert, state="pending" if alert.is_forecast else "firing", since=now)
    if holds and alert.state == "pending" and now - alert.since >= FORECAST_PENDING:
        return replace(alert, state="firing", since=now)
    if not holds and alert.state == "pending":
        return replace(alert, state="ok", since=now)
    if not holds and alert.state == "firing":
        return replace(alert, state="resolved", since=now)
    if not holds and alert.state == "resolved" and now - alert.since >= RESOLVED_FOR:
        return replace(alert, state="ok", since=now)
    return alert


def speaks(before: Alert, after: Alert) -> bool:
    """True if a step is worth a message: the alert fired or resolved, in this period."""
    return after.state in ("firing", "resolved") and (after.state, after.since) != (before.state, before.since)


def is_told(alert: Alert, passed: Sequence[Alert]) -> bool:
    """True for the one alert to send of all that a budget passed at the same moment.

    The highest threshold that spend has passed says it all, and so does the lowest that spend has fallen below;
    a forecast is sent only where spend itself passed none.
    """
    same = [each for each in passed if each.budget_id == alert.budget_id and each.state == alert.state]
    sign = 1 if alert.state == "firing" else -1
    return max(same, key=lambda each: (not each.is_forecast, sign * each.threshold)).id == alert.id


def text_of(alert: Alert, outlook: BudgetOutlook, why: str) -> str:
    """The alert in words, e.g. `Month budget "team" 80 % on day 14 (…)`."""
    status, budget = outlook.status, outlook.status.budget
    if alert.state == "resolved":
        return f"Budget {budget.name!r}: back below {100 * alert.threshold:g}%."
    if alert.is_forecast:
        expected = dollars(outlook.expected_usd) if outlook.expected_usd is not None else "unknown"
        text = f"Budget {budget.name!r} is heading for {expected} of {dollars(status.limit_usd)} {budget.period_text}."
    else:
        text = (
            f"Budget {budget.name!r}: {100 * status.share_spent:.0f}% spent, {dollars(status.spent_usd)} of"
            f" {dollars(status.limit_usd)} {budget.period_text}."
        )
    if outlook.runs_out_on is not None:
        text += f" Runs out on {outlook.runs_out_on.isoformat()}."
    if status.n_unpriced:
        text += f" {status.n_unpriced:,} calls without a price are not in it."
    return f"{text} {why}".strip()
