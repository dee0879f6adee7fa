"""Restores a backup: into a SQLite file or a PostgreSQL database that nobody uses, the old one kept beside it."""

import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from sqlalchemy import text

from core.clock import now
from core.errors import Conflict, InvalidRequest
from core.storage.engine.database import HEAD, Database, open_engine, to_url
from core.storage.engine.files import private_folder, private_opener
from core.storage.schema import audit
from core.storage.transfer import changes
from core.storage.transfer.backup import NOTES, Backup, engine_of, look_at
from core.storage.transfer.copying import copy_still
from core.storage.transfer.notes import FROM, entry, note
from core.storage.transfer.snapshot import copy_file, explained, sync
from core.storage.transfer.source import SqliteSource, answering, digest, n_others
from core.storage.transfer.tables import contents_of
from core.storage.transfer.target import STATE, Target

_ASIDE = ("-wal", "-shm")
# SQLite's own place of the locks of those that have a file open.
_SHARED_FIRST, _SHARED_SIZE = 0x40000002, 510

Tell = Callable[[str], None]


def restore(file: Path, address: str, tell: Tell, *, force: bool) -> Backup:
    """Put what a backup holds in the place of a database. force: Although it holds records, which are kept beside it.

    Raises:
        AimmError: The backup cannot be used; or the database is in use, holds records, or cannot be written.
    """
    url = to_url(address)
    backup = look_at(file)
    if url.get_backend_name() == "sqlite":
        target = Path(url.database or "").resolve()  # of a link, what it leads to
        if target.is_dir():
            raise InvalidRequest(f"{target} is a folder.", hint="Check DATABASE_URL.")
        if target.exists() and os.path.samefile(file, target):
            raise InvalidRequest(f"{file} is the database itself.")
        _into_file(backup, target, Path(f"{Path(url.database or '').absolute()}.engine"), tell, force=force)
    else:
        _into_server(backup, address, tell, force=force)
    return backup


def _into_file(backup: Backup, target: Path, engine: Path, tell: Tell, *, force: bool) -> None:
    private_folder(target.parent)
    with explained(target), _to_itself(target, engine) as old:
        if not force and _has_records(target, old):
            raise Conflict(
                f"{target} holds records.", hint="With --force it is restored all the same; the old file is kept."
            )
        new = target.with_name(f"{target.name}.restoring")
        new.unlink(missing_ok=True)
        try:
            copy_file(backup.file, new)
            state = _unpacked(new)
            _note(new, backup)
            _give(new, target)
            _swap(new, target, engine, tell)
        finally:
            new.unlink(missing_ok=True)
        if state is not None:
            _put(engine, state)
            _give(engine, target)


