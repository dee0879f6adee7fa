"""Calls and their texts deleted, a few in a transaction: what sums need of them is added where it is taken away."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    bindparam,
    delete,
    func,
    literal_column,
    or_,
    select,
    union_all,
    update,
)

from core.clock import DAY_US, HOUR_US
from core.domain.log.retention import ALL, Sweep
from core.formats import strict_json as json
from core.storage.batches.schema import batches
from core.storage.calls import rollups
from core.storage.engine.bulk import as_value, insert_many, is_among, is_one_of
from core.storage.engine.prepared import Prepared
from core.storage.engine.records import upsert
from core.storage.evaluation.schema import evaluations
from core.storage.experiments.schema import experiment_runs, experiments
from core.storage.experiments.sums import lock
from core.storage.gateway.schema import feedback
from core.storage.money import spend_by
from core.storage.money.ledger import lock_ledger
from core.storage.retention.schema import deleted_rollups, deleted_spend, experiment_calls
from core.storage.schema import budgets, call_tags, generation_bodies, generations, workflow_runs

QUARTER_US = HOUR_US // 4
# Budgets read a month in any time zone; longer ones, which roll, in whole hours of UTC.
BY_QUARTERS_US = 33 * DAY_US
_TEXTS: dict[str, None] = dict.fromkeys(
    ("messages", "system", "text", "thinking", "tools", "tool_calls", "search_text")
)
_OF_EXPERIMENT = tuple(c.name for c in experiment_calls.c if c.name != "generation_id")
g, b = generations.c, generation_bodies.c
NEWEST = select(func.max(g.created_at))
HAS_TEXTS = or_(b.messages.is_not(None), b.text.is_not(None), b.search_text.is_not(None))

Place = tuple[int, str]
Row = dict[str, Any]


class Deleted(NamedTuple):
    """The number of calls that a step has dealt with, and the moment of the newest of them (µs)."""

    n: int = 0
    newest_us: int = 0


def found(sweep: Sweep, after: Place, limit: int) -> Select[Any]:
    """The selection of the moment and the id of the next calls of a sweep, the oldest first."""
    at: Any = g.created_at
    start: Any = generations
    where: list[Any] = []
    kind, _, name = sweep.scope.partition(":")
    if kind == "tag":
        at, start = call_tags.c.created_at, call_tags.join(generations, call_tags.c.generation_id == g.id)
        where.append(call_tags.c.tag == name)
    elif kind == "key":
        where += [g.key_id != "", g.key_id == name]
    if sweep.part == "texts":
        start = start.join(generation_bodies, b.generation_id == g.id)
        where.append(HAS_TEXTS)
    where += [at >= after[0], at < sweep.before_us, or_(at > after[0], g.id > after[1]), *_may_go(sweep)]
    return select(at.label("at"), g.id).select_from(start).where(*where).order_by(at, g.id).limit(limit)


def _may_go(sweep: Sweep) -> list[ColumnElement[bool]]:
    """The conditions of the sweep on a call's own row. The demo's made-up calls go with the demo."""
    conditions: list[ColumnElement[bool]] = [g.source != _value("demo")]
    if sweep.scope == ALL:
        conditions += [~_is_of(scope) for scope in sweep.but]
    return conditions


def _is_of(scope: str) -> ColumnElement[bool]:
    kind, _, name = scope.partition(":")
    return g.key_id == name if kind == "key" else g.tags.contains(f",{name},", autoescape=True)


def _held(_: str) -> Any:
    w, e, x, r = workflow_runs.c, evaluations.c, batches.c, experiment_runs.c
    return union_all(
        select(w.id).where(w.status.in_(_values("queued", "running"))),
        select(w.id).where(w.status == _value("cancelled"), w.is_paused == literal_column("1")),
        select(e.id).where(e.status.in_(_values("queued", "running", "paused"))),
        select(x.id).where(x.status != _value("ended")),
        select(r.run_id).where(r.status.is_(None)),
    )


def _values(*texts: str) -> list[Any]:
    return [_value(each) for each in texts]


def _value(text: str) -> Any:
    """Of our own words, which need no quoting: a prepared statement names the others."""
    return literal_column(f"'{text}'")


_HELD = Prepared(_held)


def held(connection: Connection) -> list[str]:
    """Runs and batches that are not over: they may go on, and need the calls that they have made."""
    return [row[0] for row in _HELD.run(connection, {})]


class _Chosen(NamedTuple):
    id: str
    created_at: int
    error_message: str
    ref_part: str | None


@lru_cache(maxsize=64)
def _choice(scope: str, but: tuple[str, ...]) -> Prepared:
    """The selection of those calls of a sweep that may still go."""

    def build(dialect: str) -> Any:
        is_free = or_(g.ref_id.is_(None), ~is_among(dialect, g.ref_id, bindparam("held")))
        where = [is_among(dialect, g.id, bindparam("ids")), is_free, *_may_go(Sweep(scope, "calls", 0, but))]
        return select(*(g[name] for name in _Chosen._fields)).where(*where)

    return Prepared(build)


def _chosen(connection: Connection, ids: Sequence[str], sweep: Sweep) -> list[_Chosen]:
    """Those of the calls that may still go: some may have been changed, and runs begun, since they were found."""
    dialect = connection.dialect.name
    values = {"ids": as_value(dialect, ids), "held": as_value(dialect, held(connection))}
    return [_Chosen(*row) for row in _choice(sweep.scope, sweep.but).run(connection, values)]


def clear_texts(connection: Connection, ids: Sequence[str], sweep: Sweep) -> Deleted:
    """Leave of calls what a server that keeps no texts would have written down."""
    chosen = _chosen(connection, ids, sweep)
    if not chosen:
        return Deleted()
    clear_texts_of(connection, [row.id for row in chosen], [row.id for row in chosen if row.error_message])
    return Deleted(len(chosen), max(row.created_at for row in chosen))


def clear_texts_of(connection: Connection, ids: Sequence[str], failed: Sequence[str]) -> None:
    """failed: Those with an error's text, in which vendors quote prompts."""
    mine = is_one_of(connection, b.generation_id, ids)
    connection.execute(update(generation_bodies).where(mine).values(**_TEXTS))
    has_schema = b.parameters.contains("json_schema")
    for id_, text in connection.execute(select(b.generation_id, b.parameters).where(mine, has_schema)).all():
        connection.execute(
            update(generation_bodies).where(b.generation_id == id_).values(parameters=_without_schema(text))
        )
    if failed:
        connection.execute(update(generations).where(is_one_of(connection, g.id, failed)).values(error_message=""))
    f = feedback.c
    of_them = is_one_of(connection, f.generation_id, ids), f.text.is_not(None)
    connection.execute(delete(feedback).where(*of_them, f.thumb.is_(None), f.rating.is_(None)))
    connection.execute(update(feedback).where(*of_them).values(text=None))


