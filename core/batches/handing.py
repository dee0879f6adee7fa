"""The handing of a whole batch to its vendor's own batches, at their price: created once, awaited, read line by line.

The moment before its creation is written down, and its id after it. A process may die between the two: then the vendor
is asked for a batch of our name before another one is made.
"""

import asyncio
import logging
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import IO, TYPE_CHECKING, Any

from core import clock
from core.batches.lines import MAX_LINES, Round, Validation, origin_of, outcome, unasked_line
from core.budgets.ledger import Ledger
from core.calls.call import Call
from core.domain.batches.batch import Batch, BatchError, BatchLine
from core.domain.generation import Generation
from core.errors import (
    AimmError,
    AuthenticationError,
    DatabaseUnavailable,
    InvalidRequest,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
)
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
LATE, SKEW = timedelta(seconds=LATE_S), timedelta(hours=1)  # SKEW: by which clocks may differ
MAX_READS = 30  # of results that are not there, or cannot be read
GONE = 10  # answers that there is no such batch, after which that is believed
BUSY = timedelta(minutes=30)  # for which its vendor may take no more just now, before lines are asked one by one
MAX_WAIT_S = 600.0  # that a vendor may wish for
LINES_AT_ONCE = 200
WIDTH = 16  # results that are recorded at the same time
HELD_BYTES = 8 * 1024 * 1024
_FAULTS = (AimmError, TimeoutError, *UNREADABLE)
_PASSING = (AuthenticationError, ProviderTimeout, ProviderUnavailable, RateLimited, TimeoutError)
# Headers by which a caller wants for its lines what no vendor's batch does.
_OURS = ("x-aimm-fallbacks", "x-aimm-cache")


class _Refused(Exception):
    """The vendor takes no such batch, and has answered nothing of it."""

    def __init__(self, *errors: tuple[str, str]) -> None:
        self.errors = errors


class _NotMade(Exception):
    """The vendor takes no more just now, so that for certain there is no batch."""

    def __init__(self, wait_s: float) -> None:
        self.wait_s = wait_s


class _Unread(Exception):
    """Results that are to be there cannot be read."""


