"""Long rows of things in blocks. Pure."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def blocks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in their order, so many at a time; the last block may be shorter."""
    left = iter(items)
    while block := list(islice(left, size)):
        yield block
