"""Copies of a SQLite file as it was at one moment, while others read and write it; and whether a file is whole."""

import glob
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from core.clock import now
from core.errors import AimmError, Conflict, DatabaseUnavailable, InvalidRequest
from core.formats.figures import as_size
from core.storage.engine.files import private_opener
from core.storage.engine.health import reason

STEP_PAGES = 2_000
N_KEPT = 3  # copies that are made before an upgrade
_SPARE = 1.02  # the room that a copy takes, as a multiple of what it is a copy of
_OF_TARGET = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY)
_LAST = (".part", "-wal", "-shm", "-journal")


def copy_file(source: Path, target: Path) -> None:
    """Make a copy at `target`, a path that is free; whatever fails, no half of one is left there.

    One reading transaction sees one moment. It stops nobody from writing; what is written meanwhile stays in the
    write-ahead log until it ends.

    Raises:
        AimmError: It cannot be read, or there is no room.
    """
    need_room(target.parent, n_bytes(source))
    with unfinished(target) as part, reading(source) as connection, closing(_new(part)) as copy:
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # the moment
        try:
            connection.backup(copy, pages=STEP_PAGES, sleep=0)
        except sqlite3.OperationalError as error:
            with explained(target if error.sqlite_errorcode & 0xFF in _OF_TARGET else source):
                raise
        connection.execute("ROLLBACK")
        with explained(target):
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, without others beside it


def keep(file: Path, what: str) -> Path:
    """Keep a copy of a database beside it, named by what it is and the time; of one kind, the last few.

    Raises:
        AimmError: It cannot be read, or there is no room.
    """
    target = file.with_name(f"{file.name}.{what}-{now():%Y%m%dT%H%M%S}")
    if not target.exists():  # else it was made within this second
        copy_file(file, target)
    kind = what.partition("-")[0]
    for old in sorted(file.parent.glob(f"{glob.escape(file.name)}.{kind}-*-*[0-9]"), key=_made)[:-N_KEPT]:
        old.unlink(missing_ok=True)
    return target


def _made(path: Path) -> str:
    return path.name.rpartition("-")[2]


@contextmanager
def unfinished(target: Path) -> Iterator[Path]:
    """A name to write a file under, which gets its own name once it is on the disk.

    Raises:
        Conflict: Its own name is taken.
    """
    part = target.with_name(f"{target.name}.part")
    refuse_taken(target)
    with explained(target):
        _remove(part)
    try:
        with explained(target):
            yield part
            sync(part)
            refuse_taken(target)
            os.rename(part, target)
            sync(target.parent)
    finally:
        _remove(part)


def refuse_taken(target: Path) -> None:
    """Raises: Conflict"""
    if target.exists():
        raise Conflict(f"{target} is there already.", hint="Name another file, or move it away.")


@contextmanager
def reading(file: Path, *, leaves_all: bool = False) -> Iterator[sqlite3.Connection]:
    """A connection that only reads, also where nobody may write.

    leaves_all: Do not even make or take away the files beside it.

    Raises:
        AimmError: It is no database, or cannot be read.
    """
    if not file.is_file():
        raise InvalidRequest(f"{file} is no file.")
    may_write = os.access(file, os.W_OK) and os.access(file.parent, os.W_OK)
    # Who may not write cannot make the files beside it either, nor take them away at the end; without a log there is
    # nothing in them.
    mode = "mode=rw" if may_write else "mode=ro"
    if (leaves_all or not may_write) and not Path(f"{file}-wal").exists():
        mode = "mode=ro&immutable=1"
    elif leaves_all:
        mode = "mode=ro"
    with explained(file), closing(sqlite3.connect(f"{file.absolute().as_uri()}?{mode}", uri=True)) as connection:
        connection.isolation_level = None
        connection.execute("PRAGMA busy_timeout=10000")
        if not leaves_all:
            connection.execute("PRAGMA query_only=ON")
        yield connection


def faults(connection: sqlite3.Connection) -> list[str]:
    """The damages of a file, as SQLite names them; empty = it is whole."""
    return [str(row[0]) for row in connection.execute("PRAGMA integrity_check(5)") if row[0] != "ok"]


def version_of(connection: sqlite3.Connection) -> str | None:
    """The version of its tables; None = they are not this program's."""
    with suppress(sqlite3.OperationalError):
        found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return str(found[0]) if found else None
    return None


def n_bytes(file: Path) -> int:
    """The bytes of a database with its log."""
    return sum(each.stat().st_size for each in (file, Path(f"{file}-wal")) if each.exists())


def need_room(folder: Path, bytes_: int) -> None:
    """Refuse where a copy of that size would not fit.

    Raises:
        DatabaseUnavailable
        InvalidRequest: There is no such folder.
    """
    if not folder.is_dir():
        raise InvalidRequest(f"{folder} is no folder.")
    free = shutil.disk_usage(folder).free
    if free < bytes_ * _SPARE:
        raise DatabaseUnavailable(
            f"There is too little room in {folder}: {as_size(bytes_)} are needed, {as_size(free)} are free.",
            hint="Make room, or use another disk.",
        )


@contextmanager
def explained(file: Path) -> Iterator[None]:
    """Turn what SQLite and the disk say of a file into one error."""
    try:
        yield
    except AimmError:
        raise
    except (sqlite3.Error, OSError) as error:
        if isinstance(error, OSError):
            why, hint = os.strerror(error.errno) if error.errno else str(error), ""
        else:
            why, hint = reason(error) or (str(error), "")
        raise DatabaseUnavailable(f"{file}: {why}.", hint="" if "DATABASE_URL" in hint else hint) from None


def sync(path: Path) -> None:
    """Put a file, or the names of a folder, on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _new(path: Path) -> sqlite3.Connection:
    with open(path, "x", opener=private_opener):
        pass
    return sqlite3.connect(path, isolation_level=None)


def _remove(path: Path) -> None:
    for each in (path, *(path.with_name(path.name + end) for end in _LAST)):
        each.unlink(missing_ok=True)
