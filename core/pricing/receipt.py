"""The formula behind a cost."""

from decimal import ROUND_HALF_EVEN, Decimal

from core.domain.generation import Receipt, ReceiptLine, Usage
from core.domain.price import Price, Rate

NANO = 1_000_000_000


def receipt_for(usage: Usage, price: Price) -> Receipt:
    """Price one request. Tiers are per request: never call it with a sum of several.

    Cached tokens are part of the input and audio tokens too; thinking is part of the output and pays its rate.

    Raises:
        ValueError: A part is larger than its whole.
    """
    _check(usage)
    audio_uncached = usage.audio_tokens - usage.cached_audio_tokens
    cached_plain = usage.cached_tokens - usage.cached_audio_tokens
    plain = usage.input_tokens - usage.cached_tokens - audio_uncached
    cached_rate = price.cached or price.input
    parts: list[tuple[str, int, Rate]] = [
        ("input", plain, price.input),
        ("cached", cached_plain, cached_rate),
        ("audio", audio_uncached, price.audio or price.input),
        ("cached audio", usage.cached_audio_tokens, price.cached_audio or price.audio or cached_rate),
        ("thinking", usage.thinking_tokens, price.output),
        ("output", usage.output_tokens - usage.thinking_tokens, price.output),
    ]
    lines = tuple(
        ReceiptLine(kind=kind, tokens=tokens, usd_per_mtok=rate.at(usage.input_tokens))
        for kind, tokens, rate in parts
        if tokens or kind in ("input", "output")
    )
    limit = next((start for start, _ in reversed(price.input.above) if usage.input_tokens > start), None)
    note = (
        f"The prompt is longer than {limit:,} tokens: the long-prompt price holds for the whole call." if limit else ""
    )
    return Receipt(lines=lines, price_id=price.id, note=note)


def _check(usage: Usage) -> None:
    if min(getattr(usage, name) for name in usage.__slots__) < 0:
        raise ValueError(f"{usage}: counts must be >= 0")
    parts = (
        (usage.cached_tokens, usage.input_tokens),
        (usage.thinking_tokens, usage.output_tokens),
        (usage.cached_audio_tokens, min(usage.audio_tokens, usage.cached_tokens)),
        (usage.audio_tokens - usage.cached_audio_tokens, usage.input_tokens - usage.cached_tokens),
    )
    if any(part > whole for part, whole in parts):
        raise ValueError(f"{usage}: a part is larger than its whole")


def to_nano(usd: Decimal) -> int:
    """Whole nano-dollars, half to even."""
    return int((usd * NANO).to_integral_value(rounding=ROUND_HALF_EVEN))


def from_nano(nano_usd: int) -> Decimal:
    return Decimal(nano_usd) / NANO
