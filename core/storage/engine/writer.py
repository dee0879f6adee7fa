"""The one writer: a thread that commits whatever has gathered, so that all who wait share the cost of a commit.

Two lanes. What must be durable (recorded calls, changes) is committed to the disk. What only must be seen by others
(reservations of a budget) goes first and does not wait for the disk: a process that dies takes its calls with it.
"""

import asyncio
import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, insert

from core import acting
from core.domain.people.actor import Actor
from core.errors import AimmError, DatabaseUnavailable
from core.storage.engine.database import Database
from core.storage.gateway.schema import cached_responses
from core.storage.people import changes

logger = logging.getLogger(__name__)

Work = Callable[[Connection], Any]
Rows = Sequence[dict[str, Any]]
Record = Callable[[Connection, Rows, Rows], None]
Decide = Callable[[Connection, Sequence[Any]], Sequence[Any]]
MAX_BATCH = 500
WORKS_S = 5.0
KEPT_S = 120.0  # how long the record of a call, which may be paid for, waits for another program's lock
PROBE, PROBE_BYTES = "probe", 64 * 1024


@dataclass(slots=True)
class _Job:
    record: Record | None = None  # of a call, with its row and body
    row: dict[str, Any] | None = None
    body: dict[str, Any] | None = None
    work: Work | None = None
    actor: Actor | None = None  # of work that may change what is watched
    decide: Decide | None = None  # of the quick lane, with what it is asked
    question: Any = None
    done: "Future[Any]" = field(default_factory=Future)
    since: float = field(default_factory=time.monotonic)


class Writer:
    """Accepts work from any thread; a future is done when its transaction is committed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="aimm-writer", daemon=True)
        self._thread.start()

    def record_together(
        self, record: Record, row: dict[str, Any], body: dict[str, Any] | None, also: Work | None = None
    ) -> "Future[Any]":
        """`record(connection, rows, bodies)` writes all that have gathered; `also` runs in the same transaction."""
        return self._put(_Job(record, row, body, also))

    def submit(self, work: Work) -> "Future[Any]":
        """Run `work(connection)` in a transaction; the future carries its result or its error.

        What it changes is noted with whoever acts here, or refused.
        """
        return self._put(_Job(work=work, actor=acting.current()))

    def run(self, work: Work) -> Any:
        return self.submit(work).result()

    def decide_together(self, decide: Decide, question: Any) -> "Future[Any]":
        """The quick lane: `decide(connection, questions)` answers all that have gathered at once."""
        return self._put(_Job(decide=decide, question=question))

    def close(self) -> None:
        """Commit what is queued, then end."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
            self._thread.join()

    def _put(self, job: _Job) -> "Future[Any]":
        if self._closed:
            raise AimmError("The database is closed.")
        job.done.set_running_or_notify_cancel()  # who stops waiting for it does not take it back
        self._queue.put(job)
        return job.done

    @property
    def is_troubled(self) -> bool:
        """True if the database could not be used the last time, or its file has moved."""
        return self._database.health.is_troubled or bool(self._database.health.has_moved())

    async def check(self) -> None:
        """Try the database again if it could not be used the last time.

        Raises:
            DatabaseUnavailable
        """
        if self.is_troubled:
            await asyncio.wrap_future(self.submit(self._probe))

    @staticmethod
    def _probe(connection: Connection) -> None:
        """Write as much as a call may need: a full disk takes an empty transaction."""
        c = cached_responses.c
        connection.execute(delete(cached_responses).where(c.digest == PROBE))
        row = {"digest": PROBE, "response": os.urandom(PROBE_BYTES), "created_at": 0, "expires_at": 0}
        connection.execute(insert(cached_responses).values(**row))

    def works(self) -> bool:
        """True if a transaction is through within a few seconds."""
        try:
            self.submit(self._probe if self.is_troubled else lambda connection: None).result(WORKS_S)
        except Exception:  # noqa: BLE001 - whatever it is, it does not
            return False
        return True

    def _run(self) -> None:
        durable: list[_Job] = []
        ends = False
        while not ends or durable:
            quick: list[_Job] = []
            # No timer: while one batch commits, the next one gathers by itself.
            while not ends and (not (quick or durable) or not self._queue.empty()):
                job = self._queue.get()
                if job is None:
                    ends = True
                elif job.decide is not None:
                    quick.append(job)
                else:
                    durable.append(job)
                if len(quick) + len(durable) >= MAX_BATCH:
                    break
            if quick:
                self._answer(quick)
            if durable:
                batch, durable = durable[:MAX_BATCH], durable[MAX_BATCH:]
                durable = [*self._commit(batch), *durable]

    def _answer(self, jobs: Sequence[_Job]) -> None:
        by_decide: dict[Decide, list[_Job]] = {}
        for job in jobs:
            by_decide.setdefault(job.decide, []).append(job)  # type: ignore[arg-type]  # every quick job has one
        for decide, gathered in by_decide.items():
            try:
                with self._database.write_soon() as connection:
                    answers = decide(connection, [job.question for job in gathered])
            except Exception as error:  # noqa: BLE001 - whoever waits must hear of it
                for job in gathered:
                    job.done.set_exception(error)
                continue
            for job, answer in zip(gathered, answers, strict=True):
                job.done.set_result(answer)

    def _commit(self, batch: Sequence[_Job]) -> Sequence[_Job]:
        """The jobs to try again: whoever asked was told of the failure, but a call's record is not given up at once."""
        try:
            with self._database.write_kept() as connection:
                results = self._execute(connection, batch)
        except Exception as error:  # noqa: BLE001 - one bad row must not take the others of its batch with it
            if len(batch) > 1 and not isinstance(error, DatabaseUnavailable):
                return [left for job in batch for left in self._commit([job])]
            if not isinstance(error, AimmError):
                logger.warning("a write failed: %s", type(error).__name__)
            if isinstance(error, changes.Refused):
                self._note_refusal(error)
            for job in batch:
                if not job.done.done():
                    job.done.set_exception(error)
            is_passing = isinstance(error, DatabaseUnavailable) and self._database.health.is_locked
            return [job for job in batch if is_passing and job.row and time.monotonic() < job.since + KEPT_S]
        if any(job.work == self._probe for job in batch):
            self._database.health.recover("writing")
        for job, result in zip(batch, results, strict=True):
            if not job.done.done():
                job.done.set_result(result)
        return ()

    def _execute(self, connection: Connection, batch: Sequence[_Job]) -> list[Any]:
        for record in {job.record for job in batch if job.record is not None}:
            mine = [job for job in batch if job.record == record]
            record(connection, [j.row for j in mine if j.row], [j.body for j in mine if j.body is not None])
        return [self._work(connection, job) for job in batch]

    @staticmethod
    def _work(connection: Connection, job: _Job) -> Any:
        if job.work is None:
            return None
        if job.actor is None:
            return job.work(connection)
        seen = changes.begin(connection, job.actor)
        try:
            result = job.work(connection)
            seen.close(connection)
        finally:
            changes.end(connection)
        return result

    def _note_refusal(self, error: changes.Refused) -> None:
        """Note it in a transaction of its own: that of the work is undone."""
        try:
            with self._database.write_kept() as connection:
                changes.add(connection, error.entries)
        except Exception as failed:  # noqa: BLE001 - it was refused all the same
            logger.warning("a refusal could not be noted: %s", type(failed).__name__)
