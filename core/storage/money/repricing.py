"""Charge past calls anew, in SQL: the cost of a call is an expression over its columns, exact in whole numbers.

Everything happens in the caller's one transaction: costs, rollups and price rows change together or not at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, false, func, literal, or_, select, update

from core.clock import DAY_US
from core.domain.generation import CONTRADICTORY, COUNTS, ESTIMATED
from core.domain.price import Price, Rate
from core.pricing.receipt import fees, parts, receipt_for
from core.storage.calls import rollups
from core.storage.calls.generations import money_of, usages_of
from core.storage.engine.damaged import readable
from core.storage.money import spend_by
from core.storage.money.prices import is_charged_as, pin
from core.storage.schema import generations
from core.storage.schema import spend_by as spend_by_table

g = generations.c
_MONEY = ("cost_nano_usd", "input_nano_usd", "cached_nano_usd")
_LARGEST = 2**63 - 1
# The counts of a call as columns, for the same terms as a receipt's.
_COLUMNS = SimpleNamespace(**{name: g[name] for name in COUNTS}, more={})
_GROUP = {"input": "input", "audio": "input", "cached": "cached", "cached audio": "cached"}
_becomes_estimated = and_(g.cost_status == "unknown", g.note.contains(ESTIMATED))


# Provider and model, and the deployments that have prices of their own, each with its vendor.
Names = tuple[str, str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Calls charged as one model and service tier in [since, until) that one price row holds for.

    apart: The deployments that have prices of their own, with their vendors; a provider may be one of them.
    """

    provider: str
    model: str
    service_tier: str
    since_us: int
    until_us: int
    price: Price
    apart: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DaySum:
    """The sums of a segment on one day. before_nano: the known part of the cost on record."""

    day_us: int
    n: int
    n_unpriced: int
    before_nano: int
    after_nano: int


def days_with_calls(
    connection: Connection, names: Names, span: tuple[int, int], *, only_unpriced: bool
) -> list[tuple[int, str]]:
    """(day start, service tier) of the calls that would be charged anew."""
    day = _day(g.created_at)
    statement = select(day, g.service_tier).where(_chosen(connection, names, span, only_unpriced)).distinct()
    return sorted((int(at), tier) for at, tier in connection.execute(statement))


