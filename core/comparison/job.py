"""Comparisons as a kind of run: each candidate's answer is a step, and all of them are asked at the same time."""

from collections.abc import Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Any

from core.calls.call import Call
from core.comparison import winners
from core.comparison.candidate_calls import CandidateCalls
from core.domain.comparison import INTERRUPTED, STOPPED, Candidate, Comparison, Criterion
from core.errors import AimmError, Conflict, DamagedRecord
from core.formats.money import to_nano
from core.runs.job import Closing, JobTools
from core.storage.comparisons import ComparisonStore
from core.storage.runs import Unfinished

LOOK_S = 0.5  # how soon a stop is seen that another process was asked for


class ComparisonJob:
    kind = "comparison"

    def __init__(self, tools: JobTools, store: ComparisonStore, calls: CandidateCalls) -> None:
        self._database = tools.database
        self._writer = tools.writer
        self._store = store
        self._calls = calls

    # The engine's questions

    def unfinished(self) -> list[Unfinished]:
        return self._store.unfinished()

    def claim(self, run_id: str, owner: str) -> int | None:
        try:
            start = self._calls.read(run_id).n_starts + 1
        except DamagedRecord:  # it would be looked at again and again
            self.move(run_id, "finished", ("queued",), owner="")
            return None
        return start if self.move(run_id, "running", ("queued",), n_starts=start, owner=owner) else None

    def requeue(self, run_id: str, start: int) -> None:
        self.move(run_id, "queued", ("running",), start=start, owner="")

    def steps(self, run_id: str, start: int) -> Sequence[str]:
        comparison = self._calls.read(run_id)
        is_ours = comparison.n_starts == start and comparison.status == "running"
        return [str(candidate.position) for candidate in comparison.candidates] if is_ours else []

    def do_step(self, run_id: str, start: int, step: str) -> bool:
        if self._calls.start_of(run_id) != start:
            self._calls.submit_missing(run_id, start)
        call = self._calls.calls(run_id).get(int(step))
        while call is not None and not call.done.done():
            with suppress(TimeoutError, AimmError):  # what cannot be recorded is told by `settle`
                call.result(timeout_s=LOOK_S)
            if not call.done.done() and not self._is_wanted(run_id, start):
                call.cancel()
        if self._calls.is_closing.is_set() and call is not None and self._is_cut(call):
            raise Closing
        return True

    def settle(self, run_id: str, start: int, error: str = "") -> None:
        """Name the winner by the rule as it stands; candidates without an answer are told by their columns."""
        if error:
            self.move(run_id, "finished", ("running",), start=start, owner="")
            return
        comparison = self._calls.known(run_id)
        calls = self._calls.calls(run_id) if self._calls.start_of(run_id) == start else {}
        failures = {at: failure for at, call in calls.items() if (failure := call.done.exception()) is not None}

        def work(connection: Any) -> None:
            self.name_winner(connection, comparison)
            self._store.move(connection, run_id, "finished", ("running",), start=start, owner="")
            status, now = self._store.standing(connection, run_id) if failures else ("", 0)
            for at, failure in failures.items():
                if now == start:
                    said = STOPPED if status == "stopped" and isinstance(failure, Conflict) else str(failure)
                    self._store.set_candidate(connection, run_id, at, None, said)

        self._writer.run(work)

    # The service's side

    def move(self, comparison_id: str, to: str, came_from: tuple[str, ...], **values: Any) -> bool:
        """Change where it stands; see `core.storage.runs.move`."""
        return bool(self._writer.run(lambda link: self._store.move(link, comparison_id, to, came_from, **values)))

    def name_winner(
        self, connection: Any, comparison: Comparison, rule: Sequence[Criterion] | None = None
    ) -> int | None:
        """Keep the winner's position by the rule; a rule that is given is kept with it."""
        best = winners.winner(comparison.candidates, rule or comparison.rule)
        position = best.position if best else None
        self._store.set_winner(connection, comparison.id, rule, position)
        return position

    def reopen(self, comparison: Comparison, again: Sequence[Candidate], owner: str, cap_usd: Decimal | None) -> bool:
        """Begin its next start, in which these are asked again; False = somebody else has done something with it."""
        start = comparison.n_starts

        def work(connection: Any) -> bool:
            came_from = ("queued", "running", "stopped", "finished")
            cap = None if cap_usd is None else to_nano(cap_usd)
            values = {"start": start, "n_starts": start + 1, "owner": owner, "limit_nano_usd": cap}
            if not self._store.move(connection, comparison.id, "running", came_from, **values):
                return False
            for c in again:
                if c.generation_id or c.error or comparison.status == "finished":  # else its call is not yet on record
                    known = c.generation_id or None
                    self._store.set_candidate(connection, comparison.id, c.position, known, INTERRUPTED)
            return True

        return bool(self._writer.run(work))

    def _is_wanted(self, comparison_id: str, start: int) -> bool:
        with self._database.read() as connection:
            return self._store.standing(connection, comparison_id) == ("running", start)

    @staticmethod
    def _is_cut(call: Call) -> bool:
        """Tell whether a finished call was stopped before its answer was whole."""
        error = call.done.exception()
        return isinstance(error, Conflict) if error else call.result().status == "stopped"
