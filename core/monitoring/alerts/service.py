"""Keeps alerts in step with the budgets and gets their messages out; a dead channel loses none of them."""

import logging
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from core.budgets import periods
from core.clock import to_us
from core.domain.alert import Alert, Channel, Delivery
from core.domain.budget import BudgetOutlook
from core.errors import InvalidRequest
from core.monitoring.alerts.delivery import Channels, DeliveryFailed
from core.monitoring.alerts.rules import due, is_told, speaks, step, text_of
from core.monitoring.spend import SpendService
from core.pricing.receipt import to_nano
from core.storage import alerts as store
from core.storage.alerts import AlertStore
from core.storage.engine.database import Connection, Database
from core.storage.engine.writer import Work, Writer

logger = logging.getLogger(__name__)

Wanted = dict[str, tuple[Alert, bool | None, BudgetOutlook]]  # by the alert's id: at rest, and whether it holds

CLAIM = timedelta(seconds=60)
FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=15), timedelta(hours=1)


class AlertService:
    def __init__(
        self, database: Database, writer: Writer, spend: SpendService, channels: Channels, now: Callable[[], datetime]
    ) -> None:
        self._store = AlertStore(database)
        self._writer = writer
        self._spend = spend
        self.channels = channels
        self._now = now
        self._rng = random.Random()

    def all(self) -> list[Alert]:
        """All alerts, the latest change first."""
        return self._store.all()

    def outbox(self) -> list[Delivery]:
        """The latest messages, newest first: delivered, waiting, and why one could not be delivered yet."""
        return self._store.outbox()

    def evaluate(self) -> list[Alert]:
        """Bring all alerts up to date; returns those that fired or resolved just now."""
        now = self._now()
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
            bucket = periods.span_us(outlook.status.budget, to_us(now))[0]
            if outlook.status.budget.period == "rolling":
                bucket = 0  # it has no periods: an alert stays until spend falls below its threshold
            for alert, holds in due(outlook, bucket, now):
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
            after = step(before, holds, fresh.bucket_us, now)
            if after == before and id_ in current:
                continue
            if speaks(before, after):
                after = replace(after, text=text_of(after, *words.get(fresh.budget_id, (outlook, ""))))
                passed.append(after)
            store.put(connection, after)
        spoken = [alert for alert in passed if is_told(alert, passed)]
        for alert in spoken:
            outlook = words.get(alert.budget_id, (wanted[alert.id][2], ""))[0]
            store.enqueue(connection, self.channels.names, _payload(alert, outlook), to_us(now))
        return spoken

    def tell(self, event: str, text: str, **fields: Any) -> Work:
        """Work that tells of something else than a budget, in the transaction that writes it down. fields: What it is of."""
        now = self._now()
        payload = {"event": event, "text": text, "at": now.isoformat(), **fields}
        return lambda connection: store.tell(connection, self.channels.names, payload, to_us(now))

    def deliver(self) -> int:
        """Send what is due; returns how many messages arrived. What did not is tried again, later and later."""
        n = 0
        for id_, channel, payload, n_attempts in self._store.waiting(to_us(self._now())):
            now = self._now()
            if not self._writer.run(
                partial(store.claim, delivery_id=id_, now_us=to_us(now), until_us=to_us(now + CLAIM))
            ):
                continue
            try:
                self.channels.send(channel, payload)
            except DeliveryFailed as error:
                wait = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(n_attempts, 10)) * self._rng.uniform(0.8, 1.2)
                text, next_us = str(error), to_us(self._now() + wait)
                self._writer.run(partial(store.failed, delivery_id=id_, error=text, next_us=next_us))
                logger.warning("an alert to %s could not be delivered: %s", channel, text)
            else:
                self._writer.run(partial(store.delivered, delivery_id=id_, now_us=to_us(self._now())))
                n += 1
        return n

    def test(self, channel: Channel) -> str:
        """Send a test message now; returns what went wrong, in words; empty = it arrived.

        Raises:
            InvalidRequest: The channel is not set up.
        """
        if channel not in self.channels.names:
            raise InvalidRequest(f"{channel} is not set up; see .env.example.")
        text = "AI Model Manager: this is a test. Alerts of budgets will arrive here."
        try:
            self.channels.send(channel, {"event": "test", "text": text, "at": self._now().isoformat()})
        except DeliveryFailed as error:
            return str(error)
        return ""


def _changing(known: dict[str, Alert], wanted: Wanted, now: datetime) -> dict[str, BudgetOutlook]:
    """The budgets of which an alert changes its state, by id."""
    return {
        fresh.budget_id: outlook
        for id_, (fresh, holds, outlook) in wanted.items()
        if step(known.get(id_, fresh), holds, fresh.bucket_us, now) != known.get(id_, fresh)
    }


def _payload(alert: Alert, outlook: BudgetOutlook) -> dict[str, Any]:
    """The webhook's JSON; money in US dollars as text, exact."""
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
    }
