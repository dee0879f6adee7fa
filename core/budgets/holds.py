"""Money that is set aside for a whole, such as a batch, before its first call; it outlives the process that did it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.budgets import periods
from core.domain.budget import Admission, Budget, Quote, Spender
from core.storage.engine.database import Connection
from core.storage.money import ledger as ledger_rows

HOLDER = "hold"  # the owner of such reservations, which dies with no process


@dataclass(slots=True)
class Room:
    """The money that a budget has left for one period, while a batch of quotes is decided."""

    limit_nano: int
    spent_nano: int
    reserved_nano: int

    @property
    def free_nano(self) -> int:
        return self.limit_nano - self.spent_nano - self.reserved_nano


@dataclass(slots=True)
class Wanted:
    """The worst case of all calls of a whole, by who pays.

    unpriced: Payers of calls without a known price. may_be_charged: their vendor may say afterwards what it charged.
    """

    worst_nano: dict[Spender, int] = field(default_factory=dict)
    unpriced: set[Spender] = field(default_factory=set)
    may_be_charged: bool = False

    def add(self, quote: Quote) -> None:
        if quote.worst_nano is None or quote.is_unpriced:
            self.unpriced.add(quote.spender)
            self.may_be_charged = self.may_be_charged or quote.may_be_charged
        else:
            self.worst_nano[quote.spender] = self.worst_nano.get(quote.spender, 0) + quote.worst_nano

    def judged(self, budget: Budget, room: Room) -> tuple[int, Admission | None]:
        """The nano-dollars to set aside in a budget that covers some of it, or why that cannot be."""
        holds = budget.action != "notify"
        if any(map(budget.covers, self.unpriced)) and (budget.refuses_unpriced or (holds and self.may_be_charged)):
            return 0, Admission(kind="refuse", budget=budget, reason="unpriced")
        nano = sum(worst for spender, worst in self.worst_nano.items() if budget.covers(spender))
        if budget.action == "downgrade":  # what does not fit is answered by the other model
            return min(nano, max(0, room.free_nano)), None
        if not holds or nano <= room.free_nano:
            return nano, None
        unspent = room.limit_nano - room.spent_nano
        kind: Any = "wait" if nano <= unspent else "refuse"
        return nano, Admission(kind=kind, budget=budget, left_nano=max(0, unspent))


class Holds:
    """The money set aside for the wholes that quotes belong to, while they are decided."""

    def __init__(self, connection: Connection, quotes: Sequence[Quote]) -> None:
        self._left = ledger_rows.held(connection, sorted({quote.hold_id for quote in quotes if quote.hold_id}))
        self._changed: set[tuple[str, str]] = set()

    def parts(self, quote: Quote, budgets: Sequence[Budget], rooms: Mapping[str, Room]) -> dict[str, int]:
        """The part of a quote's whole that it may take, by budget; what is of a period that is over moves into its."""
        found = {}
        for budget in budgets if quote.hold_id and not quote.is_again else ():
            key = quote.hold_id, budget.id
            at, left = self._left.get(key, (0, 0))
            first, last = periods.span_us(budget, quote.at_us)
            if left and not first <= at < last:
                self._left[key] = periods.bucket_us(budget, quote.at_us), left
                self._changed.add(key)
                rooms[budget.id].reserved_nano += left
            found[budget.id] = min(left, quote.worst_nano or 0)
        return found

    def take(self, quote: Quote, parts: Mapping[str, int]) -> None:
        for budget_id, nano in parts.items():
            if nano:
                key = quote.hold_id, budget_id
                at, left = self._left[key]
                self._left[key] = at, left - nano
                self._changed.add(key)

    def rows(self) -> list[dict[str, Any]]:
        """The reservations that have changed."""
        return [hold_row(*key, *self._left[key]) for key in sorted(self._changed)]


def hold_row(hold_id: str, budget_id: str, bucket_at: int, nano: int) -> dict[str, Any]:
    return {
        "call_id": hold_id,
        "budget_id": budget_id,
        "bucket_at": bucket_at,
        "amount_nano_usd": nano,
        "owner": HOLDER,
    }
