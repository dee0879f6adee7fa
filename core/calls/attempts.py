"""One call at one model: admitted, paced, tried until it answers or trying makes no sense."""

import asyncio
import random
import time
from dataclasses import replace
from typing import Any

from core.calls.accounting import at_least, estimated_usage
from core.calls.admitting import Admitting
from core.calls.breaker import Breakers
from core.calls.call import Call
from core.calls.pacing import Pacer
from core.calls.progress import Progress, failure_of, is_billable
from core.calls.retry import wait_before_retry_s
from core.domain.generation import Chunk, Request, Usage
from core.errors import AimmError, ProviderError, ProviderTimeout, RateLimited

HELD_BYTES = 64 * 1024  # whoever sends more says something, if nothing that is read here, such as sounds


class Attempts:
    def __init__(self, admitting: Admitting, breakers: Breakers, pacer: Pacer, timeout_s: float) -> None:
        self._admitting = admitting
        self._breakers = breakers
        self._pacer = pacer
        self._timeout_s = timeout_s
        self._rng = random.Random()

    async def run(self, call: Call, progress: Progress, deadline: float, first_by: float) -> None:
        """Bring an answer into the call. deadline, first_by: until when it must be whole, and show itself; monotonic.

        Raises:
            AimmError: There is none, and trying again here makes no sense.
        """
        assert progress.model is not None  # noqa: S101 - set by the caller
        request = await self._admitting.admitted(call, progress, deadline)
        provider, model = progress.model.provider, progress.model.name  # after a downgrade, the other one
        self._breakers.check(provider, model, call)
        try:
            await self._tried(call, progress, request, (deadline, first_by))
        finally:
            self._breakers.left(provider, model, call)

    async def _tried(self, call: Call, progress: Progress, request: Request, times: tuple[float, float]) -> None:
        assert progress.model is not None  # noqa: S101 - set by the caller
        provider, model = progress.model.provider, progress.model.name
        deadline, first_by = times
        while True:
            await self._pace(call, progress, first_by)
            progress.n_attempts += 1
            n_counted = len(progress.usages)
            call.waiting = ""
            call.overhead_s = time.monotonic() - call.started_at - progress.vendor_s - progress.waited_s
            try:
                await self._timed(call, request, progress, times)
            except AimmError as error:
                if not (isinstance(error, ProviderTimeout) and call.has_output):  # a long answer is no fault
                    self._breakers.failed(provider, model, error, call)
                if progress.finish_reason is not None:
                    return  # the answer was whole before the connection broke
                progress.causes.append(error.code)
                remaining_s = first_by - time.monotonic()
                wait_s = wait_before_retry_s(error, progress.n_attempts, remaining_s, self._rng)
                if wait_s is None or call.has_output:
                    raise
                if is_billable(error) and len(progress.usages) == n_counted:
                    progress.lost.append(estimated_usage(request, ""))
                call.waiting = f"{error.message} Trying again in {wait_s:.1f} s."
                progress.waited_s += wait_s
                await asyncio.sleep(wait_s)
                if progress.usages or progress.lost:  # this attempt was billed: the next one needs money of its own
                    request = await self._admitting.admitted(call, progress, deadline)
            else:
                self._breakers.succeeded(provider, model, call)
                return

    async def _pace(self, call: Call, progress: Progress, first_by: float) -> None:
        """Wait until the vendor says that there is room."""
        assert progress.model is not None  # noqa: S101 - set by the caller
        while wait_s := self._pacer.wait_s(progress.model.provider, progress.model.name):
            if time.monotonic() + wait_s >= first_by:
                raise RateLimited(
                    f"{progress.model.provider} takes no more requests for {progress.model.name} just now.",
                    retry_after_s=wait_s,
                    quota="as the vendor said with its last answer",
                )
            call.waiting = f"The vendor takes the next request in {wait_s:.1f} s."
            progress.waited_s += wait_s
            await asyncio.sleep(wait_s)

    async def _timed(self, call: Call, request: Request, progress: Progress, times: tuple[float, float]) -> None:
        """One attempt, which ends at `first_by` if nothing has come by then, and at the deadline anyway."""
        deadline, first_by = times
        loop = asyncio.get_running_loop()
        begun = time.monotonic()
        offset = loop.time() - begun
        try:
            async with asyncio.timeout_at(first_by + offset) as timeout:
                await self._attempt(call, request, progress, (deadline, timeout, offset))
        except TimeoutError:
            limit_s = (deadline if call.has_output else first_by) - call.started_at
            raise ProviderTimeout(
                f"{request.model} did not finish within {limit_s:g} s."
                if abs(limit_s - self._timeout_s) < 1e-6
                else f"{request.model} did not begin to answer within {limit_s:.1f} s.",
                hint="Try again, or raise AIMM_CALL_TIMEOUT_S.",
            ) from None
        finally:
            progress.vendor_s += time.monotonic() - begun

    async def _attempt(
        self, call: Call, request: Request, progress: Progress, times: tuple[float, asyncio.Timeout, float]
    ) -> None:
        assert progress.provider is not None and progress.model is not None  # noqa: S101 - set by the caller
        deadline, timeout, offset = times
        usage: Usage | None = None
        held = b""
        progress.finish_reason = progress.reason = None
        is_raw = False
        has_more = has_begun = False  # has_more: whether something came after the last count
        timeout_s = max(0.001, deadline - time.monotonic())
        stream = progress.provider.stream(request, attempt=progress.n_attempts, timeout_s=timeout_s)
        try:
            async for chunk in stream:
                usage = chunk.usage or usage
                has_more = chunk.usage is None and (has_more or bool(chunk.text or chunk.thinking or chunk.tools))
                if chunk.quota is not None:
                    self._pacer.heard(progress.model.provider, progress.model.name, chunk.quota)
                is_raw = is_raw or chunk.raw is not None
                if not has_begun:
                    held, chunk = _held_back(held, chunk)
                _take(call, chunk, progress)
                if not has_begun and call.has_output:
                    has_begun = True
                    timeout.reschedule(deadline + offset)
        finally:
            if usage is not None and (has_more or (call.written and usage.output_tokens == usage.thinking_tokens)):
                usage, progress.is_undercounted = at_least(usage, call.written, call.thinking), True
            if usage is not None:
                progress.usages.append(usage)
            await _close(stream)
        if progress.finish_reason is None and not call.has_output:
            raise ProviderError(f"{request.model} answered with nothing at all.", hint="Try again.")
        # A caller of the same wire reads it itself.
        if not is_raw and (failed := failure_of(call, progress)) is not None:
            progress.finish_reason = None
            raise failed


def _held_back(held: bytes, chunk: Chunk) -> tuple[bytes, Chunk]:
    """A vendor's bytes wait for the first that say something: until then another attempt, or another model, may answer."""
    if chunk.raw is None:
        return held, chunk
    says = chunk.text or chunk.thinking or chunk.tools or chunk.vectors or chunk.finish_reason is not None
    if says or len(held) > HELD_BYTES:
        return b"", replace(chunk, raw=held + chunk.raw) if held else chunk
    return held + chunk.raw, replace(chunk, raw=None)


def _take(call: Call, chunk: Chunk, progress: Progress) -> None:
    progress.finish_reason = chunk.finish_reason or progress.finish_reason
    progress.reason = chunk.reason or progress.reason
    progress.response_model = chunk.response_model or progress.response_model
    progress.service_tier = chunk.service_tier or progress.service_tier
    call.feed(chunk)


async def _close(stream: Any) -> None:
    if (aclose := getattr(stream, "aclose", None)) is not None:
        await aclose()
