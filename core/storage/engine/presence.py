"""Signs of life: each process holds a lock that the operating system or the database server frees when it dies."""

import os
import re
import threading
import time
import zlib
from pathlib import Path
from typing import IO, Any

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from core.storage.engine.database import Database
from core.storage.engine.files import private_folder, private_opener

_TOKEN = re.compile(r"p[0-9a-f]+-[0-9a-f]+")


class Presence:
    """This process's token, and whether that of another is still held. Nothing is locked before `announce`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.token = f"p{os.getpid():x}-{time.time_ns():x}"
        self._lock = threading.Lock()
        self._file: IO[str] | None = None
        self._connection: Any = None

    def announce(self) -> str:
        """Hold this process's lock from now on; returns the token."""
        with self._lock:
            if self._database.is_sqlite and self._file is None:
                import fcntl

                path = self._path(self.token)
                private_folder(path.parent)
                self._file = open(path, "w", opener=private_opener)  # noqa: SIM115 - it is held while the process lives
                fcntl.flock(self._file, fcntl.LOCK_EX)
            elif not self._database.is_sqlite and self._connection is None:
                with self._database.health.explained("reading"):
                    connection = self._database.engine_for_runs.connect()
                    connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _key(self.token)})
                    connection.commit()
                self._connection = connection
        return self.token

    def renew(self) -> None:
        """Take the lock again where the server was started anew, or this process would be taken for dead."""
        with self._lock:
            if self._connection is None or is_held(self._connection):
                return
            self._connection = None
        self.announce()

    def is_alive(self, token: str) -> bool:
        if token == self.token:
            return True
        return self._holds_file(token) if self._database.is_sqlite else self._holds_lock(token)

    def close(self) -> None:
        with self._lock:
            if self._file is not None:
                self._path(self.token).unlink(missing_ok=True)
                self._file.close()
                self._file = None
            if self._connection is not None:
                if is_held(self._connection):  # the server ends a session, and with it its locks, a little later
                    self._connection.execute(text("SELECT pg_advisory_unlock_all()"))
                    self._connection.invalidate()
                    self._connection.close()
                self._connection = None

    def _path(self, token: str) -> Path:
        return Path(f"{self._database.url.database}.processes") / token

    def _holds_file(self, token: str) -> bool:
        import fcntl

        if not _TOKEN.fullmatch(token):
            return False
        try:
            with self._path(token).open("r") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        self._path(token).unlink(missing_ok=True)  # its process is gone
        return False

    def _holds_lock(self, token: str) -> bool:
        with self._database.read() as connection:
            free = connection.execute(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": _key(token)})
            return not free.scalar_one()


def is_held(connection: Any) -> bool:
    """True while a connection, and with it the locks of its session, is there; a lost one is closed."""
    try:
        connection.execute(text("SELECT 1"))
        connection.commit()
    except DBAPIError:
        connection.invalidate()
        connection.close()
        return False
    return True


def _key(token: str) -> int:
    return 7_264_000_000 + zlib.crc32(token.encode())
