"""The databases that are copied from: read table by table, in pieces that fit into memory."""

import hashlib
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from sqlalchemy import LargeBinary, Table, select, text

from core.errors import AimmError, Conflict, DatabaseUnavailable
from core.formats.text import storable
from core.storage.engine.database import Database
from core.storage.engine.files import private_opener
from core.storage.engine.health import reason, wrong_option
from core.storage.transfer import changes
from core.storage.transfer.snapshot import explained, reading
from core.storage.transfer.tables import Contents, contents_of, contents_of_file, key_names

PIECE_ROWS, PIECE_BYTES = 5_000, 16_000_000

Row = tuple[Any, ...]


class Piece(NamedTuple):
    """Rows of one table. place: Where the next piece begins; None = it cannot be gone on with from there."""

    rows: list[Row]
    place: int | None


class Source(Protocol):
    """A database to copy from.

    address: As it may be shown. identity: The same for each time that a copy of it is gone on with.
    is_resumable: Its places mean the same the next time.
    replaced: Table -> texts of which characters had to be replaced.
    """

    address: str
    identity: str
    is_resumable: bool
    replaced: Counter[str]

    def pieces(self, table: Table, place: int | None) -> Iterator[Piece]: ...
    def contents(self) -> Contents: ...
    def close(self) -> None: ...


class SqliteSource:
    """A SQLite file. What it holds of texts that PostgreSQL does not take (NUL, bytes that are no text) is replaced."""

    is_resumable = True

    def __init__(self, file: Path, still_as: str = "") -> None:
        """still_as: The identity of what nobody writes to, such as a backup."""
        self.file, self.address = file, f"sqlite:///{file}"
        self.replaced: Counter[str] = Counter()
        self._table = ""
        self._reading = reading(file)
        with explained(file):
            if still_as:
                self.connection = self._reading.__enter__()
                self.identity = still_as
            else:
                self._lock = _only_one(file)
                self.connection = sqlite3.connect(file, isolation_level=None)
                self.connection.execute("PRAGMA busy_timeout=30000")
                self._watched = changes.watch(self.connection)
                self.identity = self._watched.id
        self.connection.text_factory = self._as_text

    def pieces(self, table: Table, place: int | None) -> Iterator[Piece]:
        after = 0 if place is None else place
        rest = "WHERE rowid > ? ORDER BY rowid LIMIT ?"
        statement = f"SELECT rowid, {_columns(table)} FROM {table.name} {rest}"  # noqa: S608
        while True:
            self._table = table.name
            rows: list[Row] = []
            size = 0
            with explained(self.file), closing(self.connection.execute(statement, (after, PIECE_ROWS))) as cursor:
                for row in cursor:
                    after = row[0]
                    rows.append(row[1:])
                    size += _size(row)
                    if size > PIECE_BYTES:
                        break
            if not rows:
                return
            yield Piece(rows, after)

    def rows_of(self, table: Table, keys: list[tuple[object, ...]]) -> list[Row]:
        """The rows of these keys that are there."""
        self._table = table.name
        where = " AND ".join(f'"{name}" = ?' for name in key_names(table))
        statement = f"SELECT {_columns(table)} FROM {table.name} WHERE {where}"  # noqa: S608
        return [row for key in keys for row in self.connection.execute(statement, key)]

    def contents(self) -> Contents:
        with explained(self.file):
            return contents_of_file(self.connection)

    def has_itself(self) -> bool:
        """Begin a transaction that nobody else can even read beside, if nobody else has the file open."""
        with explained(self.file):
            self.connection.execute("PRAGMA busy_timeout=0")
            try:
                # SQLite refuses to leave this mode while another connection is there, idle or not.
                self.connection.execute("PRAGMA journal_mode=DELETE").fetchone()
                self.connection.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                    raise
                return False
            finally:
                self.connection.execute("PRAGMA busy_timeout=30000")
            return True

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Commit at the end what is written in the transaction that is open, or nothing of it."""
        try:
            yield
        except BaseException:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    def leave(self) -> None:
        """Take away what was begun just now, as nothing is copied; what was begun before stays."""
        if self._watched.is_new:
            self.abandon()

    def abandon(self) -> None:
        """Note changes no longer."""
        self.connection.execute("BEGIN IMMEDIATE")
        changes.unwatch(self.connection)
        self.connection.execute("COMMIT")

    def close(self) -> None:
        self.connection.close()
        if hasattr(self, "_lock"):
            self._lock.close()

    def _as_text(self, raw: bytes) -> str:
        try:
            found = raw.decode()
        except UnicodeDecodeError:
            found = raw.decode(errors="replace")
            self.replaced[self._table] += 1
        if "\0" in found:
            self.replaced[self._table] += 1
            return storable(found)
        return found


class PostgresSource:
    """A PostgreSQL database as it was at one moment, however long it is read."""

    is_resumable = False

    def __init__(self, database: Database) -> None:
        self.address = self.identity = database.address
        self.replaced: Counter[str] = Counter()
        self._database = database
        options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with database.health.explained("reading"):
            self._connection = database.engine_for_runs.connect().execution_options(**options)
            self._connection.execute(text("SELECT 1"))

    def pieces(self, table: Table, place: int | None) -> Iterator[Piece]:
        statement = select(table).execution_options(yield_per=1000)
        rows: list[Row] = []
        size = 0
        with self._database.health.explained("reading"):
            for row in self._connection.execute(statement):
                rows.append(tuple(row))
                size += _size(rows[-1])
                if size > PIECE_BYTES or len(rows) >= PIECE_ROWS:
                    yield Piece(rows, None)
                    rows, size = [], 0
        if rows:
            yield Piece(rows, None)

    def contents(self) -> Contents:
        with self._database.health.explained("reading"):
            return contents_of(self._connection)

    def close(self) -> None:
        self._connection.close()


@contextmanager
def answering(address: str) -> Iterator[None]:
    """Turn what says that a database cannot be used into one error, which names it. address: As it may be shown."""
    try:
        yield
    except AimmError:
        raise
    except Exception as error:
        found = reason(error) or wrong_option(error)
        if found is None:
            raise
        raise DatabaseUnavailable(f"The database {address} cannot be used: {found[0]}.", hint=found[1]) from None


def n_others(connection: Any) -> int:
    """The number of other sessions in a PostgreSQL database."""
    found = connection.execute(
        text(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend'"
        )
    )
    return int(found.scalar_one())


def _columns(table: Table) -> str:
    """The columns, each of its own kind: SQLite keeps whatever a program gives it."""
    return ", ".join(_column(column) for column in table.c)


def _column(column: Any) -> str:
    if isinstance(column.type, LargeBinary):
        return f'CAST("{column.name}" AS BLOB)'
    return f'CAST("{column.name}" AS TEXT)' if column.type.python_type is str else f'"{column.name}"'


def _size(row: Any) -> int:
    return sum(len(value) for value in row if type(value) is str or type(value) is bytes)


def digest(file: Path) -> str:
    """Its size and its time: another file, or one that was written to, has another."""
    found = file.stat()
    return hashlib.sha256(f"{found.st_size} {found.st_mtime_ns}".encode()).hexdigest()[:16]


def _only_one(file: Path) -> Any:
    """A lock that only one copy of a file has at a time. Raises: Conflict"""
    import fcntl

    lock = open(f"{file}.copy.lock", "w", opener=private_opener)  # noqa: SIM115 - it is held while the process lives
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise Conflict(f"Another process copies {file} just now.") from None
    return lock
