"""The price that holds: the team's own rows over the catalogue. A book is a value; a change makes a new one."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from core.domain.price import FEE_NAMES, RATE_NAMES, Price, TeamPrice
from core.pricing.catalogue import CATALOGUED, LOCAL_PRICE, SIMULATED_PRICES, Catalogue, in_region, normalise, shipped
from core.vendors import VENDORS

ALL_MODELS = "*"
_RANK = {"file": 0, "team": 1}  # of two rows from the same moment, the one set on the page or by command wins


class Sellers(Protocol):
    """The deployments that may have prices of their own."""

    def apart(self) -> Mapping[str, str]:
        """Deployment -> vendor."""
        ...

    def there(self, deployment: str, model: str) -> str:
        """A model's name at a deployment."""
        ...


class PriceBook:
    def __init__(
        self,
        rows: Sequence[TeamPrice] = (),
        catalogue: Catalogue | None = None,
        sellers: "Sellers | None" = None,
    ) -> None:
        """Order the rows. sellers: The deployments, which may have rows of their own."""
        self._sellers = sellers
        self.catalogue = catalogue or shipped()
        self.rows = tuple(sorted(rows, key=lambda row: (row.effective_from, _RANK.get(row.source, 0))))
        self._by_model: dict[tuple[str, str], list[TeamPrice]] = {}
        for row in self.rows:
            self._by_model.setdefault((row.provider, row.model), []).append(row)

    def price(self, provider: str, model: str, at: datetime, service_tier: str = "standard") -> Price | None:
        """The row that holds at a moment; None = unknown.

        The latest row of this very model decides; what it does not say, and without one, the provider's `*` row, which
        takes its discount off the catalogue's price. A service tier without a price of its own is unknown, never
        charged as standard.
        """
        if provider == "simulated":
            return SIMULATED_PRICES.get(model)
        name, (service_tier, _, region) = normalise(model), service_tier.partition("+")
        if service_tier == "auto" and provider not in CATALOGUED:
            service_tier = "standard"  # one's own servers repeat the word, and have one price
        own = _over(self._latest(provider, name, at), self._latest(provider, ALL_MODELS, at))
        if own is None and (vendor := self._vendor_of(provider)) != provider:
            return self.price(vendor, model, at, service_tier if not region else f"{service_tier}+{region}")
        if own is None and _is_local(provider):
            return LOCAL_PRICE  # one's own machine; a row of the team's says otherwise
        if own is None:
            found = self.catalogue.price(provider, name, at, service_tier)
        else:
            found = self._with_own(own, name, at, service_tier)
        return in_region(found, provider, name, region) if region else found

    def sold_as(self, provider: str, model: str, deployment: str, at: datetime) -> tuple[str, str]:
        """The names under which the price of a model at a deployment stands.

        They are the deployment's own where it has prices of its own, else its vendor's; of a model that its vendor has
        no price for, it is the model that the deployment names.
        """
        if deployment in ("", provider) or self._sellers is None:
            return provider, model
        if (deployment, normalise(model)) in self._by_model or (deployment, ALL_MODELS) in self._by_model:
            return deployment, model
        there = self._sellers.there(deployment, model)
        is_known = there == model or self.price(provider, model, at) is not None
        return provider, model if is_known else there

    @property
    def apart(self) -> tuple[tuple[str, str], ...]:
        """The deployments that have prices of their own, each with its vendor."""
        vendors = {name: self._vendor_of(name) for name, _ in self._by_model}
        return tuple((name, vendor) for name, vendor in vendors.items() if vendor != name)

    def models(self, provider: str) -> tuple[str, ...]:
        """The names of a provider's models that have a price of their own or in the catalogue."""
        own = [model for vendor, model in self._by_model if vendor == provider and model != ALL_MODELS]
        return tuple(dict.fromkeys([*own, *self.catalogue.models(provider)]))

    def _vendor_of(self, name: str) -> str:
        """The vendor of a deployment; any other name as it is."""
        return name if self._sellers is None else self._sellers.apart().get(name, name)

    def _latest(self, provider: str, model: str, at: datetime) -> TeamPrice | None:
        rows = self._by_model.get((provider, model), ())
        return next((row for row in reversed(rows) if row.effective_from <= at), None)

    def _with_own(self, own: TeamPrice, model: str, at: datetime, service_tier: str) -> Price | None:
        tier_factor = own.tiers.get(service_tier)
        if own.rates:
            if service_tier != "standard" and tier_factor is None:
                return None
            base = _from_rates(own, model)
        else:
            asked = service_tier if tier_factor is None else "standard"
            found = self._listed(own.provider, model, at, asked)
            if found is None:
                return None
            base = found
        discount = own.discount or Decimal(0)
        factor = (tier_factor if tier_factor is not None else Decimal(1)) * (1 - discount)
        price = base.times(factor) if factor != 1 else base
        tier = "" if service_tier == "standard" else f":{service_tier}"
        based_on = "" if own.rates else f":{hashlib.sha256(base.id.encode()).hexdigest()[:6]}"
        note = f"Discount {100 * discount:f}%.".replace(".0%", "%") if discount else ""
        fees = {name: usd for name in FEE_NAMES if (usd := getattr(own, name)) is not None}
        return replace(
            price,
            id=f"{own.source}:{own.id}:{model}{based_on}{tier}",
            provider=own.provider,
            model=model,
            service_tier=service_tier,
            effective_from=own.effective_from.date(),
            source=own.source,
            note=note,
            **fees,
        )

    def _listed(self, provider: str, model: str, at: datetime, service_tier: str) -> Price | None:
        vendor = self._vendor_of(provider)
        return LOCAL_PRICE if _is_local(vendor) else self.catalogue.price(vendor, model, at, service_tier)


def _is_local(provider: str) -> bool:
    return provider in VENDORS and VENDORS[provider].is_local


def _over(own: TeamPrice | None, general: TeamPrice | None) -> TeamPrice | None:
    """A model's row over the row for all models; a row with prices decides alone, another only on what it states."""
    if own is None or general is None or own.rates:
        return own or general
    return replace(
        own,
        id=f"{own.id}+{general.id}",
        effective_from=max(own.effective_from, general.effective_from),
        discount=general.discount if own.discount is None else own.discount,
        tiers={**general.tiers, **own.tiers},
        **{name: getattr(general if getattr(own, name) is None else own, name) for name in FEE_NAMES},
    )


def _from_rates(own: TeamPrice, model: str) -> Price:
    rates: dict[str, Any] = {name: own.rates.get(name) for name in RATE_NAMES}
    return Price(id=own.id, model=model, **rates)
