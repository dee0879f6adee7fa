"""Opens the database that DATABASE_URL names, SQLite or PostgreSQL, and brings its tables up to date."""

import logging
import math
import os
import re
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

# DBOS loads this too, in a thread of its own: while it is half loaded, statements of other threads fail.
import sqlalchemy.orm  # noqa: F401
from sqlalchemy import Connection as Connection  # named by those who pass one on
from sqlalchemy import Engine, create_engine, event, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError

from core.errors import DatabaseUnavailable, InvalidRequest
from core.storage.engine.files import private_database, private_folder
from core.storage.engine.health import MOVED, OTHER, Health, is_new, is_there, reason, wrong_option
from core.storage.people.changes import watch
from core.storage.transfer.snapshot import keep

logger = logging.getLogger(__name__)

BUSY_TIMEOUT_MS = 10_000  # how long a call waits for another program's lock before it is told
MIGRATION_MS = 120_000  # how long a start waits while another process brings the tables up to date
CONNECT_S = 5
HEAD = "0035"
_VERSION = "SELECT version_num FROM alembic_version"
_MIGRATIONS = Path(__file__).parent / "migrations"
# What stands for a version while a copy into a database is not finished, and where one out of it is.
UNFINISHED, COPIED = "copying", "copied"


class Database:
    """One database: `read()` for queries, `write()` for transactions that begin by taking the write lock."""

    def __init__(self, url: str, *, keeps_backup: bool = True) -> None:
        """keeps_backup: Copy a file before its tables are brought up to date."""
        self._keeps_backup = keeps_backup
        self.url = to_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        shown = self.url.difference_update_query(["password", "sslpassword"])
        self.address = shown.render_as_string(hide_password=True)
        self.health = Health(self.address, Path(self.url.database or "").absolute() if self.is_sqlite else None)
        self._lock = threading.Lock()
        self._n_files = 0  # how often another file was taken for the one that was opened
        self._soon: tuple[int, Connection] | None = None
        self._kept: tuple[int, Connection] | None = None
        try:
            self._open()
        except (DBAPIError, sqlite3.Error, OSError) as error:
            if is_there(error):  # a table that a migration makes
                raise self._foreign() from None
            found = reason(error) or wrong_option(error)
            if found is None:
                raise
            raise DatabaseUnavailable(
                f"The database {self.address} cannot be used: {found[0]}.", hint=found[1]
            ) from None
        self.health.has_moved()  # from now on its name must mean this file

    def n_bytes(self) -> int | None:
        """The room that it takes, its log included; None = it has no file."""
        if not self.is_sqlite:
            return int(self.value(text("SELECT pg_database_size(current_database())")) or 0) or None
        files = (Path(f"{self.url.database}{end}") for end in ("", "-wal"))
        return sum(file.stat().st_size for file in files if file.exists()) or None

    def _open(self) -> None:
        if self.is_sqlite:
            private_folder(Path(self.url.database or "").absolute().parent)
            if not os.access(Path(self.url.database or "").absolute().parent, os.W_OK):
                raise DatabaseUnavailable(
                    f"The database {self.address} cannot be used: its folder is read-only.",
                    hint="SQLite keeps files beside it: let this user write there.",
                )
            self._refuse_foreign()
        self._readers = self._engine("BEGIN")
        self._writers = self._engine("BEGIN IMMEDIATE")
        watch(self._writers)
        self._soon_writers = self._engine("BEGIN IMMEDIATE", synchronous="NORMAL")
        self._migrate()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Raises: DatabaseUnavailable; so do those that write."""
        with self._used_for("reading"), self._readers.connect() as connection:
            yield connection

    def rows(self, statement: Any) -> Sequence[Any]:
        """All rows that a selection gives, in a reading of its own."""
        with self.read() as connection:
            return connection.execute(statement).all()

    def value(self, statement: Any) -> Any | None:
        """The first column of the first row; None = there is no row."""
        with self.read() as connection:
            return connection.execute(statement).scalar()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        with self._used_for("writing"), self._writers.begin() as connection:
            yield connection

    @contextmanager
    def write_kept(self) -> Iterator[Connection]:
        """`write` for one thread, the writer's: on SQLite its connection is kept."""
        with self._used_for("writing"):
            if not self.is_sqlite:
                with self._writers.begin() as connection:
                    yield connection
                return
            self._kept = self._current(self._kept, self._writers)
            with self._kept[1].begin():
                yield self._kept[1]

    @contextmanager
    def write_soon(self) -> Iterator[Connection]:
        """A transaction that others see at its end, and that a power cut right after may undo: no wait for the disk.

        For the writer's thread only: on SQLite its connection is kept, as fetching one costs more than the transaction.
        """
        with self._used_for("writing"):
            if not self.is_sqlite:
                with self._writers.begin() as connection:
                    connection.execute(text("SET LOCAL synchronous_commit TO off"))
                    yield connection
                return
            self._soon = self._current(self._soon, self._soon_writers)
            with self._soon[1].begin():
                yield self._soon[1]

    @contextmanager
    def _used_for(self, deed: str) -> Iterator[None]:
        moved = self.health.has_moved()
        if moved and not (moved == OTHER and self._adopt()):
            raise self.health.fail(deed, moved, MOVED)
        with self.health.explained(deed):
            yield

    def _current(self, kept: tuple[int, Connection] | None, engine: Engine) -> tuple[int, Connection]:
        """A kept connection to the file that is used now."""
        if kept is not None and kept[0] == self._n_files:
            return kept
        if kept is not None:
            kept[1].close()
        return self._n_files, engine.connect()

    def _adopt(self) -> bool:
        """Use the file that stands there now, such as a restored backup; False = it is no database of this version."""
        with self._lock:
            if not self.health.has_moved():  # another thread was first
                return True
            if self.health.has_its_log:
                return False
            try:
                uri = f"{Path(self.url.database or '').absolute().as_uri()}?mode=rw"  # not to make one that is gone
                with closing(sqlite3.connect(uri, uri=True)) as connection:
                    [version] = connection.execute(_VERSION).fetchone()
            except (sqlite3.Error, TypeError):
                return False
            if version != HEAD:
                return False
            for engine in (self._readers, self._writers, self._soon_writers):
                engine.dispose()
            self._n_files += 1
            self.health.forget()
            return not self.health.has_moved()

    @property
    def engine_for_runs(self) -> Engine:
        """The engine that workflow state on PostgreSQL shares."""
        return self._writers

    def close(self) -> None:
        for kept in (self._soon, self._kept):
            if kept is not None:
                kept[1].close()
        self._readers.dispose()
        self._writers.dispose()
        self._soon_writers.dispose()

    def _engine(self, begin: str, synchronous: str = "FULL") -> Engine:
        return sqlite_engine(self.url, begin, synchronous) if self.is_sqlite else _server_engine(self.url)

    def _migrate(self) -> None:
        with self._readers.connect() as connection:
            try:
                version = connection.execute(text(_VERSION)).scalar()
            except DBAPIError as error:
                if not is_new(error):
                    raise
                version = None
        if version == HEAD:
            return
        self._refuse_others(version)
        # Imported here: it takes longer to load than the check above, and is needed once per release.
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
        with self._writers.connect() as connection:
            if self.is_sqlite:
                driver: Any = connection.connection.driver_connection
                driver.execute(f"PRAGMA busy_timeout={MIGRATION_MS}")
            connection.begin()
            if self.is_sqlite and version is not None:
                version = connection.execute(text(_VERSION)).scalar()  # another process may have done it meanwhile
                if version != HEAD:
                    self._keep_before_upgrade(str(version))
            if not self.is_sqlite:  # two processes may start at once; SQLite's write lock already orders them
                connection.execute(text("SELECT pg_advisory_xact_lock(7264110)"))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()
            connection.invalidate()  # it waits longer than others may

    def _keep_before_upgrade(self, version: str) -> None:
        """Copy the file as it is, while nobody can write to it.

        Raises:
            DatabaseUnavailable: There is no room for it.
        """
        if not self._keeps_backup:
            return
        try:
            kept = keep(Path(self.url.database or ""), f"version-{version}")
        except DatabaseUnavailable as error:
            raise DatabaseUnavailable(
                f"The database is not brought up to date, as it cannot be copied before: {error.message}",
                hint="Make room, or do without: aimm db upgrade --without-backup",
            ) from None
        logger.warning("the database of version %s is kept as %s", version, kept)

    def _refuse_others(self, version: Any) -> None:
        """Leave alone what this version does not know how to bring up to date.

        Raises:
            DatabaseUnavailable
        """
        if version is None or version in known_versions():
            return
        if version == UNFINISHED:
            raise DatabaseUnavailable(
                f"A copy into the database {self.address} is not finished.", hint="Go on with it: aimm db copy."
            )
        if version == COPIED:
            raise DatabaseUnavailable(
                f"The database {self.address} was copied into another one, where its records go on.",
                hint="Set DATABASE_URL to the new address; to go on with this one: aimm db copy --abandon",
            )
        if not is_ours(str(version)):
            raise self._foreign()
        raise DatabaseUnavailable(
            f"The database {self.address} is of a newer version ({version}) than this program ({HEAD}).",
            hint="Install the newer version, or use another database.",
        )

    def _foreign(self) -> DatabaseUnavailable:
        return DatabaseUnavailable(
            f"The database {self.address} holds tables of another program.", hint="Check DATABASE_URL."
        )

    def _refuse_foreign(self) -> None:
        """Leave another program's file as it is: even our way of writing to it is kept in the file.

        Raises:
            DatabaseUnavailable
        """
        file = Path(self.url.database or "").absolute()
        if not file.is_file() or not file.stat().st_size:
            return
        try:
            with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
                names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
                version = connection.execute(_VERSION).fetchone() if "alembic_version" in names else None
        except sqlite3.OperationalError:  # locked or not to be read: what opens it says why
            return
        if names - {"alembic_version"} and version is None:
            raise self._foreign()
        self._refuse_others(version and version[0])


