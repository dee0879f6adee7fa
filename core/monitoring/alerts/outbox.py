"""Messages on their way out: written down with what they tell of, then sent; a dead channel loses none of them."""

import logging
import random
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from core import clock
from core.acting import require
from core.clock import to_us
from core.domain.alert import Delivery
from core.errors import InvalidRequest
from core.monitoring.alerts.delivery import Channels, DeliveryFailed
from core.storage import alerts as store
from core.storage.alerts import AlertStore
from core.storage.engine.database import Connection, Database
from core.storage.engine.writer import Work, Writer

logger = logging.getLogger(__name__)

CLAIM = timedelta(seconds=60)
FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=15), timedelta(hours=1)


# Whether rules tell of an event in its place: (connection, payload, now).
TakeOver = Callable[[Connection, dict[str, Any], datetime], bool]


class Outbox:
    """Messages for the channels that are set up. take_over: Set by the rules, which tell of their kinds themselves."""

    def __init__(self, database: Database, writer: Writer, channels: Channels) -> None:
        self._store = AlertStore(database)
        self._writer = writer
        self.channels = channels
        self._rng = random.Random()
        self.take_over: TakeOver = lambda *_: False

    def latest(self) -> list[Delivery]:
        """The latest messages, newest first: delivered, waiting, and why one could not be delivered yet."""
        return self._store.outbox()

    def enqueue(
        self, connection: Connection, payload: dict[str, Any], now: datetime, channels: Sequence[str] = ()
    ) -> None:
        """Write down a message, in the transaction of what it tells of. channels: Empty = all that are set up."""
        store.enqueue(connection, channels or self.channels.names, payload, to_us(now))

    def tell(self, event: str, text: str, **fields: Any) -> Work:
        """Work that writes down a message of an event. fields: The rest of its payload."""
        now = clock.now()
        payload = {"event": event, "text": text, "at": now.isoformat(), **fields}

        def work(connection: Connection) -> None:
            if not self.take_over(connection, payload, now):
                store.tell(connection, self.channels.names, payload, to_us(now))

        return work

    def deliver(self) -> int:
        """Send what is due; returns how many messages arrived. What did not is tried again, later and later."""
        n = 0
        for id_, channel, payload, n_attempts in self._store.waiting(clock.now_us()):
            now = clock.now()
            claim = partial(store.claim, delivery_id=id_, now_us=to_us(now), until_us=to_us(now + CLAIM))
            if not self._writer.run(claim):
                continue
            try:
                self.channels.send(channel, payload)
            except DeliveryFailed as error:
                wait = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(n_attempts, 10)) * self._rng.uniform(0.8, 1.2)
                text, next_us = str(error), to_us(clock.now() + wait)
                self._writer.run(partial(store.failed, delivery_id=id_, error=text, next_us=next_us))
                logger.warning("an alert to %s could not be delivered: %s", channel, text)
            else:
                self._writer.run(partial(store.delivered, delivery_id=id_, now_us=clock.now_us()))
                n += 1
        return n

    def test(self, channel: str) -> str:
        """Send a test message now; returns what went wrong, in words; empty = it arrived.

        Raises:
            InvalidRequest: The channel is not set up. Forbidden.
        """
        require("editor", "send test messages")
        if not self.channels.has(channel):
            known = ", ".join(self.channels.names) or "none"
            raise InvalidRequest(f"{channel[:80]} is not set up (set up: {known}); see .env.example.", param="channel")
        text = "AI Model Manager: this is a test. Alerts will arrive here."
        try:
            self.channels.send(channel, {"event": "test", "text": text, "at": clock.now().isoformat()})
        except DeliveryFailed as error:
            return str(error)
        return ""
