"""Prices of a genai-prices snapshot (dated, tiered, never fetched here) and of the simulated models.

genai-prices matches by prefix: `gemini-2.5-pro-anything` would be charged like `gemini-2.5-pro`. A wrong price is
worse than none, so a match by prefix is believed only when what follows looks like a version of the same model.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from itertools import chain
from typing import Any

from core.domain.price import FEE_NAMES, RATE_NAMES, Price, Rate, always_searches
from core.formats import strict_json as json
from core.formats.names import normalise as normalise
from core.vendors import VENDORS

# The vendor's name here -> there.
CATALOGUED = {spec.name: spec.catalogue for spec in VENDORS.values() if spec.catalogue} | {"bedrock": "aws"}
_VERSION_SUFFIX = re.compile(r"(-(preview|exp|latest|stable|thinking|\d{2,4}|\d{8}))*$")
_RATES = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cached": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
    "audio": "input_audio_mtok",
    "cached_audio": "cache_audio_read_mtok",
    "output_audio": "output_audio_mtok",
    "image": "input_image_mtok",
    "cached_image": "cache_image_read_mtok",
    "output_image": "output_image_mtok",
    "video": "input_video_mtok",
    "cached_video": "cache_video_read_mtok",
    "output_video": "output_video_mtok",
    "thinking": "output_reasoning_mtok",
    "citation": "output_citation_mtok",
}
_WRITE_5M = "cache_write_5m_mtok"
_PER_1000 = {"search_usd": "web_searches_kcount", "request_usd": "requests_kcount"}
# By what else than tokens a model is charged: the first of these keys that a row has.
_BY_UNIT = {"characters_usd": ("input_mchars",), "sound_usd": ("input_audio_hours", "audio_hours")}
# What is only charged for when an answer counts it; such a count of an unknown kind makes the cost unknown by itself.
_IF_COUNTED = frozenset(
    {"storage_searches_kcount", "social_searches_kcount", "code_executions_kcount", "rerank_searches_kcount"}
)
_KEYS = frozenset({*_RATES.values(), *_PER_1000.values(), *_IF_COUNTED, _WRITE_5M, *chain(*_BY_UNIT.values())})
# Google names one price for text, pictures, video and sound, and beside it only what differs.
_READS_SOUND_AS_TEXT = ("google",)
_DEARER_SOUND = frozenset({"gemini-2.5-flash-preview"})  # it had a price for sound that the catalogue does not name
# What vendors charge nothing for, and the catalogue names no price of.
_FREE = (("openai", re.compile(r"(omni|text)-moderation-.*")),)  # platform.openai.com/docs/guides/moderation
# Models whose answers are of one kind, so that their output rate is the rate of that kind.
_MAKES = (("tts", "output_audio"), ("image", "output_image"))
# Under which word the catalogue keeps a tier.
_CONTEXT = {(vendor, "batch"): "processing" for vendor in ("google", "openai", "anthropic")}
_CONTEXT["anthropic", "fast"] = "speed"
# Where the catalogue names no price for a tier and the vendor has one rule for all its models, since that day:
# platform.openai.com/docs/guides/batch, platform.claude.com/docs/en/build-with-claude/batch-processing,
# ai.google.dev/gemini-api/docs/batch-api and /flex-inference.
_TIER_RULES = {
    ("openai", "batch"): (date(2024, 4, 15), Decimal("0.5")),
    ("anthropic", "batch"): (date(2024, 10, 8), Decimal("0.5")),
    ("google", "batch"): (date(2025, 7, 7), Decimal("0.5")),
    ("google", "flex"): (date(2025, 7, 7), Decimal("0.5")),
}
# What every token costs more where a request was kept in one country. A tier is written with it: `standard+us`.
_REGIONS = {("anthropic", "us"): Decimal("1.1")}
# Models that had one price everywhere before there was a choice.
_WITHOUT_REGIONS = re.compile(
    r"claude-(instant.*|[123]([-.].*)?|(opus|sonnet|haiku)-4(-[0-5])?([-@]\d{8})?|4(-[0-5])?-.*)"
)


def _simulated(name: str, input_: str, output: str, cached: str) -> Price:
    price_in, price_out, price_cached = (Rate(base=Decimal(text)) for text in (input_, output, cached))
    return Price(
        id=f"simulated:{name}",
        model=name,
        provider="simulated",
        source="simulated",
        input=price_in,
        output=price_out,
        cached=price_cached,
    )


SIMULATED_PRICES = {
    "sim-fast": _simulated("sim-fast", "0.10", "0.40", "0.01"),
    "sim-balanced": _simulated("sim-balanced", "0.50", "2.50", "0.05"),
    "sim-careful": _simulated("sim-careful", "2.00", "10.00", "0.20"),
}


# What runs on one's own machine is paid by the power bill.
LOCAL_PRICE = Price(
    id="local:free",
    model="local",
    provider="ollama",
    source="team",
    input=Rate(base=Decimal(0)),
    output=Rate(base=Decimal(0)),
)


class Catalogue:
    """One snapshot of genai-prices. `version` names it in price ids; `load` brings it, on the first look-up."""

    def __init__(self, version: str, load: Callable[[], Any]) -> None:
        self.version = version
        self._load = load
        self._snapshot: Any = None
        self._found: dict[tuple[str, str, datetime, str], Price | None] = {}

    @classmethod
    def from_json(cls, text: str) -> "Catalogue":
        """A catalogue as genai-prices publishes it (data.json); its version is the hash of the text.

        Raises:
            ValueError: The text is not such a catalogue.
        """
        try:
            from genai_prices.data_snapshot import DataSnapshot
            from genai_prices.types import _providers_from_raw

            raw = json.loads(text)
            if not isinstance(raw, list) or not raw:
                raise ValueError("a list of providers is expected")
            snapshot = DataSnapshot(_providers_from_raw(raw), from_auto_update=False)
        except (TypeError, LookupError, AttributeError, ArithmeticError, ImportError, RecursionError) as error:
            raise ValueError(f"{type(error).__name__}: {error}") from error
        return cls(hashlib.sha256(text.encode()).hexdigest()[:10], lambda: snapshot)

    @property
    def snapshot(self) -> Any:
        if self._snapshot is None:
            self._snapshot = self._load()
        return self._snapshot

    def price(self, provider: str, model: str, at: datetime, service_tier: str = "standard") -> Price | None:
        """The price row of a model at a moment; None when none is known for it, or not at this tier."""
        vendor = CATALOGUED.get(provider)
        if vendor is None:
            return None
        # Prices change at whole minutes of a day at the finest; what was found for one is kept.
        key = (vendor, normalise(model), at.replace(second=0, microsecond=0), service_tier)
        if key not in self._found:
            if len(self._found) > 4096:
                self._found.clear()
            self._found[key] = self._look_up(provider, *key)
        return self._found[key]

    def models(self, provider: str) -> tuple[str, ...]:
        """Model names that are sold now, for when the vendor's own list cannot be read."""
        vendor = CATALOGUED.get(provider)
        for candidate in self.snapshot.providers:
            if candidate.id == vendor:
                return tuple(sorted(info.id for info in candidate.models if not info.deprecated))
        return ()

    def newest_on(self, at: datetime) -> date | None:
        """The day from which the newest of its prices holds that hold at a moment; None = it dates none."""
        models = (info for provider in self.snapshot.providers for info in provider.models)
        return max((day for info in models if (day := _started_on(info, at)) is not None), default=None)

    def _look_up(self, provider: str, vendor: str, name: str, at: datetime, service_tier: str) -> Price | None:
        if any(vendor == free and names.fullmatch(name) for free, names in _FREE):
            nothing = Rate(base=Decimal(0))
            return Price(id=f"free:{name}", model=name, provider=provider, input=nothing, output=nothing)
        try:
            _, info = self.snapshot.find_provider_model(name, None, vendor, None)
        except LookupError:
            return None
        if not _is_same_model(name, info):
            return None
        factor = Decimal(1)
        context = None
        if service_tier != "standard":
            context = {_CONTEXT.get((vendor, service_tier), "service_tier"): service_tier}
            if not _has_variant(info, context, at):
                since, rule = _TIER_RULES.get((vendor, service_tier), (date.max, factor))
                if at.date() < since:
                    return None
                context, factor = None, rule
        price = _to_price(info.get_prices(at, context), _id(self.version, info.id), provider, info.id)
        if price is None:
            return None
        price = price.times(factor) if factor != 1 else price
        if always_searches(name) and not always_searches(info.id):  # listed with a model whose searches cost less
            price = replace(price, id=_id(self.version, name), model=name, search_usd=None)
        tier = "" if service_tier == "standard" else f":{service_tier}"
        return replace(
            price,
            id=f"{price.id}:{price.input.base.normalize():f}/{price.output.base.normalize():f}{tier}#{_hash(price)}",
            service_tier=service_tier,
            effective_from=_started_on(info, at),
        )


