"""The money of a call: from what attempts reported to what it cost, and before that what it may cost. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, Decimal
from typing import Any

from core.domain.budget import Quote, Spender
from core.domain.generation import COUNTS, CostStatus, Model, Receipt, Request, Usage
from core.domain.message import Media, Tool
from core.domain.price import Price
from core.errors import CapReached, InvalidRequest
from core.formats import strict_json as json
from core.formats.money import NANO, to_nano
from core.formats.text import as_list
from core.pricing.receipt import charged, receipt_for

BYTES_PER_TOKEN = 4  # a rule of thumb, used only where the vendor sent no count; such costs are marked estimated
TOKENS_PER_MESSAGE = 32  # what vendors add around a turn, with room to spare
TOKENS_PER_IMAGE = 8_192  # no image costs more, but at the one model that makes up for its price by more tokens
TOKENS_OF_MINI = 48_169
# Sound and film are counted by the second, and hardly any have fewer bytes for a token than these; of a page of
# a document there may be only its text, compressed.
BYTES_PER_MEDIA_TOKEN = {"audio": 16, "video": 16}
MOST_SEARCHES = 10  # that are reserved for a call whose vendor may search the web as often as it likes
LONGEST_PROMPT = 1_048_576  # for models that state no limit
LONGEST_ANSWER = 65_536  # for models that state no limit
SHORT_ANSWER = 4096  # of a model that is given a length of thought and none of the answer
SHORTEST_ANSWER = 256  # tokens; a budget that cannot pay for so many refuses the call


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The usage and cost of a call.

    cost_usd: None = unknown.
    unknown_for: The reason why there is a price and yet no cost.
    """

    usage: Usage
    cost_usd: Decimal | None
    cost_status: CostStatus
    receipts: tuple[Receipt, ...]
    saved_usd: Decimal = Decimal(0)
    is_contradictory: bool = False
    unknown_for: str = ""

    @property
    def price_id(self) -> str:
        return self.receipts[-1].price_id if self.receipts else ""


