"""Calls of the log by one or two of their fields: how many, what they cost, how many failed, and how long they took."""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from sqlalchemy import Connection, Float, Integer, case, cast, func, literal, literal_column, select

from core.clock import DAY_US, HOUR_US, from_us
from core.domain.log.breakdown import Cell
from core.domain.log.filter import LogFilter
from core.errors import InvalidRequest
from core.formats.money import from_nano
from core.statistics import histogram
from core.storage.calls.filters import Conditions, best_way
from core.storage.engine.database import Store
from core.storage.schema import call_tags, generations

MOST_CELLS = 10_000
Timed = Literal["latency", "first_token"]
c = generations.c
_TIMES: dict[Timed, Any] = {"latency": c.latency_us, "first_token": c.ttft_us}
_tags = call_tags.alias("by_tag")
_WIDTHS = {"day": DAY_US, "hour": HOUR_US}
_COLUMNS: dict[str, Any] = {
    "model": c.request_model, "vendor": c.provider, "deployment": c.deployment, "source": c.source, "status": c.status,
    "error": c.error_class, "key": c.key_id, "team": c.team, "user": c.user_id, "session": c.session_id,
    "made_for": c.ref_name, "prompt": c.prompt_version,
    "tag": _tags.c.tag, **{name: c.created_at // width * width for name, width in _WIDTHS.items()},
}  # fmt: skip


class BreakdownStore(Store):
    def read(self, wanted: LogFilter, by: Sequence[str], *, timed: Timed = "latency") -> list[Cell]:
        """The cells of what a filter finds, the most expensive first; a call with two tags is in two of them.

        by: Fields of BREAKDOWNS. timed: The time whose percentile is told, within 1.1 % and of answered calls.

        Raises:
            InvalidRequest: There are too many cells.
        """
        with self._database.read() as connection:
            if connection.dialect.name != "sqlite":
                connection.execute(select(func.set_config("jit", "off", True)))
            rows = connection.execute(_grouped(connection, wanted, by, _TIMES[timed]).limit(MOST_CELLS * 50)).all()
        cells: defaultdict[tuple[Any, ...], list[Any]] = defaultdict(list)
        for row in rows:
            cells[tuple(row[: len(by)])].append(row[len(by) :])
        if len(cells) > MOST_CELLS or len(rows) == MOST_CELLS * 50:
            told = (
                f"There are more than {MOST_CELLS:,} combinations of {' and '.join(by)}: take a shorter time or filter."
            )
            raise InvalidRequest(told, param="by")
        found = [
            _cell([_shown(name, key) for name, key in zip(by, of, strict=True)], parts) for of, parts in cells.items()
        ]
        return sorted(found, key=lambda cell: (-cell.cost_usd, -cell.n, *map(str, cell.of)))


def _grouped(connection: Connection, wanted: LogFilter, by: Sequence[str], time: Any) -> Any:
    conditions = Conditions(connection, wanted)
    way, _ = best_way(connection, conditions)
    start = way.start.join(_tags, _tags.c.generation_id == c.id) if "tag" in by else way.start
    fields = [_COLUMNS[name].label(f"of_{at}") for at, name in enumerate(by)]
    bucket = case(((c.status == "ok") & time.is_not(None), _bucket(connection, time)), else_=None).label("bucket")
    failed = func.sum(case((c.status.not_in(("ok", "stopped")), 1), else_=0))
    sums = (func.count(), failed, func.sum(c.cost_nano_usd), func.count(c.cost_nano_usd))
    # By position: PostgreSQL does not see that an expression with bound values is the one that it groups by.
    groups: list[Any] = [literal_column(str(at + 1)) for at in range(len(fields) + 1)]
    return select(*fields, bucket, *sums).select_from(start).where(*conditions.of(way)).group_by(*groups)


def _bucket(connection: Connection, time: Any) -> Any:
    """The bucket of a time as `histogram.bucket_of` says it."""
    us = case((time < histogram.MIN_US, histogram.MIN_US), else_=time)
    place = func.ln(cast(us, Float)) * literal(histogram.PER_DOUBLING / math.log(2))
    return cast(place if connection.dialect.name == "sqlite" else func.floor(place), Integer)


def _shown(name: str, value: Any) -> str | None:
    """A value as text; None = the call has none."""
    if name in _WIDTHS:
        return from_us(int(value)).isoformat()
    return value or None


def _cell(of: list[str | None], parts: Sequence[Any]) -> Cell:
    counts = {int(bucket): int(n) for bucket, n, *_ in parts if bucket is not None}
    n, n_failed, nano, n_priced = (sum(int(part[at] or 0) for part in parts) for at in (1, 2, 3, 4))
    return Cell(tuple(of), n, n_failed, from_nano(nano), n - n_priced, _p95_s(counts), sum(counts.values()))


def _p95_s(counts: dict[int, int]) -> float | None:
    if not counts:
        return None
    first = min(counts)
    dense = np.bincount([bucket - first for bucket in counts], weights=list(counts.values()))
    return float(histogram.percentiles_us(dense[None, :], first, [0.95])[0, 0]) / 1e6
