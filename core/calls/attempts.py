"""One call at one model: admitted, paced, tried until it answers or trying makes no sense."""

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from core.calls.admission import Admitter
from core.calls.breaker import Breakers
from core.calls.call import Call, failure_of, is_billable
from core.calls.limits import Pacer
from core.domain.generation import Chunk, Request
from core.errors import AimmError, ProviderError, ProviderTimeout, RateLimited
from core.pricing.tokens import estimated_usage
from core.providers.fitting import named_back, renamed

HELD_BYTES = 64 * 1024  # whoever sends more says something, if nothing that is read here, such as sounds
MAX_ATTEMPTS = 5
WAIT_INITIAL_S = 0.5
WAIT_MAX_S = 16.0


@dataclass(frozen=True, slots=True)
class Times:
    """Until when an answer must show itself, and be whole; monotonic."""

    first_by: float
    deadline: float


class Attempts:
    def __init__(self, admitter: Admitter, breakers: Breakers, pacer: Pacer, timeout_s: float) -> None:
        self._admitter = admitter
        self._breakers = breakers
        self._pacer = pacer
        self._timeout_s = timeout_s
        self._rng = random.Random()

    async def run(self, call: Call, times: Times) -> None:
        """Bring the answer of the model that the call's state names into that.

        Raises:
            AimmError: There is none, and trying again here makes no sense.
        """
        request = await self._admitter.admitted(call, times.deadline)
        assert call.state.model is not None  # noqa: S101 - set by the caller
        name = call.state.model.provider, call.state.model.name  # after a downgrade, the other one
        self._breakers.check(*name, call)
        try:
            await self._tried(call, request, name, times)
        finally:
            self._breakers.left(*name, call)

    async def read(self, call: Call, request: Request) -> None:
        """Bring an answer in for which nobody is waited. Raises: AimmError, or what its provider's session does."""
        call.state.begin_attempt()
        await self._attempt(call, request, time.monotonic() + self._timeout_s, None)

    async def _tried(self, call: Call, request: Request, name: tuple[str, str], times: Times) -> None:
        state = call.state
        while True:
            await self._pace(call, name, times.first_by)
            state.begin_attempt()
            n_counted = len(state.usages)
            try:
                await self._timed(call, request, times)
            except AimmError as error:
                if not (isinstance(error, ProviderTimeout) and state.has_output):  # a long answer is no fault
                    self._breakers.failed(*name, error, call)
                if state.finish_reason is not None:
                    return  # the answer was whole before the connection broke
                state.causes.append(error.code)
                wait_s = wait_before_retry_s(error, state.n_attempts, times.first_by - time.monotonic(), self._rng)
                if wait_s is None or state.has_output:
                    raise
                if is_billable(error) and len(state.usages) == n_counted:
                    state.lost.append(estimated_usage(request, ""))
                await _wait(call, wait_s, f"{error.message} Trying again in {wait_s:.1f} s.")
                if state.usages or state.lost:  # this attempt was billed: the next one needs money of its own
                    request = await self._admitter.admitted(call, times.deadline)
            else:
                self._breakers.succeeded(*name, call)
                return

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
                if chunk.quota is not None:
                    state.told = chunk.quota.headers
                    self._pacer.heard(state.model.provider, state.model.name, chunk.quota)
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