def estimated_usage(request: Request, text: str, thinking: str = "") -> Usage:
    """Our own count for a call whose vendor sent none."""
    thought = _tokens(thinking)
    return Usage(
        input_tokens=max(1, -(-(request.n_bytes + sum(map(_tool_bytes, request.tools))) // BYTES_PER_TOKEN)),
        output_tokens=_tokens(text) + thought,
        thinking_tokens=thought,
    )


def _tool_bytes(tool: Tool) -> int:
    return len(tool.name) + len(tool.description.encode()) + len(json.dumps(tool.parameters, default=str))


def at_least(usage: Usage, text: str, thinking: str) -> Usage:
    """A count that an answer has outgrown, raised to our own of what came."""
    thought = max(usage.thinking_tokens, _tokens(thinking))
    return replace(usage, thinking_tokens=thought, output_tokens=max(usage.output_tokens, _tokens(text) + thought))


def _tokens(text: str) -> int:
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


def settle(usages: Sequence[Usage], price: Price | None, *, is_estimated: bool) -> Account:
    """Price the usage of each attempt by itself (tiers are per request) and add up.

    What the vendor says it charged counts more than its list of prices, and less than a row of the team's own. No usage
    at all, e.g. after a refusal, costs 0: the vendor bills nothing for it.
    """
    total = sum(usages, Usage())
    if not usages:
        return Account(usage=total, cost_usd=Decimal(0), cost_status="priced", receipts=())
    try:
        receipts = tuple(_receipt(usage, price) for usage in usages)
    except ValueError:  # the vendor's counts contradict each other: a made-up cost would be a lie
        return _unknown(total, is_contradictory=True)
    except LookupError as error:  # something was used that has no price
        return _unknown(total, why="" if price is None else str(error.args[0]))
    cost = sum((receipt.usd for receipt in receipts), Decimal(0))
    return Account(usage=total, cost_usd=cost, cost_status="estimated" if is_estimated else "priced", receipts=receipts)


def _receipt(usage: Usage, price: Price | None) -> Receipt:
    is_own = price is not None and price.source in ("team", "file")
    if usage.charged_usd is not None and not is_own:
        return charged(usage.charged_usd)
    if price is None:
        raise LookupError("there is no price")
    return receipt_for(usage, price)


def _unknown(total: Usage, *, is_contradictory: bool = False, why: str = "") -> Account:
    return Account(
        unknown_for=why,
        usage=consistent(total),
        cost_usd=None,
        cost_status="unknown",
        receipts=(),
        is_contradictory=is_contradictory or total != consistent(total),
    )


def settle_cached(usage: Usage, price: Price | None) -> Account:
    """An answer from our own cache: it costs nothing, and what it would have cost counts as saved."""
    account = settle([usage], price, is_estimated=False)
    saved = account.cost_usd or Decimal(0)
    return replace(account, cost_usd=Decimal(0), cost_status="cached", saved_usd=saved, receipts=(), unknown_for="")


def consistent(usage: Usage) -> Usage:
    """Counts that fit into each other, for the record."""
    whole = {name: max(0, getattr(usage, name)) for name in COUNTS}
    whole["cached_tokens"] = min(whole["cached_tokens"], whole["input_tokens"])
    whole["thinking_tokens"] = min(whole["thinking_tokens"], whole["output_tokens"])
    more = {name: max(0, count) for name, count in usage.more.items()}
    return Usage(**whole, more=more, charged_usd=usage.charged_usd)


def longest_input(request: Request, model: Model) -> int:
    """Tokens the prompt cannot exceed: no tokenizer makes more than one token of a byte."""
    schema, body = request.parameters.json_schema, request.native.body if request.native is not None else {}
    media = [medium for message in request.messages for medium in message.media]
    is_kept = body.get("cachedContent") or body.get("cached_content")
    if is_kept or any(medium.url and not medium.media_type.startswith("image/") for medium in media):
        # How long a kept prompt, a document or a film is, only the vendor knows.
        return model.context_tokens or LONGEST_PROMPT
    n = request.n_bytes + (len(json.dumps(schema, default=str)) if schema else 0) + sum(map(_tool_bytes, request.tools))
    # What came may hold more than is read here.
    n = max(n, _bytes_in(body) - sum(len(medium.data) for medium in media))
    n += TOKENS_PER_MESSAGE * (len(request.messages) + len(request.tools) + 1)
    n += sum(_most_tokens(medium, model) for medium in media)
    return n if model.context_tokens is None else min(n, model.context_tokens)


def _bytes_in(body: Mapping[str, Any]) -> int:
    """Bytes of all texts in a body."""
    n, left = 0, [dict(body)]
    while left:
        value: Any = left.pop()
        if isinstance(value, str):
            n += len(value) if value.isascii() else len(value.encode(errors="surrogatepass"))
        elif isinstance(value, dict):
            left += [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple):
            left += value
    return n


def _most_tokens(medium: Media, model: Model) -> int:
    kind = medium.media_type.partition("/")[0]
    if kind == "image":
        return TOKENS_OF_MINI if "gpt-4o-mini" in model.name else TOKENS_PER_IMAGE
    return min(LONGEST_PROMPT, max(TOKENS_PER_IMAGE, medium.n_bytes // BYTES_PER_MEDIA_TOKEN.get(kind, 1)))


def media_of(request: Request) -> set[str]:
    """Kinds of tokens of the prompt besides text."""
    types = {medium.media_type.partition("/")[0] for message in request.messages for medium in message.media}
    return {{"application": "image"}.get(kind, kind) for kind in types} & {"audio", "image", "video"}


def _may_search(request: Request) -> bool:
    """Tell whether a request as it came lets the vendor search the web, which is charged by the search."""
    body = request.native.body if request.native is not None else {}
    words = {word for tool in as_list(body.get("tools")) if isinstance(tool, dict) for word in tool}
    return any("search" in word.lower() for word in (*words, *body))


def longest_answer(request: Request, model: Model) -> int:
    if request.operation == "embeddings":
        return 0
    if request.parameters.max_tokens is not None:
        return request.parameters.max_tokens
    # Some vendors count thoughts on top of the answer.
    return max(model.max_output_tokens or LONGEST_ANSWER, (request.parameters.thinking_budget or 0) + SHORT_ANSWER)


def quote_for(  # noqa: PLR0913 - a call and its money
    request: Request,
    model: Model,
    prices: Sequence[Price],
    spender: Spender,
    *,
    call_id: str,
    at_us: int,
    spent_nano: int,
) -> Quote:
    """The most that a call can cost, at the dearest of the prices that it may turn out to have."""
    n_input, media = longest_input(request, model), media_of(request)
    n_searches = MOST_SEARCHES if _may_search(request) else 0
    worst = []
    for price in prices:
        reading, fee = price.dearest_input(n_input, media), price.fee(n_searches)
        if reading is not None and fee is not None:
            worst.append(
                (reading * NANO / 1_000_000 * n_input + fee * NANO, price.dearest_output(n_input) * NANO / 1_000_000)
            )
    if not worst:
        return Quote(call_id=call_id, at_us=at_us, spender=spender, worst_nano=None, spent_nano=spent_nano)
    token_nano = max(token for _, token in worst)
    input_nano = int(max(reading for reading, _ in worst).to_integral_value(ROUND_CEILING))
    may_shorten = request.parameters.max_tokens is None and "max_tokens" in model.accepts and token_nano > 0
    return Quote(
        call_id=call_id,
        at_us=at_us,
        spent_nano=spent_nano,
        spender=spender,
        worst_nano=input_nano + int((token_nano * longest_answer(request, model)).to_integral_value(ROUND_CEILING)),
        input_nano=input_nano,
        token_nano=token_nano,
        shortest_tokens=SHORTEST_ANSWER if may_shorten else 0,
    )


def checked_cap(cap_usd: Decimal) -> Decimal:
    """A cap that can be kept. Raises: InvalidRequest"""
    if not cap_usd.is_finite() or not Decimal("0.000001") <= cap_usd <= 1_000_000:
        raise InvalidRequest(f"cap_usd == {cap_usd}, must be from 0.000001 to 1,000,000")
    return cap_usd


def within_cap(quote: Quote, cap_usd: Decimal) -> int | None:
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
