"""The shape of every interval."""

import math
from typing import NamedTuple


class Interval(NamedTuple):
    """An estimate between its bounds."""

    estimate: float
    lower: float
    upper: float

    @property
    def is_finite(self) -> bool:
        return math.isfinite(self.lower) and math.isfinite(self.upper)
