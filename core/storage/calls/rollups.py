"""Hour and day aggregates of generations, kept in the transaction that logs a call and read instead of raw rows."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import Connection, Table, and_, bindparam, case, delete, func, or_, select, tuple_, update

from core.clock import DAY_US, HOUR_US
from core.domain.metrics import FAILED, Answered, RollupKey, RollupRows
from core.statistics import histogram
from core.storage.engine.damaged import UNREADABLE, readable
from core.storage.engine.database import Store, in_batches
from core.storage.engine.prepared import Prepared
from core.storage.engine.records import upsert
from core.storage.retention import deleted
from core.storage.schema import generations, rollups_day, rollups_hour

TABLES = ((rollups_hour, HOUR_US), (rollups_day, DAY_US))
KEY = RollupKey._fields
EXTREMES = ("latency_min_us", "latency_max_us")
HISTOGRAMS = ("latency_histogram", "ttft_histogram")
SUMS = tuple(c.name for c in rollups_hour.c if c.name not in KEY + EXTREMES + HISTOGRAMS)
COUNTS = SUMS[:9]  # from n to n_estimated
IS_FAILED = ("status", FAILED)
SAMPLED = 400  # answers that are looked at one by one
_BLANK = (1 << 62, 0, b"", b"")  # extremes and histograms of no calls
TIMES = ("latency_sum_us", "latency_max_us", "latency_histogram", "ttft_histogram")
# What of a generation row is needed here: for the key, added as it is, and looked at.
_KEYED = ("request_model", "provider", "source", "status", "error_class")
_TOKENS = ("input_tokens", "cached_tokens", "output_tokens", "thinking_tokens")
_PARTS = ("input_nano_usd", "cached_nano_usd", "saved_nano_usd")
_OTHERS = ("created_at", "cost_nano_usd", "cost_status", "service_tier", "latency_us", "ttft_us")
COLUMNS = (*_KEYED, *_TOKENS, *_PARTS, *_OTHERS)

Row = dict[str, Any]


@dataclass(slots=True)
class Delta:
    """The sum that a batch adds to one rollup row."""

    sums: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SUMS, 0))
    latency_min_us: int = 1 << 62
    latency_max_us: int = 0
    latency: dict[int, int] = field(default_factory=dict)
    ttft: dict[int, int] = field(default_factory=dict)

    def add(self, row: Row) -> None:
        sums, cost, ttft_us = self.sums, row["cost_nano_usd"], row["ttft_us"]
        sums["n"] += 1
        for name in _TOKENS:
            sums[name] += row[name]
        if cost is None:
            sums["n_unpriced"] += 1
            sums["unpriced_tokens"] += row["input_tokens"] + row["output_tokens"]
        else:
            sums["cost_nano_usd"] += cost
        for name in _PARTS:
            sums[name] += row[name]
        sums["n_estimated"] += row["cost_status"] == "estimated"
        if row["service_tier"].startswith("batch"):  # answered at leisure: no sign of how fast the model is
            return
        latency_us = row["latency_us"]
        sums["latency_sum_us"] += latency_us
        self.latency_min_us = min(self.latency_min_us, latency_us)
        self.latency_max_us = max(self.latency_max_us, latency_us)
        _count(self.latency, latency_us)
        if ttft_us is not None:
            sums["ttft_n"] += 1
            sums["ttft_sum_us"] += ttft_us
            _count(self.ttft, ttft_us)

    def join(self, row: Any) -> None:
        """Add the sums of a row of such a table."""
        for name in SUMS:
            self.sums[name] += int(row[name])
        self.latency_min_us = min(self.latency_min_us, row["latency_min_us"])
        self.latency_max_us = max(self.latency_max_us, row["latency_max_us"])
        for counts, name in ((self.latency, HISTOGRAMS[0]), (self.ttft, HISTOGRAMS[1])):
            for bucket, n in histogram.decode(row[name]).items():
                counts[bucket] = counts.get(bucket, 0) + n


def _count(counts: dict[int, int], duration_us: int) -> None:
    bucket = histogram.bucket_of(duration_us)
    counts[bucket] = counts.get(bucket, 0) + 1


def deltas_of(rows: Iterable[Row], width_us: int) -> dict[RollupKey, Delta]:
    deltas: dict[RollupKey, Delta] = {}
    for row in rows:
        key = RollupKey(row["created_at"] // width_us * width_us, *[row[name] for name in _KEYED])
        deltas.setdefault(key, Delta()).add(row)
    return deltas


def add_rows(connection: Connection, rows: Sequence[Row]) -> None:
    """Merge freshly logged generation rows into both rollups, inside the caller's transaction."""
    for table, width_us in TABLES:
        apply(connection, table, deltas_of(rows, width_us))


