"""The audit: what was changed, by whom, when; added to in the transaction of the change, and never changed itself."""

from typing import Any

from sqlalchemy import Connection, Select, or_, select

from core.clock import to_us
from core.domain.people.entry import AuditEntry, Wanted
from core.formats import strict_json as json
from core.formats.text import storable
from core.storage.engine.damaged import Parts, readable
from core.storage.engine.database import Store
from core.storage.engine.paging import read_page
from core.storage.engine.records import from_row
from core.storage.people.changes import note as note  # for those who note what they do
from core.storage.people.changes import noted as noted
from core.storage.people.watched import WATCHED
from core.storage.schema import audit

_c = audit.c


class AuditStore(Store):
    def page(self, wanted: Wanted, limit: int, before: str | None) -> tuple[list[AuditEntry], str | None]:
        """The newest first. Raises: InvalidRequest: `before` is not the end of a page."""
        with self._database.read() as connection:
            rows, more = read_page(connection, _selected(wanted), (_c.created_at, _c.id), limit, before)
        return readable("audit entry", rows, _to_entry), more

    def get(self, entry_id: str) -> AuditEntry | None:
        return next(
            iter(readable("audit entry", self._database.rows(select(audit).where(_c.id == entry_id)), _to_entry)), None
        )

    def kinds(self) -> list[str]:
        """The nouns that entries may be of; which of them there are, only a look at all entries would say."""
        return sorted({each.kind for each in WATCHED.values()} | {"demo", "model"})


def _selected(wanted: Wanted) -> Select[Any]:
    statement = select(audit)
    if wanted.who:
        statement = statement.where(or_(_c.actor == wanted.who, _c.actor_id == wanted.who))
    if wanted.kinds:
        statement = statement.where(_c.kind.in_(wanted.kinds))
    for name in ("subject", "door", "outcome"):
        if value := getattr(wanted, name):
            statement = statement.where(_c[name] == value)
    if wanted.since is not None:
        statement = statement.where(_c.created_at >= to_us(wanted.since))
    if wanted.until is not None:
        statement = statement.where(_c.created_at < to_us(wanted.until))
    return statement


def last_detail(connection: Connection, action: str, subject: str) -> dict[str, Any]:
    """The note of the last time that something was done; empty = it is not on record."""
    was = (_c.action == action, _c.subject == subject, _c.outcome == "done")
    found = connection.execute(select(_c.detail).where(*was).order_by(_c.created_at.desc()).limit(1))
    detail: dict[str, Any] = Parts({"detail": found.scalar_one_or_none()}).read("detail", _object, {})
    return detail


def _object(text: str) -> dict[str, Any]:
    return {name: _shown(value) for name, value in dict(json.loads(text)).items()}


def _shown(value: Any) -> Any:
    """A text that an earlier version kept may hold what no page can show."""
    if isinstance(value, dict):
        return {name: _shown(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_shown(each) for each in value]
    return storable(value) if isinstance(value, str) else value


def _to_entry(row: Any) -> AuditEntry:
    told = {name: None if row._mapping[name] is None else _object(row._mapping[name]) for name in ("before", "after")}
    return from_row(AuditEntry, row, detail=_object(row.detail), **told)
