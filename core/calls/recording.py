"""The record of a call: what was asked, what came of it and what it cost as a generation, written with its charge."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from core.budgets.ledger import Ledger
from core.calls.cache import ResponseCache
from core.calls.call import Call, ModelAnswer, new_id
from core.calls.origin import Origin
from core.config import LogContent
from core.costs.service import PriceService
from core.domain.generation import CONTRADICTORY, ESTIMATED, Generation, Usage
from core.domain.metrics import CallFacts
from core.domain.price import Price
from core.errors import AimmError, DatabaseUnavailable
from core.formats.text import storable
from core.pricing.cost import CallCost, cost_of, cost_of_cached
from core.pricing.tokens import estimated_usage
from core.storage.calls.generations import to_body, to_row
from core.storage.calls.record import log_rows
from core.storage.engine.database import Connection
from core.storage.engine.writer import Rows, Work, Writer
from core.storage.money.ledger import lock_ledger

logger = logging.getLogger(__name__)

_CONTENT: tuple[LogContent, ...] = ("none", "metadata", "full")
_MEDIA = ("output_image_tokens", "output_video_tokens")
_NOT_KEPT = "The answer has pictures, video or sound: callers of the vendor's own wire get them, nobody else does."

Observer = Callable[[Generation, CallFacts], None]
OnRecord = Callable[[Generation], Work]


class Recorder:
    """Puts calls on record and tells observers of them."""

    def __init__(self, writer: Writer, ledger: Ledger, prices: PriceService, log_content: LogContent) -> None:
        self._writer = writer
        self._ledger = ledger
        self._prices = prices
        self._log_content = log_content
        self.observers: list[Observer] = []

    def kept(self, origin: Origin) -> LogContent:
        """See `content_kept`."""
        return content_kept(self._log_content, origin)

    async def record(self, call: Call, error: AimmError | None, on_record: OnRecord | None) -> None:
        """Finish a call once it is on record. error: Why its answer goes no further."""
        state, answer = call.state, call.state.answer(error)
        call.cause = answer.outcome[1]  # for what is written with it
        try:
            price = self._price(answer, call.request.model)
            generation = generation_of(call, answer, price, self.kept(call.origin))
            works = [self._prices.pin(price), on_record(generation) if on_record else None]
            if generation.status == "ok" and state.digest and state.chunks and call.origin.cache_s:
                works.append(ResponseCache.keep(state, call.request, call.origin.cache_s, generation.usage))
            state.overhead_s = answer.overhead_s
            if call.answerer.fallback_from and generation.is_simulated:
                # Simulated calls charge nothing, and the model that failed had reserved.
                self._ledger.release(call.id)
            await asyncio.wrap_future(self.write(generation, self.kept(call.origin), works))
            if not generation.is_simulated:
                self._ledger.charged()
        except Exception as caught:  # noqa: BLE001 - whoever waits must hear of it
            self._ledger.release(call.id)
            if isinstance(caught, DatabaseUnavailable):
                return call.finish(caught)
            logger.warning("a call could not be recorded: %s", type(caught).__name__)
            return call.finish(AimmError(f"The call could not be recorded ({type(caught).__name__})."))
        call.finish(generation, answer.outcome[1])
        return self._tell(generation, facts_of(call, answer))

    async def record_failed(self, call: Call, failed: ModelAnswer, to: str) -> None:
        """Put a model that failed on record by itself, and its cost in the call. to: The model that is asked next."""
        price, before = self._price(failed, call.request.model), call.answerer
        generation = generation_of(call, failed, price, self.kept(call.origin))
        if generation.may_have_cost:
            spent, cost = before.spent_before_usd, generation.cost_usd
            call.state.answerer = replace(
                before, spent_before_usd=None if spent is None or cost is None else spent + cost
            )
        # It is no call of an experiment: that one counts once.
        note = f"{generation.note} Fell back to {to}; the answer is {call.id}.".strip()
        generation = replace(generation, id=new_id(), ref_id=None, ref_part=None, note=note)
        # What was reserved stays so, under the call's own id: the next model's reservation takes its place.
        written = asyncio.wrap_future(self.write(generation, self.kept(call.origin), [self._prices.pin(price)]))
        self._tell(generation, CallFacts(overhead_s=0.0, n_retries=max(0, failed.n_attempts - 1)))
        await asyncio.shield(written)

    def _price(self, answer: ModelAnswer, asked_for: str) -> Price | None:
        """The price of the model asked for; `-latest` names are pointers, and the answer says where to."""
        model = answer.model.name if answer.model else asked_for
        at, tier = answer.created_at, answer.service_tier
        provider, model = self._prices.book.sold_as(answer.provider, model, answer.deployment, at)
        asked = self._prices.price(provider, model, at, tier)
        if not model.endswith("-latest") or not answer.response_model:
            return asked
        found = self._prices.price(provider, answer.response_model, at, tier)
        # The catalogue may not know yet what a pointer stands for now.
        return asked if found is None and asked is not None and asked.source != "catalogue" else found

    def write(self, generation: Generation, kept: LogContent, works: Sequence[Work | None] = ()) -> "Future[None]":
        """Record and charge a call, and do these works, in one transaction. kept: The texts that may be."""

        def also(connection: Connection) -> None:
            for work in filter(None, works):
                work(connection)

        return self._writer.record_together(self._record, to_row(generation), to_body(generation, kept), also)

    def _record(self, connection: Connection, rows: Rows, bodies: Rows) -> None:
        lock_ledger(connection)
        log_rows(connection, rows, bodies)
        self._ledger.charge(connection, rows)

    def _tell(self, generation: Generation, facts: CallFacts) -> None:
        for observer in self.observers:
            try:
                observer(generation, facts)
            except Exception as error:  # noqa: BLE001 - who counts calls must not break them
                logger.warning("an observer failed: %s", type(error).__name__)


def facts_of(call: Call, answer: ModelAnswer) -> CallFacts:
    model, _, reason = call.answerer.fallback_from.partition(" ")
    return CallFacts(
        overhead_s=answer.overhead_s,
        n_retries=max(0, answer.n_attempts - 1),
        fallback_from=model,
        fallback_reason=reason,
        is_hit=answer.is_hit,
        is_streamed=call.request.is_streamed,
        traceparent=call.origin.traceparent,
    )


def content_kept(log_content: LogContent, origin: Origin) -> LogContent:
    """The texts of a call that may be kept: as few as the server, its key and its caller each allow."""
    said: list[Any] = [log_content]
    if origin.key is not None and origin.key.log_content is not None:
        said.append(origin.key.log_content)
    if origin.is_private:
        said.append("metadata")
    least: LogContent = min(said, key=_CONTENT.index)
    return least


def error_text(error: AimmError, kept: LogContent) -> str:
    """The text that may be written down of an error: a vendor's own words may quote the prompt."""
    upstream = error.upstream
    if upstream is None or kept == "full":
        return error.message
    return f"{upstream.status} {upstream.code or upstream.type}".strip()


