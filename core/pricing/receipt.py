"""The formula behind a cost."""

from decimal import ROUND_HALF_EVEN, Decimal

from core.domain.generation import Receipt, ReceiptLine, Usage
from core.domain.price import Price, Rate

NANO = 1_000_000_000
ALWAYS_SHOWN = ("input", "output")


def receipt_for(usage: Usage, price: Price) -> Receipt:
    """Price one request. Tiers are per request: never call it with a sum of several.

    Cached, cache-write and audio tokens are parts of the input; thinking is part of the output and pays its rate.

    Raises:
        ValueError: A part is larger than its whole. LookupError: The row has no price for something that was used.
    """
    check(usage)
    if usage.output_tokens and price.source == "catalogue" and "embed" in price.model and not price.output.highest:
        raise LookupError(f"{price.id} has no price for output")  # the catalogue names none, because vectors are free
    lines = tuple(
        ReceiptLine(kind=kind, count=count, price_usd=rate.at(usage.input_tokens))
        for kind, count, rate in _parts(usage, price)
        if count or kind in ALWAYS_SHOWN
    )
    lines += _extras(usage, price)
    limit = next((start for start, _ in reversed(price.input.above) if usage.input_tokens > start), None)
    notes = [price.note] if price.note else []
    if price.service_tier != "standard":
        notes.append(f"Service tier {price.service_tier}.")
    if limit:
        notes.append(f"The prompt is longer than {limit:,} tokens: the long-prompt price holds for the whole call.")
    return Receipt(lines=lines, price_id=price.id, note=" ".join(notes))


def _parts(usage: Usage, price: Price) -> list[tuple[str, int, Rate]]:
    audio_uncached = usage.audio_tokens - usage.cached_audio_tokens
    written = usage.cache_write_tokens + usage.cache_write_1h_tokens
    cached_rate = price.cached or price.input
    write_rate = price.cache_write or price.input
    return [
        ("input", usage.input_tokens - usage.cached_tokens - written - audio_uncached, price.input),
        ("cached", usage.cached_tokens - usage.cached_audio_tokens, cached_rate),
        ("cache write", usage.cache_write_tokens, write_rate),
        ("cache write 1 h", usage.cache_write_1h_tokens, price.cache_write_1h or write_rate),
        ("audio", audio_uncached, price.audio or price.input),
        ("cached audio", usage.cached_audio_tokens, price.cached_audio or price.audio or cached_rate),
        ("thinking", usage.thinking_tokens, price.output),
        ("output", usage.output_tokens - usage.thinking_tokens - usage.output_audio_tokens, price.output),
        ("output audio", usage.output_audio_tokens, price.output_audio or price.output),
    ]


def _extras(usage: Usage, price: Price) -> tuple[ReceiptLine, ...]:
    found = []
    for kind, count, price_usd, per in (
        ("searches", usage.n_searches, price.search_usd, 1),
        ("cache storage", usage.storage_token_hours, price.storage_usd, 1_000_000),
    ):
        if count and price_usd is None:
            raise LookupError(f"{price.id} has no price for {kind}")
        if count and price_usd is not None:
            found.append(ReceiptLine(kind=kind, count=count, price_usd=price_usd, per=per))
    return tuple(found)


def check(usage: Usage) -> None:
    """Raises: ValueError: A count is negative, or a part is larger than its whole."""
    if min(getattr(usage, name) for name in usage.__slots__) < 0:
        raise ValueError(f"{usage}: counts must be >= 0")
    written = usage.cache_write_tokens + usage.cache_write_1h_tokens
    parts = (
        (usage.cached_tokens + written, usage.input_tokens),
        (usage.thinking_tokens + usage.output_audio_tokens, usage.output_tokens),
        (usage.cached_audio_tokens, min(usage.audio_tokens, usage.cached_tokens)),
        (usage.audio_tokens - usage.cached_audio_tokens, usage.input_tokens - usage.cached_tokens - written),
    )
    if any(part > whole for part, whole in parts):
        raise ValueError(f"{usage}: a part is larger than its whole")


def to_nano(usd: Decimal) -> int:
    """Whole nano-dollars, half to even."""
    return int((usd * NANO).to_integral_value(rounding=ROUND_HALF_EVEN))


def from_nano(nano_usd: int) -> Decimal:
    return Decimal(nano_usd) / NANO
