"""The handing of a whole batch to its vendor's own batches, at their price: created once, awaited, read line by line.

The moment before its creation is written down, and its id after it. A process may die between the two: then the vendor
is asked for a batch of our name before another one is made.
"""

import asyncio
import logging
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import IO, TYPE_CHECKING, Any

from core import clock
from core.batches.lines import MAX_LINES, Round, Validation, origin_of, outcome, unasked_line
from core.budgets.ledger import Ledger
from core.calls.call import Call
from core.domain.batches.batch import Batch, BatchError, BatchLine
from core.domain.generation import Generation
from core.errors import AimmError, DatabaseUnavailable, InvalidRequest
from core.providers.batches import UNANSWERED, BatchApi, LineResult, VendorBatch
from core.providers.http.errors import UNREADABLE
from core.providers.http.given import Replay
from core.runs.job import Closing, JobTools
from core.storage.batches.batches import errors_to_json
from core.storage.engine.database import Connection
from core.storage.engine.writer import Work
from core.storage.money.ledger import add_to_hold

if TYPE_CHECKING:
    from core.batches.asking import LineAsker

logger = logging.getLogger(__name__)

POLL_S, LOOK_S = 30.0, 1.0  # how soon an end is seen, and a cancellation
PAUSE_S = 10.0  # after a fault of the vendor's
GRACE_S = 60.0  # in which a creation of which nothing was heard may still take place
LATE_S = 86_400.0  # after a batch's own time, in which its vendor may still say how it ended
MAX_READS = 100  # of results that break off
GONE = 3  # answers that there is no such batch, after which that is believed
LINES_AT_ONCE = 200
WIDTH = 16  # results that are recorded at the same time
HELD_BYTES = 8 * 1024 * 1024
_FAULTS = (AimmError, *UNREADABLE)
# Headers by which a caller wants for its lines what no vendor's batch does.
_OURS = ("x-aimm-fallbacks", "x-aimm-cache")


class _Refused(Exception):
    """The vendor takes no such batch, and has answered nothing of it."""

    def __init__(self, *errors: tuple[str, str]) -> None:
        self.errors = errors


@dataclass(frozen=True, slots=True, kw_only=True)
class _Handed(Round):
    """One taking-up of a batch that is its vendor's."""

    api: BatchApi


