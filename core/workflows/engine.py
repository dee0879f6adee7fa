"""The only module that knows DBOS: it starts runs, and takes up those whose process died.

Our tables are the truth; DBOS's state beside them can be deleted at the price of runs in flight being taken up anew.
One process per SQLite file executes runs (it holds a file lock); others leave theirs queued for it. On PostgreSQL
every process may execute; each holds an advisory lock, and whoever finds a free one takes up that process's runs.
"""

import logging
import os
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Protocol

from core.errors import Conflict, DatabaseUnavailable
from core.storage.engine.database import Database
from core.storage.engine.files import private_database, private_opener
from core.storage.engine.presence import is_held
from core.workflows.steps import Closing

logger = logging.getLogger(__name__)

APPLICATION = "aimm"
VERSION = "1"  # pinned: by default it is a hash of the source, and runs from before an edit would never go on
POLL_S = 1.0


class Host(Protocol):
    """What the engine needs of the service."""

    def execute(self, run_id: str, start: int, run_step: Callable[[str], str]) -> None: ...
    def run_step(self, run_id: str, start: int, step_name: str) -> str: ...
    def unfinished(self) -> list[tuple[str, str, int]]: ...
    def claim(self, run_id: str) -> int | None: ...
    def requeue(self, run_id: str, start: int) -> None: ...


_host: Host | None = None
_registered: dict[str, Any] = {}
_process_lock = threading.Lock()


def _register() -> Any:
    """The DBOS workflow, made once per process."""
    from dbos import DBOS

    if not _registered:

        @DBOS.workflow(name="aimm_run")
        def run(run_id: str, start: int) -> None:
            host = _host
            if host is None:
                raise Conflict("The engine is closed.")

            def run_step(name: str) -> str:
                return str(DBOS.run_step({"name": name}, host.run_step, run_id, start, name))

            host.execute(run_id, start, run_step)

        _registered["run"] = run
    return _registered["run"]


