"""The admission of calls: with what money a call may start, and as which request, by its cap and the budgets."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from decimal import ROUND_CEILING, Decimal
from functools import partial
from typing import TYPE_CHECKING

from core import clock
from core.budgets import periods
from core.budgets.ledger import Ledger
from core.calls.call import Accumulator, Call
from core.calls.origin import Origin
from core.costs.service import PriceService
from core.domain.budget import Admission, Quote, Spender
from core.domain.generation import Model, Native, Request
from core.domain.operation import WRITING, Operation
from core.domain.price import Price
from core.errors import BudgetExceeded, CapReached, InvalidRequest, ProviderTimeout
from core.formats.money import NANO, from_nano, to_nano
from core.formats.text import as_list
from core.pricing.cost import cost_of
from core.pricing.tokens import longest_answer, longest_input, longest_units, media_of
from core.providers.base import Provider, tier_of
from core.providers.fitting import fitted

if TYPE_CHECKING:
    from core.providers.registry import Registry

_TOLD: dict[Operation, str] = {
    "chat": "chat", "embeddings": "embeddings", "text_completion": "completions of a text", "moderation": "moderation",
    "image_generation": "pictures", "image_edit": "edits of pictures", "image_variation": "variations of pictures",
    "speech": "speech", "transcription": "transcriptions", "translation": "translations of sound",
}  # fmt: skip
MOST_SEARCHES = 10  # that are reserved for a call whose vendor may search the web as often as it likes
BATCH = "batch"  # the tier of what a vendor's batch answers
# What an alias or an experiment may add that a wire has no words for.
_UNSAID = {
    "responses": ("top_k", "seed", "stop", "frequency_penalty", "presence_penalty", "thinking_budget"),
    "anthropic": ("seed", "frequency_penalty", "presence_penalty", "json_object"),
}
SHORTEST_ANSWER = 256  # tokens; a budget that cannot pay for so many refuses the call


class Admitter:
    def __init__(self, registry: "Registry", ledger: Ledger, prices: PriceService, timeout_s: float) -> None:
        self._registry = registry
        self._ledger = ledger
        self._prices = prices
        self._timeout_s = timeout_s

    async def admitted(self, call: Call, deadline: float) -> Request:
        """The request as it may be sent: within the call's cap and the budgets, of the model that really runs.

        Raises:
            BudgetExceeded, CapReached, ProviderTimeout: the budget had no free money in time.
        """
        state, tried = call.state, list[Model]()
        while True:
            provider, model = state.provider, state.model
            assert provider is not None and model is not None  # noqa: S101 - set by the caller
            request, quote = self._quote(call, provider, model)
            if model.is_simulated or not await self._ledger.is_bound(quote.spender):
                return request
            admission = await self._judged(state, quote, deadline)
            if admission.kind == "go":
                return shortened(request, admission.max_tokens, state, "a budget's rest")
            tried.append(model)
            budget = admission.budget
            if (
                admission.kind != "downgrade"
                or budget is None
                or any(budget.leads_to(m.provider, m.name) for m in tried)
            ):
                raise _refusal(admission, quote)
            state.turn_to(*await self._registry.resolve(budget.downgrade_to))
            assert state.model is not None  # noqa: S101 - just set
            state.notes.append(
                f"Budget {budget.name!r} is used up: {state.model.name} answered instead of {model.name}."
            )

    async def worst(self, request: Request, origin: Origin, *, always: bool = False) -> Quote | None:
        """The most that a call would cost that is not begun; None = no budget that may refuse it would pay for it.

        always: Say it whether or not a budget would pay, and of simulated models too.

        Raises:
            AimmError: The model cannot be asked so.
        """
        provider, model = await self._registry.resolve(request.model)
        check_parameters(request, model)
        if not always and (model.is_simulated or not await self._ledger.is_bound(spender_of(origin, model, provider))):
            return None
        call = Call(request, origin)
        call.state.turn_to(provider, model)
        return self._quote(call, provider, model)[1]

    def knows_batch_price(self, model: Model) -> bool:
        """Tell whether it is known what a model costs in a batch."""
        return self._prices.price(model.provider, model.name, clock.now(), BATCH) is not None

    def planned(self, call: Call) -> Request:
        """The request as the model in the call's state is sent it, without a look at any budget."""
        assert call.state.provider is not None and call.state.model is not None  # noqa: S101 - set by the caller
        return self._quote(call, call.state.provider, call.state.model)[0]

    async def _judged(self, state: Accumulator, quote: Quote, deadline: float) -> Admission:
        begun = time.monotonic()
        try:
            async with asyncio.timeout(max(0.0, deadline - begun)):
                return await self._ledger.admit(quote, partial(setattr, state, "waiting"))
        except TimeoutError:
            raise ProviderTimeout(
                f"The budget had no free money within {self._timeout_s:g} s: calls under way hold it reserved.",
                hint="Set a smaller max_tokens: a call reserves its longest answer.",
            ) from None
        finally:
            if state.waiting:
                state.waited_s += time.monotonic() - begun
                state.waiting = ""

    def _quote(self, call: Call, provider: Provider, model: Model) -> tuple[Request, Quote]:
        """The request for a model with what it may cost at worst, shortened to the call's own cap."""
        state, origin = call.state, call.origin
        request = _fitted(call.request, state, provider, model)
        tier = state.service_tier = BATCH if origin.is_batched else _tier(request)
        sold = self._prices.book.sold_as(model.provider, model.name, provider.deployment, state.created_at)
        prices = self._prices.possible(*sold, state.created_at, tier)
        if origin.is_batched:  # it is never served at another tier
            prices = [price for price in prices if price.service_tier.startswith(BATCH)]
        billed = [*state.lost, *state.usages]
        spent = [cost_of(billed, price).cost_usd or Decimal(0) for price in prices] if billed else []
        spender = spender_of(origin, model, provider)
        usual = self._prices.price(*sold, state.created_at, tier)
        state.answerer = replace(state.answerer, spender=spender, price_id=usual.id if usual else "")
        bare = Quote(
            call_id=call.id,
            at_us=clock.to_us(state.created_at),
            spender=spender,
            worst_nano=None,
            spent_nano=to_nano(max(spent, default=Decimal(0))),
            may_be_charged=getattr(provider, "may_charge", False),
            is_unpriced=(usual is None and not model.name.endswith("-latest")) or _runs_there(request),
            is_again=bool(billed or state.answerer.fallback_from),
            hold_id=origin.hold_id,
        )
        quote = quote_for(bare, request, model, prices)
        if origin.cap_usd is None:
            return request, quote
        # What models have cost that failed before is in the ledger already, but the caller's cap is for all of them.
        before_nano = to_nano(state.answerer.spent_before_usd or Decimal(0))
        longest = _within_cap(replace(quote, spent_nano=quote.spent_nano + before_nano), origin.cap_usd)
        if longest is not None:
            request = shortened(request, longest, state, "the rest of its cap")
            worst = quote.input_nano + int(quote.token_nano * longest) + 1
            quote = replace(quote, worst_nano=worst, shortest_tokens=min(quote.shortest_tokens, longest))
        return request, quote