class _Statements(NamedTuple):
    """Statements that `apply` runs on one table."""

    insert: Prepared
    select: Prepared
    update: Prepared


@cache
def _statements(table: Table) -> _Statements:
    where = and_(*(table.c[name] == bindparam(f"k_{name}") for name in KEY))
    changes: dict[str, Any] = {name: table.c[name] + bindparam(f"d_{name}") for name in SUMS}
    changes |= {name: bindparam(f"d_{name}") for name in EXTREMES + HISTOGRAMS}
    new_row: dict[str, Any] = {name: bindparam(f"k_{name}") for name in KEY} | dict.fromkeys(SUMS, 0)
    new_row |= dict(zip(EXTREMES + HISTOGRAMS, _BLANK, strict=True))

    columns = [table.c[name] for name in EXTREMES + HISTOGRAMS]
    return _Statements(
        insert=Prepared(lambda dialect: upsert(dialect, table, ()).values(**new_row)),
        select=Prepared(lambda _: select(*columns).where(where).with_for_update()),
        update=Prepared(lambda _: update(table).where(where).values(**changes)),
    )


def apply(connection: Connection, table: Table, deltas: dict[RollupKey, Delta]) -> None:
    """Add deltas to a rollup table, inside the caller's transaction."""
    statements = _statements(table)
    changes = []
    # In one order in every process: two writers on PostgreSQL would otherwise lock rows crosswise.
    for key in sorted(deltas):
        delta, values = deltas[key], {f"k_{name}": value for name, value in key._asdict().items()}
        found = statements.select.run(connection, values)
        if not found:
            statements.insert.run(connection, values)
            found = statements.select.run(connection, values)
        values |= {f"d_{name}": value for name, value in delta.sums.items()}
        try:
            values |= _merged(found[0], delta)
        except UNREADABLE:  # damaged: it begins anew, for the call must be recorded; `aimm check` says that it differs
            values |= _merged(_BLANK, delta)
        changes.append(values)
    if changes:
        statements.update.run_many(connection, changes)


def _merged(old: Sequence[Any], delta: Delta) -> dict[str, Any]:
    return {
        "d_latency_min_us": min(old[0], delta.latency_min_us),
        "d_latency_max_us": max(old[1], delta.latency_max_us),
        "d_latency_histogram": histogram.merge(old[2], delta.latency),
        "d_ttft_histogram": histogram.merge(old[3], delta.ttft),
    }


