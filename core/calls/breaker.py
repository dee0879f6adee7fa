"""Circuit breakers: a model that fails again and again is not asked for a while, so that callers hear at once.

Only faults of the vendor count: what is down, breaks, hangs or cannot be read. A wrong request, a missing model, a bad
key and a rate limit say nothing about the next call. A circuit opens when at least half of the last requests failed,
and ten did: requests, not their attempts. A fault that a request may itself have caused (a 500, an answer that cannot
be read or does not come in the time that the caller's fallbacks leave) counts once for the same request of the same
caller, however often it is repeated. After a while one call may try; the others wait for what it finds.
"""

import hashlib
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from core import clock
from core.calls.call import Call
from core.errors import AimmError, CircuitOpen, ProviderError
from core.storage.engine.database import Connection, Database
from core.storage.engine.writer import Work, Writer
from core.storage.gateway.breakers import BreakerStore, Opening

logger = logging.getLogger(__name__)

MIN_FAILED, MIN_SHARE = 10, 0.5  # of the requests of the window
WINDOW_S, WINDOW_REQUESTS = 120.0, 200
# What a server answers that is down or overloaded, whatever it was asked; a 504 may come of the request's size.
_DOWN = (502, 503, 529)
OPEN_S, LONGEST_S = 10, 300
PROBE_S = 30  # how long the one that tries may take
Name = tuple[str, str]


class _Window:
    """The ends of the last requests, the latest of each."""

    def __init__(self) -> None:
        self._ended: OrderedDict[str, tuple[float, bool]] = OrderedDict()

    def add(self, request_id: str, *, failed: bool) -> None:
        self._ended.pop(request_id, None)
        self._ended[request_id] = time.monotonic(), failed
        if len(self._ended) > WINDOW_REQUESTS:
            self._ended.popitem(last=False)

    def is_failing(self) -> bool:
        since = time.monotonic() - WINDOW_S
        recent = [failed for at, failed in self._ended.values() if at >= since]
        return sum(recent) >= MIN_FAILED and sum(recent) >= MIN_SHARE * len(recent)


class Breakers:
    """One breaker a (provider, model). Other processes see what opens or closes here when they `refresh`."""

    def __init__(self, database: Database, writer: Writer, tell: Callable[..., Work]) -> None:
        """tell: Work that tells of an opening; see Outbox.tell."""
        self._store = BreakerStore(database)
        self._writer = writer
        self._windows: dict[Name, _Window] = {}
        self._open: dict[Name, Opening] = self._store.all()
        self._trying: dict[Name, Call] = {}
        self._tell = tell
        self._lock = threading.Lock()

    def check(self, provider: str, model: str, call: Call) -> None:
        """Let a call ask a model. Raises: CircuitOpen."""
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
                    f"{model} of {provider} has failed too often: its circuit is open. The last time: {opening.reason}",
                    retry_after_s=(opening.open_until - now_us) / 1e6,
                )
            self._open[name] = opening._replace(open_until=now_us + PROBE_S * 1_000_000)
            self._trying[name] = call

    def succeeded(self, provider: str, model: str, call: Call | None = None) -> None:
        """call: Which one; None = what was counted before is forgotten."""
        name = (provider, model)
        if call is None:
            self._windows.pop(name, None)
        else:
            self._windows.setdefault(name, _Window()).add(call.id, failed=False)
        if name in self._open:
            with self._lock:
                self._open.pop(name, None)
                self._trying.pop(name, None)
                self._windows.pop(name, None)
            logger.info("%s of %s answers again", model, provider)
            self._writer.submit(lambda connection: BreakerStore.remove(connection, name))

    def failed(self, provider: str, model: str, error: AimmError, call: Call) -> None:
        name = (provider, model)
        if not _is_fault(error):
            if self._trying.get(name) is call and error.upstream is not None:
                self.succeeded(provider, model)  # it refused, so it is there
            return
        with self._lock:
            before = self._open.get(name)
            window = self._windows.setdefault(name, _Window())
            window.add(call.id if _is_down(error) else _digest(call), failed=True)
            if not window.is_failing() if before is None else self._trying.get(name) is not call:
                return  # not yet often enough, or late news of calls that were under way
            self._windows.pop(name, None)
            self._trying.pop(name, None)
            n_openings = 1 if before is None else before.n_openings + 1
            open_s = min(LONGEST_S, OPEN_S * 2 ** (n_openings - 1))
            opening = Opening(clock.now_us() + open_s * 1_000_000, n_openings, error.message[:300])
            self._open[name] = opening
        logger.warning("the circuit of %s of %s is open for %d s: %s", model, provider, open_s, error.code)
        self._writer.submit(lambda connection: self._put(connection, name, opening))

    def _put(self, connection: Connection, name: Name, opening: Opening) -> None:
        BreakerStore.put(connection, name, opening)
        if opening.n_openings == 1:
            text = (
                f"{name[1]} of {name[0]} failed again and again: its circuit is open. The last time: {opening.reason}"
            )
            self._tell("circuit.opened", text, provider=name[0], model=name[1])(connection)

    def left(self, provider: str, model: str, call: Call) -> None:
        """A call has ended; if it was the one that tried and nothing is known, the next one may."""
        name = (provider, model)
        if self._trying.get(name) is not call:
            return
        with self._lock:
            self._trying.pop(name, None)
            opening = self._open.get(name)
            if opening is not None:
                self._open[name] = opening._replace(open_until=clock.now_us())

    def refresh(self) -> None:
        """See what other processes have found."""
        stored = self._store.all()
        with self._lock:
            mine = self._open
            for name in mine.keys() - stored.keys():  # another process found it well
                self._windows.pop(name, None)
            self._open = {
                name: max(opening, mine[name]) if name in mine else opening for name, opening in stored.items()
            }

    def states(self) -> dict[Name, Opening]:
        """The circuits that are open now."""
        with self._lock:
            return dict(self._open)


def _is_fault(error: AimmError) -> bool:
    """Tell whether an error is the vendor's: never one that says what was wrong with the request, its key or its size,
    that comes of what the model wrote."""
    is_refusal = error.upstream is not None and (error.upstream.status == 200 or 400 <= error.upstream.status < 500)
    return isinstance(error, ProviderError) and not isinstance(error, CircuitOpen) and not is_refusal


def _is_down(error: AimmError) -> bool:
    """Tell whether any other request would have failed too."""
    if error.upstream is not None:
        return error.upstream.status in _DOWN
    return error.code == "provider_unavailable"


def _digest(call: Call) -> str:
    """The same for the same request of the same caller."""
    request, origin = call.request, call.origin
    asked = (origin.key_id, origin.user_id, request.messages, request.system, request.parameters, request.native)
    return hashlib.sha256(repr(asked).encode("utf-8", "surrogatepass")).hexdigest()
