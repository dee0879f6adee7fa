"""Requests that count against limits which several processes share: taken together or not at all."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from sqlalchemy import Connection, delete, func, insert, select, text, update

from core.storage.gateway.schema import rate_hits

WINDOW_US = 60_000_000
_c = rate_hits.c

UseKind = Literal["requests", "tokens", "calls"]


class Use(NamedTuple):
    """An amount of a limit: of requests or tokens a minute, or of calls at once."""

    kind: UseKind
    whose: str
    most: int
    amount: int

    @property
    def name(self) -> str:
        return f"{self.kind}:{self.whose}"


class Hit(NamedTuple):
    """A request at a moment with all that it uses. until_us: When it has ended at the latest."""

    id: str
    at_us: int
    until_us: int
    uses: tuple[Use, ...]


class Refused(NamedTuple):
    """The limit that has no room for a request. wait_us: Microseconds until it has; None = it never has so much."""

    use: Use
    wait_us: int | None


Taken = tuple[int, ...] | Refused  # what is left of each


def take(connection: Connection, hits: Sequence[Hit]) -> list[Taken]:
    """Count each hit that is within all its limits."""
    if connection.dialect.name != "sqlite":
        for name in sorted({use.name for hit in hits for use in hit.uses}):
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 7264))"), {"name": name})
    return [_take(connection, hit) for hit in hits]


def settle(connection: Connection, hit: Hit, n_tokens: int | None) -> None:
    """End the calls of a hit, and put what it really took in place of its tokens; None = not known."""
    for at, use in enumerate(hit.uses):
        is_it = _c.id == f"{hit.id}{at}"
        if use.kind == "calls":
            connection.execute(delete(rate_hits).where(is_it))
        elif use.kind == "tokens" and n_tokens is not None:
            connection.execute(update(rate_hits).where(is_it).values(amount=n_tokens))


def _take(connection: Connection, hit: Hit) -> Taken:
    left = []
    for use in hit.uses:
        since = hit.at_us if use.kind == "calls" else hit.at_us - WINDOW_US
        counted = (_c.name == use.name, _c.at > since)
        used = connection.execute(select(func.coalesce(func.sum(_c.amount), 0)).where(*counted)).scalar_one()
        if used + use.amount > use.most:
            rows = connection.execute(select(_c.at, _c.amount).where(*counted).order_by(_c.at)).all()
            return Refused(use, wait_us(use, [(row.at, row.amount) for row in rows], hit.at_us))
        left.append(int(use.most - used - use.amount))
    for at, use in enumerate(hit.uses):
        old = hit.at_us if use.kind == "calls" else hit.at_us - WINDOW_US
        connection.execute(delete(rate_hits).where(_c.name == use.name, _c.at <= old))
        moment = hit.until_us if use.kind == "calls" else hit.at_us
        row = {"id": f"{hit.id}{at}", "name": use.name, "at": moment, "amount": use.amount}
        connection.execute(insert(rate_hits).values(**row))
    return tuple(left)


def wait_us(use: Use, counted: Sequence[tuple[int, int]], now_us: int) -> int | None:
    """Microseconds until there is room. counted: (moment, amount), the oldest first."""
    if use.amount > use.most:
        return None
    if use.kind == "calls":
        return 1_000_000  # a call ends when it ends
    excess = sum(amount for _, amount in counted) + use.amount - use.most
    for at_us, amount in counted:
        excess -= amount
        if excess <= 0:
            return at_us + WINDOW_US - now_us
    return WINDOW_US