def _unpacked(new: Path) -> bytes | None:
    """Make a database of a backup again, and give the engine's state that was in it."""
    engine = engine_of(new)
    with explained(new), closing(sqlite3.connect(new, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        connection.execute(f"DROP TABLE IF EXISTS {NOTES}")
        changes.unwatch(connection)
        connection.execute("COMMIT")
    sync(new)
    return engine


def _note(new: Path, backup: Backup) -> None:
    """Note the restoring in what comes, which is brought up to date before."""
    Database(f"sqlite:///{new}", keeps_backup=False).close()
    with explained(new), closing(sqlite3.connect(new, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
        note(connection, FROM, backup.file.name, **backup.told)
    sync(new)


def _give(path: Path, target: Path) -> None:
    """Give a file the owner of the database: whoever restores it may be root, and the server is not."""
    owner = (target if target.exists() else target.parent).stat()
    if os.getuid() == 0:
        os.chown(path, owner.st_uid, owner.st_gid)


def _swap(new: Path, target: Path, engine: Path, tell: Tell) -> None:
    """Put a file in the place of another one, which keeps a name beside it; there is a database there at all times."""
    old = _beside(target)
    # First, as it may be lost: it must not be newer than the rows that come now.
    for end in ("", *_ASIDE):
        with suppress(FileNotFoundError):
            os.rename(f"{engine}{end}", f"{old}.engine{end}")
    if target.exists():
        for end in _ASIDE:  # of a damaged file, which could not be opened
            with suppress(FileNotFoundError):
                os.rename(f"{target}{end}", f"{old}{end}")
        try:
            os.link(target, old)
        except OSError:  # a file system without such names
            os.rename(target, old)
        tell(f"The old database is kept as {old}.")
    with explained(target):
        os.replace(new, target)
        sync(target.parent)


def _beside(target: Path) -> Path:
    """A free name for the old file."""
    stamp, n = f"{now():%Y%m%dT%H%M%S}", 0
    while True:
        found = target.with_name(f"{target.name}.before-restore-{stamp}{f'-{n}' if n else ''}")
        if not found.exists():
            return found
        n += 1


def _put(path: Path, content: bytes) -> None:
    with open(path, "wb", opener=private_opener) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _has_records(target: Path, old: sqlite3.Connection | None) -> bool:
    """True also for a file that is none of ours, or damaged: it may be worth as much."""
    if not target.exists() or not target.stat().st_size:
        return False
    if old is None:
        return True
    try:
        names = [row[0] for row in old.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        ours = [name for name in names if name != "alembic_version" and not name.startswith(("sqlite_", "call_words"))]
        return any(old.execute(f'SELECT 1 FROM "{name}" LIMIT 1').fetchone() for name in ours)  # noqa: S608
    except sqlite3.Error:
        return True


@contextmanager
def _to_itself(target: Path, engine: Path) -> Iterator[sqlite3.Connection | None]:
    """Hold a file so that no server begins with it meanwhile; None = it is not there, or cannot be read.

    Raises:
        Conflict: A process has it open.
    """
    in_use = Conflict(f"A process uses {target}.", hint="Stop it first: servers, workers, notebooks.")
    import fcntl

    with open(f"{engine}.lock", "w", opener=private_opener) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise in_use from None
        if not target.exists():
            yield None
            return
        with closing(sqlite3.connect(target, isolation_level=None)) as connection:
            connection.execute("PRAGMA busy_timeout=0")
            try:
                # SQLite refuses to leave the mode WAL while another connection is there, idle or not.
                connection.execute("PRAGMA journal_mode=DELETE").fetchone()
                connection.execute("BEGIN EXCLUSIVE")
            except sqlite3.DatabaseError as error:
                if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                    raise in_use from None
                connection.close()  # damaged, or no database: its locks can be asked for all the same
                if _is_open_elsewhere(target):
                    raise in_use from None
                yield None
                return
            yield connection


def _is_open_elsewhere(target: Path) -> bool:
    import fcntl

    with target.open("r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, _SHARED_SIZE, _SHARED_FIRST)
        except OSError:
            return True
    return False


def _into_server(backup: Backup, address: str, tell: Tell, *, force: bool) -> None:
    identity = f"{backup.file} {digest(backup.file)}"
    _make_way(address, identity, tell, force=force)
    with (
        _of_today(backup) as file,
        closing(SqliteSource(file, identity)) as source,
        closing(Target(address)) as target,
    ):
        copy_still(source, target, tell)
    with closing(Database(address)) as database, database.write() as connection:
        connection.execute(audit.insert().values(**entry(FROM, backup.file.name, **backup.told)))


def _make_way(address: str, identity: str, tell: Tell, *, force: bool) -> None:
    """Refuse where others are connected; move what is there into schemas beside, if it may be."""
    engine = open_engine(to_url(address))
    shown = engine.url.difference_update_query(["password", "sslpassword"]).render_as_string(hide_password=True)
    try:
        with answering(shown), engine.connect() as connection:
            if n := n_others(connection):
                raise Conflict(f"{n} other sessions use {shown}.", hint="Stop the servers first.")
            names = set(engine.dialect.get_table_names(connection))
            begun = text(f"SELECT value FROM {STATE} WHERE name = 'source'")  # noqa: S608
            if STATE in names and connection.execute(begun).scalar() == identity:
                return  # it is gone on with
            if STATE not in names and contents_of(connection).is_empty:
                return
            if not force:
                what = "a part of another copy" if STATE in names else "records"
                told = "With --force it is restored all the same; the old tables are kept in another schema."
                raise Conflict(f"{shown} holds {what}.", hint=told)
            [schema] = connection.execute(text("SELECT current_schema()")).one()
            stamp = f"{now():%Y%m%dt%H%M%S}"
            quote = engine.dialect.identifier_preparer.quote
            for each in (schema, "dbos"):
                there = text("SELECT 1 FROM pg_namespace WHERE nspname = :name")
                if connection.execute(there, {"name": each}).first():
                    old = f"{each}_before_restore_{stamp}"
                    connection.execute(text(f"ALTER SCHEMA {quote(each)} RENAME TO {quote(old)}"))
                    tell(f"What was in the schema {each} is kept in {old}.")
            connection.execute(text(f"CREATE SCHEMA {quote(schema)}"))
            connection.commit()
    finally:
        engine.dispose()


@contextmanager
def _of_today(backup: Backup) -> Iterator[Path]:
    """The file itself, or a copy of it that is brought up to date."""
    if backup.version == HEAD:
        yield backup.file
        return
    # Beside it, if it may be: what is for temporary files is often small.
    beside = backup.file.parent if os.access(backup.file.parent, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="aimm-", dir=beside) as folder:
        copy = Path(folder) / "aimm.db"
        copy_file(backup.file, copy)
        Database(f"sqlite:///{copy}", keeps_backup=False).close()
        yield copy