def _without_schema(text: str) -> str:
    try:
        return json.dumps({name: value for name, value in json.loads(text).items() if name != "json_schema"})
    except (ValueError, TypeError, AttributeError):  # damaged: what cannot be read cannot be cleaned
        return "{}"


def _those(of: Any, *columns: Any) -> Prepared:
    """The deletion of the rows whose column is one of `ids`. columns: What it gives of them."""

    def build(dialect: str) -> Any:
        gone = delete(of.table).where(is_among(dialect, of, bindparam("ids")))
        return gone.returning(*columns) if columns else gone

    return Prepared(build)


_NAMES = tuple(
    name for name in dict.fromkeys((*rollups.COLUMNS, *spend_by.COLUMNS, "id", *_OF_EXPERIMENT)) if name in g
)
_DELETE_BODIES, _DELETE_FEEDBACK = _those(b.generation_id), _those(feedback.c.generation_id)
_DELETE_CALLS = _those(g.id, *(g[name] for name in _NAMES))
_DELETE_TAGS = Prepared(
    lambda _: delete(call_tags).where(*(column == bindparam(f"of_{column.name}") for column in call_tags.c))
)
_ADD_SPEND = Prepared(lambda dialect: upsert(dialect, deleted_spend, adds=True))


def delete_calls(connection: Connection, ids: Sequence[str], sweep: Sweep, now_us: int) -> Deleted:
    """Delete calls with all that goes with them, and add them to the sums of the deleted."""
    lock_ledger(connection)  # a ledger that is written anew meanwhile would count them twice, or not at all
    chosen = _chosen(connection, ids, sweep)
    if not chosen:
        return Deleted()
    if any(_is_of_experiment(row.ref_part) for row in chosen):
        lock(connection)
    values = {"ids": as_value(connection.dialect.name, [row.id for row in chosen])}
    for statement in (_DELETE_BODIES, _DELETE_FEEDBACK):
        statement.run(connection, values)
    rows = [dict(zip(_NAMES, row, strict=True)) for row in _DELETE_CALLS.run(connection, values)]
    tags = [
        {"of_tag": tag, "of_created_at": row["created_at"], "of_generation_id": row["id"]}
        for row in rows
        for tag in set(row["tags"].split(",")) - {""}
    ]
    _DELETE_TAGS.run_many(connection, tags)
    rollups.apply(connection, deleted_rollups, rollups.deltas_of(rows, HOUR_US))
    fine = fineness(connection)
    sums = sorted(spend_by.sums_of(rows, lambda row: _keys_of(row, now_us, fine)).items())
    names = spend_by.KEY + spend_by.SUMS
    _ADD_SPEND.run_many(connection, [dict(zip(names, (*key, *added), strict=True)) for key, added in sums])
    _keep_for_experiments(connection, rows)
    return Deleted(len(rows), max(row["created_at"] for row in rows))


