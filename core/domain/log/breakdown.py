"""A breakdown of the log: sums of calls by one or two of their fields."""

from decimal import Decimal
from typing import NamedTuple

from core.errors import InvalidRequest

BREAKDOWNS = (
    "model", "vendor", "deployment", "source", "status", "error", "key", "team", "user", "session", "made_for",
    "prompt", "tag", "day", "hour",
)  # fmt: skip


class Cell(NamedTuple):
    """The calls that have the same values.

    of: The values, in the order of the fields; None = the calls have none. Days and hours (UTC) by their beginning.
    cost_usd: The known part; see n_unpriced.
    p95_s: Of answered calls; None = there is none. n_timed: How many those are.
    """

    of: tuple[str | None, ...]
    n: int
    n_failed: int
    cost_usd: Decimal
    n_unpriced: int
    p95_s: float | None
    n_timed: int = 0


def fields_of(text: str) -> tuple[str, ...]:
    """One or two fields, by a comma. Raises: InvalidRequest."""
    names = tuple(name.strip() for name in text.split(","))
    if not 1 <= len(set(names)) == len(names) <= 2 or not set(names) <= set(BREAKDOWNS):
        told = f"by == {text[:60]!r}, must be one or two of {', '.join(BREAKDOWNS)}, by a comma"
        raise InvalidRequest(told, param="by")
    return names
