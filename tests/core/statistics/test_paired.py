"""Two runs on the same items: published values, an independent implementation and properties of each figure."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, permutation_test, ttest_rel, wilcoxon

from core.statistics import gate, paired
from core.statistics.multiplicity import benjamini_hochberg, holm

REFERENCES = {each["id"]: each for each in json.loads((Path(__file__).parent / "references.json").read_text("utf-8"))}
PROPERTY = settings(derandomize=True, deadline=None, database=None, max_examples=60)


def reference(name: str) -> tuple[dict, dict]:
    return REFERENCES[name]["inputs"], REFERENCES[name]["expected"]


@pytest.mark.parametrize("name", [name for name in REFERENCES if name.startswith("mcnemar")])
def test_mcnemar_gives_the_published_values(name: str):
    given_, expected = reference(name)

    found = paired.mcnemar(given_["only_baseline_pass"], given_["only_candidate_pass"])

    keys = ("exact", "midp", "exact_worse", "midp_worse")
    assert tuple(found) == pytest.approx([expected[key] for key in keys], abs=1e-9)


@PROPERTY
@given(lost=st.integers(0, 200), won=st.integers(0, 200))
def test_mcnemar_agrees_with_the_binomial_test(lost: int, won: int):
    found = paired.mcnemar(lost, won)

    if lost + won:
        assert found.exact == pytest.approx(binomtest(lost, lost + won).pvalue, abs=1e-9)
        assert found.exact_worse == pytest.approx(binomtest(lost, lost + won, alternative="greater").pvalue, abs=1e-9)
    assert 0 <= found.mid_p <= found.exact <= 1
    assert found.mid_p_worse <= found.exact_worse


@pytest.mark.parametrize("name", [name for name in REFERENCES if name.startswith("paired_diff")])
def test_the_interval_of_the_difference_is_tangos(name: str):
    given_, expected = reference(name)
    counts = given_["only_baseline_pass"], given_["only_candidate_pass"], given_["n"]

    for level in (95, 90):
        found = paired.difference_interval(*counts, confidence_level=level / 100)
        assert (found.lower, found.upper) == pytest.approx(expected[f"tango{level}"], abs=2e-7)
        assert found.estimate == pytest.approx(expected["diff"])


@PROPERTY
@given(st.integers(1, 300), st.floats(0, 1), st.floats(0, 1), st.floats(0.5, 0.999))
def test_the_interval_holds_its_estimate_has_width_and_turns_round_with_the_sides(n, share, part, level):
    differing = round(n * share)
    lost = round(differing * part)

    one = paired.difference_interval(lost, differing - lost, n, confidence_level=level)
    other = paired.difference_interval(differing - lost, lost, n, confidence_level=level)

    assert -1 <= one.lower <= one.estimate <= one.upper <= 1
    assert one.upper - one.lower > 1e-3
    assert (other.lower, other.upper) == pytest.approx((-one.upper, -one.lower), abs=1e-9)


def test_the_t_test_gives_students_sleep_values():
    given_, expected = reference("paired_t_sleep")

    found = paired.paired_t(given_["b"], given_["a"])
    interval = paired.mean_difference(given_["b"], given_["a"])

    assert (found.statistic, found.p_value) == pytest.approx((expected["t"], expected["p"]), abs=1e-9)
    assert found.p_worse == pytest.approx(expected["p"] / 2, abs=1e-9)
    assert (interval.lower, interval.upper) == pytest.approx(expected["ci95_a_minus_b"], abs=1e-9)


@PROPERTY
@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(-5, 5)), min_size=3, max_size=40))
def test_the_t_test_agrees_with_scipy(pairs: list[tuple[float, float]]):
    baseline, candidate = [each[0] for each in pairs], [each[1] for each in pairs]
    if np.std(np.subtract(candidate, baseline)) < 1e-3:
        return
    expected, worse = ttest_rel(candidate, baseline), ttest_rel(candidate, baseline, alternative="less")

    found = paired.paired_t(baseline, candidate)

    assert tuple(found) == pytest.approx((expected.statistic, expected.pvalue, worse.pvalue), rel=1e-6, abs=1e-9)


def test_the_second_views_agree_with_scipy_and_with_the_truth():
    rng = np.random.default_rng(3)
    baseline = rng.lognormal(size=300)
    candidate = baseline * rng.lognormal(0.2, 0.3, size=300)

    found = paired.wilcoxon(baseline, candidate)
    ratio = paired.bootstrap_interval(baseline, candidate, lambda a, b: b.mean() / a.mean())

    assert found.p_value == pytest.approx(wilcoxon(candidate - baseline).pvalue)
    assert found.p_worse > 0.99
    assert ratio.lower < np.exp(0.2 + 0.3**2 / 2) < ratio.upper
    assert ratio == paired.bootstrap_interval(baseline, candidate, lambda a, b: b.mean() / a.mean())
    assert paired.wilcoxon([1.0, 0.0], [1.0, 0.0]).p_value == 1.0
    assert not paired.bootstrap_interval([1.0] * 5, [1.0] * 5, lambda a, b: b.mean() - a.mean()).is_finite


def test_items_weigh_the_same_however_often_they_were_asked():
    given_, expected = reference("cluster_unbalanced")

    found = paired.by_item(given_["item"], given_["diff"])

    assert found[:2] == pytest.approx((expected["item_mean"], expected["item_mean_se"]), abs=1e-9)
    assert found.n == 12


@pytest.mark.parametrize(
    ("candidate", "repetitions"),
    [([1.0] * 20, 1), ([1.0] * 19 + [0.0], 1), ([1.0] * 18 + [0.8, 0.6], 5), ([0.0] * 20, 1)],
)
def test_few_differing_items_keep_an_interval_with_width_around_no_difference(candidate, repetitions):
    found = paired.mean_difference([1.0] * 20, candidate, repetitions=repetitions)

    assert found.lower < found.estimate < found.upper
    assert found.upper - found.lower > 0.05


def test_the_plus_interval_is_t_with_two_more_items():
    baseline, candidate = [1.0] * 20, [1.0] * 17 + [0.5] * 3
    size = 1 / 2**0.5
    expected = ttest_rel([*candidate, 1 + size, 1 - size], [*baseline, 1, 1]).confidence_interval(0.9)

    found = paired.mean_difference(baseline, candidate, repetitions=2, confidence_level=0.9)

    assert (found.lower, found.upper) == pytest.approx((expected.low, expected.high))
    assert found.estimate == pytest.approx(-0.075)


def test_dollars_have_no_pseudo_items_of_one_dollar():
    baseline, candidate = [0.002] * 30, [0.002] * 29 + [0.004]

    found = paired.mean_difference([-each for each in baseline], [-each for each in candidate])

    assert 0.0001 < found.upper - found.lower < 0.001
    assert not paired.mean_difference([0.002] * 5, [0.002] * 5, scale=0).is_finite  # nothing says how far they may go


@PROPERTY
@given(st.lists(st.floats(-1, 1).filter(lambda each: each == 0 or abs(each) > 1e-3), min_size=2, max_size=9))
def test_sign_flips_agree_with_scipys_permutation_test(differences: list[float]):
    found = paired.sign_flips(differences)

    if any(differences):
        arguments = {"permutation_type": "samples", "n_resamples": np.inf}
        less = permutation_test((differences,), np.sum, alternative="less", **arguments)
        assert found.exact_worse == pytest.approx(less.pvalue, abs=1e-9)
    assert found.mid_p_worse <= found.exact_worse


@PROPERTY
@given(lost=st.integers(0, 10), won=st.integers(0, 9))
def test_sign_flips_of_passes_and_failures_are_mcnemars_test(lost: int, won: int):
    flips, mcnemar = paired.sign_flips([-1] * lost + [1] * won + [0] * 5), paired.mcnemar(lost, won)

    assert (flips.exact, flips.exact_worse, flips.mid_p_worse) == pytest.approx(
        (mcnemar.exact, mcnemar.exact_worse, mcnemar.mid_p_worse), abs=1e-9
    )


@pytest.mark.parametrize(
    ("n", "discordance", "drop"), [(200, 0.1, 0.0553), (200, 0.2, 0.0782), (1000, 0.1, 0.0248), (50, 0.2, 0.154)]
)
def test_the_smallest_detectable_drop_is_connors(n: int, discordance: float, drop: float):
    assert paired.smallest_detectable_drop(n, discordance) == pytest.approx(drop, abs=5e-5)


def test_a_handful_of_items_detects_no_drop_at_all():
    assert paired.smallest_detectable_drop(2, 0.1) == float("inf")
    assert paired.smallest_detectable_drop(200, 0.0) > 0.02  # a drop makes items discordant


def test_the_e_value_and_the_share_of_a_look_are_the_references():
    _, expected = reference("evalue_worse_3_12")

    assert paired.worse_e_value(3, 12) == pytest.approx(expected["e"], abs=1e-9)
    assert paired.worse_e_value(0, 0) == pytest.approx(1.0)
    assert paired.worse_e_value(12, 3) < 0.1
    assert paired.worse_e_value(0, 5000) == float("inf")
    assert sum(paired.significance_at_look(k) for k in range(1, 100_000)) == pytest.approx(0.05, abs=1e-6)


def test_holm_and_benjamini_hochberg_give_the_references():
    given_, expected = reference("holm_1")

    assert holm(given_["p"]) == pytest.approx(expected["holm"])
    assert benjamini_hochberg(given_["p"]) == pytest.approx(expected["bh"])
    assert holm([]) == []
    with pytest.raises(ValueError, match="must be in"):
        holm([0.1, float("nan")])


@PROPERTY
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_corrected_p_values_keep_their_order_and_only_grow(p_values: list[float]):
    strict, loose = holm(p_values), benjamini_hochberg(p_values)

    for p, h, b in zip(p_values, strict, loose, strict=True):
        assert p <= b + 1e-12 <= h + 1e-9 <= 1 + 1e-9


@pytest.mark.parametrize(
    "call",
    [
        lambda: paired.mcnemar(-1, 3),
        lambda: paired.difference_interval(3, 3, 5),
        lambda: paired.paired_t([1.0], [0.0]),
        lambda: paired.paired_t([1.0, 2.0], [0.0]),
        lambda: paired.mean_difference([1.0, float("nan")], [0.0, 1.0]),
        lambda: paired.mean_difference([], []),
        lambda: paired.smallest_detectable_drop(0, 0.1),
        lambda: paired.significance_at_look(0),
        lambda: paired.sign_flips([0.1] * 21),
    ],
)
def test_impossible_input_is_refused(call):
    with pytest.raises(ValueError, match=r"==|must be|not finite|items"):
        call()


def passes(lost: int, won: int, both: int, neither: int = 0) -> tuple[list[float], list[float]]:
    return (
        [1.0] * lost + [0.0] * won + [1.0] * both + [0.0] * neither,
        [0.0] * lost + [1.0] * won + [1.0] * both + [0.0] * neither,
    )


def test_the_gate_is_red_only_for_a_drop_that_is_both_real_and_large():
    real_and_large = gate.compare(*passes(20, 4, 176))
    real_and_small = gate.compare(*passes(60, 30, 2910))
    noise = gate.compare(*passes(12, 8, 180))

    assert real_and_large.fails(margin=0.02)
    assert real_and_small.p_worse < 0.01
    assert not real_and_small.fails(margin=0.02)
    assert not noise.fails()
    assert noise.drop == pytest.approx(0.02)
    assert not real_and_large.fails(p_worse=0.2)  # as corrected for several tests


def test_the_strict_rule_is_green_only_for_a_drop_shown_to_be_small():
    assert gate.compare(*passes(12, 8, 180)).fails(margin=0.02, rule="strict")
    assert not gate.compare(*passes(12, 8, 4980)).fails(margin=0.02, rule="strict")


def test_a_run_compared_with_itself_passes():
    same = [1.0, 0.0, 1.0, 0.4]

    for rule in ("alarm", "strict"):
        assert not gate.compare(same * 200, same * 200, repetitions=5).fails(margin=0.02, rule=rule)
    assert not gate.compare([1.0], [1.0]).fails()


def test_pass_or_fail_goes_to_mcnemar_and_repetitions_to_t():
    once = gate.compare(*passes(20, 4, 176))
    repeated = gate.compare(*passes(20, 4, 176), repetitions=3)
    few = gate.compare([1.0] * 200, [1.0] * 194 + [0.2] * 6, repetitions=5)
    exact = gate.compare(*passes(20, 4, 176), is_exact=True)

    assert (once.method, repeated.method, few.method) == ("McNemar", "t on item means", "sign flips")
    assert once.p_worse == paired.mcnemar(20, 4).mid_p_worse < exact.p_worse
    assert repeated.p_worse == paired.paired_t(*passes(20, 4, 176)).p_worse
    assert few.p_worse == pytest.approx(0.5**7)
    assert (few.n_worse, few.n_better, few.n_items) == (6, 0, 200)


def test_several_tests_widen_the_interval_by_the_same_factor():
    one, three = gate.compare(*passes(20, 4, 176)), gate.compare(*passes(20, 4, 176), n_tests=3)

    expected = paired.difference_interval(20, 4, 200, confidence_level=1 - 0.05 / 3)
    assert three.difference == expected
    assert three.lower < one.lower
    assert three.smallest_detectable_drop > one.smallest_detectable_drop