class RunEngine:
    def __init__(self, database: Database, host: Host) -> None:
        self._database = database
        self._host = host
        self._lock = threading.Lock()
        self._file_lock: IO[str] | None = None
        self._pg_lock: Any = None
        self._executor_id = "local" if database.is_sqlite else f"e{os.getpid()}-{time.time_ns():x}"
        self._is_launched = False
        self._is_closing = threading.Event()
        self._poller: threading.Thread | None = None
        self._suspects: set[tuple[str, int]] = set()
        self._state: tuple[int, int] | None = None  # DBOS's file, which must go on to be the one of its name

    def launch(self) -> bool:
        """Begin to execute runs here; False when another process of this SQLite file does."""
        global _host
        with self._lock:
            if self._is_launched:
                return True
            if self._is_closing.is_set() or not self._own():
                return False
            if not _process_lock.acquire(blocking=False):
                self._release()
                raise Conflict("Another ModelManager of this process executes workflows; close it first.")
            dbos_logger = logging.getLogger("dbos")
            dbos_logger.setLevel(logging.ERROR)
            dbos_logger.addFilter(self._is_news)
            _host = self._host
            self._launch()
            self._is_launched = True
        self._requeue_lost()
        self._poller = threading.Thread(target=self._poll, name="aimm-runs", daemon=True)
        self._poller.start()
        return True

    def _launch(self) -> None:
        from dbos import DBOS

        _register()
        with self._database.health.told("writing"):
            DBOS(config=self._config())
            DBOS.launch()

    def start(self, run_id: str) -> None:
        """Start a queued run, if it is still queued."""
        from dbos import DBOS, SetWorkflowID

        self._renew_state()
        start = self._host.claim(run_id)
        if start is not None:
            with SetWorkflowID(f"{run_id}.{start}"):
                DBOS.start_workflow(_register(), run_id, start)

    def close(self) -> None:
        global _host
        self._is_closing.set()
        with self._lock:
            if self._is_launched:
                from dbos import DBOS

                DBOS.destroy()
                _host = None
                self._is_launched = False
                _process_lock.release()
            self._release()
        if self._poller is not None:
            self._poller.join(timeout=5)

    def _config(self) -> Any:
        from dbos import DBOSPortableJSONSerializer

        config: dict[str, Any] = {
            "name": APPLICATION,
            "application_version": VERSION,
            "executor_id": self._executor_id,
            "serializer": DBOSPortableJSONSerializer(),
            "log_level": "ERROR",
            "use_listen_notify": False,
        }
        if self._database.is_sqlite:
            config["system_database_url"] = f"sqlite:///{self._state_file()}"
            config["system_database_engine"] = _engine(self._state_file(), self._has_state)
            self._state = _identity(self._state_file())
        else:
            config["system_database_url"] = self._database.url.render_as_string(hide_password=False)
        return config

    def _is_news(self, record: logging.LogRecord) -> bool:
        """Of a database that cannot be used is told once, and not by each of DBOS's threads again and again.

        Nor by a run that was under way when DBOS was begun anew.
        """
        return not self._database.health.is_troubled and "before DBOS was launched" not in record.getMessage()

    def _state_file(self) -> Path:
        return Path(f"{self._database.url.database}.engine")

    def _has_state(self) -> bool:
        return _identity(self._state_file()) == self._state

    def _renew_state(self) -> None:
        """Where DBOS's file was deleted or replaced, begin a new one: runs under way are taken up as after a crash."""
        from dbos import DBOS

        with self._lock:
            if not (self._database.is_sqlite and self._is_launched) or self._has_state():
                return
            logger.warning(
                "%s was deleted or moved away; it is made anew, runs under way begin again", self._state_file()
            )
            for run_id, status, start in self._host.unfinished():
                if status == "running":
                    self._host.requeue(run_id, start)
            DBOS.destroy()
            self._launch()

    def _own(self) -> bool:
        """Take the lock that says this process executes runs."""
        if not self._database.is_sqlite:
            from sqlalchemy import text

            self._pg_lock = self._database.engine_for_runs.connect()
            self._pg_lock.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _lock_key(self._executor_id)})
            self._pg_lock.commit()
            return True
        import fcntl

        path = Path(f"{self._database.url.database}.engine.lock")
        self._file_lock = open(path, "w", opener=private_opener)  # noqa: SIM115 - it is held while the process lives
        try:
            fcntl.flock(self._file_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file_lock.close()
            self._file_lock = None
            return False
        return True

    def _release(self) -> None:
        if self._file_lock is not None:
            self._file_lock.close()
            self._file_lock = None
        if self._pg_lock is not None:
            self._pg_lock.invalidate()  # ends the server's session, and with it the lock
            self._pg_lock.close()
            self._pg_lock = None

    def _requeue_lost(self) -> None:
        """Queue again what our tables call running and DBOS does not, e.g. after an orderly shutdown in mid run.

        On PostgreSQL another process may be about to start what it has claimed: only what is lost at two looks is.
        """
        from dbos import DBOS

        alive = ["PENDING", "ENQUEUED"]
        pending = {s.workflow_id for s in DBOS.list_workflows(status=alive, load_input=False, load_output=False)}
        lost = {(run, start) for run, status, start in self._host.unfinished() if status == "running"}
        lost = {(run, start) for run, start in lost if f"{run}.{start}" not in pending}
        for run_id, start in lost if self._database.is_sqlite else lost & self._suspects:
            self._host.requeue(run_id, start)
        self._suspects = lost

    def _poll(self) -> None:
        while not self._is_closing.wait(POLL_S):
            try:
                self._renew_state()
                for run_id, status, _ in self._host.unfinished():
                    if status == "queued":
                        self.start(run_id)
                if not self._database.is_sqlite:
                    self._renew_lock()
                    self._take_over_dead()
                    self._requeue_lost()
            except DatabaseUnavailable:  # told already
                continue
            except Exception:  # a passing database fault must not end the poller
                logger.exception("looking for queued runs failed")

    def _renew_lock(self) -> None:
        """Hold this process's lock again where the server was started anew, before others take its runs for a dead one's."""
        with self._lock:
            if self._is_launched and not is_held(self._pg_lock):
                self._own()

    def _take_over_dead(self) -> None:
        """Resume the runs of executors whose advisory lock is free: their process is gone."""
        from dbos import DBOS
        from sqlalchemy import text

        by_executor: dict[str, list[str]] = {}
        for status in DBOS.list_workflows(status="PENDING", load_input=False, load_output=False):
            if status.executor_id not in (None, self._executor_id):
                by_executor.setdefault(str(status.executor_id), []).append(status.workflow_id)
        for executor_id, ids in by_executor.items():
            with self._database.write() as connection:
                key = {"key": _lock_key(executor_id)}
                if connection.execute(text("SELECT pg_try_advisory_xact_lock(:key)"), key).scalar_one():
                    DBOS.resume_workflows(ids)


def _lock_key(executor_id: str) -> int:
    return 7_264_000_000 + zlib.crc32(executor_id.encode())


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _engine(path: Path, is_there: Callable[[], bool]) -> Any:
    """DBOS's SQLite state with our settings, and with the clock functions that older SQLite lacks."""
    from sqlalchemy import create_engine, event

    private_database(path)
    engine = create_engine(f"sqlite:///{path}", connect_args={"check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _on_connect(connection: sqlite3.Connection, _record: Any) -> None:
        if not is_there():
            raise Closing  # another file has its name by now; the run is taken up with a new one
        connection.isolation_level = "IMMEDIATE"
        for pragma in ("busy_timeout=30000", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")
        if sqlite3.sqlite_version_info < (3, 42):
            connection.create_function("unixepoch", -1, lambda *_: time.time(), deterministic=False)

    return engine
