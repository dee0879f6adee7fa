"""Budgets: made, listed, asked before a call."""

import secrets
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation

from core import clock
from core.budgets import periods
from core.domain.budget import Budget, BudgetStatus
from core.domain.generation import Model
from core.errors import BudgetExceeded, Conflict, InvalidRequest, NotFound
from core.pricing.catalogue import normalise
from core.storage.budgets import BudgetStore
from core.storage.rollups import RollupStore
from core.storage.writer import Writer

STATUS_TTL_S = 1.0
MAX_LIMIT_USD = Decimal(1_000_000_000)


class BudgetService:
    def __init__(self, store: BudgetStore, rollups: RollupStore, writer: Writer, now: Callable[[], datetime]) -> None:
        self._store = store
        self._rollups = rollups
        self._writer = writer
        self._now = now
        self._cached: tuple[list[BudgetStatus], float] = [], 0.0  # and until when it holds
        self._version = 0

    def create(  # noqa: PLR0913 - the fields of a budget
        self,
        name: str,
        limit_usd: Decimal | float | str,
        *,
        period: str = "month",
        timezone: str = "UTC",
        scope: str = "all",
        action: str = "notify",
        thresholds: Sequence[float] = (0.5, 0.8, 1.0),
    ) -> BudgetStatus:
        """Add a budget.

        Raises:
            InvalidRequest: A field is out of range. Conflict: the name is taken.
        """
        budget = _checked(name, limit_usd, (period, timezone, scope, action), thresholds)
        if any(existing.name == budget.name for existing in self._store.all()):
            raise Conflict(f"There is a budget named {budget.name!r} already.")
        self._writer.run(lambda connection: self._store.insert(connection, budget, clock.to_us(self._now())))
        self._forget()
        return self._status(budget)

    def delete(self, budget_id: str) -> None:
        if not self._writer.run(lambda connection: self._store.delete(connection, budget_id)):
            raise NotFound(f"There is no budget {budget_id!r}.")
        self._forget()

    def statuses(self) -> list[BudgetStatus]:
        """Where each budget stands; at most a second old."""
        cached, until = self._cached
        if time.monotonic() < until:
            return list(cached)
        version = self._version
        found = [self._status(budget) for budget in self._store.all()]
        if version == self._version:  # nothing was recorded meanwhile
            self._cached = found, time.monotonic() + STATUS_TTL_S
        return found

    def admit(self, model: Model) -> None:
        """Let a call of this model start, or not. Simulated models cost nothing and always may.

        Raises:
            BudgetExceeded: A budget that stops calls is spent.
        """
        if model.is_simulated:
            return
        for status in self.statuses():
            budget = status.budget
            applies = budget.action == "stop" and budget.model in (None, model.name)
            if applies and status.spent_usd >= budget.limit_usd:
                resets_at = status.resets_at.isoformat(timespec="minutes")
                raise BudgetExceeded(
                    f"The budget {budget.name!r} is spent: ${status.spent_usd:.4f} of ${budget.limit_usd:.2f}"
                    f" this {budget.period}.",
                    budget=budget.name,
                    resets_at=resets_at,
                )

    def settled(self) -> None:
        """A real call was recorded: the next look at the budgets must see it."""
        self._forget()

    def _forget(self) -> None:
        # No lock: this runs on the core's loop, which must never wait for a query.
        self._version += 1
        self._cached = [], 0.0

    def _status(self, budget: Budget) -> BudgetStatus:
        now = self._now()
        start, end = periods.bounds(budget.period, budget.timezone, now)
        nano, n_unpriced = self._rollups.spend_nano_usd(clock.to_us(start), clock.to_us(now) + 1, budget.model)
        spent = Decimal(nano) / 1_000_000_000
        gone = periods.share_gone(start, end, now)
        early = gone < periods.EARLIEST_PROJECTION_SHARE
        share = spent / budget.limit_usd
        return BudgetStatus(
            budget=budget,
            starts_at=start,
            resets_at=end,
            spent_usd=spent,
            n_unpriced=n_unpriced,
            projected_usd=None if early else spent / Decimal(gone),
            reached=max((t for t in budget.thresholds if share >= Decimal(str(t))), default=None),
        )


def _checked(
    name: str, limit_usd: Decimal | float | str, choices: tuple[str, str, str, str], thresholds: Sequence[float]
) -> Budget:
    period, timezone, scope, action = choices
    name = name.strip()
    if not 1 <= len(name) <= 80:
        raise InvalidRequest("A budget needs a name of 1 to 80 characters.")
    try:
        limit = Decimal(str(limit_usd))
    except InvalidOperation:
        raise InvalidRequest(f"limit_usd == {limit_usd!r}, must be a number") from None
    if not limit.is_finite() or not Decimal("0.000001") <= limit <= MAX_LIMIT_USD:
        raise InvalidRequest(f"limit_usd == {limit_usd}, must be between 0.000001 and {MAX_LIMIT_USD:,}")
    if period not in ("day", "week", "month"):
        raise InvalidRequest(f"period == {period!r}, must be day, week or month")
    if action not in ("notify", "stop"):
        raise InvalidRequest(f"action == {action!r}, must be notify or stop")
    if scope != "all" and not (scope.startswith("model:") and len(scope) > len("model:")):
        raise InvalidRequest(f"scope == {scope!r}, must be all or model:NAME")
    if scope != "all":
        scope = f"model:{normalise(scope.removeprefix('model:'))}"
    if not thresholds or not all(0 < share <= 10 for share in thresholds):
        raise InvalidRequest(f"thresholds == {list(thresholds)}, must be shares above 0, such as 0.8")
    periods.zone(timezone)
    return Budget(
        id=f"b_{secrets.token_hex(8)}",
        name=name,
        limit_usd=limit,
        period=period,  # type: ignore[arg-type]  # checked above
        timezone=timezone,
        scope=scope,
        action=action,  # type: ignore[arg-type]
        thresholds=tuple(sorted(set(thresholds))),
    )
