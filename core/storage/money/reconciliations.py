"""Comparisons of a vendor's bill with our ledger, kept over time."""

import secrets
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import delete, insert, select

from core.clock import now_us
from core.formats import strict_json as json
from core.formats.money import to_nano
from core.storage.engine.damaged import readable
from core.storage.engine.database import Connection, Database
from core.storage.engine.records import from_row
from core.storage.schema import reconciliations


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """detail: Drift by day and by model as it was found, money as text."""

    id: str
    created_at: datetime
    provider: str
    source: str
    since: date
    until: date
    billed_usd: Decimal
    booked_usd: Decimal
    detail: dict[str, Any]


def put(connection: Connection, kept: dict[str, Any]) -> None:
    """Keep one; it takes the place of an earlier one of the same bill."""
    bill = {
        "provider": kept["provider"],
        "source": kept["source"],
        "since": kept["since"].isoformat(),
        "until": kept["until"].isoformat(),
        "billed_nano_usd": to_nano(kept["billed_usd"]),
    }
    connection.execute(delete(reconciliations).filter_by(**bill))
    connection.execute(
        insert(reconciliations).values(
            id=f"k_{secrets.token_hex(8)}",
            created_at=now_us(),
            booked_nano_usd=to_nano(kept["booked_usd"]),
            detail=json.dumps(kept["detail"]),
            **bill,
        )
    )


def drop(connection: Connection, id_: str) -> bool:
    return connection.execute(delete(reconciliations).where(reconciliations.c.id == id_)).rowcount > 0


def latest(database: Database, limit: int) -> list[Kept]:
    """Newest first."""
    statement = select(reconciliations).order_by(reconciliations.c.created_at.desc()).limit(limit)
    rows = database.rows(statement)
    return readable("reconciliation", rows, lambda row: from_row(Kept, row, detail=json.loads(row.detail)))
