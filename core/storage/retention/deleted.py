"""Sums of deleted calls, as those read them that prove other sums or count anew."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, func, select, tuple_, union_all

from core.clock import DAY_US
from core.storage.retention.schema import deleted_rollups, deleted_spend, experiment_calls
from core.storage.schema import generations

_s = deleted_spend.c
_CALL = (
    "id", "ref_id", "ref_part", "status", "input_tokens", "output_tokens", "cost_nano_usd", "latency_us", "created_at",
    "price_id",
)  # fmt: skip


def rollups(connection: Connection) -> Any:
    """The rows of the rollups by hour that deleted calls made up."""
    return connection.execute(select(deleted_rollups)).mappings()


def spend_by_day(connection: Connection) -> Iterator[tuple[tuple[Any, ...], list[int]]]:
    """Key and sums of `spend_by` that deleted calls made up; a key may come several times."""
    for at, *row in connection.execute(select(deleted_spend).where(_s.dimension != "all")):
        yield (at // DAY_US * DAY_US, *row[:4]), [int(each) for each in row[4:]]


def spent(
    connection: Connection,
    dimension: str,
    value: str,
    span: tuple[int, int],
    among: Sequence[tuple[str, str]] | None = None,
) -> tuple[int, int, int]:
    """Known real cost in nano-dollars, calls, and unpriced calls that were deleted, of [since, until).

    span: Its ends are whole quarters of an hour, of the last month; a day that is summed up counts at its start.
    among: Of these (provider, model)s only.
    """
    where = [_s.dimension == dimension, _s.value == value, _s.bucket_at >= span[0], _s.bucket_at < span[1]]
    where.append(_s.provider != "simulated")
    if among is not None:
        where.append(tuple_(_s.provider, _s.model).in_(among))
    sums = [func.coalesce(func.sum(each), 0) for each in (_s.cost_nano_usd, _s.n, _s.n_unpriced)]
    cost, n, n_unpriced = connection.execute(select(*sums).where(*where)).one()
    return int(cost), int(n), int(n_unpriced)


def calls_of_experiments() -> Any:
    """The calls of experiments, those on record and the deleted ones, with what is counted of them."""
    g, e = generations.c, experiment_calls.c
    kept = select(*(g[name] for name in _CALL))
    deleted = select(e.generation_id.label("id"), *(e[name] for name in _CALL[1:]))
    return union_all(kept, deleted).subquery("calls_of_experiments").c
