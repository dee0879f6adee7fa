"""Money: the whole nano-dollars that tables hold, in which sums are exact, and dollars as people read them."""

import math
from decimal import ROUND_HALF_EVEN, Decimal

NANO = 1_000_000_000


def to_nano(usd: Decimal) -> int:
    """Whole nano-dollars, half to even."""
    return int((usd * NANO).to_integral_value(rounding=ROUND_HALF_EVEN))


def from_nano(nano_usd: int) -> Decimal:
    return Decimal(nano_usd) / NANO


def dollars(amount: Decimal | float) -> str:
    """$0.000412, $0.0132, $1.28, $1,204: enough digits to tell two costs apart."""
    value = float(amount)
    if value == 0:
        return "$0"
    sign, size = "−" if value < 0 else "", abs(value)
    if size >= 1000:
        return f"{sign}${size:,.0f}"
    if size >= 1:
        return f"{sign}${size:,.2f}"
    digits = min(9, max(2, 2 - math.floor(math.log10(size))))
    return f"{sign}${size:.{digits}f}"
