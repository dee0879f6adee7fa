"""Many rows at once without the cost of naming each value; plain statements of the database underneath."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Connection, Table, bindparam, column, func, select, type_coerce
from sqlalchemy.dialects.postgresql import ARRAY, TEXT

from core.formats import strict_json as json

Rows = Sequence[Mapping[str, Any]]


def insert_many(connection: Connection, table: Table, rows: Rows) -> None:
    """Insert rows that all have the same columns."""
    if rows:
        names = tuple(rows[0])
        if any(len(row) != len(names) for row in rows):
            raise ValueError(f"{table.name}: rows that are inserted together must name the same columns")
        places = ", ".join([_place(connection)] * len(names))
        statement = _insert(table.name, names, places)
        connection.exec_driver_sql(statement, [tuple(row[name] for name in names) for row in rows])


def update_many(connection: Connection, table: Table, key: str, rows: Rows) -> None:
    """Set the other columns of the rows found by `key`."""
    if rows:
        names = tuple(name for name in rows[0] if name != key)
        statement = _update(table.name, key, names, _place(connection))
        connection.exec_driver_sql(statement, [(*(row[name] for name in names), row[key]) for row in rows])


def is_one_of(connection: Connection, what: Any, ids: Iterable[str]) -> ColumnElement[bool]:
    """A condition that a text is one of many, which go over as one value."""
    dialect = connection.dialect.name
    return is_among(dialect, what, bindparam(None, as_value(dialect, ids), unique=True))


def is_among(dialect: str, what: Any, many: BindParameter[Any]) -> ColumnElement[bool]:
    """The same for a statement that is prepared; `many` takes what `as_value` gives."""
    if dialect == "sqlite":
        found: ColumnElement[bool] = what.in_(select(column("value")).select_from(func.json_each(many)))
        return found
    equal: ColumnElement[bool] = what == func.any(type_coerce(many, ARRAY(TEXT)))
    return equal


def as_value(dialect: str, ids: Iterable[str]) -> str | list[str]:
    wanted = list(dict.fromkeys(ids))
    return json.dumps(wanted) if dialect == "sqlite" else wanted


def _place(connection: Connection) -> str:
    return "?" if connection.dialect.name == "sqlite" else "%s"


# Names come from the tables' declarations, never from outside.


@lru_cache(maxsize=64)
def _insert(table: str, names: tuple[str, ...], places: str) -> str:
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({places})"  # noqa: S608


@lru_cache(maxsize=64)
def _update(table: str, key: str, names: tuple[str, ...], place: str) -> str:
    changes = ", ".join(f"{name} = {place}" for name in names)
    return f"UPDATE {table} SET {changes} WHERE {key} = {place}"  # noqa: S608
