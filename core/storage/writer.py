"""The one writer: a thread that commits whatever has gathered, so that a commit's cost is shared by all who wait for it."""

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, insert

from core.errors import AimmError
from core.storage import rollups
from core.storage.database import Database
from core.storage.schema import generation_bodies, generations

logger = logging.getLogger(__name__)

Work = Callable[[Connection], Any]
MAX_BATCH = 500


@dataclass(slots=True)
class _Job:
    row: dict[str, Any] | None
    body: dict[str, Any] | None
    work: Work | None
    done: "Future[Any]" = field(default_factory=Future)


class Writer:
    """Accepts work from any thread; a future is done when its transaction is durable."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="aimm-writer", daemon=True)
        self._thread.start()

    def log(self, row: dict[str, Any], body: dict[str, Any] | None, also: Work | None = None) -> "Future[Any]":
        """Log a generation row with its body and rollups; `also` runs in the same transaction."""
        return self._put(_Job(row, body, also))

    def submit(self, work: Work) -> "Future[Any]":
        """Run `work(connection)` in a transaction; the future carries its result or its error."""
        return self._put(_Job(None, None, work))

    def run(self, work: Work) -> Any:
        return self.submit(work).result()

    def close(self) -> None:
        """Commit what is queued, then end."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
            self._thread.join()

    def _put(self, job: _Job) -> "Future[Any]":
        if self._closed:
            raise AimmError("The database is closed.")
        self._queue.put(job)
        return job.done

    def _run(self) -> None:
        while (job := self._queue.get()) is not None:
            batch = [job]
            ends = False
            # No timer: while this batch commits, the next one gathers by itself.
            while len(batch) < MAX_BATCH and not self._queue.empty():
                following = self._queue.get()
                if following is None:
                    ends = True
                    break
                batch.append(following)
            self._commit(batch)
            if ends:
                return

    def _commit(self, batch: Sequence[_Job]) -> None:
        try:
            with self._database.write() as connection:
                results = _execute(connection, batch)
        except Exception as error:  # noqa: BLE001 - one bad row must not take the others of its batch with it
            if len(batch) > 1:
                for job in batch:
                    self._commit([job])
                return
            if not isinstance(error, AimmError):
                logger.warning("a write failed: %s", type(error).__name__)
            batch[0].done.set_exception(error)
            return
        for job, result in zip(batch, results, strict=True):
            job.done.set_result(result)


def _execute(connection: Connection, batch: Sequence[_Job]) -> list[Any]:
    rows = [job.row for job in batch if job.row is not None]
    log_rows(connection, rows, [job.body for job in batch if job.body is not None])
    return [job.work(connection) if job.work else None for job in batch]


def log_rows(connection: Connection, rows: Sequence[dict[str, Any]], bodies: Sequence[dict[str, Any]]) -> None:
    """Insert generations with their bodies and bring the rollups up to date, in the caller's transaction."""
    if rows:
        connection.execute(insert(generations), list(rows))
        rollups.add_rows(connection, rows)
    if bodies:
        connection.execute(insert(generation_bodies), list(bodies))
