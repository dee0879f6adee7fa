"""The only module that knows DBOS, which executes what the engine gives it.

Its state may be deleted at any time: who executes which run stands in our own tables. DBOS is one per process, and one
process per SQLite file has it, as its state there is a file of its own.
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from core.errors import Conflict
from core.runs.job import Closing
from core.storage.engine.database import Database
from core.storage.engine.files import private_database, private_opener

logger = logging.getLogger(__name__)

APPLICATION = "aimm"
VERSION = "1"  # pinned: by default it is a hash of the source
WORKFLOW = "aimm_run"  # the name and the first two arguments are those of earlier versions, whose runs it may be given

Execute = Callable[[str, str, int], None]

_execute: Execute | None = None
_registered: dict[str, Any] = {}
_process_lock = threading.Lock()


def _workflow() -> Any:
    """The DBOS workflow of all kinds of runs, made once per process."""
    from dbos import DBOS

    if not _registered:

        @DBOS.workflow(name=WORKFLOW)
        def run(run_id: str, start: int, kind: str = "workflow") -> None:
            if _execute is None:
                raise Conflict("The engine is closed.")
            _execute(kind, run_id, start)

        _registered["run"] = run
    return _registered["run"]


class DbosRuntime:
    """DBOS while this process has it. Not safe for use from several threads at once: the engine holds a lock."""

    def __init__(self, database: Database, executor_id: str, execute: Execute) -> None:
        """Make it ready; nothing is launched yet.

        executor_id: One that no other process has, so that DBOS takes up nothing by itself.
        execute: Takes kind, run id and start.
        """
        self._database = database
        self._executor_id = executor_id
        self._execute = execute
        self._file_lock: IO[str] | None = None
        self.is_launched = False
        self._state: tuple[int, int] | None = None  # its file, which must go on to be the one of its name

    def launch(self) -> bool:
        """Have DBOS from now on; False where another process of this SQLite file does.

        Raises:
            Conflict: Another manager of this process has it.
        """
        global _execute
        if self.is_launched:
            return True
        if not self._lock_file():
            return False
        if not _process_lock.acquire(blocking=False):
            self._release_file()
            raise Conflict("Another ModelManager of this process executes runs; close it first.")
        dbos_logger = logging.getLogger("dbos")
        dbos_logger.setLevel(logging.ERROR)
        dbos_logger.addFilter(self._is_news)
        # Its own writes to what was the standard error when it was imported, which may be closed by now.
        dbos_logger.handlers.clear()
        dbos_logger.propagate = True
        _execute = self._execute
        try:
            self._begin()
        except BaseException:  # the next one that tries must not find it taken
            _execute = None
            _process_lock.release()
            self._release_file()
            raise
        self.is_launched = True
        return True

    def start(self, kind: str, run_id: str, start: int) -> None:
        from dbos import DBOS, SetWorkflowID

        with SetWorkflowID(f"{run_id}.{start}"):
            DBOS.start_workflow(_workflow(), run_id, start, kind)

    def renew(self) -> None:
        """Begin anew where DBOS's file was deleted or replaced; the runs under way do not mind."""
        from dbos import DBOS

        if self.is_launched and self._database.is_sqlite and not self._has_state():
            logger.warning("%s was deleted or moved away; it is made anew", self._state_file())
            DBOS.destroy()
            self._begin()

    def close(self) -> None:
        global _execute
        if self.is_launched:
            from dbos import DBOS

            DBOS.destroy()
            _execute = None
            self.is_launched = False
            _process_lock.release()
        self._release_file()

    def _begin(self) -> None:
        from dbos import DBOS

        _workflow()
        with self._database.health.explained("writing"):
            DBOS(config=self._config())
            DBOS.launch()

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

    def _lock_file(self) -> bool:
        if not self._database.is_sqlite:
            return True
        import fcntl

        path = Path(f"{self._database.url.database}.engine.lock")
        self._file_lock = open(path, "w", opener=private_opener)  # noqa: SIM115 - it is held while the process lives
        try:
            fcntl.flock(self._file_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._release_file()
            return False
        return True

    def _release_file(self) -> None:
        if self._file_lock is not None:
            self._file_lock.close()
            self._file_lock = None


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
            raise Closing  # another file has its name by now
        connection.isolation_level = "IMMEDIATE"
        for pragma in ("busy_timeout=30000", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")
        if sqlite3.sqlite_version_info < (3, 42):
            connection.create_function("unixepoch", -1, lambda *_: time.time(), deterministic=False)

    return engine
