"""Comparisons for their users: started, watched, voted on, listed."""

import contextlib
import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import get_args

from core import clock
from core.calls.accounting import checked_cap
from core.calls.call import Call, Origin
from core.calls.engine import CallEngine, check_request
from core.comparison import judging
from core.domain.comparison import DEFAULT_RULE, Candidate, Comparison, Criterion, Metric, Vote, VoteChoice, WinRate
from core.domain.generation import Generation, Message, Request
from core.domain.generation import Model as ModelInfo
from core.domain.text import as_list
from core.errors import AimmError, Conflict, InvalidRequest, NotFound
from core.storage.comparisons import ComparisonStore
from core.storage.writer import Work, Writer

MIN_CANDIDATES, MAX_CANDIDATES = 2, 8
KEPT_COMPARISONS = 200
_HERE = Origin(source="compare")
OUT_OF_MONEY = ("cap_reached", "budget_exceeded")


class ComparisonService:
    def __init__(
        self,
        store: ComparisonStore,
        writer: Writer,
        calls: CallEngine,
        resolve: Callable[[str], ModelInfo],
        *,
        keeps_prompts: bool = True,
    ) -> None:
        self._store = store
        self._writer = writer
        self._calls = calls
        self._resolve = resolve
        self._keeps_prompts = keeps_prompts
        self._running: dict[str, list[Call]] = {}

    def start(
        self,
        prompt: str,
        candidates: Sequence[str | Candidate],
        *,
        system: str | None = None,
        rule: Sequence[Criterion] = DEFAULT_RULE,
        origin: Origin = _HERE,
        cap_usd: Decimal | None = None,
    ) -> str:
        """Ask all candidates at the same time and return the comparison's id.

        origin: Who asks.
        cap_usd: What all of them may cost together. Each gets an equal share of it: its answer is kept that short, and
            one that cannot even begin on its share is left out until `resume` gives it more.

        Raises:
            InvalidRequest: Fewer than two or more than eight candidates, or a bad prompt or rule.
            ModelNotFound, AuthenticationError: A model cannot be asked; then none is.
        """
        candidates = as_list(candidates)
        if not MIN_CANDIDATES <= len(candidates) <= MAX_CANDIDATES:
            raise InvalidRequest(
                f"{len(candidates)} models given; a comparison takes {MIN_CANDIDATES} to {MAX_CANDIDATES}."
            )
        check_rule(rule)
        chosen = tuple(_candidate(given, position) for position, given in enumerate(candidates))
        chosen = tuple(replace(candidate, model=self._resolve(candidate.model).name) for candidate in chosen)
        comparison = Comparison(
            id=f"c_{clock.now_us():x}{secrets.token_hex(4)}",
            created_at=clock.now(),
            source=origin.source,
            prompt=prompt,
            system=system or None,
            rule=tuple(rule),
            candidates=chosen,
        )
        requests = [_request(comparison, candidate) for candidate in chosen]
        for request in requests:
            check_request(request)
        bare = tuple(replace(candidate, system=None) for candidate in comparison.candidates)
        kept = comparison if self._keeps_prompts else replace(comparison, prompt="", system=None, candidates=bare)
        self._writer.run(lambda connection: self._store.insert(connection, kept))
        share = None if cap_usd is None else checked_cap(cap_usd) / len(requests)
        self._running[comparison.id] = [
            self._submit(comparison, position, request, replace(origin, cap_usd=share))
            for position, request in enumerate(requests)
        ]
        for old in list(self._running)[:-KEPT_COMPARISONS]:
            if not self.is_running(old):
                self._running.pop(old, None)
        self._settle_at_end(comparison.id)
        return comparison.id

    def resume(self, comparison_id: str, *, cap_usd: Decimal | None = None) -> int:
        """Ask those again that a cap or a budget kept from answering; returns how many. cap_usd: For these together.

        Raises:
            NotFound; Conflict: It is not of this process, or still runs.
        """
        comparison, calls = self.get(comparison_id), self._running.get(comparison_id)
        if calls is None or self.is_running(comparison_id):
            raise Conflict("Only a finished comparison of this session can go on.")
        waiting = [at for at, call in enumerate(calls) if call.error is not None and call.error.code in OUT_OF_MONEY]
        share = None if cap_usd is None or not waiting else checked_cap(cap_usd) / len(waiting)
        for at in waiting:
            calls[at] = self._submit(comparison, at, calls[at].request, replace(calls[at].origin, cap_usd=share))
        if waiting:
            self._settle_at_end(comparison_id)
        return len(waiting)

    def _submit(self, comparison: Comparison, position: int, request: Request, origin: Origin) -> Call:
        origin = replace(origin, ref_id=comparison.id, ref_part=str(position))
        return self._calls.submit(request, origin, self._recorder(comparison.id, position))

    def calls(self, comparison_id: str) -> list[Call]:
        """The calls, by position, of a comparison of this process, running or recent; else empty."""
        return list(self._running.get(comparison_id, ()))

    def is_running(self, comparison_id: str) -> bool:
        return any(not call.done.done() for call in self.calls(comparison_id))

    def wait(self, comparison_id: str) -> Comparison:
        """Wait for all answers, name the winner by the rule, and return the comparison."""
        for call in self.calls(comparison_id):
            try:
                call.result()
            except AimmError:  # not recordable, e.g. a parameter the model refuses: the column says so
                continue
        return self.settle(comparison_id)

    def settle(self, comparison_id: str, rule: Sequence[Criterion] | None = None) -> Comparison:
        """Apply the rule (a new one, if given) to the answers that are there, and keep what comes out.

        Raises:
            InvalidRequest: The rule is empty or names no metric. NotFound: no such comparison.
        """
        comparison = self.get(comparison_id)
        is_stored = rule is None
        rule = tuple(comparison.rule if rule is None else rule)
        check_rule(rule)
        best = judging.winner(comparison.candidates, rule)
        position = best.position if best else None
        new_rule = None if is_stored else rule  # a winner found at the end must not undo a rule set meanwhile
        self._writer.run(lambda connection: self._store.set_winner(connection, comparison_id, new_rule, position))
        return replace(comparison, rule=rule, winner=position)

    def get(self, comparison_id: str) -> Comparison:
        found = self._store.get(comparison_id)
        if found is None:
            raise NotFound(f"There is no comparison {comparison_id[:60]!r}.")
        return replace(
            found, candidates=tuple(self._with_answer(found.id, candidate) for candidate in found.candidates)
        )

    def _with_answer(self, comparison_id: str, candidate: Candidate) -> Candidate:
        """With the answer as this process still knows it, also where the log keeps no texts."""
        calls = self.calls(comparison_id)
        call = calls[candidate.position] if calls else None
        if call is None or not call.done.done() or call.done.exception() is not None:
            return candidate
        return replace(candidate, generation=call.result())

    def latest(self, limit: int = 50) -> list[Comparison]:
        return self._store.latest(limit)

    def vote(
        self, comparison_id: str, choice: VoteChoice, *, pair: tuple[int, int] = (0, 1), blind: bool = False
    ) -> None:
        """Record which of two answers a person prefers: a is pair[0], b is pair[1].

        Raises:
            InvalidRequest: The choice or the pair does not exist, or one of the two has no answer.
        """
        comparison = self.get(comparison_id)
        if choice not in get_args(VoteChoice):
            raise InvalidRequest(f"choice == {choice!r}, must be one of {', '.join(get_args(VoteChoice))}")
        by_position = {candidate.position: candidate for candidate in comparison.candidates}
        if not set(pair) <= set(by_position):
            raise InvalidRequest(f"pair == {pair}, must be two positions of the comparison")
        a, b = (by_position[position] for position in pair)
        if a.position == b.position or not (a.can_win and b.can_win):
            raise InvalidRequest("A vote needs two different answers that are complete.")
        row = {
            "id": f"v_{clock.now_us():x}{secrets.token_hex(4)}",
            "comparison_id": comparison_id,
            "created_at": clock.now_us(),
            "position_a": a.position,
            "position_b": b.position,
            "model_a": a.model,
            "model_b": b.model,
            "choice": choice,
            "is_blind": int(blind),
        }
        self._writer.run(lambda connection: self._store.insert_votes(connection, [row]))

    def votes(self, *, demo: bool = False) -> list[Vote]:
        return self._store.votes(demo=demo)

    def win_rates(self, *, demo: bool = False) -> list[WinRate]:
        return judging.win_rates(self.votes(demo=demo))

    def _settle_at_end(self, comparison_id: str) -> None:
        """Name the winner when the last answer is in, also when nobody watches."""

        def wait() -> None:
            with contextlib.suppress(AimmError):  # the database is closed: the process is going down
                self.wait(comparison_id)

        threading.Thread(target=wait, name="aimm-comparison", daemon=True).start()

    def _recorder(self, comparison_id: str, position: int) -> Callable[[Generation], Work]:
        def record(generation: Generation) -> Work:
            return lambda connection: self._store.set_generation(connection, comparison_id, position, generation.id)

        return record


def _candidate(given: str | Candidate, position: int) -> Candidate:
    return Candidate(position=position, model=given) if isinstance(given, str) else replace(given, position=position)


def _request(comparison: Comparison, candidate: Candidate) -> Request:
    return Request(
        model=candidate.model,
        messages=(Message("user", comparison.prompt),),
        system=candidate.system or comparison.system,
        parameters=candidate.parameters,
    )


def check_rule(rule: Sequence[Criterion]) -> None:
    metrics = [criterion.metric for criterion in rule]
    if not metrics or len(set(metrics)) != len(metrics) or set(metrics) - set(get_args(Metric)):
        raise InvalidRequest(f"The rule {metrics} must name each of {', '.join(get_args(Metric))} at most once.")
    if any(not 0 <= criterion.tie_share <= 1 for criterion in rule):
        raise InvalidRequest("A tie band is a share from 0 to 1.")
