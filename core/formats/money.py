"""Dollars as the whole nano-dollars that tables hold, in which sums are exact."""

from decimal import ROUND_HALF_EVEN, Decimal

NANO = 1_000_000_000


def to_nano(usd: Decimal) -> int:
    """Whole nano-dollars, half to even."""
    return int((usd * NANO).to_integral_value(rounding=ROUND_HALF_EVEN))


def from_nano(nano_usd: int) -> Decimal:
    return Decimal(nano_usd) / NANO
