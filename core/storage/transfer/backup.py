"""Backups: one SQLite file each, of either kind of database, which opens like any database of this program.

It holds a table more than that: when it was made, of what, by which version, what must be in it, and the state of the
durable engine, which on SQLite is a file of its own. That state is copied first: of a run that begins in between, the
rows then know more than the engine, as after a crash, and it is taken up from them. The other way round the engine
would hold a start that the rows do not have.
"""

import os
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.clock import from_us, now_us
from core.errors import DatabaseUnavailable, InvalidRequest
from core.formats import strict_json as json
from core.storage.engine.database import COPIED, HEAD, Database, is_ours, known_versions
from core.storage.transfer import changes
from core.storage.transfer.copying import copy_still
from core.storage.transfer.snapshot import copy_file, explained, faults, reading, unfinished, version_of
from core.storage.transfer.source import PostgresSource
from core.storage.transfer.tables import Contents, contents_of_file
from core.storage.transfer.target import Target

NOTES = "backup_notes"


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that was looked at.

    version: Of its tables. made_us, address: When, and of what; None = the file does not say, it is a plain database.
    has_engine: The state of the durable engine is in it. is_as_made: It holds what it held when it was made.
    """

    file: Path
    version: str
    contents: Contents
    made_us: int | None
    address: str | None
    has_engine: bool

    @property
    def told(self) -> dict[str, object]:
        """The detail of the entry that the audit has of a restoring."""
        made = None if self.made_us is None else from_us(self.made_us).isoformat()
        return {"version": self.version, "made_at": made, "address": self.address}

    @property
    def sentence(self) -> str:
        made = "" if self.made_us is None else f", made {from_us(self.made_us):%Y-%m-%d %H:%M:%S} UTC of {self.address}"
        return f"{self.file}: version {self.version}, {self.contents.rows.get('generations', 0):,} calls{made}"


def back_up_file(source: Path, file: Path, tell: Callable[[str], None]) -> Backup:
    """Write a backup of a SQLite file."""
    with reading(source) as connection:
        if version_of(connection) is None:
            raise InvalidRequest(f"{source} has not the tables of this program.", hint="Check DATABASE_URL.")
    with unfinished(file) as part:
        engine = _engine_state(source, file.parent)
        made_us = now_us()
        copy_file(source, part)
        _finish(part, {"made_us": made_us, "address": f"sqlite:///{source}", "engine": engine}, tell)
    return look_at(file, is_whole=True)


def back_up_server(database: Database, file: Path, tell: Callable[[str], None]) -> Backup:
    """Write a backup of a PostgreSQL database of this version."""
    with unfinished(file) as part:
        made_us = now_us()
        with closing(PostgresSource(database)) as source, closing(Target(f"sqlite:///{part}")) as target:
            copy_still(source, target, tell)
        os.chmod(part, 0o600)
        _finish(part, {"made_us": made_us, "address": database.address}, tell)
    return look_at(file, is_whole=True)


def _finish(part: Path, notes: dict[str, object], tell: Callable[[str], None]) -> None:
    """Add the notes, and look whether all is whole."""
    with explained(part), closing(sqlite3.connect(part, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
        connection.execute("BEGIN")
        changes.unwatch(connection)
        connection.execute("UPDATE alembic_version SET version_num = ? WHERE version_num = ?", (HEAD, COPIED))
        connection.execute(f"DROP TABLE IF EXISTS {NOTES}")  # of a backup that is used as a database
        connection.execute(f"CREATE TABLE {NOTES} (name TEXT PRIMARY KEY, value)")
        notes["contents"] = json.dumps(asdict(contents_of_file(connection)))
        connection.executemany(f"INSERT INTO {NOTES} VALUES (?, ?)", list(notes.items()))  # noqa: S608
        connection.execute("COMMIT")
        tell("Opening it to look whether it is whole.")
        if wrong := faults(connection):
            raise DatabaseUnavailable(
                f"The database itself is damaged, so no backup was made: {'; '.join(wrong)}.",
                hint="Restore an older backup, or try: sqlite3 FILE .recover",
            )


def look_at(file: Path, *, is_whole: bool = False) -> Backup:
    """Look whether a file can be restored. is_whole: It was looked through just now.

    Raises:
        AimmError: It is no database of this program, of a newer version, damaged, or not as it was made.
    """
    with reading(file) as connection, explained(file):
        version = version_of(connection)
        if version is None or not (is_ours(version) or version in known_versions()):
            raise InvalidRequest(f"{file} is no backup: it has not the tables of this program.")
        if version not in known_versions():
            raise InvalidRequest(
                f"{file} is of a newer version ({version}) than this program ({HEAD}).", hint="Install that version."
            )
        if not is_whole and (wrong := faults(connection)):
            raise DatabaseUnavailable(f"{file} is damaged: {'; '.join(wrong)}.", hint="Take another backup.")
        notes = _notes(connection)
        contents = contents_of_file(connection)
        if "contents" in notes:
            different = Contents(**json.loads(notes["contents"])).differences(contents)
            if different:
                raise DatabaseUnavailable(f"{file} is not as it was made: {'; '.join(different[:5])}.")
        return Backup(
            file, version, contents, notes.get("made_us"), notes.get("address"), notes.get("engine") is not None
        )


def engine_of(file: Path) -> bytes | None:
    """The state of the durable engine that a backup holds."""
    with reading(file) as connection:
        return _notes(connection).get("engine")


def _notes(connection: sqlite3.Connection) -> dict[str, Any]:
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (NOTES,)).fetchone():
        return {}
    return dict(connection.execute(f"SELECT name, value FROM {NOTES}").fetchall())  # noqa: S608


def _engine_state(source: Path, folder: Path) -> bytes | None:
    """folder: Where there is room; that for temporary files is often small."""
    file = Path(f"{source}.engine")
    if not file.exists():
        return None
    with tempfile.TemporaryDirectory(prefix=".aimm-", dir=folder) as beside:
        copy = Path(beside) / "engine"
        copy_file(file, copy)
        return copy.read_bytes()
