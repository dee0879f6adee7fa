"""The one door to models: `submit` checks, applies the key's rules, routes, admits, asks and records.

Nothing else asks a provider.
"""

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypedDict, Unpack

from core.background import BackgroundLoop
from core.budgets.ledger import Ledger
from core.calls.admission import BATCH, Admitter, check_parameters
from core.calls.attempts import Attempts, Times
from core.calls.breaker import Breakers
from core.calls.cache import ResponseCache
from core.calls.call import Call, OnChunk
from core.calls.limits import Pacer, RateLimits
from core.calls.origin import Origin, Router, Unit, charged
from core.calls.recording import Observer, OnRecord, Recorder, error_text
from core.config import MAX_PROMPT_BYTES, LogContent
from core.costs.service import PriceService
from core.domain.budget import Quote
from core.domain.generation import Chunk, Generation, Request
from core.errors import (
    AimmError,
    AuthenticationError,
    BudgetExceeded,
    CapReached,
    Conflict,
    ContextTooLong,
    Interrupted,
    InvalidRequest,
    ModelNotFound,
    ProviderError,
    RateLimited,
    TooLarge,
)
from core.formats.names import PROMPT
from core.formats.strict_json import unwritable
from core.formats.text import is_storable
from core.keys.permission import Permission
from core.pricing.tokens import counted_tokens, estimated_usage, likely_tokens
from core.providers.batches import BatchApi, Carried
from core.providers.http.given import Planned, Planning, Replay
from core.providers.http.session import Session
from core.storage.engine.writer import Work, Writer

if TYPE_CHECKING:
    from core.providers.registry import Registry

logger = logging.getLogger(__name__)

RECENT_CALLS = 500
# Errors of which another model may be free. A blocked request is the same everywhere, and one that was refused is so
# on the same wire.
_ELSEWHERE = (
    RateLimited, ProviderError, AuthenticationError, ModelNotFound, ContextTooLong, BudgetExceeded, InvalidRequest,
)  # fmt: skip


OnRecordOf = Callable[[Call, Generation], Work]


class BatchedRequest(Protocol):
    """A request in a vendor's batch, and who takes the chunks of its answer."""

    request: Request

    def feed(self, chunk: Chunk | None) -> None: ...


class CallOptions(TypedDict, total=False):
    """All that is said of a call beside its request and origin; see CallEngine.submit."""

    unit: Unit
    force: str | int | None
    on_chunk: OnChunk | None
    on_record: OnRecord | None


