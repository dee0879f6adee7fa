"""Alerts and the outbox of their messages."""

import secrets
from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, exists, insert, or_, select, update

from core.clock import from_us, to_us
from core.domain.alert import Alert, Delivery
from core.formats import strict_json as json
from core.storage.engine.damaged import readable
from core.storage.engine.database import Connection, Store
from core.storage.engine.records import from_row, to_row
from core.storage.engine.records import put as put_row
from core.storage.schema import alerts, budgets, deliveries

QUIET_US = 900_000_000


class AlertStore(Store):
    def all(self) -> list[Alert]:
        """Of all budgets, the latest change first."""
        with self._database.read() as connection:
            return read_all(connection)

    def outbox(self, *, limit: int = 50) -> list[Delivery]:
        """Newest first, delivered ones too."""
        statement = select(deliveries).order_by(deliveries.c.created_at.desc()).limit(limit)
        return readable("message", self._database.rows(statement), _to_delivery)

    def waiting(self, now_us: int, *, limit: int = 20) -> list[tuple[str, str, dict[str, Any], int]]:
        """(id, channel, payload, attempts so far) of what is due, oldest first.

        A message waits for an earlier one about the same: it would open what it was to close.
        """
        d, e = deliveries.c, deliveries.alias("earlier").c
        earlier = exists().where(
            e.delivered_at.is_(None), e.about == d.about, e.channel == d.channel, e.created_at < d.created_at
        )
        statement = select(d.id, d.channel, d.payload, d.n_attempts).where(
            d.delivered_at.is_(None), d.next_at <= now_us, or_(d.about == "", ~earlier)
        )
        rows = self._database.rows(statement.order_by(d.created_at).limit(limit))
        return readable(
            "message", rows, lambda row: (row.id, row.channel, dict(json.loads(row.payload)), row.n_attempts)
        )


def read_all(connection: Connection) -> list[Alert]:
    statement = select(alerts, budgets.c.name.label("budget_name")).join(budgets).order_by(alerts.c.since.desc())
    return readable("alert", connection.execute(statement), _to_alert)


def _to_alert(row: Any) -> Alert:
    start = from_us(row.bucket_at) if row.bucket_at else None
    is_forecast = ":forecast:" in row.id
    return from_row(Alert, row, threshold=float(row.threshold), is_forecast=is_forecast, period_start=start)


def put(connection: Connection, alert: Alert) -> None:
    start = to_us(alert.period_start) if alert.period_start else 0
    row = to_row(alerts, alert, id=alert.id, threshold=f"{alert.threshold:g}", bucket_at=start)
    put_row(connection, alerts, row)


def drop(connection: Connection, ids: Sequence[str]) -> None:
    connection.execute(delete(alerts).where(alerts.c.id.in_(ids)))


def enqueue(connection: Connection, channels: Sequence[str], payload: dict[str, Any], now_us: int) -> None:
    """Put a message into the outbox of each channel, in the transaction that changes the alert.

    On the page it is there at once.
    """
    about = str(payload.get("incident", {}).get("key", ""))
    message = {"payload": json.dumps(payload), "created_at": now_us, "next_at": now_us, "about": about}
    for channel in channels:
        at = now_us if channel == "page" else None
        id_ = f"d_{secrets.token_hex(8)}"
        connection.execute(insert(deliveries).values(id=id_, channel=channel, delivered_at=at, **message))


def tell(connection: Connection, channels: Sequence[str], payload: dict[str, Any], now_us: int) -> bool:
    """Put a message that no alert carries into each channel's outbox, and on the page.

    False: The same was told of the same within the last quarter of an hour, by whichever process.
    """
    d = deliveries.c
    latest = select(d.payload).where(d.channel == "page", d.created_at > now_us - QUIET_US)
    same = {name: value for name, value in payload.items() if name not in ("text", "at", "incident")}
    if any(same.items() <= json.loads(text).items() for text in connection.execute(latest).scalars()):
        return False
    enqueue(connection, [*channels, "page"], payload, now_us)
    return True


def claim(connection: Connection, delivery_id: str, now_us: int, until_us: int) -> bool:
    """Take a due message for this process until a moment; False = another has it."""
    d = deliveries.c
    statement = update(deliveries).where(d.id == delivery_id, d.delivered_at.is_(None), d.next_at <= now_us)
    return connection.execute(statement.values(next_at=until_us, n_attempts=d.n_attempts + 1)).rowcount > 0


def delivered(connection: Connection, delivery_id: str, now_us: int) -> None:
    statement = update(deliveries).where(deliveries.c.id == delivery_id)
    connection.execute(statement.values(delivered_at=now_us, error=""))


def failed(connection: Connection, delivery_id: str, error: str, next_us: int) -> None:
    statement = update(deliveries).where(deliveries.c.id == delivery_id)
    connection.execute(statement.values(error=error[:500], next_at=next_us))


def _to_delivery(row: Any) -> Delivery:
    return from_row(Delivery, row, title=json.loads(row.payload).get("text", ""))