def _id(version: str, model: str) -> str:
    return f"genai-prices@{version}:{model}"


def in_region(price: Price | None, provider: str, model: str, region: str) -> Price | None:
    """A price with what a vendor adds for keeping a request in one place; None = it is not known what that is."""
    factor = _REGIONS.get((CATALOGUED.get(provider, provider), region))
    if price is None or factor is None:
        return None
    if _WITHOUT_REGIONS.fullmatch(normalise(model)):
        factor = Decimal(1)
    note = f"{price.note} Kept in {region.upper()}: x {factor}.".strip()
    tier = f"{price.service_tier}+{region}"
    return replace(price.times(factor), id=f"{price.id}+{region}", service_tier=tier, note=note)


def regions(provider: str, model: str) -> list[str]:
    """The regions in which a vendor keeps a request for more money, by a setting of its own."""
    if _WITHOUT_REGIONS.fullmatch(normalise(model)):
        return []
    return [region for vendor, region in _REGIONS if vendor == provider]


def _hash(price: Price) -> str:
    values = {name: value for name in (*RATE_NAMES, *FEE_NAMES) if (value := getattr(price, name)) is not None}
    return hashlib.sha256(repr(sorted(values.items())).encode()).hexdigest()[:6]


def _shipped() -> Any:
    # Imported on use: the snapshot takes 0.2 s to load, and the first page does not need it.
    from genai_prices.data_snapshot import get_snapshot

    return get_snapshot()


