"""Money as people read it. The only place that knows how many digits it has."""

import math
from decimal import Decimal


def dollars(amount: Decimal | float) -> str:
    """$0.000412, $0.0132, $1.28, $1,204: enough digits to tell two costs apart."""
    value = float(amount)
    if value == 0:
        return "$0"
    size = abs(value)
    if size >= 1000:
        return f"${value:,.0f}"
    if size >= 1:
        return f"${value:,.2f}"
    digits = min(9, max(2, 2 - math.floor(math.log10(size))))
    return f"${value:.{digits}f}"
