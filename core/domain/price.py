"""What a model costs at one moment, and the rows a team sets itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Literal, NamedTuple

PriceSource = Literal["catalogue", "file", "team", "simulated"]
# Every rate a row may have: USD per million tokens.
RATE_NAMES = (
    "input", "output", "cached", "cache_write", "cache_write_1h", "audio", "cached_audio", "output_audio",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """USD per million tokens; `above` = (prompt tokens, rate): a longer prompt pays that rate for everything."""

    base: Decimal
    above: tuple[tuple[int, Decimal], ...] = ()

    def __str__(self) -> str:
        return f"{self.base:f}" + "".join(f" ({price:f} above {start:,} tokens)" for start, price in self.above)

    def at(self, prompt_tokens: int) -> Decimal:
        rate = self.base
        for start, price in self.above:
            if prompt_tokens > start:
                rate = price
        return rate

    def times(self, factor: Decimal) -> "Rate":
        return Rate(base=self.base * factor, above=tuple((start, price * factor) for start, price in self.above))

    @property
    def highest(self) -> Decimal:
        return max((self.base, *(price for _, price in self.above)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """The price row of one model.

    Rates that are None are charged like the next wider kind: cached and cache writes like input, audio like input,
    output audio like output. search_usd: per query; storage_usd: per million tokens and hour; None = not known.
    """

    id: str
    model: str
    provider: str = ""
    input: Rate
    output: Rate
    cached: Rate | None = None
    cache_write: Rate | None = None
    cache_write_1h: Rate | None = None
    audio: Rate | None = None
    cached_audio: Rate | None = None
    output_audio: Rate | None = None
    search_usd: Decimal | None = None
    storage_usd: Decimal | None = None
    service_tier: str = "standard"
    effective_from: date | None = None
    source: PriceSource = "catalogue"
    note: str = ""

    @property
    def is_free(self) -> bool:
        rates = (getattr(self, name) for name in RATE_NAMES)
        return all(rate is None or rate.highest == 0 for rate in rates) and not self.search_usd and not self.storage_usd

    def times(self, factor: Decimal) -> "Price":
        """All rates times a factor, e.g. a discount or a service tier."""
        scaled = {name: rate.times(factor) for name in RATE_NAMES if (rate := getattr(self, name)) is not None}
        return replace(self, **scaled)


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamPrice:
    """A row of the team's own: what its contract says, over what the catalogue says.

    model: One name, or `*` for all of the provider; then it can only hold a discount.
    rates: USD per million tokens by name (RATE_NAMES); empty = the catalogue's, with the discount.
    discount: Share off, in [0, 1]; None = not said. tiers: Factor on the standard rates by service tier, such as {"batch": 0.5}.
    effective_from: The row holds from this moment until a later one of the same model does.
    """

    id: str
    provider: str
    model: str
    effective_from: datetime
    source: PriceSource = "team"
    rates: Mapping[str, Rate] = field(default_factory=dict)
    discount: Decimal | None = None
    tiers: Mapping[str, Decimal] = field(default_factory=dict)
    search_usd: Decimal | None = None
    storage_usd: Decimal | None = None
    note: str = ""


class Elsewhere(NamedTuple):
    """What a call would have cost on another model, at its own service tier or, where that has no price there, standard."""

    model: str
    usd: Decimal
    service_tier: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnpricedModel:
    """A model as which calls are charged and whose cost is not known: how many, how many tokens, since when."""

    provider: str
    model: str
    n_calls: int
    input_tokens: int
    output_tokens: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RepricedDay:
    """What back-pricing would do to one day (UTC) of a model. before_usd: the known part; n_unpriced: without a cost."""

    on: date
    provider: str
    model: str
    n_calls: int
    n_unpriced: int
    before_usd: Decimal
    after_usd: Decimal
