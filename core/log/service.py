"""The log of calls for its readers: stored calls with the lines of their cost, and the live ones."""

from collections.abc import Callable, Iterator
from itertools import islice

from core.calls.call import Call
from core.domain.generation import Generation
from core.domain.log.breakdown import Cell, fields_of
from core.domain.log.filter import LogFilter, LogPage
from core.domain.log.session import Exchange, Session, conversation
from core.errors import InvalidRequest, NotFound
from core.log import exporting
from core.storage.calls.breakdown import BreakdownStore
from core.storage.calls.log import LogStore, from_cursor, to_cursor
from core.storage.calls.sessions import SessionStore
from core.storage.engine.database import Database

MOST_OF_SESSION = 500
_NO_TEXTS = "This server keeps no texts (AIMM_LOG_CONTENT): only those that were kept before are looked through."


class LogService(LogStore):
    """Recorded calls. Lists hold the numbers alone; one call, a search and the calls of a run hold texts too."""

    def __init__(
        self,
        database: Database,
        with_receipts: Callable[[Generation], Generation],
        running: Callable[[str], Call | None],
        deleted: Callable[[LogFilter], str] = lambda _: "",
        *,
        keeps_text: bool = True,
    ) -> None:
        """Open the log of a database.

        with_receipts: Adds the lines of its cost to a call.
        running: Finds the call of an id in this process.
        deleted: A sentence where calls that a filter asks for were deleted, else empty.
        keeps_text: Whether the server keeps texts.
        """
        super().__init__(database)
        self.sessions = SessionStore(database)
        self._breakdowns = BreakdownStore(database)
        self._with_receipts = with_receipts
        self._running = running
        self.deleted = deleted
        self._keeps_text = keeps_text

    def search(
        self,
        wanted: LogFilter,
        *,
        limit: int = 50,
        cursor: str | None = None,
        texts: bool = False,
        counts: bool = True,
        is_exact: bool = False,
    ) -> LogPage:
        """A page of what a filter finds, the newest first. cursor: `following` of the page before.

        counts: Whether the total is wanted. is_exact: Of all calls, however long it takes to count them.

        Raises:
            InvalidRequest: The cursor is none, or one of another filter.
        """
        before = None if cursor is None else from_cursor(wanted, cursor)
        found = self.page(wanted, limit, before, counts=counts, is_exact=is_exact)
        following = None if found.following is None else to_cursor(wanted, found.following)
        note = f"{found.note} {self.deleted(wanted)}".strip()
        if wanted.text and not self._keeps_text:
            note = f"{_NO_TEXTS} {note}".strip()
        return LogPage(tuple(self.calls(found.ids, texts=texts)), following, found.total, note, found.since)

    def export(self, wanted: LogFilter, format_: str, *, texts: bool = False) -> Iterator[bytes]:
        """All calls that a filter finds, as a file in parts, as they are when the first part is read.

        Raises:
            InvalidRequest: There is no such format.
        """
        return exporting.written(self.each(wanted, texts=texts), format_, texts=texts)

    def breakdown(self, wanted: LogFilter, by: str) -> list[Cell]:
        """The calls of a filter by one or two fields, such as `key,model`, the most expensive cells first.

        Raises:
            InvalidRequest: There is no such field, or there are too many cells; a text is looked for.
        """
        if wanted.text:
            raise InvalidRequest("A breakdown looks through no texts: take `text` away.", param="text")
        return self._breakdowns.read(wanted, fields_of(by))

    def session(self, session_id: str, *, key: str | None = None) -> tuple[Session, list[Exchange]]:
        """A session with its conversation, of its first MOST_OF_SESSION calls. key: Of the calls of this id alone.

        Raises:
            NotFound: There is none of this id.
        """
        found = self.sessions.find(session_id, key=key)
        if found is None:
            raise NotFound(f"There is no session {session_id[:60]!r}.", hint=self.deleted(LogFilter(key=key)))
        calls = islice(self.each(LogFilter(session=session_id, key=key), texts=True), MOST_OF_SESSION)
        return found, list(conversation(list(calls)))

    def get(self, generation_id: str) -> Generation:
        """A recorded call, whole.

        Raises:
            NotFound: There is none of this id.
        """
        found = self.find(generation_id)
        if found is None:
            raise NotFound(f"There is no generation {generation_id[:60]!r}.", hint=self.deleted(LogFilter()))
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
