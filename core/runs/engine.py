"""Begins runs, takes up those whose process died, and settles them, whatever their kind.

Our tables say which process executes a run, and each process holds a lock that is freed when it dies. So one rule holds
on both databases: a running run that no living process executes is queued again, and a queued one is started.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from core.errors import Conflict, DatabaseUnavailable
from core.runs.dbos_runtime import DbosRuntime
from core.runs.job import Closing, Job
from core.storage.engine.database import Database
from core.storage.engine.presence import Presence
from core.storage.runs import Unfinished

logger = logging.getLogger(__name__)

POLL_S = 1.0


class RunEngine:
    def __init__(self, database: Database, presence: Presence) -> None:
        self._presence = presence
        self._dbos = DbosRuntime(database, presence.token, self._execute)
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()
        self._executing: dict[tuple[str, int], threading.Event] = {}  # set once that start is over here
        self._poller: threading.Thread | None = None
        self.is_closing = threading.Event()

    @property
    def token(self) -> str:
        """This process's name as the owner of runs."""
        return self._presence.token

    def is_alive(self, owner: str) -> bool:
        return bool(owner) and self._presence.is_alive(owner)

    def register(self, *jobs: Job) -> None:
        """Make kinds of runs known, before any is begun."""
        self._jobs |= {job.kind: job for job in jobs}

    def owner_of_new(self) -> str:
        """The owner to queue a new run with: this process, or nobody where another one executes them on this file.

        Raises:
            Conflict: Another manager of this process executes runs.
        """
        return self.token if self.launch() else ""

    def begin(self, kind: str, run_id: str) -> None:
        """Start a queued run, if this process is to execute it."""
        self._start(self._jobs[kind], run_id)

    def begin_here(self, kind: str, run_id: str, start: int, begin: Callable[[], Sequence[str]]) -> None:
        """Execute a run in this process at once, without DBOS, so that it can be watched from the first word.

        begin: Writes the run down as running in this start, and as this process's, and returns its steps.
        """
        self._presence.announce()
        begun: Future[Sequence[str]] = Future()
        self._executing[run_id, start] = threading.Event()
        # Before there is work: beside calls that run already, each switch to a new thread and back takes milliseconds.
        target, given = self._execute_begun, (kind, run_id, start, begun)
        threading.Thread(target=target, args=given, name=f"aimm-{kind}", daemon=True).start()
        try:
            begun.set_result(begin())
        except BaseException as error:
            self._ended(run_id, start)
            begun.set_exception(error)
            raise

    def await_end(self, run_id: str, start: int, timeout_s: float) -> None:
        """Wait until this process is done with a start; not at all for one that it does not execute."""
        if (is_over := self._executing.get((run_id, start))) is not None:
            is_over.wait(timeout_s)

    def launch(self) -> bool:
        """Be ready to execute what is queued; False where another process of this file does, or we are closing."""
        with self._lock:
            if self.is_closing.is_set():
                return False
            self._presence.announce()
            is_ready = self._dbos.launch()
        self.watch()
        return is_ready

    def watch(self) -> None:
        """From now on take up, in the background, what waits and what dead processes left."""
        with self._lock:
            if self._poller is None and not self.is_closing.is_set():
                self._poller = threading.Thread(target=self._poll, name="aimm-runs", daemon=True)
                self._poller.start()

    def close(self) -> None:
        """End here; what is under way is left to the next process."""
        self.is_closing.set()
        with self._lock:
            self._dbos.close()
        if self._poller is not None:
            self._poller.join(timeout=5)

    def _start(self, job: Job, run_id: str) -> None:
        with self._lock:
            if not self._dbos.is_launched:
                return
            self._dbos.renew()
            start = job.claim(run_id, self.token)
            if start is None:
                return
            self._executing[run_id, start] = threading.Event()
            try:
                self._dbos.start(job.kind, run_id, start)
            except BaseException:  # it is queued again at the next look
                self._ended(run_id, start)
                raise

    def _execute_begun(self, kind: str, run_id: str, start: int, begun: Future[Sequence[str]]) -> None:
        if begun.exception() is None:
            self._execute(kind, run_id, start, begun.result())

    def _execute(self, kind: str, run_id: str, start: int, steps: Sequence[str] | None = None) -> None:
        """steps: None = as they are on record."""
        job = self._jobs[kind]
        try:
            for step in job.steps(run_id, start) if steps is None else steps:
                if not job.do_step(run_id, start, step):
                    break
            job.settle(run_id, start)
        except (Closing, DatabaseUnavailable):  # told already; it is taken up when that is over
            pass
        except Exception as error:
            if not self.is_closing.is_set():
                logger.exception("a run failed unexpectedly")
                job.settle(run_id, start, f"The run failed unexpectedly ({type(error).__name__}).")
        finally:
            self._ended(run_id, start)

    def _ended(self, run_id: str, start: int) -> None:
        if (is_over := self._executing.pop((run_id, start), None)) is not None:
            is_over.set()

    def _poll(self) -> None:
        while True:
            try:
                self._look()
            except (DatabaseUnavailable, Conflict):  # told already; another manager of this process executes runs
                pass
            except Exception:  # a passing fault must not end the poller
                logger.exception("looking for runs to take up failed")
            if self.is_closing.wait(POLL_S):
                return

    def _look(self) -> None:
        with self._lock:
            self._presence.renew()  # before others take this process for dead
            self._dbos.renew()
            found = [(job, run) for job in self._jobs.values() for run in job.unfinished()]
            lost = [(job, run) for job, run in found if run.status == "running" and self._is_lost(run)]
            # One that another process queued just now is its own to start.
            queued = [(job, run) for job, run in found if run.status == "queued"]
            waiting = [(job, run) for job, run in queued if run.owner == self.token or not self.is_alive(run.owner)]
        if (lost or waiting) and self.launch():
            for job, run in lost:
                job.requeue(run.run_id, run.start)
            for job, run in waiting + lost:
                self._start(job, run.run_id)

    def _is_lost(self, run: Unfinished) -> bool:
        """Tell whether nobody executes a running run: its process is dead, or this one has given it up."""
        if run.owner == self.token:
            return (run.run_id, run.start) not in self._executing
        return not self.is_alive(run.owner)
