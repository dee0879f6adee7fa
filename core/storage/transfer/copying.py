"""A copy of a whole database into another one, of either kind, that any end is gone on from.

From a SQLite file it goes on while servers write to it: tables are read in pieces, and what changes meanwhile is
brought over afterwards, again and again, until nobody else has the file open. Then the two are compared.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from core.errors import AimmError, Conflict
from core.storage.engine.database import COPIED
from core.storage.transfer import changes
from core.storage.transfer.notes import TO, note
from core.storage.transfer.source import Source, SqliteSource
from core.storage.transfer.tables import Contents, all_tables
from core.storage.transfer.target import Target

LOOK_S = 0.3
TELL_S = 5.0

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Copied:
    """A copy that is finished.

    contents: Of both sides. replaced: Table -> texts in which characters had to be replaced.
    brought: Rows that had changed while it was copied. still_s: For so long nobody could write.
    """

    contents: Contents
    replaced: dict[str, int]
    brought: int
    still_s: float


def copy_still(source: Source, target: Target, tell: Tell) -> Copied:
    """Copy from where nobody writes, or what is written does not show."""
    begun = time.monotonic()
    if not target.is_finished(source.identity):
        _load(source, target, tell)
        target.build(tell)
        begun = time.monotonic()
    contents = _finished(source, target)
    _tidy(target, tell)
    return Copied(contents, dict(source.replaced), 0, time.monotonic() - begun)


def copy_live(source: SqliteSource, target: Target, tell: Tell, *, waits: bool) -> Copied | None:
    """Copy while others write; from the end on, no server starts on the source.

    waits: Until nobody else has the file open; else None = it is gone on with later.
    """
    brought, said = 0, False
    if not target.is_finished(source.identity):  # else the end came between what it writes on both sides
        try:
            target.refuse_others(source.identity)
        except Conflict:
            source.leave()
            raise
        _load(source, target, tell)
        target.build(tell)
        brought = _bring(source, target)
    while not source.has_itself():
        if not said:
            tell("All is there but what is written from now on. Stop the servers on the old database; then this ends.")
            said = True
        if not waits:
            return None
        time.sleep(LOOK_S)
        if not target.is_finished(source.identity):
            brought += _bring(source, target)
    begun = time.monotonic()
    with source.kept():
        note(source.connection, TO, target.address)
        if not target.is_finished(source.identity):
            brought += _drain(source, target)
        contents = _finished(source, target)
        changes.unwatch(source.connection)
        source.connection.execute("UPDATE alembic_version SET version_num = ?", (COPIED,))
    still_s = time.monotonic() - begun
    tell("The servers may be started on the new database.")
    _tidy(target, tell)
    return Copied(contents, dict(source.replaced), brought, still_s)


def _tidy(target: Target, tell: Tell) -> None:
    """Leave the target like any other database; the copy is finished, whatever happens here."""
    try:
        target.forget()
        target.tidy()
    except AimmError as error:
        tell(f"The copy is finished. Its statistics were not gathered: {error.message}")


def _load(source: Source, target: Target, tell: Tell) -> None:
    is_new = target.begin(source.identity, is_resumable=source.is_resumable)
    tell("" if is_new else "Going on with a copy that was begun.")
    for table in all_tables():
        place, is_through = target.place(table)
        if is_through:
            continue
        n, told = 0, time.monotonic()
        for piece in source.pieces(table, place):
            target.load(table, piece.rows, piece.place)
            n += len(piece.rows)
            if time.monotonic() > told + TELL_S:
                tell(f"{table.name}: {n:,} rows")
                told = time.monotonic()
        target.ended(table)


def _bring(source: SqliteSource, target: Target) -> int:
    """Bring over what changed, as it is at one moment; the number of rows."""
    source.connection.execute("BEGIN")
    try:
        n = _drain(source, target)
    finally:
        source.connection.execute("ROLLBACK")
    changes.forget(source.connection, target.last_change)
    return n


def _drain(source: SqliteSource, target: Target) -> int:
    changed = changes.pending(source.connection, target.last_change)
    if not changed.keys:
        return 0
    target.apply(changed.keys, lambda table: source.rows_of(table, changed.keys[table.name]), changed.last)
    return sum(map(len, changed.keys.values()))


def _finished(source: Source, target: Target) -> Contents:
    """Let servers use the target if it is what the source is; what it is.

    Raises:
        Conflict: It is not.
    """
    if target.is_finished(source.identity):
        contents = source.contents()
        if not source.is_resumable and contents.differences(target.contents()):
            raise Conflict(f"{target.address} was copied before, and {source.address} has changed since.")
        return contents
    with ThreadPoolExecutor(1) as pool:  # both at once: nobody can write meanwhile
        there = pool.submit(target.contents)
        contents = source.contents()
        different = contents.differences(there.result())
    if different:
        raise Conflict(f"{target.address} is not what {source.address} is: {'; '.join(different[:5])}.")
    target.finish()
    return contents