def spender_of(origin: Origin, model: Model, provider: Provider) -> Spender:
    return Spender(
        provider=model.provider,
        model=model.name,
        user_id=origin.user_id,
        key_id=origin.key_id,
        team=origin.team,
        tags=origin.tags,
        deployment="" if provider.deployment == model.provider else provider.deployment,
    )


def _refusal(admission: Admission, quote: Quote) -> BudgetExceeded:
    budget = admission.budget
    assert budget is not None  # noqa: S101 - a refusal names its budget
    now = clock.now()
    ends_at = periods.window(budget, now)[1]
    resets_at = ends_at.isoformat(timespec="minutes")
    if admission.reason == "unpriced":
        text = f"The budget {budget.name!r} takes no model without a known price, such as {quote.spender.model}."
        return BudgetExceeded(text, budget=budget.name, resets_at=resets_at, reason="unpriced")
    left, worst = from_nano(admission.left_nano), from_nano(quote.spent_nano + (quote.worst_nano or 0))
    state = "is spent" if admission.left_nano == 0 else f"has ${left:.6f} left, and this call may cost ${worst:.6f}"
    text = f"The budget {budget.name!r} {state} (limit ${budget.limit_usd:f} {budget.period_text})."
    wait_s = (ends_at - now).total_seconds()
    exceeded = BudgetExceeded(text, budget=budget.name, resets_at=resets_at, retry_after_s=wait_s)
    exceeded.is_of_deployment = budget.scope_kind == "deployment"
    return exceeded