@cache
def shipped() -> Catalogue:
    """The catalogue of the installed genai-prices."""
    from importlib.metadata import version

    return Catalogue(version("genai-prices"), _shipped)


def is_newer(version: str, than: str) -> bool:
    """True if one release of genai-prices follows another."""
    first, second = ([int(part) for part in re.findall(r"\d+", text)] for text in (version, than))
    return first > second


def _is_same_model(name: str, info: Any) -> bool:
    if name == info.id or name in _names(info.match, "equals"):
        return True
    beginnings = {info.id, *_names(info.match, "starts_with")}
    return any(name.startswith(begin) and _is_version(begin, name[len(begin) :]) for begin in beginnings)


def _is_version(begin: str, rest: str) -> bool:
    """True if the rest only dates or versions the name; some rules of the catalogue end in the middle of a date."""
    return (
        _VERSION_SUFFIX.fullmatch(rest) is not None or re.fullmatch(r".*-\d{4}\+\d{4}", f"{begin}+{rest}") is not None
    )


def _names(clause: Any, kind: str) -> set[str]:
    if hasattr(clause, kind):
        return {getattr(clause, kind)}
    return set().union(*(_names(part, kind) for part in getattr(clause, "or_", ())))


def _has_variant(info: Any, context: Mapping[str, str], at: datetime) -> bool:
    """True if the catalogue has prices of its own for this context; without them it would charge the standard ones."""
    return any(
        dict(variant.when) == context and (variant.constraint is None or variant.constraint.active(at))
        for variant in info.price_variants or ()
    )


def _started_on(info: Any, at: datetime) -> date | None:
    """Since when the row holds, where the catalogue dates it."""
    if not isinstance(info.prices, list):
        return None
    starts = [getattr(row.constraint, "start_date", None) for row in info.prices]
    day = at.astimezone(UTC).date()
    return max((start for start in starts if start is not None and start <= day), default=None)


def _to_price(price: Any, id_: str, provider: str, model: str) -> Price | None:
    rates: dict[str, Any] = {name: _rate(getattr(price, key)) for name, key in _RATES.items()}
    rates["cache_write"] = _rate(getattr(price, _WRITE_5M, None)) or rates["cache_write"]
    input_, output = rates.pop("input"), rates.pop("output")
    units: dict[str, Any] = {
        name: next((rate.highest for key in keys if (rate := _rate(getattr(price, key, None)))), None)
        for name, keys in _BY_UNIT.items()
    }
    if any(units.values()):
        input_, output = input_ or Rate(base=Decimal(0)), output or Rate(base=Decimal(0))
    if output is None and "embed" in model:
        output = Rate(base=Decimal(0))  # vectors are not paid for; tokens beside them would be (see receipt_for)
    if input_ is None or output is None:
        # A row without one of the two would charge the missing part as free.
        return None
    if CATALOGUED[provider] in _READS_SOUND_AS_TEXT and rates["audio"] is None and model not in _DEARER_SOUND:
        rates |= {"audio": input_, "cached_audio": rates["cached_audio"] or rates["cached"]}
    for word, made in _MAKES:
        if word in model and rates[made] is None:
            rates[made] = output
    listed: dict[str, Any] = {name: _rate(getattr(price, key)) for name, key in _PER_1000.items()}
    fees: dict[str, Any] = {name: None if rate is None else rate.highest / 1000 for name, rate in listed.items()}
    return Price(
        id=id_,
        model=model,
        provider=provider,
        input=input_,
        output=output,
        unknown_units=tuple(
            sorted(key for key, value in vars(price).items() if value is not None and key not in _KEYS)
        ),
        **fees,
        **units,
        **rates,
    )


def _rate(value: Any) -> Rate | None:
    if value is None or isinstance(value, Decimal):
        return None if value is None else Rate(base=value)
    return Rate(base=value.base, above=tuple((tier.start, tier.price) for tier in value.tiers))
