"""Rows of a dataset by their place, read in blocks as they are needed."""

import threading
from collections.abc import Callable

from core.domain.evaluation.dataset import DatasetRow


class Rows:
    """Some blocks are in memory at a time; any thread may ask."""

    BLOCK, N_KEPT = 200, 8

    def __init__(self, read: Callable[[int, int], list[DatasetRow]]) -> None:
        """read: Gives rows from a place on, at most so many."""
        self._read = read
        self._blocks: dict[int, list[DatasetRow]] = {}
        self._lock = threading.Lock()

    def get(self, item: int) -> DatasetRow:
        number, at = divmod(item, self.BLOCK)
        with self._lock:
            if number not in self._blocks:
                while len(self._blocks) >= self.N_KEPT:
                    del self._blocks[next(iter(self._blocks))]
                self._blocks[number] = self._read(number * self.BLOCK, self.BLOCK)
            return self._blocks[number][at]
