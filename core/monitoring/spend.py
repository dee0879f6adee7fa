"""Spend over time and where it is heading: per budget, for the month, by what it was spent on, and why it moved."""

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple
from zoneinfo import ZoneInfo

from core import clock
from core.budgets import periods
from core.budgets.service import BudgetService
from core.clock import DAY_US, HOUR_US, from_us, to_us
from core.domain.budget import Budget, BudgetOutlook, BudgetStatus
from core.domain.metrics import Window
from core.formats.money import from_nano
from core.formats.names import is_meant
from core.formats.zones import day_of, zone
from core.monitoring.bridge import Bridge, ModelSpend, bridge
from core.monitoring.forecast import Forecast, History, TooEarly, forecast
from core.monitoring.movers import moved, within
from core.storage.calls.rollups import RollupStore
from core.storage.money.spend_by import DIMENSIONS, SpendBy, SpendByStore

logger = logging.getLogger(__name__)

HISTORY_DAYS = 91  # thirteen of each weekday
OUTLOOK_TTL_S, STANDING_TTL_S = 30.0, 300.0
FORECASTS_A_LOOK = 20
_NO_FORECAST = {"rolling": "A rolling budget has no end to forecast.", "day": "A day is too short."}
NOT_YET = "Not forecast yet; there are many budgets."
Subject = tuple[Budget, Decimal, datetime]  # a budget with its limit and its period's start


class SpendOf(NamedTuple):
    """Spend on one value of a dimension; cost_usd: the known part, None = no call has a price.

    usd_per_ok: Known cost over answered calls; None = none was answered, or some have no price.
    """

    value: str
    n: int
    n_ok: int
    tokens: int
    cost_usd: Decimal | None
    n_unpriced: int

    @property
    def usd_per_ok(self) -> Decimal | None:
        return self.cost_usd / self.n_ok if self.n_ok and self.cost_usd is not None and not self.n_unpriced else None


