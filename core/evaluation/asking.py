"""The asking of a run's cells: some at a time for each vendor, each on the one path of all calls.

An answer that was paid for and its cell cannot part: both are one transaction. What a vendor does not take just now is
asked again; the checks run afterwards, and cost no call.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from typing import Any, Literal, Protocol

from core import clock
from core.calls.call import Call
from core.calls.origin import Origin
from core.datasets.blocks import Rows
from core.domain.evaluation.dataset import DatasetRow
from core.domain.evaluation.run import Contestant, EvaluationRun
from core.domain.generation import Generation, Request
from core.domain.key import Key
from core.errors import (
    AimmError,
    AuthenticationError,
    BudgetExceeded,
    Conflict,
    DatabaseUnavailable,
    Forbidden,
    ModelNotFound,
)
from core.evaluation.answers import Answer, Functions, answer_of, outcome_of
from core.evaluation.grading import Grader
from core.evaluation.requests import request_of
from core.formats import strict_json as json
from core.formats.money import from_nano, to_nano
from core.keys.rules import problem_of
from core.runs.job import Closing, JobTools
from core.runs.pace import Pace, wants_pause
from core.storage.engine.database import Connection
from core.storage.engine.writer import Work
from core.storage.evaluation.cells import CellStore, Claim, Claimed, Lost, Place
from core.storage.evaluation.runs import RunStore
from core.storage.evaluation.shards import Shard

LOOK_S = 0.5  # how soon it is seen that a run was stopped
TAG = "evaluation"
HERE, FLOWS = "function", "workflow"  # the lanes of functions of the caller's own, and of workflows
MAX_THREADS = 64  # that functions of the caller's own run in


@dataclass(slots=True)
class Lane:
    """The contestants of one vendor, which share its pace."""

    vendor: str
    contestants: list[int]
    pace: Pace
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def n_free(self, now: float) -> int:
        return max(0, int(self.pace.width) - len(self.tasks)) if now >= self.pace.until else 0


@dataclass(slots=True)
class Shift:
    """One taking-up of a shard. key: Of the run's caller, as it stands. functions: Those of contestants."""

    run: EvaluationRun
    shard: Shard
    lanes: list[Lane]
    rows: Rows
    key: Key | None = None

    @property
    def start(self) -> int:
        return self.shard.n_starts

    def contestant(self, place: Place) -> Contestant:
        return self.run.plan.contestants[place[1]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A cell that can be asked.

    request: None = a function or a workflow answers. begun: The run of a workflow that was begun before.
    worst: What it may cost, in nano-dollars.
    """

    place: Place
    row: DatasetRow
    request: Request | None
    n_tries: int = 0
    begun: str = ""
    worst: int = 0


class Flows(Protocol):
    """The part of workflows that evaluations need."""

    def begin(self, contestant: Contestant, row: DatasetRow, origin: Origin) -> str:
        """Begin a run for a row; its id."""

    def look(self, run_id: str) -> tuple[str, float, Decimal | None] | None:
        """(output, seconds, cost) of a run; None = it goes on. Raises: AimmError: It failed."""


class CellAsker:
    """Asks the cells of evaluation runs, on the core's loop."""

    def __init__(  # noqa: PLR0913 - who answers, and what is kept of it
        self,
        tools: JobTools,
        runs: RunStore,
        cells: CellStore,
        grader: Grader,
        functions: Functions,
        flows: "Flows",
        is_closing: threading.Event,
    ) -> None:
        """is_closing: Set when the process goes down."""
        self._flows = flows
        self._threads = ThreadPoolExecutor(MAX_THREADS, "aimm-function")
        self._tools = tools
        self._writer = tools.writer
        self._runs = runs
        self._cells = cells
        self._grader = grader
        self._functions = functions
        self._is_closing = is_closing
        self._paces: dict[str, Pace] = {}  # of this process: its runs share what a vendor takes

    def lanes(self, run: EvaluationRun, vendor_of: Callable[[str], str]) -> list[Lane]:
        """The contestants of a run by who answers."""
        found: dict[str, list[int]] = {}
        for each in run.plan.contestants:
            vendor = HERE if each.function else FLOWS if each.workflow else vendor_of(each.asked or each.model)
            found.setdefault(vendor, []).append(each.position)
        width = run.plan.width
        paces = {vendor: self._paces.setdefault(vendor, Pace(width, width)) for vendor in found}
        for pace in paces.values():
            pace.most = width
            pace.width = min(pace.width, width) if pace.n_refused else width
        return [Lane(vendor, contestants, paces[vendor]) for vendor, contestants in found.items()]

    async def ask(self, shift: Shift) -> None:
        """Ask what waits, until nothing does or the run is stopped.

        Raises:
            Closing
        """
        try:
            while True:
                if self._is_closing.is_set():
                    raise Closing
                states = [await self._begin(shift, lane) for lane in shift.lanes]
                if "stopped" in states or ("short" in states and await self._pause(shift.run.id, _short(shift.run))):
                    return
                if (why := _given_up(shift, states)) and await self._pause(shift.run.id, why):
                    return
                if not await self._wait(shift) and all(state == "over" for state in states):
                    return
        finally:
            tasks = _tasks(shift)
            if tasks and not self._is_closing.is_set():  # what was begun is paid for, so it is let end
                await asyncio.wait(tasks)

    async def _wait(self, shift: Shift) -> bool:
        """Wait for an answer, or for a vendor to take more; False = there is nothing to wait for."""
        now, tasks = asyncio.get_running_loop().time(), _tasks(shift)
        pauses = [lane.pace.until - now for lane in shift.lanes if lane.pace.until > now]
        wait_s = min([LOOK_S, *pauses])
        if not tasks:
            await asyncio.sleep(wait_s if pauses else 0)
            return bool(pauses)
        done, _ = await asyncio.wait(tasks, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        for lane in shift.lanes:
            lane.tasks -= done
        for task in done:
            task.result()  # the database cannot be used: then all of it is taken up anew
        return True

    # What is asked next

    async def _begin(self, shift: Shift, lane: Lane) -> Literal["busy", "over", "short", "stopped"]:
        """Begin as many cells of a vendor as it takes now."""
        loop = asyncio.get_running_loop()
        n_free = lane.n_free(loop.time())
        if not n_free:
            return "busy"
        ready = await asyncio.to_thread(self._ready, shift, lane, n_free)
        if shift.run.plan.limit_usd is not None:
            ready = [each for each in [await self._quoted(shift, each) for each in ready] if each is not None]
        claimed = await self._claimed(shift, ready)
        if claimed.status != "running":
            return "stopped"
        taken = set(claimed.places)
        lane.tasks |= {loop.create_task(self._cell(shift, lane, each)) for each in ready if each.place in taken}
        if claimed.is_short and claimed.is_idle:
            return "short"
        return "busy" if ready or lane.tasks else "over"

    def _ready(self, shift: Shift, lane: Lane, limit: int) -> list[Ready]:
        """Cells that wait, with their requests; those that cannot be asked at all are ended."""
        while True:
            shift.key = self._tools.key_of(shift.run.key_id) if shift.run.key_id else None
            waiting = self._cells.waiting(shift.shard.id, shift.run.id, lane.contestants, limit)
            found = [each for each in (self._prepared(shift, *cell) for cell in waiting) if each is not None]
            if found or not waiting:
                return found

    def _prepared(self, shift: Shift, place: Place, n_tries: int, begun: str) -> Ready | None:
        contestant = shift.contestant(place)
        try:
            if problem := problem_of(shift.run.key_id, shift.key, clock.now()):
                raise Conflict(problem)
            row = shift.rows.get(place[0])
            request = None if contestant.is_own else request_of(contestant, row)
        except AimmError as error:
            self._end_unasked(shift, place, error)
            return None
        return Ready(place=place, row=row, request=request, n_tries=n_tries, begun=begun)

    async def _quoted(self, shift: Shift, ready: Ready) -> Ready | None:
        """The cell with the most that it may cost."""
        if ready.request is None:
            return ready
        try:
            worst = await self._tools.calls.longest_cost(ready.request, self._origin(shift, ready))
        except AimmError as error:
            await asyncio.to_thread(self._end_unasked, shift, ready.place, error)
            return None
        return replace(ready, worst=worst)

    async def _claimed(self, shift: Shift, ready: Sequence[Ready]) -> Claimed:
        """Others see at once that these are asked; a power cut may undo it, and then they are asked again."""
        wanted = [(each.place, each.worst) for each in ready]
        claim = Claim(shift.run.id, shift.shard.id, shift.start, clock.now_us(), wanted)
        found: Claimed = await asyncio.wrap_future(self._writer.decide_together(self._claim_all, claim))
        return found

    def _claim_all(self, connection: Connection, claims: Sequence[Any]) -> list[Claimed]:
        return [self._cells.claim(connection, claim) for claim in claims]

    # A cell

    async def _cell(self, shift: Shift, lane: Lane, ready: Ready) -> None:
        """Ask one cell, write down what came of it, and grade it."""
        if lane.vendor == FLOWS:
            answer = await self._by_workflow(shift, ready)
        elif ready.request is None:
            answer = await asyncio.get_running_loop().run_in_executor(self._threads, self._by_function, shift, ready)
        else:
            answer = await self._by_call(shift, lane, ready, ready.request)
        if answer is not None:
            await asyncio.to_thread(self._grader.grade_cell, shift.run, ready.place, ready.row, answer)

    async def _by_call(self, shift: Shift, lane: Lane, ready: Ready, request: Request) -> Answer | None:
        handle: Future[Call] = Future()
        record = self._recorder(shift, ready, handle)
        try:
            call = await self._tools.calls.asubmit(request, self._origin(shift, ready), on_record=record)
        except AimmError as error:
            handle.cancel()
            await asyncio.to_thread(self._failed, shift, ready, error)
            return None
        handle.set_result(call)
        await asyncio.wait([asyncio.wrap_future(call.done)])
        unrecorded = call.done.exception()
        if unrecorded is not None and not isinstance(unrecorded, AimmError):
            raise unrecorded
        failed = unrecorded or call.cause
        is_pressed = failed is not None and wants_pause(failed)
        await self._heard(shift, lane, failed if is_pressed else None)
        if isinstance(unrecorded, DatabaseUnavailable):
            raise unrecorded
        if unrecorded is not None and (is_pressed or call.is_cancelled):  # nobody was asked
            await asyncio.wrap_future(self._writer.submit(self._ending(shift, ready, state="waiting")))
        elif unrecorded is not None:
            await asyncio.to_thread(self._failed, shift, ready, unrecorded)
        elif failed is not None:
            await asyncio.to_thread(self._halt, shift, lane, ready.place, failed)
        return answer_of(call.result(0)) if unrecorded is None and call.result(0).status == "ok" else None

    def _by_function(self, shift: Shift, ready: Ready) -> Answer | None:
        """The answer of a function of the caller's own."""
        try:
            answer = self._functions.answer(shift.run.id, shift.contestant(ready.place), ready.row)
        except AimmError as error:
            self._failed(shift, ready, error)
            return None
        self._answered(shift, ready, answer)
        return answer

    async def _by_workflow(self, shift: Shift, ready: Ready) -> Answer | None:
        """The output of a workflow's run, which goes on by itself whatever becomes of this process."""
        contestant = shift.contestant(ready.place)
        try:
            run_id = ready.begun
            if not run_id:
                run_id = await asyncio.to_thread(self._flows.begin, contestant, ready.row, self._origin(shift, ready))
                note = partial(self._cells.begin_workflow, run_id=shift.run.id, place=ready.place, workflow_run=run_id)
                await asyncio.wrap_future(self._writer.submit(note))
            while (found := await asyncio.to_thread(self._flows.look, run_id)) is None:
                if self._is_closing.is_set():
                    return None
                await asyncio.sleep(LOOK_S)
        except AimmError as error:
            await asyncio.to_thread(self._failed, shift, ready, error)
            return None
        answer = Answer(*found)
        await asyncio.to_thread(self._answered, shift, ready, answer)
        return answer

    def _answered(self, shift: Shift, ready: Ready, answer: Answer) -> None:
        """Write down an answer that no call of ours has."""
        values: dict[str, Any] = {
            "state": "answered", "output": answer.text, "latency_us": round((answer.latency_s or 0.0) * 1e6),
            "answered_at": clock.now_us(),
        }  # fmt: skip
        if answer.cost_usd is not None:
            values["cost"] = values["cost_nano_usd"] = to_nano(answer.cost_usd)
        self._writer.run(self._ending(shift, ready, **values))

    def _recorder(self, shift: Shift, ready: Ready, handle: "Future[Call]") -> Callable[[Generation], Work]:
        def record(generation: Generation) -> Work:
            def work(connection: Connection) -> None:
                values = outcome_of(generation, handle.result(timeout=10).cause, ready.n_tries)
                cost = None if generation.cost_usd is None else to_nano(generation.cost_usd)
                self._cells.end(
                    connection, shift.run.id, ready.place, shift.start, worst=ready.worst, cost=cost,
                    is_asked=bool(generation.n_attempts), **values,
                )  # fmt: skip

            return work

        return record

    async def _heard(self, shift: Shift, lane: Lane, error: AimmError | None) -> None:
        """Keep the pace, and let those who watch the run know of a pause."""
        lane.pace.heard(error, asyncio.get_running_loop().time())
        if error is not None:
            until_us = clock.now_us() + round((lane.pace.until - asyncio.get_running_loop().time()) * 1e6)
            why = getattr(error, "quota", "") or error.message
            told = {lane.vendor: {"until_us": until_us, "why": str(why)[:300]}}
            await asyncio.wrap_future(
                self._writer.submit(lambda link: self._runs.set(link, shift.run.id, waiting=json.dumps(told)))
            )

    # What ends without an answer

    def _failed(self, shift: Shift, ready: Ready, error: AimmError) -> None:
        """End a claimed cell that nobody was asked."""
        self._writer.run(self._ending(shift, ready, **_error(error)))
        self._halt(shift, None, ready.place, error)

    def _ending(self, shift: Shift, ready: Ready, **values: Any) -> Work:
        """The work that says what became of a claimed cell for which no vendor was asked."""
        place: dict[str, Any] = {"run_id": shift.run.id, "place": ready.place, "start": shift.start}
        return partial(self._cells.end, **place, worst=ready.worst, is_asked=False, **values)

    def _end_unasked(self, shift: Shift, place: Place, error: AimmError) -> None:
        """End a waiting cell that cannot be asked."""
        self._writer.run(partial(self._cells.fill, run_id=shift.run.id, place=place, **_error(error)))
        self._halt(shift, None, place, error)

    def _halt(self, shift: Shift, lane: Lane | None, place: Place, error: AimmError) -> None:
        """Ask no more where every other cell would fail alike; it is told, and a resume asks them."""
        run_id, mine = shift.run.id, [place[1]]
        if isinstance(error, BudgetExceeded) and error.code == BudgetExceeded.code:
            self._pause_now(run_id, error.text)
        elif isinstance(error, AuthenticationError | Forbidden | ModelNotFound | Conflict):
            if isinstance(error, AuthenticationError):
                mine = next((each.contestants for each in shift.lanes if place[1] in each.contestants), mine)
            words = f"Not asked: {error.message}"
            self._writer.run(lambda link: self._cells.skip(link, run_id, mine, error.code, words[:1000]))

    async def _pause(self, run_id: str, reason: str) -> bool:
        return await asyncio.to_thread(self._pause_now, run_id, reason)

    def _pause_now(self, run_id: str, reason: str) -> bool:
        return bool(self._writer.run(lambda link: self._runs.move(link, run_id, "paused", ("running",), reason=reason)))

    # What another process left

    def take_over(self, shift: Shift) -> None:
        """Put calls on record that ended with their process; their cells wait again."""
        for lost in self._cells.lost(shift.shard.id, shift.run.id, shift.start):
            ready = self._prepared_lost(shift, lost)
            if ready is None or ready.request is None:
                self._writer.run(
                    partial(
                        self._cells.end,
                        run_id=shift.run.id,
                        place=lost.place,
                        start=lost.start,
                        worst=lost.worst,
                        is_asked=False,
                        state="waiting",
                    )
                )
                continue

            def record(generation: Generation, lost: Lost = lost) -> Work:
                cost = None if generation.cost_usd is None else to_nano(generation.cost_usd)
                return partial(
                    self._cells.end,
                    run_id=shift.run.id,
                    place=lost.place,
                    start=lost.start,
                    worst=lost.worst,
                    cost=cost,
                    state="waiting",
                )

            origin = replace(self._origin(shift, ready), cap_usd=None)
            self._tools.calls.record_lost(ready.request, origin, clock.from_us(lost.asked_at), record)

    def _prepared_lost(self, shift: Shift, lost: Lost) -> Ready | None:
        try:
            row, contestant = shift.rows.get(lost.place[0]), shift.contestant(lost.place)
            return Ready(place=lost.place, row=row, request=None if contestant.is_own else request_of(contestant, row))
        except AimmError:
            return None

    def _origin(self, shift: Shift, ready: Ready) -> Origin:
        run = shift.run
        return Origin(
            source="evaluation",
            ref_id=run.id,
            ref_part=".".join(map(str, ready.place)),
            ref_name=f"evaluation:{run.plan.name}",
            tags=(TAG,),
            prompt_version=shift.contestant(ready.place).prompt,
            key=shift.key,
            key_id=run.key_id,
            cap_usd=from_nano(ready.worst) if ready.worst else None,
            cache_s=0,
        )


def _tasks(shift: Shift) -> set[asyncio.Task[None]]:
    return {task for lane in shift.lanes for task in lane.tasks}


def _given_up(shift: Shift, states: Sequence[str]) -> str:
    """The reason to pause where nobody that is left to ask answers; empty = somebody may."""
    now = asyncio.get_running_loop().time()
    left = [lane for lane, state in zip(shift.lanes, states, strict=True) if state != "over"]
    if not left or not all(lane.pace.is_given_up(now, shift.run.plan.give_up_s) for lane in left):
        return ""
    names = ", ".join(lane.vendor for lane in left)
    return f"{names} answered nothing for {shift.run.plan.give_up_s / 60:g} minutes, or will not: resume later."


def _short(run: EvaluationRun) -> str:
    return (
        f"What is left of the spending limit of ${run.plan.limit_usd:f} does not pay the next answer at its longest."
        " Resume with a higher limit, or set max_tokens lower."
    )


def _error(error: AimmError) -> dict[str, Any]:
    return {"state": "error", "error_class": error.code, "error": error.text[:1000]}
