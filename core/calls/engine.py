"""Runs calls: resolve, admit, stream with retries, price, record. Nothing else calls a provider."""

import asyncio
import logging
import random
import secrets
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from core import clock
from core.calls.accounting import estimated_usage, settle
from core.calls.call import Call, Origin
from core.calls.loop import BackgroundLoop
from core.calls.retry import wait_before_retry_s
from core.config import MAX_PROMPT_BYTES, LogContent
from core.domain.generation import Chunk, FinishReason, Generation, Model, Request, Status, Usage
from core.errors import (
    AimmError,
    Blocked,
    Conflict,
    InvalidRequest,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
    TooLarge,
)
from core.pricing.catalogue import price_of
from core.providers.base import Provider
from core.storage.generations import to_body, to_row
from core.storage.writer import Work, Writer

logger = logging.getLogger(__name__)

KEPT_CALLS = 500


class Admission(Protocol):
    """Who is asked before a call and told after it."""

    def admit(self, model: Model) -> None: ...
    def settled(self) -> None: ...


@dataclass(slots=True)
class _Progress:
    """What the attempts of a call have brought so far."""

    provider: Provider | None = None
    model: Model | None = None
    n_attempts: int = 0
    usages: list[Usage] = field(default_factory=list)
    finish_reason: FinishReason | None = None
    block_category: str | None = None
    response_model: str | None = None


class CallEngine:
    def __init__(
        self,
        loop: BackgroundLoop,
        writer: Writer,
        resolve: Callable[[str], Awaitable[tuple[Provider, Model]]],
        admission: Admission,
        *,
        timeout_s: float,
        log_content: LogContent,
    ) -> None:
        self._loop = loop
        self._writer = writer
        self._resolve = resolve
        self._admission = admission
        self._timeout_s = timeout_s
        self._log_content = log_content
        self._rng = random.Random()
        self._calls: dict[str, Call] = {}
        self._lock = threading.Lock()

    def submit(self, request: Request, origin: Origin, also: Callable[[Generation], Work] | None = None) -> Call:
        """Start a call and return its handle. `also` gives work for the transaction that records it.

        Raises:
            InvalidRequest: The request cannot be sent as it is; nothing was recorded.
        """
        check_request(request)
        call = Call(f"g_{clock.now_us():x}{secrets.token_hex(5)}", request, origin)
        with self._lock:
            self._calls[call.id] = call
            while len(self._calls) > KEPT_CALLS:
                oldest = next(iter(self._calls))
                if not self._calls[oldest].done.done():
                    break
                del self._calls[oldest]
        self._loop.start(self._run(call, also))
        return call

    def running(self, call_id: str) -> Call | None:
        """The handle of a call of this process, running or recent."""
        with self._lock:
            return self._calls.get(call_id)

    def cancel_all(self) -> None:
        with self._lock:
            calls = [call for call in self._calls.values() if not call.done.done()]
        for call in calls:
            call.cancel()
        for call in calls:
            try:
                call.result(timeout_s=5)
            except (AimmError, TimeoutError):
                continue

    async def _run(self, call: Call, also: Callable[[Generation], Work] | None) -> None:
        created_at, progress = clock.now(), _Progress()
        task = asyncio.ensure_future(self._attempts(call, progress))
        call.attach(task, asyncio.get_running_loop())
        error: AimmError | None = None
        try:
            await task
        except asyncio.CancelledError:
            pass  # Stop: what came is kept
        except AimmError as caught:
            error = caught
        except Exception as caught:
            logger.exception("a call failed unexpectedly")
            error = ProviderError(f"The call failed unexpectedly ({type(caught).__name__}).")
        call.finished_at = time.monotonic()
        if progress.model is None:  # nobody was asked: there is nothing to record
            call.finish(error or Conflict("The call was stopped before it began."))
            return
        try:
            generation = self._generation(call, progress, error)
            generation = replace(generation, created_at=created_at)
            row, body = to_row(generation), to_body(generation, self._log_content)
            await asyncio.wrap_future(self._writer.log(row, body, also(generation) if also else None))
            if not generation.is_simulated:
                self._admission.settled()
        except Exception as caught:  # noqa: BLE001 - whoever waits must hear of it
            logger.warning("a call could not be recorded: %s", type(caught).__name__)
            call.finish(AimmError(f"The call could not be recorded ({type(caught).__name__})."))
        else:
            call.finish(generation)

    async def _attempts(self, call: Call, progress: _Progress) -> None:
        deadline = call.started_at + self._timeout_s
        provider, model = await self._resolve(call.request.model)
        _check_parameters(call.request, model)
        progress.provider, progress.model = provider, model
        if not model.is_simulated:
            await asyncio.to_thread(self._admission.admit, model)
        request = replace(call.request, model=model.name)
        while True:
            progress.n_attempts += 1
            call.waiting = ""
            try:
                async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                    return await self._attempt(call, request, progress, deadline)
            except TimeoutError:
                raise ProviderTimeout(
                    f"{request.model} did not finish within {self._timeout_s:g} s.",
                    hint="Try again, or raise AIMM_CALL_TIMEOUT_S.",
                ) from None
            except AimmError as error:
                remaining_s = deadline - time.monotonic()
                if progress.finish_reason is not None:
                    return None  # the answer was whole before the connection broke
                wait_s = wait_before_retry_s(error, progress.n_attempts, remaining_s, self._rng)
                if wait_s is None or call.has_output:
                    raise
                call.waiting = f"{error.message} Trying again in {wait_s:.1f} s."
                await asyncio.sleep(wait_s)

    async def _attempt(self, call: Call, request: Request, progress: _Progress, deadline: float) -> None:
        assert progress.provider is not None  # noqa: S101 - set by the caller
        usage: Usage | None = None
        progress.finish_reason = None
        timeout_s = max(0.001, deadline - time.monotonic())
        stream = progress.provider.stream(request, attempt=progress.n_attempts, timeout_s=timeout_s)
        try:
            async for chunk in stream:
                usage = chunk.usage or usage
                self._take(call, chunk, progress)
        finally:
            if usage is not None:
                progress.usages.append(usage)
            await _close(stream)
        if progress.finish_reason is None and not call.has_output:
            raise ProviderError(f"{request.model} answered with nothing at all.", hint="Try again.")

    @staticmethod
    def _take(call: Call, chunk: Chunk, progress: _Progress) -> None:
        call.feed(chunk)
        progress.finish_reason = chunk.finish_reason or progress.finish_reason
        progress.block_category = chunk.block_category or progress.block_category
        progress.response_model = chunk.response_model or progress.response_model

    def _generation(self, call: Call, progress: _Progress, error: AimmError | None) -> Generation:
        status, error = _status(call, progress, error)
        call.error = error if status in ("error", "blocked") else None
        model = progress.model.name if progress.model else call.request.model
        provider = progress.provider.name if progress.provider else "unknown"
        price = _price(provider, model, progress.response_model)
        usages, is_estimated = list(progress.usages), False
        if progress.finish_reason is None and usages and status != "blocked":
            is_estimated = True  # the counts so far, a lower bound
        if not usages and _may_be_billed(call, progress, status, error):
            usages, is_estimated = [estimated_usage(call.request, call.text, call.thinking)], True
        account = settle(usages, price, is_estimated=is_estimated)
        view = call.view()
        return Generation(
            id=call.id,
            created_at=clock.now(),
            request_model=model,
            response_model=progress.response_model,
            provider=provider,
            source=call.origin.source,
            ref_id=call.origin.ref_id,
            ref_part=call.origin.ref_part,
            status=status,
            error_class=error.code if error else "",
            error_message=error.message if error else "",
            finish_reason="error" if status == "error" else progress.finish_reason,
            usage=account.usage,
            cost_usd=account.cost_usd,
            cost_status=account.cost_status,
            price_id=account.price_id,
            receipts=account.receipts,
            latency_s=view.elapsed_s,
            ttft_s=view.ttft_s,
            n_attempts=progress.n_attempts,
            text=view.text,
            thinking=view.thinking,
            messages=call.request.messages,
            system=call.request.system,
            parameters=call.request.parameters,
        )


