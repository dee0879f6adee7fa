"""Past calls charged anew, with the prices that held then as they are known now."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from core import clock
from core.clock import DAY_US, from_us, to_us
from core.costs.service import PriceService
from core.domain.price import RepricedDay, UnpricedModel
from core.errors import InvalidRequest
from core.formats.money import from_nano
from core.formats.names import normalise
from core.storage.engine.database import Connection, Database
from core.storage.engine.writer import Writer
from core.storage.experiments import check as sums_check
from core.storage.money import repricing
from core.storage.money.ledger import lock_ledger
from core.storage.money.prices import PriceStore
from core.storage.money.repricing import Segment
from core.storage.people import audit


class RepriceService:
    """Charges past calls with the prices known now. on_repriced: Runs in the same transaction."""

    def __init__(
        self,
        database: Database,
        writer: Writer,
        prices: PriceService,
        on_repriced: Callable[[Connection], None] | None = None,
    ) -> None:
        self._database = database
        self._store = PriceStore(database)
        self._writer = writer
        self._prices = prices
        self._on_repriced = on_repriced

    def unpriced(self) -> list[UnpricedModel]:
        """Models with calls whose cost is unknown, the most tokens first."""
        return self._store.unpriced()

    def preview(
        self,
        provider: str,
        model: str,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        only_unpriced: bool = True,
    ) -> list[RepricedDay]:
        """The effect that charging past calls anew would have; a row a day."""
        provider, model, span = self._range(provider, model, since, until)
        days: dict[int, list[int]] = {}
        with self._database.read() as connection:
            for segment in self._segments(connection, provider, model, span, only_unpriced):
                for row in self._refusing_overflow(repricing.preview, connection, segment, only_unpriced):
                    entry = days.setdefault(row.day_us, [0, 0, 0, 0])
                    for at, value in enumerate((row.n, row.n_unpriced, row.before_nano, row.after_nano)):
                        entry[at] += value
        return [
            RepricedDay(
                on=from_us(at).date(),
                provider=provider,
                model=model,
                n_calls=n,
                n_unpriced=missing,
                before_usd=from_nano(before),
                after_usd=from_nano(after),
            )
            for at, (n, missing, before, after) in sorted(days.items())
        ]

    def reprice(
        self,
        provider: str,
        model: str,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        only_unpriced: bool = True,
    ) -> int:
        """Charge past calls anew: calls, rollups and budgets change in one transaction, which the audit trail names.

        Returns the number of calls.
        """
        provider, model, span = self._range(provider, model, since, until)

        def work(connection: Connection) -> int:
            lock_ledger(connection, alone=True)
            segments = self._segments(connection, provider, model, span, only_unpriced)
            n = sum(int(self._refusing_overflow(repricing.apply, connection, each, only_unpriced)) for each in segments)
            touched = {one for each in segments for one in repricing.experiments_of(connection, each)} if n else set()
            for experiment_id in sorted(touched):
                sums_check.rebuild(connection, experiment_id)
            if n and self._on_repriced is not None:
                self._on_repriced(connection)
            detail = {"calls": n, "since": from_us(span[0]).isoformat(), "until": from_us(span[1]).isoformat()}
            detail |= {"only_unpriced": only_unpriced, "prices": sorted({each.price.id for each in segments})}
            audit.note(connection, "calls repriced", f"{provider} {model}", detail)
            return n

        return int(self._writer.run(work))

    def _range(
        self, provider: str, model: str, since: datetime | None, until: datetime | None
    ) -> tuple[str, str, tuple[int, int]]:
        start = to_us(since) if since else 0
        end = to_us(until) if until else to_us(clock.now() + timedelta(seconds=1))
        if start >= end:
            raise InvalidRequest("The range ends before it begins.")
        return provider.strip().lower(), normalise(model), (start, end)

    def _segments(
        self, connection: Connection, provider: str, model: str, span: tuple[int, int], only_unpriced: bool
    ) -> list[Segment]:
        """The calls, cut where their price changes."""
        found: list[Segment] = []
        names = (provider, model, self._prices.book.apart)
        for day, tier in repricing.days_with_calls(connection, names, span, only_unpriced=only_unpriced):
            starts = {day} | {
                at for row in self._prices.book.rows if day < (at := to_us(row.effective_from)) < day + DAY_US
            }
            cuts = [*sorted(starts), day + DAY_US]
            for start, end in pairwise(cuts):
                price = self._prices.price(provider, model, from_us(start), tier)
                since, until = max(start, span[0]), min(end, span[1])
                if price is not None and since < until:
                    segment = Segment(
                        provider=provider, model=model, service_tier=tier, price=price, since_us=since, until_us=until
                    )
                    found.append(replace(segment, apart=names[2]))
        return _joined(found)

    @staticmethod
    def _refusing_overflow(step: Any, connection: Connection, segment: Segment, only_unpriced: bool) -> Any:
        try:
            return step(connection, segment, only_unpriced=only_unpriced)
        except OverflowError as error:
            raise InvalidRequest(f"{segment.model}: {error}; use a price with fewer decimals.") from None


def _joined(segments: Sequence[Segment]) -> list[Segment]:
    """Neighbouring days of one price in one piece: a year is then one statement, not 365."""
    joined: list[Segment] = []
    for segment in sorted(segments, key=lambda each: (each.service_tier, each.since_us)):
        last = joined[-1] if joined else None
        same = last is not None and (last.price.id, last.service_tier) == (segment.price.id, segment.service_tier)
        if last is not None and same:
            joined[-1] = replace(last, until_us=segment.until_us)
        else:
            joined.append(segment)
    return joined
