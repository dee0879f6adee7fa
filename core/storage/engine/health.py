"""The reason that a database cannot be used, in a sentence; said in the log once, not for each request."""

import logging
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from core.errors import AimmError, DatabaseUnavailable, InvalidRequest

logger = logging.getLogger(__name__)

GONE, OTHER = "its file was deleted or moved away", "another file stands in its place"
LOCKED = "another program holds it locked"
NO_LOG = "the -wal file beside it, which holds its latest records, was deleted or moved away"
MOVED = "Put the files back together, -wal and -shm with them, or stop the server, which writes down what it has."
# SQLite's primary result codes.
_SQLITE = {
    sqlite3.SQLITE_FULL: ("the disk is full", "Make room."),
    sqlite3.SQLITE_READONLY: ("its file or folder is read-only", "Let this user write there."),
    sqlite3.SQLITE_CANTOPEN: ("its file cannot be opened", "Look whether its folder is there and may be written."),
    sqlite3.SQLITE_PERM: ("this user may not use its file", "Let this user read and write it."),
    sqlite3.SQLITE_AUTH: ("this user may not use its file", "Let this user read and write it."),
    sqlite3.SQLITE_BUSY: (LOCKED, "Close the program that does."),
    sqlite3.SQLITE_LOCKED: (LOCKED, "Close the program that does."),
    sqlite3.SQLITE_PROTOCOL: (LOCKED, "Close the program that does."),
    sqlite3.SQLITE_NOTADB: ("its file is no SQLite database", "Check DATABASE_URL."),
    sqlite3.SQLITE_CORRUPT: ("its file is damaged", "Restore a backup, or try: sqlite3 FILE .recover"),
    sqlite3.SQLITE_IOERR: ("its file cannot be read or written", "Look at the disk."),
}
_SERVER_HINT = "Check DATABASE_URL and that the server runs."


def reason(error: BaseException) -> tuple[str, str] | None:
    """(why, what to do) where an error says that the database cannot be used; None where the statement was at fault."""
    if isinstance(error, PoolTimeout):
        return "all its connections are in use", ""
    if isinstance(error, OSError):
        return f"its file cannot be made: {os.strerror(error.errno) if error.errno else error}", "Check DATABASE_URL."
    orig = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(orig, sqlite3.Error):
        if "no such table" in str(orig):
            return "it has not the tables of this program", "Another file may have been put in its place."
        return _SQLITE.get(getattr(orig, "sqlite_errorcode", -1) & 0xFF)
    names = {kind.__name__ for kind in type(orig).__mro__ if kind.__module__.startswith("psycopg")}
    if not names:
        return None
    state = str(getattr(orig, "sqlstate", None) or "")
    if state in ("25006", "42501"):
        return "it is read-only for this user", _SERVER_HINT
    if state.startswith("53"):
        return ("the server's disk is full", "Make room.") if state == "53100" else (_last_words(orig), _SERVER_HINT)
    if state == "42P01":
        return "it has not the tables of this program", _SERVER_HINT
    is_lost = bool(names & {"InterfaceError", "OperationalError"}) and (
        not state or state[:2] in ("08", "28", "3D", "57")
    )
    return (_last_words(orig), _SERVER_HINT) if is_lost or state == "55P03" else None


def is_new(error: DBAPIError) -> bool:
    """True if a statement failed because its table is not there."""
    return "no such table" in str(error.orig) or getattr(error.orig, "sqlstate", None) == "42P01"


def is_there(error: BaseException) -> bool:
    """True if a table could not be made because there is one of its name."""
    return getattr(getattr(error, "orig", None), "sqlstate", None) == "42P07"


def wrong_option(error: BaseException) -> tuple[str, str] | None:
    """(why, what to do) where the driver does not know what an address says after its ?."""
    orig = getattr(error, "orig", None)
    is_driver = type(orig).__name__ == "ProgrammingError" and getattr(orig, "sqlstate", None) is None
    return (_last_words(orig), "Check DATABASE_URL.") if is_driver else None


def _last_words(orig: BaseException | None) -> str:
    """The last words of a server or its driver: it may have tried several addresses, and these tell the cause."""
    lines = [line for line in str(orig).splitlines() if line.strip()] or ["it does not answer"]
    words = next((line for line in reversed(lines) if "FATAL:" in line), lines[0])
    return re.split(r"FATAL:|failed:", words)[-1].strip(" -.") or "it does not answer"


class Health:
    """The state of a database.

    address: As it may be shown.
    file: SQLite's file, whose name must keep meaning the same file; None = a server.
    """

    def __init__(self, address: str, file: Path | None) -> None:
        self._address = address
        self._file = file
        self._identity: tuple[int, int] | None = None
        self._wal = 0  # the inode of the write-ahead log; while we are connected, SQLite keeps to one
        self._troubles: dict[str, str] = {}  # reading, writing -> why it cannot be done

    @property
    def is_troubled(self) -> bool:
        return bool(self._troubles)

    @property
    def is_locked(self) -> bool:
        return self._troubles.get("writing") == LOCKED

    @contextmanager
    def explained(self, deed: str) -> Iterator[None]:
        """Turn what says that the database cannot be used into one error. deed: reading or writing.

        Raises:
            DatabaseUnavailable
        """
        try:
            yield
        except Exception as error:
            # Prepared statements go around SQLAlchemy: their errors are the driver's own.
            if isinstance(error, UnicodeEncodeError) or "cannot contain NUL" in str(error):
                raise InvalidRequest("A text holds a NUL or half of a surrogate pair, which cannot be kept.") from None
            found = None if isinstance(error, OSError) else reason(error)
            if found is None:
                raise
            raise self.fail(deed, *found) from None
        if deed == "reading" and self._troubles:
            self.recover(deed)  # what can be written is another matter: a full disk takes small things

    def fail(self, deed: str, why: str, hint: str) -> AimmError:
        if why not in self._troubles.values():
            logger.error("the database %s cannot be used: %s", self._address, why)
        self._troubles[deed] = why
        return DatabaseUnavailable(f"The database cannot be used: {why}.", hint=hint)

    def recover(self, deed: str) -> None:
        if self._troubles.pop(deed, None) is not None and not self._troubles:
            logger.warning("the database %s can be used again", self._address)

    def has_moved(self) -> str:
        """GONE, OTHER or NO_LOG where the file's name no longer means the file that was opened; empty = it does."""
        if self._file is None:
            return ""
        try:
            found = os.stat(self._file)
        except OSError:
            return GONE
        identity = found.st_dev, found.st_ino
        if self._identity is None:
            self._identity = identity
        if identity != self._identity:
            return OTHER
        wal = _inode(f"{self._file}-wal")
        self._wal = self._wal or wal
        return "" if wal == self._wal else NO_LOG

    @property
    def has_its_log(self) -> bool:
        """True while the opened file's write-ahead log has its name: SQLite would write it into another file there."""
        return self._wal != 0 and _inode(f"{self._file}-wal") == self._wal

    def forget(self) -> None:
        """Take the file that is there now for the one that is meant."""
        self._identity, self._wal = None, 0


def _inode(path: str) -> int:
    try:
        return os.stat(path).st_ino
    except OSError:
        return 0
