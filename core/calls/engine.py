"""Runs calls: resolve, admit, stream with retries, price, record. Nothing else calls a provider."""

import asyncio
import logging
import random
import secrets
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any, Protocol

from core import clock
from core.calls.accounting import ask_for, at_least, estimated_usage, settle, within_cap
from core.calls.call import Call, Origin
from core.calls.loop import BackgroundLoop
from core.calls.progress import Progress, may_be_billed, shortened, status_of
from core.calls.retry import wait_before_retry_s
from core.config import MAX_PROMPT_BYTES, LogContent
from core.domain.budget import Ask, Budget, Spender, Verdict
from core.domain.generation import Chunk, Generation, Model, Request, Usage
from core.domain.price import Price
from core.errors import (
    AimmError,
    Conflict,
    InvalidRequest,
    ProviderError,
    ProviderTimeout,
    TooLarge,
)
from core.pricing.receipt import to_nano
from core.providers.base import Provider
from core.storage.generations import CONTRADICTORY, ESTIMATED, to_body, to_row
from core.storage.writer import Work, Writer

logger = logging.getLogger(__name__)

KEPT_CALLS = 500


class Admission(Protocol):
    """Who is asked before a call and told after it."""

    async def is_bound(self, spender: Spender) -> bool:
        """Whether a budget may refuse or change calls of this spender."""

    async def admit(self, ask: Ask, waiting: Callable[[str], None]) -> Verdict:
        """Reserve the worst case; waits while only calls under way are in its way."""

    def refusal(self, verdict: Verdict, ask: Ask) -> AimmError: ...
    def settled(self) -> None: ...
    def release(self, call_id: str) -> None: ...


class PriceKeeper(Protocol):
    """Who knows prices, and keeps each row that was used."""

    def price(self, provider: str, model: str, at: datetime, service_tier: str) -> Price | None: ...
    def dearest(self, provider: str, model: str, at: datetime, service_tier: str) -> Price | None: ...
    def pin(self, price: Price | None) -> Work | None: ...


