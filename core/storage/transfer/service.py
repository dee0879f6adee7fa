"""Deeds of a person on a whole database: back it up, restore it, copy it, bring it up to date, ask its version."""

import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sqlalchemy import URL, Connection, text

from core.errors import AimmError, Conflict, InvalidRequest, register_secret
from core.storage.engine.database import (
    COPIED,
    HEAD,
    UNFINISHED,
    Database,
    is_ours,
    known_versions,
    open_engine,
    to_url,
)
from core.storage.transfer.backup import Backup, back_up_file, back_up_server
from core.storage.transfer.copying import Copied, Tell, copy_live, copy_still
from core.storage.transfer.restoring import restore
from core.storage.transfer.snapshot import copy_file, reading, version_of
from core.storage.transfer.source import PostgresSource, SqliteSource, answering, n_others
from core.storage.transfer.tables import Contents
from core.storage.transfer.target import Target

_TARGET = "The address to copy to"
T = TypeVar("T")
Check = Callable[[str], list[str]]


@dataclass(frozen=True, slots=True)
class Report:
    """A copy that is finished, with both addresses as they may be shown; see `Copied`.

    differences: Of sums and raw rows on both sides, in words; None = nobody looked.
    """

    source: str
    target: str
    contents: Contents
    replaced: dict[str, int]
    brought: int
    still_s: float
    differences: tuple[list[str], list[str]] | None


