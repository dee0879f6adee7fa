"""The audit read back: in pages, by filter, as a file; and the note of what a door refused."""

import csv
import io
import threading
import time
from collections.abc import Iterable, Iterator

from core import acting
from core.domain.people.actor import Actor
from core.domain.people.entry import AUDIT_FORMATS, AuditEntry, Wanted
from core.errors import InvalidRequest, NotFound
from core.formats import strict_json as json
from core.formats.text import safe_cell
from core.storage.engine.database import Database
from core.storage.engine.writer import Writer
from core.storage.people.audit import AuditStore
from core.storage.people.changes import add, refused_entry

COLUMNS = (
    "id", "created_at", "actor", "actor_id", "role", "door", "address", "outcome", "action", "kind", "subject",
    "before", "after", "detail", "text",
)  # fmt: skip
AT_ONCE = 500
_DEED = "read the audit"
REPEATED_S, KEPT = 60.0, 1000  # the same refusal is noted once a minute


class AuditService:
    def __init__(self, database: Database, writer: Writer) -> None:
        self._store = AuditStore(database)
        self._writer = writer
        self._lock = threading.Lock()
        self._refused: dict[tuple[str, str, str], float] = {}

    def page(
        self, wanted: Wanted | None = None, limit: int = 100, before: str | None = None
    ) -> tuple[list[AuditEntry], str | None]:
        """Entries, the newest first, and what to ask the next page with.

        Raises:
            InvalidRequest; Forbidden: it names people, and is for admins, as all that reads it here.
        """
        acting.require("admin", _DEED)
        return self._store.page(wanted or Wanted(), limit, before)

    def get(self, entry_id: str) -> AuditEntry:
        """Raises: NotFound, Forbidden."""
        acting.require("admin", _DEED)
        found = self._store.get(entry_id)
        if found is None:
            raise NotFound(f"There is no entry {entry_id[:60]!r} of the audit.")
        return found

    def kinds(self) -> list[str]:
        """The kinds that there are entries of. Raises: Forbidden."""
        acting.require("admin", _DEED)
        return self._store.kinds()

    def export(self, wanted: Wanted, format_: str) -> Iterator[bytes]:
        """The entries as a file in parts, the newest first. Raises: InvalidRequest: There is no such format."""
        acting.require("admin", _DEED)
        if format_ not in AUDIT_FORMATS:
            raise InvalidRequest(
                f"format == {format_[:40]!r}, must be one of {', '.join(AUDIT_FORMATS)}", param="format"
            )
        return self._parts(wanted, format_)

    def _parts(self, wanted: Wanted, format_: str) -> Iterator[bytes]:
        if format_ == "csv":
            yield _csv([COLUMNS])
        before: str | None = None
        while True:
            entries, before = self._store.page(wanted, AT_ONCE, before)
            if format_ == "csv":
                yield _csv([[_cell(value) for value in as_values(each).values()] for each in entries])
            else:
                yield "".join(f"{json.dumps(as_values(each), ensure_ascii=False)}\n" for each in entries).encode()
            if before is None:
                return

    def refused(self, actor: Actor, action: str, subject: str) -> None:
        """Note that a door turned somebody away; of the same again and again, one a minute."""
        key, now = (actor.id or actor.name, action, subject), time.monotonic()
        with self._lock:
            if now - self._refused.get(key, -REPEATED_S) < REPEATED_S:
                return
            if len(self._refused) >= KEPT:
                self._refused.clear()
            self._refused[key] = now
        rows = [refused_entry(actor, action, subject)]
        self._writer.submit(lambda connection: add(connection, rows))


def as_values(entry: AuditEntry) -> dict[str, object]:
    """An entry as files and the API have it."""
    found = {name: getattr(entry, name) for name in COLUMNS}
    return found | {"created_at": entry.created_at.isoformat()}


def _cell(value: object) -> str:
    return safe_cell(json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value or ""))


def _csv(rows: Iterable[Iterable[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()
