"""The price of a model at one moment, and the rows a team sets itself."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal, NamedTuple

PriceSource = Literal["catalogue", "file", "team", "simulated"]
# Every rate a row may have: USD per million tokens.
RATE_NAMES = (
    "input", "output", "cached", "cache_write", "cache_write_1h", "audio", "cached_audio", "output_audio",
    "image", "cached_image", "output_image", "video", "cached_video", "output_video", "thinking", "citation",
)  # fmt: skip
FEE_NAMES = ("search_usd", "storage_usd", "request_usd", "characters_usd", "sound_usd", "picture_usd")
# What is charged by another unit than the token: the fee, and for how many of them it is.
UNIT_FEES = {
    "characters": ("characters_usd", 1_000_000), "sound_ms": ("sound_usd", 3_600_000), "pictures": ("picture_usd", 1)
}  # fmt: skip
# As which other kinds a kind is charged that has no rate of its own: the first that a row names, or else like the last.
# Nothing is taken for a cheaper kind: what is not named here, such as audio, pictures that were made and writes to a
# cache, has no price then.
_LIKE: dict[str, tuple[str, ...]] = {
    "cached": ("input",), "image": ("input",), "video": ("image",), "thinking": ("output",), "cached_audio": ("audio",),
    "cached_image": ("image", "cached"), "cached_video": ("video", "cached"),
}  # fmt: skip
_ALWAYS_SEARCHES = re.compile(r"gpt-.*-search(-|$)")
_OUTPUTS = ("output", "output_audio", "output_image", "output_video", "thinking")


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
        return max((self.base, *(price for _, price in self.above))) if self.above else self.base


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """The price row of one model. See `rate` for what a row does not name.

    search_usd: Per query; None = not known.
    storage_usd: Per million tokens and hour; None = not known.
    request_usd: Per request.
    characters_usd, sound_usd, picture_usd: Per million characters read aloud, hour of sound heard, picture made.
    unknown_units: Other units that the row charges by and nobody here counts: no call has a known cost then.
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
    image: Rate | None = None
    cached_image: Rate | None = None
    output_image: Rate | None = None
    video: Rate | None = None
    cached_video: Rate | None = None
    output_video: Rate | None = None
    thinking: Rate | None = None
    citation: Rate | None = None
    search_usd: Decimal | None = None
    storage_usd: Decimal | None = None
    request_usd: Decimal | None = None
    characters_usd: Decimal | None = None
    sound_usd: Decimal | None = None
    picture_usd: Decimal | None = None
    unknown_units: tuple[str, ...] = ()
    service_tier: str = "standard"
    effective_from: date | None = None
    source: PriceSource = "catalogue"
    note: str = ""

    @property
    def is_by_unit(self) -> bool:
        """True where nothing is charged by the token, and something by another unit."""
        has_units = any(getattr(self, fee) is not None for fee, _ in UNIT_FEES.values())
        return has_units and not self.input.highest and not self.output.highest

    @property
    def is_free(self) -> bool:
        """True where nothing costs anything, however much of it there is."""
        rates = [rate.highest for name in RATE_NAMES if (rate := getattr(self, name)) is not None]
        return not any(rates) and not any(getattr(self, name) for name in FEE_NAMES)

    def rate(self, name: str) -> Rate | None:
        """The rate of a kind of token, its own or that of the kind it is charged like; None = it has no known price."""
        own: Rate | None = getattr(self, name)
        if own is not None:
            return own
        if not self.input.highest and not self.output.highest:
            return self.input  # what costs nothing costs nothing in any kind
        like = _LIKE.get(name, ())
        named = next((rate for each in like if (rate := getattr(self, each)) is not None), None)
        return named or (self.rate(like[-1]) if like else None)

    @property
    def always_searches(self) -> bool:
        return always_searches(self.model)

    def dearest_input(self, prompt_tokens: int, media: Collection[str] = (), *, writes: bool = True) -> Decimal | None:
        """The highest rate that a token of a prompt with such media may have; None = one of them has no known price."""
        if self.is_by_unit:
            return Decimal(0)
        rates = [self.rate(kind) for kind in ("input", *media)]
        if None in rates:
            return None
        rates += [self.cache_write, self.cache_write_1h] if writes else []
        return max(rate.at(prompt_tokens) for rate in rates if rate)

    def dearest_output(self, prompt_tokens: int) -> Decimal:
        """The highest rate that a token of the answer may have."""
        rates: list[Rate | None] = [getattr(self, name) for name in _OUTPUTS]
        return max(rate.at(prompt_tokens) for rate in rates if rate is not None)

    def fee(self, n_searches: int = 0, units: Mapping[str, int] | None = None) -> Decimal | None:
        """The cost of a call besides its tokens, with so many searches by its vendor and other units (UNIT_FEES).

        None = not known.
        """
        searches = max(n_searches, int(self.always_searches))
        if self.unknown_units or (searches and self.search_usd is None):
            return None
        fee = (self.request_usd or Decimal(0)) + searches * (self.search_usd or Decimal(0))
        for name, count in (units or {}).items():
            field_, per = UNIT_FEES[name]
            fee += (getattr(self, field_) or Decimal(0)) * count / per
        return fee

    def times(self, factor: Decimal) -> "Price":
        """All rates and units times a factor, e.g. a discount or a service tier."""
        scaled: dict[str, Any] = {
            name: rate.times(factor) for name in RATE_NAMES if (rate := getattr(self, name)) is not None
        }
        units: dict[str, Any] = {
            name: usd * factor for name, _ in UNIT_FEES.values() if (usd := getattr(self, name)) is not None
        }
        return replace(self, **scaled, **units)


def always_searches(model: str) -> bool:
    """True for chat models that search the web on every call, and charge for it without counting it."""
    return _ALWAYS_SEARCHES.match(model) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamPrice:
    """A row of the team's own: what its contract says, over what the catalogue says.

    model: One name, or `*` for all of the provider; then it can only hold a discount, tiers and fees.
    rates: USD per million tokens by name (RATE_NAMES); empty = the catalogue's, with the discount.
    discount: Share off, in [0, 1]; None = not said.
    tiers: Factor on the standard rates by service tier, such as {"batch": 0.5}.
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
    request_usd: Decimal | None = None
    characters_usd: Decimal | None = None
    sound_usd: Decimal | None = None
    picture_usd: Decimal | None = None
    note: str = ""


class Elsewhere(NamedTuple):
    """The cost that a call would have had on another model.

    service_tier: The call's own, or standard where that has no price there.
    """

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
    """The change that back-pricing would make to one day (UTC) of a model.

    n_unpriced: Calls without a cost before.
    before_usd: The known part.
    """

    on: date
    provider: str
    model: str
    n_calls: int
    n_unpriced: int
    before_usd: Decimal
    after_usd: Decimal
