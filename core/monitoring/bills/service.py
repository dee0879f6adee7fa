"""Reconciliations for their users: a bill in, drift and likely cause out, kept over time."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from core.domain.metrics import MetricsRow, Window
from core.errors import InvalidRequest, NotFound
from core.monitoring.bills.reading import Bill, decoded, parse_bill
from core.monitoring.bills.reconcile import Drift, Reconciliation, days_of, one_number, reconcile
from core.monitoring.service import MonitoringService
from core.storage.engine.database import Database
from core.storage.engine.writer import Writer
from core.storage.money import reconciliations as store
from core.storage.money.reconciliations import Kept

FIRST, LAST = date(2000, 1, 1), date(2099, 12, 31)
MAX_DAYS = 3700


class ReconcileService:
    def __init__(self, database: Database, writer: Writer, monitoring: MonitoringService) -> None:
        self._database = database
        self._writer = writer
        self._monitoring = monitoring

    def of_file(self, given: str | bytes, *, provider: str | None = None) -> Reconciliation:
        """Compare a bill's file with the ledger of its days.

        provider: Whose calls it charges; None = as the file says, `` = all of them.

        Raises:
            InvalidRequest: It cannot be read, has no dates, or may charge the calls of several providers.
        """
        text = decoded(given) if isinstance(given, bytes) else given
        bill = parse_bill(text, self._models())
        days = days_of(bill)
        if days is None:
            raise InvalidRequest("The bill names no day; enter its sum and its range as one number.")
        if provider is None and not (provider := bill.provider):
            found = sorted({row.provider or "" for row in self._rows(*days)})
            if len(found) > 1:
                raise InvalidRequest(
                    f"The file does not say whose calls it charges: choose one of {', '.join(found)}, or all."
                )
            provider = found[0] if found else ""
        return self._keep(bill, provider, *days)

    def of_number(self, usd: Decimal | float | str, provider: str, since: date, until: date) -> Reconciliation:
        """Compare one sum with the ledger from `since` to `until`, both included. Raises: InvalidRequest"""
        try:
            amount = Decimal(str(usd))
        except InvalidOperation:
            raise InvalidRequest(f"The amount == {str(usd)[:40]!r}, must be a number") from None
        return self._keep(one_number(amount, provider), provider, since, until)

    def latest(self, limit: int = 50) -> list[Kept]:
        return store.latest(self._database, limit)

    def remove(self, kept_id: str) -> None:
        if not self._writer.run(lambda connection: store.drop(connection, kept_id)):
            raise NotFound(f"There is no reconciliation {kept_id[:60]!r}.")

    def _keep(self, bill: Bill, provider: str, since: date, until: date) -> Reconciliation:
        booked = [row for row in self._rows(since, until) if not provider or row.provider == provider]
        found = reconcile(replace(bill, provider=provider), booked, since, until)
        kept: dict[str, Any] = {
            "provider": provider,
            "source": bill.source,
            "since": since,
            "until": until,
            "billed_usd": found.total.billed_usd,
            "booked_usd": found.total.booked_usd,
            "detail": {
                "by_model": [_plain(each) for each in found.by_model],
                "by_day": [_plain(each) for each in found.by_day],
            },
        }
        self._writer.run(lambda connection: store.put(connection, kept))
        return found

    def _rows(self, since: date, until: date) -> list[MetricsRow]:
        if not FIRST <= since <= until <= LAST or (until - since).days > MAX_DAYS:
            raise InvalidRequest(
                f"The range from {since} to {until} is not one of up to ten years between {FIRST.year} and {LAST.year}."
            )
        start, end = (datetime.combine(day, time(), tzinfo=UTC) for day in (since, until + timedelta(days=1)))
        return self._monitoring.by_model(Window(start, end), bucket="day")

    def _models(self) -> list[str]:
        rows = self._monitoring.by_model(self._monitoring.window(days=730))
        return sorted({row.model for row in rows if row.model})


def _plain(drift: Drift) -> dict[str, Any]:
    return {
        "on": drift.on.isoformat() if drift.on else None,
        "model": drift.model,
        "billed_usd": str(drift.billed_usd),
        "booked_usd": str(drift.booked_usd),
        "cause": drift.cause,
    }
