"""The results of checks on the answers of evaluations."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import NamedTuple

from sqlalchemy import Connection, select, update

from core.domain.evaluation.run import Cell, CheckScore, Grading
from core.formats import strict_json as json
from core.storage.engine.database import Database
from core.storage.evaluation.cells import Place, at_place, to_cell
from core.storage.evaluation.schema import evaluation_cells

_c = evaluation_cells.c


class Graded(NamedTuple):
    """The results of the checks on a cell's answer. keeps: Whether an answer that stands in the cell itself stays."""

    place: Place
    grade: Grading
    score: float | None
    scores: Sequence[CheckScore]
    keeps: bool = True


class GradeStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    def ungraded(self, run_id: str, limit: int, *, shard_id: str = "") -> list[Cell]:
        """Answered cells whose checks have not run. shard_id: Of this one alone."""
        statement = select(evaluation_cells).where(_c.run_id == run_id, _c.state == "answered", _c.grade == "")
        if shard_id:
            statement = statement.where(_c.shard_id == shard_id)
        return [to_cell(row) for row in self._database.rows(statement.order_by(_c.item).limit(limit))]

    @staticmethod
    def set(connection: Connection, run_id: str, grades: Sequence[Graded]) -> None:
        for graded in grades:
            values = {"scores": _scores_to_json(graded.scores), "grade": graded.grade, "score": graded.score}
            values |= {} if graded.keeps else {"output": None}
            connection.execute(
                update(evaluation_cells).where(*at_place(run_id, graded.place, "answered")).values(**values)
            )

    @staticmethod
    def ask_again(connection: Connection, run_id: str, cells: Sequence[Cell], why: str) -> None:
        """Let answered cells wait again whose texts are gone before the checks ran; what they cost stays charged."""
        for cell in cells:
            values = {"state": "waiting", "n_tries": cell.n_tries + 1, "error": why}
            values |= {"generation_id": "", "cost_nano_usd": None, "latency_us": None, "is_reused": 0}
            statement = update(evaluation_cells).where(*at_place(run_id, cell.place, "answered"), _c.grade == "")
            connection.execute(statement.values(**values))

    @staticmethod
    def ungrade(connection: Connection, run_id: str) -> None:
        """Let the checks run again on every answer."""
        statement = update(evaluation_cells).where(_c.run_id == run_id, _c.state == "answered")
        connection.execute(statement.values(grade="", scores="", score=None))


def _scores_to_json(scores: Sequence[CheckScore]) -> str:
    return json.dumps([asdict(score) for score in scores]) if scores else ""