class CallEngine:
    def __init__(  # noqa: PLR0913 - what a call passes through
        self,
        loop: BackgroundLoop,
        writer: Writer,
        registry: "Registry",
        ledger: Ledger,
        prices: PriceService,
        *,
        router: Router,
        breakers: Breakers,
        limits: RateLimits,
        cache: ResponseCache,
        timeout_s: float,
        log_content: LogContent,
        permission: Permission,
    ) -> None:
        self._loop = loop
        self._permission = permission
        self._writer = writer
        self._registry = registry
        self._router = router
        self._ledger = ledger
        self._timeout_s = timeout_s
        self._limits = limits
        self._cache = cache
        self._admitter = Admitter(registry, ledger, prices, timeout_s)
        self._attempts = Attempts(self._admitter, registry.deployments, breakers, Pacer(), timeout_s)
        self.recorder = Recorder(writer, ledger, prices, log_content)
        self._calls: dict[str, Call] = {}
        self._lock = threading.Lock()
        self.n_in_flight = 0
        self.last_at = 0.0  # when the last call began, monotonic

    def observe(self, observer: Observer) -> None:
        """Tell an observer of every call once it is recorded; in the core's loop, so it must be quick."""
        self.recorder.observers.append(observer)

    def submit(
        self,
        request: Request,
        origin: Origin,
        *,
        unit: Unit = "",
        force: str | int | None = None,
        on_chunk: OnChunk | None = None,
        on_record: OnRecord | None = None,
    ) -> Call:
        """Start a call and return its handle: with `asubmit`, the only way to ask a model.

        unit: Who an experiment assigns to a variant, or an assignment that was made.
        force: The variant, for trying it out.
        on_chunk: See Call.
        on_record: Gives work for the transaction that records the call.

        Raises:
            InvalidRequest: The request cannot be sent as it is; nothing was recorded.
            Forbidden: The key may not ask this model. NotFound, Conflict: no experiment of this name takes traffic.
        """
        check_request(request)
        origin = charged(origin)
        if problem := origin.problem():
            raise InvalidRequest(problem)
        self.check_models(origin, *named_models(request, origin))
        route = self._router.route(request, origin, unit, force)
        if route.request is not request:
            check_request(route.request)
        call = self._start(Call(route.request, route.origin, on_chunk, route.assignment), on_record)
        for position, shadow, prompt in route.shadows:
            self._start(Call(shadow, route.shadow_origin(position, call.id, prompt)), None)
        return call

    async def asubmit(self, request: Request, origin: Origin, **options: Unpack[CallOptions]) -> Call:
        """`submit` for a caller with an event loop of its own, which never waits for the database."""
        if self._router.is_quick(request):
            return self.submit(request, origin, **options)
        return await asyncio.to_thread(partial(self.submit, request, origin, **options))

    def check_models(self, origin: Origin, *models: str) -> None:
        """See Permission; features that make several calls ask this before the first. Raises: Forbidden"""
        self._permission.check(None if origin.is_permitted else origin.key, models)

    def count_tokens(self, request: Request, origin: Origin, *, estimates: bool = False) -> tuple[int, bool]:
        """The input tokens of a request, and whether its vendor counted them, which bills nothing for it.

        estimates: Where the vendor counts none; else that is refused.

        Raises:
            AimmError
        """
        self.check_models(origin, request.model)
        sent = self._router.at_target(request, origin)

        async def count() -> int:
            await self._limits.take(charged(origin), None)
            unit = origin.unit_of(sent)
            provider, model = await self._registry.resolve(sent.model, unit)
            return await self._attempts.counted(sent, unit, provider, model)

        try:
            return self._loop.run(count()), True
        except InvalidRequest as error:
            if error.upstream is not None or not estimates:
                raise
        return estimated_usage(sent, "").input_tokens, False

    def forget_response(self, deployment: str, response_id: str) -> None:
        """Let a vendor delete an answer that it keeps at a deployment. Raises: AimmError"""

        async def forget() -> None:
            provider, _ = await self._registry.resolve(f"{deployment}/any", exactly=True)
            if (delete := getattr(provider, "forget_response", None)) is not None:
                await delete(response_id)

        self._loop.run(forget())

    async def worst_case(self, request: Request, origin: Origin) -> Quote | None:
        """The most that a call would cost that is not begun; None = no budget may refuse it.

        Raises:
            AimmError: It cannot be asked so.
        """
        return await self._admitter.worst(await self._as_target(request, origin), origin)

    async def longest_cost(self, request: Request, origin: Origin) -> int:
        """The most that a call can cost, in nano-dollars, whoever pays.

        Raises:
            CapReached: The model has no known price. AimmError: it cannot be asked so.
        """
        quote = await self._admitter.worst(await self._as_target(request, origin), origin, always=True)
        if quote is None or quote.worst_nano is None or quote.is_unpriced:
            raise CapReached(f"{request.model} has no known price, so a spending limit cannot be kept.")
        return quote.worst_nano

    async def _as_target(self, request: Request, origin: Origin) -> Request:
        """The request as the target of its alias is sent it, once the key of its caller may ask it."""
        self.check_models(origin, *named_models(request, origin))
        return await self._at_target(request, origin)

    async def _at_target(self, request: Request, origin: Origin) -> Request:
        if self._router.is_quick(request):
            return self._router.at_target(request, origin)
        return await asyncio.to_thread(self._router.at_target, request, origin)

    def _start(self, call: Call, on_record: OnRecord | None) -> Call:
        with self._lock:
            self._calls[call.id] = call
            while len(self._calls) > RECENT_CALLS:
                oldest = next(iter(self._calls))
                if not self._calls[oldest].done.done():
                    break
                del self._calls[oldest]
        self.last_at = call.state.started_at
        self._loop.start(self._run(call, on_record))
        return call

    def record_lost(self, request: Request, origin: Origin, asked_at: datetime, on_record: OnRecord) -> Generation:
        """Put a call on record that ended with its process, at an estimated cost: at least its prompt's."""
        call, lost = Call(request, origin), Interrupted("The process ended before the answer came.")
        state = call.state
        state.created_at, state.n_attempts = asked_at, 1
        state.finished_at = state.started_at  # how long it went on is not known

        async def record() -> None:
            with contextlib.suppress(AimmError):  # a vendor that is gone by now: then no price is known either
                state.turn_to(*await self._registry.resolve(request.model))
            await self.recorder.record(call, lost, on_record)

        self._loop.run(record())
        return call.result()

    # What a vendor's batch answers: the same request, plan and record, and nobody is asked in between

    async def batched_by(self, model: str, *, exactly: bool = False) -> tuple[str, BatchApi, bool]:
        """`deployment/model` that a name stands for, its vendor's batches, and whether it is known what they cost.

        exactly: The name is such a one.

        Raises:
            AimmError: It has none.
        """
        if model.startswith(PROMPT):
            raise InvalidRequest(f"{model} is a prompt, which a vendor's batch cannot ask.")
        asked = Request(model=model, messages=())
        request = await self._at_target(asked, Origin())
        if not self._router.is_quick(asked):
            raise InvalidRequest(f"{model} is under an experiment, which a vendor's batch cannot ask.")
        provider, found = await self._registry.resolve(request.model, exactly=exactly)
        if not exactly:
            provider = self._registry.deployments.with_batches(found) or provider
        if not isinstance(provider, Carried) or provider.batches is None:
            raise InvalidRequest(f"{found.name} is answered by {found.provider}, which has no batches of its own.")
        return f"{provider.deployment}/{found.name}", provider.batches, self._admitter.knows_batch_price(found)

    async def plan(self, request: Request, origin: Origin, model: str) -> Planned:
        """The request as it would be sent to a model, whatever its own name stands for by now. Raises: AimmError"""
        try:
            await self._attempts.read(*await self._unasked(request, origin, model, Planning()))
        except Planned as planned:
            return planned
        raise InvalidRequest(f"{model} cannot be asked this in a batch.")

    async def record_batched(
        self, asked: BatchedRequest, origin: Origin, model: str, answer: Replay, on_record: OnRecordOf
    ) -> Call:
        """Put what a vendor's batch answered on record as the call that it is, at the price of batches."""
        error: AimmError | None = None
        call, planned = await self._unasked(asked.request, origin, model, answer, asked.feed)
        try:
            await self._attempts.read(call, planned)
        except AimmError as caught:
            error = caught
        state = call.state
        _, mark, region = state.service_tier.partition("+")
        state.service_tier, state.finished_at = f"{BATCH}{mark}{region}", state.started_at
        await self.recorder.record(call, error, partial(on_record, call))
        return call

    async def _unasked(
        self, request: Request, origin: Origin, model: str, session: Session, on_chunk: OnChunk | None = None
    ) -> tuple[Call, Request]:
        self.check_models(origin, *named_models(request, origin))
        sent = replace(await self._at_target(request, origin), model=model)
        check_request(sent)
        provider, found = await self._registry.resolve(model, exactly=True)
        assert isinstance(provider, Carried)  # noqa: S101 - it has batches
        call = Call(sent, origin, on_chunk)
        call.state.turn_to(provider.over(session), found)
        return call, self._admitter.planned(call)

    def running(self, call_id: str) -> Call | None:
        """The handle of a call of this process, running or recent."""
        with self._lock:
            return self._calls.get(call_id)

    def under_way(self, ref_id: str) -> list[Call]:
        """The calls of this process that belong to a whole and have not ended, oldest first."""
        with self._lock:
            return [c for c in self._calls.values() if c.origin.ref_id == ref_id and not c.done.done()]

    def cancel_all(self) -> None:
        with self._lock:
            calls = [call for call in self._calls.values() if not call.done.done()]
        for call in calls:
            call.cancel()
        for call in calls:
            with contextlib.suppress(AimmError, TimeoutError):
                call.result(timeout_s=5)

    async def _run(self, call: Call, on_record: OnRecord | None) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - this is a coroutine
        call.attach(task, asyncio.get_running_loop())
        self.n_in_flight += 1
        error: AimmError | None = None
        try:
            await self._answer(call)
        except asyncio.CancelledError:
            task.uncancel()  # Stop: what came is kept
        except AimmError as caught:
            error = caught
        except Exception as caught:
            logger.exception("a call failed unexpectedly")
            error = ProviderError(f"The call failed unexpectedly ({type(caught).__name__}).")
        finally:
            call.detach()
            self.n_in_flight -= 1
            if call.state.taken.hit is not None:
                counted = (*call.state.usages, *call.state.lost)
                n_tokens = counted_tokens(counted, is_asked=bool(call.state.n_attempts))
                self._limits.settle(call.state.taken.hit, n_tokens)
        if call.request.native is not None:  # it came over a wire: no page draws it, and its body may be large
            with self._lock:
                self._calls.pop(call.id, None)
        call.state.finished_at = time.monotonic()
        if call.state.model is not None:
            return await self.recorder.record(call, error, on_record)
        # Nobody was asked: there is nothing to record.
        if call.answerer.fallback_from:
            self._ledger.release(call.id)
        return call.finish(error or Conflict("The call was stopped before it began."))

    async def _answer(self, call: Call) -> None:
        """Bring an answer into the call: the model's, or one of its fallbacks'. Raises: AimmError."""
        await self._writer.check()  # nobody is asked what could not be recorded
        call.state.taken = await self._limits.take(call.origin, partial(likely_tokens, call.request))
        names = [call.request.model, *call.origin.fallbacks]
        while True:
            name = names.pop(0)
            try:
                return await self._try(call, name, 1 + len(names))
            except _ELSEWHERE as error:
                if call.state.has_output:
                    raise
                names = await self._answerable(names, await self._refused_on(call, name, error))
                if not names:
                    raise
                await self._fall_back(call, name, error, names[0])

    async def _try(self, call: Call, name: str, n_left: int) -> None:
        """Let one model answer. n_left: How many may still, this one included. Raises: AimmError."""
        state, now = call.state, time.monotonic()
        deadline = state.started_at + self._timeout_s
        provider, model = await self._registry.resolve(name, call.origin.unit_of(call.request))
        check_parameters(call.request, model)
        provider, is_bound = self._registry.deployments.holder(call.request, name, model, provider)
        if call.request.native_for("responses") is not None and (learn := getattr(provider, "learn_wires", None)):
            await learn()  # of servers that speak OpenAI's wire some know only chat
        state.turn_to(provider, model, is_bound=is_bound)
        # Where a caller's texts must not be written down, no response is cached either.
        is_text = call.request.operation in ("chat", "embeddings")
        if call.origin.cache_s and is_text and self.recorder.kept(call.origin) == "full":
            state.digest, cached = await self._cache.find(call.request, model, call.origin)
            if cached is not None:
                cached.replay(call)
                return
            state.chunks = []
        # Each model still to come gets its share of the time to begin in.
        await self._attempts.run(call, Times(now + (deadline - now) / n_left, deadline))

    async def _answerable(self, names: list[str], refused_on: tuple[str, ...]) -> list[str]:
        """The fallbacks from the first one on that somebody answers for, on none of these wires."""
        while names:
            with contextlib.suppress(AimmError):
                provider, _ = await self._registry.resolve(names[0])
                if not set(provider.wires) & set(refused_on):
                    break
            names = names[1:]
        return names

    async def _refused_on(self, call: Call, name: str, error: AimmError) -> tuple[str, ...]:
        """The wires on which a request that was refused would be so again: on another one it is put in other words.

        What was sent on as it came is the caller's own mistake, or that model's; a simulated answer would hide it.
        """
        if not isinstance(error, InvalidRequest):
            return ()
        wires = (call.state.provider or (await self._registry.resolve(name))[0]).wires
        native = call.request.native
        return wires if native is None or native.wire not in wires else (*wires, "simulated")

    async def _fall_back(self, call: Call, name: str, error: AimmError, to: str) -> None:
        """Turn to the next model, once the cost of the one that failed is in the ledger."""
        failed, state = call.state.answer(error), call.state
        before = state.answerer
        words = error_text(error, self.recorder.kept(call.origin))
        state.fall_back(f"Fell back from {name}: {words[:200]}")
        first = before.fallback_from or f"{failed.model.name if failed.model else name} {error.code}"
        state.answerer = replace(before, fallback_from=first)
        if failed.model is not None:
            await self.recorder.record_failed(call, failed, to)


