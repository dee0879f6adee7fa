"""Nouns as rows of a table and back, and rows that take the place of what has their key.

A field is the column of its name: a moment in microseconds, money (`…_usd`) in whole nano-dollars (`…_nano_usd`), a
date as ISO text, a flag as 0 or 1. Whoever keeps a field otherwise says so.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from types import NoneType
from typing import Any, NamedTuple, TypeVar, get_args, get_type_hints

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

from core.clock import from_us, to_us
from core.formats.money import from_nano, to_nano

T = TypeVar("T")
Change = Callable[[Any], Any] | None


class _Field(NamedTuple):
    """A field of a noun, its column, and the changes on the way from one to the other; None = none."""

    name: str
    column: str
    read: Change = None
    write: Change = None


_CHANGES: dict[Any, tuple[Change, Change]] = {
    datetime: (from_us, to_us),
    date: (date.fromisoformat, date.isoformat),
    bool: (bool, int),
    int: (int, None),  # a text there is damage, and is told where it is read
    float: (float, None),
}


@cache
def _fields(kind: Callable[..., Any]) -> tuple[_Field, ...]:
    return tuple(_field(name, hint) for name, hint in get_type_hints(kind).items())


@cache
def _kept(kind: Callable[..., Any], table: Table) -> tuple[_Field, ...]:
    return tuple(field for field in _fields(kind) if field.column in table.c)


def _field(name: str, hint: Any) -> _Field:
    kinds = get_args(hint)
    one = next(each for each in kinds if each is not NoneType) if NoneType in kinds else hint
    if one is Decimal:
        return _Field(name, f"{name.removesuffix('usd')}nano_usd", from_nano, to_nano)
    return _Field(name, name, *_CHANGES.get(one, ()))


def from_row(kind: Callable[..., T], row: Any, **others: Any) -> T:
    """A noun from a row that holds its columns. others: The fields that come from elsewhere."""
    values: Mapping[str, Any] = getattr(row, "_mapping", row)
    for name, column, read, _ in _fields(kind):
        if name not in others and column in values:
            value = values[column]
            others[name] = value if read is None or value is None else read(value)
    return kind(**others)


def to_row(table: Table, noun: Any, **others: Any) -> dict[str, Any]:
    """The columns of a table that a noun has fields for. others: The columns that are written otherwise."""
    kind: Callable[..., Any] = type(noun)
    for name, column, _, write in _kept(kind, table):
        if column not in others:
            value = getattr(noun, name)
            others[column] = value if write is None or value is None else write(value)
    return others


def upsert(
    dialect: str,
    table: Table,
    names: Iterable[str] | None = None,
    *,
    key: Collection[str] | None = None,
    adds: bool = False,
) -> Any:
    """An insert that changes the row of the same key, where there is one.

    names: The columns that are replaced, or added to; none = it stays as it is, None = all but the key.
    key: The columns of the key; None = the table's own.
    """
    statement: Any = (sqlite if dialect == "sqlite" else postgresql).insert(table)
    same = list(key or table.primary_key.columns.keys())
    changed = [column.name for column in table.columns if column.name not in same] if names is None else names
    changes = {name: table.c[name] + statement.excluded[name] if adds else statement.excluded[name] for name in changed}
    if not changes:
        return statement.on_conflict_do_nothing(index_elements=same)
    return statement.on_conflict_do_update(index_elements=same, set_=changes)


def put(connection: Connection, table: Table, row: Mapping[str, Any], *, first: Collection[str] = ()) -> None:
    """Insert a row, or change what it names of the one that has its key. first: What stays as it was inserted."""
    key = table.primary_key.columns.keys()
    statement = upsert(connection.dialect.name, table, [name for name in row if name not in (*key, *first)])
    connection.execute(statement, dict(row))


def grouped(rows: Iterable[Mapping[Any, Any]], column: str) -> dict[Any, list[Any]]:
    """The rows by what a column holds, in their order."""
    found: defaultdict[Any, list[Any]] = defaultdict(list)
    for row in rows:
        found[row[column]].append(row)
    return dict(found)
