"""The log of calls for its readers: stored calls with the lines of their cost, and the live ones."""

from collections.abc import Callable

from core.calls.call import Call
from core.domain.generation import Generation
from core.errors import NotFound
from core.storage.calls.generations import GenerationStore
from core.storage.engine.database import Database


class LogService(GenerationStore):
    """Recorded calls. Lists hold the numbers alone; one call, a search and the calls of a run hold texts too."""

    def __init__(
        self,
        database: Database,
        with_receipts: Callable[[Generation], Generation],
        running: Callable[[str], Call | None],
    ) -> None:
        """Open the log of a database.

        with_receipts: Adds the lines of its cost to a call.
        running: Finds the call of an id in this process.
        """
        super().__init__(database)
        self._with_receipts = with_receipts
        self._running = running

    def get(self, generation_id: str) -> Generation:
        """A recorded call, whole.

        Raises:
            NotFound: There is none of this id.
        """
        found = self.find(generation_id)
        if found is None:
            raise NotFound(f"There is no generation {generation_id[:60]!r}.")
        return found

    def find(self, generation_id: str) -> Generation | None:
        """`get`, or None where there is none."""
        found = super().find(generation_id)
        return None if found is None else self._with_receipts(found)

    def remembered(self, generation_id: str) -> Generation | None:
        """A call of this process with its texts, even where content is not kept; else what is on record."""
        call = self._running(generation_id)
        if call is not None and call.done.done() and call.done.exception() is None:
            return call.result()
        return self.find(generation_id)
