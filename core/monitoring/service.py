"""Monitoring for its users: metrics of any window, spend and its projection. Reads rollups, never raw rows."""

import time
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal

from core import clock
from core.clock import DAY_US, HOUR_US, to_us
from core.domain.generation import Source
from core.domain.metrics import Bucket, Counted, Metrics, MetricsRow, Projection, Slowdown, Window
from core.errors import InvalidRequest
from core.formats.money import from_nano
from core.formats.zones import day_of, day_starts, first_hour, month_of, zone
from core.monitoring import metrics
from core.monitoring.slowness import detailed, slowdown
from core.storage.calls.rollups import RollupStore
from core.storage.money.spend_by import SpendByStore

DEFAULT_DAYS = 30
MAX_HOURS = 24 * 366
USUAL_TTL_S = 60.0


class MonitoringService:
    def __init__(self, rollups: RollupStore, by: SpendByStore | None = None) -> None:
        self._rollups = rollups
        self._by = by
        self._usual: dict[str, tuple[float | None, float]] = {}

    def window(
        self, since: datetime | None = None, until: datetime | None = None, *, days: float = DEFAULT_DAYS
    ) -> Window:
        """The window of whole hours around the moments given; by default the last `days` days up to now.

        Raises:
            InvalidRequest: It ends before it begins.
        """
        end = until or clock.now()
        try:
            start = since or end - timedelta(days=days)
        except OverflowError:
            raise InvalidRequest(f"until == {end.isoformat()} is too early") from None
        if start >= end:
            raise InvalidRequest(f"The range ends ({end.isoformat()}) before it begins ({start.isoformat()}).")
        first, last = to_us(start) // HOUR_US * HOUR_US, -(-to_us(end) // HOUR_US) * HOUR_US
        # A window never looks further than the coming hour; far futures would only cost time.
        last = min(last, (clock.now_us() // HOUR_US + 1) * HOUR_US)
        return Window(clock.from_us(first), clock.from_us(max(last, first + HOUR_US)))

    def by_model(
        self,
        window: Window,
        *,
        bucket: Bucket | None = None,
        timezone: str = "UTC",
        model: str | None = None,
        simulated: bool = False,
    ) -> list[MetricsRow]:
        """Metrics per model, and per bucket if one is named.

        timezone: Of days; a day is the hours of UTC that begin in it.
        """
        return self._rows(window, bucket, timezone, model, simulated, True)

    def over_time(
        self,
        window: Window,
        *,
        bucket: Bucket,
        timezone: str = "UTC",
        model: str | None = None,
        simulated: bool = False,
    ) -> list[MetricsRow]:
        """Metrics of all models together per bucket; buckets without calls are left out. timezone: see by_model."""
        return self._rows(window, bucket, timezone, model, simulated, False)

    def total(self, window: Window, *, model: str | None = None, simulated: bool = False) -> Metrics:
        found = self._rows(window, None, "UTC", model, simulated, False)
        return found[0].metrics if found else Metrics()

    def slowdown(
        self, window: Window, before: Window, *, model: str | None = None, simulated: bool = False
    ) -> Slowdown | None:
        """The move of latency between two windows and what moved it; None = there is nothing to compare."""
        spans = [(to_us(each.since), to_us(each.until)) for each in (before, window)]
        found = slowdown(*(self._rollups.read(*span, simulated=simulated, model=model) for span in spans))
        if found is None:
            return None
        return detailed(found, *(self._rollups.newest_answers(found.model, *span) for span in spans))

    def usual_answer(self, model: str, *, simulated: bool = False) -> float | None:
        """Mean output tokens of a model's answers of the last 30 days; None = it has not answered. Kept a minute."""
        known, until = self._usual.get(model, (None, 0.0))
        if time.monotonic() >= until:
            found = self.total(self.window(), model=model, simulated=simulated)
            known = found.output_tokens / found.n_ok if found.n_ok else None
            self._usual[model] = known, time.monotonic() + USUAL_TTL_S
        return known

    def spend_today(self, timezone: str = "UTC") -> Decimal:
        """Known real spend since midnight."""
        now, local = clock.now(), zone(timezone)
        return self._spend(first_hour(day_of(now, local), local), now)

    def month(self, timezone: str = "UTC") -> Projection:
        """Known real spend of this calendar month, and where it is heading."""
        now, local = clock.now(), zone(timezone)
        start, following = month_of(now, local)
        spent = self._spend(start, now)
        gone = (now - start) / (following - start)
        return Projection(
            spent_usd=spent,
            projected_usd=spent / Decimal(gone) if gone >= 0.1 else None,
            n_days=(now - start) / timedelta(days=1),
        )

    def n_calls(self, window: Window, sources: Sequence[Source]) -> int:
        """The number of calls from these sources, simulated ones included."""
        return self._rollups.n_calls(to_us(window.since), to_us(window.until), sources)

    def counted(
        self,
        window: Window | None = None,
        *,
        model: str | None = None,
        source: str | None = None,
        status: str | None = None,
        simulated: bool | None = None,
    ) -> Counted:
        """The calls of a window, or of all time, that a filter of the log finds. simulated: None = of both kinds."""
        equal = {"model": model, "source": source, "status": status}
        span = None if window is None else (to_us(window.since), to_us(window.until))
        n, n_failed, nano, n_unpriced = self._rollups.counted(
            span, simulated=simulated, **{k: v for k, v in equal.items() if v}
        )
        return Counted(n, n_failed, from_nano(nano), n_unpriced)

    def seen(self) -> dict[tuple[str, str], tuple[date, date]]:
        """The first and the last day (UTC) with a call of each (vendor, model)."""
        return {
            name: (clock.from_us(first).date(), clock.from_us(last).date())
            for name, (first, last) in self._rollups.seen().items()
        }

    def has_any(self, *, simulated: bool) -> bool:
        """True if anything at all was recorded."""
        return self._rollups.has_any(simulated=simulated)

    def reaches_back(self, since: datetime, *, simulated: bool) -> bool:
        """True if all calls from a moment on are on record; the first day with a call may have begun without."""
        first_us, since_us = self._rollups.first_day_us(simulated=simulated), to_us(since)
        return first_us is not None and (first_us == since_us or first_us + DAY_US <= since_us)

    def differences(self) -> list[str]:
        """Differences between rollups and raw rows; empty = they agree. Reads everything."""
        return self._rollups.differences() + (self._by.differences() if self._by is not None else [])

    def _spend(self, since: datetime, until: datetime) -> Decimal:
        nano, _ = self._rollups.spend_nano_usd(to_us(since), to_us(until) + 1)
        return Decimal(nano) / 1_000_000_000

    def _rows(
        self, window: Window, bucket: Bucket | None, timezone: str, model: str | None, simulated: bool, by_model: bool
    ) -> list[MetricsRow]:
        since, until = to_us(window.since), to_us(window.until)
        starts: Sequence[int] | None = None
        by_hour = bucket == "hour"
        if by_hour:
            if (until - since) // HOUR_US > MAX_HOURS:
                raise InvalidRequest(f"By hour, a range of at most {MAX_HOURS // 24} days is served; take bucket=day.")
            starts = range(since, until, HOUR_US)
        elif bucket == "day" and timezone == "UTC":
            starts = range(since // DAY_US * DAY_US, until, DAY_US)
        elif bucket == "day":
            starts = [to_us(each) for each in day_starts(window.since, window.until, zone(timezone))]
            by_hour = any(at % DAY_US for at in starts)  # else they are days of UTC, whose sums are kept
        rows = self._rollups.read(since, until, simulated=simulated, model=model, by_hour=by_hour)
        return metrics.summarise(rows, starts=starts, by_model=by_model)