class SpendService:
    def __init__(self, rollups: RollupStore, by: SpendByStore, budgets: BudgetService) -> None:
        self._rollups = rollups
        self._by = by
        self._budgets = budgets
        self._forecasts: dict[str, tuple[Subject, float, Forecast | TooEarly]] = {}  # by budget; of what, and when made

    def outlook(self) -> list[BudgetOutlook]:
        """The standing of each budget, with a forecast."""
        return self._looked(lambda _: True, OUTLOOK_TTL_S)

    def standing(self) -> list[BudgetOutlook]:
        """`outlook`, asked again and again: a forecast only where an alert rests on one, and up to minutes old."""
        return self._looked(lambda status: bool(status.budget.forecast_thresholds), STANDING_TTL_S)

    def _looked(self, is_forecast: Callable[[BudgetStatus], bool], max_age_s: float) -> list[BudgetOutlook]:
        """Renew only so many forecasts a look, the oldest first and of these the fullest budgets."""
        statuses = self._budgets.statuses()
        if len(self._forecasts) > len(statuses):
            known = {status.budget.id for status in statuses}
            self._forecasts = {id_: found for id_, found in self._forecasts.items() if id_ in known}
        wanted = [status for status in statuses if is_forecast(status)]
        wanted.sort(key=lambda each: (each.budget.period in _NO_FORECAST, self._made_at(each), -each.share_spent))
        ages = dict.fromkeys((status.budget.id for status in wanted), math.inf)
        ages |= dict.fromkeys(list(ages)[:FORECASTS_A_LOOK], max_age_s)
        return [
            self.of_budget(status, max_age_s=ages[status.budget.id])
            if status.budget.id in ages
            else BudgetOutlook(status=status)
            for status in statuses
        ]

    def _made_at(self, status: BudgetStatus) -> float:
        """The moment of the forecast that still holds for a budget as it is now; 0 = there is none."""
        kept = self._forecasts.get(status.budget.id)
        return kept[1] if kept is not None and kept[0] == _subject(status) else 0.0

    def of_budget(self, status: BudgetStatus, *, max_age_s: float = OUTLOOK_TTL_S) -> BudgetOutlook:
        """max_age_s: The greatest age of a forecast; infinity = none is made."""
        budget, made_at, now = status.budget, self._made_at(status), time.monotonic()
        if budget.period in _NO_FORECAST or (not made_at and max_age_s == math.inf):
            return BudgetOutlook(status=status, reason=_NO_FORECAST.get(budget.period, NOT_YET))
        if not made_at or now - made_at > max_age_s:
            self._forecasts[budget.id] = _subject(status), now, self._safe_forecast(status)
        known = self._forecasts[budget.id][2]
        if isinstance(known, TooEarly):
            return BudgetOutlook(status=status, n_days=known.n_days, reason=known.reason)
        return BudgetOutlook(
            status=status,
            expected_usd=max(status.spent_usd, _usd(known.expected_usd)),
            interval_usd=(max(status.spent_usd, _usd(known.lower_usd)), max(status.spent_usd, _usd(known.upper_usd))),
            runs_out_on=_still_to_come(known, status, clock.now()),
            n_days=known.n_days,
        )

    def month(self, *, simulated: bool = False, timezone: str = "UTC") -> Forecast | TooEarly:
        """The forecast of the calendar month."""
        start, end = periods.bounds("month", timezone, clock.now())
        local = zone(timezone)
        history = self._history(local, clock.now(), simulated=simulated)
        return forecast(history, (start.astimezone(local).date(), end.astimezone(local).date()))

    def by(self, dimension: str, window: Window, *, simulated: bool = False, model: str | None = None) -> list[SpendOf]:
        """Spend by tag, user, key, workflow or experiment over the days of a window, the most expensive first."""
        rows = self._by.read(dimension, _day(window.since), to_us(window.until), simulated=simulated, model=model)
        return [_spend_of(row) for row in rows]

    def courses(
        self,
        dimension: str,
        values: Sequence[str],
        window: Window,
        *,
        simulated: bool = False,
        model: str | None = None,
    ) -> dict[str, dict[datetime, Decimal]]:
        """Known spend on each of these values by day; days without are left out."""
        days = _day(window.since), to_us(window.until)
        found: dict[str, dict[datetime, Decimal]] = {value: {} for value in values}
        for value, at, nano in self._by.courses(dimension, values, *days, simulated=simulated, model=model):
            found[value][from_us(at)] = from_nano(nano)
        return found

    def bridge(self, window: Window, before: Window | None = None, *, simulated: bool = False) -> Bridge:
        """The causes of a difference in spend between a window and the one before it, or another."""
        sums = [self._model_spend(each, simulated) for each in (before or window.previous, window)]
        return bridge(*sums)

    def why(self, status: BudgetStatus) -> str:
        """The cause of a rise: this period so far against the same stretch of the one before; empty = no rise.

        The model and the cause, where the rollups know them, and the tag or workflow that rose most.
        """
        budget, now = status.budget, clock.now()
        hour = from_us((to_us(now) // HOUR_US + 1) * HOUR_US)
        start = from_us(to_us(status.starts_at) // HOUR_US * HOUR_US)
        if budget.period == "rolling":
            earlier = start - (hour - start)
        else:
            earlier = periods.window(budget, status.starts_at - timedelta(seconds=1))[0]
            earlier = from_us(to_us(earlier) // HOUR_US * HOUR_US)
        windows = Window(earlier, min(start, earlier + (hour - start))), Window(start, hour)
        if budget.scope_kind in DIMENSIONS:
            return self._why_within(budget, *windows)
        sums = [self._model_spend(each, False) for each in windows]
        if budget.scope_kind == "model":
            sums = [{m: s for m, s in each.items() if is_meant(budget.scope_value, "", m)} for each in sums]
        found = bridge(*sums)
        sentence = _sentence(found, sums)
        mover = self._mover(windows, found.difference_usd) if sentence and budget.scope_kind == "all" else ""
        return f"{sentence} {mover}".strip()

    def _why_within(self, budget: Budget, before: Window, now: Window) -> str:
        """The same of a tag, a user or a key, whose spend is kept by whole days (UTC)."""
        n_days = -(-(to_us(now.until) - _day(now.since)) // DAY_US)
        first = _day(before.since)
        spans = (first, min(first + n_days * DAY_US, _day(now.since))), (_day(now.since), to_us(now.until))
        sums = [self._by.models(budget.scope_kind, budget.scope_value, *span) for span in spans]
        return within(*sums)

    def _mover(self, windows: tuple[Window, Window], rise: Decimal) -> str:
        """The tag or workflow whose spend rose most, if it is at least a fifth of the whole rise; days are of UTC."""
        rises = []
        for dimension in ("tag", "workflow"):
            before, after = (
                {
                    row.value: row.cost_nano_usd
                    for row in self._by.read(dimension, _day(w.since), to_us(w.until), simulated=False)
                }
                for w in windows
            )
            rises += [(nano - before.get(value, 0), dimension, value) for value, nano in after.items()]
        nano, dimension, value = max(rises, default=(0, "", ""))
        usd = from_nano(nano)
        if rise <= 0 or usd < rise / 5:
            return ""
        return f"Most of it by {dimension}: {value}, ${usd:.2f} more."

    def _model_spend(self, window: Window, simulated: bool) -> dict[str, ModelSpend]:
        rows = self._rollups.model_sums(to_us(window.since), to_us(window.until), simulated=simulated)
        return {
            model: ModelSpend(
                n, input_ - cached, cached, output, plain_nano, cached_nano, nano - plain_nano - cached_nano
            )
            for model, n, input_, cached, output, nano, plain_nano, cached_nano in rows
        }

    def _safe_forecast(self, status: BudgetStatus) -> Forecast | TooEarly:
        """One budget whose forecast fails must not take the banners, the alerts and the other budgets with it."""
        try:
            return self._forecast(status)
        except ValueError:
            logger.exception("the forecast of a budget failed")
            return TooEarly(n_days=0, needed_days=0, reason="The forecast could not be made.")

    def _forecast(self, status: BudgetStatus) -> Forecast | TooEarly:
        budget = status.budget
        local, kind = zone(budget.timezone), budget.scope_kind
        if kind in ("tag", "user", "key", "team", "deployment"):
            history = self._dimension_history(kind, budget.scope_value, local)
        else:
            covers = None if kind == "all" else budget.covers_model
            history = self._history(local, clock.now(), covers, simulated=False)
        days = (status.starts_at.astimezone(local).date(), status.resets_at.astimezone(local).date())
        return forecast(history, days, float(status.limit_usd))

    def _history(
        self, local: ZoneInfo, now: datetime, covers: Callable[[str, str], bool] | None = None, *, simulated: bool
    ) -> History:
        """Spend per local day. It is known by the hour: in zones off by half an hour, a day is cut at the hour."""
        since = to_us(now - timedelta(days=HISTORY_DAYS)) // HOUR_US * HOUR_US
        hours = self._rollups.hourly_spend(since, to_us(now) + 1, covers, simulated=simulated)
        by_day: Counter[date] = Counter()
        for at, nano in hours.items():
            by_day[day_of(from_us(at), local)] += nano
        return _to_history(by_day, local, now)

    def _dimension_history(self, dimension: str, value: str, local: ZoneInfo) -> History:
        """Kept by days of UTC, each taken for the local day of the same date; what is ahead of it is of today."""
        now = clock.now()
        today = now.astimezone(local).date()
        since = to_us(now - timedelta(days=HISTORY_DAYS)) // DAY_US * DAY_US
        by_day: Counter[date] = Counter()
        for at, nano in self._by.daily(dimension, value, since, to_us(now) + 1).items():
            by_day[min(today, from_us(at).date())] += nano
        return _to_history(by_day, local, now)


def _subject(status: BudgetStatus) -> Subject:
    return status.budget, status.limit_usd, status.starts_at


def _still_to_come(known: Forecast, status: BudgetStatus, now: datetime) -> date | None:
    """The day on which a budget runs out; None = not in this period, or it has already."""
    on = known.runs_out_on
    today = now.astimezone(zone(status.budget.timezone)).date()
    return on if on is not None and on >= today and status.spent_usd < status.limit_usd else None


def _day(moment: datetime) -> int:
    return to_us(moment) // DAY_US * DAY_US


def _to_history(by_day: Mapping[date, int], local: ZoneInfo, now: datetime) -> History:
    today = now.astimezone(local).date()
    first = min((day for day in by_day if day < today), default=today)
    n_days = (today - first).days
    midnight, following = periods.bounds("day", str(local), now)
    return History(
        first_on=first,
        daily_usd=tuple(by_day.get(first + timedelta(days=n), 0) / 1e9 for n in range(n_days)),
        today_usd=by_day.get(today, 0) / 1e9,
        share_of_today_gone=periods.share_gone(midnight, following, now.astimezone(UTC)),
    )


def _spend_of(row: SpendBy) -> SpendOf:
    return SpendOf(
        value=row.value,
        n=row.n,
        n_ok=row.n_ok,
        tokens=row.input_tokens + row.output_tokens,
        cost_usd=None if row.n == row.n_unpriced else from_nano(row.cost_nano_usd),
        n_unpriced=row.n_unpriced,
    )


def _usd(value: float) -> Decimal:
    return Decimal(f"{value:.9f}")


_WORDS = {
    "volume": "more calls than before",
    "mix": "a larger share of the calls",
    "input length": "prompts {input} as long",
    "answer length": "answers {answer} as long",
    "cache share": "a smaller share of cached input",
    "price": "a higher price",
    "other": "charges beside the tokens",
}


def _sentence(found: Bridge, sums: list[dict[str, ModelSpend]]) -> str:
    """The largest mover in words, where spend has risen and there was any before."""
    mover = found.moved_most
    if mover is None or found.difference_usd <= 0 or not found.before_usd:
        return ""
    model, part, usd = mover
    before, after = (each.get(model) for each in sums)
    if before is None or not before.n:
        return f"{moved(found.difference_usd, usd)}: {model}, which was not used before."
    if after is None or not after.n:
        return ""
    lengths = [
        (a / after.n) / (b / before.n) if b else 0.0
        for a, b in (
            (after.input_tokens + after.cached_tokens, before.input_tokens + before.cached_tokens),
            (after.output_tokens, before.output_tokens),
        )
    ]
    words = _WORDS[part].format(input=f"{lengths[0]:.1f} times", answer=f"{lengths[1]:.1f} times")
    return f"{moved(found.difference_usd, usd)}: {model}, {words}."
