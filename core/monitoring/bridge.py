"""The causes of a difference in spend between two periods: its parts add up to the difference exactly. Pure.

Spend of a model = calls x (uncached tokens x price + cached tokens x price + written tokens x price), and its calls =
all calls x its share of them. Each part is the Shapley value of one of the six factors: its effect averaged over all
orders in which the factors may change from one period to the other, so that no order is preferred and nothing is left
over. Whole nano-dollars; what rounding leaves goes to the parts with the largest remainders.

Sources: Shapley (1953), A value for n-person games; for decompositions, Shorrocks (2013), J. Econ. Inequality 11,
99-126.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import combinations
from typing import Literal, NamedTuple, get_args

from core.formats.money import from_nano

Part = Literal["volume", "mix", "input length", "answer length", "cache share", "price", "other"]
PARTS: tuple[Part, ...] = get_args(Part)
_FACTORS = PARTS[:-1]
_SUBSETS = [set(chosen) for size in range(len(_FACTORS) + 1) for chosen in combinations(_FACTORS, size)]
_WEIGHT = [
    Fraction(math.factorial(k) * math.factorial(len(_FACTORS) - k - 1), math.factorial(len(_FACTORS)))
    for k in range(len(_FACTORS))
]


class ModelSpend(NamedTuple):
    """A model's priced calls of one period: tokens, and nano-dollars by kind. input_tokens: without the cached ones."""

    n: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    input_nano: int
    cached_nano: int
    output_nano: int

    @property
    def nano(self) -> int:
        return self.input_nano + self.cached_nano + self.output_nano


NOTHING = ModelSpend(0, 0, 0, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bridge:
    """From the spend of one period to that of another, in US dollars, exact.

    parts: The change that each cause brought, in the order of PARTS.
    by_model: The same for each model. Both add up to the difference.
    """

    before_usd: Decimal
    after_usd: Decimal
    parts: dict[Part, Decimal]
    by_model: dict[str, dict[Part, Decimal]]

    @property
    def difference_usd(self) -> Decimal:
        return self.after_usd - self.before_usd

    @property
    def moved_most(self) -> tuple[str, Part, Decimal] | None:
        """The model and cause that moved it most in the direction it went; None = it did not move."""
        sign = 1 if self.difference_usd > 0 else -1
        found = [(usd * sign, m, part) for m, parts in self.by_model.items() for part, usd in parts.items()]
        best = max(found, default=None)
        return None if best is None or best[0] <= 0 or not self.difference_usd else (best[1], best[2], best[0] * sign)


def bridge(before: Mapping[str, ModelSpend], after: Mapping[str, ModelSpend]) -> Bridge:
    """The parts of the difference between two periods."""
    totals = sum(s.n for s in before.values()), sum(s.n for s in after.values())
    by_model = {
        model: _of_model(before.get(model, NOTHING), after.get(model, NOTHING), totals)
        for model in sorted({*before, *after})
    }
    return Bridge(
        before_usd=from_nano(sum(s.nano for s in before.values())),
        after_usd=from_nano(sum(s.nano for s in after.values())),
        parts={part: sum((parts[part] for parts in by_model.values()), Decimal(0)) for part in PARTS},
        by_model=by_model,
    )


def _of_model(before: ModelSpend, after: ModelSpend, totals: tuple[int, int]) -> dict[Part, Decimal]:
    old, new = _factors(before, after, totals), _factors(after, before, totals[::-1])
    spend = {frozenset(chosen): _spend(old, new, chosen) for chosen in _SUBSETS}
    shares: dict[Part, Fraction] = {}
    for factor in _FACTORS:
        shares[factor] = sum(
            (
                _WEIGHT[len(chosen)] * (spend[frozenset(chosen | {factor})] - spend[frozenset(chosen)])
                for chosen in _SUBSETS
                if factor not in chosen
            ),
            Fraction(0),
        )
    # Money without tokens to hang it on, such as searches in a period without output.
    rest_before, rest_after = before.nano - spend[frozenset()], after.nano - spend[frozenset(_FACTORS)]
    shares["other"] = rest_after - rest_before
    return {part: from_nano(nano) for part, nano in _rounded(shares, after.nano - before.nano).items()}


def _factors(here: ModelSpend, there: ModelSpend, totals: tuple[int, int]) -> dict[str, Fraction]:
    """The factors of one period; where it has no calls or tokens to tell one, that of the other period stands in."""
    shape = here if here.n else there
    whole = shape.input_tokens + shape.cached_tokens
    other_whole = there.input_tokens + there.cached_tokens
    share = Fraction(shape.cached_tokens, whole) if whole else Fraction(there.cached_tokens, other_whole or 1)
    return {
        "volume": Fraction(totals[0]),
        "mix": Fraction(here.n, totals[0]) if totals[0] else Fraction(there.n, totals[1] or 1),
        "input length": Fraction(whole, shape.n or 1),
        "answer length": Fraction(shape.output_tokens, shape.n or 1),
        "cache share": share,
        "input price": _unit(here.input_nano, here.input_tokens, there.input_nano, there.input_tokens),
        "cached price": _unit(here.cached_nano, here.cached_tokens, there.cached_nano, there.cached_tokens),
        "output price": _unit(here.output_nano, here.output_tokens, there.output_nano, there.output_tokens),
    }


def _unit(nano: int, tokens: int, other_nano: int, other_tokens: int) -> Fraction:
    return Fraction(nano, tokens) if tokens else Fraction(other_nano, other_tokens or 1)


def _spend(old: Mapping[str, Fraction], new: Mapping[str, Fraction], changed: set[Part]) -> Fraction:
    def of(name: Part) -> Fraction:
        return (new if name in changed else old)[name]

    prices = new if "price" in changed else old
    cached = of("input length") * of("cache share")
    per_call = (of("input length") - cached) * prices["input price"] + cached * prices["cached price"]
    per_call += of("answer length") * prices["output price"]
    return of("volume") * of("mix") * per_call


def _rounded(shares: Mapping[Part, Fraction], total: int) -> dict[Part, int]:
    whole: dict[Part, int] = {part: math.floor(value) for part, value in shares.items()}
    left = total - sum(whole.values())
    by_remainder = sorted(shares, key=lambda part: shares[part] - whole[part], reverse=True)
    for part in by_remainder[:left]:
        whole[part] += 1
    return {part: whole[part] for part in PARTS}