def _long_budgets(_: str) -> Any:
    rolling_hours = budgets.c.rolling_hours
    return select(budgets.c.id).where(rolling_hours > literal_column(str(BY_QUARTERS_US // HOUR_US - 24))).limit(1)


_LONG_BUDGETS = Prepared(_long_budgets)


def fineness(connection: Connection) -> int:
    """The time over which old calls are summed: hours where a budget rolls over more than a month, else days."""
    return HOUR_US if _LONG_BUDGETS.run(connection, {}) else DAY_US


def _keys_of(row: Any, now_us: int, fine_us: int) -> list[tuple[Any, ...]]:
    width_us = QUARTER_US if now_us - row["created_at"] < BY_QUARTERS_US else fine_us
    bucket_us = row["created_at"] // width_us * width_us
    of_all = (bucket_us, "all", "", row["request_model"], row["provider"])
    return [of_all, *((bucket_us, *key[1:]) for key in spend_by.keys_of(row))]


def coarsen(connection: Connection, now_us: int, limit: int = 200) -> int:
    """Sum up what is older than any budget asks for so finely; the number of rows that were taken together."""
    s, width_us = deleted_spend.c, fineness(connection)
    old = s.bucket_at < now_us - BY_QUARTERS_US - DAY_US, s.bucket_at % width_us != 0
    found = select(deleted_spend).where(*old).order_by(s.bucket_at).limit(limit)
    rows = [dict(row) for row in connection.execute(found).mappings()]
    for row in rows:
        connection.execute(delete(deleted_spend).filter_by(**{name: row[name] for name in spend_by.KEY}))
    _ADD_SPEND.run_many(connection, [row | {"bucket_at": row["bucket_at"] // width_us * width_us} for row in rows])
    return len(rows)


def _keep_for_experiments(connection: Connection, rows: Sequence[Row]) -> None:
    mine = [row for row in rows if _is_of_experiment(row["ref_part"])]
    if not mine:
        return
    wanted = is_one_of(connection, experiments.c.id, (row["ref_id"] for row in mine))
    known = set(connection.execute(select(experiments.c.id).where(wanted)).scalars())
    kept = [
        {"generation_id": row["id"], **{name: row[name] for name in _OF_EXPERIMENT}}
        for row in mine
        if row["ref_id"] in known
    ]
    insert_many(connection, experiment_calls, kept)


def _is_of_experiment(ref_part: str | None) -> bool:
    return (ref_part or "").startswith(("a_", "shadow:"))
