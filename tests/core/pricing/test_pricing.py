"""Costs: thirty reference calls to the nano-dollar, against hand-made sums and against genai-prices' own arithmetic."""

from datetime import UTC, datetime
from decimal import Decimal

import genai_prices
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.generation import Usage
from core.formats.money import from_nano, to_nano
from core.pricing.book import PriceBook
from core.pricing.receipt import receipt_for

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


def u(input_: int, output: int, cached: int = 0, thinking: int = 0, audio: int = 0, cached_audio: int = 0) -> Usage:
    return Usage(
        input_tokens=input_, output_tokens=output, cached_tokens=cached, thinking_tokens=thinking,
        audio_tokens=audio, cached_audio_tokens=cached_audio,
    )  # fmt: skip


# (model, usage, dollars): sums made by hand from the vendors' list prices
REFERENCE = [
    ("gemini-2.0-flash", u(1_000_000, 1_000_000), "0.50"),
    ("gemini-2.5-flash", u(0, 0), "0"),
    ("gemini-2.5-flash", u(1, 0), "0.0000003"),
    ("gemini-2.5-flash", u(0, 1), "0.0000025"),
    ("gemini-2.5-flash", u(1000, 500), "0.00155"),
    ("gemini-2.5-flash", u(1000, 500, cached=1000), "0.00128"),
    ("gemini-2.5-flash", u(1000, 500, cached=400), "0.001442"),
    ("gemini-2.5-flash", u(1000, 500, thinking=500), "0.00155"),
    ("gemini-2.5-flash", u(1000, 500, thinking=123), "0.00155"),
    ("gemini-2.5-flash", u(1000, 10, audio=400), "0.000605"),
    ("gemini-2.5-flash", u(1000, 10, cached=300, audio=400, cached_audio=100), "0.000461"),
    ("gemini-2.5-flash", u(1_000_000, 65_536), "0.46384"),
    ("gemini-2.5-flash-lite", u(1000, 1000), "0.0005"),
    ("gemini-2.5-flash-lite", u(1000, 1000, cached=500), "0.000455"),
    ("gemini-2.5-pro", u(1000, 1000), "0.01125"),
    ("gemini-2.5-pro", u(200_000, 1000), "0.26"),
    ("gemini-2.5-pro", u(200_001, 1000), "0.5150025"),
    ("gemini-2.5-pro", u(300_000, 1000), "0.765"),
    ("gemini-2.5-pro", u(300_000, 1000, cached=250_000), "0.2025"),
    ("gemini-2.5-pro", u(300_000, 1500, cached=250_000, thinking=1000), "0.21"),
    ("gemini-2.5-pro", u(10_000, 2000, thinking=1900), "0.0325"),
    ("models/gemini-2.5-pro", u(1000, 0), "0.00125"),
    ("google/gemini-2.5-flash", u(1000, 0), "0.0003"),
    ("GEMINI-2.5-FLASH", u(1000, 0), "0.0003"),
    ("gemini-3.1-pro-preview", u(1000, 1000), "0.014"),
    ("gemini-3.5-flash", u(1000, 1000), "0.0105"),
    ("gemini-3.8-flash", u(1000, 1000), "0.0045"),
    ("gemini-4-argon", u(1000, 1000), "0.012"),
    ("sim-fast", u(1000, 1000), "0.0005"),
    ("sim-careful", u(1000, 1000, cached=1000), "0.0102"),
    ("gemini-9-from-tomorrow", u(1000, 1000), None),
    ("gemini-2.5-pro-something-else", u(1000, 1000), None),
    ("gemini-1.5-flash-8b", u(1000, 1000), None),
    ("gemma-3-27b-it", u(1000, 1000), None),
]


@pytest.mark.parametrize(("model", "usage", "dollars"), REFERENCE)
def test_a_call_costs_what_the_list_says(model: str, usage: Usage, dollars: str | None):
    price = PriceBook().price("simulated" if model.startswith("sim-") else "gemini", model, NOW)

    if dollars is None:
        assert price is None
    else:
        assert price is not None
        assert to_nano(receipt_for(usage, price).usd) == int(Decimal(dollars) * 1_000_000_000)


def test_a_price_that_changes_holds_from_its_date_on():
    before = PriceBook().price("gemini", "gemini-4-argon", datetime(2026, 11, 30, tzinfo=UTC))
    after = PriceBook().price("gemini", "gemini-4-argon", datetime(2026, 12, 2, tzinfo=UTC))

    assert before is not None and after is not None
    assert (before.input.base, after.input.base) == (2, 4)
    assert before.id != after.id


@given(
    model=st.sampled_from(["gemini-2.5-pro", "gemini-2.5-flash", "gemini-2.5-flash-lite", "gemini-3.1-pro-preview"]),
    input_=st.integers(0, 900_000),
    output=st.integers(0, 65_000),
    cached=st.floats(0, 1),
    thinking=st.floats(0, 1),
)
def test_every_cost_equals_the_catalogues_own_arithmetic(model, input_, output, cached, thinking):
    usage = u(input_, output, cached=int(input_ * cached), thinking=int(output * thinking))
    price = PriceBook().price("gemini", model, NOW)
    theirs = genai_prices.calc_price(
        genai_prices.Usage(input_tokens=input_, cache_read_tokens=usage.cached_tokens, output_tokens=output),
        model,
        provider_id="google",
        genai_request_timestamp=NOW,
    )

    assert price is not None
    assert receipt_for(usage, price).usd == theirs.total_price


@pytest.mark.parametrize("usage", [u(10, 5, cached=11), u(10, 5, thinking=6), u(-1, 0), u(10, 0, audio=11)])
def test_counts_that_contradict_each_other_are_not_priced(usage: Usage):
    price = PriceBook().price("gemini", "gemini-2.5-flash", NOW)

    assert price is not None
    with pytest.raises(ValueError, match=r"must be|larger"):
        receipt_for(usage, price)


@given(nano=st.integers(0, 10**18))
def test_nano_dollars_and_dollars_are_the_same_number(nano: int):
    assert to_nano(from_nano(nano)) == nano
