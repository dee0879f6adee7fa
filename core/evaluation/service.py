"""Evaluations for their users: started, watched, stopped, resumed, graded anew, blessed."""

import secrets
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from typing import Any

from core import clock
from core.background import BackgroundLoop
from core.calls.origin import Origin
from core.checks import validate
from core.datasets.blocks import Rows
from core.domain.budget import checked_cap
from core.domain.comparison import Candidate
from core.domain.evaluation.dataset import DatasetRow, DatasetVersion
from core.domain.evaluation.prompt import PromptContent, PromptMessage
from core.domain.evaluation.run import (
    MAX_CELLS,
    MAX_CONTESTANTS,
    MAX_REPETITIONS,
    MAX_WIDTH,
    Cell,
    Contestant,
    EvaluationRun,
    Plan,
    Tally,
    placed,
)
from core.domain.generation import Model, Request
from core.domain.key import Key
from core.errors import Conflict, InvalidRequest
from core.evaluation.answers import OWN, Answering, Functions
from core.evaluation.asking import CellAsker, Flows
from core.evaluation.gate import FAILED, check_metrics
from core.evaluation.grading import Embedder, Grader
from core.evaluation.job import EvaluationJob, ReadRows, cell_rows, spans_of
from core.evaluation.requests import CostRange, cost_range, sampled
from core.evaluation.verdicts import VerdictService
from core.formats.blocks import blocks
from core.formats.money import to_nano
from core.keys.rules import check_model, check_owner
from core.pricing.estimate import Estimate
from core.prompts.rendering import variables_of
from core.runs.engine import RunEngine
from core.runs.job import JobTools
from core.storage.engine.database import Connection
from core.storage.evaluation.cells import CellStore
from core.storage.evaluation.grades import GradeStore
from core.storage.evaluation.runs import RunStore
from core.storage.evaluation.shards import ShardStore
from core.storage.people.audit import noted

_HERE = Origin(source="evaluation")
CELLS_A_SHARD, MOST_SHARDS = 400, 32
CELLS_AT_ONCE = 5000
LOOK_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """The parts of the house that evaluations ask.

    dataset: A version of a dataset by its reference. rows: Its rows, from a place on and at most so many.
    resolve: A candidate with the model that is really asked. model: A model by its name. estimate: Of one call.
    resume_quick: Goes on with a quick comparison, by its id, what it may cost from now on, and the caller's key.
    """

    dataset: Callable[[str], DatasetVersion]
    rows: ReadRows
    resolve: Callable[[Candidate], Candidate]
    model: Callable[[str], Model]
    estimate: Callable[[Request], Estimate]
    default_model: Callable[[], str]
    flows: Flows
    resume_quick: Callable[[str, Decimal | None, Key | None], int]


