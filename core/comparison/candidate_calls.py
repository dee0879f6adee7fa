"""The calls of comparisons: begun together, remembered while they run, and asked again where they were lost."""

import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Any

from core import clock
from core.calls.call import Call
from core.calls.origin import Origin
from core.comparison.plan import request_of
from core.domain.comparison import INTERRUPTED, STOPPED, Candidate, Comparison
from core.domain.generation import Generation, Request
from core.errors import AimmError, NotFound
from core.keys.rules import problem_of
from core.runs.job import JobTools
from core.storage.comparisons import ComparisonStore
from core.storage.engine.writer import Work

KEPT_COMPARISONS = 200
RECORDED_S = 5.0


class CandidateCalls:
    """The calls that this process makes for comparisons, the last ones of each."""

    def __init__(self, tools: JobTools, store: ComparisonStore, is_closing: threading.Event) -> None:
        """is_closing: Set when the process goes down."""
        self._tools = tools
        self._writer = tools.writer
        self._store = store
        self.is_closing = is_closing
        self._calls: dict[str, tuple[int, dict[int, Call]]] = {}  # by comparison: the start, and its calls by position

    def start_of(self, comparison_id: str) -> int:
        """The start in which this process asked last; 0 = in none."""
        return self._calls.get(comparison_id, (0, {}))[0]

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

    def calls(self, comparison_id: str) -> dict[int, Call]:
        return dict(self._calls.get(comparison_id, (0, {}))[1])

    def is_over(self, comparison_id: str) -> bool:
        """Tell whether this process asked, and all answers are in."""
        calls = self.calls(comparison_id)
        return bool(calls) and all(call.done.done() for call in calls.values())

    def submit(
        self, comparison: Comparison, requests: dict[int, tuple[Request, Origin]], left_usd: Decimal | None
    ) -> None:
        """Submit these at the same time, each with its share of what is left of the cap."""
        share = None if left_usd is None else left_usd / len(requests)
        calls = {at: call for at, call in self.calls(comparison.id).items() if at not in requests}
        refused = {}
        for at, (request, origin) in requests.items():
            origin = replace(origin, ref_id=comparison.id, ref_part=str(at), cap_usd=share, is_permitted=True)
            try:
                calls[at] = self._tools.calls.submit(request, origin, on_record=self._recorder(comparison.id, at))
            except AimmError as error:
                refused[at] = str(error)
        self._calls[comparison.id] = (comparison.n_starts, dict(sorted(calls.items())))
        for at, words in refused.items():
            self._writer.run(
                partial(
                    self._store.set_candidate, comparison_id=comparison.id, position=at, generation_id=None, error=words
                )
            )
        for old in list(self._calls)[:-KEPT_COMPARISONS]:
            if self.is_over(old):
                self._calls.pop(old, None)

    def submit_missing(self, comparison_id: str, start: int, wanted: Collection[int] | None = None) -> None:
        """Put on record what was lost with another process, and ask for it again if that may be.

        wanted: The positions to ask for; None = all but those that a stop has ended.
        """
        comparison = self.read(comparison_id)
        calls = self.calls(comparison_id)
        running = {at for at, call in calls.items() if not call.done.done()}
        lost = [c for c in comparison.candidates if c.is_lost and c.position not in running]
        missing = [c for c in lost if (c.error != STOPPED if wanted is None else c.position in wanted)]
        known = {at: (call.request, call.origin) for at, call in calls.items()}
        own = Origin(source=comparison.source, key=self._tools.key_of(comparison.key_id))  # type: ignore[arg-type]
        for candidate in missing:
            if not candidate.error:
                at = candidate.position
                record = self._recorder(comparison_id, at, INTERRUPTED)
                origin = replace(own, ref_id=comparison_id, ref_part=str(at))
                request = request_of(comparison, candidate)
                self._tools.calls.record_lost(request, origin, comparison.created_at, record)
        if not missing or self.problem(comparison, missing):
            self._calls[comparison_id] = (start, calls)
            return

        def work(connection: Any) -> None:
            for candidate in missing:
                self._store.set_candidate(connection, comparison_id, candidate.position, None)

        self._writer.run(work)
        left = None if comparison.cap_usd is None else comparison.cap_usd - self._store.spent(comparison_id)
        requests = {c.position: known.get(c.position) or (request_of(comparison, c), own) for c in missing}
        self.submit(comparison, requests, left)

    def problem(self, comparison: Comparison, missing: Sequence[Candidate]) -> str:
        """The reason why these cannot be asked again; empty = they can."""
        calls = self.calls(comparison.id)
        if not comparison.prompt and not all(candidate.position in calls for candidate in missing):
            return "The prompt of this comparison was not kept, so it cannot be asked again."
        key = self._tools.key_of(comparison.key_id)
        return problem_of(comparison.key_id, key, clock.now(), *(candidate.name for candidate in missing))

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
                    said = INTERRUPTED if self.is_closing.is_set() else STOPPED if is_stopped else ""
                self._store.record(connection, comparison_id, position, generation, said)

            return work

        return record
