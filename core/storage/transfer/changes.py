"""The list of rows that change in a SQLite file while it is copied, kept by triggers: whichever process writes."""

import secrets
import sqlite3
from contextlib import suppress
from typing import NamedTuple

from sqlalchemy import Table

from core.formats import strict_json as json
from core.storage.transfer.tables import all_tables, key_names

CHANGES, BEGUN = "copy_changes", "copy_begun"


class Changed(NamedTuple):
    """Rows by table and key, up to the change of this number."""

    last: int
    keys: dict[str, list[tuple[object, ...]]]


class Watched(NamedTuple):
    """The id of the copy that the list is kept for, and whether it is kept only now."""

    id: str
    is_new: bool


def watch(connection: sqlite3.Connection) -> Watched:
    """Keep the list from now on, if it is not kept yet."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(f"CREATE TABLE IF NOT EXISTS {BEGUN} (id TEXT)")
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS {CHANGES} (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, key TEXT)"
        )
        found = connection.execute(f"SELECT id FROM {BEGUN}").fetchone()  # noqa: S608
        id_ = str(found[0]) if found else f"copy_{secrets.token_hex(8)}"
        if not found:
            connection.execute(f"INSERT INTO {BEGUN} VALUES (?)", (id_,))  # noqa: S608
        for table in all_tables():
            for statement in _triggers(table):
                connection.execute(statement)
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
    return Watched(id_, not found)


def is_watched(connection: sqlite3.Connection) -> bool:
    names = f"name = '{CHANGES}'"
    return connection.execute(f"SELECT 1 FROM sqlite_master WHERE {names}").fetchone() is not None  # noqa: S608


def unwatch(connection: sqlite3.Connection) -> None:
    """Leave nothing of it behind, in the transaction that is open."""
    found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for (name,) in found:
        if name.startswith(f"{CHANGES}_"):
            connection.execute(f'DROP TRIGGER "{name}"')
    connection.execute(f"DROP TABLE IF EXISTS {CHANGES}")
    connection.execute(f"DROP TABLE IF EXISTS {BEGUN}")


def pending(connection: sqlite3.Connection, after: int) -> Changed:
    """All that changed after the change of that number, each row once."""
    last, keys = after, dict[str, dict[str, None]]()
    statement = f"SELECT id, name, key FROM {CHANGES} WHERE id > ? ORDER BY id"  # noqa: S608
    for id_, name, key in connection.execute(statement, (after,)):
        last = id_
        keys.setdefault(name, {})[key] = None
    return Changed(last, {name: [tuple(json.loads(key)) for key in found] for name, found in keys.items()})


def forget(connection: sqlite3.Connection, last: int) -> None:
    """Drop what was brought over; should another program hold the file just now, the next time does it."""
    with suppress(sqlite3.OperationalError):
        connection.execute(f"DELETE FROM {CHANGES} WHERE id <= ?", (last,))  # noqa: S608


def _triggers(table: Table) -> list[str]:
    def noted(row: str) -> str:
        key = ", ".join(f'{row}."{name}"' for name in key_names(table))
        return f"INSERT INTO {CHANGES} (name, key) VALUES ('{table.name}', json_array({key}));"  # noqa: S608

    events = (
        ("put", "INSERT", noted("new")),
        ("take", "DELETE", noted("old")),
        ("change", "UPDATE", noted("old") + " " + noted("new")),
    )
    return [
        f"CREATE TRIGGER IF NOT EXISTS {CHANGES}_{table.name}_{name} AFTER {event} ON {table.name} BEGIN {body} END"
        for name, event, body in events
    ]
