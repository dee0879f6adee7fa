"""Entries of the audit about a database as a whole: where it was copied to, of what it was restored."""

import secrets
import sqlite3

from core import acting
from core.clock import now_us
from core.formats import strict_json as json

TO, FROM = "database copied", "database restored"


def entry(action: str, subject: str, **detail: object) -> dict[str, object]:
    """An entry by whoever acts."""
    actor = acting.current()
    return {
        "id": f"a_{secrets.token_hex(8)}",
        "created_at": now_us(),
        "action": action,
        "subject": subject,
        "detail": json.dumps(detail),
        "kind": "database",
        "actor": actor.name,
        "role": actor.role,
        "door": actor.door,
    }


def note(connection: sqlite3.Connection, action: str, subject: str, **detail: object) -> None:
    """Add an entry, in the transaction that is open."""
    values = entry(action, subject, **detail)
    names, places = ", ".join(values), ", ".join("?" * len(values))
    connection.execute(f"INSERT INTO audit ({names}) VALUES ({places})", tuple(values.values()))  # noqa: S608
