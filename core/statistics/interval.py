"""The shapes that statistics take in and give back."""

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

    def excludes(self, value: float) -> bool:
        return self.lower > value or self.upper < value

    def scaled(self, factor: float) -> "Interval":
        """The interval of factor × the quantity; a negative factor turns it round."""
        values = self.estimate * factor, self.lower * factor, self.upper * factor
        return Interval(*values) if factor >= 0 else Interval(values[0], values[2], values[1])


def alpha_of(confidence_level: float) -> float:
    """The error that a level leaves.

    Raises:
        ValueError: The level is not strictly between 0 and 1.
    """
    if not 0 < confidence_level < 1:
        raise ValueError(f"confidence_level == {confidence_level}, must be in (0, 1)")
    return 1 - confidence_level
