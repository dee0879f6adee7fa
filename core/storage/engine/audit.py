"""The audit trail: what was changed about money, when, written in the transaction that changed it."""

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select

from core.clock import now_us
from core.formats import strict_json as json
from core.formats.text import storable
from core.storage.engine.damaged import Parts, readable
from core.storage.engine.database import Connection, Database
from core.storage.engine.records import from_row
from core.storage.schema import audit


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    created_at: datetime
    action: str
    subject: str
    detail: dict[str, Any]


def note(connection: Connection, action: str, subject: str, detail: dict[str, Any]) -> None:
    row = {"id": f"a_{secrets.token_hex(8)}", "created_at": now_us(), "action": action, "subject": subject}
    connection.execute(insert(audit).values(**row, detail=json.dumps(detail)))


def last_detail(connection: Connection, action: str, subject: str) -> dict[str, Any]:
    """The note of the last time that something was done; empty = it is not on record."""
    c = audit.c
    statement = select(c.detail).where(c.action == action, c.subject == subject).order_by(c.created_at.desc()).limit(1)
    found = connection.execute(statement).scalar_one_or_none()
    detail: dict[str, Any] = Parts({"detail": found}).read("detail", lambda text: dict(json.loads(text)), {})
    return detail


def _shown(value: Any) -> Any:
    """A text that an earlier version kept may hold what no page can show."""
    return storable(value) if isinstance(value, str) else value


def latest(database: Database, limit: int = 100) -> list[AuditEntry]:
    """Newest first."""
    statement = select(audit).order_by(audit.c.created_at.desc(), audit.c.id).limit(limit)
    return readable("audit entry", database.rows(statement), _to_entry)


def _to_entry(row: Any) -> AuditEntry:
    detail = {name: _shown(value) for name, value in json.loads(row.detail).items()}
    return from_row(AuditEntry, row, detail=detail)
