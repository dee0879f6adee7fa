"""A limit on spend, what a call may take of it, and where it stands."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Generic, Literal, TypeVar, get_args

from core.domain.generation import Generation
from core.errors import InvalidRequest
from core.formats.names import PATTERN_SIGNS as PATTERN_SIGNS
from core.formats.names import is_meant, is_pattern, names_of, normalise
from core.formats.text import make_lists

Period = Literal["day", "week", "month", "rolling"]
Action = Literal["notify", "downgrade", "stop"]
ScopeKind = Literal["all", "provider", "model", "deployment", "key", "team", "tag", "user"]
PERIODS: tuple[str, ...] = get_args(Period)
ACTIONS: tuple[str, ...] = get_args(Action)
SCOPE_KINDS: tuple[str, ...] = get_args(ScopeKind)
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spender:
    """The parties that a call's money is charged to."""

    provider: str
    model: str
    user_id: str = ""
    key_id: str = ""
    team: str = ""
    tags: tuple[str, ...] = ()
    deployment: str = ""

    @classmethod
    def of(cls, g: Generation) -> "Spender":
        names = ("provider", "model", "user_id", "key_id", "team", "tags", "deployment")
        return cls(**{name: getattr(g, name) for name in names})

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes without a pattern that cover it, as budgets write them; see Budget.covers."""
        fields = {
            "provider": "provider",
            "key": "key_id",
            "team": "team",
            "user": "user_id",
            "deployment": "deployment",
        }
        named = ((kind, getattr(self, name)) for kind, name in fields.items())
        models = (f"model:{name}" for name in names_of(self.provider, self.model))
        tags = (f"tag:{tag}" for tag in self.tags)
        return ("all", *(f"{kind}:{value}" for kind, value in named if value), *models, *tags)


@dataclass(frozen=True, slots=True, kw_only=True)
class Raise:
    """More money for a while: `extra_usd` on top of the limit until `expires_at`."""

    id: str
    extra_usd: Decimal
    created_at: datetime
    expires_at: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """A limit in USD for a period.

    period: A calendar day, week (from Monday) or month in `timezone`, or the last `rolling_hours`.
    scope: `all`, or one of SCOPE_KINDS with a name, such as `team:red`; a model may be a pattern (`gpt-4o*`).
    thresholds: Shares of the limit at which spend raises an alert, ascending.
    forecast_thresholds: The same for the forecast of the period's end.
    action: notify = say so; downgrade = once the limit is used up, `downgrade_to` answers instead; stop = refuse calls.
    refuses_unpriced: Whether a model without a price is refused, because it cannot be counted.
    """

    id: str
    name: str
    limit_usd: Decimal
    period: Period = "month"
    rolling_hours: int = 0
    timezone: str = "UTC"
    scope: str = "all"
    action: Action = "notify"
    downgrade_to: str = ""
    thresholds: tuple[float, ...] = (0.5, 0.8, 1.0)
    forecast_thresholds: tuple[float, ...] = ()
    refuses_unpriced: bool = False
    raises: tuple[Raise, ...] = ()

    def __post_init__(self) -> None:
        make_lists(self, "thresholds", "forecast_thresholds", "raises")

    @property
    def scope_kind(self) -> str:
        return self.scope.partition(":")[0]

    @property
    def scope_value(self) -> str:
        return self.scope.partition(":")[2]

    @property
    def is_pattern(self) -> bool:
        return is_pattern(self.scope_value)

    @property
    def binds(self) -> bool:
        """True if it can refuse or change a call."""
        return self.action != "notify" or self.refuses_unpriced

    @property
    def period_text(self) -> str:
        if self.period != "rolling":
            return f"this {self.period}"
        hours = self.rolling_hours
        return f"in the last {hours // 24} days" if hours % 24 == 0 and hours > 24 else f"in the last {hours} hours"

    def covers(self, spender: Spender) -> bool:
        kind, value = self.scope_kind, self.scope_value
        if kind == "all":
            return True
        if kind == "tag":
            return value in spender.tags
        if kind in ("provider", "model"):
            return self.covers_model(spender.provider, spender.model)
        attribute = f"{kind}_id" if kind in ("key", "user") else kind
        return bool(getattr(spender, attribute) == value)

    def covers_model(self, provider: str, model: str) -> bool:
        """True if the scope is this model, its provider, or everything."""
        kind, value = self.scope_kind, self.scope_value
        return kind == "all" or (provider == value if kind == "provider" else is_meant(value, provider, model))

    def leads_to(self, provider: str, model: str) -> bool:
        """True if this is the model that it downgrades to."""
        return self.action == "downgrade" and is_meant(normalise(self.downgrade_to), provider, model)

    def raised_usd(self, at: datetime) -> Decimal:
        return sum((r.extra_usd for r in self.raises if r.created_at <= at < r.expires_at), Decimal(0))


class ByScope(Generic[T]):
    """Items of budgets, found by spender: of hundreds of budgets only those are looked at that can cover a call."""

    def __init__(self, items: Iterable[tuple[Budget, T]] = ()) -> None:
        self._named: dict[str, list[tuple[Budget, T]]] = {}
        self._patterns: list[tuple[Budget, T]] = []
        for budget, item in items:
            found = self._patterns if budget.is_pattern else self._named.setdefault(budget.scope, [])
            found.append((budget, item))

    def of(self, spender: Spender) -> list[T]:
        named = (each for scope in spender.scopes for each in self._named.get(scope, ()))
        return [item for budget, item in (*named, *self._patterns) if budget.covers(spender)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """The most that a call may cost, in nano-dollars.

    worst_nano: Input and the longest answer; None = the model has no price.
    input_nano: The part for the input.
    token_nano: A token of the answer.
    shortest_tokens: The shortest answer worth sending, where the caller set no length; 0 = the length is fixed.
    spent_nano: What earlier attempts of the same call have cost already.
    may_be_charged: Without a price, whether the vendor may say afterwards what it charged.
    is_unpriced: Whether the model asked for has no price; worst_nano is then of the one served instead, or None.
    is_again: Whether the same call may hold a reservation for an earlier attempt or model, which makes way for this.
    hold_id: The whole that the call is a part of, for which money was set aside before; empty = none was.
    """

    call_id: str
    at_us: int
    spender: Spender
    worst_nano: int | None
    input_nano: int = 0
    token_nano: Decimal = Decimal(0)
    shortest_tokens: int = 0
    spent_nano: int = 0
    may_be_charged: bool = False
    is_unpriced: bool = False
    is_again: bool = False
    hold_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """The answer of the budgets to a call that wants to start.

    kind: go = its worst case is reserved; wait = there is money, but calls under way have reserved it;
        downgrade, refuse = `budget` has no room for it.
    max_tokens: The answer may not be longer than this.
    holds_rest: Its worst case is not known, so all that is left is reserved for it.
    """

    kind: Literal["go", "wait", "downgrade", "refuse"]
    max_tokens: int | None = None
    holds_rest: bool = False
    budget: Budget | None = None
    left_nano: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """The sums in a budget's ledger in one period, in nano-dollars."""

    spent_nano: int = 0
    reserved_nano: int = 0
    n: int = 0
    n_unpriced: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetStatus:
    """A budget in its current period [starts_at, resets_at).

    resets_at: For a rolling budget, when the oldest hour in it falls out.
    limit_usd: The limit, with all that it is raised by now.
    n_unpriced: Calls of the period whose cost is unknown: the true spend is higher.
    reached: The highest threshold passed by spend; None = none.
    """

    budget: Budget
    starts_at: datetime
    resets_at: datetime
    limit_usd: Decimal
    spent_usd: Decimal
    reserved_usd: Decimal
    n_unpriced: int
    reached: float | None

    @property
    def left_usd(self) -> Decimal:
        return max(Decimal(0), self.limit_usd - self.spent_usd - self.reserved_usd)

    @property
    def share_spent(self) -> float:
        return float(self.spent_usd / self.limit_usd)

    @property
    def is_refusing(self) -> bool:
        """True if calls that cost anything are refused now."""
        return self.budget.action == "stop" and self.spent_usd >= self.limit_usd


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetOutlook:
    """A budget's standing now, and its forecast for the period's end.

    expected_usd, interval_usd: Forecast with its 80 % interval; None = too early to say, and `reason` says why.
    runs_out_on: The day on which the expected spend passes the limit.
    n_days: Complete days the forecast is made from.
    forecast_reached: The highest forecast threshold that the expected spend passes.
    """

    status: BudgetStatus
    expected_usd: Decimal | None = None
    interval_usd: tuple[Decimal, Decimal] | None = None
    runs_out_on: date | None = None
    n_days: int = 0
    reason: str = ""

    @property
    def forecast_reached(self) -> float | None:
        if self.expected_usd is None:
            return None
        share = self.expected_usd / self.status.limit_usd
        passed = (t for t in self.status.budget.forecast_thresholds if share >= Decimal(str(t)))
        return max(passed, default=None)


LEAST_CAP = Decimal("0.000001")  # USD


def checked_cap(cap_usd: Decimal) -> Decimal:
    """A spending limit that can be kept. Raises: InvalidRequest"""
    if not cap_usd.is_finite() or not LEAST_CAP <= cap_usd <= 1_000_000:
        raise InvalidRequest(f"A spending limit of ${cap_usd:f} cannot be kept: it is from $0.000001 to $1,000,000.")
    return cap_usd
