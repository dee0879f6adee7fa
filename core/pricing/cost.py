"""The cost of a call: the usage of each attempt priced by itself, and added up. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from core.domain.generation import COUNTS, CostStatus, Receipt, Usage
from core.domain.price import Price
from core.pricing.receipt import charged, receipt_for


@dataclass(frozen=True, slots=True, kw_only=True)
class CallCost:
    """The usage and cost of a call, whole.

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


def cost_of(usages: Sequence[Usage], price: Price | None, *, is_estimated: bool = False) -> CallCost:
    """Price the usage of each attempt by itself (tiers are per request) and add up.

    What the vendor says it charged counts more than its list of prices, and less than a row of the team's own. No usage
    at all, e.g. after a refusal, costs 0: the vendor bills nothing for it.
    """
    total = sum(usages, Usage())
    if not usages:
        return CallCost(usage=total, cost_usd=Decimal(0), cost_status="priced", receipts=())
    try:
        receipts = tuple(_receipt(usage, price) for usage in usages)
    except ValueError:  # the vendor's counts contradict each other: a made-up cost would be a lie
        return _unknown(total, is_contradictory=True)
    except LookupError as error:  # something was used that has no price
        return _unknown(total, why="" if price is None else str(error.args[0]))
    cost = sum((receipt.usd for receipt in receipts), Decimal(0))
    return CallCost(
        usage=total, cost_usd=cost, cost_status="estimated" if is_estimated else "priced", receipts=receipts
    )


def _receipt(usage: Usage, price: Price | None) -> Receipt:
    is_own = price is not None and price.source in ("team", "file")
    if usage.charged_usd is not None and not is_own:
        return charged(usage.charged_usd)
    if price is None:
        raise LookupError("there is no price")
    return receipt_for(usage, price)


def _unknown(total: Usage, *, is_contradictory: bool = False, why: str = "") -> CallCost:
    return CallCost(
        unknown_for=why,
        usage=consistent(total),
        cost_usd=None,
        cost_status="unknown",
        receipts=(),
        is_contradictory=is_contradictory or total != consistent(total),
    )


def cost_of_cached(usage: Usage, price: Price | None) -> CallCost:
    """An answer from our own cache: it costs nothing, and what it would have cost counts as saved."""
    cost = cost_of([usage], price)
    saved = cost.cost_usd or Decimal(0)
    return replace(cost, cost_usd=Decimal(0), cost_status="cached", saved_usd=saved, receipts=(), unknown_for="")


def consistent(usage: Usage) -> Usage:
    """Counts that fit into each other, for the record."""
    whole = {name: max(0, getattr(usage, name)) for name in COUNTS}
    whole["cached_tokens"] = min(whole["cached_tokens"], whole["input_tokens"])
    whole["thinking_tokens"] = min(whole["thinking_tokens"], whole["output_tokens"])
    more = {name: max(0, count) for name, count in usage.more.items()}
    return Usage(**whole, more=more, charged_usd=usage.charged_usd)
