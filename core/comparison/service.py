"""Comparisons for their users: started, watched, resumed, listed."""

import contextlib
import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, get_args

from core import clock
from core.calls.accounting import checked_cap
from core.calls.call import Call, Origin
from core.calls.engine import CallEngine, check_request
from core.comparison import judging
from core.comparison.voting import VoteService
from core.domain.comparison import (
    DEFAULT_RULE,
    INTERRUPTED,
    Candidate,
    Comparison,
    Criterion,
    Metric,
    prompt_digest,
)
from core.domain.generation import Generation, Message, Request
from core.domain.key import Key
from core.errors import AimmError, Conflict, DamagedRecord, InvalidRequest, NotFound
from core.formats.text import as_list
from core.storage.calls.generations import GenerationStore
from core.storage.comparisons import ComparisonStore
from core.storage.engine.database import Database
from core.storage.engine.presence import Presence
from core.storage.engine.writer import Work, Writer

MIN_CANDIDATES, MAX_CANDIDATES = 2, 8
KEPT_COMPARISONS = 200
_HERE = Origin(source="compare")
_ASKED_AGAIN = ("cap_reached", "budget_exceeded", INTERRUPTED)


class ComparisonService:
    def __init__(  # noqa: PLR0913 - what a comparison is made with
        self,
        database: Database,
        writer: Writer,
        calls: CallEngine,
        presence: Presence,
        *,
        resolve: Callable[[Candidate], Candidate],
        key_of: Callable[[str], Key | None],
        keeps_prompts: bool = True,
    ) -> None:
        """resolve: A candidate with the model that is really asked. key_of: The key of an id; None = there is none."""
        self._store = ComparisonStore(database, GenerationStore(database))
        self._writer = writer
        self._calls = calls
        self._presence = presence
        self._resolve = resolve
        self._key_of = key_of
        self._keeps_prompts = keeps_prompts
        self._running: dict[str, dict[int, Call]] = {}
        self.voting = VoteService(database, writer, self.get)
        self.vote, self.votes, self.win_rates = self.voting.vote, self.voting.all, self.voting.win_rates

    def start(  # noqa: PLR0913 - what is asked, by whom and how
        self,
        prompt: str,
        candidates: Sequence[str | Candidate],
        *,
        system: str | None = None,
        rule: Sequence[Criterion] = DEFAULT_RULE,
        origin: Origin = _HERE,
        cap_usd: Decimal | None = None,
        is_blind: bool = False,
    ) -> str:
        """Ask all candidates at the same time and return the comparison's id.

        origin: Who asks.
        cap_usd: What all of them may cost together. Each gets an equal share of it: its answer is kept that short, and
            one that cannot even begin on its share is left out until `resume` gives it more.
        is_blind: Whether voters see the answers alone until they have voted; see `hides_names`.

        Raises:
            InvalidRequest: Fewer than two or more than eight candidates, or a bad prompt or rule.
            ModelNotFound, AuthenticationError, Forbidden: A model cannot be asked; then none is.
        """
        candidates = as_list(candidates)
        if not MIN_CANDIDATES <= len(candidates) <= MAX_CANDIDATES:
            raise InvalidRequest(
                f"{len(candidates)} models given; a comparison takes {MIN_CANDIDATES} to {MAX_CANDIDATES}."
            )
        check_rule(rule)
        asked = [_candidate(given, position) for position, given in enumerate(candidates)]
        self._calls.check_models(origin, *(candidate.model for candidate in asked))
        chosen = [self._resolve(candidate) for candidate in asked]
        comparison = Comparison(
            id=f"c_{clock.now_us():x}{secrets.token_hex(4)}",
            created_at=clock.now(),
            source=origin.source,
            prompt=prompt,
            system=system or None,
            rule=tuple(rule),
            candidates=tuple(replace(c, prompt=prompt_digest(c.system or system)) for c in chosen),
            is_blind=is_blind,
            key_id=origin.key_id,
            owner=self._presence.announce(),
        )
        requests = {candidate.position: _request(comparison, candidate) for candidate in comparison.candidates}
        for request in requests.values():
            check_request(request)
        bare = tuple(replace(candidate, system=None) for candidate in comparison.candidates)
        kept = comparison if self._keeps_prompts else replace(comparison, prompt="", system=None, candidates=bare)
        self._writer.run(lambda connection: self._store.insert(connection, kept))
        self._ask(comparison, {position: (request, origin) for position, request in requests.items()}, cap_usd)
        return comparison.id

    def _ask(self, comparison: Comparison, asked: dict[int, tuple[Request, Origin]], cap_usd: Decimal | None) -> None:
        """Begin these calls, which share the cap, and name the winner when the last answer is in, also when nobody watches."""
        share = None if cap_usd is None else checked_cap(cap_usd) / len(asked)
        calls = dict(self._running.get(comparison.id, {}))
        for at, (request, origin) in asked.items():
            origin = replace(origin, ref_id=comparison.id, ref_part=str(at), cap_usd=share, is_permitted=True)
            calls[at] = self._calls.submit(request, origin, also=self._recorder(comparison.id, at))
        self._running[comparison.id] = calls
        for old in list(self._running)[:-KEPT_COMPARISONS]:
            if all(call.done.done() for call in self.calls(old).values()):
                self._running.pop(old, None)

        def wait() -> None:
            with contextlib.suppress(AimmError):  # the database is closed: the process is going down
                self.wait(comparison.id)

        threading.Thread(target=wait, name="aimm-comparison", daemon=True).start()

    def resume(self, comparison_id: str, *, cap_usd: Decimal | None = None) -> int:
        """Ask those again that are without an answer because of a cap, a budget or the end of a process; returns how many.

        cap_usd: For these together.

        Raises:
            NotFound; Conflict: it still runs, its prompt was not kept, or its key is no more.
        """
        comparison = self._taken_up(self.get(comparison_id))
        waiting = [c for c in comparison.candidates if is_waiting(c)]
        calls = self._running.get(comparison_id, {})
        if comparison.is_running:
            raise Conflict("The comparison still runs.")
        if not waiting:
            return 0
        if not comparison.prompt and not all(c.position in calls for c in waiting):
            raise Conflict("The prompt of this comparison was not kept, so it cannot be asked again.")
        key = self._key_of(comparison.key_id)
        if comparison.key_id and (key is None or not key.is_valid_at(clock.now())):
            raise Conflict("The key that asked for this comparison is no longer valid.")
        origin = Origin(source=comparison.source, key=key)  # type: ignore[arg-type]
        known = {at: (call.request, call.origin) for at, call in calls.items()}
        asked = {c.position: known.get(c.position) or (_request(comparison, c), origin) for c in waiting}
        owner = self._presence.announce()

        def take(connection: Any) -> bool:
            if not self._store.hand_over(connection, comparison_id, "", owner):
                return False
            for position in asked:
                self._store.set_candidate(connection, comparison_id, position, None)
            return True

        if not self._writer.run(take):
            raise Conflict("The comparison still runs.")
        self._ask(comparison, asked, cap_usd)
        return len(waiting)

    def take_up(self) -> None:
        """Put on record what comparisons lost with a process that died; they can be resumed."""
        for comparison_id, owner in self._store.owned():
            if not self._presence.is_alive(owner):
                with contextlib.suppress(DamagedRecord):  # the others are taken up all the same
                    self._taken_up(self.get(comparison_id))

    def _taken_up(self, comparison: Comparison) -> Comparison:
        """The comparison, after the calls that died with its process are on record."""
        dead = comparison.owner
        if not dead or self._presence.is_alive(dead):
            return comparison
        mine = self._presence.announce()
        if self._writer.run(lambda connection: self._store.hand_over(connection, comparison.id, dead, mine)):
            origin = Origin(source=comparison.source, key=self._key_of(comparison.key_id), ref_id=comparison.id)  # type: ignore[arg-type]
            for c in comparison.candidates:
                if not c.generation_id:
                    record = self._recorder(comparison.id, c.position, INTERRUPTED)
                    request, lost = _request(comparison, c), replace(origin, ref_part=str(c.position))
                    self._calls.record_lost(request, lost, comparison.created_at, record)
            self.settle(comparison.id)
        return self.get(comparison.id)

    def calls(self, comparison_id: str) -> dict[int, Call]:
        """The calls of this process by position, running or recent; empty where another process asked."""
        return dict(self._running.get(comparison_id, {}))

    def is_here(self, comparison: Comparison) -> bool:
        """Whether it is this process that asks, or has asked and not yet written down that it is over."""
        return comparison.owner == self._presence.token

    def wait(self, comparison_id: str) -> Comparison:
        """Wait for all answers that this process asks for, name the winner by the rule, and return the comparison."""
        for call in self.calls(comparison_id).values():
            with contextlib.suppress(
                AimmError
            ):  # not recordable, e.g. a parameter the model refuses: the column says so
                call.result()
        return self.settle(comparison_id)

    def settle(self, comparison_id: str, rule: Sequence[Criterion] | None = None) -> Comparison:
        """Apply the rule (a new one, if given) to the answers that are there, and keep what comes out.

        Raises:
            InvalidRequest: The rule is empty or names no metric. NotFound: no such comparison.
        """
        comparison, is_stored = self.get(comparison_id), rule is None
        rule = tuple(comparison.rule if rule is None else rule)
        check_rule(rule)
        best = judging.winner(comparison.candidates, rule)
        position = best.position if best else None
        new_rule = None if is_stored else rule  # a winner found at the end must not undo a rule set meanwhile
        calls = self.calls(comparison_id)
        is_over = all(call.done.done() for call in calls.values())
        errors = {at: str(call.done.exception()) for at, call in calls.items() if is_over and call.done.exception()}

        def work(connection: Any) -> None:
            self._store.set_winner(connection, comparison_id, new_rule, position)
            if is_over and self._store.hand_over(connection, comparison_id, self._presence.token, ""):
                for at, error in errors.items():
                    self._store.set_candidate(connection, comparison_id, at, None, error)

        self._writer.run(work)
        return replace(self.get(comparison_id), rule=rule, winner=position)

    def get(self, comparison_id: str) -> Comparison:
        found = self._store.get(comparison_id)
        if found is None:
            raise NotFound(f"There is no comparison {comparison_id[:60]!r}.")
        return replace(
            self._seen(found),
            candidates=tuple(self._with_answer(found.id, candidate) for candidate in found.candidates),
        )

    def _seen(self, comparison: Comparison) -> Comparison:
        return replace(comparison, is_running=bool(comparison.owner) and self._presence.is_alive(comparison.owner))

    def _with_answer(self, comparison_id: str, candidate: Candidate) -> Candidate:
        """With the answer as this process still knows it, also where the log keeps no texts."""
        call = self.calls(comparison_id).get(candidate.position)
        if call is None or not call.done.done() or call.done.exception() is not None:
            return candidate
        return replace(candidate, generation=call.result(), generation_id=call.result().id)

    def latest(self, limit: int = 50, *, demo: bool | None = None) -> list[Comparison]:
        """Newest first, without the answers. demo: None = those of the demo among the others."""
        return self.page(limit, demo=demo)[0]

    def page(
        self, limit: int, before: str | None = None, *, demo: bool | None = None
    ) -> tuple[list[Comparison], str | None]:
        """`latest`, and what to give as `before` for the next page. Raises: InvalidRequest: `before` is no page's end."""
        found, after = self._store.page(limit, before, demo=demo)
        return [self._seen(comparison) for comparison in found], after

    def _recorder(self, comparison_id: str, position: int, error: str = "") -> Callable[[Generation], Work]:
        def record(generation: Generation) -> Work:
            return lambda connection: self._store.set_candidate(
                connection, comparison_id, position, generation.id, error
            )

        return record


def is_waiting(candidate: Candidate) -> bool:
    """Whether its answer is missing for a reason that may be gone by now: money, a limit, or the end of a process."""
    g = candidate.generation
    return not candidate.generation_id or (g is not None and g.error_class in _ASKED_AGAIN)


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
