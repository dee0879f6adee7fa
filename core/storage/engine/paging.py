"""Long lists in pages, the newest row first. A page ends where the next begins, whatever came or went meanwhile."""

import re
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, Connection, Select, tuple_

from core.errors import InvalidRequest

_CURSOR = re.compile(r"(\d{1,18})\.([\w-]{1,60})")


def read_page(
    connection: Connection, statement: Select[Any], key: tuple[Column[Any], Column[Any]], limit: int, before: str | None
) -> tuple[Sequence[Any], str | None]:
    """At most `limit` rows, and what to ask the next page with; None = there is none.

    key: The columns of the moment (microseconds) and of the id. before: Where the last page ended.

    Raises:
        InvalidRequest: `before` is not what a page ended with, or `limit` is below 1.
    """
    if limit < 1:
        raise InvalidRequest(f"limit == {limit}, must be >= 1")
    if before is not None:
        if (found := _CURSOR.fullmatch(before)) is None:
            raise InvalidRequest(f"before == {before[:60]!r}, must be the `next` of the page before")
        statement = statement.where(tuple_(*key) < tuple_(int(found[1]), found[2]))
    ordered = statement.order_by(*(column.desc() for column in key)).limit(limit + 1)
    rows = connection.execute(ordered).all()
    if len(rows) <= limit:
        return rows, None
    return rows[:limit], ".".join(str(getattr(rows[limit - 1], column.name)) for column in key)