class BatchHander:
    def __init__(self, tools: JobTools, ledger: Ledger, asker: "LineAsker") -> None:
        self._calls = tools.calls
        self._writer = tools.writer
        self._ledger = ledger
        self._asker = asker
        self._store = asker.store

    async def choose(self, batch: Batch, check: Validation) -> str:
        """`vendor/model` whose own batch is to answer it; empty = none is. What cannot be is a fault of its input."""
        if batch.way == "paced" or check.errors:
            return ""
        try:
            if ours := [name for name in _OURS if name in batch.headers]:
                raise InvalidRequest(f"{ours[0]} is nothing that a vendor's batch does.")
            model, _, is_priced = await self._calls.batched_by(check.model)
            # Its vendor would keep its texts; or its own price may be a better one.
            if not batch.way and (batch.is_brief or not is_priced):
                return ""
            return f"{model.provider}/{model.name}"
        except AimmError as error:
            if batch.way:
                check.refuse("vendor_batch_unavailable", error.text)
            return ""

    async def run(self, taken: Round) -> bool:
        """Bring a batch to its end at its vendor; False = its lines are to be asked one by one.

        Raises:
            Closing
        """
        batch = taken.batch
        while (api := await self._api(batch)) is None:
            await self._pause(PAUSE_S)
        of = _Handed(batch=batch, start=taken.start, reader=taken.reader, api=api)
        try:
            if (found := await self._created(of)) and (ended := await self._awaited(of, found)):
                await self._read(of, ended)
        except _Refused as refused:
            logger.warning("%s takes no batch: %s", batch.vendor_model, refused.errors)
            if not batch.way:
                await self._note(of, vendor_model="", vendor_at=None, vendor_id="", n_ok=0, n_failed=0)
                return False
            errors = [BatchError(code=code, message=message) for code, message in refused.errors]
            await self._write(partial(self._store.drop_lines, batch_id=batch.id))
            await self._note(of, errors=errors_to_json(errors))  # which fail it in the end
        return True

    async def _api(self, batch: Batch) -> BatchApi | None:
        """The batches of its vendor; None = that has no key just now, and results are to come. Raises: AimmError"""
        try:
            return (await self._calls.batched_by(batch.vendor_model))[1]
        except AimmError:
            if not batch.vendor_id or clock.now() > batch.expires_at:
                raise
            return None

    # Creation

    async def _created(self, of: _Handed) -> VendorBatch | None:
        """The batch at its vendor, created or found again; None = nothing is to be asked. Raises: Closing, _Refused."""
        batch, asked_at = of.batch, of.batch.vendor_at
        if batch.vendor_id:
            return VendorBatch(id=batch.vendor_id)
        with tempfile.SpooledTemporaryFile(HELD_BYTES) as lines:
            path, n_lines = await self._written(of, lines)
            while n_lines:
                try:
                    found = None
                    if asked_at is not None:
                        await self._pause(GRACE_S - (clock.now() - asked_at).total_seconds())
                        found = await of.api.find(batch.id, n_lines)
                    if found is None:
                        asked_at = clock.now()
                        if not await self._note(of, vendor_at=clock.to_us(asked_at)):
                            return None  # it was cancelled
                        found = await of.api.create(batch.id, path, lines)
                except _FAULTS as error:
                    if isinstance(error, AimmError) and _is_refusal(error):
                        raise _Refused((_code(error), error.text)) from None
                    await self._pause(PAUSE_S)
                else:
                    await self._note(of, "cancelling", vendor_id=found.id)
                    return found
        return None

    async def _written(self, of: _Handed, lines: IO[bytes]) -> tuple[str, int]:
        """Write the lines as their vendor takes them: the path that they are for, and how many there are."""
        batch, path, last, n_lines = of.batch, "", 0, 0
        while group := await asyncio.to_thread(self._store.waiting, batch.id, last, LINES_AT_ONCE):
            await self._pause(0)
            key, bodies = await asyncio.to_thread(self._asker.read, batch, group)
            for line, body in zip(group, bodies, strict=True):
                last = line.line
                try:
                    asked = await self._asker.understood(of, body, key)
                    origin = origin_of(asked.origin, batch, line, key)
                    planned = await self._calls.plan(asked.request, origin, batch.vendor_model)
                except AimmError as error:
                    await self._asker.refuse(of, line, error)
                    continue
                path, raw = planned.path, of.api.line(f"{batch.id}-{line.line}", planned.path, planned.body)
                lines.write(of.api.joint * bool(n_lines) + raw)
                n_lines += 1
                if not of.api.takes(path) or lines.tell() > of.api.max_bytes:
                    raise _Refused(
                        ("vendor_batch_unavailable", f"Its vendor's batches do not take {path}, or so much.")
                    )
        return path, n_lines

    # The way to its end

    async def _awaited(self, of: _Handed, found: VendorBatch) -> VendorBatch | None:
        """The batch once it has ended, or its vendor does not know it; None = it is not ours. Raises: Closing."""
        batch, n_gone, is_told, is_first = of.batch, 0, False, not of.batch.vendor_id
        while not found.end:
            if not is_first:
                try:
                    found, n_gone = await of.api.get(found.id), 0
                except _FAULTS as error:
                    n_gone += getattr(getattr(error, "upstream", None), "status", 0) == 404
            late_s = (clock.now() - batch.expires_at).total_seconds()
            phase = await self._asker.phase(of)
            if found.end or n_gone >= GONE or late_s > LATE_S or phase not in ("in_progress", "cancelling"):
                break
            is_first, to_end = False, phase == "cancelling" or late_s > 0
            if to_end and not is_told:
                try:
                    await of.api.cancel(found.id)
                    is_told = True
                except _FAULTS:
                    pass  # told again at the next look
            values = {"n_ok": found.n_ok, "n_failed": found.n_failed}
            await self._note(of, "cancelling", **values)
            await self._write(partial(self._ledger.renew_hold, hold_id=batch.id))
            await self._pause(POLL_S, of if not to_end else None)
        if found.errors and not (found.n_ok or found.n_failed):
            raise _Refused(*found.errors)
        return VendorBatch(id=found.id, end="completed") if n_gone >= GONE else found if found.end else None

    async def _pause(self, seconds: float, of: _Handed | None = None) -> None:
        """Wait. of: No longer than until it is cancelled. Raises: Closing."""
        until = asyncio.get_running_loop().time() + seconds
        while not self._asker.is_closing.is_set():
            left_s = until - asyncio.get_running_loop().time()
            if left_s <= 0 or (of is not None and await self._asker.phase(of) != "in_progress"):
                return
            await asyncio.sleep(min(LOOK_S, left_s))
        raise Closing

    # What came of it

    async def _read(self, of: _Handed, found: VendorBatch) -> None:
        """Record each line that has a result, and say of which there should be one. Raises: Closing."""
        untold = await self._recorded(of, found)
        for line in untold if found.end in ("completed", "failed") else ():
            message = f"Its vendor's batch {found.id} ended without a result for this line."
            await self._unanswered(of.batch, line, "batch_line_missing", message)
        if found.end == "cancelled" and clock.now() < of.batch.expires_at:  # else it was for its time
            await self._note(of, phase="cancelling", cancelling_at=clock.now_us())
        try:
            await of.api.forget(found)
        except _FAULTS as error:
            logger.warning("%s keeps files of %s: %s", of.batch.vendor_model, found.id, type(error).__name__)

    async def _recorded(self, of: _Handed, found: VendorBatch) -> list[BatchLine]:
        """Record each line that has a result, once; the others."""
        waiting = await asyncio.to_thread(self._store.waiting, of.batch.id, 0, MAX_LINES)
        left = {f"{of.batch.id}-{line.line}": line for line in waiting}
        tasks = set[asyncio.Task[None]]()
        try:
            async for result in self._results(of, found):
                if (line := left.pop(result.custom_id, None)) is not None:  # else it was read before
                    tasks.add(asyncio.create_task(self._line(of, line, result)))
                if len(tasks) >= WIDTH:
                    await _one_of(tasks)
            while tasks:
                await _one_of(tasks)
        finally:
            if tasks:
                await asyncio.wait(tasks)
        return list(left.values())

    async def _results(self, of: _Handed, found: VendorBatch) -> AsyncIterator[LineResult]:
        """Results of lines, from the first one again where the vendor's answer broke off. Raises: Closing."""
        for _ in range(MAX_READS):
            try:
                async for result in of.api.results(found):
                    yield result
                return
            except _FAULTS as error:
                if isinstance(error, AimmError) and _is_refusal(error):
                    return  # it keeps the results no longer
                await self._pause(PAUSE_S)

    async def _line(self, of: _Handed, line: BatchLine, result: LineResult) -> None:
        batch = of.batch
        if not result.status:
            if result.code not in UNANSWERED.values():  # else its end is the batch's
                message = result.message or "The vendor did not answer it, and does not say why."
                await self._unanswered(batch, line, result.code or "vendor_error", message)
            return
        try:
            await self._record(of, line, Replay(result.status, result.raw))
        except DatabaseUnavailable:
            raise
        except AimmError as error:  # such as an alias that is gone by now
            logger.warning("a result of %s could not be recorded: %s", batch.vendor_id, error.code)
            await self._asker.refuse(of, line, error)

    async def _record(self, of: _Handed, line: BatchLine, answer: Replay) -> None:
        batch = of.batch
        key, [body] = await asyncio.to_thread(self._asker.read, batch, [line])
        asked = await of.reader.read(batch.endpoint, body, key, batch.headers)
        # It has been asked, whatever its key may do and its caller may spend by now.
        origin = origin_of(asked.origin, batch, line, key)
        origin = replace(origin, is_permitted=True, is_batched=True, cap_usd=None)

        def record(call: Call, generation: Generation) -> Work:
            def work(connection: Connection) -> None:
                values = outcome(batch, line, asked, generation, call)
                if self._store.end_line(connection, batch.id, line, 0, **values):
                    add_to_hold(connection, batch.id, -line.worst_nano)

            return work

        call = await self._calls.record_batched(asked, origin, batch.vendor_model, answer, record)
        await asked.keep(call.result(0), call)

    async def _unanswered(self, batch: Batch, line: BatchLine, code: str, message: str) -> None:
        values: dict[str, Any] = {"state": "failed", "result": unasked_line(batch.id, line, code, message)}
        await self._write(partial(self._store.end_line, batch_id=batch.id, line=line, start=0, **values))

    async def _note(self, of: _Handed, *also_in: str, **values: Any) -> bool:
        """Write down how a batch stands, if it is still in this start."""
        phases = ("in_progress", *also_in)
        return bool(await self._write(lambda link: self._store.turn(link, of.batch.id, of.start, phases, values)))

    async def _write(self, work: Callable[[Connection], Any]) -> Any:
        return await asyncio.wrap_future(self._writer.submit(work))


async def _one_of(tasks: set[asyncio.Task[None]]) -> None:
    """Wait until one has ended, and take those out that have. Raises what ended one."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    tasks -= done
    for task in done:
        task.result()


def _is_refusal(error: AimmError) -> bool:
    """True where the vendor understood and will not, whoever asks again."""
    status = error.upstream.status if error.upstream is not None else 0
    return 400 <= status < 500 and status not in (408, 409, 425, 429)


def _code(error: AimmError) -> str:
    return (error.upstream.code if error.upstream is not None else "") or error.code
