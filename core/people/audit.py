"""The audit read back: in pages, by filter, as a file; and the note of what a door refused."""

import csv
import io
import threading
import time
from collections.abc import Iterable, Iterator
from datetime import datetime

from core import acting, clock
from core.domain.people.actor import SYSTEM, Actor
from core.domain.people.entry import AUDIT_FORMATS, AuditEntry, Wanted
from core.domain.people.person import Person
from core.errors import InvalidRequest, NotFound
from core.formats import strict_json as json
from core.formats.text import safe_cell
from core.storage.engine.database import Connection, Database
from core.storage.engine.writer import Writer
from core.storage.people.audit import AuditStore
from core.storage.people.changes import add, entry_of_door
from core.storage.people.persons import PersonStore

COLUMNS = (
    "id", "created_at", "actor", "actor_id", "role", "door", "address", "outcome", "action", "kind", "subject",
    "before", "after", "detail", "text",
)  # fmt: skip
AT_ONCE = 500
_DEED = "read the audit"
LOGIN, NOBODY = "login begun", "somebody"
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

    def refused(self, actor: Actor, action: str, subject: str, **detail: str) -> None:
        """Note that a door turned somebody away; of the same again and again, one a minute."""
        key, now = (actor.id or f"{actor.name} {actor.address}", action, subject), time.monotonic()
        with self._lock:
            if now - self._refused.get(key, -REPEATED_S) < REPEATED_S:
                return
            if len(self._refused) >= KEPT:
                self._refused.clear()
            self._refused[key] = now
        self._note(actor, action, subject, "refused", detail)

    def logged_in(self, actor: Actor, way: str) -> None:
        """Note a login. way: By which it was."""
        self._note(actor, LOGIN, "", "done", {"way": way})

    def came_in(self, person: Person, actor: Actor, at: datetime | None) -> None:
        """Note a login by an identity provider, once in all processes. at: When it began; None = it does not say."""
        last, now = person.last_login_at, clock.now()
        if last is not None and (at is None or min(at, now) <= last):
            return
        at_us = clock.to_us(min(at or now, now))
        rows = [entry_of_door(actor, LOGIN, "", "done", {"way": "identity provider"})]

        def work(connection: Connection) -> None:
            if PersonStore.came_in(connection, person.id, at_us):
                add(connection, rows)

        with acting.acting_as(SYSTEM):
            self._writer.run(work)

    def login_refused(self, name: str, address: str, why: str) -> None:
        """Note a login that was tried. name: Of somebody who is known; any other text may be a password."""
        self.refused(Actor(name=NOBODY, role="viewer", door="page", address=address), LOGIN, name, note=why)

    def _note(self, actor: Actor, action: str, subject: str, outcome: str, detail: dict[str, str]) -> None:
        rows = [entry_of_door(actor, action, subject, outcome, detail)]
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
