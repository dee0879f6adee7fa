"""SQL of the budgets' ledger: what was spent, what is reserved. Each function runs in its caller's transaction."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, func, literal_column, select, text, union_all, update

from core.domain.budget import Budget, Position
from core.storage.calls import rollups
from core.storage.engine.bulk import is_one_of
from core.storage.engine.prepared import Prepared
from core.storage.engine.records import upsert
from core.storage.retention import deleted
from core.storage.schema import budget_spend, budgets, generations, reservations

_BOOKS_LOCK = 7_264_111


@dataclass(slots=True)
class Charge:
    """The sum that a batch of calls adds to a budget's period."""

    nano: int = 0
    n: int = 0
    n_unpriced: int = 0


def lock_ledger(connection: Connection, *, alone: bool = False) -> None:
    """PostgreSQL: charges go side by side; making a budget needs the ledger alone, so that no charge slips past it."""
    if connection.dialect.name != "sqlite":
        kind = "" if alone else "_shared"
        connection.execute(text(f"SELECT pg_advisory_xact_lock{kind}({_BOOKS_LOCK})"))


def lock_budgets(connection: Connection, ids: Collection[str]) -> None:
    """Let nobody else reserve from these until the transaction ends; locked in one order, which excludes deadlocks.

    SQLite's transaction has the whole file already.
    """
    if connection.dialect.name != "sqlite":
        connection.execute(
            select(budgets.c.id).where(budgets.c.id.in_(ids)).order_by(budgets.c.id).with_for_update(key_share=True)
        )


def _position_statement(_dialect: str) -> Any:
    window: Any = (bindparam("first"), bindparam("last"))
    s, r = budget_spend.c, reservations.c
    spent = select(
        func.coalesce(func.sum(s.spent_nano_usd), 0).label("spent"),
        func.coalesce(func.sum(s.n), 0).label("n"),
        func.coalesce(func.sum(s.n_unpriced), 0).label("n_unpriced"),
    ).where(s.budget_id == bindparam("id"), s.bucket_at >= window[0], s.bucket_at < window[1])
    held = select(func.coalesce(func.sum(r.amount_nano_usd), 0)).where(
        r.budget_id == bindparam("id"), r.bucket_at >= window[0], r.bucket_at < window[1]
    )
    return spent.add_columns(held.scalar_subquery().label("reserved"))


_POSITION = Prepared(_position_statement)


def position(connection: Connection, budget_id: str, span: tuple[int, int]) -> Position:
    """The ledger of a budget over the buckets in [first, last), in one statement: both halves are of one moment."""
    values = {"id": budget_id, "first": span[0], "last": span[1]}
    [(spent, n, n_unpriced, reserved)] = _POSITION.run(connection, values)
    return Position(spent_nano=int(spent), reserved_nano=int(reserved), n=int(n), n_unpriced=int(n_unpriced))


def positions(connection: Connection, spans: Mapping[str, tuple[int, int]]) -> dict[str, Position]:
    """`position` of many budgets, each over its own buckets: a statement for all of the same buckets."""
    together: dict[tuple[int, int], list[str]] = {}
    for budget_id, span in spans.items():
        together.setdefault(span, []).append(budget_id)
    found = dict.fromkeys(spans, Position())
    for (first, last), ids in together.items():
        s, r = budget_spend.c, reservations.c
        none: Any = literal_column("0")
        spent = select(s.budget_id, s.spent_nano_usd, none.label("reserved"), s.n, s.n_unpriced).where(
            is_one_of(connection, s.budget_id, ids), s.bucket_at >= first, s.bucket_at < last
        )
        held = select(r.budget_id, none, r.amount_nano_usd, none, none).where(
            is_one_of(connection, r.budget_id, ids), r.bucket_at >= first, r.bucket_at < last
        )
        rows = union_all(spent, held).subquery().c
        sums = select(
            rows.budget_id, *(func.sum(rows[name]) for name in ("spent_nano_usd", "reserved", "n", "n_unpriced"))
        )
        for budget_id, spent_nano, reserved, n, n_unpriced in connection.execute(sums.group_by(rows.budget_id)):
            found[budget_id] = Position(
                spent_nano=int(spent_nano), reserved_nano=int(reserved), n=int(n), n_unpriced=int(n_unpriced)
            )
    return found