def named_models(request: Request, origin: Origin) -> tuple[str, ...]:
    """All that a request may be answered by, as its caller names it."""
    others = request.native.models if request.native is not None else ()
    return (request.model, *filter(None, [origin.prompt_model]), *origin.fallbacks, *others)


def check_request(request: Request) -> None:
    """Refuse what no model could answer. Whether a text may be empty is for the vendor to say, where it spoke its wire.

    Raises:
        InvalidRequest, TooLarge
    """
    last = request.messages[-1] if request.messages else None
    if not (request.model.startswith(PROMPT) or (last and (last.text.strip() or last.parts or request.native))):
        raise InvalidRequest("The prompt is empty.")
    # What came by HTTP was looked through as it was read.
    if request.native is None and not all(map(is_storable, (request.system or "", *request.texts))):
        raise InvalidRequest("The prompt holds a NUL or half of a surrogate pair, which no model takes.")
    if request.n_bytes > MAX_PROMPT_BYTES:
        raise TooLarge(
            f"The prompt has {request.n_bytes:,} bytes; at most {MAX_PROMPT_BYTES:,} are taken.",
            hint="No model reads that much; split the text.",
        )
    if problem := request.parameters.problem():
        raise InvalidRequest(problem)
    for tool in request.tools if request.native is None else ():
        if problem := unwritable(dict(tool.parameters)):
            raise InvalidRequest(f"The parameters of the tool {tool.name!r} {problem}")