def _status(call: Call, progress: _Progress, error: AimmError | None) -> tuple[Status, AimmError | None]:
    if call.is_cancelled and progress.finish_reason is None and error is None:
        return "stopped", None
    if progress.block_category is not None:
        category = progress.block_category
        return "blocked", Blocked(f"The vendor blocked this: {category}.", category=category)
    if isinstance(error, Blocked):
        return "blocked", error
    if progress.finish_reason is not None:
        return "ok", None  # whole, whatever happened to the connection afterwards
    if error is not None and call.text:
        return "truncated", error
    if error is not None:
        return "error", error
    return "truncated", ProviderError("The stream broke off before its end.")


def _may_be_billed(call: Call, progress: _Progress, status: Status, error: AimmError | None) -> bool:
    """Whether a call without any count may have cost something; unknown is not zero.

    A refusal and a vendor that was never reached cost nothing; a time-out and an answer that broke, was empty or
    could not be read may well be billed.
    """
    if not progress.n_attempts:
        return False
    if call.has_output or status == "ok":
        return True
    if status == "stopped":
        return not call.waiting  # between two attempts nothing is under way
    return isinstance(error, ProviderError) and not isinstance(error, ProviderUnavailable)


def _price(provider: str, model: str, response_model: str | None) -> Any:
    """The price of the model asked for; `-latest` names are pointers, and the answer says where to."""
    now = clock.now()
    if model.endswith("-latest") and response_model:
        return price_of(provider, response_model, now) or price_of(provider, model, now)
    return price_of(provider, model, now)


async def _close(stream: Any) -> None:
    if (aclose := getattr(stream, "aclose", None)) is not None:
        await aclose()


def check_request(request: Request) -> None:
    """Refuse what no model could answer.

    Raises:
        InvalidRequest, TooLarge
    """
    if not request.messages or not request.prompt.strip():
        raise InvalidRequest("The prompt is empty.")
    if any("\x00" in text for text in (request.system or "", *(message.text for message in request.messages))):
        raise InvalidRequest("The prompt holds a NUL character, which no model takes.")
    if request.n_bytes > MAX_PROMPT_BYTES:
        raise TooLarge(
            f"The prompt has {request.n_bytes:,} bytes; at most {MAX_PROMPT_BYTES:,} are taken.",
            hint="No model reads that much; split the text.",
        )
    if problem := request.parameters.problem():
        raise InvalidRequest(problem)


def _check_parameters(request: Request, model: Model) -> None:
    refused = sorted(set(request.parameters.as_dict()) - model.accepts)
    if refused:
        raise InvalidRequest(f"{model.name} does not take {', '.join(refused)}.", hint="Leave the parameter out.")
