"""The cells of evaluations: written before the first call, claimed, answered in the transaction of their call."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, case, func, or_, select, tuple_, update

from core.domain.evaluation.run import Cell, CheckScore, Outcome, Tally, outcome_of
from core.formats import strict_json as json
from core.formats.money import from_nano
from core.storage.engine.bulk import insert_many, is_one_of
from core.storage.engine.damaged import readable
from core.storage.engine.database import Database
from core.storage.engine.records import from_row
from core.storage.evaluation.runs import spend
from core.storage.evaluation.schema import evaluation_cells, evaluation_shards, evaluations

_c, _e, _s = evaluation_cells.c, evaluations.c, evaluation_shards.c

Place = tuple[int, int, int]  # item, contestant, repetition


class Claim(NamedTuple):
    """Cells that a shard wants to ask, each with what it may cost, in nano-dollars."""

    run_id: str
    shard_id: str
    start: int
    now_us: int
    wanted: Sequence[tuple[Place, int]]


class Claimed(NamedTuple):
    """The run's status, and the cells that may be asked now.

    is_short: Of what is left of the limit, the next cell cannot be paid. is_idle: nothing is being asked either.
    """

    status: str
    places: Sequence[Place] = ()
    is_short: bool = False
    is_idle: bool = False


class Waiting(NamedTuple):
    """A cell that is still to be asked. n_tries: How often it was. begun: The run of a workflow that answers it."""

    place: Place
    n_tries: int
    begun: str


class Lost(NamedTuple):
    """A cell that an earlier start asked and did not end."""

    place: Place
    row_id: str
    start: int
    asked_at: int
    worst: int
    generation_id: str


class CellStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    def waiting(self, shard_id: str, run_id: str, contestants: Sequence[int], limit: int) -> list[Waiting]:
        """Cells that are still to be asked, in order."""
        statement = (
            select(_c.item, _c.contestant, _c.repetition, _c.n_tries, _c.generation_id)
            .where(_c.run_id == run_id, _c.state == "waiting", _c.contestant.in_(contestants), _c.shard_id == shard_id)
            .order_by(_c.item, _c.repetition, _c.contestant)
            .limit(limit)
        )
        return [Waiting((row[0], row[1], row[2]), row[3], row[4]) for row in self._database.rows(statement)]

    def lost(self, shard_id: str, run_id: str, start: int) -> list[Lost]:
        statement = select(
            _c.item, _c.contestant, _c.repetition, _c.row_id, _c.start, _c.asked_at, _c.worst_nano_usd, _c.generation_id
        ).where(_c.run_id == run_id, _c.shard_id == shard_id, _c.state == "running", _c.start < start)
        return [Lost((row[0], row[1], row[2]), *row[3:]) for row in self._database.rows(statement)]

    def to_reuse(self, run_id: str, shard_id: str, after: Place | None, limit: int) -> list[tuple[Place, str]]:
        """Cells of a shard that wait, behind a place, each with its work."""
        statement = select(_c.item, _c.contestant, _c.repetition, _c.work).where(
            _c.run_id == run_id, _c.shard_id == shard_id, _c.state == "waiting", _c.work != ""
        )
        if after is not None:
            statement = statement.where(_behind(after))
        rows = self._database.rows(statement.order_by(_c.item, _c.contestant, _c.repetition).limit(limit))
        return [((row[0], row[1], row[2]), row[3]) for row in rows]

    def identical(self, works: Iterable[str], since_us: int) -> dict[str, Any]:
        """Answered cells that are the same work, by it; the newest of each."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(evaluation_cells)
                .where(
                    is_one_of(connection, _c.work, works), _c.state == "answered", _c.answered_at >= since_us,
                    _c.generation_id != "",
                )
                .order_by(_c.answered_at)
            ).all()  # fmt: skip
        return {row.work: row for row in rows}

    def tallies(self, run_id: str) -> list[Tally]:
        """The cells of each contestant by outcome."""
        is_new = _c.is_reused == 0
        sums = (
            func.count(), func.sum(_c.cost_nano_usd), func.count(_c.cost_nano_usd), func.sum(_c.is_reused),
            func.sum(case((is_new, _c.latency_us))), func.count(case((is_new, _c.latency_us))),
        )  # fmt: skip
        key = (_c.contestant, _c.state, _c.grade)
        rows = self._database.rows(select(*key, *sums).where(_c.run_id == run_id).group_by(*key))
        return [_tally(at, [row for row in rows if row[0] == at]) for at in sorted({row[0] for row in rows})]

    def cells(
        self,
        run_id: str,
        *,
        items: Sequence[int] | None = None,
        contestant: int | None = None,
        outcome: Outcome | None = None,
        after: Place | None = None,
        limit: int | None = None,
    ) -> list[Cell]:
        """Cells in order. items: Of these alone. after: Behind this place."""
        statement = select(evaluation_cells).where(_c.run_id == run_id)
        if items is not None:
            statement = statement.where(_c.item.in_(items))
        if contestant is not None:
            statement = statement.where(_c.contestant == contestant)
        if outcome is not None:
            statement = statement.where(_is(outcome))
        if after is not None:
            statement = statement.where(_behind(after))
        statement = statement.order_by(_c.item, _c.contestant, _c.repetition)
        return readable("cell", self._database.rows(statement if limit is None else statement.limit(limit)), to_cell)

    # In transactions

    @staticmethod
    def insert(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        insert_many(connection, evaluation_cells, rows)

    @staticmethod
    def claim(connection: Connection, claim: Claim) -> Claimed:
        """Let a shard ask as many of the wanted cells as the run's limit still pays at worst."""
        wanted = select(_e.status, _e.limit_nano_usd, _e.spent_nano_usd, _e.reserved_nano_usd)
        run = connection.execute(wanted.where(_e.id == claim.run_id).with_for_update()).one_or_none()
        mine = select(_s.id).where(_s.id == claim.shard_id, _s.n_starts == claim.start, _s.status == "running")
        if run is None or connection.execute(mine).scalar() is None:
            return Claimed("")
        status, limit, spent, reserved = run
        if status != "running":
            return Claimed(status)
        taken, before, is_short = list[Place](), reserved, False
        for place, worst in claim.wanted:
            is_short = limit is not None and spent + reserved + worst > limit
            if is_short:
                break
            values = {"state": "running", "start": claim.start, "asked_at": claim.now_us, "worst_nano_usd": worst}
            if connection.execute(
                update(evaluation_cells).where(*at_place(claim.run_id, place, "waiting")).values(**values)
            ).rowcount:
                taken.append(place)
                reserved += worst
        if reserved != before:
            connection.execute(update(evaluations).where(_e.id == claim.run_id).values(reserved_nano_usd=reserved))
        return Claimed(status, taken, is_short=is_short, is_idle=not reserved)

    @staticmethod
    def end(  # noqa: PLR0913 - a call's outcome
        connection: Connection,
        run_id: str,
        place: Place,
        start: int,
        *,
        worst: int,
        cost: int | None = None,
        is_asked: bool = True,
        **values: Any,
    ) -> bool:
        """Say what became of a cell that is asked in this start, and charge the run. is_asked: A vendor was."""
        mine = (*at_place(run_id, place, "running"), _c.start == start)
        if not connection.execute(update(evaluation_cells).where(*mine).values(worst_nano_usd=0, **values)).rowcount:
            return False
        spend(connection, run_id, worst=worst, cost=cost, is_asked=is_asked)
        return True

    @staticmethod
    def begin_workflow(connection: Connection, run_id: str, place: Place, workflow_run: str) -> None:
        """Note the run of a workflow that answers a cell, so that whoever takes the cell up waits for that one."""
        statement = update(evaluation_cells).where(*at_place(run_id, place, "running"))
        connection.execute(statement.values(generation_id=workflow_run))

    @staticmethod
    def fill(connection: Connection, run_id: str, place: Place, **values: Any) -> bool:
        """Give a waiting cell the answer of an identical one."""
        statement = update(evaluation_cells).where(*at_place(run_id, place, "waiting")).values(**values)
        return connection.execute(statement).rowcount > 0

    @staticmethod
    def skip(connection: Connection, run_id: str, contestants: Sequence[int], error_class: str, error: str) -> int:
        """Leave out what of these contestants still waits; how many cells those were."""
        left = (_c.run_id == run_id, _c.state == "waiting", _c.contestant.in_(contestants))
        values = {"state": "skipped", "error_class": error_class, "error": error}
        return connection.execute(update(evaluation_cells).where(*left).values(**values)).rowcount

    @staticmethod
    def reopen(connection: Connection, run_id: str, *, errors: bool) -> int:
        """Let cells wait again that were left out and, if asked for, those that failed; how many."""
        states = ("skipped", "error") if errors else ("skipped",)
        values = {"state": "waiting", "error": "", "error_class": "", "n_tries": 0, "generation_id": ""}
        left = (_c.run_id == run_id, _c.state.in_(states))
        return connection.execute(update(evaluation_cells).where(*left).values(**values)).rowcount

    @staticmethod
    def is_left(connection: Connection, run_id: str, shard_id: str) -> bool:
        """Tell whether a run that goes on has cells in a shard that are still to be asked."""
        runs = select(_e.id).where(_e.id == run_id, _e.status == "running")
        left = select(_c.item).where(_c.run_id.in_(runs), _c.state == "waiting", _c.shard_id == shard_id)
        return connection.execute(left.limit(1)).first() is not None

    @staticmethod
    def counts(connection: Connection, run_id: str) -> dict[str, int]:
        """State -> cells."""
        rows = connection.execute(select(_c.state, func.count()).where(_c.run_id == run_id).group_by(_c.state))
        return {state: int(n) for state, n in rows}


def _is(outcome: Outcome) -> ColumnElement[bool]:
    """See `outcome_of`."""
    if outcome == "error":
        return or_(_c.state == "error", _c.grade == "error")
    if outcome == "not_run":
        return and_(_c.state != "error", or_(_c.state != "answered", _c.grade == ""))
    return and_(_c.state == "answered", _c.grade == outcome)


def _behind(place: Place) -> ColumnElement[bool]:
    behind: ColumnElement[bool] = tuple_(_c.item, _c.contestant, _c.repetition) > tuple_(*place)
    return behind


def at_place(run_id: str, place: Place, state: str) -> tuple[ColumnElement[bool], ...]:
    item, contestant, repetition = place
    return (
        _c.run_id == run_id, _c.item == item, _c.contestant == contestant, _c.repetition == repetition,
        _c.state == state,
    )  # fmt: skip


def _tally(contestant: int, rows: Sequence[Any]) -> Tally:
    outcomes: dict[Outcome, int] = {}
    for _, state, grade, n, *_ in rows:
        outcome = outcome_of(state, grade)
        outcomes[outcome] = outcomes.get(outcome, 0) + n
    nano, n_cost, n_reused, us, n_us = (sum(int(row[at] or 0) for row in rows) for at in range(4, 9))
    return Tally(
        contestant=contestant,
        outcomes=outcomes,
        cost_usd=from_nano(nano),
        n_cost=n_cost,
        latency_s=us / n_us / 1e6 if n_us else None,
        n_reused=n_reused,
    )


def to_cell(row: Any) -> Cell:
    scores = tuple(CheckScore(**each) for each in json.loads(row.scores)) if row.scores else ()
    latency = None if row.latency_us is None else row.latency_us / 1e6
    return from_row(Cell, row, scores=scores, latency_s=latency)
