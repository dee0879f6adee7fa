"""Spend per day by tag, user, key, team, workflow, experiment and deployment: what the rollups by model do not hold."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, func, select

from core.clock import DAY_US
from core.storage.engine.database import Store, in_batches
from core.storage.engine.prepared import Prepared
from core.storage.engine.records import upsert
from core.storage.retention import deleted
from core.storage.schema import generations
from core.storage.schema import spend_by as table

DIMENSIONS = ("tag", "user", "key", "team", "workflow", "experiment", "deployment")
KEY = tuple(table.primary_key.columns.keys())
# What of a generation row is needed here.
COLUMNS = (
    "created_at", "request_model", "provider", "status", "input_tokens", "output_tokens", "cost_nano_usd",
    "user_id", "key_id", "team", "tags", "ref_name", "deployment",
)  # fmt: skip

Row = Any  # a mapping: a row to insert, or one that was read


class SpendBy(NamedTuple):
    """The sums of the calls of one value of a dimension. cost_nano_usd: the known part."""

    value: str
    n: int
    n_ok: int
    input_tokens: int
    output_tokens: int
    cost_nano_usd: int
    n_unpriced: int


SUMS = SpendBy._fields[1:]


def _values(row: Row) -> list[tuple[str, str]]:
    found = [("tag", tag) for tag in row["tags"].split(",") if tag]
    if row["user_id"]:
        found.append(("user", row["user_id"]))
    if row["key_id"]:
        found.append(("key", row["key_id"]))
    if row["team"]:
        found.append(("team", row["team"]))
    if row["deployment"]:
        found.append(("deployment", row["deployment"]))
    if row["ref_name"]:
        kind, _, name = row["ref_name"].partition(":")
        found.append((kind, name))
    return found


def keys_of(row: Row) -> list[tuple[Any, ...]]:
    """The rows of this table that a call is in, by KEY."""
    day = row["created_at"] // DAY_US * DAY_US
    return [(day, dimension, value, row["request_model"], row["provider"]) for dimension, value in _values(row)]


def sums_of(
    rows: Iterable[Row], keys: Callable[[Row], Iterable[tuple[Any, ...]]] = keys_of
) -> dict[tuple[Any, ...], list[int]]:
    """Key -> sums, in the order of SUMS. keys: The keys that a call is summed under."""
    sums: dict[tuple[Any, ...], list[int]] = {}
    for row in rows:
        cost = row["cost_nano_usd"]
        added = (1, int(row["status"] == "ok"), row["input_tokens"], row["output_tokens"], cost or 0, int(cost is None))
        for key in keys(row):
            _add(sums, key, added)
    return sums


def _add(sums: dict[tuple[Any, ...], list[int]], key: tuple[Any, ...], added: Sequence[int]) -> None:
    old = sums.get(key)
    sums[key] = list(added) if old is None else [a + b for a, b in zip(old, added, strict=True)]


def _recomputed(connection: Connection) -> dict[tuple[Any, ...], list[int]]:
    """The sums by the calls on record and what is kept of the deleted ones."""
    sums = sums_of(_raw(connection))
    for key, added in deleted.spend_by_day(connection):
        _add(sums, key, added)
    return sums


_ADD = Prepared(lambda dialect: upsert(dialect, table, adds=True))


def add_rows(connection: Connection, rows: Iterable[Row]) -> None:
    """Add freshly logged generation rows, inside the caller's transaction."""
    _add_sums(connection, sums_of(rows))


def _add_sums(connection: Connection, found: dict[tuple[Any, ...], list[int]]) -> None:
    # In one order in every process: two writers on PostgreSQL would otherwise lock rows crosswise.
    values = [dict(zip(KEY + SUMS, (*key, *sums), strict=True)) for key, sums in sorted(found.items())]
    _ADD.run_many(connection, values)


def rebuild(connection: Connection) -> None:
    """Write the table anew from the generations and what is kept of the deleted ones."""
    found = _recomputed(connection)
    connection.execute(delete(table))
    _add_sums(connection, found)


def _raw(connection: Connection) -> Any:
    """All calls on record, with what is needed here."""
    return in_batches(connection, select(*(generations.c[name] for name in COLUMNS))).mappings()


class SpendByStore(Store):
    def read(
        self, dimension: str, since_us: int, until_us: int, *, simulated: bool, model: str | None = None
    ) -> list[SpendBy]:
        """Days that begin in [since, until), the most expensive value first. model: Of this one alone."""
        of, c = _days(dimension, since_us, until_us, simulated=simulated, model=model), table.c
        sums = select(c.value, *_SUMMED).where(*of).group_by(c.value)
        statement = sums.order_by(func.sum(c.cost_nano_usd).desc(), c.value).limit(1000)
        return [_to_sums(row) for row in self._database.rows(statement)]

    def models(
        self, dimension: str, value: str, since_us: int, until_us: int, *, simulated: bool | None = False
    ) -> dict[str, SpendBy]:
        """Spend of one value by model, over the days that begin in [since, until). simulated: None = both kinds."""
        of, c = _days(dimension, since_us, until_us, simulated=simulated), table.c
        statement = select(c.model, *_SUMMED).where(*of, c.value == value).group_by(c.model)
        return {row.model: _to_sums(row) for row in self._database.rows(statement)}

    def daily(self, dimension: str, value: str, since_us: int, until_us: int) -> dict[int, int]:
        """Real spend in nano-dollars of one value by day start."""
        of, c = _days(dimension, since_us, until_us), table.c
        sums = select(c.bucket_at, func.sum(c.cost_nano_usd)).where(*of, c.value == value).group_by(c.bucket_at)
        return {int(at): int(nano) for at, nano in self._database.rows(sums)}

    def courses(
        self, dimension: str, values: Sequence[str], since_us: int, until_us: int, *, simulated: bool, model: str | None
    ) -> list[tuple[str, int, int]]:
        """Of each value and day: its start, and the known cost in nano-dollars."""
        of, c = _days(dimension, since_us, until_us, simulated=simulated, model=model), table.c
        sums = select(c.value, c.bucket_at, func.sum(c.cost_nano_usd)).where(*of, c.value.in_(values))
        return [(row[0], int(row[1]), int(row[2])) for row in self._database.rows(sums.group_by(c.value, c.bucket_at))]

    def differences(self) -> list[str]:
        """Recompute from raw rows and say what differs; empty = nothing."""
        with self._database.read() as connection:
            expected = _recomputed(connection)
            rows = connection.execute(select(table)).all()
        found = {tuple(row[: len(KEY)]): list(row[len(KEY) :]) for row in rows}
        wrong = [key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key)]
        return [f"spend_by {key} differs from the raw rows" for key in sorted(wrong, key=str)]


_SUMMED = [func.sum(table.c[name]) for name in SUMS]


def _to_sums(row: Any) -> SpendBy:
    return SpendBy(row[0], *map(int, row[1:]))


def _days(
    dimension: str, since_us: int, until_us: int, *, simulated: bool | None = False, model: str | None = None
) -> tuple[Any, ...]:
    """The rows of a dimension on the days that begin in [since, until)."""
    c = table.c
    is_kind = () if simulated is None else ((c.provider == "simulated") == simulated,)
    is_model = () if model is None else (c.model == model,)
    return c.dimension == dimension, c.bucket_at >= since_us, c.bucket_at < until_us, *is_kind, *is_model
