"""Comparisons for their users: started, watched, stopped, resumed, listed."""

import secrets
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import get_args

from core import clock
from core.calls.engine import check_request
from core.calls.origin import Origin
from core.calls.recording import content_kept
from core.comparison.candidate_calls import CandidateCalls
from core.comparison.job import ComparisonJob
from core.comparison.plan import plan_of, request_of
from core.comparison.voting import VoteService, check_models
from core.domain.budget import checked_cap
from core.domain.comparison import (
    DEFAULT_RULE,
    INTERRUPTED,
    STOPPED,
    Candidate,
    Comparison,
    Criterion,
    Metric,
    prompt_digest,
)
from core.domain.key import Key
from core.errors import AimmError, Conflict, InvalidRequest
from core.formats.text import as_list
from core.keys.rules import check_owner
from core.runs.engine import RunEngine
from core.runs.job import JobTools
from core.storage.calls.generations import GenerationStore
from core.storage.comparisons import ComparisonStore
from core.storage.people.audit import note

MIN_CANDIDATES, MAX_CANDIDATES = 2, 8
_HERE = Origin(source="compare")
WAIT_POLL_S = 0.05
SETTLED_S = 30.0


class ComparisonService:
    def __init__(
        self,
        tools: JobTools,
        engine: RunEngine,
        *,
        resolve: Callable[[Candidate], Candidate],
        is_simulated: Callable[[str], bool],
        keeps_prompts: bool = True,
    ) -> None:
        """resolve: A candidate with the model that is really asked. is_simulated: Tells it of a model."""
        self._store = ComparisonStore(tools.database, GenerationStore(tools.database))
        self._calls = CandidateCalls(tools, self._store, engine.is_closing)
        self.job = ComparisonJob(tools, self._store, self._calls)
        self._check_models = tools.calls.check_models
        self._writer = tools.writer
        self._engine = engine
        self._resolve = resolve
        self._is_simulated = is_simulated
        self._keeps_prompts = keeps_prompts
        self.voting = VoteService(tools.database, tools.writer, self.get)
        self.vote, self.votes, self.win_rates = self.voting.vote, self.voting.all, self.voting.win_rates
        self.calls = self._calls.calls

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
        named = [_candidate(given, position) for position, given in enumerate(candidates)]
        self._check_models(origin, *(candidate.model for candidate in named))
        chosen = [_resolved(candidate, self._resolve(candidate)) for candidate in named]
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
            owner=self._engine.token,
            status="running",
            cap_usd=None if cap_usd is None else checked_cap(cap_usd),
        )
        requests = {
            candidate.position: (request_of(comparison, candidate), origin) for candidate in comparison.candidates
        }
        for request, _ in requests.values():
            check_request(request)
        keeps = content_kept("full" if self._keeps_prompts else "metadata", origin) == "full"
        plan, simulated = plan_of(comparison, keeps_text=keeps), all(self._is_simulated(c.model) for c in chosen)
        insert = partial(self._store.insert, comparison=comparison, plan=plan, is_simulated=simulated)

        def begin() -> list[str]:
            self._writer.run(insert)
            self._calls.submit(comparison, requests, comparison.cap_usd)
            return [str(position) for position in requests]

        self._engine.begin_here(self.job.kind, comparison.id, 1, begin)
        return comparison.id

    def stop(self, comparison_id: str, *, key: Key | None = None) -> None:
        """Stop all its calls; what came is kept, and `resume` asks again for the answers that were cut short.

        key: The caller's.

        Raises:
            NotFound; Conflict: it does not run; Forbidden: the key may not ask its models, or did not ask for it.
        """
        comparison = self.get(comparison_id)
        check_asker(key, comparison)
        if not self.job.move(comparison_id, "stopped", ("queued", "running"), owner=""):
            raise Conflict(f"The comparison is {comparison.status}; only a running one can be stopped.")
        self._writer.run(lambda connection: note(connection, "comparison stopped", comparison_id, {}))
        for call in self.calls(comparison_id).values():
            call.cancel()
        if comparison.is_running:
            self._calls.await_recorded(comparison_id)

    def resume(
        self,
        comparison_id: str,
        *,
        positions: Collection[int] | None = None,
        cap_usd: Decimal | None = None,
        key: Key | None = None,
    ) -> int:
        """Ask those again that are without an answer because of a stop, a cap, a budget or the end of a process.

        Returns how many. A whole answer is never asked for again.

        positions: Those to ask instead, whatever the reason that they have no whole answer, a failure too.
        cap_usd: For these together.
        key: The caller's.

        Raises:
            NotFound; Conflict: it still runs, the answer is there, its prompt was not kept, or its key is no more;
            Forbidden: see `stop`.
        """
        comparison = self._calls.read(comparison_id)
        check_asker(key, comparison)
        waiting = [c for c in comparison.candidates if (c.is_waiting if positions is None else c.position in positions)]
        if self._seen(comparison).is_running:
            raise Conflict("The comparison still runs.")
        if not waiting:
            return 0
        if there := [c.letter for c in waiting if c.is_whole]:
            raise Conflict(f"The answer {there[0]} is there already; it is not asked for again.")
        if problem := self._calls.problem(comparison, waiting):
            raise Conflict(problem)
        cap = None if cap_usd is None else self._store.spent(comparison_id) + checked_cap(cap_usd)
        start = comparison.n_starts + 1

        def begin() -> list[str]:
            if not self.job.reopen(comparison, waiting, self._engine.token, cap):
                raise Conflict("The comparison still runs.")
            self._writer.run(lambda connection: note(connection, "comparison resumed", comparison_id, {}))
            self._calls.submit_missing(comparison_id, start, [candidate.position for candidate in waiting])
            return [str(candidate.position) for candidate in comparison.candidates]

        self._engine.begin_here(self.job.kind, comparison_id, start, begin)
        return len(waiting)

    def is_here(self, comparison: Comparison) -> bool:
        """Tell whether it is this process that asks, or has asked and not yet written down that it is over."""
        return comparison.owner == self._engine.token and bool(self.calls(comparison.id))

    def wait(self, comparison_id: str, timeout_s: float = 3600.0) -> Comparison:
        """Wait until all answers are in or it was stopped, and return it; after the time-out, as it stands."""
        deadline = time.monotonic() + timeout_s
        for call in self.calls(comparison_id).values():
            # Not recordable, e.g. a parameter that the model refuses: its column says so.
            with suppress(AimmError, TimeoutError):
                call.result(deadline - time.monotonic())
        self._await_settled(comparison_id, deadline)
        while (found := self._calls.known(comparison_id)).status in ("queued", "running"):
            if time.monotonic() >= deadline:
                break
            time.sleep(WAIT_POLL_S)
        return self._seen(found)

    def settle(self, comparison_id: str, rule: Sequence[Criterion] | None = None) -> Comparison:
        """Apply the rule (a new one, if given) to the answers that are there, and keep what comes out.

        Raises:
            InvalidRequest: The rule is empty or names no metric. NotFound: no such comparison.
        """
        if rule is None and self._calls.is_over(comparison_id):
            self._await_settled(comparison_id, time.monotonic() + SETTLED_S)
            return self.get(comparison_id)
        comparison = self.get(comparison_id)
        check_rule(comparison.rule if rule is None else rule)
        work = partial(self.job.name_winner, comparison=comparison, rule=rule)
        return replace(comparison, rule=tuple(rule or comparison.rule), winner=self._writer.run(work))

    def _await_settled(self, comparison_id: str, deadline: float) -> None:
        """Wait until this process, if it asks, has named the winner."""
        start = self._calls.start_of(comparison_id)
        self._engine.await_end(comparison_id, start, deadline - time.monotonic())

    def get(self, comparison_id: str) -> Comparison:
        return self._seen(self._calls.known(comparison_id))

    def _seen(self, comparison: Comparison) -> Comparison:
        """As users see it: what nobody asks for any more is interrupted."""
        if comparison.status in ("queued", "running"):
            return replace(comparison, status="running" if self._engine.is_alive(comparison.owner) else INTERRUPTED)
        is_whole = comparison.status == STOPPED or not any(c.is_lost for c in comparison.candidates)
        return comparison if is_whole else replace(comparison, status=INTERRUPTED)

    def latest(self, limit: int = 50, *, demo: bool | None = None) -> list[Comparison]:
        """Newest first, without the answers. demo: None = those of the demo among the others."""
        return self.page(limit, demo=demo)[0]

    def page(
        self, limit: int, before: str | None = None, *, demo: bool | None = None
    ) -> tuple[list[Comparison], str | None]:
        """`latest`, and the `before` of the next page. Raises: InvalidRequest: `before` is no page's end."""
        found, after = self._store.page(limit, before, demo=demo)
        return [self._seen(comparison) for comparison in found], after


def _candidate(given: str | Candidate, position: int) -> Candidate:
    return Candidate(position=position, model=given) if isinstance(given, str) else replace(given, position=position)


def _resolved(named: Candidate, found: Candidate) -> Candidate:
    return found if found.model == named.model else replace(found, alias=named.model)


def check_asker(key: Key | None, comparison: Comparison) -> None:
    """Refuse a key that did not ask for it and has no `admin`, or may not ask its models. Raises: Forbidden."""
    check_models(key, comparison)
    check_owner(key, comparison.key_id, "comparison")


def check_rule(rule: Sequence[Criterion]) -> None:
    metrics = [criterion.metric for criterion in rule]
    if not metrics or len(set(metrics)) != len(metrics) or set(metrics) - set(get_args(Metric)):
        raise InvalidRequest(f"The rule {metrics} must name each of {', '.join(get_args(Metric))} at most once.")
    if any(not 0 <= criterion.tie_share <= 1 for criterion in rule):
        raise InvalidRequest("A tie band is a share from 0 to 1.")
