"""Evaluations as a kind of run. The engine works on shards, spans of a run's items; processes share them."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, Protocol

from core import clock
from core.background import BackgroundLoop
from core.datasets.blocks import Rows
from core.domain.evaluation.dataset import DatasetRow
from core.domain.evaluation.run import Cell, CheckScore, Contestant, EvaluationRun
from core.errors import DamagedRecord, NotFound
from core.evaluation.answers import MAX_TRIES, Answer, answer_of
from core.evaluation.asking import CellAsker, Shift
from core.evaluation.grading import Grader
from core.runs.job import JobTools
from core.storage.calls.generations import GenerationStore
from core.storage.engine.database import Connection
from core.storage.evaluation.cells import CellStore, Place
from core.storage.evaluation.grades import Graded
from core.storage.evaluation.runs import RunStore
from core.storage.evaluation.shards import ShardStore
from core.storage.runs import Unfinished

AT_ONCE = 2  # shards that one process works on
BLOCK = 200


class ReadRows(Protocol):
    """Gives rows of a dataset in their order."""

    def __call__(self, ref: str, *, start: int, limit: int) -> list[DatasetRow]: ...


class EvaluationJob:
    kind = "evaluation"

    def __init__(  # noqa: PLR0913 - what a run is made of
        self,
        tools: JobTools,
        loop: BackgroundLoop,
        runs: RunStore,
        shards: ShardStore,
        cells: CellStore,
        asker: CellAsker,
        grader: Grader,
        read_rows: ReadRows,
        vendor_of: Callable[[str], str],
    ) -> None:
        """vendor_of: A model's vendor."""
        self._writer = tools.writer
        self._loop = loop
        self._runs = runs
        self._shards = shards
        self._cells = cells
        self._asker = asker
        self._grader = grader
        self._read_rows = read_rows
        self._vendor_of = vendor_of
        self._generations = GenerationStore(tools.database)

    # The engine's questions; what it calls a run is a shard here

    def unfinished(self) -> list[Unfinished]:
        return self._shards.unfinished()

    def claim(self, run_id: str, owner: str) -> int | None:
        shard = self._shards.get(run_id)
        if shard is None or self._shards.n_of(owner) >= AT_ONCE:
            return None
        try:
            self.run(shard.run_id)
        except DamagedRecord:  # it would be looked at again and again
            self._move_shard(run_id, "ended", ("queued",), owner="")
            return None
        start = shard.n_starts + 1
        return start if self._move_shard(run_id, "running", ("queued",), n_starts=start, owner=owner) else None

    def requeue(self, run_id: str, start: int) -> None:
        self._move_shard(run_id, "queued", ("running",), start=start, owner="")

    def steps(self, run_id: str, start: int) -> Sequence[str]:
        shard = self._shards.get(run_id)
        return ("reuse", "ask", "grade") if shard is not None and shard.n_starts == start else ()

    def do_step(self, run_id: str, start: int, step: str) -> bool:
        shard = self._shards.get(run_id)
        if shard is None or shard.n_starts != start:
            return False
        run = self.run(shard.run_id)
        if step == "grade":
            self.grade(run, shard.id)
            return True
        shift = Shift(run, shard, self._asker.lanes(run, self._vendor_of), self.rows(run))
        if step == "reuse":
            self._asker.take_over(shift)
            self.grade(run, shard.id)  # what was answered and not graded when the process before ended
            if run.plan.max_age_s:
                self._reuse(run, shard.id)
            return True
        self._loop.run(self._asker.ask(shift))
        return True

    def settle(self, run_id: str, start: int, error: str = "") -> None:
        """End a shard, and with the last one the run."""
        shard = self._shards.get(run_id)
        if shard is None:
            return

        def work(connection: Connection) -> None:
            if not self._shards.move(connection, run_id, "ended", ("running",), start=start, owner=""):
                return
            if error:
                self._runs.move(connection, shard.run_id, "stopped", ("running",), reason=error)
            elif self._cells.is_left(connection, shard.run_id, run_id):  # it was stopped and resumed meanwhile
                self._shards.move(connection, run_id, "queued", ("ended",))
            if self._shards.n_left(connection, shard.run_id):
                return
            now, counts = clock.now_us(), self._cells.counts(connection, shard.run_id)
            values: dict[str, Any] = {"ended_at": now, "waiting": "{}", "reason": _missing(counts)}
            self._runs.move(connection, shard.run_id, "finished", ("running",), **values)

        self._writer.run(work)

    # The service's side

    def run(self, run_id: str) -> EvaluationRun:
        found = self._runs.get(run_id)
        if found is None:
            raise NotFound(f"There is no evaluation {run_id[:60]!r}.")
        return found

    def rows(self, run: EvaluationRun) -> Rows:
        if (quick := run.plan.quick) is not None:
            return Rows(lambda first, limit: [quick.row])
        return Rows(lambda first, limit: self._read_rows(run.plan.dataset, start=first, limit=limit))

    def grade(self, run: EvaluationRun, shard_id: str = "") -> None:
        """Run the checks on the answers that have none yet, from what is on record.

        An answer whose text is not kept, and whose process ended before its checks ran, is asked again and marked.
        """
        rows, store = self.rows(run), self._grader.store
        while found := store.ungraded(run.id, BLOCK, shard_id=shard_id):
            answers = self._answers(found)
            gone = [cell for cell in found if cell.place not in answers]
            again = [cell for cell in gone if cell.n_tries + 1 < MAX_TRIES]
            grades = [
                self._grader.graded(run, cell.place, rows.get(cell.item), answers[cell.place])
                for cell in found
                if cell.place in answers
            ] + [Graded(cell.place, "error", None, _GONE) for cell in gone if cell not in again]
            self._writer.run(partial(store.set, run_id=run.id, grades=grades))
            self._writer.run(partial(store.ask_again, run_id=run.id, cells=again, why=_ASKED_AGAIN))

    def answers(self, cells: Sequence[Cell]) -> dict[Place, str]:
        """The texts of answers that are kept, by place."""
        return {place: answer.text for place, answer in self._answers(cells).items()}

    def _answers(self, cells: Sequence[Cell]) -> dict[Place, Answer]:
        """The answers of cells that are kept: a function's with its cell, a model's with its call."""
        calls = {each.id: answer_of(each) for each in self._generations.with_texts([c.generation_id for c in cells])}
        own = {c.place: Answer(c.output, c.latency_s, c.cost_usd) for c in cells if c.output is not None}
        return {c.place: calls[c.generation_id] for c in cells if c.generation_id in calls} | own

    def _reuse(self, run: EvaluationRun, shard_id: str) -> None:
        """Take over the answers of identical cells that are not too old, and whose texts are kept for the checks."""
        since_us = clock.now_us() - run.plan.max_age_s * 1_000_000
        after = None
        while block := self._cells.to_reuse(run.id, shard_id, after, BLOCK):
            after = block[-1][0]
            identical = self._cells.identical([work for _, work in block], since_us)
            kept = {each.id for each in self._generations.with_texts([i.generation_id for i in identical.values()])}
            found = {work: row for work, row in identical.items() if row.generation_id in kept}
            fits = [(place, found[work]) for place, work in block if work in found]

            def work(connection: Connection, fits: Any = fits) -> None:
                for place, row in fits:
                    self._cells.fill(connection, run.id, place, **_taken_over(row))

            self._writer.run(work)

    def _move_shard(self, shard_id: str, to: str, came_from: tuple[str, ...], **values: Any) -> bool:
        return bool(self._writer.run(lambda link: self._shards.move(link, shard_id, to, came_from, **values)))


