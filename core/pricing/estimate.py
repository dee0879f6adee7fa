"""The cost of a call before it is sent: low, expected, high. Pure."""

from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from core.domain.price import Price

BYTES_PER_TOKEN = (6, 4, 1)  # long words, English text, and what no tokenizer can exceed
USUAL_ANSWER = 400  # tokens, for models that have not answered yet
HIGH = 2  # the last of three
SHORT_SHARE = 4  # a low answer is a fourth of the usual one


class Range(NamedTuple):
    low: int
    expected: int
    high: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """USD; None = the model has no price. input_tokens: exact where the vendor counted them (is_exact)."""

    model: str
    low_usd: Decimal | None
    expected_usd: Decimal | None
    high_usd: Decimal | None
    input_tokens: Range
    output_tokens: Range
    is_exact: bool = False


def input_range(n_bytes: int, longest: int, counted: int | None) -> Range:
    """Tokens of a prompt of so many bytes; `counted` = what the vendor counted."""
    if counted is not None:
        return Range(counted, counted, counted)
    low, expected = (max(1, -(-n_bytes // size)) for size in BYTES_PER_TOKEN[:2])
    return Range(min(low, longest), min(expected, longest), longest)


def output_range(longest: int, usual: float | None) -> Range:
    """Tokens of an answer; `usual` = what this model's answers have had on average."""
    expected = min(longest, round(usual or USUAL_ANSWER))
    return Range(max(1, expected // SHORT_SHARE), max(1, expected), longest)


def estimate(
    model: str,
    price: Price | None,
    inputs: Range,
    outputs: Range,
    *,
    media: Collection[str] = (),
    is_exact: bool = False,
) -> Estimate:
    """Uncached input and output at the prices of their length; the highest is what a budget would reserve.

    media: Kinds of tokens of the prompt besides text.
    """
    costs: list[Decimal | None] = [None, None, None]
    fee = None if price is None else price.fee()
    if price is not None and fee is not None and price.dearest_input(inputs[HIGH], media) is not None:
        # Models that make pictures mostly do, and a token of those is the dearest.
        is_for_media = bool(price.output_image or price.output_video)
        for at, (i, o) in enumerate(zip(inputs, outputs, strict=True)):
            rate = price.dearest_output(i) if at == HIGH or (at and is_for_media) else price.output.at(i)
            reading = price.dearest_input(i, media if at else (), writes=at == HIGH) or Decimal(0)
            costs[at] = (reading * i + rate * o) / 1_000_000 + fee
    low, expected, high = costs
    return Estimate(
        model=model,
        low_usd=low,
        expected_usd=expected,
        high_usd=high,
        input_tokens=inputs,
        output_tokens=outputs,
        is_exact=is_exact,
    )


def total(estimates: list[Estimate]) -> tuple[Decimal | None, Decimal | None, Decimal | None]:
    """Low, expected and high of several calls together; None = one of them has no price."""

    def add(values: list[Decimal | None]) -> Decimal | None:
        return None if None in values else sum((value for value in values if value is not None), Decimal(0))

    return (
        add([each.low_usd for each in estimates]),
        add([each.expected_usd for each in estimates]),
        add([each.high_usd for each in estimates]),
    )
