"""Batches as a kind of run: its file is checked, its lines are asked, its results are made files."""

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

from core import clock
from core.background import BackgroundLoop
from core.batches.asking import LineAsker
from core.batches.files import KEPT_S, RESULTS, new_file_id
from core.batches.handing import BatchHander
from core.batches.lines import LineReader, Round, Validation, split
from core.budgets.holds import Wanted
from core.budgets.ledger import Ledger
from core.domain.batches.batch import Batch, BatchError, BatchLine
from core.domain.batches.file import StoredFile
from core.domain.budget import Admission
from core.errors import BudgetExceeded, DamagedRecord, NotFound
from core.formats import strict_json as json
from core.formats.money import from_nano
from core.runs.job import Closing, JobTools
from core.storage.batches.batches import counts, errors_to_json, result_bytes, usage_of
from core.storage.engine.database import Connection
from core.storage.money.ledger import release
from core.storage.runs import Unfinished

BRIEF_S = 86_400  # results whose texts are not to be kept
LINES_AT_ONCE = 200
ROOM_S = 60.0  # how long a batch waits for money that calls under way have reserved
LOOK_S = 0.5


class BatchJob:
    """reader: The wires that lines are written in; None = this process has none, and leaves batches to others."""

    kind = "batch"

    def __init__(self, tools: JobTools, loop: BackgroundLoop, ledger: Ledger, asker: LineAsker) -> None:
        self._writer = tools.writer
        self._loop = loop
        self._ledger = ledger
        self._store = asker.store
        self._files = asker.files
        self._is_closing = asker.is_closing
        self._asker = asker
        self._hander = BatchHander(tools, ledger, asker)
        self.reader: LineReader | None = None

    # The engine's questions

    def unfinished(self) -> list[Unfinished]:
        return self._store.unfinished() if self.reader is not None else []

    def claim(self, run_id: str, owner: str) -> int | None:
        try:
            start = self.batch(run_id).n_starts + 1
        except DamagedRecord:  # it would be looked at again and again
            self._move(run_id, "ended", ("queued",), phase="failed", owner="")
            return None
        return start if self._move(run_id, "running", ("queued",), n_starts=start, owner=owner) else None

    def requeue(self, run_id: str, start: int) -> None:
        self._move(run_id, "queued", ("running",), start=start, owner="")

    def steps(self, run_id: str, start: int) -> Sequence[str]:
        return ("validate", "ask") if self.batch(run_id).n_starts == start else ()

    def do_step(self, run_id: str, start: int, step: str) -> bool:
        batch, reader = self.batch(run_id), self.reader
        if reader is None or batch.n_starts != start:
            return False
        of = Round(batch=batch, start=start, reader=reader)
        if step == "validate":
            return batch.phase != "validating" or self._validated(of)
        if batch.vendor_model:
            if self._loop.run(self._hander.run(of)):
                return True
            batch = self.batch(run_id)
            of = replace(of, batch=batch)
        for line, asked in self._loop.run(self._asker.take_over(of)):
            self._asker.record_lost(batch, line, asked)
        self._loop.run(self._asker.ask(of))
        return True

    def settle(self, run_id: str, start: int, error: str = "") -> None:
        """Say what became of each line that was not asked, and make files of the results."""
        batch = self.batch(run_id)
        if batch.n_starts != start or batch.status != "running":
            return
        fail, phase, n_unasked = partial(self._asker.fail_others, batch), "completed", 0
        if error or batch.errors or batch.phase in ("validating", "failed"):
            phase = "failed"
            fail("server_error", error or "The batch failed.")
        elif batch.phase == "cancelling":
            phase = "cancelled"
            n_unasked = fail("batch_cancelled", "The batch was cancelled before this line was asked.")
        else:
            values = {"phase": "finalizing", "finalizing_at": clock.now_us()}
            self._writer.run(lambda link: self._store.turn(link, run_id, start, ("in_progress",), values))
            words = "This request could not be executed before the completion window expired."
            if n_unasked := fail("batch_expired", words):
                phase = "expired"
        errors = batch.errors or ((BatchError(code="server_error", message=error),) if error else ())
        self._writer.run(lambda connection: self._end(connection, batch, phase, errors, n_unasked))
        self._ledger.charged()
        self._loop.run(self._hander.forget(run_id))

    # The service's side

    def batch(self, batch_id: str) -> Batch:
        found = self._store.get(batch_id)
        if found is None:
            raise NotFound(f"No such Batch object: {batch_id[:60]}")
        return found

    def _move(self, batch_id: str, to: str, came_from: tuple[str, ...], **values: Any) -> bool:
        return bool(self._writer.run(lambda link: self._store.move(link, batch_id, to, came_from, **values)))

    def _validated(self, of: Round) -> bool:
        """Write down the lines of a file that is right; False where it is not, which is told by the batch's errors."""
        batch, wanted, group = of.batch, Wanted(), list[tuple[BatchLine, dict[str, Any]]]()
        check = Validation(batch.endpoint)
        self._writer.run(lambda connection: self._store.drop_lines(connection, batch.id))
        file = self._files.get(batch.input_file_id)
        for each in split(self._files.pieces(file)) if file is not None else ():
            found = check.take(*each)
            if found is not None and not check.errors:
                group.append(found)
            if len(group) >= LINES_AT_ONCE:
                self._add(of, group, check, wanted)
                group = []
                if self._is_closing.is_set():
                    raise Closing
        if not check.n_lines:
            check.refuse("empty_file", "The file holds no requests.")
        if not check.errors:
            self._add(of, group, check, wanted)
        check.vendor_model = self._loop.run(self._hander.choose(batch, check))
        return self._begun(batch, of.start, check, wanted)

    def _add(
        self, of: Round, group: Sequence[tuple[BatchLine, dict[str, Any]]], check: Validation, wanted: Wanted
    ) -> None:
        lines = self._loop.run(self._asker.quoted(of, group, check, wanted))
        self._writer.run(lambda connection: self._store.add_lines(connection, of.batch.id, lines))

    def _begun(self, batch: Batch, start: int, check: Validation, wanted: Wanted) -> bool:
        """Set the money aside and let the lines be asked; False = that cannot be."""

        def work(connection: Connection) -> tuple[bool, Admission | None]:
            admission = None if check.errors else self._ledger.hold(connection, batch.id, wanted)
            if admission is not None and admission.kind == "wait" and time.monotonic() < until:
                return False, admission
            values: dict[str, Any] = {"phase": "in_progress", "in_progress_at": clock.now_us(), "model": check.model}
            is_whole = admission is None or not admission.holds_rest  # else others are to answer a part
            values |= {"n_total": check.n_lines, "vendor_model": check.vendor_model if is_whole else ""}
            if check.vendor_model and not is_whole and batch.way:
                check.refuse("vendor_batch_unavailable", "A budget lets another model answer what it cannot pay.")
            if admission is not None and admission.budget is not None:
                check.refuse(*_refusal(admission, wanted))
            if check.errors:
                values = {"phase": "failed", "errors": errors_to_json(check.errors)}
                self._store.drop_lines(connection, batch.id)
            if not self._store.turn(connection, batch.id, start, ("validating",), values):
                release(connection, [batch.id])  # it was cancelled meanwhile
                return False, None
            return not check.errors, None

        until = time.monotonic() + ROOM_S
        while True:
            is_begun, waits_for = self._writer.run(work)
            if waits_for is None:
                self._ledger.charged()
                return bool(is_begun)
            if self._is_closing.wait(LOOK_S):
                raise Closing

    def _end(
        self, connection: Connection, batch: Batch, phase: str, errors: Sequence[BatchError], n_unasked: int
    ) -> None:
        """n_unasked: The lines that nobody answered, which are in the file of errors, and are no failures."""
        now = clock.now()
        values: dict[str, Any] = {"phase": phase, "owner": "", "ended_at": clock.to_us(now)}
        n_ok, n_failed = counts(connection, batch.id)
        values |= {"errors": errors_to_json(errors), "usage": json.dumps(usage_of(connection, batch.id))}
        values |= {"n_ok": n_ok, "n_failed": n_failed - n_unasked, "n_total": batch.n_total or n_ok + n_failed}
        lives_s = min(batch.output_s or KEPT_S, BRIEF_S if batch.is_brief else KEPT_S)
        for part, n, column in (("ok", n_ok, "output_file_id"), ("failed", n_failed, "error_file_id")):
            if n:
                file = StoredFile(
                    id=new_file_id(),
                    key_id=batch.key_id,
                    purpose=RESULTS,
                    filename=f"{batch.id}_{'output' if part == 'ok' else 'error'}.jsonl",
                    n_bytes=result_bytes(connection, batch.id, part),
                    created_at=now,
                    expires_at=now + timedelta(seconds=lives_s),
                    batch_id=batch.id,
                    part=part,
                )
                self._files.insert(connection, file, is_whole=True)
                values[column] = file.id
        release(connection, [batch.id])
        if self._store.move(connection, batch.id, "ended", ("running",), start=batch.n_starts, **values):
            file_sent = self._files.get(batch.input_file_id) if batch.is_brief else None
            if file_sent is not None:
                self._files.delete(connection, file_sent)


def _refusal(admission: Admission, wanted: Wanted) -> tuple[str, str]:
    """The code and the words of a budget that has no room for a batch."""
    budget = admission.budget
    assert budget is not None  # noqa: S101 - a refusal names its budget
    if admission.reason == "unpriced":
        text = f"The model has no known price, so the budget {budget.name!r} cannot set aside what the batch may cost."
        return BudgetExceeded.code, text
    worst = from_nano(sum(nano for spender, nano in wanted.worst_nano.items() if budget.covers(spender)))
    left, more = from_nano(admission.left_nano), ", and calls under way have reserved a part of it"
    text = f"The batch may cost ${worst:.6f}; the budget {budget.name!r} has ${left:.6f} left {budget.period_text}"
    hint = "Set max_tokens in each line, send fewer lines, or raise the budget."
    return BudgetExceeded.code, f"{text}{more if admission.kind == 'wait' else ''}. {hint}"
