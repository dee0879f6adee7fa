"""Prices of the genai-prices snapshot that is installed (dated, tiered, never fetched) and of the simulated models.

genai-prices matches by prefix: `gemini-2.5-pro-anything` would be charged like `gemini-2.5-pro`. A wrong price is
worse than none, so a match by prefix is believed only when what follows looks like a version of the same model.
"""

import re
from datetime import datetime
from decimal import Decimal
from functools import cache, lru_cache
from typing import Any

from core.domain.price import Price, Rate

_VENDOR = {"gemini": "google"}
_VERSION_SUFFIX = re.compile(r"(-(preview|exp|latest|stable|thinking|\d{1,4}))*$")
_VENDOR_PREFIX = re.compile(r"^(models/|google/|gemini/|google:|gemini:)+")


def normalise(model: str) -> str:
    """The bare lower-case model name: without `models/` and vendor prefixes."""
    return _VENDOR_PREFIX.sub("", model.strip().lower())


def _simulated(name: str, input_: str, output: str, cached: str) -> Price:
    rates = (Rate(base=Decimal(text)) for text in (input_, output, cached))
    price_in, price_out, price_cached = rates
    return Price(id=f"simulated:{name}", model=name, input=price_in, output=price_out, cached=price_cached)


SIMULATED_PRICES = {
    "sim-fast": _simulated("sim-fast", "0.10", "0.40", "0.01"),
    "sim-balanced": _simulated("sim-balanced", "0.50", "2.50", "0.05"),
    "sim-careful": _simulated("sim-careful", "2.00", "10.00", "0.20"),
}


def price_of(provider: str, model: str, at: datetime) -> Price | None:
    """The price row that holds for `model` at the moment `at`; None when none is known."""
    if provider == "simulated":
        return SIMULATED_PRICES.get(model)
    vendor = _VENDOR.get(provider)
    return _catalogue_price(vendor, normalise(model), at.replace(minute=0, second=0, microsecond=0)) if vendor else None


@lru_cache(maxsize=4096)
def _catalogue_price(vendor: str, name: str, hour: datetime) -> Price | None:
    # Imported here: the snapshot takes 0.2 s to load, and the first page does not need it.
    from genai_prices import __version__
    from genai_prices.data_snapshot import get_snapshot

    try:
        _, info = get_snapshot().find_provider_model(name, None, vendor, None)
    except LookupError:
        return None
    if not _is_same_model(name, info):
        return None
    price = info.get_prices(hour)
    return _to_price(price, model=info.id, version=__version__)


def _is_same_model(name: str, info: Any) -> bool:
    return (
        name == info.id
        or name in _exact_names(info.match)
        or (name.startswith(info.id) and _VERSION_SUFFIX.fullmatch(name[len(info.id) :]) is not None)
    )


def _exact_names(clause: Any) -> set[str]:
    if hasattr(clause, "equals"):
        return {clause.equals}
    return set().union(*(_exact_names(part) for part in getattr(clause, "or_", ())))


def _to_price(price: Any, *, model: str, version: str) -> Price | None:
    input_, output = _rate(price.input_mtok), _rate(price.output_mtok)
    if input_ is None or output is None:
        # A row without one of the two would charge the missing part as free.
        return None
    return Price(
        id=f"genai-prices@{version}:{model}:{_fingerprint(price)}",
        model=model,
        input=input_,
        output=output,
        cached=_rate(price.cache_read_mtok),
        audio=_rate(price.input_audio_mtok),
        cached_audio=_rate(price.cache_audio_read_mtok),
    )


def _fingerprint(price: Any) -> str:
    return (
        f"{getattr(price.input_mtok, 'base', price.input_mtok)}/{getattr(price.output_mtok, 'base', price.output_mtok)}"
    )


def _rate(value: Any) -> Rate | None:
    if value is None:
        return None
    if isinstance(value, Decimal):
        return Rate(base=value)
    return Rate(base=value.base, above=tuple((tier.start, tier.price) for tier in value.tiers))


@cache
def known_models(provider: str) -> tuple[str, ...]:
    """Model names the catalogue has for a provider, for when the vendor's own list cannot be read."""
    from genai_prices.data_snapshot import get_snapshot

    vendor = _VENDOR.get(provider)
    for candidate in get_snapshot().providers:
        if candidate.id == vendor:
            return tuple(sorted(info.id for info in candidate.models if not info.deprecated))
    return ()
