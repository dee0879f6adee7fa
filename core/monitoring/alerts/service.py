"""Alerts in step with the budgets."""

from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from core import clock
from core.budgets import periods
from core.domain.alert import Alert
from core.domain.budget import BudgetOutlook
from core.formats.money import to_nano
from core.monitoring.alerts.outbox import Outbox
from core.monitoring.alerts.rules import due, is_told, speaks, step, text_of
from core.monitoring.spend import SpendService
from core.storage import alerts as store
from core.storage.alert_rules import is_silenced
from core.storage.alerts import AlertStore
from core.storage.engine.database import Connection, Database
from core.storage.engine.writer import Writer

Wanted = dict[str, tuple[Alert, bool | None, BudgetOutlook]]  # by the alert's id: at rest, and whether it holds


class AlertService:
    """outbox: Where an alert's message is put, and from where it is sent."""

    def __init__(self, database: Database, writer: Writer, spend: SpendService, outbox: Outbox) -> None:
        self._store = AlertStore(database)
        self._writer = writer
        self._spend = spend
        self.outbox = outbox

    def all(self) -> list[Alert]:
        """All alerts, the latest change first."""
        return self._store.all()

    def evaluate(self) -> list[Alert]:
        """Bring all alerts up to date; returns those that fired or resolved just now."""
        now = clock.now()
        wanted = self._wanted(now)
        known = {alert.id: alert for alert in self._store.all()}
        changing = _changing(known, wanted, now)
        if not changing and (known.keys() == wanted.keys() or not wanted):
            return []
        words = {
            id_: (self._spend.of_budget(each.status), self._spend.why(each.status)) for id_, each in changing.items()
        }
        spoken: list[Alert] = self._writer.run(partial(self._bring, wanted=wanted, words=words, now=now))
        return spoken

    def _wanted(self, now: datetime) -> Wanted:
        outlooks = self._spend.standing()
        if any(outlook.status.resets_at <= now for outlook in outlooks):
            return {}  # read a moment before its period ended: that spend is not the new period's
        wanted: Wanted = {}
        for outlook in outlooks:
            budget = outlook.status.budget
            # A rolling one has no periods: its alert stays until spend falls below its threshold.
            start = None if budget.period == "rolling" else periods.window(budget, now)[0]
            for alert, holds in due(outlook, start, now):
                wanted[alert.id] = alert, holds, outlook
        return wanted

    def _bring(
        self, connection: Connection, *, wanted: Wanted, words: dict[str, tuple[BudgetOutlook, str]], now: datetime
    ) -> list[Alert]:
        # Read again inside: of two processes that see a threshold passed, one speaks.
        current = {alert.id: alert for alert in store.read_all(connection)}
        store.drop(connection, [id_ for id_ in current if id_ not in wanted])
        passed: list[Alert] = []
        for id_, (fresh, holds, outlook) in wanted.items():
            before = current.get(id_, fresh)
            after = step(before, holds, fresh.period_start, now)
            if after == before and id_ in current:
                continue
            if speaks(before, after):
                if is_silenced(connection, fresh.budget_name, now):
                    continue  # it stays as it was told last, and speaks at the end of the silence if it still holds
                after = replace(after, text=text_of(after, *words.get(fresh.budget_id, (outlook, ""))))
                passed.append(after)
            current[id_] = after
            store.put(connection, after)
        spoken = [alert for alert in passed if is_told(alert, passed)]
        for alert in spoken:
            outlook = words.get(alert.budget_id, (wanted[alert.id][2], ""))[0]
            firing = any(each.state == "firing" for each in current.values() if each.budget_id == alert.budget_id)
            self.outbox.enqueue(connection, _payload(alert, outlook, is_open=firing), now)
        return spoken


def _changing(known: dict[str, Alert], wanted: Wanted, now: datetime) -> dict[str, BudgetOutlook]:
    """The budgets of which an alert changes its state, by id."""
    return {
        fresh.budget_id: outlook
        for id_, (fresh, holds, outlook) in wanted.items()
        if step(known.get(id_, fresh), holds, fresh.period_start, now) != known.get(id_, fresh)
    }


def _payload(alert: Alert, outlook: BudgetOutlook, *, is_open: bool) -> dict[str, Any]:
    """The webhook's JSON; money in US dollars as text, exact. is_open: A threshold of the budget is still passed."""
    status = outlook.status
    return {
        "event": f"budget.{alert.state}",
        "text": alert.text,
        "at": alert.since.isoformat(),
        "budget": {"id": alert.budget_id, "name": alert.budget_name, "scope": status.budget.scope},
        "threshold": alert.threshold,
        "of_forecast": alert.is_forecast,
        "spent_nano_usd": to_nano(status.spent_usd),
        "limit_nano_usd": to_nano(status.limit_usd),
        "expected_usd": None if outlook.expected_usd is None else str(outlook.expected_usd),
        "resets_at": status.resets_at.isoformat(),
        "incident": {
            "key": f"budget:{alert.budget_id}",
            "is_open": is_open,
            "severity": "critical" if status.share_spent >= 1 else "warning",
        },
    }
