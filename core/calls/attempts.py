"""One call at one model: admitted, paced, tried until it answers or trying makes no sense."""

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from core import clock
from core.calls.admission import Admitter
from core.calls.breaker import Breakers, Name
from core.calls.call import Call
from core.calls.faults import failure_of, is_billable, is_down, is_of_deployment, is_unreadable, may_move
from core.calls.limits import Pacer
from core.domain.generation import Chunk, Model, Request
from core.errors import (
    AimmError,
    BudgetExceeded,
    InvalidRequest,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
)
from core.pricing.tokens import estimated_usage
from core.providers.base import Provider
from core.providers.fitting import named_back, renamed

if TYPE_CHECKING:
    from core.providers.deployments.deployments import Deployments

HELD_BYTES = 64 * 1024  # whoever sends more says something, if nothing that is read here, such as sounds
MAX_ATTEMPTS = 5
WAIT_INITIAL_S = 0.5
WAIT_MAX_S = 16.0


@dataclass(frozen=True, slots=True)
class Times:
    """Until when an answer must show itself, and be whole; monotonic."""

    first_by: float
    deadline: float


@dataclass(slots=True)
class _Tried:
    """The deployments of a model that a call has asked since it last waited.

    checked: Those whose circuit let it pass, with their model.
    suspects: Faults that its request may have caused itself; whoever answers it clears that up.
    n_counted: How many attempts sent a count before the last one.
    """

    names: set[str] = field(default_factory=set)
    checked: set[Name] = field(default_factory=set)
    suspects: list[tuple[str, AimmError]] = field(default_factory=list)
    n_counted: int = 0


