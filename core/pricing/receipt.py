"""The formula behind a cost."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from core.domain.generation import COUNTS, MORE_TOKENS, Receipt, ReceiptLine, Usage
from core.domain.price import UNIT_FEES, Price, Rate

ALWAYS_SHOWN = ("input", "output")
VENDORS_CHARGE = "charged by the vendor"


@dataclass(frozen=True, slots=True)
class Part:
    """So many tokens of a kind at a rate; None = it has no known price."""

    kind: str
    count: Any
    rate: Rate | None


def receipt_for(usage: Usage, price: Price) -> Receipt:
    """Price one request. Tiers are per request: never call it with a sum of several.

    Cached, cache-write, audio, image and video tokens are parts of the input; thinking is part of the output.

    Raises:
        ValueError: A part is larger than its whole. LookupError: Something was used that the row has no price for.
    """
    found = parts(usage, price)
    _check(usage, found)
    _refuse_unknown(usage, price)
    lines = []
    for part in (*found, Part("citations", usage.more.get("citation_tokens", 0), price.rate("citation"))):
        if part.count and part.rate is None:
            raise LookupError(f"there is no price for {part.kind}")
        if part.rate is not None and (part.count or part.kind in ALWAYS_SHOWN):
            lines.append(ReceiptLine(kind=part.kind, count=part.count, price_usd=part.rate.at(usage.input_tokens)))
    for kind, count, price_usd, per in fees(usage, price):
        if count and price_usd is None and not (kind in UNIT_FEES and usage.total_tokens):  # else the tokens are it
            raise LookupError(f"there is no price for {kind}")
        if count and price_usd is not None:
            lines.append(ReceiptLine(kind=kind, count=count, price_usd=price_usd, per=per))
    limit = next((start for start, _ in reversed(price.input.above) if usage.input_tokens > start), None)
    notes = [price.note] if price.note else []
    if price.service_tier != "standard":
        notes.append(f"Service tier {price.service_tier}.")
    if limit:
        notes.append(f"The prompt is longer than {limit:,} tokens: the long-prompt price holds for the whole call.")
    return Receipt(lines=tuple(lines), price_id=price.id, note=" ".join(notes))


def _refuse_unknown(usage: Usage, price: Price) -> None:
    """Raises: LookupError: The row charges in a unit, or the vendor counted something, that nobody here knows."""
    if price.is_free:
        return
    if names := [*price.unknown_units, *unknown_counts(usage)]:
        raise LookupError(f"no price covers {', '.join(names)}")
    if price.is_by_unit and not any(usage.more.get(unit) for unit in UNIT_FEES):
        raise LookupError("the vendor did not say how much there was of what it charges by")
    if usage.output_tokens and price.source == "catalogue" and "embed" in price.model and not price.output.highest:
        raise LookupError("there is no price for output")  # the catalogue names none, because vectors are free


def charged(usd: Decimal) -> Receipt:
    """The receipt of a request whose vendor says what it charged."""
    line = ReceiptLine(kind=VENDORS_CHARGE, count=1, price_usd=usd, per=1)
    return Receipt(lines=(line,), price_id=VENDORS_CHARGE, note="As charged by the vendor, who says so in its answer.")


def unknown_counts(usage: Usage) -> list[str]:
    """By the vendor's own words what it counted and nobody here knows."""
    return [
        f"{name} ({count:,})" for name, count in usage.more.items() if count and name not in (*MORE_TOKENS, *UNIT_FEES)
    ]


def parts(usage: Any, price: Price) -> list[Part]:
    """The tokens of a request by kind, each once. usage: A Usage, or columns of the same names and `more`."""
    modalities = [("audio", usage.audio_tokens, usage.cached_audio_tokens, usage.output_audio_tokens)]
    for name in ("image", "video"):
        modalities.append((name, *(usage.more.get(f"{side}{name}_tokens", 0) for side in ("", "cached_", "output_"))))
    written = usage.cache_write_tokens + usage.cache_write_1h_tokens
    plain, cached = usage.input_tokens - usage.cached_tokens - written, usage.cached_tokens
    shown = usage.output_tokens - usage.thinking_tokens
    read, made_of = [], []
    for name, whole, from_cache, made in modalities:
        plain, cached, shown = plain - (whole - from_cache), cached - from_cache, shown - made
        read.append(Part(name, whole - from_cache, price.rate(name)))
        read.append(Part(f"cached {name}", from_cache, price.rate(f"cached_{name}")))
        made_of.append(Part(f"output {name}", made, price.rate(f"output_{name}")))
    return [
        Part("input", plain, price.input),
        Part("cached", cached, price.rate("cached")),
        Part("cache write", usage.cache_write_tokens, price.rate("cache_write")),
        Part("cache write 1 h", usage.cache_write_1h_tokens, price.rate("cache_write_1h")),
        *read,
        Part("thinking", usage.thinking_tokens, price.rate("thinking")),
        Part("output", shown, price.output),
        *made_of,
    ]


def fees(usage: Any, price: Price) -> list[tuple[str, Any, Decimal | None, int]]:
    """(kind, count, USD, per) of what is not charged by the token."""
    searches = 1 if price.always_searches else usage.n_searches
    return [
        ("searches", searches, price.search_usd, 1),
        ("cache storage", usage.storage_token_hours, price.storage_usd, 1_000_000),
        ("requests", 1 if price.request_usd else 0, price.request_usd, 1),
        *((unit, usage.more.get(unit, 0), getattr(price, fee), per) for unit, (fee, per) in UNIT_FEES.items()),
    ]


def _check(usage: Usage, found: Iterable[Part]) -> None:
    """Raises: ValueError: A count is negative, or a part is larger than its whole."""
    counts = [*(getattr(usage, name) for name in COUNTS), *usage.more.values()]
    if min(counts) < 0:
        raise ValueError(f"{usage}: counts must be >= 0")
    if any(part.count < 0 for part in found):
        raise ValueError(f"{usage}: a part is larger than its whole")