class EvaluationService:
    def __init__(self, tools: JobTools, engine: RunEngine, loop: BackgroundLoop, library: Library) -> None:
        self._tools = tools
        self._writer = tools.writer
        self._engine = engine
        self._library = library
        self._runs = RunStore(tools.database)
        self._cells = CellStore(tools.database)
        self._shards = ShardStore(tools.database)
        self._grades = GradeStore(tools.database)
        self.page = self._runs.page
        self._functions = Functions()
        self._shares = not tools.database.is_sqlite
        grader = Grader(tools.writer, self._grades, self._functions, Embedder(tools, loop), self._keeps_text)
        asker = CellAsker(tools, self._runs, self._cells, grader, self._functions, library.flows, engine.is_closing)
        self.verdicts = VerdictService(tools, self._runs, self._cells, self)
        self.job = EvaluationJob(
            tools,
            loop,
            self._runs,
            self._shards,
            self._cells,
            asker,
            grader,
            library.rows,
            lambda name: library.model(name).provider,
        )

    # Begun and ended

    def start(
        self,
        plan: Plan,
        *,
        origin: Origin = _HERE,
        author: str = "",
        functions: Mapping[str, Answering] | None = None,
    ) -> str:
        """Write down every cell of a run, begin it, and return its id.

        origin: Who asks.
        functions: Those that answer in place of models, by the contestants' `function`.

        Raises:
            InvalidRequest: The plan is no plan, or a check is none. NotFound, ModelNotFound, AuthenticationError,
            Forbidden: a contestant cannot be asked; then nothing is.
        """
        dataset = self._library.dataset(plan.dataset)
        plan = self._pinned(replace(plan, dataset=dataset.ref), dataset, origin)
        n_cells = dataset.n_rows * len(plan.contestants) * plan.repetitions
        if not 0 < n_cells <= MAX_CELLS:
            raise InvalidRequest(f"The run has {n_cells:,} cells; it must have 1 to {MAX_CELLS:,}.")
        models = [each for each in plan.contestants if not each.function]
        simulated = {self._library.model(each.asked).is_simulated for each in models}
        if len(simulated) > 1:
            raise InvalidRequest(
                "Simulated and real models do not stand in one evaluation: what is made up proves nothing."
            )
        first = None if plan.confirms else self._red_before(plan)
        plan = replace(plan, first_try=first.id if first else "")
        run = EvaluationRun(
            id=f"ev_{clock.now_us():x}{secrets.token_hex(4)}",
            plan=plan,
            status="queued",
            created_at=clock.now(),
            n_items=dataset.n_rows,
            n_cells=n_cells,
            source=origin.source,
            key_id=origin.key_id,
            author=author,
            n_try=first.n_try + 1 if first else 1,
            is_simulated=simulated == {True},
        )
        self._begin(run, functions)
        return run.id

    def estimate(self, plan: Plan, *, origin: Origin = _HERE) -> list[CostRange]:
        """The likely cost of a run, by contestant; a model without a price has none.

        Raises:
            As `start`.
        """
        dataset = self._library.dataset(plan.dataset)
        plan = self._pinned(replace(plan, dataset=dataset.ref), dataset, origin)
        rows = Rows(partial(self._rows_of, dataset.ref))
        sample = [rows.get(item) for item in sampled(dataset.n_rows)]
        n_cells = dataset.n_rows * plan.repetitions
        return [cost_range(each, sample, n_cells, self._library.estimate) for each in plan.contestants]

    def stop(self, run_id: str, *, key: Key | None = None) -> None:
        """Begin no more cells; what is being asked is let end, and `resume` goes on.

        Raises:
            NotFound; Conflict: it does not run; Forbidden: the key did not ask for it.
        """
        run = self.of_key(run_id, key)

        def work(connection: Connection) -> bool:
            return self._runs.move(connection, run_id, "stopped", ("queued", "running", "paused"), reason="Stopped.")

        if not self._writer.run(noted(work, "evaluation stopped", run.plan.name, id=run_id)):
            raise Conflict("The evaluation does not run.")

    def resume(
        self, run_id: str, *, limit_usd: Decimal | None = None, errors: bool = True, key: Key | None = None
    ) -> int:
        """Ask the cells that have no answer, and return how many those are; what was answered is never asked again.

        limit_usd: The run's new spending limit, what it has spent included. errors: Ask those that failed too.

        Raises:
            NotFound; Conflict: it runs; Forbidden.
        """
        run = self.of_key(run_id, key)
        if run.plan.quick is not None:
            return self._library.resume_quick(run_id, limit_usd, key)
        limit = run.plan.limit_usd if limit_usd is None else checked_cap(limit_usd)
        plan = replace(run.plan, limit_usd=limit)
        owner = self._engine.owner_of_new()

        def work(connection: Connection) -> tuple[int, list[str]]:
            values = {
                "reason": "",
                "owner": "",
                "ended_at": None,
                "judged": "",
                "limit_nano_usd": None if limit is None else to_nano(limit),
            }
            if not self._runs.move(connection, run_id, "running", ("paused", "stopped", "finished"), **values):
                raise Conflict("The evaluation runs.")
            self._runs.set_plan(connection, run_id, plan)
            self._cells.reopen(connection, run_id, errors=errors)
            counts = self._cells.counts(connection, run_id)
            return counts.get("waiting", 0) + counts.get("running", 0), self._shards.requeue(connection, run_id, owner)

        n_left, shards = self._writer.run(noted(work, "evaluation resumed", run.plan.name, id=run_id))
        for shard in shards:
            self._engine.begin(self.job.kind, shard)
        return int(n_left)

    def wait(self, run_id: str, timeout_s: float = 86_400.0) -> EvaluationRun:
        """The run once it neither runs nor waits to, or as it stands after the time-out."""
        deadline = time.monotonic() + timeout_s
        while (run := self.get(run_id)).is_running and time.monotonic() < deadline:
            time.sleep(LOOK_S)
        return run

    def delete(self, run_id: str) -> None:
        """Remove a run with its cells; its calls stay in the log.

        Raises:
            NotFound; Conflict: it runs, or a baseline points at it.
        """
        run = self.get(run_id)
        if run.is_running:
            raise Conflict("The evaluation runs; stop it first.")
        if named := [each.name for each in self.verdicts.baselines() if each.run_id == run_id]:
            raise Conflict(f"The baseline {named[0]!r} points at this run.")
        remove = partial(self._runs.delete, run_id=run_id)
        self._writer.run(noted(remove, "evaluation deleted", run.plan.name, id=run_id))

    # Read

    def get(self, run_id: str) -> EvaluationRun:
        """Raises: NotFound"""
        return self.job.run(run_id)

    def on_dataset(self, name: str) -> list[str]:
        """The evaluations of any version of a dataset, in words."""
        return [f"the evaluation {each!r}" for each in self._runs.on_dataset(name, demo=True)]

    def tallies(self, run_id: str) -> list[Tally]:
        """The cells of each contestant by outcome."""
        return self._cells.tallies(run_id)

    def cells(self, run_id: str, **which: Any) -> list[Cell]:
        """Cells in order; see CellStore.cells."""
        return self._cells.cells(run_id, **which)

    def rows(self, run: EvaluationRun, items: Sequence[int]) -> dict[int, DatasetRow]:
        """The rows of some items."""
        rows = self.job.rows(run)
        return {item: rows.get(item) for item in items}

    def answers(self, cells: Sequence[Cell]) -> dict[tuple[int, int, int], str]:
        """The texts of answers, by place; those that are not kept are left out."""
        return self.job.answers(cells)

    # Graded anew

    def regrade(
        self, run_id: str, *, checks: Sequence[Mapping[str, Any]] | None = None, threshold: float | None = None
    ) -> EvaluationRun:
        """Run the checks, or others in their place, on the answers that are on record; that asks no model.

        Raises:
            NotFound; Conflict: it runs, or texts of answers are not kept; InvalidRequest: a check is none.
        """
        run = self.get(run_id)
        if run.is_running:
            raise Conflict("The evaluation runs; its checks can be changed once it has ended.")
        if n_lost := self._n_lost(run_id):
            raise Conflict(
                f"The texts of {n_lost:,} answers are not kept: they cannot be graded anew, and keep their grades."
            )
        plan = run.plan if checks is None else replace(run.plan, checks=tuple(checks), threshold=threshold)
        _check_checks(plan, self._columns(plan))

        def work(connection: Connection) -> None:
            self._runs.set_plan(connection, run_id, plan)
            self._runs.set(connection, run_id, judged="")
            self._grades.ungrade(connection, run_id)

        self._writer.run(noted(work, "evaluation graded", run.plan.name, id=run_id))
        self.job.grade(replace(run, plan=plan))
        return self.get(run_id)

    def _columns(self, plan: Plan) -> Iterable[str]:
        return plan.quick.row.variables if plan.quick is not None else self._library.dataset(plan.dataset).columns

    def _keeps_text(self, run: EvaluationRun) -> bool:
        key = self._tools.key_of(run.key_id) if run.key_id else None
        return self._tools.calls.recorder.kept(replace(_HERE, key=key)) == "full"

    def _n_lost(self, run_id: str) -> int:
        """Answers whose texts are not kept."""
        n_lost, after = 0, None
        while cells := self.cells(run_id, after=after, limit=1000):
            after = cells[-1].place
            answered = [cell for cell in cells if cell.state == "answered"]
            n_lost += len(answered) - len(self.answers(answered))
        return n_lost

    # How a run is begun

    def _rows_of(self, ref: str, first: int, limit: int) -> list[DatasetRow]:
        return self._library.rows(ref, start=first, limit=limit)

    def _pinned(self, plan: Plan, dataset: DatasetVersion, origin: Origin) -> Plan:
        """The plan with its contestants as they are asked from now on."""
        if not 1 <= len(plan.contestants) <= MAX_CONTESTANTS:
            raise InvalidRequest(
                f"{len(plan.contestants)} contestants given; an evaluation takes 1 to {MAX_CONTESTANTS}."
            )
        for name, value, most in (
            ("repeat", plan.repetitions, MAX_REPETITIONS),
            ("concurrency", plan.width, MAX_WIDTH),
        ):
            if not 1 <= value <= most:
                raise InvalidRequest(f"{name} == {value}, must be 1 to {most}")
        if plan.limit_usd is not None:
            checked_cap(plan.limit_usd)
        _check_checks(plan, dataset.columns)
        rows = Rows(partial(self._rows_of, dataset.ref))
        check_metrics(plan.gate, plan.checks, (rows.get(item) for item in range(dataset.n_rows)))
        if plan.limit_usd is not None and any(each.workflow for each in plan.contestants):
            raise InvalidRequest(
                "The cost of a workflow is not known before it runs, so no spending limit can be kept."
            )
        asked = [each.model for each in plan.contestants if not each.is_own]
        self._tools.calls.check_models(origin, *asked)
        contestants = placed([self._resolved(each) for each in plan.contestants])
        _check_variables(contestants, dataset.columns)
        return replace(plan, contestants=contestants)

    def _resolved(self, contestant: Contestant) -> Contestant:
        if contestant.function:
            return contestant
        if contestant.workflow:
            return replace(
                contestant, asked=self._library.model(contestant.model or self._library.default_model()).name
            )
        found = self._library.resolve(Candidate(position=0, model=contestant.model, parameters=contestant.parameters))
        content = contestant.content
        if found.system and (content is None or all(message.role != "system" for message in content.messages)):
            turns = content.messages if content is not None else ()
            content = replace(
                content or PromptContent(messages=()), messages=(PromptMessage("system", found.system), *turns)
            )
        return replace(contestant, asked=found.model, parameters=found.parameters, content=content)

    def _begin(self, run: EvaluationRun, functions: Mapping[str, Answering] | None) -> None:
        """Insert the run with its cells, then its shards, and let the engine work on them."""
        n_shards = 1
        if self._shares and not functions and run.n_cells > CELLS_A_SHARD and self._may_share():
            n_shards = min(MOST_SHARDS, run.n_items, -(-run.n_cells // CELLS_A_SHARD))
        spans = spans_of(run.n_items, n_shards)
        insert = partial(self._runs.insert, run=run)
        self._writer.run(noted(insert, "evaluation started", run.plan.name, id=run.id, cells=run.n_cells))
        for rows in blocks(cell_rows(run, self.job.rows(run), spans), CELLS_AT_ONCE):
            self._writer.run(partial(self._cells.insert, rows=rows))
        is_alone = n_shards == 1
        owner, start = (self._engine.token, 1) if is_alone else ("", 0)
        if functions:
            self._functions.add(run.id, functions)
        shards = [
            {
                "id": f"{run.id}/{at}", "run_id": run.id, "first_item": first, "n_items": n, "owner": owner,
                "status": "running" if is_alone else "queued", "n_starts": start, "created_at": clock.now_us(),
            }
            for at, (first, n) in enumerate(spans)
        ]  # fmt: skip

        def begin() -> Sequence[str]:
            def work(connection: Connection) -> None:
                self._shards.insert(connection, shards)
                self._runs.move(connection, run.id, "running", ("queued",))

            self._writer.run(work)
            return self.job.steps(f"{run.id}/0", start)

        if is_alone:
            self._engine.begin_here(self.job.kind, f"{run.id}/0", 1, begin)
            return
        begin()
        for shard in shards[:2]:
            self._engine.begin(self.job.kind, str(shard["id"]))

    def _may_share(self) -> bool:
        """Tell whether the engine takes up what is queued; where another manager of this process does, it does not."""
        try:
            return self._engine.launch()
        except Conflict:
            return False

    def _red_before(self, plan: Plan) -> EvaluationRun | None:
        """The last run of the suite, if it was the same and its gate failed: then this one is another try."""
        before, _ = self._runs.page(1, None, name=plan.name)
        same = [run for run in before if run.judged.get("exit_code") == FAILED and _is_same(run.plan, plan)]
        return same[0] if same else None

    def told_try(self, run: EvaluationRun) -> str:
        """The number of a try, and what it changed of the run that failed; empty = it is the first."""
        if run.n_try == 1:
            return ""
        first = self._runs.get(run.plan.first_try)
        words = f"try {run.n_try} of a run that failed"
        if first is not None and (first.plan.checks, first.plan.threshold) != (run.plan.checks, run.plan.threshold):
            words += ", with other checks"
        if first is not None and first.plan.gate != run.plan.gate:
            words += ", with another gate"
        return words

    def of_key(self, run_id: str, key: Key | None) -> EvaluationRun:
        """A run that this key may change.

        Raises:
            NotFound; Forbidden: it did not ask for the run, or may not ask its models.
        """
        run = self.get(run_id)
        check_owner(key, run.key_id, "evaluation")
        for contestant in run.plan.contestants:
            if contestant.model:
                check_model(key, contestant.model)
        return run


def _is_same(one: Plan, other: Plan) -> bool:
    return one.dataset == other.dataset and [c.identity for c in one.contestants] == [
        c.identity for c in other.contestants
    ]


def _check_variables(contestants: Iterable[Contestant], columns: Collection[str]) -> None:
    """Raises: InvalidRequest: a prompt has a variable that no row fills, before anything is paid."""
    for each in contestants:
        names = () if each.content is None or each.workflow else variables_of(each.content)
        if missing := [name for name in names if name not in columns and name.partition(".")[0] not in columns]:
            there = ", ".join(sorted(columns)) or "none"
            raise InvalidRequest(f"{each.label}: no column is named {', '.join(missing)}; there are {there}.")


def _check_checks(plan: Plan, columns: Iterable[str]) -> None:
    """Raises: InvalidRequest: a check is none, or uses what no row has, before anything is paid."""
    own = [check for check in plan.checks if str(check.get("value", "")).startswith(OWN)]
    checks = [check for check in plan.checks if check not in own]
    test, columns = {"assert": checks, "threshold": plan.threshold}, {*columns, "expected"}
    given = {"allow_python": plan.allows_python, "has_judge": False, "has_embeddings": bool(plan.embedding_model)}
    if problems := validate(test, columns, **given):
        told = "; ".join(f"checks{each.removeprefix('assert')}" for each in problems[:5])
        raise InvalidRequest(f"The checks cannot be made: {told}")
