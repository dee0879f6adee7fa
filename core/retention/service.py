"""Retention for its users: rules, what they would delete, and the rounds that delete it, a little at a time."""

import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from core import clock
from core.clock import HOUR_US
from core.domain.log.filter import LogFilter
from core.domain.log.retention import (
    ALL,
    Due,
    Progress,
    RetentionRule,
    Round,
    Sweep,
    believed_us,
    checked_scope,
    reaching,
    sweeps_of,
)
from core.errors import Conflict, DatabaseUnavailable, InvalidRequest, NotFound
from core.formats.days import check_order, days_of
from core.storage.engine.database import Connection, Database
from core.storage.engine.presence import Presence
from core.storage.engine.writer import Writer
from core.storage.retention import others, sweeping
from core.storage.retention.others import OtherTexts
from core.storage.retention.store import RetentionStore, can_shrink, checkpoint, give_back, look_at_all, write_anew

logger = logging.getLogger(__name__)

EVERY_S = 3600.0
FIRST_S = 60.0  # after a start
FULL_EVERY_US = 24 * HOUR_US
FOUND_AT_ONCE = 2000
WORK_S = 0.004  # of processor time a transaction takes: calls that are to be recorded wait for it
PAUSE = 4.0  # times as long as that, calls have the database to themselves
LEAST, MOST = 10, 400  # calls in a transaction
PAGES = 64

Step = Callable[[Connection], Any]