# Fields of a generation, by whom they are taken from as they are.
_OF_ANSWER = "created_at provider service_tier latency_s ttft_s n_attempts text thinking tool_calls".split()
_OF_ORIGIN = "source ref_id ref_part ref_name user_id key_id tags prompt_version session_id team".split()
_OF_REQUEST = "operation messages system parameters tools".split()
_OF_COST = "usage cost_usd cost_status price_id saved_usd receipts".split()


def generation_of(call: Call, answer: ModelAnswer, price: Price | None, kept: LogContent) -> Generation:
    """The record of a call."""
    status, error = answer.outcome
    usages, is_estimated = _counted(call, answer)
    if answer.is_hit:
        cost = cost_of_cached(sum(usages, Usage()), price)
    else:
        cost = cost_of(usages, price, is_estimated=is_estimated)
    notes = [
        *answer.notes,
        *_remarks(answer, cost, usages, is_estimated=is_estimated, writes=call.request.n_answers * call.state.writes),
    ]
    same: dict[str, Any] = {
        name: getattr(given, name)
        for given, names in (
            (answer, _OF_ANSWER),
            (call.origin, _OF_ORIGIN),
            (call.request, _OF_REQUEST),
            (cost, _OF_COST),
        )
        for name in names
    }
    return Generation(
        **same,
        id=call.id,
        request_model=answer.model.name if answer.model else call.request.model,
        deployment="" if answer.is_hit or answer.deployment == answer.provider else answer.deployment,
        response_model=storable(answer.response_model) if answer.response_model else None,
        note=storable(" ".join(notes)),
        status=status,
        error_class=error.code if error else "",
        error_message=storable(error_text(error, kept)) if error else "",
        finish_reason="error" if status == "error" else answer.finish_reason,
        usages=tuple(usages) if len(usages) > 1 else (),
    )


def _counted(call: Call, answer: ModelAnswer) -> tuple[list[Usage], bool]:
    """(the usage of each attempt, whether any of it is an estimate)."""
    usages, status = list(answer.usages), answer.outcome[0]
    # The counts so far are a lower bound where the answer went on after them.
    is_estimated = answer.is_undercounted or bool(answer.finish_reason is None and usages and status != "blocked")
    if not usages and answer.may_be_billed:
        usages, is_estimated = [estimated_usage(call.request, answer.written, answer.thinking)], True
    if answer.lost:
        usages, is_estimated = [*answer.lost, *usages], True
    return usages, is_estimated


def _remarks(
    answer: ModelAnswer, cost: CallCost, usages: Sequence[Usage], *, is_estimated: bool, writes: int
) -> list[str]:
    """Remarks on a call's cost, answer and attempts. writes: How many answers in text were asked for."""
    found = []
    if cost.is_contradictory:
        found.append(CONTRADICTORY)
    if cost.unknown_for:
        found.append(f"The cost was not known: {cost.unknown_for}.")
    if is_estimated and cost.cost_usd is None:
        found.append(ESTIMATED)
    if writes > 1:
        found.append(f"{writes} answers were asked for; the first is kept.")
    if writes and any(usage.output_audio_tokens or any(usage.more.get(name) for name in _MEDIA) for usage in usages):
        found.append(_NOT_KEPT)
    if len(answer.causes) > 1 or (answer.causes and answer.outcome[0] != "error"):
        found.append(f"Failed attempts: {', '.join(answer.causes)}.")
    return found
