"""The cells of a run read for its figures: only the columns that those need, and sums of items made in the database."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Double, case, cast, func, select

from core.domain.evaluation.run import MEASURED, OVERALL, Cell, CheckScore, Reading
from core.formats import strict_json as json
from core.formats.money import from_nano
from core.storage.engine.database import Database
from core.storage.evaluation.schema import evaluation_cells

_c = evaluation_cells.c
_OUTCOME: ColumnElement[Any] = case(  # as `outcome_of` says
    (_c.state == "error", "error"), ((_c.state == "answered") & (_c.grade != ""), _c.grade), else_="not_run"
)


class Spread(NamedTuple):
    """Sums over the items of one contestant, each the mean of its repetitions; costs in nano-dollars.

    n, rates, rates_squared: Of the pass rate. n_cost, costs, costs_squared: Of the cost, where it is known.
    """

    contestant: int
    n: int
    rates: float
    rates_squared: float
    n_cost: int
    costs: float
    costs_squared: float


class ReadingStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    def cells(self, run_id: str, contestants: Sequence[int], metric: str = OVERALL) -> list[Cell] | list[Reading]:
        """Cells by item with what a metric reads of them, and no texts: of ten thousand items they are many."""
        place: list[ColumnElement[Any]] = [_c.item, _c.contestant, _c.repetition, _c.row_id]
        columns = [*place, _c.state, _c.grade]
        if metric == OVERALL:
            columns = [*place, _OUTCOME]
        elif metric in MEASURED:
            columns += [_c.is_reused, _c.cost_nano_usd, _c.latency_us]
        else:
            columns.append(_c.scores)
        statement = select(*columns).where(_c.run_id == run_id, _c.contestant.in_(contestants))
        rows = self._database.rows(statement.order_by(_c.item, _c.contestant, _c.repetition))
        if metric == OVERALL:
            return [Reading._make(row) for row in rows]
        return [
            Cell(
                item=item, contestant=contestant, repetition=repetition, row_id=row_id, state=state, grade=grade,
                **_more(more),
            )
            for item, contestant, repetition, row_id, state, grade, *more in rows
        ]  # fmt: skip

    def spreads(self, run_id: str) -> list[Spread]:
        """Of each contestant with an answer."""
        passed = case((_c.grade == "pass", 1.0), (_c.grade == "fail", 0.0))
        of_item = (
            select(_c.contestant, func.avg(passed).label("p"), func.avg(cast(_c.cost_nano_usd, Double)).label("usd"))
            .where(_c.run_id == run_id, _c.state == "answered")
            .group_by(_c.contestant, _c.item)
            .subquery()
        )
        p, usd = cast(of_item.c.p, Double), cast(of_item.c.usd, Double)
        sums = (func.count(p), func.sum(p), func.sum(p * p), func.count(usd), func.sum(usd), func.sum(usd * usd))
        statement = select(of_item.c.contestant, *sums).group_by(of_item.c.contestant).order_by(of_item.c.contestant)
        return [Spread(row[0], *(value or 0 for value in row[1:])) for row in self._database.rows(statement)]


def _more(columns: Sequence[Any]) -> dict[str, Any]:
    """The fields of a cell that a metric of its own needs."""
    if len(columns) == 1:
        scores = json.loads(columns[0]) if columns[0] else ()
        return {"scores": tuple(CheckScore(**each) for each in scores)}
    is_reused, cost, us = columns
    return {
        "is_reused": bool(is_reused),
        "cost_usd": None if cost is None else from_nano(cost),
        "latency_s": None if us is None else us / 1e6,
    }