class Attempts:
    """Attempts at one model: at one of its deployments after the other, and again after a while."""

    def __init__(
        self, admitter: Admitter, deployments: "Deployments", breakers: Breakers, pacer: Pacer, timeout_s: float
    ) -> None:
        self._admitter = admitter
        self._deployments = deployments
        self._breakers = breakers
        self._pacer = pacer
        self._timeout_s = timeout_s
        self._rng = random.Random()
        deployments.rests_until = self._rests_until

    async def run(self, call: Call, times: Times) -> None:
        """Bring the answer of the model that the call's state names into that.

        Raises:
            AimmError: There is none, and trying again here makes no sense.
        """
        tried = _Tried()
        try:
            await self._run(call, times, tried)
        finally:
            for name in tried.checked:
                self._breakers.left(*name, call)

    async def counted(self, sent: Request, unit: str, provider: Provider, model: Model) -> int:
        """The input tokens as a deployment counts them that would answer, or another one where that cannot.

        Raises:
            AimmError
        """
        provider, is_bound = self._deployments.holder(sent, sent.model, model, provider)
        asked = set[str]()
        while True:
            try:
                return await provider.count_tokens(replace(sent, model=model.name))
            except AimmError as error:
                asked.add(provider.deployment)
                is_counting = not isinstance(error, InvalidRequest) or error.upstream is not None
                if is_bound or not self._deployments.has_several(model) or (is_counting and not may_move(error)):
                    raise
                other, rests_until = self._deployments.soonest(model, unit, asked)
                if other is None or rests_until:
                    raise
                provider = other

    async def _run(self, call: Call, times: Times, tried: _Tried) -> None:
        request = None
        while True:
            try:
                if request is None:
                    request = await self._admitter.admitted(call, times.deadline)
            except AimmError as error:
                if not error.is_of_deployment or not self._moved(call, error, times, tried):
                    raise
                continue
            asked = call.state.provider
            try:
                return await self._once(call, request, times, tried)
            except AimmError as error:
                if call.state.has_output or not await self._prepared(call, request, error, times, tried):
                    raise
                # Another deployment, or money for an attempt that was billed, is admitted anew.
                if call.state.provider is not asked or call.state.usages or call.state.lost:
                    request = None

    async def read(self, call: Call, request: Request) -> None:
        """Bring an answer in for which nobody is waited. Raises: AimmError, or what its provider's session does."""
        call.state.begin_attempt()
        await self._attempt(call, request, time.monotonic() + self._timeout_s, None)

    async def _once(self, call: Call, request: Request, times: Times, tried: _Tried) -> None:
        """One attempt. Raises: AimmError"""
        state = call.state
        assert state.provider is not None and state.model is not None  # noqa: S101 - set by the caller
        name = state.provider.deployment or state.model.provider, state.model.name  # after a downgrade, the other one
        others = not state.is_bound and self._deployments.has_several(state.model)
        tried.n_counted = len(state.usages)
        is_last = not others or self._deployments.soonest(state.model, but={*tried.names, name[0]})[1] != 0
        if name not in tried.checked:
            self._breakers.check(*name, call, is_last=others and is_last)
            tried.checked.add(name)
        if not is_last and request.is_streamed:  # one that is silent leaves the others half of the time
            now = time.monotonic()
            times = replace(times, first_by=now + (times.first_by - now) / 2)
        await self._pace(call, name, times.first_by)
        state.begin_attempt()
        try:
            await self._timed(call, request, times)
        except AimmError as error:
            self._failed(call, error, name, tried if others else None)
            if state.finish_reason is not None:
                return  # the answer was whole before the connection broke
            state.causes.append(f"{error.code} at {name[0]}" if others else error.code)
            raise
        self._breakers.succeeded(*name, call)
        for deployment, fault in tried.suspects:  # the same request is answered here, so the fault was theirs
            self._breakers.rest(deployment, name[1], fault, self._deployments.rest_s(deployment), call)

    def _failed(self, call: Call, error: AimmError, name: Name, tried: _Tried | None) -> None:
        """Let the model's deployment rest, or note that it failed. tried: None = no other has the model."""
        is_stalled = isinstance(error, ProviderTimeout) and call.state.has_output
        if is_stalled and not call.state.is_stalled:
            return None  # a long answer is no fault
        is_theirs = is_of_deployment(error) or is_stalled
        if tried is None or not (is_theirs or isinstance(error, ProviderError)):
            return self._breakers.failed(*name, error, call)
        if is_theirs or is_down(error):
            return self._breakers.rest(*name, error, self._deployments.rest_s(name[0]), call)
        tried.suspects.append((name[0], error))
        return self._breakers.failed(*name, error, call)

    async def _prepared(self, call: Call, request: Request, error: AimmError, times: Times, tried: _Tried) -> bool:
        """Prepare the next attempt: at another deployment at once, or after a while; False = it makes no sense."""
        state, first = call.state, error
        others = not state.is_bound and state.model is not None and self._deployments.has_several(state.model)
        is_lost = is_billable(error) and len(state.usages) == tried.n_counted and state.n_attempts > 0
        if others and may_move(error) and state.n_attempts < MAX_ATTEMPTS and self._moved(call, error, times, tried):
            state.lost += [estimated_usage(request, "")] if is_lost else []
            return True
        if others and state.model is not None and is_unreadable(error):
            error = self._unread(state.model, error, tried)
        elif others and state.model is not None and isinstance(error, RateLimited | ProviderUnavailable):
            _, soonest_us = self._deployments.soonest(state.model, call.origin.unit_of(call.request))
            if soonest_us:
                error.retry_after_s = max(0.05, (soonest_us - clock.now_us()) / 1e6)
        wait_s = wait_before_retry_s(error, state.n_attempts, times.first_by - time.monotonic(), self._rng)
        if wait_s is None:
            if error is not first:
                raise error from None
            return False
        state.lost += [estimated_usage(request, "")] if is_lost else []
        await _wait(call, wait_s, f"{error.message} Trying again in {wait_s:.1f} s.")
        if others and state.model is not None:
            tried.names.clear()
            tried.checked.clear()
            provider, _ = self._deployments.soonest(state.model, call.origin.unit_of(call.request))
            if provider is not None:
                state.turn_to(provider, state.model)
        return True

    def _moved(self, call: Call, error: AimmError, times: Times, tried: _Tried) -> bool:
        """Turn to another deployment of the model; False = there is none that does not rest, or no time."""
        state = call.state
        if state.provider is None or state.model is None or state.is_bound or times.first_by <= time.monotonic():
            return False
        tried.names.add(state.provider.deployment)
        if not self._deployments.has_several(state.model):
            return False
        other, rests_until = self._deployments.soonest(state.model, call.origin.unit_of(call.request), tried.names)
        if other is None or rests_until:
            return False
        if isinstance(error, BudgetExceeded):
            state.notes.append(f"{error.message} {other.deployment} was asked instead of {state.provider.deployment}.")
        state.turn_to(other, state.model)
        return True

    def _unread(self, model: Model, error: AimmError, tried: _Tried) -> AimmError:
        """The error of what none can read that was asked: whoever made it may be the one that rests."""
        awake = {name for name in tried.names if not self._rests_until(name, model.name)}
        other, until_us = self._deployments.soonest(model, but=awake)
        if other is None:
            return error
        return ProviderUnavailable(
            f"The request holds reasoning that only its deployment can read, and {other.deployment} rests.",
            hint="Try again later, or leave the encrypted reasoning out.",
            retry_after_s=max(0.05, (until_us - clock.now_us()) / 1e6),
        )

    def _rests_until(self, deployment: str, model: str) -> int:
        """See RestsUntil; a deployment that has said that it is full rests too."""
        if self._pacer.is_full(deployment, model):
            return max(self._breakers.rests_until(deployment, model), clock.now_us() + 1)
        return self._breakers.rests_until(deployment, model)

    async def _pace(self, call: Call, name: tuple[str, str], first_by: float) -> None:
        """Wait until the vendor says that there is room."""
        while wait_s := self._pacer.wait_s(*name):
            if time.monotonic() + wait_s >= first_by:
                raise RateLimited(
                    f"{name[0]} takes no more requests for {name[1]} just now.",
                    retry_after_s=wait_s,
                    quota="as the vendor said with its last answer",
                )
            await _wait(call, wait_s, f"The vendor takes the next request in {wait_s:.1f} s.")

    async def _timed(self, call: Call, request: Request, times: Times) -> None:
        """One attempt, which ends at `first_by` if nothing has come by then, and at the deadline anyway."""
        begun = time.monotonic()
        offset = asyncio.get_running_loop().time() - begun
        try:
            async with asyncio.timeout_at(times.first_by + offset) as timeout:
                await self._attempt(call, request, times.deadline, (timeout, offset))
        except TimeoutError:
            silent_s = time.monotonic() - call.state.heard_at
            call.state.is_stalled = call.state.has_output and silent_s > (time.monotonic() - begun) / 2
            limit_s = (times.deadline if call.state.has_output else times.first_by) - call.state.started_at
            raise ProviderTimeout(
                f"{request.model} did not finish within {limit_s:g} s."
                if abs(limit_s - self._timeout_s) < 1e-6
                else f"{request.model} did not begin to answer within {limit_s:.1f} s.",
                hint="Try again, or raise AIMM_CALL_TIMEOUT_S.",
            ) from None
        finally:
            call.state.vendor_s += time.monotonic() - begun

    async def _attempt(
        self, call: Call, request: Request, deadline: float, timer: tuple[asyncio.Timeout, float] | None
    ) -> None:
        state = call.state
        assert state.provider is not None and state.model is not None  # noqa: S101 - set by the caller
        held, is_raw, has_begun = b"", False, False
        timeout_s = max(0.001, deadline - time.monotonic())
        names: Mapping[str, str] = {}
        if request.native is None or request.native.wire not in state.provider.wires:
            request, names = renamed(request, state.provider.wires[0])
        stream = state.provider.stream(request, attempt=state.n_attempts, timeout_s=timeout_s)
        try:
            async for chunk in stream:
                state.heard_at = time.monotonic()
                if chunk.quota is not None:
                    state.told = chunk.quota.headers
                    self._pacer.heard(state.provider.deployment, state.model.name, chunk.quota)
                chunk = named_back(chunk, names)
                is_raw = is_raw or chunk.raw is not None
                if not has_begun:
                    held, chunk = _held_back(held, chunk)
                call.feed(chunk)
                if not has_begun and state.has_output:
                    has_begun = True
                    if timer is not None:
                        timer[0].reschedule(deadline + timer[1])
        finally:
            state.end_attempt()
            await stream.aclose()
        if state.finish_reason is None and not state.has_output:
            raise ProviderError(f"{request.model} answered with nothing at all.", hint="Try again.")
        # A caller of the same wire reads it itself.
        failed = failure_of(state.finish_reason, state.reason, has_output=state.has_output)
        if not is_raw and failed is not None:
            state.finish_reason = None
            raise failed