class RollupStore(Store):
    """Reads rollups for a window; whole days come from the day table, the edges from the hour table."""

    def read(
        self, since_us: int, until_us: int, *, simulated: bool, model: str | None = None, by_hour: bool = False
    ) -> RollupRows:
        """Rows of [since, until). Both must be whole hours; `by_hour` never uses the day table."""
        spans = [(rollups_hour, since_us, until_us)] if by_hour else _spans(since_us, until_us)
        answered: list[Any] = []
        others: list[Any] = []
        with self._database.read() as connection:
            for table, start, end in spans:
                if start < end:
                    where = _window(table, start, end, simulated, model)
                    is_ok = table.c.status == "ok"
                    columns = [table.c[name] for name in (*KEY, *COUNTS, *TIMES)]
                    answered += connection.execute(select(*columns).where(where, is_ok)).fetchall()
                    columns = columns[: len(KEY) + len(COUNTS)]
                    others += connection.execute(select(*columns).where(where, ~is_ok)).fetchall()
        return _to_columns(answered, others)

    def has_any(self, *, simulated: bool) -> bool:
        """True if any simulated call, or any real one, was ever recorded."""
        p = rollups_day.c.provider
        # What is before and what is after a name is found in an index; what differs from it is not.
        is_kind = p == "simulated" if simulated else or_(p < "simulated", p > "simulated")
        return self._database.value(select(p).where(is_kind).limit(1)) is not None

    def first_day_us(self, *, simulated: bool) -> int | None:
        c = rollups_day.c
        return self._database.value(select(func.min(c.bucket_at)).where((c.provider == "simulated") == simulated))

    def models(self) -> set[tuple[str, str]]:
        """(provider, model) of every call on record."""
        return set(self.seen())

    def seen(self) -> dict[tuple[str, str], tuple[int, int]]:
        """The first and the last day with a call of each (provider, model)."""
        c = rollups_day.c
        days = select(c.provider, c.model, func.min(c.bucket_at), func.max(c.bucket_at)).group_by(c.provider, c.model)
        return {(provider, model): (int(a), int(b)) for provider, model, a, b in self._database.rows(days)}

    def n_calls(self, since_us: int, until_us: int, sources: Sequence[str]) -> int:
        """Calls of these sources in [since, until), simulated ones too. Both must be whole hours."""
        h = rollups_hour.c
        where = and_(h.bucket_at >= since_us, h.bucket_at < until_us, h.source.in_(sources))
        return int(self._database.value(select(func.sum(h.n)).where(where)) or 0)

    def newest_answers(self, model: str, since_us: int, until_us: int) -> list[Answered]:
        """A model's newest answers in [since, until): raw rows, so a few alone."""
        g = generations.c
        where = and_(g.request_model == model, g.status == "ok", g.created_at >= since_us, g.created_at < until_us)
        rows = select(g.latency_us, g.n_attempts, g.ref_name, g.key_id).where(where).order_by(g.created_at.desc())
        return [Answered(*row) for row in self._database.rows(rows.limit(SAMPLED))]

    def counted(
        self, span: tuple[int, int] | None, *, simulated: bool | None = None, **equal: str
    ) -> tuple[int, int, int, int]:
        """Calls, failed ones, known cost in nano-dollars and unpriced ones of a span of whole hours; None = of all.

        simulated: None = real and simulated ones.
        equal: Columns of the key and the values that they must have.
        """
        sums = [0, 0, 0, 0]
        for table, since_us, until_us in _spans(*span) if span else [(rollups_day, 0, 1 << 62)]:
            c = table.c
            is_failed = c.status.not_in(("ok", "stopped"))
            failed = case((is_failed, c.n), else_=0)
            found = select(*(func.sum(each) for each in (c.n, failed, c.cost_nano_usd, c.n_unpriced)))
            found = found.where(c.bucket_at >= since_us, c.bucket_at < until_us)
            found = found.where(*(c[name] == value for name, value in equal.items() if (name, value) != IS_FAILED))
            found = found.where(is_failed) if IS_FAILED in equal.items() else found
            if simulated is not None:
                found = found.where((c.provider == "simulated") == simulated)
            sums = [a + int(b or 0) for a, b in zip(sums, self._database.rows(found)[0], strict=True)]
        return sums[0], sums[1], sums[2], sums[3]

    def spend_nano_usd(self, since_us: int, until_us: int) -> tuple[int, int]:
        """Known real spend in [since, until) and the number of unpriced calls, exact at any microsecond."""
        with self._database.read() as connection:
            cost, _, unpriced = spend(connection, since_us, until_us)
        return cost, unpriced

    def hourly_spend(
        self, since_us: int, until_us: int, covers: Callable[[str, str], bool] | None = None, *, simulated: bool
    ) -> dict[int, int]:
        """Known cost in nano-dollars by hour start, hours of [since, until) with calls only.

        covers: Whether a provider's model counts.
        """
        h = rollups_hour.c
        statement = select(h.bucket_at, func.sum(h.cost_nano_usd)).where(
            _window(rollups_hour, since_us, until_us, simulated, None)
        )
        with self._database.read() as connection:
            if covers is not None:
                pairs = [pair for pair in models_in(connection, since_us, until_us) if covers(*pair)]
                statement = statement.where(tuple_(h.provider, h.model).in_(pairs))
            return {int(at): int(nano) for at, nano in connection.execute(statement.group_by(h.bucket_at))}

    def model_sums(self, since_us: int, until_us: int, *, simulated: bool) -> list[tuple[Any, ...]]:
        """(model, priced calls, input, cached, output tokens, cost, its parts for input and cached input) of a window.

        Both ends must be whole hours. Models without a priced call are left out.
        """
        found: dict[str, list[int]] = {}
        names = ["n", "n_unpriced", "input_tokens", "cached_tokens", "output_tokens", "cost_nano_usd"]
        names += ["input_nano_usd", "cached_nano_usd"]
        with self._database.read() as connection:
            for table, start, end in _spans(since_us, until_us):
                columns = [func.sum(table.c[name]) for name in names]
                statement = select(table.c.model, *columns).where(_window(table, start, end, simulated, None))
                for model, *values in connection.execute(statement.group_by(table.c.model)):
                    sums = found.setdefault(model, [0] * len(names))
                    for at, value in enumerate(values):
                        sums[at] += int(value)
        return [(model, n - missing, *rest) for model, (n, missing, *rest) in found.items() if n > missing]

    def differences(self) -> list[str]:
        """Recompute every rollup from raw rows and sums of deleted ones, and say what differs; empty = they agree."""
        found: list[str] = []
        with self._database.read() as connection:
            columns = [generations.c[name] for name in COLUMNS]
            for table, width_us in TABLES:
                raw = in_batches(connection, select(*columns)).mappings()
                expected = deltas_of((dict(row) for row in raw), width_us)
                for row in deleted.rollups(connection):
                    key = RollupKey(row["bucket_at"] // width_us * width_us, *(row[name] for name in KEY[1:]))
                    expected.setdefault(key, Delta()).join(row)
                for row in connection.execute(select(table)).mappings():
                    key = RollupKey(*(row[name] for name in KEY))
                    if not _agrees(row, expected.pop(key, Delta())):
                        found.append(f"{table.name} {tuple(key)} differs from the raw rows")
                found += [f"{table.name} {tuple(key)} is missing" for key in expected]
        return found


def models_in(connection: Connection, since_us: int, until_us: int) -> list[tuple[str, str]]:
    """(provider, model) of the calls in [since, until), and of those of the hours that these cut."""
    h = rollups_hour.c
    window = and_(h.bucket_at >= since_us // HOUR_US * HOUR_US, h.bucket_at < until_us)
    found = connection.execute(select(h.provider, h.model).where(window).distinct())
    return [(provider, model) for provider, model in found]


def spend(
    connection: Connection,
    since_us: int,
    until_us: int,
    among: Sequence[tuple[str, str]] | None = None,
) -> tuple[int, int, int]:
    """Known real cost in nano-dollars, calls, and unpriced calls in [since, until), exact at any microsecond.

    among: These (provider, model)s only. Whole hours come from rollups; the two cut hours, if
    any, from raw rows.
    """
    first, last = -(-since_us // HOUR_US) * HOUR_US, until_us // HOUR_US * HOUR_US
    g = generations.c
    raw = (g.created_at, func.sum(g.cost_nano_usd), func.count(), func.count() - func.count(g.cost_nano_usd), g)
    if first >= last:
        return _raw_sums(connection, (since_us, until_us), among, raw)
    h = rollups_hour.c
    hours = (h.bucket_at, func.sum(h.cost_nano_usd), func.sum(h.n), func.sum(h.n_unpriced), h)
    parts = [
        _raw_sums(connection, (since_us, first), among, raw),
        _sums(connection, (first, last), among, hours),
        _raw_sums(connection, (last, until_us), among, raw),
    ]
    cost, n, unpriced = (sum(values) for values in zip(*parts, strict=True))
    return cost, n, unpriced


def _raw_sums(
    connection: Connection, span: tuple[int, int], among: Sequence[tuple[str, str]] | None, source: Any
) -> tuple[int, int, int]:
    """The sums of calls on record and of deleted ones."""
    kept = _sums(connection, span, among, source)
    gone = deleted.spent(connection, "all", "", span, among)
    return kept[0] + gone[0], kept[1] + gone[1], kept[2] + gone[2]


def _sums(
    connection: Connection, span: tuple[int, int], among: Sequence[tuple[str, str]] | None, source: Any
) -> tuple[int, int, int]:
    moment, cost, n, unpriced, c = source
    if span[0] >= span[1]:
        return 0, 0, 0
    model = c.request_model if "request_model" in c else c.model
    conditions = [moment >= span[0], moment < span[1], c.provider != "simulated"]
    if among is not None:
        conditions.append(tuple_(c.provider, model).in_(among))
    row = connection.execute(select(cost, n, unpriced).where(*conditions)).one()
    return int(row[0] or 0), int(row[1] or 0), int(row[2] or 0)


def delete_source(connection: Connection, source: str) -> None:
    for table, _ in TABLES:
        connection.execute(delete(table).where(table.c.source == source))


def _agrees(row: Any, delta: Delta) -> bool:
    found = {name: row[name] for name in (*SUMS, *EXTREMES, *HISTOGRAMS)}
    return found == delta.sums | {name[2:]: value for name, value in _merged(_BLANK, delta).items()}


def _to_columns(answered: Sequence[Any], others: Sequence[Any]) -> RollupRows:
    try:
        return _columns(answered, others)
    except UNREADABLE:
        rows = (readable("rollup row", rows, _sound) for rows in (answered, others))
        return _columns(*rows)


def _sound(row: Any) -> Any:
    """The row itself. Raises: one of UNREADABLE."""
    _columns([row], []) if len(row) > len(KEY) + len(COUNTS) else _columns([], [row])
    return row


def _columns(answered: Sequence[Any], others: Sequence[Any]) -> RollupRows:
    first = list(zip(*answered, strict=True)) or [()] * (len(KEY) + len(COUNTS) + len(TIMES))
    second = list(zip(*others, strict=True)) or [()] * (len(KEY) + len(COUNTS))
    n = len(KEY)
    keys = [*zip(*first[:n], strict=True), *zip(*second[:n], strict=True)]
    both = zip(first[n:], second[n:], strict=False)
    times: dict[str, Sequence[Any]] = dict(zip(TIMES, first[n + len(COUNTS) :], strict=True))
    for name, values in times.items():
        histogram.joined(values) if name in HISTOGRAMS else np.array(values, dtype=np.int64)
    for texts in (*first[1:n], *second[1:n]):
        "".join(texts)
    return RollupRows(
        keys=list(map(RollupKey._make, keys)),
        counts={name: np.array(a + b, dtype=np.int64) for name, (a, b) in zip(COUNTS, both, strict=True)},
        n_answered=len(answered),
        times=times,
    )


def _spans(since_us: int, until_us: int) -> list[tuple[Table, int, int]]:
    """Whole days from the day table, the edges from the hour table."""
    first_day, last_day = -(-since_us // DAY_US) * DAY_US, until_us // DAY_US * DAY_US
    if first_day >= last_day:
        return [(rollups_hour, since_us, until_us)]
    return [
        (rollups_hour, since_us, first_day),
        (rollups_day, first_day, last_day),
        (rollups_hour, last_day, until_us),
    ]


def _window(table: Table, since_us: int, until_us: int, simulated: bool, model: str | None) -> Any:
    c = table.c
    window = and_(c.bucket_at >= since_us, c.bucket_at < until_us, (c.provider == "simulated") == simulated)
    return window if model is None else and_(window, c.model == model)