class CallEngine:
    def __init__(  # noqa: PLR0913 - what a call passes through
        self,
        loop: BackgroundLoop,
        writer: Writer,
        resolve: Callable[[str], Awaitable[tuple[Provider, Model]]],
        admission: Admission,
        prices: PriceKeeper,
        *,
        timeout_s: float,
        log_content: LogContent,
    ) -> None:
        self._loop = loop
        self._writer = writer
        self._resolve = resolve
        self._admission = admission
        self._prices = prices
        self._timeout_s = timeout_s
        self._log_content = log_content
        # An alias stands for what answers it today; above this layer it is known what that is.
        self.route: Callable[[Request, Origin], tuple[Request, Origin]] = lambda request, origin: (request, origin)
        self._rng = random.Random()
        self._calls: dict[str, Call] = {}
        self._lock = threading.Lock()

    def submit(self, request: Request, origin: Origin, also: Callable[[Generation], Work] | None = None) -> Call:
        """Start a call and return its handle. `also` gives work for the transaction that records it.

        Raises:
            InvalidRequest: The request cannot be sent as it is; nothing was recorded.
        """
        check_request(request)
        request, origin = self.route(request, origin)
        if problem := origin.problem():
            raise InvalidRequest(problem)
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
        progress = Progress()
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
            row, body = to_row(generation), to_body(generation, self._log_content)
            work = _both(self._prices.pin(progress.price), also(generation) if also else None)
            await asyncio.wrap_future(self._writer.log(row, body, work))
            if not generation.is_simulated:
                self._admission.settled()
        except Exception as caught:  # noqa: BLE001 - whoever waits must hear of it
            logger.warning("a call could not be recorded: %s", type(caught).__name__)
            self._admission.release(call.id)
            call.finish(AimmError(f"The call could not be recorded ({type(caught).__name__})."))
        else:
            call.finish(generation)

    async def _attempts(self, call: Call, progress: Progress) -> None:
        deadline = call.started_at + self._timeout_s
        provider, model = await self._resolve(call.request.model)
        _check_parameters(call.request, model)
        progress.provider, progress.model = provider, model
        request = await self._admitted(call, progress, deadline)
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
                if progress.usages:  # this attempt was billed: the next one needs money of its own
                    request = await self._admitted(call, progress, deadline)

    async def _admitted(self, call: Call, progress: Progress, deadline: float) -> Request:
        """The request as it may be sent: within the call's cap and the budgets, of the model that really runs."""
        tried: set[str] = set()
        while True:
            model = progress.model
            assert model is not None  # noqa: S101 - set by the caller
            request, ask = self._quote(call, progress, model)
            if model.is_simulated or not await self._admission.is_bound(ask.spender):
                return request
            try:
                async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                    verdict = await self._admission.admit(ask, partial(setattr, call, "waiting"))
            except TimeoutError:
                raise ProviderTimeout(
                    f"The budget had no free money within {self._timeout_s:g} s: calls under way hold it reserved.",
                    hint="Set a smaller max_tokens: a call reserves its longest answer.",
                ) from None
            call.waiting = ""
            if verdict.kind == "go":
                return shortened(request, verdict.max_tokens, progress, "a budget's rest")
            tried.add(model.name)
            if verdict.kind != "downgrade" or verdict.budget is None or verdict.budget.downgrade_to in tried:
                raise self._admission.refusal(verdict, ask)
            await self._downgrade(verdict.budget, progress)

    def _quote(self, call: Call, progress: Progress, model: Model) -> tuple[Request, Ask]:
        """The request for a model with what it may cost at worst, shortened to the call's own cap."""
        parameters = replace(
            call.request.parameters, **dict.fromkeys(set(call.request.parameters.as_dict()) - model.accepts)
        )
        request = replace(call.request, model=model.name, parameters=parameters)
        tier = progress.service_tier = parameters.service_tier or "standard"
        price = self._prices.dearest(model.provider, model.name, progress.created_at, tier)
        spent = settle(progress.usages, price, is_estimated=False).cost_usd or Decimal(0)
        origin = call.origin
        spender = Spender(
            provider=model.provider,
            model=model.name,
            user_id=origin.user_id,
            key_id=origin.key_id,
            tags=origin.tags,
        )
        ask = replace(
            ask_for(request, model, price, spender),
            call_id=call.id,
            at_us=clock.to_us(progress.created_at),
            spent_nano=to_nano(spent),
        )
        if origin.cap_usd is not None:
            longest = within_cap(ask, origin.cap_usd)
            if longest is not None:
                request = shortened(request, longest, progress, "the rest of its cap")
                worst = ask.input_nano + int(ask.token_nano * longest) + 1
                ask = replace(ask, worst_nano=worst, shortest_tokens=min(ask.shortest_tokens, longest))
        return request, ask

    async def _downgrade(self, budget: Budget, progress: Progress) -> None:
        assert progress.model is not None  # noqa: S101 - set by the caller
        before = progress.model.name
        progress.provider, progress.model = await self._resolve(budget.downgrade_to)
        progress.notes.append(f"Budget {budget.name!r} is used up: {progress.model.name} answered instead of {before}.")

    async def _attempt(self, call: Call, request: Request, progress: Progress, deadline: float) -> None:
        assert progress.provider is not None  # noqa: S101 - set by the caller
        usage: Usage | None = None
        progress.finish_reason = None
        has_more = False  # whether something came after the last count
        timeout_s = max(0.001, deadline - time.monotonic())
        stream = progress.provider.stream(request, attempt=progress.n_attempts, timeout_s=timeout_s)
        try:
            async for chunk in stream:
                usage = chunk.usage or usage
                has_more = chunk.usage is None and (has_more or bool(chunk.text or chunk.thinking))
                self._take(call, chunk, progress)
        finally:
            if usage is not None and (has_more or (call.text and usage.output_tokens == usage.thinking_tokens)):
                usage, progress.is_undercounted = at_least(usage, call.text, call.thinking), True
            if usage is not None:
                progress.usages.append(usage)
            await _close(stream)
        if progress.finish_reason is None and not call.has_output:
            raise ProviderError(f"{request.model} answered with nothing at all.", hint="Try again.")

    @staticmethod
    def _take(call: Call, chunk: Chunk, progress: Progress) -> None:
        call.feed(chunk)
        progress.finish_reason = chunk.finish_reason or progress.finish_reason
        progress.block_category = chunk.block_category or progress.block_category
        progress.response_model = chunk.response_model or progress.response_model
        progress.service_tier = chunk.service_tier or progress.service_tier

    def _generation(self, call: Call, progress: Progress, error: AimmError | None) -> Generation:
        status, error = status_of(call, progress, error)
        call.error = error if status in ("error", "blocked") else None
        model = progress.model.name if progress.model else call.request.model
        provider = progress.provider.name if progress.provider else "unknown"
        price = progress.price = self._price(provider, model, progress)
        usages, is_estimated = list(progress.usages), False
        if progress.is_undercounted or (progress.finish_reason is None and usages and status != "blocked"):
            is_estimated = True  # the counts so far, a lower bound
        if not usages and may_be_billed(call, progress, status, error):
            usages, is_estimated = [estimated_usage(call.request, call.text, call.thinking)], True
        account = settle(usages, price, is_estimated=is_estimated)
        if account.is_contradictory:
            progress.notes.append(CONTRADICTORY)
        if is_estimated and account.cost_usd is None:
            progress.notes.append(ESTIMATED)
        view = call.view()
        return Generation(
            id=call.id,
            created_at=progress.created_at,
            request_model=model,
            response_model=progress.response_model,
            provider=provider,
            source=call.origin.source,
            ref_id=call.origin.ref_id,
            ref_part=call.origin.ref_part,
            ref_name=call.origin.ref_name,
            user_id=call.origin.user_id,
            key_id=call.origin.key_id,
            tags=call.origin.tags,
            note=" ".join(progress.notes),
            status=status,
            error_class=error.code if error else "",
            error_message=error.message if error else "",
            finish_reason="error" if status == "error" else progress.finish_reason,
            usage=account.usage,
            cost_usd=account.cost_usd,
            cost_status=account.cost_status,
            price_id=account.price_id,
            saved_usd=account.saved_usd,
            service_tier=progress.service_tier,
            usages=tuple(usages) if len(usages) > 1 else (),
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

    def _price(self, provider: str, model: str, progress: Progress) -> Price | None:
        """The price of the model asked for; `-latest` names are pointers, and the answer says where to."""
        at, tier = progress.created_at, progress.service_tier
        if model.endswith("-latest") and progress.response_model:
            found = self._prices.price(provider, progress.response_model, at, tier)
            if found is not None:
                return found
        return self._prices.price(provider, model, at, tier)


def _both(first: Work | None, second: Work | None) -> Work | None:
    if first is None or second is None:
        return first or second

    def work(connection: Any) -> None:
        first(connection)
        second(connection)

    return work


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
