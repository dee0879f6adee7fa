"""Statements that every call runs, compiled once and given to the driver itself.

SQLAlchemy's work around a statement costs several times what the database takes for it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

Rows = list[tuple[Any, ...]]


class Prepared:
    """A statement that runs in the transaction of the connection it is given; an insert takes whole rows.

    build: dialect name -> statement. Values go to the driver as they are: whole numbers, texts and bytes.
    """

    def __init__(self, build: Callable[[str], Any]) -> None:
        self._build = build
        self._compiled: dict[str, tuple[str, Sequence[str] | None, dict[str, Any]]] = {}

    def run(self, connection: Connection, values: Mapping[str, Any]) -> Rows:
        """The rows that it gives; none of what is not a selection."""
        text, names, fixed = self._of(connection)
        cursor = _driver(connection).execute(text, _parameters(values, names, fixed))
        return cursor.fetchall() if cursor.description is not None else []

    def run_many(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        if not rows:
            return
        text, names, fixed = self._of(connection)
        if len(rows) == 1:
            _driver(connection).execute(text, _parameters(rows[0], names, fixed))
        else:
            _driver(connection).cursor().executemany(text, [_parameters(row, names, fixed) for row in rows])

    def _of(self, connection: Connection) -> tuple[str, Sequence[str] | None, dict[str, Any]]:
        dialect = connection.dialect
        found = self._compiled.get(dialect.name)
        if found is None:
            compiled: Any = self._build(dialect.name).compile(dialect=dialect)
            names = list(compiled.positiontup) if compiled.positional else None
            # What a caller has to give has a marker for a value there, a number, which no row may ever hold.
            fixed = {name: compiled.params[name] for bind, name in compiled.bind_names.items() if not bind.required}
            found = self._compiled[dialect.name] = (str(compiled), names, fixed)
        return found


def _driver(connection: Connection) -> Any:
    """sqlite3's or psycopg's own connection."""
    return connection.connection.driver_connection


def _parameters(values: Mapping[str, Any], names: Sequence[str] | None, fixed: dict[str, Any]) -> Any:
    if names is None:
        return {**fixed, **values}
    if fixed:
        values = {**fixed, **values}
    return tuple([values[name] for name in names])
