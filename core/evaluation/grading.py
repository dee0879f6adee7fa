"""The grading of answers by checks, once they are on record and whenever somebody asks again: it costs no call."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from core.background import BackgroundLoop
from core.calls.origin import Origin
from core.checks import grade_call
from core.domain.evaluation.dataset import DatasetRow, can_fail
from core.domain.evaluation.run import CheckScore, EvaluationRun, Plan
from core.domain.generation import Chunk, Generation, Request
from core.domain.message import Message
from core.errors import CapReached
from core.evaluation.answers import Answer, Functions
from core.formats.money import to_nano
from core.storage.engine.writer import Work, Writer
from core.storage.evaluation.cells import Place
from core.storage.evaluation.grades import Graded, GradeStore
from core.storage.evaluation.runs import reserve, spend

if TYPE_CHECKING:
    from core.runs.job import JobTools

REASON_CHARACTERS = 2000


class Embedder:
    """Asks for vectors by the door of all calls, and charges the run."""

    def __init__(self, tools: "JobTools", loop: BackgroundLoop) -> None:
        self._tools = tools
        self._loop = loop

    def vectors(self, run: EvaluationRun, texts: list[str]) -> Sequence[Sequence[float]]:
        """A vector for each text.

        Raises:
            AimmError: It cannot be asked, or not within the run's spending limit.
        """
        key = self._tools.key_of(run.key_id) if run.key_id else None
        origin = Origin(
            source="evaluation", ref_id=run.id, ref_part="checks", ref_name=f"evaluation:{run.plan.name}", key=key,
            key_id=run.key_id, cache_s=0,
        )  # fmt: skip
        messages = tuple(Message("user", text) for text in texts)
        request = Request(model=run.plan.embedding_model, messages=messages, operation="embeddings")
        worst = 0
        if run.plan.limit_usd is not None:
            worst = self._loop.run(self._tools.calls.longest_cost(request, origin))
            if not self._tools.writer.run(partial(reserve, run_id=run.id, worst=worst)):
                raise CapReached("What is left of the spending limit does not pay the vectors.")
        found: list[Sequence[float]] = []

        def hear(chunk: Chunk | None) -> None:
            found.extend(chunk.vectors if chunk is not None else ())

        def record(generation: Generation) -> Work:
            cost = None if generation.cost_usd is None else to_nano(generation.cost_usd)
            return partial(spend, run_id=run.id, worst=worst, cost=cost)

        call = self._tools.calls.submit(request, origin, on_chunk=hear, on_record=record)
        call.answered(call.result())
        return found


class Grader:
    """Runs a plan's checks and writes their results down."""

    def __init__(
        self,
        writer: Writer,
        grades: GradeStore,
        functions: Functions | None = None,
        embedder: Embedder | None = None,
        keeps_text: Callable[[EvaluationRun], bool] = lambda _: True,
    ) -> None:
        """functions: Those that check. embedder: None = likeness cannot be checked.

        keeps_text: Whether answers may be kept, and what checks quote of them.
        """
        self._writer = writer
        self._keeps_text = keeps_text
        self._functions = functions or Functions()
        self.store = grades
        self._embedder = embedder

    def grade_cell(self, run: EvaluationRun, place: Place, row: DatasetRow, answer: Answer) -> None:
        graded = self.graded(run, place, row, answer)
        self._writer.run(lambda connection: self.store.set(connection, run.id, [graded]))

    def graded(self, run: EvaluationRun, place: Place, row: DatasetRow, answer: Answer) -> Graded:
        """The results of all checks of an item: those of the plan, and then the row's own."""
        found, keeps = self._graded(run, place, row, answer), self._keeps_text(run)
        return (
            found if keeps else found._replace(scores=[_without_quotes(score) for score in found.scores], keeps=False)
        )

    def _graded(self, run: EvaluationRun, place: Place, row: DatasetRow, answer: Answer) -> Graded:
        test = test_of(run.plan, row)
        if not test["assert"]:
            return Graded(place, "unchecked", None, ())
        test["assert"] = [self._functions.of_check(run.id, check) for check in test["assert"]]
        grade = grade_call(
            test, answer, values_of(row), embed=self._embed_for(run), allow_python=run.plan.allows_python
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
        if grade.is_error:
            return Graded(place, "error", grade.score, scores)
        if not can_fail(test["assert"], test.get("threshold")):  # it only informs
            return Graded(place, "unchecked", grade.score, scores)
        return Graded(place, "pass" if grade.passed else "fail", grade.score, scores)

    def _embed_for(self, run: EvaluationRun) -> Callable[[list[str]], Sequence[Sequence[float]]] | None:
        return partial(self._embedder.vectors, run) if self._embedder is not None and run.plan.embedding_model else None


def _without_quotes(score: CheckScore) -> CheckScore:
    """The result with a reason that quotes no answer."""
    state = "could not be made" if score.passed is None else "passed" if score.passed else "failed"
    return replace(score, reason=f"{score.type} {state}; why is not kept, as it quotes the answer")


def test_of(plan: Plan, row: DatasetRow) -> dict[str, Any]:
    """The checks of an item, as in a file of tests."""
    threshold = row.threshold if row.threshold is not None else plan.threshold
    test: dict[str, Any] = {"assert": [dict(each) for each in (*plan.checks, *row.checks)]}
    return test if threshold is None else test | {"threshold": threshold}


def values_of(row: DatasetRow) -> Mapping[str, Any]:
    """The variables that checks may refer to: the row's, and what it expects."""
    return row.variables if row.expected is None else {"expected": row.expected} | dict(row.variables)
