"""The ledger of the budgets.

The worst case of a call is reserved where its limit is checked, and its cost charged when it is recorded.

Reserving happens in a transaction of its own before the call; charging happens in the transaction that records it.
Spent plus reserved is within the limit of a `stop` budget at every moment, in however many processes.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from core import clock
from core.budgets import periods
from core.budgets.holds import HOLDER, Holds, Room, Wanted, hold_row
from core.domain.budget import Admission, Budget, ByScope, Quote, Spender
from core.formats.money import to_nano
from core.storage.engine.database import Connection, Database
from core.storage.engine.presence import Presence
from core.storage.engine.writer import Rows, Writer
from core.storage.money import ledger as ledger_rows
from core.storage.money.budgets import BudgetStore, covering, read_all

REAP_EVERY_S = 1.0
BINDING_TTL_S = 1.0  # after which a budget that another process made is seen
WAIT_POLL_S = 0.05


class Ledger:
    """Asked by calls on the core's loop; what it decides and charges is written in transactions.

    version: Counted up with each change of a budget's spend or rules.
    """

    def __init__(self, database: Database, writer: Writer, presence: Presence) -> None:
        self._store = BudgetStore(database)
        self._writer = writer
        self._presence = presence
        self._reaped_at = 0.0
        self.version = 0
        self._binding: tuple[ByScope[Budget], float] = ByScope(), 0.0  # and until when it holds
        self._turns: dict[str, asyncio.Lock] = {}
        self._changed: asyncio.Event | None = None

    async def is_bound(self, spender: Spender) -> bool:
        budgets, until = self._binding
        if time.monotonic() >= until:
            budgets = await asyncio.to_thread(self._read_binding)
            self._binding = budgets, time.monotonic() + BINDING_TTL_S
        return bool(budgets.of(spender))

    async def admit(self, quote: Quote, waiting: Callable[[str], None]) -> Admission:
        """Reserve the worst case of a call. While only calls under way are in its way, it waits its turn."""
        admission = await self._reserve(quote)
        if admission.kind != "wait" or admission.budget is None:
            return admission
        waiting(f"Waiting: the rest of the budget {admission.budget.name!r} is reserved by calls under way.")
        turn = self._turns.setdefault(admission.budget.id, asyncio.Lock())
        async with turn:  # one asks again, the others queue up behind it
            while (admission := await self._reserve(quote)).kind == "wait":
                self._changed = self._changed or asyncio.Event()
                self._changed.clear()
                try:
                    await asyncio.wait_for(self._changed.wait(), WAIT_POLL_S)
                except TimeoutError:
                    continue  # another process may have charged a call
        return admission

    async def _reserve(self, quote: Quote) -> Admission:
        admission: Admission = await asyncio.wrap_future(self._writer.decide_together(self.reserve, quote))
        return admission

    def charged(self) -> None:
        """A real call was recorded: the next look at the budgets must see it, and who waits may ask again."""
        self.version += 1
        if self._changed is not None:
            self._changed.set()

    def release(self, call_id: str) -> None:
        """Give back what a call reserved that could not be recorded."""
        self._writer.submit(lambda connection: ledger_rows.release(connection, [call_id]))
        self.charged()

    def refresh(self) -> None:
        """Read what other processes have changed, so that the next call need not."""
        until, version = time.monotonic() + BINDING_TTL_S, self.version
        budgets = self._read_binding()
        if version == self.version:  # nothing was changed here meanwhile
            self._binding = budgets, until

    def forget(self) -> None:
        """Let the next call read the budgets anew: one was changed."""
        # No lock: this also runs on the core's loop, which must never wait for a query.
        self.version += 1
        self._binding = ByScope(), 0.0

    def _read_binding(self) -> ByScope[Budget]:
        return ByScope((budget, budget) for budget in self._store.all() if budget.binds)

    # In transactions

    def reserve(self, connection: Connection, quotes: Sequence[Quote]) -> list[Admission]:
        """Decide calls in the order in which they came and reserve their worst case, all in one transaction."""
        ledger_rows.lock_ledger(
            connection
        )  # a budget that is deleted or changed meanwhile would be reserved from in vain
        budgets = [budget for budget in covering(connection, (quote.spender for quote in quotes)) if budget.binds]
        if not budgets:
            return [Admission(kind="go")] * len(quotes)
        self._presence.announce()
        ledger_rows.lock_budgets(connection, [budget.id for budget in budgets])
        now = time.monotonic()
        if now - self._reaped_at >= REAP_EVERY_S:
            self._reaped_at = now
            self.release_dead(connection)
        now_us = clock.now_us()
        held = ledger_rows.held(connection, [quote.call_id for quote in quotes if quote.is_again])
        holds = Holds(connection, quotes)
        rooms: dict[tuple[str, int], Room] = {}
        admissions, rows = [], []
        for quote in quotes:
            mine = [budget for budget in budgets if budget.covers(quote.spender)]
            found = {budget.id: self._room(connection, budget, quote.at_us, rooms, now_us) for budget in mine}
            earlier, taken = self._earlier(quote, mine, held), holds.parts(quote, mine, found)
            own = {budget.id: earlier.get(budget.id, 0) + taken.get(budget.id, 0) for budget in mine}
            for budget_id, nano in own.items():
                found[budget_id].reserved_nano -= nano
            admission, amount = decide(quote, mine, found)
            admissions.append(admission)
            if admission.kind != "go" or (amount is None and not admission.holds_rest):
                for budget_id, nano in own.items():
                    found[budget_id].reserved_nano += nano
                continue
            holds.take(quote, taken)
            for budget in mine:
                room = found[budget.id]
                nano = max(0, room.free_nano) if amount is None else amount
                room.reserved_nano += nano
                rows.append(self._row(budget, quote, nano))
        ledger_rows.reserve(connection, [*rows, *holds.rows()])
        return admissions

    def hold(self, connection: Connection, hold_id: str, wanted: Wanted) -> Admission:
        """Set money aside for a whole before its first call; each of its calls takes its own part out of that."""
        ledger_rows.lock_ledger(connection)
        spenders = {*wanted.worst_nano, *wanted.unpriced}
        budgets = [budget for budget in covering(connection, spenders) if budget.binds]
        ledger_rows.lock_budgets(connection, [budget.id for budget in budgets])
        now_us, rows, is_short = clock.now_us(), [], False
        for budget in budgets:
            room = self._room(connection, budget, now_us, {}, now_us)
            nano, admission = wanted.judged(budget, room)
            if admission is not None:
                return admission
            is_short = is_short or (budget.action == "downgrade" and nano >= room.free_nano)
            rows.append(hold_row(hold_id, budget.id, periods.bucket_us(budget, now_us), nano))
        ledger_rows.reserve(connection, rows)
        return Admission(kind="go", holds_rest=is_short)

    def renew_hold(self, connection: Connection, hold_id: str) -> None:
        """Let money that is set aside count in the periods of now, where those of before are over."""
        held, now_us, rows = ledger_rows.held(connection, [hold_id]), clock.now_us(), []
        for budget in read_all(connection) if held else ():
            at, nano = held.get((hold_id, budget.id), (now_us, 0))
            if not periods.span_us(budget, now_us)[0] <= at <= now_us:
                rows.append(hold_row(hold_id, budget.id, periods.bucket_us(budget, now_us), nano))
        ledger_rows.reserve(connection, rows)

    def charge(self, connection: Connection, rows: Rows) -> None:
        """Charge calls that are put on record to their budgets and end their reservations."""
        real = [row for row in rows if row["provider"] != "simulated"]
        if not real:
            return
        charges: dict[tuple[str, int], ledger_rows.Charge] = {}
        spenders = [spender_of(row) for row in real]
        for budget in covering(connection, spenders):
            for row, spender in zip(real, spenders, strict=True):
                if budget.covers(spender):
                    at = periods.bucket_us(budget, row["created_at"])
                    charge = charges.setdefault((budget.id, at), ledger_rows.Charge())
                    charge.nano += row["cost_nano_usd"] or 0
                    charge.n += 1
                    charge.n_unpriced += row["cost_nano_usd"] is None
        ledger_rows.charge(connection, charges)
        ledger_rows.release(connection, [row["id"] for row in real])

    def release_dead(self, connection: Connection) -> int:
        """End the reservations of processes that died; how many processes that were."""
        others = ledger_rows.owners(connection) - {self._presence.token, HOLDER}
        dead = [owner for owner in sorted(others) if not self._presence.is_alive(owner)]
        for owner in dead:
            ledger_rows.drop_owner(connection, owner)
        return len(dead)

    def rewrite(self, connection: Connection, budget: Budget) -> None:
        """Write the ledger of a budget's current period anew from the records: it is new, or calls were repriced."""
        now_us = clock.now_us()
        first, last = periods.span_us(budget, now_us)
        if budget.period != "rolling":
            charges = {(budget.id, first): ledger_rows.spent_in(connection, budget, first, last)}
        else:
            hours = range(first, last, clock.HOUR_US)
            charges = {
                (budget.id, at): ledger_rows.spent_in(connection, budget, at, at + clock.HOUR_US) for at in hours
            }
        ledger_rows.replace_spend(connection, budget.id, {key: c for key, c in charges.items() if c.n})
        ledger_rows.move_reservations(connection, budget.id, periods.bucket_us(budget, now_us))

    def rewrite_all(self, connection: Connection, *, if_missing: bool = False) -> None:
        """if_missing: Only the ledgers of budgets that have none yet."""
        ledger_rows.lock_ledger(connection, alone=True)
        missing = ledger_rows.unseeded(connection)
        for budget in read_all(connection):
            if not if_missing or budget.id in missing:
                self.rewrite(connection, budget)

    def _room(
        self, connection: Connection, budget: Budget, at_us: int, rooms: dict[tuple[str, int], Room], now_us: int
    ) -> Room:
        span = periods.span_us(budget, at_us)
        key = (budget.id, span[0])
        if key not in rooms:
            position = ledger_rows.position(connection, budget.id, span)
            # A raise of this moment also helps a call that has waited for it.
            limit = budget.limit_usd + budget.raised_usd(clock.from_us(max(at_us, now_us)))
            rooms[key] = Room(to_nano(limit), position.spent_nano, position.reserved_nano)
        return rooms[key]

    def _earlier(
        self, quote: Quote, budgets: Sequence[Budget], held: Mapping[tuple[str, str], tuple[int, int]]
    ) -> dict[str, int]:
        """The nano-dollars by budget that the call itself holds in the period of its quote."""
        found = {}
        for budget in budgets if quote.is_again else ():
            at, nano = held.get((quote.call_id, budget.id), (0, 0))
            first, last = periods.span_us(budget, quote.at_us)
            if first <= at < last:
                found[budget.id] = nano
        return found

    def _row(self, budget: Budget, quote: Quote, amount: int) -> dict[str, Any]:
        return {
            "call_id": quote.call_id,
            "budget_id": budget.id,
            "bucket_at": periods.bucket_us(budget, quote.at_us),
            "amount_nano_usd": amount,
            "owner": self._presence.token,
        }


