"""Leaves a model alone that fails again and again, so that callers hear at once and the vendor can recover.

Only faults of the vendor count: what is down, breaks, hangs or cannot be read. A wrong request, a missing model, a bad key and
a rate limit say nothing about the next call. After a while one call may try; the others wait for what it finds.
"""

import logging
import threading

from core import clock
from core.errors import AimmError, CircuitOpen, ProviderError
from core.storage.breakers import BreakerStore, Opening
from core.storage.database import Database
from core.storage.writer import Writer

logger = logging.getLogger(__name__)

THRESHOLD = 10  # failed attempts in a row
OPEN_S, LONGEST_S = 10, 300
PROBE_S = 30  # how long the one that tries may take
Name = tuple[str, str]


class Breakers:
    """One breaker a (provider, model). What opens or closes here is written down for other processes, which `refresh`."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._store = BreakerStore(database)
        self._writer = writer
        self._failures: dict[Name, int] = {}
        self._open: dict[Name, Opening] = self._store.all()
        self._trying: set[Name] = set()
        self._lock = threading.Lock()

    def check(self, provider: str, model: str) -> None:
        """Raises: CircuitOpen: the model is left alone for now."""
        if not self._open:
            return
        name = (provider, model)
        with self._lock:
            opening = self._open.get(name)
            if opening is None:
                return
            now_us = clock.now_us()
            if now_us < opening.open_until:
                raise CircuitOpen(
                    f"{model} of {provider} has failed too often and is left alone for now; the last time: {opening.reason}",
                    retry_after_s=(opening.open_until - now_us) / 1e6,
                )
            self._open[name] = opening._replace(open_until=now_us + PROBE_S * 1_000_000)
            self._trying.add(name)

    def succeeded(self, provider: str, model: str) -> None:
        name = (provider, model)
        self._failures.pop(name, None)
        if name in self._open:
            with self._lock:
                self._open.pop(name, None)
                self._trying.discard(name)
            logger.info("%s of %s answers again", model, provider)
            self._writer.submit(lambda connection: BreakerStore.remove(connection, name))

    def failed(self, provider: str, model: str, error: AimmError) -> None:
        name = (provider, model)
        if not isinstance(error, ProviderError) or isinstance(error, CircuitOpen):
            if name in self._trying and error.upstream is not None:
                self.succeeded(provider, model)  # it refused, so it is there
            return
        with self._lock:
            before = self._open.get(name)
            n = self._failures[name] = self._failures.get(name, 0) + 1
            if n < THRESHOLD if before is None else name not in self._trying:
                return  # not yet often enough, or late news of calls that were under way
            self._trying.discard(name)
            n_openings = 1 if before is None else before.n_openings + 1
            open_s = min(LONGEST_S, OPEN_S * 2 ** (n_openings - 1))
            opening = Opening(clock.now_us() + open_s * 1_000_000, n_openings, error.message[:300])
            self._open[name] = opening
        logger.warning("%s of %s is left alone for %d s: %s", model, provider, open_s, error.code)
        self._writer.submit(lambda connection: BreakerStore.put(connection, name, opening))

    def left(self, provider: str, model: str) -> None:
        """A call was stopped before anything was known; if it was the one that tried, the next one may."""
        name = (provider, model)
        if name not in self._trying:
            return
        with self._lock:
            self._trying.discard(name)
            opening = self._open.get(name)
            if opening is not None:
                self._open[name] = opening._replace(open_until=clock.now_us())

    def refresh(self) -> None:
        """See what other processes have found."""
        stored = self._store.all()
        with self._lock:
            mine = self._open
            for name in mine.keys() - stored.keys():  # another process found it well
                self._failures.pop(name, None)
            self._open = {
                name: max(opening, mine[name]) if name in mine else opening for name, opening in stored.items()
            }

    def states(self) -> dict[Name, Opening]:
        """What is left alone now."""
        with self._lock:
            return dict(self._open)
