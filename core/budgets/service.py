"""Budgets: made, changed, raised, listed. Calls ask their ledger."""

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from core import clock
from core.budgets import periods
from core.budgets.ledger import Ledger
from core.domain.budget import ACTIONS, PERIODS, SCOPE_KINDS, Budget, BudgetStatus, ByScope, Position, Raise, Spender
from core.errors import BudgetExceeded, Conflict, InvalidRequest, NotFound
from core.formats.money import dollars, from_nano
from core.formats.names import normalise
from core.formats.text import tags_problem
from core.formats.zones import check_zone
from core.storage.engine.database import Connection, Database
from core.storage.engine.writer import Writer
from core.storage.money import ledger as ledger_rows
from core.storage.money.budgets import BudgetStore
from core.storage.people.audit import note

STATUS_TTL_S = 1.0
MAX_LIMIT_USD = Decimal(1_000_000_000)
MAX_ROLLING_HOURS = 24 * 366
MAX_RAISE = timedelta(days=366)


class BudgetService:
    def __init__(
        self,
        database: Database,
        writer: Writer,
        ledger: Ledger,
        check: Callable[[Budget], Budget] = lambda budget: budget,
        timezone: str = "UTC",
    ) -> None:
        """check: Refuses a budget whose scope or model to downgrade to cannot be, and gives it as it is kept.

        timezone: Of new budgets that name none.
        """
        self.check = check
        self._timezone = timezone
        self._database = database
        self._store = BudgetStore(database)
        self._writer = writer
        self._ledger = ledger
        # Until when it holds, and of which version of the ledger it is.
        self._cached: tuple[list[BudgetStatus], float, int] = [], 0.0, 0
        # As `_cached`, kept until there is something newer.
        self._known: tuple[ByScope[BudgetStatus], float] = ByScope(), 0.0
        self._is_looking = False
        self._seed()
        self._look()

    def _seed(self) -> None:
        """Write the ledger of budgets that have none yet."""
        with self._database.read() as connection:
            missing = ledger_rows.unseeded(connection)
        if missing:
            self._writer.run(lambda connection: self._ledger.rewrite_all(connection, if_missing=True))

    def create(
        self, name: str, limit_usd: Decimal | float | str, *, unless_refusing: bool = False, **fields: Any
    ) -> BudgetStatus:
        """Add a budget; what its period has cost so far is in its ledger from the start.

        unless_refusing: Leave it be where it would refuse calls from its first moment on.
        fields: period, rolling_hours, timezone, scope, action, downgrade_to, thresholds, forecast_thresholds,
            refuses_unpriced; see Budget.

        Raises:
            InvalidRequest: A field is out of range. Conflict: the name is taken. BudgetExceeded: see `unless_refusing`.
        """
        bare = Budget(
            id=f"b_{secrets.token_hex(8)}", name=name, limit_usd=checked_limit(limit_usd), timezone=self._timezone
        )
        return self._save(checked(bare, fields), "budget created", self._store.insert, unless_refusing)

    def change(self, budget_id: str, *, unless_refusing: bool = False, **fields: Any) -> BudgetStatus:
        """Change fields of a budget; `name` and `limit_usd` among them. Raises: see create, and NotFound."""
        old = self._get(budget_id)
        if "limit_usd" in fields:
            fields["limit_usd"] = checked_limit(fields["limit_usd"])
        base = replace(old, **{key: fields.pop(key) for key in ("name", "limit_usd") if key in fields})
        return self._save(
            checked(base, fields),
            "budget changed",
            lambda connection, budget, _: self._store.update(connection, budget),
            unless_refusing,
        )

    def _save(
        self, budget: Budget, deed: str, write: Callable[[Connection, Budget, int], object], unless_refusing: bool
    ) -> BudgetStatus:
        budget = self.check(budget)

        def work(connection: Connection) -> None:
            self._refuse_taken(budget)
            ledger_rows.lock_ledger(connection, alone=True)
            write(connection, budget, clock.now_us())
            self._ledger.rewrite(connection, budget)
            if unless_refusing:
                self._refuse_refusing(connection, budget)
            note(connection, deed, budget.name, {})

        return self._applied(work, budget.id)

    def _applied(self, work: Callable[[Connection], None], budget_id: str) -> BudgetStatus:
        """The budget's standing after a change, which calls see from now on."""
        self._writer.run(work)
        self._ledger.forget()
        self._look()
        return self.status(budget_id)

    def delete(self, budget_id: str) -> None:
        budget = self._get(budget_id)

        def work(connection: Connection) -> None:
            ledger_rows.lock_ledger(connection, alone=True)
            self._store.delete(connection, budget_id)
            note(connection, "budget deleted", budget.name, {})

        self._writer.run(work)
        self._ledger.forget()

    def raise_once(
        self, budget_id: str, extra_usd: Decimal | float | str, *, reason: str, expires_at: datetime | None = None
    ) -> BudgetStatus:
        """Add money to a budget for a while; by default until the end of its period.

        Raises:
            InvalidRequest: No reason, no money, or an end that is past or more than a year away. NotFound.
        """
        budget, now = self._get(budget_id), clock.now()
        until = expires_at or periods.window(budget, now)[1]
        if not reason.strip() or len(reason) > 500:
            raise InvalidRequest("Raising a budget needs a reason of 1 to 500 characters.")
        if not now < until <= now + MAX_RAISE:
            raise InvalidRequest(f"expires_at == {until.isoformat()}, must be after now and within a year")
        more = Raise(
            id=f"x_{secrets.token_hex(8)}",
            extra_usd=checked_limit(extra_usd),
            created_at=now,
            expires_at=until,
            reason=reason.strip(),
        )

        def work(connection: Connection) -> None:
            self._store.add_raise(connection, budget_id, more)
            was = budget.limit_usd + budget.raised_usd(now)
            detail = {"extra_usd": str(more.extra_usd), "expires_at": until.isoformat(), "reason": more.reason}
            told = {"limit_usd": f"{was:f}"}, {"limit_usd": f"{was + more.extra_usd:f}"}
            note(connection, "budget raised", budget.name, detail, told)

        return self._applied(work, budget_id)

    def _get(self, budget_id: str) -> Budget:
        found = next((budget for budget in self._store.all() if budget.id == budget_id), None)
        if found is None:
            raise NotFound(f"There is no budget {budget_id[:60]!r}.")
        return found

    def status(self, budget_id: str) -> BudgetStatus:
        return self._statuses([self._get(budget_id)])[0]

    def statuses(self) -> list[BudgetStatus]:
        """The standing of each budget; at most a second old."""
        (found, until, version), now_at = self._cached, self._ledger.version
        if version != now_at or time.monotonic() >= until:
            found = self._statuses(self._store.all())
            self._cached = found, time.monotonic() + STATUS_TTL_S, now_at
        return list(found)

    def differences(self) -> list[str]:
        """The budgets whose ledger of the current period and the calls on record disagree; empty = none."""
        now_us = clock.now_us()
        found = []
        for budget in self._store.all():
            first, last = periods.span_us(budget, now_us)
            with self._database.read() as connection:
                booked = ledger_rows.position(connection, budget.id, (first, last))
                own = ledger_rows.spent_in(connection, budget, first, last)
            if (booked.spent_nano, booked.n, booked.n_unpriced) != (own.nano, own.n, own.n_unpriced):
                found.append(f"budget {budget.name!r}: booked {booked.spent_nano}, on record {own.nano} nano-dollars")
        return found

    def release_dead(self) -> None:
        """End the reservations of processes that died."""
        with self._database.read() as connection:
            owners = ledger_rows.owners(connection)
        if owners:
            self._writer.run(self._ledger.release_dead)
            self._ledger.forget()

    def refresh(self) -> None:
        """Read what other processes have changed, so that the next call need not."""
        self._ledger.refresh()
        self._look()

    def left_for(self, spender: Spender) -> Decimal | None:
        """The least that is left in a budget of this spender, a second or two old; None = there is none.

        On the core's loop: it answers at once, and has newer figures brought in the background.
        """
        statuses, until = self._known
        if time.monotonic() >= until and not self._is_looking:
            self._is_looking = True
            asyncio.get_running_loop().run_in_executor(None, self._look)
        return min((status.left_usd for status in statuses.of(spender)), default=None)

    def _look(self) -> None:
        try:
            statuses = self.statuses()
            self._known = ByScope((each.budget, each) for each in statuses), time.monotonic() + STATUS_TTL_S
        finally:
            self._is_looking = False

    def _refuse_taken(self, budget: Budget) -> None:
        if any(other.name == budget.name and other.id != budget.id for other in self._store.all()):
            raise Conflict(f"There is a budget named {budget.name!r} already.")

    def _refuse_refusing(self, connection: Connection, budget: Budget) -> None:
        now = clock.now()
        window = periods.window(budget, now)
        found = ledger_rows.position(connection, budget.id, (clock.to_us(window[0]), clock.to_us(window[1])))
        status = _status(budget, now, window, found)
        if status.is_refusing:
            spent, limit = dollars(status.spent_usd), dollars(status.limit_usd)
            text = f"{spent} of {limit} is spent {budget.period_text} already, so that calls would be refused at once."
            raise BudgetExceeded(text, budget=budget.name, resets_at=window[1].isoformat(timespec="minutes"))

    def _statuses(self, budgets: Sequence[Budget]) -> list[BudgetStatus]:
        now = clock.now()
        windows = {(b.period, b.rolling_hours, b.timezone): periods.window(b, now) for b in budgets}
        own = {b.id: windows[b.period, b.rolling_hours, b.timezone] for b in budgets}
        with self._database.read() as connection:
            spans = {id_: (clock.to_us(start), clock.to_us(end)) for id_, (start, end) in own.items()}
            found = ledger_rows.positions(connection, spans)
        return [_status(budget, now, own[budget.id], found[budget.id]) for budget in budgets]


