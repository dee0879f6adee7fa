"""Reads records back: a damaged one is told and never takes others with it."""

import logging
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from core.errors import AimmError, DamagedRecord
from core.formats import strict_json as json

logger = logging.getLogger(__name__)

T = TypeVar("T")
# What decoding a column raises when another program, a fault or another version wrote it.
UNREADABLE = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    AimmError,
    zlib.error,
)
_told: set[tuple[str, str]] = set()


def whole(kind: str, row: Any, read: Callable[[Any], T]) -> T:
    """A record as `read` makes it of its row.

    Raises:
        DamagedRecord: It cannot be read.
    """
    try:
        return read(row)
    except UNREADABLE as error:
        values = getattr(row, "_mapping", row)
        name = str(values.get("id") or values.get("name") if isinstance(values, Mapping) else values[0])[:80]
        if (kind, name) not in _told:
            _told.add((kind, name))
            logger.warning("the %s %s is damaged and cannot be read: %s", kind, name, type(error).__name__)
        raise DamagedRecord(
            f"The {kind} {name} is damaged in the database and cannot be read.",
            hint="The others are not touched; a backup may still have it.",
        ) from None


def readable(kind: str, rows: Iterable[Any], read: Callable[[Any], T]) -> list[T]:
    """The records that can be read; the others are in the log, once each."""
    found = []
    for row in rows:
        try:
            found.append(whole(kind, row, read))
        except DamagedRecord:
            continue
    return found


class Parts:
    """Columns of one record that can be damaged one by one. damaged: Those that could not be read."""

    def __init__(self, row: Any) -> None:
        self._row = row
        self.damaged: list[str] = []

    def read(self, name: str, read: Callable[[Any], Any], empty: Any) -> Any:
        """A column as `read` makes it; `empty` when it holds nothing, or what cannot be read."""
        value = self._row[name]
        if value is None or value == "":
            return empty
        try:
            return read(value)
        except UNREADABLE:
            self.damaged.append(name)
            return empty


def each(read: Callable[[Any], T]) -> Callable[[Any], tuple[T, ...]]:
    """A reader of a JSON list."""

    def read_all(text: Any) -> tuple[T, ...]:
        values = json.loads(text)
        if not isinstance(values, list):
            raise TypeError("no list")
        return tuple(read(value) for value in values)

    return read_all


def as_text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


texts = each(as_text)
