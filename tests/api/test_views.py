"""Nouns as JSON: a view names fields that there are, and writes each as JSON has it."""

from decimal import Decimal

import pytest

from api.rest.views import View, plain
from core import Alias, Usage
from core.statistics.interval import Interval


def test_a_view_of_a_field_that_is_not_there_cannot_be_made():
    with pytest.raises(AttributeError, match="Alias has no nmae"):
        View(Alias, "name=nmae")


def test_a_view_names_fields_as_it_says_and_in_its_order():
    view = View(
        Usage, "output=output_tokens input_tokens cached=cached_tokens? whole=.", whole=lambda u: u.total_tokens
    )

    assert list(view(Usage(input_tokens=3, output_tokens=4)).items()) == [
        ("output", 4), ("input_tokens", 3), ("cached", None), ("whole", 7)
    ]  # fmt: skip


def test_an_unknown_amount_is_null_and_a_missing_bound_too():
    assert plain(None) is None and plain(Decimal(0)) == 0.0
    assert plain(Interval(1.0, float("-inf"), 2.0)) == {"estimate": 1.0, "lower": None, "upper": 2.0}