def _status(budget: Budget, now: datetime, window: tuple[datetime, datetime], found: Position) -> BudgetStatus:
    limit = budget.limit_usd + budget.raised_usd(now)
    share = from_nano(found.spent_nano) / limit
    return BudgetStatus(
        budget=budget,
        starts_at=window[0],
        resets_at=window[1] if budget.period != "rolling" else now + timedelta(hours=1),
        limit_usd=limit,
        spent_usd=from_nano(found.spent_nano),
        reserved_usd=from_nano(found.reserved_nano),
        n_unpriced=found.n_unpriced,
        reached=max((t for t in budget.thresholds if share >= Decimal(str(t))), default=None),
    )


def checked(budget: Budget, fields: dict[str, Any]) -> Budget:
    """The budget with these fields, if all of it is in range. Raises: InvalidRequest."""
    try:
        budget = replace(budget, name=str(budget.name).strip(), **fields)
    except TypeError:
        raise InvalidRequest(f"A budget has no field among {sorted(fields)} of that name.") from None
    if not 1 <= len(budget.name) <= 80:
        raise InvalidRequest("A budget needs a name of 1 to 80 characters.")
    if budget.period not in PERIODS:
        raise InvalidRequest(f"period == {budget.period!r}, must be one of {', '.join(PERIODS)}")
    if budget.action not in ACTIONS:
        raise InvalidRequest(f"action == {budget.action!r}, must be one of {', '.join(ACTIONS)}")
    rolling = budget.rolling_hours
    if budget.period == "rolling" and not (type(rolling) is int and 1 <= rolling <= MAX_ROLLING_HOURS):
        raise InvalidRequest(f"rolling_hours == {rolling!r}, must be whole hours from 1 to {MAX_ROLLING_HOURS:,}")
    other = budget.downgrade_to.strip() if budget.action == "downgrade" else ""  # an own server tells capitals apart
    if budget.action == "downgrade" and not normalise(other):
        raise InvalidRequest("A budget that downgrades needs downgrade_to: the model that answers instead.")
    scope = _scope(budget.scope)
    if other and scope == f"model:{normalise(other)}":
        raise InvalidRequest(f"downgrade_to == {other!r}, must be another model than the one the budget is for.")
    check_zone(budget.timezone)
    return replace(
        budget,
        rolling_hours=rolling if budget.period == "rolling" else 0,
        scope=scope,
        downgrade_to=other,
        thresholds=_shares(budget.thresholds, "thresholds", least=1),
        forecast_thresholds=_shares(budget.forecast_thresholds, "forecast_thresholds", least=0),
    )