def quote_for(bare: Quote, request: Request, model: Model, prices: Sequence[Price]) -> Quote:
    """The quote of a call with the most that it can cost, at the dearest of the prices that it may turn out to have."""
    n_input, media = longest_input(request, model), media_of(request)
    n_searches, units = MOST_SEARCHES if _may_search(request) else 0, longest_units(request)
    inputs, outputs = [], []  # nano-dollars: all of the input, and a token of the answer
    for price in prices:
        reading, fee = price.dearest_input(n_input, media), price.fee(n_searches, units)
        if reading is not None and fee is not None:
            inputs.append(reading * NANO / 1_000_000 * n_input + fee * NANO)
            outputs.append(price.dearest_output(n_input) * NANO / 1_000_000)
    if not inputs:
        return bare
    token_nano = max(outputs) * request.n_answers  # a token of each answer
    input_nano = int(max(inputs).to_integral_value(ROUND_CEILING))
    may_shorten = request.operation in WRITING and request.parameters.max_tokens is None
    may_shorten = may_shorten and "max_tokens" in model.accepts and token_nano > 0
    return replace(
        bare,
        worst_nano=input_nano + int((token_nano * longest_answer(request, model)).to_integral_value(ROUND_CEILING)),
        input_nano=input_nano,
        token_nano=token_nano,
        shortest_tokens=SHORTEST_ANSWER if may_shorten else 0,
    )


def _may_search(request: Request) -> bool:
    """Tell whether a request as it came lets the vendor search the web, which is charged by the search."""
    body = request.native.body if request.native is not None else {}
    tools = [tool for tool in as_list(body.get("tools")) if isinstance(tool, dict)]
    words = (*body, *(word for tool in tools for word in (*tool, tool.get("type"))))
    return any("search" in word.lower() for word in words if isinstance(word, str))


# Tools that a vendor runs itself and charges for in ways that no price list here holds.
_PRICELESS = ("code_interpreter", "image_generation", "shell", "code_execution", "mcp", "computer")


def _runs_there(request: Request) -> bool:
    """Tell whether a request as it came has such a tool; those that the caller runs are none."""
    body = request.native.body if request.native is not None and request.native.wire == "responses" else {}
    kinds = [tool.get("type") for tool in as_list(body.get("tools")) if isinstance(tool, dict)]
    return any(isinstance(kind, str) and kind.startswith(_PRICELESS) for kind in kinds)


def _within_cap(quote: Quote, cap_usd: Decimal) -> int | None:
    """The tokens that an answer may have so that the call cannot pass its cap; None = as many as asked for.

    Raises:
        CapReached: Not even a short answer fits, or the model has no price to hold against the cap.
    """
    cap = to_nano(cap_usd)
    if quote.worst_nano is None or quote.is_unpriced:
        raise CapReached(f"{quote.spender.model} has no known price, so a cap of ${cap_usd:f} cannot be kept.")
    if quote.spent_nano + quote.worst_nano <= cap:
        return None
    least = quote.spent_nano + quote.input_nano + quote.token_nano * quote.shortest_tokens
    if not quote.shortest_tokens or least > cap:
        left = Decimal(max(cap - quote.spent_nano, 0)) / NANO
        raise CapReached(
            f"A call of {quote.spender.model} may cost ${Decimal(quote.worst_nano) / NANO:.6f};"
            f" ${left:.6f} of the cap is left."
        )
    return int((cap - quote.spent_nano - quote.input_nano) / quote.token_nano)


def shortened(request: Request, longest: int | None, state: Accumulator, why: str) -> Request:
    if longest is None:
        return request
    state.notes.append(f"The answer was limited to {longest:,} tokens by {why}.")
    return replace(request, parameters=replace(request.parameters, max_tokens=longest))