async def _wait(call: Call, wait_s: float, why: str) -> None:
    call.state.waiting = why
    call.state.waited_s += wait_s
    await asyncio.sleep(wait_s)


def wait_before_retry_s(error: AimmError, attempt: int, remaining_s: float, rng: random.Random) -> float | None:
    """Seconds until the next attempt; None = give up.

    A vendor's own Retry-After is obeyed, with a little jitter on top so that callers do not return in step; where it
    does not fit into the remaining time, waiting would be in vain and the caller hears at once.
    Otherwise: exponential back-off with full jitter.
    """
    if not error.is_retryable or attempt >= MAX_ATTEMPTS:
        return None
    if error.retry_after_s is not None:
        wait_s = error.retry_after_s * (1 + 0.1 * rng.random())
    else:
        wait_s = rng.uniform(0.1, 1.0) * min(WAIT_MAX_S, WAIT_INITIAL_S * 2.0 ** (attempt - 1))
    return wait_s if wait_s < remaining_s else None


def _held_back(held: bytes, chunk: Chunk) -> tuple[bytes, Chunk]:
    """Hold a vendor's bytes back until the first that say something: so far another attempt or model may answer."""
    if chunk.raw is None:
        return held, chunk
    says = chunk.text or chunk.thinking or chunk.tools or chunk.vectors or chunk.finish_reason is not None
    if says or chunk.content_type or len(held) > HELD_BYTES:
        return b"", replace(chunk, raw=held + chunk.raw) if held else chunk
    return held + chunk.raw, replace(chunk, raw=None)