class BatchHander:
    def __init__(self, tools: JobTools, ledger: Ledger, asker: "LineAsker") -> None:
        self._calls = tools.calls
        self._writer = tools.writer
        self._ledger = ledger
        self._asker = asker
        self._store = asker.store
        self._read_ones: dict[str, tuple[Round, VendorBatch]] = {}

    async def choose(self, batch: Batch, check: Validation) -> str:
        """`deployment/model` whose own batch is to answer it; empty = none. What cannot be is a fault of its input."""
        if batch.way == "paced" or check.errors:
            return ""
        try:
            if ours := [name for name in _OURS if name in batch.headers]:
                raise InvalidRequest(f"{ours[0]} is nothing that a vendor's batch does.")
            model, _, is_priced = await self._calls.batched_by(check.model)
            # Its vendor would keep its texts; or its own price may be a better one.
            if not batch.way and (batch.is_brief or not is_priced):
                return ""
            return model
        except AimmError as error:
            if batch.way:
                check.refuse("vendor_batch_unavailable", error.text)
            return ""

    async def run(self, of: Round) -> bool:
        """Bring a batch to its end at its vendor; False = its lines are to be asked one by one.

        Raises:
            Closing
        """
        batch = of.batch
        try:
            found = VendorBatch(id=batch.vendor_id) if batch.vendor_id else await self._created(of)
            if found and (ended := await self._awaited(of, found)):
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

    async def _api(self, of: Round) -> BatchApi:
        """The batches of its vendor, with the key of now. Raises: AimmError: It has none just now."""
        return (await self._calls.batched_by(of.batch.vendor_model, exactly=True))[1]

    # Creation

    async def _created(self, of: Round) -> VendorBatch | None:
        """The batch at its vendor, created or found again; None = nothing is to be asked. Raises: Closing, _Refused."""
        batch, asked_at, begun_at, path = of.batch, of.batch.vendor_at, clock.now(), ""
        api = await self._reached(of)
        with tempfile.SpooledTemporaryFile(HELD_BYTES) as lines:
            while api is not None and clock.now() < batch.expires_at:
                await self._write(partial(self._ledger.renew_hold, hold_id=batch.id))
                if asked_at is None:
                    path, now = path or await self._written(of, api, lines), clock.now()
                    if not path or not await self._note(of, vendor_at=clock.to_us(now)):
                        return None  # no line can be asked, or it was cancelled
                    answer = self._made(of, path, lines, is_urgent=now - begun_at > BUSY)
                else:
                    answer, now = self._found_again(of, asked_at), asked_at
                try:
                    found, asked_at = await answer, None
                except _NotMade as fault:
                    await self._pause(fault.wait_s, of)
                except _FAULTS as error:  # whether it was created is not known, so it is looked for first
                    asked_at = now
                    await self._pause(_wait_s(error))
                else:
                    if found is not None:
                        await self._note(of, "cancelling", vendor_id=found.id)
                        return found
        return None

    async def _reached(self, of: Round) -> BatchApi | None:
        """The batches of its vendor, once it has a key; None = its time is up. Raises: Closing, _Refused."""
        while clock.now() < of.batch.expires_at:
            try:
                return await self._api(of)
            except DatabaseUnavailable:
                raise
            except AimmError as error:
                if of.batch.vendor_at is None:  # else the vendor may have the batch
                    raise _Refused((_code(error), error.text)) from None
            await self._pause(PAUSE_S)
        return None

    async def _made(self, of: Round, path: str, lines: IO[bytes], *, is_urgent: bool) -> VendorBatch | None:
        """The batch, created. Raises: _Refused, _NotMade, and _FAULTS where nothing is known of it."""
        try:
            return await (await self._api(of)).create(of.batch.id, path, lines)
        except AimmError as error:
            is_busy = _status(error) == 429
            if _is_refusal(error) or (is_busy and is_urgent and not of.batch.way):
                raise _Refused((_code(error), error.text)) from None
            if is_busy:
                raise _NotMade(_wait_s(error)) from None
            raise

    async def _found_again(self, of: Round, asked_at: datetime) -> VendorBatch | None:
        """The batch of a creation of which nothing was heard, if it took place."""
        await self._pause(GRACE_S - (clock.now() - asked_at).total_seconds())
        api, n_lines = await self._api(of), len(await asyncio.to_thread(self._store.waiting, of.batch.id, 0, MAX_LINES))
        return await api.find(of.batch.id, n_lines, of.batch.created_at - SKEW)

    async def _written(self, of: Round, api: BatchApi, lines: IO[bytes]) -> str:
        """Write the lines as their vendor takes them; the path that they are for, empty = none can be asked."""
        batch, path, last = of.batch, "", 0
        while group := await asyncio.to_thread(self._store.waiting, batch.id, last, LINES_AT_ONCE):
            await self._pause(0)
            key, bodies = await asyncio.to_thread(self._asker.read, batch, group)
            for line, body in zip(group, bodies, strict=True):
                last = line.line
                await asyncio.sleep(0)  # others are on this loop too
                try:
                    asked = await self._asker.understood(of, body, key)
                    origin = origin_of(asked.origin, batch, line, key)
                    planned = await self._calls.plan(asked.request, origin, batch.vendor_model)
                except AimmError as error:
                    await self._asker.refuse(of, line, error)
                    continue
                path, raw = planned.path, api.line(f"{batch.id}-{line.line}", planned.path, planned.body)
                lines.write(api.joint * bool(lines.tell()) + raw)
                if not api.takes(path):
                    raise _Refused(("vendor_batch_unavailable", f"Its vendor's batches do not take {path}."))
                if lines.tell() > api.max_bytes:
                    raise _Refused(
                        ("vendor_batch_unavailable", f"Its vendor takes {api.max_bytes:,} bytes a batch, and no more.")
                    )
        return path

    # The way to its end

    async def _awaited(self, of: Round, found: VendorBatch) -> VendorBatch | None:
        """The batch once it has ended, or its vendor does not know it; None = it is not ours. Raises: Closing."""
        batch, n_gone, is_told, is_first = of.batch, 0, False, not of.batch.vendor_id
        while not found.end:
            if not is_first:
                try:
                    found, n_gone = await (await self._api(of)).get(found.id), 0
                except _FAULTS as error:
                    n_gone += _status(error) == 404
            phase = await self._asker.phase(of)
            if n_gone >= GONE:
                return VendorBatch(id=found.id, end="cancelled" if phase == "cancelling" else "completed")
            late_s = (clock.now() - batch.expires_at).total_seconds()
            if found.end or late_s > LATE_S or phase not in ("in_progress", "cancelling"):
                break
            is_first, to_end = False, phase == "cancelling" or late_s > 0
            if to_end and not is_told:
                try:
                    await (await self._api(of)).cancel(found.id)
                    is_told = True
                except _FAULTS:
                    pass  # told again at the next look
            values = {"n_ok": found.n_ok, "n_failed": found.n_failed}
            await self._note(of, "cancelling", **values)
            await self._write(partial(self._ledger.renew_hold, hold_id=batch.id))
            await self._pause(POLL_S, of if not to_end else None)
        if found.errors and not (found.n_ok or found.n_failed):
            await self._forget(of, found)
            raise _Refused(*found.errors)
        return found if found.end else None

    async def _pause(self, seconds: float, of: Round | None = None) -> None:
        """Wait. of: No longer than until it is cancelled. Raises: Closing."""
        until = asyncio.get_running_loop().time() + seconds
        while not self._asker.is_closing.is_set():
            left_s = until - asyncio.get_running_loop().time()
            if left_s <= 0 or (of is not None and await self._asker.phase(of) != "in_progress"):
                return
            await asyncio.sleep(min(LOOK_S, left_s))
        raise Closing

    # What came of it

    async def _read(self, of: Round, found: VendorBatch) -> None:
        """Record each line that has a result, and say of which there should be one. Raises: Closing."""
        waiting = await asyncio.to_thread(self._store.waiting, of.batch.id, 0, MAX_LINES)
        left, is_whole = {f"{of.batch.id}-{line.line}": line for line in waiting}, True
        message = f"Its vendor's batch {found.id} ended without a result for this line."
        try:
            await self._record_all(of, found, left)
        except _Unread as unread:
            is_whole, message = False, f"The results of its vendor's batch {found.id} cannot be read: {unread}"
        for line in left.values() if found.end in ("completed", "failed") or not is_whole else ():
            await self._unanswered(of.batch, line, "batch_line_missing", message)
        if found.end == "cancelled" and clock.now() < of.batch.expires_at:  # else it was for its time
            await self._note(of, phase="cancelling", cancelling_at=clock.now_us())
        if is_whole:
            self._read_ones[of.batch.id] = of, found
        else:
            logger.warning("%s still has results of %s that cannot be read", of.batch.vendor_model, found.id)

    async def forget(self, batch_id: str) -> None:
        """Let its vendor delete what it keeps of a batch that is over; not before, for a process may die in between."""
        if (over := self._read_ones.pop(batch_id, None)) is not None:
            await self._forget(*over)

    async def _forget(self, of: Round, found: VendorBatch) -> None:
        try:
            await (await self._api(of)).forget(found)
        except _FAULTS as error:
            logger.warning("%s keeps files of %s: %s", of.batch.vendor_model, found.id, type(error).__name__)

    async def _record_all(self, of: Round, found: VendorBatch, left: dict[str, BatchLine]) -> None:
        """Record each line that has a result, once, and take it out of those that are left. Raises: Closing, _Unread"""
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

    async def _results(self, of: Round, found: VendorBatch) -> AsyncIterator[LineResult]:
        """Results of lines, from the first one again where the vendor's answer broke off. Raises: Closing, _Unread."""
        n_reads = 0
        while True:
            try:
                api = await self._api(of)
                async for value in api.results(found):
                    yield api.told(value)
                return
            except _FAULTS as error:
                # A vendor that is down, or wants another key, has them still.
                n_reads += not isinstance(error, _PASSING) or clock.now() > of.batch.expires_at + LATE
                if n_reads >= MAX_READS:
                    raise _Unread(getattr(error, "text", type(error).__name__)) from None
                await self._pause(_wait_s(error))

    async def _line(self, of: Round, line: BatchLine, result: LineResult) -> None:
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
        except UNREADABLE as error:  # it takes no other line with it
            logger.exception("a result of %s could not be recorded", batch.vendor_id)
            message = f"Its vendor's result cannot be read ({type(error).__name__})."
            await self._unanswered(batch, line, "vendor_error", message)

    async def _record(self, of: Round, line: BatchLine, answer: Replay) -> None:
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

    async def _note(self, of: Round, *also_in: str, **values: Any) -> bool:
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


def _status(error: Exception) -> int:
    """The status of a vendor's answer; 0 = there was none."""
    upstream = error.upstream if isinstance(error, AimmError) else None
    return upstream.status if upstream is not None else 0


def _is_refusal(error: AimmError) -> bool:
    """True where the vendor understood and will not, whoever asks again."""
    status = _status(error)
    if status == 429:  # a quota that is used up comes back with money, not with time
        return not error.is_retryable
    return 400 <= status < 500 and status not in (408, 409, 425)


def _wait_s(error: Exception) -> float:
    """The pause after a fault: as long as the vendor wishes, within reason."""
    wished_s = error.retry_after_s if isinstance(error, AimmError) else None
    return max(PAUSE_S, min(wished_s or 0.0, MAX_WAIT_S))


def _code(error: AimmError) -> str:
    return (error.upstream.code if error.upstream is not None else "") or error.code
