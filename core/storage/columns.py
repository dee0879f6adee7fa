"""The kinds of columns that tables are declared with, several of a kind at once."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import BigInteger, Column, ForeignKey, Integer, MetaData, String, Table, Text

metadata = MetaData()
ID = String(40)


def table(name: str, *parts: Any) -> Table:
    """A table of lists of columns, single ones and constraints."""
    return Table(name, metadata, *(each for part in parts for each in (part if isinstance(part, list) else [part])))


def text(*names: str, default: str | None = None, optional: bool = False) -> list[Column[Any]]:
    return _columns(names, Text, default, optional)


def number(*names: str, default: str | None = None, optional: bool = False) -> list[Column[Any]]:
    """Whole numbers: counts, microseconds, nano-dollars."""
    return _columns(names, BigInteger, default, optional)


def small(*names: str, default: str | None = None, optional: bool = False) -> list[Column[Any]]:
    """Whole numbers of a few digits."""
    return _columns(names, Integer, default, optional)


def flag(*names: str) -> list[Column[Any]]:
    """0 or 1."""
    return _columns(names, Integer, "0", False)


def key(*names: str, kind: Any = Text) -> list[Column[Any]]:
    return [Column(name, kind, primary_key=True) for name in names]


def reference(name: str, to: str, *, is_key: bool = False) -> Column[Any]:
    """The id of a row that this one goes with, when that one goes."""
    return Column(name, ID, ForeignKey(to, ondelete="CASCADE"), primary_key=is_key, nullable=False)


def _columns(names: Iterable[str], kind: Any, default: str | None, optional: bool) -> list[Column[Any]]:
    return [Column(name, kind, nullable=optional, server_default=default) for name in names]