class RetentionService:
    """fixed: The days of texts and of calls as the environment says; None = it says nothing.

    key_id: The id of a key by its id or name; raises NotFound.
    """

    def __init__(
        self,
        database: Database,
        writer: Writer,
        presence: Presence,
        fixed: tuple[int | None, int | None],
        key_id: Callable[[str], str],
    ) -> None:
        self._key_id = key_id
        self._database = database
        self._writer = writer
        self._presence = presence
        self._fixed = fixed
        self._store = RetentionStore(database)
        self._other_texts = OtherTexts(database)
        self._ends = threading.Event()
        self._next_at = time.monotonic() + FIRST_S
        self._clock_since = time.monotonic()
        self._n = 50  # calls in the next transaction

    # Rules

    def rules(self) -> list[RetentionRule]:
        """That for all calls first, then those of keys and tags."""
        kept = {rule.scope: rule for rule in self._store.rules()}
        general = kept.pop(ALL, RetentionRule(scope=ALL))
        if any(self._fixed):
            general = RetentionRule(scope=ALL, texts_days=self._fixed[0], calls_days=self._fixed[1], is_fixed=True)
        return [general, *kept.values()]

    def set_rule(self, scope: str, texts: str, calls: str) -> RetentionRule:
        """Make or change a rule. texts, calls: Such as 30d; forever; empty = as for all calls.

        Raises:
            InvalidRequest: A value is none. NotFound: There is no such key, so that nothing would ever be deleted.
            Conflict: The environment has the rule for all calls.
        """
        scope = self.scope_of(scope)
        if scope == ALL and any(self._fixed):
            raise Conflict("AIMM_KEEP_TEXTS and AIMM_KEEP_CALLS say how long calls are kept; change them there.")
        days = [days_of(text, name, forever=True) for text, name in ((texts, "texts"), (calls, "calls"))]
        if scope != ALL and days == [None, None]:
            raise InvalidRequest("Say how long texts or calls are kept, or take the rule away.")
        check_order(days[0], days[1], ("texts", "calls"))
        rule = RetentionRule(scope=scope, texts_days=days[0], calls_days=days[1])
        self._writer.run(partial(self._store.put_rule, rule=rule, now_us=clock.now_us()))
        return rule

    def drop_rule(self, scope: str) -> bool:
        """Take a rule away; False = there was none."""
        with suppress(NotFound):
            scope = self.scope_of(scope)
        return bool(self._writer.run(partial(self._store.drop_rule, scope=scope)))

    def scope_of(self, scope: str) -> str:
        """A scope as rules are kept: with a key's id, also where its name is given. Raises: as `set_rule`."""
        kind, _, name = checked_scope(scope).partition(":")
        return f"key:{self._key_id(name)}" if kind == "key" else scope

    # Looking

    def due(self) -> list[Due]:
        """The calls that a round would deal with now, by rule. Reads all of them."""
        state = self._store.state()
        return [self._store.due(sweep) for sweep in self._sweeps(0 if state is None else state.clock_at)]

    def last_round(self) -> Round:
        return self._store.last_round(self._presence.is_alive)

    def progress(self) -> list[Progress]:
        return self._store.progress()

    def note(self, wanted: LogFilter | None = None) -> str:
        """A sentence where calls that a filter may ask for were deleted; empty = none was."""
        progress = self._store.progress()
        since_us = max(0, clock.to_us(wanted.since)) if wanted is not None and wanted.since is not None else 0
        own = {each.scope for each in progress} - {ALL}
        general_us, own_us = (reaching(progress, "calls", scopes) for scopes in ([ALL], own))
        parts = []
        if general_us > since_us:
            parts.append(f"Calls before {_shown(general_us)} were deleted; sums of them are kept.")
        if own_us > max(since_us, general_us):
            parts.append(
                f"Of some keys or tags, which have rules of their own, calls before {_shown(own_us)} were deleted."
            )
        return " ".join(parts)

    def texts_note(self, at: datetime) -> str:
        """A sentence where the texts of what was made at a moment may have been deleted; empty = they were not."""
        progress = self._store.progress()
        every = {each.scope for each in progress}
        for scopes, whose in (({ALL}, ""), (every, " of some keys or tags")):
            if (reached_us := reaching(progress, "texts", scopes)) > clock.to_us(at):
                return f"Texts{whose} before {_shown(reached_us)} were deleted."
        return ""

    def can_shrink(self) -> bool | None:
        """True if the file gives back the room of what was deleted; None = it is a server's."""
        return can_shrink(self._database) if self._database.is_sqlite else None

    def make_shrinkable(self) -> tuple[int | None, int | None]:
        """Write SQLite's file anew, so that it shrinks by itself from now on. Returns its bytes before and after.

        Raises:
            InvalidRequest: It is no file. Conflict: The disk has not the room. DatabaseUnavailable: A server uses it.
        """
        if not self._database.is_sqlite:
            raise InvalidRequest("PostgreSQL gives room back by itself (autovacuum); VACUUM FULL would give back more.")
        before = self._database.n_bytes()
        folder = Path(self._database.url.database or "").absolute().parent
        free = shutil.disk_usage(folder).free
        if before and free < 2 * before:
            raise Conflict(
                f"It takes {2 * before / 1e6:,.0f} MB of free disk beside the file; there are {free / 1e6:,.0f}."
            )
        write_anew(self._database)
        return before, self._database.n_bytes()

    # Rounds

    def tick(self) -> None:
        """Begin a round where one is due; for the background."""
        if time.monotonic() >= self._next_at:
            self._next_at = time.monotonic() + EVERY_S
            self.run()

    def wake(self) -> None:
        """Let the background begin a round at its next look."""
        self._next_at = time.monotonic()

    def stop(self) -> None:
        """End the round after its step; what it has done stays done."""
        self._ends.set()

    def run(self) -> bool:
        """Delete what is older than it is kept, and give the room back; False = another process is doing that."""
        if not any(rule.days(part) for rule in self.rules() for part in ("texts", "calls")):
            return True
        owner = self._presence.announce()
        state = self._write(lambda link: self._store.claim(link, owner, clock.now_us(), self._presence.is_alive))
        if state is None:
            return False
        values: dict[str, Any] = {}
        try:
            values = self._round(state)
        finally:
            with suppress(DatabaseUnavailable):
                self._write(lambda link: self._store.release(link, owner, **values))
        return True

    def _round(self, state: Any) -> dict[str, Any]:
        """The whole of a round; what is to be written down at its end."""
        begun_us = clock.now_us()
        is_full = state.swept_at is None or not 0 <= begun_us - state.swept_at < FULL_EVERY_US
        if is_full:
            self._write(look_at_all)
        n = 0
        for sweep in self._sweeps(state.clock_at, believe=True):
            n += self._sweep(sweep)
        if is_full:
            while not self._ends.is_set() and self._paced(lambda link: sweeping.coarsen(link, begun_us))[0]:
                continue
        self._shrink()
        if self._ends.is_set():
            return {}
        if n:
            logger.info("retention: %d calls were deleted or left without their texts", n)
        return {"ended_at": clock.now_us(), **({"swept_at": begun_us} if is_full else {})}

    def _sweeps(self, last_us: int, *, believe: bool = False) -> list[Sweep]:
        """The sweeps of this moment. believe: Whether to remember the moment."""
        now_us = clock.now_us()
        at_us = believed_us(now_us, last_us, self._store.newest_us())
        has_stood = time.monotonic() - self._clock_since >= EVERY_S
        if at_us < now_us:
            logger.warning(
                "retention: the clock says %s; until it is believed, a day more an hour, %s counts",
                clock.from_us(now_us).isoformat(timespec="minutes"), clock.from_us(at_us).isoformat(timespec="minutes"),
            )  # fmt: skip
        if believe and (at_us == now_us or has_stood or not last_us):
            self._clock_since = time.monotonic()
            self._write(lambda link: self._store.believe(link, at_us))
        return sweeps_of(self.rules(), at_us)

    def _sweep(self, sweep: Sweep) -> int:
        since_us = self._write(lambda link: self._store.begin(link, sweep))
        n = sum(self._steps(sweep, max(since_us, sweep.after_us)))
        if sweep.part == "texts":
            n += sum(self._other_steps(sweep, since_us))
        if not self._ends.is_set():
            self._write(lambda link: self._store.finish(link, sweep))
        return n

    def _steps(self, sweep: Sweep, since_us: int) -> Iterator[int]:
        """The calls that each transaction dealt with."""
        place = (since_us, "")
        while not self._ends.is_set() and (calls := self._store.next_calls(sweep, place, FOUND_AT_ONCE)):
            place = calls[-1]
            ids = [id_ for _, id_ in calls]
            while ids and not self._ends.is_set():
                some, ids = ids[: self._n], ids[self._n :]
                found, took_s = self._paced(partial(self._step, sweep=sweep, ids=some))
                yield found
                self._n = min(MOST, max(LEAST, round(len(some) * WORK_S / max(took_s, 1e-6))))

    def _step(self, connection: Connection, sweep: Sweep, ids: list[str]) -> int:
        if sweep.part == "texts":
            found = sweeping.clear_texts(connection, ids, sweep)
        else:
            found = sweeping.delete_calls(connection, ids, sweep, clock.now_us())
        if found.n:
            self._store.add(connection, sweep, found.n, found.newest_us)
        return found.n

    def _other_steps(self, sweep: Sweep, since_us: int) -> Iterator[int]:
        for kind in others.KINDS:
            while not self._ends.is_set() and (ids := self._other_texts.next_ids(kind, sweep, since_us)):
                self._paced(lambda link, kind=kind, ids=ids: kind.clear(link, ids))  # type: ignore[misc]
                yield len(ids)

    def _shrink(self) -> None:
        """Give SQLite's free pages back to the disk, a few at a time; without auto_vacuum there is nothing to do."""
        before = None
        while self._database.is_sqlite and not self._ends.is_set():
            left, _ = self._paced(partial(give_back, n_pages=PAGES))
            if not left or left == before:
                return
            before = left

    def _paced(self, step: Step) -> tuple[Any, float]:
        """Do a step, and leave the database to others for a while. Returns what it gave, and its processor time."""
        took: list[tuple[float, float]] = []

        def measured(connection: Connection) -> Any:
            cpu, wall = time.thread_time(), time.perf_counter()
            try:
                return step(connection)
            finally:
                took.append((time.thread_time() - cpu, time.perf_counter() - wall))

        found = self._write(measured)
        if self._database.is_sqlite:
            checkpoint(self._database)
        cpu_s, wall_s = took[-1]  # on a busy machine a step holds the lock for longer than it works
        self._ends.wait(PAUSE * wall_s)
        return found, cpu_s

    def _write(self, step: Step) -> Any:
        # PostgreSQL lets several write: calls then need not queue behind this.
        if self._database.is_sqlite:
            return self._writer.run(step)
        with self._database.write() as connection:
            return step(connection)


def _shown(at_us: int) -> str:
    return f"{clock.from_us(at_us):%Y-%m-%d %H:%M} UTC"
