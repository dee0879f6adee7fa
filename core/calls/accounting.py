"""From what an attempt reported to what a call cost. Pure but for the price lookup handed in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from core.domain.generation import CostStatus, Receipt, Request, Usage
from core.domain.price import Price
from core.pricing.receipt import receipt_for

BYTES_PER_TOKEN = 4  # a rule of thumb, used only where the vendor sent no count; such costs are marked estimated


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What a call used and cost; cost_usd None = unknown."""

    usage: Usage
    cost_usd: Decimal | None
    cost_status: CostStatus
    receipts: tuple[Receipt, ...]

    @property
    def price_id(self) -> str:
        return self.receipts[-1].price_id if self.receipts else ""


def estimated_usage(request: Request, text: str, thinking: str = "") -> Usage:
    """Our own count for a call whose vendor sent none."""
    thought = _tokens(thinking)
    return Usage(
        input_tokens=max(1, -(-request.n_bytes // BYTES_PER_TOKEN)),
        output_tokens=_tokens(text) + thought,
        thinking_tokens=thought,
    )


def _tokens(text: str) -> int:
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


def settle(usages: Sequence[Usage], price: Price | None, *, is_estimated: bool) -> Account:
    """Price the usage of each attempt by itself (tiers are per request) and add up.

    No usage at all, e.g. after a refusal, costs 0: the vendor bills nothing for it.
    """
    total = sum(usages, Usage())
    if not usages:
        return Account(usage=total, cost_usd=Decimal(0), cost_status="priced", receipts=())
    if price is None:
        return Account(usage=total, cost_usd=None, cost_status="unknown", receipts=())
    try:
        receipts = tuple(receipt_for(usage, price) for usage in usages)
    except ValueError:  # the vendor's counts contradict each other: a made-up price would be a lie
        return Account(usage=_consistent(total), cost_usd=None, cost_status="unknown", receipts=())
    cost = sum((receipt.usd for receipt in receipts), Decimal(0))
    return Account(usage=total, cost_usd=cost, cost_status="estimated" if is_estimated else "priced", receipts=receipts)


def _consistent(usage: Usage) -> Usage:
    """Counts that fit into each other, for the record."""
    input_tokens, output_tokens = max(0, usage.input_tokens), max(0, usage.output_tokens)
    return Usage(
        input_tokens=input_tokens,
        cached_tokens=min(max(0, usage.cached_tokens), input_tokens),
        output_tokens=output_tokens,
        thinking_tokens=min(max(0, usage.thinking_tokens), output_tokens),
    )


PriceLookup = Callable[[str, str], Price | None]