def spender_of(row: Mapping[str, Any]) -> Spender:
    tags = tuple(tag for tag in row["tags"].split(",") if tag)
    return Spender(
        provider=row["provider"],
        model=row["request_model"],
        user_id=row["user_id"],
        key_id=row["key_id"],
        team=row["team"],
        tags=tags,
        deployment=row["deployment"],
    )


def decide(quote: Quote, budgets: Sequence[Budget], rooms: Mapping[str, Room]) -> tuple[Admission, int | None]:
    """The admission of a call, and the nano-dollars to reserve for it; None = nothing can be reserved.

    A call whose longest answer does not fit into what is unspent may still have a shorter one, if its caller set no
    length. What fits only once others' reservations have ended waits. Pure.
    """
    is_unpriced = quote.is_unpriced or quote.worst_nano is None
    if refusing := [budget for budget in budgets if is_unpriced and budget.refuses_unpriced]:
        return Admission(kind="refuse", budget=refusing[0], reason="unpriced"), None
    if quote.worst_nano is None:
        return (_without_price(quote, budgets, rooms) if quote.may_be_charged else Admission(kind="go")), None
    amount, waits = quote.spent_nano + quote.worst_nano, None
    for budget in budgets:
        if quote.worst_nano == 0 or not _holds(budget, quote):
            continue
        fitting = _fit(quote, amount, rooms[budget.id])
        if fitting == "never":
            return _refused(budget, rooms[budget.id]), None
        if fitting == "later":
            waits = waits or budget
        else:
            amount = fitting
    if waits is not None:
        return Admission(kind="wait", budget=waits), None
    if amount == quote.spent_nano + quote.worst_nano:
        return Admission(kind="go"), amount
    tokens = int((amount - quote.spent_nano - quote.input_nano) / quote.token_nano)
    return Admission(kind="go", max_tokens=tokens), amount


