"""The database that is copied into. It notes how far the copy is, with the rows: any end can be gone on from.

Until a copy is finished its version is no version, and no server starts on it.
"""

import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, text

from core.errors import Conflict, DatabaseUnavailable, InvalidRequest
from core.formats.text import storable
from core.storage.engine.database import HEAD, UNFINISHED, Database, open_engine, to_url
from core.storage.transfer.source import Row, answering
from core.storage.transfer.tables import Contents, all_tables, contents_of, key_names

STATE = "copy_state"
_LOCK = 7_264_111
_INDEXES = (
    "SELECT c.relname, pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
    " JOIN pg_class t ON t.oid = i.indrelid WHERE t.relnamespace = current_schema()::regnamespace AND NOT EXISTS"
    " (SELECT 1 FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))"
)
_REFERENCES = (
    "SELECT conname, conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint"
    " WHERE contype = 'f' AND connamespace = current_schema()::regnamespace"
)
_SQLITE_INDEXES = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"

Keys = Mapping[str, Sequence[tuple[object, ...]]]


class Taken(Exception):
    """A row of this key is there already."""


class Target:
    """A database without records, or with a part of the same copy."""

    def __init__(self, address: str) -> None:
        """Raises: AimmError: It cannot be used, is in use, or another copy is under way into it."""
        self.url = to_url(address)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.address = self.url.difference_update_query(["password", "sslpassword"]).render_as_string(
            hide_password=True
        )
        if not self._is_begun():
            Database(address).close()  # makes the tables
        self._engine = open_engine(self.url)
        with self._explained():
            self._connection = self._engine.connect()
            driver: Any = self._connection.connection.driver_connection
            self._driver = driver
            if self.is_sqlite:
                self._driver.execute("PRAGMA foreign_keys=OFF")
            elif not self._value(f"SELECT pg_try_advisory_lock({_LOCK})"):
                raise Conflict(f"Another process copies into {self.address} just now.")
            encoding = "UTF8" if self.is_sqlite else self._value("SELECT current_setting('server_encoding')")
            self._connection.commit()
            if encoding != "UTF8":
                raise Conflict(
                    f"The encoding of {self.address} is {encoding}, which does not hold all texts.",
                    hint="Make the database with ENCODING 'UTF8'.",
                )

    def refuse_others(self, identity: str) -> None:
        """Raises: Conflict: It holds records, or a part of another copy."""
        state = self._state()
        if not state and not self.contents().is_empty:
            raise Conflict(f"{self.address} holds records already.", hint="Copy into an empty database.")
        if state and state.get("source") != identity:
            raise Conflict(
                f"{self.address} holds a part of another copy.", hint="Use an empty database, or drop its tables."
            )
        if state and state.get("version") != HEAD:
            raise Conflict(f"The copy in {self.address} was begun by another version.", hint="Drop its tables.")

    def begin(self, identity: str, *, is_resumable: bool) -> bool:
        """Be ready for rows; False where a part of this copy is there to be gone on from.

        Raises:
            Conflict: As above.
        """
        self.refuse_others(identity)
        state = self._state()
        if state and is_resumable:
            return False
        with self._transaction() as connection:
            if state:
                for table in reversed(all_tables()):
                    connection.execute(table.delete())
                connection.execute(text(f"DELETE FROM {STATE} WHERE name LIKE 'place %'"))  # noqa: S608
                return True
            connection.execute(text(f"CREATE TABLE {STATE} (name TEXT PRIMARY KEY, value TEXT NOT NULL)"))
            self._note(connection, {"source": identity, "version": HEAD})
            self._take_away(connection)
            connection.execute(text(f"UPDATE alembic_version SET version_num = '{UNFINISHED}'"))  # noqa: S608
        return True

    def place(self, table: Table) -> tuple[int | None, bool]:
        """The place to go on from in a table, and whether it is through."""
        found = self._state().get(f"place {table.name}")
        return (None, False) if found is None else (None, True) if found == "end" else (int(found), False)

    def load(self, table: Table, rows: Sequence[Row], place: int | None) -> None:
        """Add rows, and note where to go on. Rows of the same keys that are there already are replaced."""
        try:
            self._load(table, rows, place, [])
        except Taken:
            # While the table was read, a row was taken away and put in again with the same key.
            places = [[column.name for column in table.c].index(name) for name in key_names(table)]
            self._load(table, rows, place, [tuple(row[at] for at in places) for row in rows])

    def ended(self, table: Table) -> None:
        with self._transaction() as connection:
            self._note(connection, {f"place {table.name}": "end"})

    @property
    def last_change(self) -> int:
        return int(self._state().get("change", 0))

    def apply(self, keys: Keys, rows: Callable[[Table], Sequence[Row]], last: int) -> None:
        """Bring rows over that changed: those of the keys go, and those that are there now come."""
        changed = [table for table in all_tables() if keys.get(table.name)]
        with self._transaction() as connection:
            for table in changed:
                self._delete(connection, table, keys[table.name])
            for table in changed:
                self._insert(connection, table, rows(table))
            self._note(connection, {"change": str(last)})

    def build(self, tell: Callable[[str], None]) -> None:
        """Make the indexes, each once."""
        missing = {name: statement for name, statement in self._state().items() if name.startswith("index ")}
        if missing:
            tell(f"The rows are there; {len(missing)} indexes are made.")
        for name, statement in sorted(missing.items()):
            self._make(name, statement)

    def finish(self) -> None:
        """Let servers use it from now on.

        Raises:
            DatabaseUnavailable: A row refers to one that is not there.
        """
        # All at once: with some of them there, a row that is brought over again would take others with it.
        references = [made for name, made in sorted(self._state().items()) if name.startswith("reference ")]
        with self._transaction() as connection:
            for made in references:
                connection.exec_driver_sql(made.replace("%", "%%"))
            if self.is_sqlite:
                lost = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
                if lost is not None:
                    raise DatabaseUnavailable(f"A row of {lost[0]} refers to one of {lost[2]} that is not there.")
            self._note(connection, {"finished": "1"})
            connection.execute(text(f"UPDATE alembic_version SET version_num = '{HEAD}'"))  # noqa: S608

    def is_finished(self, identity: str) -> bool:
        """True if servers may use the copy of this source, which may not know it yet."""
        state = self._state()
        return state.get("source") == identity and "finished" in state

    def forget(self) -> None:
        """Be a database like any other: the source knows that the copy is finished."""
        with self._transaction() as connection:
            connection.execute(text(f"DROP TABLE {STATE}"))

    def tidy(self) -> None:
        """Gather the statistics that the server plans its queries by."""
        with self._explained():
            if not self.is_sqlite:
                self._driver.autocommit = True
                self._driver.execute("VACUUM ANALYZE")
                self._driver.autocommit = False

    def contents(self) -> Contents:
        with self._transaction() as connection:
            return contents_of(connection)

    def close(self) -> None:
        if not self.is_sqlite:
            self._connection.invalidate()  # its lock must not go on in a pool
        self._connection.close()
        self._engine.dispose()

    def _is_begun(self) -> bool:
        if self.is_sqlite and not Path(self.url.database or "").exists():
            return False
        engine = open_engine(self.url)
        try:
            with self._explained(), engine.connect() as connection:
                return bool(engine.dialect.has_table(connection, STATE))
        finally:
            engine.dispose()

    def _take_away(self, connection: Connection) -> None:
        """Note indexes and references and drop them: rows come faster without, and in any order."""
        found = connection.exec_driver_sql(_SQLITE_INDEXES if self.is_sqlite else _INDEXES).all()
        for name, statement in found:
            self._note(connection, {f"index {name}": statement})
            connection.exec_driver_sql(f'DROP INDEX "{name}"')
        if self.is_sqlite:  # its references are not looked at while `foreign_keys` is off
            return
        for name, table, definition in connection.exec_driver_sql(_REFERENCES).all():
            made = f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {definition}'
            self._note(connection, {f"reference {name}": made})
            connection.exec_driver_sql(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')

    def _make(self, name: str, statement: str) -> None:
        with self._transaction() as connection:
            if not self.is_sqlite:
                connection.execute(text("SET LOCAL maintenance_work_mem = '256MB'"))
            connection.exec_driver_sql(statement.replace("%", "%%"))
            connection.execute(text(f"DELETE FROM {STATE} WHERE name = :name"), {"name": name})  # noqa: S608

    def _load(self, table: Table, rows: Sequence[Row], place: int | None, keys: Sequence[tuple[object, ...]]) -> None:
        with self._transaction() as connection:
            if not self.is_sqlite:  # a power cut takes back whole transactions, and their notes with them
                connection.execute(text("SET LOCAL synchronous_commit TO off"))
            self._delete(connection, table, keys)
            self._insert(connection, table, rows)
            self._note(connection, {f"place {table.name}": str(place or 0)})

    def _insert(self, connection: Connection, table: Table, rows: Sequence[Row]) -> None:
        names = ", ".join(f'"{column.name}"' for column in table.c)
        if not rows:
            return
        try:
            if self.is_sqlite:
                places = ", ".join("?" * len(table.c))
                statement = f"INSERT INTO {table.name} ({names}) VALUES ({places})"  # noqa: S608
                connection.exec_driver_sql(statement, list(rows))
            else:
                with self._driver.cursor() as cursor, cursor.copy(f"COPY {table.name} ({names}) FROM STDIN") as copy:
                    for row in rows:
                        copy.write_row(row)
        except Exception as error:
            _tell_row(error, table, rows)
            raise

    def _delete(self, connection: Connection, table: Table, keys: Sequence[tuple[object, ...]]) -> None:
        if keys:
            mark = "?" if self.is_sqlite else "%s"
            where = " AND ".join(f'"{name}" = {mark}' for name in key_names(table))
            given = [tuple(storable(part) if isinstance(part, str) else part for part in key) for key in keys]
            connection.exec_driver_sql(f"DELETE FROM {table.name} WHERE {where}", given)  # noqa: S608

    def _note(self, connection: Connection, values: Mapping[str, str]) -> None:
        statement = text(
            f"INSERT INTO {STATE} (name, value) VALUES (:name, :value)"  # noqa: S608
            " ON CONFLICT (name) DO UPDATE SET value = excluded.value"
        )
        for name, value in values.items():
            connection.execute(statement, {"name": name, "value": value})

    def _state(self) -> dict[str, str]:
        with self._transaction() as connection:
            if not self._engine.dialect.has_table(connection, STATE):
                return {}
            rows = connection.execute(text(f"SELECT name, value FROM {STATE}"))  # noqa: S608
            return {row[0]: row[1] for row in rows}

    def _value(self, statement: str) -> Any:
        return self._connection.execute(text(statement)).scalar()

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with self._explained(), self._connection.begin():
            yield self._connection

    def _explained(self) -> AbstractContextManager[None]:
        return answering(self.address)


def _tell_row(error: Exception, table: Table, rows: Sequence[Row]) -> None:
    """Name the row that a database refuses, without its contents.

    Raises:
        Taken: A row of its key is there.
        InvalidRequest
    """
    orig = getattr(error, "orig", error)
    state = str(getattr(orig, "sqlstate", None) or "")
    if state == "23505" or "UNIQUE constraint" in str(orig):
        raise Taken from None
    if state[:2] not in ("22", "23") and not isinstance(orig, sqlite3.IntegrityError):
        return
    said = getattr(orig, "diag", None)
    found = re.match(r"COPY \w+, line (\d+)(?:, column (\w+))?", str(getattr(said, "context", None) or ""))
    names = [column.name for column in table.c]
    row = dict(zip(names, rows[int(found[1]) - 1], strict=True)) if found else {}
    key = ", ".join(f"{name} {row[name]!r}" for name in key_names(table)) if row else "a row"
    column = f", column {found[2]}" if found and found[2] else ""
    words = str(getattr(said, "message_primary", None) or orig)
    raise InvalidRequest(
        f"{table.name}, {key}{column}: the database does not take what stands there: {words}.",
        hint="Mend that row in the database that is copied, then run the same command again; it goes on from here.",
    ) from None
