"""The asking of a batch's lines: some at a time, each on the one path of all calls, its result recorded with its call.

What was paid for and its line cannot part: both are one transaction. A line whose vendor wants a pause is asked again.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from core import clock
from core.batches.lines import (
    AskedLine,
    Round,
    Validation,
    body_of,
    origin_of,
    outcome,
    result_line,
    unasked_line,
)
from core.budgets.holds import Wanted
from core.calls.call import Call
from core.domain.batches.batch import Batch, BatchLine
from core.domain.generation import Generation
from core.domain.key import Key
from core.errors import (
    AimmError,
    Conflict,
    DatabaseUnavailable,
    Forbidden,
    ModelNotFound,
)
from core.keys.rules import problem_of
from core.runs.job import Closing, JobTools
from core.runs.pace import Pace, wants_pause
from core.storage.batches.batches import BatchStore
from core.storage.batches.files import FileStore
from core.storage.engine.database import Connection
from core.storage.engine.writer import Work
from core.storage.money.ledger import add_to_hold

TOGETHER_BYTES = 8 * 1024 * 1024  # of lines that are read at once
LOOK_S = 0.5  # how soon a cancellation is seen
MAX_TRIES = 3  # of a line whose vendor fails, each with the attempts of any call
MAX_WAITS = 50  # of a line whose vendor takes no more just now


@dataclass(slots=True, frozen=True, kw_only=True)
class Asking(Round):
    """One taking-up of a batch whose lines are asked one by one."""

    pace: Pace = field(default_factory=Pace)


class LineAsker:
    """Asks the lines of batches, on the core's loop."""

    def __init__(self, tools: JobTools, store: BatchStore, files: FileStore, is_closing: threading.Event) -> None:
        """is_closing: Set when the process goes down."""
        self._tools = tools
        self._writer = tools.writer
        self.store = store
        self.files = files
        self.is_closing = is_closing

    async def ask(self, of: Round) -> None:
        """Ask what waits, until nothing does, time is up, or the batch is cancelled.

        Raises:
            Closing
        """
        tasks = set[asyncio.Task[None]]()
        try:
            await self._ask(Asking(batch=of.batch, start=of.start, reader=of.reader), tasks)
        finally:
            if tasks and not self.is_closing.is_set():  # what was begun is paid for, so it is let end
                await asyncio.wait(tasks)

    async def _ask(self, of: Asking, tasks: set[asyncio.Task[None]]) -> None:
        batch, pace, loop = of.batch, of.pace, asyncio.get_running_loop()
        while True:
            if self.is_closing.is_set():
                raise Closing
            is_due = clock.now() < batch.expires_at and loop.time() >= pace.until
            n_free = max(0, int(pace.width) - len(tasks)) if is_due else 0
            phase, lines = await self._claimed(of, n_free)
            if phase != "in_progress" or clock.now() >= batch.expires_at or (is_due and not lines and not tasks):
                break
            if lines:
                key, bodies = await asyncio.to_thread(self.read, batch, lines)
                tasks |= {loop.create_task(self._line(of, key, *each)) for each in zip(lines, bodies, strict=True)}
            wait_s = min(LOOK_S, max(0.0, pace.until - loop.time())) or LOOK_S
            if tasks:
                done, _ = await asyncio.wait(tasks, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
                tasks -= done
                for task in done:
                    task.result()  # the database cannot be used: then all of it is taken up anew
            else:
                await asyncio.sleep(wait_s)

    async def phase(self, of: Round) -> str:
        """The batch's phase; empty = it is no longer in this start."""
        return (await self._claimed(of, 0))[0]

    async def understood(self, of: Round, body: dict[str, Any], key: Key | None) -> AskedLine:
        """A line as its wire reads it. Raises: AimmError: It cannot be asked, or its key may not ask."""
        if problem := problem_of(of.batch.key_id, key, clock.now()):
            raise Conflict(problem)
        return await of.reader.read(of.batch.endpoint, body, key, of.batch.headers)

    async def _claimed(self, of: Round, limit: int) -> tuple[str, list[BatchLine]]:
        """Others see at once that these are asked; a power cut may undo it, and then they are asked again."""
        wanted = (of.batch.id, of.start, limit, clock.now_us())
        found: tuple[str, list[BatchLine]]
        found = await asyncio.wrap_future(self._writer.decide_together(self._claim_all, wanted))
        return found

    def _claim_all(self, connection: Connection, wanted: Sequence[Any]) -> list[tuple[str, list[BatchLine]]]:
        return [self.store.claim(connection, *each) for each in wanted]

    def read(self, batch: Batch, lines: Sequence[BatchLine]) -> tuple[Key | None, list[dict[str, Any]]]:
        """The key of a batch as it stands, and the bodies of lines that follow each other closely."""
        first, last = lines[0].offset, max(line.offset + line.n_bytes for line in lines)
        if last - first > TOGETHER_BYTES:
            parts = [self.files.read(batch.input_file_id, line.offset, line.n_bytes) for line in lines]
        else:
            whole = self.files.read(batch.input_file_id, first, last - first)
            parts = [whole[line.offset - first : line.offset - first + line.n_bytes] for line in lines]
        return self._tools.key_of(batch.key_id), [body_of(part) for part in parts]

    async def _line(self, of: Asking, key: Key | None, line: BatchLine, body: dict[str, Any]) -> None:
        """Ask one line, and write down what came of it."""
        handle: Future[Call] = Future()
        try:
            asked = await self.understood(of, body, key)
            record = self._recorder(of, line, asked, handle)
            origin = origin_of(asked.origin, of.batch, line, key)
            call = await self._tools.calls.asubmit(
                asked.request, origin, unit=origin.user_id, on_chunk=asked.feed, on_record=record
            )
            handle.set_result(call)
            await asyncio.wait([asyncio.wrap_future(call.done)])
        except AimmError as error:
            handle.cancel()
            await self.refuse(of, line, error)
            return
        unrecorded = call.done.exception()
        if unrecorded is not None and not isinstance(unrecorded, AimmError):
            raise unrecorded
        failed = unrecorded or call.cause
        is_pressed = failed is not None and wants_pause(failed)
        of.pace.heard(failed if is_pressed else None, asyncio.get_running_loop().time())
        if isinstance(unrecorded, DatabaseUnavailable):
            raise unrecorded
        if unrecorded is not None and (is_pressed or call.is_cancelled):  # nobody was asked
            await self._end(of, line, {"state": "waiting"})
        elif unrecorded is not None:
            await self.refuse(of, line, unrecorded)
        else:
            await asked.keep(call.result(0), call)

    def _recorder(
        self, of: Round, line: BatchLine, asked: AskedLine, handle: "Future[Call]"
    ) -> Callable[[Generation], Work]:
        batch, end = of.batch, partial(self.store.end_line, batch_id=of.batch.id, line=line, start=of.start)

        def record(generation: Generation) -> Work:
            def work(connection: Connection) -> None:
                call = handle.result(timeout=10)
                if not is_to_repeat(generation, call.cause, line):
                    end(connection, **outcome(batch, line, asked, generation, call))
                elif end(connection, state="waiting", n_tries=line.n_tries + (call.cause is not None)):
                    add_to_hold(connection, batch.id, line.worst_nano)  # what it had taken went with this call

            return work

        return record

    async def refuse(self, of: Round, line: BatchLine, error: AimmError) -> None:
        """End a line that nobody was asked."""
        status, body = of.reader.refusal(of.batch.endpoint, error)
        await self._end(of, line, {"state": "failed", "result": result_line(of.batch.id, line, status, "", body)})

    async def _end(self, of: Round, line: BatchLine, values: dict[str, Any]) -> None:
        end = partial(self.store.end_line, batch_id=of.batch.id, line=line, start=of.lines_start, **values)
        await asyncio.wrap_future(self._writer.submit(end))

    # Before the first line is asked

    async def quoted(
        self, of: Round, group: Sequence[tuple[BatchLine, dict[str, Any]]], check: Validation, wanted: Wanted
    ) -> list[BatchLine]:
        """The lines with what each may cost at worst, which is added to `wanted`.

        A model that the batch cannot ask is its fault; what else is wrong with a line is told when it is asked.
        """
        batch = of.batch
        key, found = await asyncio.to_thread(self._tools.key_of, batch.key_id), []
        for line, body in group:
            worst = 0
            try:
                asked = await of.reader.read(batch.endpoint, body, key, batch.headers)
                quote = await self._tools.calls.worst_case(asked.request, origin_of(asked.origin, batch, line, key))
                if quote is not None:
                    wanted.add(quote)
                    worst = quote.worst_nano or 0
            except (ModelNotFound, Forbidden) as error:
                check.refuse(error.code, error.text, line.line, "body.model")
            except AimmError:
                pass
            found.append(replace(line, worst_nano=worst))
            await asyncio.sleep(0)  # others are on this loop too
        return found

    # What another process left

    async def take_over(self, of: Round) -> list[tuple[BatchLine, AskedLine]]:
        """The lines that an earlier start asked and did not end; what cannot be read waits again."""
        batch, found = of.batch, []
        for line in await asyncio.to_thread(self.store.lost, batch.id, of.start):
            try:
                key, [body] = await asyncio.to_thread(self.read, batch, [line])
                found.append((line, await of.reader.read(batch.endpoint, body, key, batch.headers)))
            except AimmError:
                await self._end(replace(of, start=line.start), line, {"state": "waiting"})
        return found

    def record_lost(self, batch: Batch, line: BatchLine, asked: AskedLine) -> None:
        """Put a call on record that ended with its process; its line waits again."""
        key = self._tools.key_of(batch.key_id)

        def record(_generation: Generation) -> Work:
            def work(connection: Connection) -> None:
                if self.store.end_line(connection, batch.id, line, line.start, state="waiting"):
                    add_to_hold(connection, batch.id, line.worst_nano)

            return work

        asked_at = line.asked_at or clock.now()
        self._tools.calls.record_lost(asked.request, origin_of(asked.origin, batch, line, key), asked_at, record)

    def fail_others(self, batch: Batch, code: str, message: str) -> int:
        """End the lines that will not be asked any more; how many those were."""

        def work(connection: Connection) -> int:
            result_of = partial(unasked_line, batch.id, code=code, message=message)
            return self.store.end_others(connection, batch.id, 500, result_of)

        n_failed = 0
        while n := int(self._writer.run(work)):
            n_failed += n
        return n_failed


def is_to_repeat(generation: Generation, cause: AimmError | None, line: BatchLine) -> bool:
    """Tell whether a recorded call did not end its line."""
    if generation.status == "stopped":  # this process goes down
        return True
    if cause is None or generation.status != "error":
        return False
    return line.n_tries + 1 < MAX_WAITS if wants_pause(cause) else cause.is_retryable and line.n_tries + 1 < MAX_TRIES
