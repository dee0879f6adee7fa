"""Deeds of a person on a whole database: back it up, restore it, copy it, bring it up to date, ask its version."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sqlalchemy import URL, text
from sqlalchemy.exc import DBAPIError

from core.errors import Conflict, InvalidRequest, register_secret
from core.storage.engine.database import HEAD, UNFINISHED, Database, known_versions, open_engine, to_url
from core.storage.engine.health import is_new
from core.storage.transfer.backup import Backup, back_up
from core.storage.transfer.copying import Copied, Tell, copy_live, copy_still
from core.storage.transfer.restoring import restore
from core.storage.transfer.snapshot import copy_file, reading, version_of
from core.storage.transfer.source import PostgresSource, SqliteSource, n_others
from core.storage.transfer.tables import Contents
from core.storage.transfer.target import Target

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Report:
    """A copy that is finished, with both addresses as they may be shown; see `Copied`."""

    source: str
    target: str
    contents: Contents
    replaced: dict[str, int]
    brought: int
    still_s: float


class Transfers:
    """Deeds on the database of an address. tell: Is given a sentence now and then."""

    def __init__(self, address: str, tell: Tell) -> None:
        self._address, self._tell = address, tell
        self._url = to_url(address)

    @staticmethod
    def has_password(address: str) -> bool:
        url = to_url(address)
        return bool(url.password or url.query.get("password"))

    @staticmethod
    def with_copy(file: Path, use: Callable[[str], T]) -> T:
        """Use a copy of a file, which stays as it is."""
        with tempfile.TemporaryDirectory(prefix="aimm-", dir=file.parent) as folder:
            copy = Path(folder) / "aimm.db"
            copy_file(file, copy)
            return use(f"sqlite:///{copy}")

    def back_up(self, file: str) -> Backup:
        """See `back_up` of the module of backups."""
        database = self._opened()
        try:
            return back_up(database, Path(file).absolute(), self._tell)
        finally:
            database.close()

    def restore(self, file: str, *, force: bool) -> Backup:
        """See `restore` of the module of restoring."""
        return restore(Path(file).absolute(), self._address, self._tell, force=force)

    def copy(self, address: str, *, waits: bool) -> Report | None:
        """Copy into another database, or go on with it; None = others still use this one, and are not waited for."""
        url = to_url(address)
        register_secret(url.password)
        if _place(url) == _place(self._url):
            raise InvalidRequest("The database is to be copied into itself.")
        self._opened().close()  # it is of this version from here on
        if self._url.get_backend_name() == "sqlite":
            copied, shown, target = self._from_file(address, waits=waits)
        else:
            copied, shown, target = self._from_server(address)
        if copied is None:
            return None
        return Report(shown, target, copied.contents, copied.replaced, copied.brought, copied.still_s)

    def abandon(self) -> str:
        """Note changes for a copy no longer, and say so."""
        self._opened().close()
        if self._url.get_backend_name() != "sqlite":
            return "Nothing is noted for a copy in a PostgreSQL database."
        source = SqliteSource(Path(self._url.database or ""))
        try:
            is_new = source.abandon()
        finally:
            source.close()
        return "No copy was begun." if is_new else "The copy is given up. Drop the database that it went to."

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
        is_usable = found in known_versions()
        newer = "" if is_usable else " It is newer: install the newer version of this program."
        older = " It is brought up to date at the next start." if is_usable and found != HEAD else ""
        return f"This program: {HEAD}. The database: {found}.{newer}{older}", is_usable

    def _version(self) -> str | None:
        """None = it is not there, or has no tables."""
        if self._url.get_backend_name() == "sqlite":
            file = Path(self._url.database or "")
            if not file.exists() or not file.stat().st_size:
                return None
            with reading(file) as connection:
                return version_of(connection)
        engine = open_engine(self._url)
        try:
            with engine.connect() as connection:
                return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar())
        except DBAPIError as error:
            if is_new(error):
                return None
            Database(self._address).close()  # says why it cannot be used
            raise
        finally:
            engine.dispose()

    def _opened(self) -> Database:
        """Raises: InvalidRequest: There is no such file."""
        if self._url.get_backend_name() == "sqlite" and not Path(self._url.database or "").is_file():
            raise InvalidRequest(f"There is no database {self._url.database}.", hint="Check DATABASE_URL.")
        return Database(self._address)

    def _from_file(self, address: str, *, waits: bool) -> tuple[Copied | None, str, str]:
        source = SqliteSource(Path(self._url.database or ""))
        try:
            target = Target(address)
            try:
                copied = copy_live(source, target, self._tell, waits=waits)
                if copied is not None:
                    self._tell("The servers may be started on the new database.")
                    target.tidy()
                return copied, source.address, target.address
            finally:
                target.close()
        finally:
            source.close()

    def _from_server(self, address: str) -> tuple[Copied | None, str, str]:
        self._refuse_others("Stop the servers first.")
        database = Database(self._address)
        source = PostgresSource(database)
        try:
            target = Target(address)
            try:
                copied = copy_still(source, target, self._tell)
                target.tidy()
            finally:
                target.close()
        finally:
            source.close()
            database.close()
        self._refuse_others("What they wrote meanwhile is not in the copy: stop them, and copy into an empty database.")
        return copied, source.address, target.address

    def _refuse_others(self, hint: str) -> None:
        """Raises: Conflict"""
        engine = open_engine(self._url)
        try:
            with engine.connect() as connection:
                n = n_others(connection)
        finally:
            engine.dispose()
        if n:
            raise Conflict(f"{n} other sessions use {self._url.render_as_string(hide_password=True)}.", hint=hint)


def _place(url: URL) -> str:
    """The same for two addresses of one database."""
    if url.get_backend_name() == "sqlite":
        return str(Path(url.database or "").resolve())
    return url.set(username=None, password=None).render_as_string()
