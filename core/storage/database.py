"""Opens the database that DATABASE_URL names, SQLite or PostgreSQL, and brings its tables up to date."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection as Connection  # named by those who pass one on
from sqlalchemy import Engine, create_engine, event, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

from core.errors import AimmError, InvalidRequest
from core.storage.files import private_database, private_folder

BUSY_TIMEOUT_MS = 120_000  # the longest write, charging millions of past calls anew, takes a minute
HEAD = "0007"
_MIGRATIONS = Path(__file__).parent / "migrations"


class Database:
    """One database: `read()` for queries, `write()` for transactions that begin by taking the write lock."""

    def __init__(self, url: str) -> None:
        self.url = _to_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.is_sqlite:
            if self.url.database in (None, "", ":memory:"):
                raise InvalidRequest("DATABASE_URL names no file; the records need one, such as sqlite:///data/aimm.db")
            private_folder(Path(self.url.database or "").absolute().parent)
        try:
            self._readers = self._engine("BEGIN")
            self._writers = self._engine("BEGIN IMMEDIATE")
            self._soon_writers = self._engine("BEGIN IMMEDIATE", synchronous="NORMAL")
            self._soon: Connection | None = None
            self._kept: Connection | None = None
            self._migrate()
        except OperationalError as error:
            raise AimmError(
                f"The database {self.url.render_as_string(hide_password=True)} cannot be opened: {error.orig}",
                hint="Check DATABASE_URL, and that the folder can be written or the server runs.",
            ) from error

    @contextmanager
    def read(self) -> Iterator[Connection]:
        with self._readers.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        with self._writers.begin() as connection:
            yield connection

    @contextmanager
    def write_kept(self) -> Iterator[Connection]:
        """`write` for one thread, the writer's: on SQLite its connection is kept."""
        if not self.is_sqlite:
            with self._writers.begin() as connection:
                yield connection
            return
        if self._kept is None:
            self._kept = self._writers.connect()
        with self._kept.begin():
            yield self._kept

    @contextmanager
    def write_soon(self) -> Iterator[Connection]:
        """A transaction that others see at its end, and that a power cut right after may undo: no wait for the disk.

        For one thread, the writer's: on SQLite its connection is kept, because fetching one costs more than the transaction.
        """
        if not self.is_sqlite:
            with self._writers.begin() as connection:
                connection.execute(text("SET LOCAL synchronous_commit TO off"))
                yield connection
            return
        if self._soon is None:
            self._soon = self._soon_writers.connect()
        with self._soon.begin():
            yield self._soon

    @property
    def engine_for_runs(self) -> Engine:
        """The engine that workflow state on PostgreSQL shares."""
        return self._writers

    def close(self) -> None:
        for kept in (self._soon, self._kept):
            if kept is not None:
                kept.close()
        self._readers.dispose()
        self._writers.dispose()
        self._soon_writers.dispose()

    def _engine(self, begin: str, synchronous: str = "FULL") -> Engine:
        if not self.is_sqlite:
            return create_engine(self.url, pool_size=8, max_overflow=8, pool_pre_ping=True, hide_parameters=True)
        return sqlite_engine(self.url, begin, synchronous)

    def _migrate(self) -> None:
        with self._readers.connect() as connection:
            try:
                version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
            except DBAPIError:  # the table is not there yet: a new database
                version = None
        if version == HEAD:
            return
        # Imported here: it takes longer to load than the check above, and is needed once per release.
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS))
        with self._writers.begin() as connection:
            if not self.is_sqlite:  # two processes may start at once; SQLite's write lock already orders them
                connection.execute(text("SELECT pg_advisory_xact_lock(7264110)"))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def in_batches(connection: Connection, statement: Any) -> Any:
    """The rows of a large selection, a few thousand in memory at a time; later statements are as usual."""
    return connection.execute(statement, execution_options={"yield_per": 5000})


def sqlite_engine(url: URL, begin: str, synchronous: str = "FULL") -> Engine:
    """An engine whose transactions we begin ourselves: the driver would begin them late and never for reads."""
    private_database(Path(url.database or ""))
    engine = create_engine(
        url, connect_args={"check_same_thread": False}, pool_size=8, max_overflow=24, hide_parameters=True
    )

    @event.listens_for(engine, "connect")
    def _on_connect(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None
        for pragma in (
            f"busy_timeout={BUSY_TIMEOUT_MS}",
            "journal_mode=WAL",
            f"synchronous={synchronous}",
            "foreign_keys=ON",
            "cache_size=-16000",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _to_url(text_: str) -> URL:
    try:
        url = make_url(text_)
    except ArgumentError:
        raise InvalidRequest(
            "DATABASE_URL is not an address; it must look like sqlite:///data/aimm.db or postgresql://…"
        ) from None
    backend = url.get_backend_name()
    if backend in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise InvalidRequest(f"DATABASE_URL names {backend!r}; sqlite and postgresql are supported")
    return url
