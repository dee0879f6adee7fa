"""Agreement of raters, corrected judges and ratings: published values, coverage by simulation, properties."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.statistics import agreement, ranking
from tests.core.statistics.test_paired import PROPERTY, REFERENCES, reference


@pytest.mark.parametrize("name", [name for name in REFERENCES if name.startswith("kappa")])
def test_kappa_gives_the_references(name: str):
    given_, expected = reference(name)
    table = given_["table"]

    found = agreement.kappa(table)

    assert found.value == pytest.approx(expected["kappa"], abs=1e-9)
    assert agreement.kappa(table, weights="linear").value == pytest.approx(expected["linear"], abs=1e-9)
    assert agreement.kappa(table, weights="quadratic").value == pytest.approx(expected["quadratic"], abs=1e-9)
    assert agreement.kappa_standard_error(table) == pytest.approx(expected["se_fleiss_cohen_everitt"], abs=1e-9)
    assert (found.lower, found.upper) == pytest.approx(expected["ci95"], abs=0.02)  # smoothed


def test_kappa_of_one_class_alone_is_unknown_and_its_interval_wide():
    found = agreement.kappa([[20, 0], [0, 0]])

    assert math.isnan(found.value)
    assert found.agreement == 1.0
    assert found.upper - found.lower > 0.5


def test_krippendorffs_alpha_gives_the_published_values():
    given_, expected = reference("krippendorff_hayes")

    for level, value in expected.items():
        assert agreement.krippendorff_alpha(given_["raters"], level=level) == pytest.approx(value, abs=1e-9)


def test_a_preferred_place_and_a_corrected_rate_give_the_references():
    _, bias = reference("position_bias_12_3_25")
    _, corrected = reference("rogan_gladen_820_1000_36_40_7_10")

    found = agreement.position_bias(12, 3, 25)
    rate = agreement.rogan_gladen(820, 1000, 36, 40, 7, 10)

    assert found.first_share is not None
    assert (found.flip_rate, found.first_share.estimate, found.p_value, found.first_position_rate) == pytest.approx(
        (bias["flip_rate"], bias["first_share_of_flips"], bias["p"], bias["first_position_rate"])
    )
    assert tuple(rate) == pytest.approx((corrected["point"], *corrected["ci95_lang_reiczigel"]), abs=1e-9)
    assert agreement.position_bias(0, 0, 5).first_share is None


@pytest.mark.parametrize("truth", [0.7, 0.98])
def test_the_corrected_pass_rate_holds_the_truth_where_the_judge_is_off(truth: float):
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(400):
        passed = rng.random(500) < truth
        judged = np.where(passed, rng.random(500) < 0.9, rng.random(500) < 0.6).astype(float)
        interval = agreement.corrected_pass_rate(passed[:50].astype(float), judged[:50], judged[50:])
        hits += not interval.excludes(truth)

    assert hits / 400 > 0.92


def test_ratings_are_the_maximum_likelihood_without_a_prior():
    given_, expected = reference("bradley_terry_4")

    found = ranking.bradley_terry(given_["wins"], ridge=0)

    assert found.ratings == pytest.approx(expected["elo_centred_on_1000"], abs=1e-4)
    assert all(low < rating < high for rating, low, high in zip(*found, strict=True))


def test_an_unbeaten_contestant_has_a_rating_and_unconnected_ones_have_none():
    found = ranking.bradley_terry([[0, 9], [0, 0]])

    assert 1000 < found.ratings[0] < 2000
    with pytest.raises(ValueError, match="converge"):
        ranking.bradley_terry([[0, 9], [0, 0]], ridge=0)
    with pytest.raises(ValueError, match="cannot be compared"):
        ranking.bradley_terry([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]])


@PROPERTY
@given(
    st.lists(st.lists(st.integers(0, 30), min_size=3, max_size=3), min_size=3, max_size=3), st.permutations(range(3))
)
def test_ratings_do_not_depend_on_the_order_of_contestants(counts: list[list[int]], order: list[int]):
    wins = np.array(counts, dtype=float) + 1 - np.eye(3) * (np.diag(counts) + 1)

    found = ranking.bradley_terry(wins)
    turned = ranking.bradley_terry(wins[np.ix_(order, order)])

    assert turned.ratings == pytest.approx([found.ratings[i] for i in order], abs=1e-6)
    assert sum(found.ratings) == pytest.approx(3000)