def preview(connection: Connection, segment: Segment, *, only_unpriced: bool) -> list[DaySum]:
    """Exactly what `apply` would do to a segment, by day."""
    where = _of(connection, segment, only_unpriced)
    whole, _, _ = _expressions(connection, segment, where)
    day = _day(g.created_at)
    statement = select(
        day, func.count(), func.count() - func.count(g.cost_nano_usd), func.sum(g.cost_nano_usd), func.sum(whole)
    )
    sums = {
        int(at): [int(n), int(missing), int(before or 0), int(after)]
        for at, n, missing, before, after in connection.execute(
            statement.where(where, _in_columns(segment.price)).group_by(day)
        )
    }
    for row, money in _rows_by_hand(connection, segment, where):
        entry = sums.setdefault(row["created_at"] // DAY_US * DAY_US, [0, 0, 0, 0])
        changes = (1, row["cost_nano_usd"] is None, row["cost_nano_usd"] or 0, money["cost_nano_usd"])
        for at, value in enumerate(changes):
            entry[at] += value
    return [
        DaySum(day_us=at, n=n, n_unpriced=missing, before_nano=before, after_nano=after)
        for at, (n, missing, before, after) in sorted(sums.items())
    ]


def apply(connection: Connection, segment: Segment, *, only_unpriced: bool) -> int:
    """Charge a segment anew: calls, rollups, spend by dimension; returns the number of calls."""
    where = _of(connection, segment, only_unpriced)
    whole, plain, cached = _expressions(connection, segment, where)
    by_hand = _rows_by_hand(connection, segment, where)
    single = and_(where, _in_columns(segment.price))
    pin(connection, [segment.price])
    for table, width_us in rollups.TABLES:
        _move_rollups(connection, table, width_us, single, (whole, plain, cached))
    _move_spend_by(connection, single, whole)
    for row, money in by_hand:
        _move_one(connection, row, money)
    status = case((_becomes_estimated, "estimated"), (g.cost_status == "unknown", "priced"), else_=g.cost_status)
    pinned: dict[str, Any] = {"price_id": segment.price.id, "cost_status": status}
    n = connection.execute(
        update(generations)
        .where(single)
        .values(cost_nano_usd=whole, input_nano_usd=plain, cached_nano_usd=cached, **pinned)
    ).rowcount
    for row, money in by_hand:
        connection.execute(update(generations).where(g.id == row["id"]).values(**money, **pinned))
    return int(n) + len(by_hand)


def experiments_of(connection: Connection, segment: Segment) -> set[str]:
    """The experiments whose units made calls of a segment."""
    span = segment.since_us, segment.until_us
    charged_so = _chosen(connection, (segment.provider, segment.model, segment.apart), span, False)
    chosen = and_(charged_so, g.ref_part.startswith("a_", autoescape=True))
    return set(connection.execute(select(g.ref_id).where(chosen).distinct()).scalars())


def _chosen(connection: Connection, names: Names, span: tuple[int, int], only_unpriced: bool) -> ColumnElement[bool]:
    provider, model, apart = names[0], names[1], dict(names[2])
    conditions = [
        g.deployment == provider if provider in apart else and_(g.provider == provider, g.deployment.not_in([*apart])),
        is_charged_as(connection, apart.get(provider, provider), model),
        g.created_at >= span[0],
        g.created_at < span[1],
        g.cost_status != "cached",
        # What the vendor counted in contradiction stays unknown; a call without any tokens was not billed.
        ~g.note.contains(CONTRADICTORY),
        or_(g.input_tokens + g.output_tokens > 0, g.more_usage != ""),
    ]
    return and_(*conditions, g.cost_nano_usd.is_(None)) if only_unpriced else and_(*conditions)


def _of(connection: Connection, segment: Segment, only_unpriced: bool) -> ColumnElement[bool]:
    span = segment.since_us, segment.until_us
    return and_(
        _chosen(connection, (segment.provider, segment.model, segment.apart), span, only_unpriced),
        g.service_tier == segment.service_tier,
    )


def _in_columns(price: Price) -> ColumnElement[bool]:
    """The calls whose cost is an expression over their columns; a call that used what has no price stays as it is."""
    unpriced = [literal(0) == part.count for part in parts(_COLUMNS, price) if part.rate is None]
    unpriced += [literal(0) == count for _, count, usd, _ in fees(_COLUMNS, price) if usd is None]
    return and_(
        g.usages == "", g.more_usage == "", *unpriced, *([false()] if price.unknown_units or price.is_by_unit else [])
    )


def _day(moment: Any) -> Any:
    return moment - moment % DAY_US


def _expressions(connection: Connection, segment: Segment, where: ColumnElement[bool]) -> tuple[Any, Any, Any]:
    """Nano-dollars of a call, of its uncached and of its cached input, each rounded half to even.

    The prices are scaled to whole numbers, so that sums and products are exact; the same terms as `receipt_for`.

    Raises:
        OverflowError: Scaled so, a call's cost does not fit into 64 bits.
    """
    groups: dict[str, list[tuple[Any, Rate]]] = {"input": [], "cached": [], "rest": []}
    for part in parts(_COLUMNS, segment.price):
        if part.rate is not None and not isinstance(part.count, int):
            groups[_GROUP.get(part.kind, "rest")].append((part.count, part.rate))
    for _, count, usd, per in fees(_COLUMNS, segment.price):
        if usd is not None and not (isinstance(count, int) and count == 0):
            groups["rest"].append((count, Rate(base=usd * 1_000_000 / per)))
    plain, cached, rest = groups.values()
    scale = _scale([rate for _, rate in plain + cached + rest])
    most = connection.execute(
        select(func.max(g.input_tokens + g.output_tokens + g.storage_token_hours + g.n_searches)).where(where)
    ).scalar_one()
    highest = max(rate.highest for _, rate in plain + cached + rest)
    if int(most or 0) * int(highest * 1000 * scale) > _LARGEST:
        raise OverflowError(f"a price with so many decimals and calls of {most:,} tokens do not fit together")
    terms = [_terms(part, scale) for part in (plain, cached, rest)]
    return _rounded(sum(terms[1:], terms[0]), scale), _rounded(terms[0], scale), _rounded(terms[1], scale)


def _scale(rates: Sequence[Rate]) -> int:
    """The power of ten that makes every price, in nano-dollars a token, a whole number."""
    values = [usd * 1000 for rate in rates for usd in (rate.base, *(step for _, step in rate.above))]
    decimals = [-int(value.normalize().as_tuple().exponent) for value in values]
    return int(10 ** max(0, *decimals))


def _terms(parts: Sequence[tuple[Any, Rate]], scale: int) -> Any:
    total: Any = literal(0)
    for count, rate in parts:
        total = total + count * _rate_at(rate, scale)
    return total


def _rate_at(rate: Rate, scale: int) -> Any:
    if not rate.above:
        return literal(int(rate.base * 1000 * scale))
    steps = sorted(rate.above, reverse=True)
    whens = [(g.input_tokens > start, literal(int(usd * 1000 * scale))) for start, usd in steps]
    return case(*whens, else_=literal(int(rate.base * 1000 * scale)))


def _rounded(scaled: Any, scale: int) -> Any:
    """scaled / scale as a whole number, half to even."""
    if scale == 1:
        return scaled
    whole, left = scaled // scale, scaled % scale
    up = case((left * 2 > scale, 1), (and_(left * 2 == scale, whole % 2 == 1), 1), else_=0)
    return whole + up


def _rows_by_hand(
    connection: Connection, segment: Segment, where: ColumnElement[bool]
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Calls and their money: those of several billed attempts, as tiers are per request, or of counts without a column.

    A call that the price does not cover, or whose counts are damaged, stays as it is.
    """
    statement = select(generations).where(where, or_(g.usages != "", g.more_usage != ""))
    found = []
    rows = readable("call", connection.execute(statement).mappings(), lambda row: (dict(row), usages_of(row)))
    for row, usages in rows:
        try:
            receipts = [receipt_for(usage, segment.price) for usage in usages]
        except (LookupError, ValueError):
            continue
        found.append((row, money_of(receipts, sum((receipt.usd for receipt in receipts), Decimal(0)))))
    return found


def _changes(money: tuple[Any, Any, Any]) -> list[Any]:
    """Changes to a sum of calls: cost and its parts, calls and tokens without a price, estimated calls."""
    was_unpriced = g.cost_nano_usd.is_(None)
    changes = [func.sum(new - func.coalesce(g[name], 0)) for new, name in zip(money, _MONEY, strict=True)]
    changes.append(func.sum(case((was_unpriced, -1), else_=0)))
    changes.append(func.sum(case((was_unpriced, -(g.input_tokens + g.output_tokens)), else_=0)))
    changes.append(func.sum(case((_becomes_estimated, 1), else_=0)))
    return changes


_SUMS = (*_MONEY, "n_unpriced", "unpriced_tokens", "n_estimated")


def _move_rollups(connection: Connection, table: Any, width_us: int, where: Any, money: tuple[Any, Any, Any]) -> None:
    bucket = g.created_at - g.created_at % width_us
    key = (bucket, g.request_model, g.provider, g.source, g.status, g.error_class)
    found = connection.execute(select(*key, *_changes(money)).where(where).group_by(*key)).all()
    for row in sorted(found, key=lambda row: tuple(row[: len(key)])):
        at = and_(*(table.c[name] == value for name, value in zip(rollups.KEY, row[: len(key)], strict=True)))
        added = zip(_SUMS, row[len(key) :], strict=True)
        changes = {name: table.c[name] + int(value) for name, value in added}
        connection.execute(update(table).where(at).values(**changes))


def _move_spend_by(connection: Connection, where: Any, whole: Any) -> None:
    names = ("request_model", "provider", "tags", "user_id", "key_id", "team", "ref_name", "deployment")
    day = _day(g.created_at).label("created_at")
    texts = ("tags", "user_id", "key_id", "team", "ref_name", "deployment")
    has_any = or_(*(g[name] != "" for name in texts))
    statement = select(
        day,
        *(g[name] for name in names),
        func.sum(whole - func.coalesce(g.cost_nano_usd, 0)).label("change"),
        (func.count() - func.count(g.cost_nano_usd)).label("n_unpriced"),
    )
    groups = statement.where(where, has_any).group_by(day, *(g[name] for name in names))
    moved: dict[tuple[Any, ...], list[int]] = {}
    for row in connection.execute(groups).mappings():
        for key in spend_by.keys_of(row):
            entry = moved.setdefault(key, [0, 0])
            entry[0] += int(row["change"])
            entry[1] -= int(row["n_unpriced"])
    _update_spend_by(connection, moved)


def _update_spend_by(connection: Connection, moved: dict[tuple[Any, ...], list[int]]) -> None:
    t = spend_by_table.c
    for key, (cost, n_unpriced) in sorted(moved.items()):
        at = and_(*(t[name] == value for name, value in zip(spend_by.KEY, key, strict=True)))
        changes = {"cost_nano_usd": t.cost_nano_usd + cost, "n_unpriced": t.n_unpriced + n_unpriced}
        connection.execute(update(spend_by_table).where(at).values(**changes))


def _move_one(connection: Connection, row: dict[str, Any], money: dict[str, Any]) -> None:
    """Rollups of one call of several attempts."""
    was_unpriced = row["cost_nano_usd"] is None
    cost = money["cost_nano_usd"] - (row["cost_nano_usd"] or 0)
    tokens = row["input_tokens"] + row["output_tokens"]
    values = (
        cost, money["input_nano_usd"] - row["input_nano_usd"], money["cached_nano_usd"] - row["cached_nano_usd"],
        -int(was_unpriced), -tokens if was_unpriced else 0, int(was_unpriced and ESTIMATED in row["note"]),
    )  # fmt: skip
    for table, width_us in rollups.TABLES:
        (key,) = rollups.deltas_of([row], width_us)
        at = and_(*(table.c[name] == value for name, value in key._asdict().items()))
        changes = {name: table.c[name] + value for name, value in zip(_SUMS, values, strict=True)}
        connection.execute(update(table).where(at).values(**changes))
    moved = {key: [cost, -int(was_unpriced)] for key in spend_by.keys_of(row)}
    _update_spend_by(connection, moved)
