"""The state of a database as `aimm doctor` looks at it: read only, whatever is wrong with it."""

import os
import sqlite3
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from core.errors import AimmError
from core.storage.engine.database import open_engine, to_url
from core.storage.engine.health import is_new, reason
from core.storage.transfer.changes import CHANGES
from core.storage.transfer.notes import TO
from core.storage.transfer.snapshot import reading, version_of

_LAST_CALL = "SELECT max(created_at) FROM generations"


@dataclass(slots=True)
class Inspection:
    """One database.

    problem: Why it cannot be used, and what to do; empty = it can. version: Of its tables; None = it has none.
    is_there: A file that is not there is made by the first start.
    damages: As SQLite names them. is_copying: A copy out of it is not finished.
    copied_to, copied_us: Where it was copied to at last. last_call_us: The moment of the last call.
    holder: The process that executes runs; "" = none, "?" = one that is not known.
    n_alive, n_stale: Lock files of processes that live, and of those that died.
    clock_us: The moment by the server's clock less ours.
    """

    address: str
    file: Path | None = None
    is_there: bool = True
    problem: tuple[str, str] = ("", "")
    version: str | None = None
    damages: list[str] = field(default_factory=list)
    is_copying: bool = False
    copied_to: str = ""
    copied_us: int = 0
    last_call_us: int | None = None
    n_bytes: int = 0
    n_wal_bytes: int = 0
    holder: str = ""
    n_alive: int = 0
    n_stale: int = 0
    server: dict[str, str] = field(default_factory=dict)
    clock_us: int = 0


def inspected(address: str, *, deep: bool) -> Inspection:
    """deep: Look through all indexes too."""
    url = to_url(address)
    shown = url.difference_update_query(["password", "sslpassword"]).render_as_string(hide_password=True)
    if url.get_backend_name() == "sqlite":
        return _file(Inspection(shown, Path(url.database or "").absolute()), deep=deep)
    return _server(Inspection(shown), url)


def _file(found: Inspection, *, deep: bool) -> Inspection:
    file = found.file
    assert file is not None  # noqa: S101 - the caller gives it
    if not file.exists() or not file.stat().st_size:
        found.is_there = False
        return found
    found.n_bytes, found.n_wal_bytes = file.stat().st_size, _size(Path(f"{file}-wal"))
    found.holder = _holder(Path(f"{file}.engine.lock"))
    for lock in Path(f"{file}.processes").glob("p*"):
        if _is_held(lock):
            found.n_alive += 1
        else:
            found.n_stale += 1
    try:
        with reading(file, leaves_all=True) as connection:
            found.version = version_of(connection)
            if found.version is not None:
                _read(found, connection)
            check = "integrity_check" if deep else "quick_check"
            found.damages = [str(row[0]) for row in connection.execute(f"PRAGMA {check}(3)") if row[0] != "ok"]
    except AimmError as error:
        found.problem = error.message, error.hint
    return found


def _read(found: Inspection, connection: sqlite3.Connection) -> None:
    names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    found.is_copying = CHANGES in names
    with suppress(sqlite3.OperationalError):  # of an older version
        found.last_call_us = connection.execute(_LAST_CALL).fetchone()[0]
        _copied(found, connection.execute(_copied_statement("?"), (TO,)).fetchone())


def _server(found: Inspection, url: Any) -> Inspection:
    engine = open_engine(url)
    try:
        with engine.connect() as connection:
            before = time.time()
            row = connection.exec_driver_sql(
                "SELECT current_setting('server_version'), current_setting('server_encoding'),"
                " pg_is_in_recovery()::text, current_setting('max_connections'),"
                " (SELECT count(*) FROM pg_stat_activity)::text, extract(epoch FROM clock_timestamp())::float8,"
                " pg_database_size(current_database())"
            ).one()
            found.clock_us = round((float(row[5]) - (before + time.time()) / 2) * 1_000_000)
            names = ("version", "encoding", "is_replica", "most_connections", "connections")
            found.server = dict(zip(names, map(str, row[:5]), strict=True))
            found.n_bytes = int(row[6])
            version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
            found.version = None if version is None else str(version)
            found.last_call_us = connection.execute(text(_LAST_CALL)).scalar()
            _copied(found, connection.exec_driver_sql(_copied_statement("%s"), (TO,)).first())
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
        if not (isinstance(error, DBAPIError) and is_new(error) and found.server):
            found.problem = reason(error) or (
                f"it answers in a way that is not understood ({type(error).__name__})",
                "",
            )
    finally:
        engine.dispose()
    return found


def _copied_statement(mark: str) -> str:
    return f"SELECT subject, created_at FROM audit WHERE action = {mark} ORDER BY created_at DESC LIMIT 1"  # noqa: S608


def _copied(found: Inspection, row: Any) -> None:
    if row is not None:
        found.copied_to, found.copied_us = str(row[0]), int(row[1])


def _size(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_size
    return 0


def _is_held(path: Path) -> bool:
    import fcntl

    try:
        with path.open("r") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _holder(lock: Path) -> str:
    """The process that holds a lock, by number and command, where the system tells."""
    if not _is_held(lock):
        return ""
    with suppress(OSError, ValueError):
        inode = lock.stat().st_ino
        for line in Path("/proc/locks").read_text("utf-8").splitlines():
            parts = line.split()
            if "->" not in parts and parts[5].rpartition(":")[2] == str(inode):
                command = Path(f"/proc/{parts[4]}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                return f"process {parts[4]} ({_brief(command)})"
    return "?"


def _brief(command: str) -> str:
    """The program and its first words: what follows may be anything."""
    words = [os.path.basename(word) for word in command.split()[:4]]
    return " ".join(word for word in words if "://" not in word)
