"""The forms in which migrations declare tables and columns: never changed, so that each does the same for ever."""

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

Columns = list[sa.Column[Any]]


def create(name: str, *parts: Any, key: Sequence[str] = ("id",)) -> sa.Table:
    """Create a table of lists of columns, single ones and constraints."""
    return op.create_table(name, *_each(parts), sa.PrimaryKeyConstraint(*key))


def add(table: str, *columns: Columns) -> None:
    for column in _each(columns):
        op.add_column(table, column)


def ident(*names: str, default: str | None = None, optional: bool = False) -> Columns:
    return _columns(sa.String(length=40), names, default, optional)


def text(*names: str, default: str | None = None, optional: bool = False) -> Columns:
    return _columns(sa.Text(), names, default, optional)


def number(*names: str, default: str | None = None, optional: bool = False) -> Columns:
    return _columns(sa.BigInteger(), names, default, optional)


def small(*names: str, default: str | None = None, optional: bool = False) -> Columns:
    return _columns(sa.Integer(), names, default, optional)


def double(*names: str, default: str | None = None, optional: bool = False) -> Columns:
    return _columns(sa.Double(), names, default, optional)


def _columns(kind: Any, names: Iterable[str], default: str | None, optional: bool) -> Columns:
    return [sa.Column(name, kind, server_default=default, nullable=optional) for name in names]


def _each(parts: Iterable[Any]) -> list[Any]:
    return [each for part in parts for each in (part if isinstance(part, list) else [part])]