class Transfers:
    """Deeds on the database of an address. tell: Is given a sentence now and then."""

    def __init__(self, address: str, tell: Tell) -> None:
        self._address, self._tell = address, tell
        self._url = to_url(address)
        self._shown = self._url.difference_update_query(["password", "sslpassword"]).render_as_string(
            hide_password=True
        )
        self._is_file = self._url.get_backend_name() == "sqlite"

    @staticmethod
    def has_password(address: str) -> bool:
        url = to_url(address, _TARGET)
        return bool(url.password or url.query.get("password"))

    @staticmethod
    def with_copy(file: Path, use: Callable[[str], T]) -> T:
        """Use a copy of a file, which stays as it is; of one that was copied elsewhere, as it was before."""
        with tempfile.TemporaryDirectory(prefix="aimm-", dir=file.parent) as folder:
            copy = Path(folder) / "aimm.db"
            copy_file(file, copy)
            with closing(sqlite3.connect(copy)) as connection, connection:
                connection.execute("UPDATE alembic_version SET version_num = ? WHERE version_num = ?", (HEAD, COPIED))
            return use(f"sqlite:///{copy}")

    def back_up(self, file: str) -> Backup:
        """Write a backup while the database goes on being used: all that was written before is in it.

        A database is not brought up to date for it.

        Raises:
            AimmError: The file is there already, cannot be written, or there is no room.
        """
        path = Path(file).expanduser().absolute()
        if self._is_file:
            return back_up_file(self._file(), path, self._tell)
        version = self._version()
        if version in known_versions() and version != HEAD:
            raise Conflict(
                f"The tables are of version {version}, the program of {HEAD}: it can only read its own.",
                hint="Back up with pg_dump, or with the older version; or first: aimm db upgrade",
            )
        database = Database(self._address)
        try:
            return back_up_server(database, path, self._tell)
        finally:
            database.close()

    def restore(self, file: str, *, force: bool) -> Backup:
        """See `restore` of the module of restoring."""
        return restore(Path(file).expanduser().absolute(), self._address, self._tell, force=force)

    def copy(self, address: str, *, waits: bool, check: Check | None = None) -> Report | None:
        """Copy into another database, or go on with it; None = others still use this one, and are not waited for.

        check: Recomputes the sums of an address. It is asked of both sides, for the old one of a copy of it.
        """
        url = to_url(address, _TARGET)
        register_secret(url.password)
        if _place(url) == _place(self._url):
            raise InvalidRequest("The database is to be copied into itself.")
        return self._from_file(address, waits, check) if self._is_file else self._from_server(address, check)

    def abandon(self) -> str:
        """Go on with this database, whether a copy was begun or is finished, and say so."""
        was = self._version()
        if was == COPIED:
            with self._raw() as connection:
                connection.execute(text("UPDATE alembic_version SET version_num = :version"), {"version": HEAD})
            return "Servers can use this database again. What was recorded in the copy since is not in it."
        self._opened().close()
        if not self._is_file:
            return "No copy was begun."
        source = SqliteSource(Path(self._url.database or ""))
        try:
            source.abandon()
        finally:
            source.close()
        return "No changes are noted for a copy any more. Drop the database that it went to."

    def upgrade(self, *, keeps_backup: bool) -> str:
        """Bring the tables up to date, and say so."""
        before = self._version()
        Database(self._address, keeps_backup=keeps_backup).close()
        return f"The database is of version {HEAD}." + ("" if before in (HEAD, None) else f" It was of {before}.")

    def version(self) -> tuple[str, bool]:
        """The versions in a sentence, and whether this program can use the database. It is only read."""
        found = self._version()
        if found is None:
            return f"This program: {HEAD}. The database is not there yet, or is empty.", True
        if found == UNFINISHED:
            return f"This program: {HEAD}. The database holds a copy that is not finished.", False
        if found == COPIED:
            return f"This program: {HEAD}. The database was copied into another one, where its records go on.", False
        is_usable = found in known_versions()
        other = (
            " It is newer: install the newer version of this program."
            if is_ours(found)
            else " It is another program's."
        )
        newer = "" if is_usable else other
        older = " It is brought up to date at the next start." if is_usable and found != HEAD else ""
        return f"This program: {HEAD}. The database: {found}.{newer}{older}", is_usable

    def _version(self) -> str | None:
        """None = it is not there, or has no tables."""
        if self._is_file:
            file = Path(self._url.database or "")
            if not file.exists() or not file.stat().st_size:
                return None
            with reading(file) as connection:
                return version_of(connection)
        with self._raw() as connection:
            there = connection.dialect.has_table(connection, "alembic_version")
            found = there and connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
            return str(found) if found else None

    def _file(self) -> Path:
        """Raises: InvalidRequest: There is no such file."""
        file = Path(self._url.database or "")
        if not file.is_file():
            raise InvalidRequest(f"There is no database {file}.", hint="Check DATABASE_URL.")
        return file

    def _opened(self) -> Database:
        if self._is_file:
            self._file()
        return Database(self._address)

    @contextmanager
    def _raw(self) -> Iterator[Connection]:
        """A transaction beside all that opening looks at."""
        engine = open_engine(self._url)
        try:
            with answering(self._shown), engine.begin() as connection:
                yield connection
        finally:
            engine.dispose()

    def _from_file(self, address: str, waits: bool, check: Check | None) -> Report | None:
        self._opened().close()  # it is of this version from here on
        source = SqliteSource(self._file())
        try:
            target = self._target(source, address)
            try:
                copied = copy_live(source, target, self._tell, waits=waits)
                if copied is None:
                    return None
            finally:
                target.close()
        finally:
            source.close()
        found = check and (self._old_checked(check), check(address))
        return Report(source.address, target.address, *_of(copied), found)

    @staticmethod
    def _target(source: SqliteSource, address: str) -> Target:
        try:
            return Target(address)
        except BaseException:
            source.leave()
            raise

    def _old_checked(self, check: Check) -> list[str]:
        try:
            return self.with_copy(self._file(), check)
        except AimmError as error:
            return [f"It could not be looked at: {error.message}"]

    def _from_server(self, address: str, check: Check | None) -> Report:
        self._refuse_others("Stop the servers first.")
        database = Database(self._address)
        source = PostgresSource(database)
        try:
            target = Target(address)
            try:
                copied = copy_still(source, target, self._tell)
            finally:
                target.close()
        finally:
            source.close()
            database.close()
        found = check and (check(self._address), check(address))
        self._refuse_others("What they wrote meanwhile is not in the copy: stop them, and copy into an empty database.")
        with self._raw() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = :copied"), {"copied": COPIED})
        return Report(source.address, target.address, *_of(copied), found)

    def _refuse_others(self, hint: str) -> None:
        """Raises: Conflict"""
        with self._raw() as connection:
            n = n_others(connection)
        if n:
            raise Conflict(f"{n} other sessions use {self._shown}.", hint=hint)


def _of(copied: Copied) -> tuple[Contents, dict[str, int], int, float]:
    return copied.contents, copied.replaced, copied.brought, copied.still_s


def _place(url: URL) -> str:
    """The same for two addresses of one database."""
    if url.get_backend_name() == "sqlite":
        return str(Path(url.database or "").resolve())
    return url.set(username=None, password=None).render_as_string()
