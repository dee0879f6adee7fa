"""The changes that a newer catalogue brings, to be looked at before it is taken. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from core.domain.price import FEE_NAMES, RATE_NAMES, Price
from core.pricing.catalogue import CATALOGUED, Catalogue


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One model whose price row differs at a moment; None = not in that catalogue."""

    provider: str
    model: str
    kind: Literal["new", "gone", "changed"]
    before: Price | None
    after: Price | None


def changes(old: Catalogue, new: Catalogue, at: datetime) -> list[Change]:
    """By provider and model, what holds at a moment in one and not in the other."""
    found = []
    for provider in CATALOGUED:
        for model in sorted({*old.models(provider), *new.models(provider)}):
            before, after = old.price(provider, model, at), new.price(provider, model, at)
            if _rates(before) != _rates(after):
                kind: Literal["new", "gone", "changed"]
                kind = "new" if before is None else "gone" if after is None else "changed"
                found.append(Change(provider=provider, model=model, kind=kind, before=before, after=after))
    return found


def _rates(price: Price | None) -> object:
    if price is None:
        return None
    return [getattr(price, name) for name in (*RATE_NAMES, *FEE_NAMES, "unknown_units")]
