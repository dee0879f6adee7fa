"""Comparisons as a kind of run: each candidate's answer is a step, and all of them are asked at the same time."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Any

from core import clock
from core.calls.call import Call, Origin
from core.comparison import judging
from core.domain.comparison import INTERRUPTED, STOPPED, Candidate, Comparison, Criterion
from core.domain.generation import Generation, Message, Request
from core.errors import AimmError, Conflict, DamagedRecord, NotFound
from core.pricing.receipt import to_nano
from core.runs.job import Closing, JobTools
from core.storage.calls.generations import GenerationStore
from core.storage.comparisons import ComparisonStore
from core.storage.engine.writer import Work
from core.storage.runs import Unfinished

KEPT_COMPARISONS = 200
LOOK_S = 0.5  # how soon a stop is seen that another process was asked for
RECORDED_S = 5.0


class ComparisonJob:
    kind = "comparison"

    def __init__(self, tools: JobTools, is_closing: threading.Event) -> None:
        """is_closing: Set when the process goes down."""
        self._tools = tools
        self._writer = tools.writer
        self._store = ComparisonStore(tools.database, GenerationStore(tools.database))
        self._is_closing = is_closing
        self._asked: dict[str, tuple[int, dict[int, Call]]] = {}  # by comparison: the start, and its calls by position

    # The engine's questions

    def unfinished(self) -> list[Unfinished]:
        return self._store.unfinished()

    def claim(self, run_id: str, owner: str) -> int | None:
        try:
            start = self.read(run_id).n_starts + 1
        except DamagedRecord:  # it would be looked at again and again
            self.move(run_id, "finished", ("queued",), owner="")
            return None
        return start if self.move(run_id, "running", ("queued",), n_starts=start, owner=owner) else None

    def requeue(self, run_id: str, start: int) -> None:
        self.move(run_id, "queued", ("running",), start=start, owner="")

    def steps(self, run_id: str, start: int) -> Sequence[str]:
        comparison = self.read(run_id)
        is_ours = comparison.n_starts == start and comparison.status == "running"
        return [str(candidate.position) for candidate in comparison.candidates] if is_ours else []

    def do_step(self, run_id: str, start: int, step: str) -> bool:
        begun, calls = self._asked.get(run_id, (0, {}))
        if begun != start:
            calls = self.ask_missing(run_id, start)
        call = calls.get(int(step))
        while call is not None and not call.done.done():
            with suppress(TimeoutError, AimmError):  # what cannot be recorded is told by `settle`
                call.result(timeout_s=LOOK_S)
            if not call.done.done() and not self._is_wanted(run_id, start):
                call.cancel()
        if self._is_closing.is_set() and call is not None and self._is_cut(call):
            raise Closing
        return True

    def settle(self, run_id: str, start: int, error: str = "") -> None:
        """Name the winner by the rule as it stands; candidates without an answer are told by their columns."""
        if error:
            self.move(run_id, "finished", ("running",), start=start, owner="")
            return
        comparison = self.known(run_id)
        begun, calls = self._asked.get(run_id, (0, {}))
        done = {at: call.done.exception() for at, call in calls.items() if begun == start}

        def work(connection: Any) -> None:
            self.name_winner(connection, comparison)
            self._store.move(connection, run_id, "finished", ("running",), start=start, owner="")
            status, now = self._store.standing(connection, run_id)
            for at, failure in done.items():
                if failure is not None and now == start:
                    said = STOPPED if status == "stopped" and isinstance(failure, Conflict) else str(failure)
                    self._store.set_candidate(connection, run_id, at, None, said)

        self._writer.run(work)

    # The service's side

    def read(self, comparison_id: str) -> Comparison:
        """A comparison as it stands on record."""
        found = self._store.get(comparison_id)
        if found is None:
            raise NotFound(f"There is no comparison {comparison_id[:60]!r}.")
        return found

    def known(self, comparison_id: str) -> Comparison:
        """A comparison with its answers as this process still knows them, also where the log keeps no texts."""
        comparison, calls = self.read(comparison_id), self.calls(comparison_id)

        def with_answer(candidate: Candidate) -> Candidate:
            call = calls.get(candidate.position)
            if call is None or not call.done.done() or call.done.exception() is not None:
                return candidate
            return replace(candidate, generation=call.result(), generation_id=call.result().id)

        return replace(comparison, candidates=tuple(map(with_answer, comparison.candidates)))

    def page(self, limit: int, before: str | None, *, demo: bool | None) -> tuple[list[Comparison], str | None]:
        return self._store.page(limit, before, demo=demo)

    def insert(self, comparison: Comparison) -> None:
        self._writer.run(lambda connection: self._store.insert(connection, comparison))

    def move(self, comparison_id: str, to: str, came_from: tuple[str, ...], **values: Any) -> bool:
        """Change where it stands; see `core.storage.runs.move`."""
        return bool(self._writer.run(lambda link: self._store.move(link, comparison_id, to, came_from, **values)))

    def name_winner(
        self, connection: Any, comparison: Comparison, rule: Sequence[Criterion] | None = None
    ) -> int | None:
        """Keep the winner's position by the rule; a rule that is given is kept with it."""
        best = judging.winner(comparison.candidates, rule or comparison.rule)
        position = best.position if best else None
        self._store.set_winner(connection, comparison.id, rule, position)
        return position

    def calls(self, comparison_id: str) -> dict[int, Call]:
        return dict(self._asked.get(comparison_id, (0, {}))[1])

    def settle_if_over(self, comparison_id: str) -> bool:
        """Settle a comparison of this process whose answers are all in; False where it is none."""
        if is_over := self._is_over(comparison_id):
            self.settle(comparison_id, self._asked[comparison_id][0])
        return is_over

    def _is_over(self, comparison_id: str) -> bool:
        calls = self.calls(comparison_id)
        return bool(calls) and all(call.done.done() for call in calls.values())

    def spent(self, comparison_id: str) -> Decimal:
        """The cost of all its calls so far; an unknown one counts as nothing."""
        return self._store.spent(comparison_id)

    def reopen(self, comparison: Comparison, again: Sequence[Candidate], owner: str, cap_usd: Decimal | None) -> bool:
        """Begin its next start, in which these are asked again; False = somebody else has done something with it."""
        start = comparison.n_starts

        def work(connection: Any) -> bool:
            came_from = ("queued", "running", "stopped", "finished")
            cap = None if cap_usd is None else to_nano(cap_usd)
            values = {"start": start, "n_starts": start + 1, "owner": owner, "cap_nano_usd": cap}
            if not self._store.move(connection, comparison.id, "running", came_from, **values):
                return False
            for c in again:
                if c.generation_id or c.error or comparison.status == "finished":  # else its call is not yet on record
                    known = c.generation_id or None
                    self._store.set_candidate(connection, comparison.id, c.position, known, INTERRUPTED)
            return True

        return bool(self._writer.run(work))

    def ask(self, comparison: Comparison, asked: dict[int, tuple[Request, Origin]], left_usd: Decimal | None) -> None:
        """Ask these at the same time, each with its share of what is left of the cap."""
        share = None if left_usd is None else left_usd / len(asked)
        calls = {at: call for at, call in self.calls(comparison.id).items() if at not in asked}
        refused = {}
        for at, (request, origin) in asked.items():
            origin = replace(origin, ref_id=comparison.id, ref_part=str(at), cap_usd=share, is_permitted=True)
            try:
                calls[at] = self._tools.calls.submit(request, origin, also=self._recorder(comparison.id, at))
            except AimmError as error:
                refused[at] = str(error)
        self._asked[comparison.id] = (comparison.n_starts, dict(sorted(calls.items())))
        for at, words in refused.items():
            self._writer.run(
                partial(
                    self._store.set_candidate, comparison_id=comparison.id, position=at, generation_id=None, error=words
                )
            )
        for old in list(self._asked)[:-KEPT_COMPARISONS]:
            if self._is_over(old):
                self._asked.pop(old, None)

    def ask_missing(self, comparison_id: str, start: int) -> dict[int, Call]:
        """Put on record what was lost with another process, and ask for it again if that may be."""
        comparison = self.read(comparison_id)
        missing = [candidate for candidate in comparison.candidates if candidate.is_lost]
        known = {at: (call.request, call.origin) for at, call in self.calls(comparison_id).items()}
        own = Origin(source=comparison.source, key=self._tools.key_of(comparison.key_id))  # type: ignore[arg-type]
        for candidate in missing:
            if not candidate.error:
                at = candidate.position
                record = self._recorder(comparison_id, at, INTERRUPTED)
                lost = replace(own, ref_id=comparison_id, ref_part=str(at))
                request = request_of(comparison, candidate)
                self._tools.calls.record_lost(request, lost, comparison.created_at, record)
        if not missing or self.problem(comparison, missing):
            self._asked[comparison_id] = (start, {})
            return {}

        def work(connection: Any) -> None:
            for candidate in missing:
                self._store.set_candidate(connection, comparison_id, candidate.position, None)

        self._writer.run(work)
        left = None if comparison.cap_usd is None else comparison.cap_usd - self.spent(comparison_id)
        asked = {c.position: known.get(c.position) or (request_of(comparison, c), own) for c in missing}
        self.ask(comparison, asked, left)
        return self.calls(comparison_id)

    def problem(self, comparison: Comparison, missing: Sequence[Candidate]) -> str:
        """The reason why these cannot be asked again; empty = they can."""
        calls = self.calls(comparison.id)
        if not comparison.prompt and not all(candidate.position in calls for candidate in missing):
            return "The prompt of this comparison was not kept, so it cannot be asked again."
        key = self._tools.key_of(comparison.key_id)
        if comparison.key_id and (key is None or not key.is_valid_at(clock.now())):
            return "The key that asked for this comparison is no longer valid."
        return ""

    def await_recorded(self, comparison_id: str) -> None:
        """Wait until each call of a comparison that was stopped is on record, whichever process made it."""
        deadline = time.monotonic() + RECORDED_S
        while any(not c.generation_id and not c.error for c in self.read(comparison_id).candidates):
            if time.monotonic() > deadline:
                return
            time.sleep(0.02)

    def _recorder(self, comparison_id: str, position: int, error: str = "") -> Callable[[Generation], Work]:
        def record(generation: Generation) -> Work:
            def work(connection: Any) -> None:
                said = error
                if generation.status == "stopped":
                    is_stopped = self._store.standing(connection, comparison_id)[0] == "stopped"
                    said = INTERRUPTED if self._is_closing.is_set() else STOPPED if is_stopped else ""
                self._store.set_candidate(connection, comparison_id, position, generation.id, said)

            return work

        return record

    def _is_wanted(self, comparison_id: str, start: int) -> bool:
        with self._tools.database.read() as connection:
            return self._store.standing(connection, comparison_id) == ("running", start)

    @staticmethod
    def _is_cut(call: Call) -> bool:
        """Tell whether a finished call was stopped before its answer was whole."""
        error = call.done.exception()
        return isinstance(error, Conflict) if error else call.result().status == "stopped"


def request_of(comparison: Comparison, candidate: Candidate) -> Request:
    return Request(
        model=candidate.model,
        messages=(Message("user", comparison.prompt),),
        system=candidate.system or comparison.system,
        parameters=candidate.parameters,
    )