_ASKED_AGAIN = "Asked again: the process of the first answer ended before its checks ran, and its text is not kept."
_GONE = (CheckScore(type="", passed=None, score=0.0, reason="The text of the answer is not kept."),)


def _taken_over(row: Any) -> dict[str, Any]:
    names = ("generation_id", "cost_nano_usd", "latency_us", "finish_reason", "answered_at")
    return {name: getattr(row, name) for name in names} | {"state": "answered", "is_reused": 1}


def _missing(counts: dict[str, int]) -> str:
    """The cells without an answer of a finished run, in words; empty = there are none."""
    n_skipped, n_errors = counts.get("skipped", 0) + counts.get("waiting", 0), counts.get("error", 0)
    parts = []
    if n_skipped:
        parts.append(f"{n_skipped:,} {'cells were' if n_skipped > 1 else 'cell was'} not run")
    if n_errors:
        parts.append(f"{n_errors:,} failed")
    return f"{' and '.join(parts)}." if parts else ""


def cell_rows(run: EvaluationRun, rows: Rows, spans: Sequence[tuple[int, int]]) -> Iterator[dict[str, Any]]:
    """The cells of a new run, those of each span in a shard of their own."""
    for at, (first, n) in enumerate(spans):
        for item in range(first, first + n):
            row_id = rows.get(item).id
            for contestant in run.plan.contestants:
                for repetition in range(run.plan.repetitions):
                    yield {
                        "run_id": run.id, "item": item, "contestant": contestant.position,
                        "repetition": repetition, "row_id": row_id, "shard_id": f"{run.id}/{at}",
                        "work": "" if contestant.is_own else _work_of(contestant, row_id, repetition),
                    }  # fmt: skip


def _work_of(contestant: Contestant, row_id: str, repetition: int) -> str:
    """The same for cells whose answers may stand for each other."""
    return hashlib.sha256(f"{contestant.identity}|{row_id}|{repetition}".encode()).hexdigest()[:32]


def spans_of(n: int, n_parts: int) -> list[tuple[int, int]]:
    """(first, how many) of parts that are nearly equal."""
    bounds = [n * at // n_parts for at in range(n_parts + 1)]
    return [(first, last - first) for first, last in pairwise(bounds)]