def owners(connection: Connection) -> set[str]:
    """The owners of all reservations."""
    return set(connection.execute(select(reservations.c.owner).distinct()).scalars())


def drop_owner(connection: Connection, owner: str) -> None:
    connection.execute(delete(reservations).where(reservations.c.owner == owner))


_RESERVE = Prepared(lambda dialect: upsert(dialect, reservations))


def reserve(connection: Connection, rows: list[dict[str, Any]]) -> None:
    """Put reservations, one a call and budget; a later one of the same call takes the place of the earlier."""
    _RESERVE.run_many(connection, rows)


def held(connection: Connection, call_ids: Collection[str]) -> dict[tuple[str, str], tuple[int, int]]:
    """The bucket and the nano-dollars of what calls have reserved, by call and budget."""
    if not call_ids:
        return {}
    r = reservations.c
    statement = select(r.call_id, r.budget_id, r.bucket_at, r.amount_nano_usd).where(r.call_id.in_(call_ids))
    return {(call, budget): (at, nano) for call, budget, at, nano in connection.execute(statement)}


_RELEASE = Prepared(lambda _: delete(reservations).where(reservations.c.call_id == bindparam("call")))


def release(connection: Connection, call_ids: Iterable[str]) -> None:
    _RELEASE.run_many(connection, [{"call": call_id} for call_id in sorted(call_ids)])


def add_to_hold(connection: Connection, hold_id: str, nano: int) -> None:
    """Set more aside for a whole, where some is: a part of it will be asked again."""
    amount = reservations.c.amount_nano_usd
    mine = update(reservations).where(reservations.c.call_id == hold_id)
    connection.execute(mine.values(amount_nano_usd=amount + nano))


_CHARGE = Prepared(lambda dialect: upsert(dialect, budget_spend, adds=True))


def charge(connection: Connection, charges: Mapping[tuple[str, int], Charge]) -> None:
    """Add to the ledger; in one order in every process, so that nobody waits crosswise."""
    rows = [
        {"budget_id": b, "bucket_at": at, "spent_nano_usd": c.nano, "n": c.n, "n_unpriced": c.n_unpriced}
        for (b, at), c in sorted(charges.items())
    ]
    _CHARGE.run_many(connection, rows)


def replace_spend(connection: Connection, budget_id: str, charges: Mapping[tuple[str, int], Charge]) -> None:
    """Write a budget's ledger anew, and mark them complete."""
    connection.execute(delete(budget_spend).where(budget_spend.c.budget_id == budget_id))
    charge(connection, charges)
    connection.execute(update(budgets).where(budgets.c.id == budget_id).values(is_seeded=1))


def move_reservations(connection: Connection, budget_id: str, bucket_at: int) -> None:
    """Calls under way stay reserved when a budget's period changes."""
    r = reservations.c
    statement = update(reservations).where(r.budget_id == budget_id, r.bucket_at != bucket_at)
    connection.execute(statement.values(bucket_at=bucket_at))


def unseeded(connection: Connection) -> list[str]:
    return list(connection.execute(select(budgets.c.id).where(budgets.c.is_seeded == 0)).scalars())


def spent_in(connection: Connection, budget: Budget, since_us: int, until_us: int) -> Charge:
    """The cost of the calls of [since, until), from the records themselves and what is kept of deleted ones."""
    kind, value = budget.scope_kind, budget.scope_value
    if kind == "all":
        return Charge(*rollups.spend(connection, since_us, until_us))
    if kind in ("provider", "model"):
        pairs = [pair for pair in rollups.models_in(connection, since_us, until_us) if budget.covers_model(*pair)]
        return Charge(*rollups.spend(connection, since_us, until_us, pairs))
    c = generations.c
    column = {
        "key": c.key_id == value,
        "team": c.team == value,
        "user": c.user_id == value,
        "deployment": c.deployment == value,
        "tag": c.tags.contains(f",{value},", autoescape=True),
    }
    row = connection.execute(
        select(
            func.coalesce(func.sum(c.cost_nano_usd), 0), func.count(), func.count() - func.count(c.cost_nano_usd)
        ).where(and_(c.created_at >= since_us, c.created_at < until_us, c.provider != "simulated", column[kind]))
    ).one()
    gone = deleted.spent(connection, kind, value, (since_us, until_us))
    return Charge(*(int(kept) + more for kept, more in zip(row, gone, strict=True)))
