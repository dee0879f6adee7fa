"""A limit on spend, and where it stands."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

Period = Literal["day", "week", "month"]
Action = Literal["notify", "stop"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """scope: `all` or `model:NAME`. thresholds: shares of the limit in (0, 1] at which the banner speaks, ascending.

    action: notify = say so; stop = refuse further calls once the limit is spent.
    """

    id: str
    name: str
    limit_usd: Decimal
    period: Period = "month"
    timezone: str = "UTC"
    scope: str = "all"
    action: Action = "notify"
    thresholds: tuple[float, ...] = (0.5, 0.8, 1.0)

    @property
    def model(self) -> str | None:
        return self.scope.removeprefix("model:") if self.scope.startswith("model:") else None


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetStatus:
    """A budget in its current period [starts_at, resets_at).

    n_unpriced: Calls of the period whose cost is unknown: the true spend is higher.
    projected_usd: Spend at the end of the period if it goes on as so far; None = too early to say.
    reached: The highest threshold passed; None = none.
    """

    budget: Budget
    starts_at: datetime
    resets_at: datetime
    spent_usd: Decimal
    n_unpriced: int
    projected_usd: Decimal | None
    reached: float | None

    @property
    def left_usd(self) -> Decimal:
        return max(Decimal(0), self.budget.limit_usd - self.spent_usd)

    @property
    def share_spent(self) -> float:
        return float(self.spent_usd / self.budget.limit_usd)