def _scope(scope: str) -> str:
    kind, _, value = (part.strip() for part in scope.partition(":"))
    kind = kind.lower()
    if kind == "provider":
        value = value.lower()
    elif kind == "model":
        value = normalise(value)
    elif kind == "tag" and (problem := tags_problem([value])):
        raise InvalidRequest(f"scope == {scope!r} fits no call: {problem}")
    if kind not in SCOPE_KINDS or (kind == "all") != (not value) or len(value) > 500:
        raise InvalidRequest(f"scope == {scope!r}, must be all, or one of {', '.join(SCOPE_KINDS[1:])} with :NAME")
    return f"{kind}:{value}" if value else kind


def _shares(shares: Sequence[float], name: str, *, least: int) -> tuple[float, ...]:
    """In whole per mille, each once: that is how finely alerts are told apart."""
    if not least <= len(shares) <= 10 or not all(0.01 <= share <= 10 for share in shares):
        raise InvalidRequest(
            f"{name} == {list(shares)}, must be {least} to 10 shares from 0.01 to 10 (1% to 1000%), such as 0.8"
        )
    return tuple(sorted({round(share, 3) for share in shares}))


def checked_limit(amount: Decimal | float | str) -> Decimal:
    try:
        usd = Decimal(str(amount))
    except InvalidOperation:
        raise InvalidRequest(f"limit_usd == {amount!r}, must be a number") from None
    if not usd.is_finite() or not Decimal("0.000001") <= usd <= MAX_LIMIT_USD:
        raise InvalidRequest(f"limit_usd == {amount}, must be between 0.000001 and {MAX_LIMIT_USD:,}")
    return usd if usd == round(usd, 9) else round(usd, 9)  # what is kept: nano-dollars
