"""The grading of answers by checks, once they are on record and whenever somebody asks again: it costs no call."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from core import checks
from core.domain.evaluation.dataset import DatasetRow
from core.domain.evaluation.run import CheckScore, EvaluationRun, Plan
from core.evaluation.functions import Functions
from core.evaluation.outcome import Answer
from core.storage.engine.writer import Writer
from core.storage.evaluation.cells import Place
from core.storage.evaluation.grades import Graded, GradeStore

REASON_CHARACTERS = 2000


Embed = Callable[[list[str]], Sequence[Sequence[float]]]


class Grader:
    """Runs a plan's checks and writes their results down."""

    def __init__(
        self, writer: Writer, grades: GradeStore, functions: Functions | None = None, embed: Embed | None = None
    ) -> None:
        """functions: Those that check. embed: Gives vectors for texts; None = likeness cannot be checked."""
        self._writer = writer
        self._functions = functions or Functions()
        self.store = grades
        self._embed = embed

    def grade_cell(self, run: EvaluationRun, place: Place, row: DatasetRow, answer: Answer) -> None:
        graded = self.graded(run, place, row, answer)
        self._writer.run(lambda connection: self.store.set(connection, run.id, [graded]))

    def graded(self, run: EvaluationRun, place: Place, row: DatasetRow, answer: Answer) -> Graded:
        """The results of all checks of an item: those of the plan, and then the row's own."""
        test = test_of(run.plan, row)
        if not test["assert"]:
            return Graded(place, "unchecked", None, ())
        test["assert"] = [self._functions.of_check(run.id, check) for check in test["assert"]]
        grade = checks.grade(
            test,
            answer.text,
            values_of(row),
            latency_ms=None if answer.latency_s is None else answer.latency_s * 1000,
            cost_usd=None if answer.cost_usd is None else float(answer.cost_usd),
            finish_reason=answer.finish_reason or None,
            tool_calls=[{"name": each.name, "arguments": each.arguments} for each in answer.tool_calls],
            embed=self._embed,
            allow_python=run.plan.allows_python,
        )
        scores = tuple(
            CheckScore(
                type=each.type or "assert-set",
                passed=None if each.is_error else each.passed,
                score=each.score,
                reason=each.reason[:REASON_CHARACTERS],
                metric=each.metric,
                weight=each.weight,
            )
            for each in grade.components
        )
        return Graded(place, "error" if grade.is_error else "pass" if grade.passed else "fail", grade.score, scores)


def test_of(plan: Plan, row: DatasetRow) -> dict[str, Any]:
    """The checks of an item, as in a file of tests."""
    threshold = row.threshold if row.threshold is not None else plan.threshold
    test: dict[str, Any] = {"assert": [dict(each) for each in (*plan.checks, *row.checks)]}
    return test if threshold is None else test | {"threshold": threshold}


def values_of(row: DatasetRow) -> Mapping[str, Any]:
    """The variables that checks may refer to: the row's, and what it expects."""
    return row.variables if row.expected is None else {"expected": row.expected} | dict(row.variables)