def _without_price(quote: Quote, budgets: Sequence[Budget], rooms: Mapping[str, Room]) -> Admission:
    """One such call at a time holds all that is left: what it costs is known only when its vendor has said it."""
    waits = None
    for budget in (budget for budget in budgets if _holds(budget, quote)):
        room = rooms[budget.id]
        if room.spent_nano + quote.spent_nano >= room.limit_nano:
            return _refused(budget, room)
        if room.free_nano <= 0:
            waits = waits or budget
    return Admission(kind="go", holds_rest=True) if waits is None else Admission(kind="wait", budget=waits)


def _holds(budget: Budget, quote: Quote) -> bool:
    """True where a budget can stop a call; the way out of a spent one stays open."""
    return budget.action != "notify" and not budget.leads_to(quote.spender.provider, quote.spender.model)


def _refused(budget: Budget, room: Room) -> Admission:
    kind: Literal["downgrade", "refuse"] = "downgrade" if budget.action == "downgrade" else "refuse"
    return Admission(kind=kind, budget=budget, left_nano=max(0, room.limit_nano - room.spent_nano))


def _fit(quote: Quote, amount: int, room: Room) -> int | Literal["later", "never"]:
    """The part of `amount` that a budget can reserve now; later = once others have ended."""
    unspent, free = room.limit_nano - room.spent_nano, room.free_nano
    if amount <= free:
        return amount
    if amount <= unspent:
        return "later"
    least = quote.spent_nano + quote.input_nano + int(quote.token_nano * quote.shortest_tokens) + 1
    if not quote.shortest_tokens or least > unspent:
        return "never"
    return free if least <= free else "later"