def _tier(request: Request) -> str:
    """The tier asked for; `auto` is what the vendor takes it for."""
    body = request.native.body if request.native is not None else {}
    said = request.parameters.service_tier or tier_of(body.get("service_tier") or body.get("serviceTier"))
    return "standard" if said in (None, "auto") else said


def check_parameters(request: Request, model: Model) -> None:
    """Refuse what the model does not take; what came over a wire is fitted instead. Raises: InvalidRequest"""
    if request.native is not None:
        return
    refused = sorted(set(request.parameters.as_dict()) - model.accepts)
    if refused:
        raise InvalidRequest(f"{model.name} does not take {', '.join(refused)}.", hint="Leave the parameter out.")


def _fitted(request: Request, state: Accumulator, provider: Provider, model: Model) -> Request:
    """The request without the parameters that this model does not take; who speaks the caller's wire judges itself."""
    native, state.ignored = request.native, ""
    check_operation(request, provider, model)
    if request.operation not in ("chat", "embeddings"):
        return _as_asked(request, state, model)
    if native is not None and native.wire in (model.wires or provider.wires):
        if native.is_bound and request.system != native.system:
            _leave_out(
                state, "the system prompt of its alias or experiment, to which its thoughts are not bound", model
            )
            request = replace(request, system=native.system)
        lacks = _UNSAID.get(native.wire, ())
        if unsaid := [n for n in lacks if getattr(request.parameters, n) != getattr(native.parameters, n)]:
            _leave_out(state, ", ".join(unsaid), model)
        return request if request.model == model.name else replace(request, model=model.name)
    if native is not None and native.only:
        raise _untold(native, model)
    request, left_out = fitted(request, model)
    left_out += provider.left_out(request)
    if left_out := [*(native.ignored if native is not None else ()), *left_out]:
        _leave_out(state, ", ".join(left_out), model)
    # What came is not sent: it costs nothing, and asks for no searches.
    return request if native is None else replace(request, native=replace(native, body={}))


def _untold(native: Native, model: Model) -> InvalidRequest:
    error = InvalidRequest(
        f"{model.name} cannot be told {', '.join(native.only)}.",
        hint=f"A model of the {native.wire} wire can.",
        param=native.only[0].split()[0].rstrip(",:"),
    )
    if native.is_unread and native.body.get("previous_response_id"):
        error.code, error.param = "previous_response_not_found", "previous_response_id"
    return error


def check_operation(request: Request, provider: Provider, model: Model) -> None:
    """Refuse what the model's vendor has nothing for. Raises: InvalidRequest."""
    if request.operation not in provider.operations:
        has = ", ".join(told for operation, told in _TOLD.items() if operation in provider.operations)
        refused = InvalidRequest(
            f"{model.provider} makes no {_TOLD[request.operation]}, and {model.name} is its model.",
            hint=f"It has {has}.",
        )
        refused.is_of_deployment = True
        raise refused
    if request.n_answers > 1 and request.operation == "chat" and not provider.gives_several:
        raise InvalidRequest(
            f"{model.name} gives one answer at a time, and {request.n_answers} were asked for.",
            hint="Ask again for each, or take a model of OpenAI or Gemini.",
            param="n",
        )


def _as_asked(request: Request, state: Accumulator, model: Model) -> Request:
    """A request that is handed on as it came; of what an alias or experiment adds, only lengths and sampling of texts
    have a place in it."""
    native, parameters = request.native, request.parameters
    assert native is not None  # noqa: S101 - there is no other way to ask for it
    added = ["the system prompt"] if request.system != native.system else []
    if request.operation not in WRITING and parameters != native.parameters:
        added += sorted(parameters.as_dict())
        parameters = native.parameters
    if added:
        _leave_out(state, ", ".join(added), model)
    return replace(request, model=model.name, system=native.system, parameters=parameters)


def _leave_out(state: Accumulator, names: str, model: Model) -> None:
    """Say in the answer and in the log what of a request the model is not told."""
    state.ignored, note = names, f"{model.name} does not take {names}; left out."
    if note not in state.notes:
        state.notes.append(note)
