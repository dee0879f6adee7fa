"""Circuit breakers: a model that fails again and again is not asked for a while, so that callers hear at once.

Where several deployments answer for a model, one that is limited, down or refuses its key rests at once, while the
others serve; of one alone, only what follows here opens the circuit.

Only faults of the vendor count: what is down, breaks, hangs or cannot be read. A wrong request, a missing model, a bad
key and a rate limit say nothing about the next call. A circuit opens when at least half of the last requests failed,
and ten did: requests, not their attempts. A fault that a request may itself have caused (a 500, an answer that cannot
be read or does not come in the time that the caller's fallbacks leave) counts once for the same request of the same
caller, however often it is repeated. After a while one call may try; the others wait for what it finds.
"""

import hashlib
import logging
import random
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from core import clock
from core.calls.call import Call
from core.calls.faults import is_down, is_fault, is_lasting
from core.errors import AimmError, CircuitOpen, ProviderError, RateLimited
from core.storage.engine.database import Connection, Database
from core.storage.engine.writer import Work, Writer
from core.storage.gateway.breakers import BreakerStore, Opening

logger = logging.getLogger(__name__)

MIN_FAILED, MIN_SHARE = 10, 0.5  # of the requests of the window
WINDOW_S, WINDOW_REQUESTS = 120.0, 200
OPEN_S, LONGEST_S = 10, 300
PROBE_S = 60  # how long the one that tries may take
LONG_REST_S = 300  # of a deployment that refuses its key, has no money or no such model: people must do something
OTHERS_WAIT_S = 2.0  # after the end of a rest, in which the process tries that has found it
SETTLED_S = 2.0  # until what was found here can be read in the database
ANY_MODEL = "*"
Name = tuple[str, str]  # of a deployment and of its model


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
    """One breaker a (deployment, model). Other processes see what opens or closes here when they `refresh`."""

    def __init__(self, database: Database, writer: Writer, tell: Callable[..., Work]) -> None:
        """tell: Work that tells of an opening; see Outbox.tell."""
        self._store = BreakerStore(database)
        self._writer = writer
        self._windows: dict[Name, _Window] = {}
        self._open: dict[Name, Opening] = self._store.all()
        self._trying: dict[Name, Call] = {}
        self._changed: dict[Name, float] = {}  # when, by what was found here
        self._tell = tell
        self._lock = threading.Lock()

    def check(self, provider: str, model: str, call: Call, *, is_last: bool = False) -> None:
        """Let a call ask a model. is_last: Nobody else can answer. Raises: CircuitOpen, RateLimited."""
        if not self._open:
            return
        with self._lock:
            for name in ((provider, ANY_MODEL), (provider, model)):
                opening = self._open.get(name)
                if opening is None:
                    continue
                now_us = clock.now_us()
                until_us = opening.asks_at if is_last and opening.asks_at else opening.open_until
                if now_us < until_us:
                    raise _refusal(provider, model, opening, (until_us - now_us) / 1e6)
                probed_us = now_us + PROBE_S * 1_000_000
                self._open[name] = opening._replace(open_until=probed_us, asks_at=opening.asks_at and probed_us)
                self._trying[name] = call

    def rests_until(self, deployment: str, model: str) -> int:
        """The moment at which a deployment can be asked where all rest, in microseconds; 0 = it does not rest."""
        if not self._open:
            return 0
        now_us, found = clock.now_us(), 0
        for name in ((deployment, ANY_MODEL), (deployment, model)):
            opening = self._open.get(name)
            if opening is not None and now_us < opening.open_until:
                found = max(found, opening.asks_at or opening.open_until, now_us + 1)
        return found

    def rest(self, deployment: str, model: str, error: AimmError, least_s: float, call: Call) -> None:
        """Let a deployment rest after an error, as others can answer. least_s: How long at the least."""
        # What refuses a key refuses it for every model; what has no such model may have others.
        is_key = error.upstream is not None and error.upstream.status == 401
        name, now_us = (deployment, ANY_MODEL if is_key else model), clock.now_us()
        lasting_s = LONG_REST_S if is_lasting(error) else 0.0
        with self._lock:
            before = self._open.get(name)
            is_late = before is not None and now_us < before.open_until and self._trying.get(name) is not call
            n_openings = 1 if before is None else before.n_openings + (not is_late)
            grown_s = min(LONGEST_S, least_s * 2 ** (n_openings - 1)) if isinstance(error, ProviderError) else 0.0
            rest_s = max(error.retry_after_s or 0.0, lasting_s, grown_s, least_s)
            until_us = now_us + round(rest_s * 1e6)
            asks_us = now_us + round((error.retry_after_s or lasting_s or OPEN_S) * 1e6)
            if (
                before is not None and is_late
            ):  # calls that were under way: they may know of a longer rest, not a shorter
                until_us, asks_us = max(until_us, before.open_until), max(asks_us, before.asks_at)
                if (until_us, asks_us) == (before.open_until, before.asks_at):
                    return
            opening = Opening(until_us, n_openings, error.message[:300], error.code, asks_us)
            self._open[name] = opening
            self._trying.pop(name, None)
            self._windows.pop(name, None)
            self._changed[name] = time.monotonic()
        logger.warning("%s of %s rests for %d s: %s", model, deployment, rest_s, error.code)
        self._writer.submit(lambda connection: self._put(connection, name, opening))

    def succeeded(self, provider: str, model: str, call: Call | None = None) -> None:
        """call: Which one; None = what was counted before is forgotten."""
        name = (provider, model)
        if call is None:
            self._windows.pop(name, None)
        else:
            self._windows.setdefault(name, _Window()).add(call.id, failed=False)
        if not self._open:
            return
        for each in ((provider, ANY_MODEL), name):
            if each in self._open:
                self._close(each)

    def forget(self, deployment: str) -> None:
        """Forget the rests of a deployment, whose key or address is another now."""
        for name in [name for name in self._open if name[0] == deployment]:
            self._close(name)

    def _close(self, name: Name) -> None:
        with self._lock:
            self._open.pop(name, None)
            self._trying.pop(name, None)
            self._windows.pop(name, None)
            self._changed[name] = time.monotonic()
        logger.info("%s of %s answers again", name[1], name[0])
        self._writer.submit(lambda connection: BreakerStore.remove(connection, name))

    def failed(self, provider: str, model: str, error: AimmError, call: Call) -> None:
        name = (provider, model)
        if not is_fault(error):
            if self._trying.get(name) is call and error.upstream is not None:
                self.succeeded(provider, model)  # it refused, so it is there
            return
        with self._lock:
            before = self._open.get(name)
            window = self._windows.setdefault(name, _Window())
            window.add(call.id if is_down(error) else _digest(call), failed=True)
            if not window.is_failing() if before is None else self._trying.get(name) is not call:
                return  # not yet often enough, or late news of calls that were under way
            self._windows.pop(name, None)
            self._trying.pop(name, None)
            n_openings = 1 if before is None else before.n_openings + 1
            open_s = min(LONGEST_S, OPEN_S * 2 ** (n_openings - 1))
            until_us = clock.now_us() + open_s * 1_000_000
            opening = Opening(until_us, n_openings, error.message[:300], error.code, until_us)
            self._open[name] = opening
            self._changed[name] = time.monotonic()
        logger.warning("the circuit of %s of %s is open for %d s: %s", model, provider, open_s, error.code)
        self._writer.submit(lambda connection: self._put(connection, name, opening))

    def _put(self, connection: Connection, name: Name, opening: Opening) -> None:
        BreakerStore.put(connection, name, opening)
        if opening.n_openings == 1 and opening.code != RateLimited.code:  # which passes by itself
            what = f"{name[1]} of {name[0]}" if name[1] != ANY_MODEL else name[0]
            text = f"{what} is not asked for a while: its circuit is open. The last time: {opening.reason}"
            self._tell("circuit.opened", text, provider=name[0], model=name[1])(connection)

    def left(self, provider: str, model: str, call: Call) -> None:
        """A call has ended; if it was the one that tried and nothing is known, the next one may."""
        if not self._trying:
            return
        for name in ((provider, ANY_MODEL), (provider, model)):
            if self._trying.get(name) is not call:
                continue
            with self._lock:
                self._trying.pop(name, None)
                opening, now_us = self._open.get(name), clock.now_us()
                if opening is not None:
                    self._open[name] = opening._replace(open_until=now_us, asks_at=opening.asks_at and now_us)

    def refresh(self) -> None:
        """See what other processes have found."""
        stored = self._store.all()
        with self._lock:
            mine, now = self._open, time.monotonic()
            self._changed = {name: at for name, at in self._changed.items() if now - at < SETTLED_S}
            for name in mine.keys() - stored.keys() - self._changed.keys():  # another process found it well
                self._windows.pop(name, None)
            found = {name: self._merged(opening, mine.get(name)) for name, opening in stored.items()}
            self._open = {name: opening for name, opening in found.items() if name not in self._changed} | {
                name: mine[name] for name in self._changed if name in mine
            }

    def _merged(self, stored: Opening, mine: Opening | None) -> Opening:
        """An opening as it is known here: who found it tries first when it ends; others hear what comes of it."""
        if mine is not None and mine.open_until >= stored.open_until:
            return mine
        later_us = round(OTHERS_WAIT_S * random.uniform(1, 2) * 1e6)
        return stored._replace(
            open_until=stored.open_until + later_us, asks_at=stored.asks_at and stored.asks_at + later_us
        )

    def states(self) -> dict[Name, Opening]:
        """The circuits that are open now."""
        with self._lock:
            return dict(self._open)


def _refusal(deployment: str, model: str, opening: Opening, wait_s: float) -> AimmError:
    if opening.code == RateLimited.code:
        return RateLimited(
            f"{deployment} takes no more requests for {model} now: {opening.reason}", retry_after_s=wait_s
        )
    text = f"{model} of {deployment} has failed too often: its circuit is open. The last time: {opening.reason}"
    return CircuitOpen(text, retry_after_s=wait_s)


def _digest(call: Call) -> str:
    """The same for the same request of the same caller."""
    request, origin = call.request, call.origin
    asked = (origin.key_id, origin.user_id, request.messages, request.system, request.parameters, request.native)
    return hashlib.sha256(repr(asked).encode("utf-8", "surrogatepass")).hexdigest()
