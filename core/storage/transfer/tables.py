"""All tables, and what two databases are compared by: rows, money, tokens, the first and the last call."""

import pkgutil
import sqlite3
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from sqlalchemy import BigInteger, Connection, Table, create_engine, func, select
from sqlalchemy.pool import StaticPool

import core.storage
from core.storage.columns import metadata
from core.storage.schema import generations

_TOKENS = ("input_tokens", "cached_tokens", "output_tokens", "thinking_tokens")


def all_tables() -> list[Table]:
    """Every table, each after those that it refers to."""
    for module in pkgutil.walk_packages(core.storage.__path__, f"{core.storage.__name__}."):
        if module.name.endswith(".schema"):
            import_module(module.name)
    return metadata.sorted_tables


def key_names(table: Table) -> list[str]:
    return [column.name for column in table.primary_key.columns]


@dataclass(frozen=True, slots=True)
class Contents:
    """The measure of a database.

    rows: Table -> its rows. sums: `table.column` -> its sum: money in nano-dollars, tokens.
    first_us, last_us: The moments of the first and the last call; None = there is none.
    """

    rows: dict[str, int]
    sums: dict[str, int]
    first_us: int | None
    last_us: int | None

    @property
    def is_empty(self) -> bool:
        return not any(self.rows.values())

    def differences(self, other: "Contents") -> list[str]:
        """The points in which another one differs, in words; empty = it is equal."""
        pairs = [(f"rows of {name}", n, other.rows.get(name, 0)) for name, n in self.rows.items()]
        pairs += [(f"sum of {name}", n, other.sums.get(name, 0)) for name, n in self.sums.items()]
        pairs += [("first call", self.first_us or 0, other.first_us or 0)]
        pairs += [("last call", self.last_us or 0, other.last_us or 0)]
        return [f"{name}: {mine:,} and {theirs:,}" for name, mine, theirs in pairs if mine != theirs]


def contents_of(connection: Connection) -> Contents:
    """The measure of the database as this connection sees it now; what it has not yet is left out."""
    there = set(connection.dialect.get_table_names(connection))
    rows: dict[str, int] = {}
    sums: dict[str, int] = {}
    for table in all_tables():
        if table.name not in there:
            continue
        if summed := [column for column in table.c if _is_summed(column)]:
            known = {column["name"] for column in connection.dialect.get_columns(connection, table.name)}
            summed = [column for column in summed if column.name in known]
        found = connection.execute(select(func.count(), *map(func.sum, summed)).select_from(table)).one()
        rows[table.name] = int(found[0])
        sums |= {f"{table.name}.{column.name}": int(n or 0) for column, n in zip(summed, found[1:], strict=True)}
    created = generations.c.created_at
    has_calls = generations.name in there
    first, last = connection.execute(select(func.min(created), func.max(created))).one() if has_calls else (None, None)
    return Contents(rows, sums, first, last)


def contents_of_file(connection: sqlite3.Connection) -> Contents:
    """The same of SQLite's own connection; a transaction that is open on it goes on."""
    engine = create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool, pool_reset_on_return=None)
    engine.dialect.do_rollback = _go_on  # type: ignore[method-assign]
    with engine.connect() as link:
        return contents_of(link)


def _go_on(dbapi_connection: Any) -> None:
    """Roll nothing back, as SQLAlchemy does at the end of each connection."""


def _is_summed(column: Any) -> bool:
    is_money = "nano" in column.name and isinstance(column.type, BigInteger)
    return is_money or (column.table is generations and column.name in _TOKENS)