def is_ours(version: str) -> bool:
    """Tell a version of this program, a newer one too, from one that another program with Alembic has noted."""
    return re.fullmatch(r"\d{4}", version) is not None


def known_versions() -> set[str]:
    """The versions of tables that this program can bring up to date, its own among them."""
    return {path.name[:4] for path in (_MIGRATIONS / "versions").glob("[0-9]*.py")}


class Store:
    """A reader of one family of tables; what is written takes the connection of its transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database


def in_batches(connection: Connection, statement: Any) -> Any:
    """The rows of a large selection, a few thousand in memory at a time; later statements are as usual."""
    return connection.execute(statement, execution_options={"yield_per": 5000})


def open_engine(url: URL) -> Engine:
    """An engine for one who writes, which looks at nothing and makes no tables."""
    return sqlite_engine(url, "BEGIN IMMEDIATE") if url.get_backend_name() == "sqlite" else _server_engine(url)


def _server_engine(url: URL) -> Engine:
    # In a database without an encoding, the driver would give bytes for texts.
    options = {"connect_timeout": CONNECT_S, "client_encoding": "utf8"}
    given = {name: value for name, value in options.items() if name not in url.query}
    return create_engine(url, pool_size=8, max_overflow=8, pool_pre_ping=True, hide_parameters=True, connect_args=given)


def sqlite_engine(url: URL, begin: str, synchronous: str = "FULL") -> Engine:
    """An engine whose transactions we begin ourselves: the driver would begin them late and never for reads."""
    private_database(Path(url.database or ""))
    engine = create_engine(
        url, connect_args={"check_same_thread": False}, pool_size=8, max_overflow=24, hide_parameters=True
    )

    @event.listens_for(engine, "connect")
    def _on_connect(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None
        # What is no UTF-8 would take the whole answer with it: it shows as U+FFFD instead.
        try:
            connection.execute("SELECT ln(1)")
        except sqlite3.OperationalError:  # built without functions of mathematics
            connection.create_function("ln", 1, math.log, deterministic=True)
        connection.text_factory = partial(str, encoding="utf-8", errors="replace")
        if not os.path.getsize(url.database or ""):
            # A new file can then give back the room of what was deleted. Of another one this would take the write lock.
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
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


def to_url(text_: str, name: str = "DATABASE_URL") -> URL:
    """The parts of an address. name: Where it stands, for errors. Raises: InvalidRequest: It is none of ours."""
    try:
        url = make_url(text_)
        backend = url.get_backend_name()
    except (ArgumentError, ValueError):  # no address, or a port that is no number
        raise InvalidRequest(
            f"{name} is not an address; it must look like sqlite:///data/aimm.db or postgresql://…"
        ) from None
    if backend in ("postgresql", "postgres"):
        if "@" in (url.host or ""):  # what stands before it is a part of the password, and would be shown
            raise InvalidRequest(f"{name}: a @ in the user's name or password must be written %40.")
        return url.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise InvalidRequest(f"{name} names {backend!r}; sqlite and postgresql are supported")
    if url.host or url.query or url.drivername not in ("sqlite", "sqlite+pysqlite"):
        raise InvalidRequest(
            f"{name}: of SQLite it is only a path, such as sqlite:///data/aimm.db, without driver and ?"
        )
    path = os.path.expanduser(url.database or "")
    if path in ("", ":memory:") or not Path(path).name:
        raise InvalidRequest(f"{name} names no file; the records need one, such as sqlite:///data/aimm.db")
    return url.set(database=path)
