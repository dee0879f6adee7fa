"""Experiments: sticky and independent assignment, honest intervals, and no winner from a higher rate alone."""

import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import lambertw
from scipy.stats import binomtest, chi2, chi2_contingency, chisquare, norm
from scipy.stats import t as student

from core import Conflict, InvalidRequest, ModelManager, ModelNotFound, NotFound, clock
from core.assignment.placement import assign
from core.domain.experiment import Design, Experiment, Guardrail, OutcomeInput, Phase, Variant
from core.experiments.analysis import analyse
from core.experiments.checks import find_variant
from core.experiments.decision import Traffic, decide
from core.statistics import quantiles, sequential
from core.statistics.experiments import bayes
from core.statistics.experiments.moments import Moments
from core.statistics.experiments.power import required_sample_size
from core.statistics.experiments.sample_ratio import is_mismatch, sample_ratio_test, sequential_sample_ratio
from core.statistics.experiments.sums import Sums
from core.statistics.means import Sample, welch_interval
from core.statistics.proportions import difference_interval, wilson_interval


def experiment(*weights: int, salt: str = "s1") -> Experiment:
    variants = tuple(
        Variant(position=at, name="ABCD"[at], model="sim-fast", weight=weight) for at, weight in enumerate(weights)
    )
    return Experiment(
        id="e1", name="e", hypothesis="h", unit="user", salt=salt, status="running", created_at=clock.now(), stopped_at=None, variants=variants
    )  # fmt: skip


@pytest.mark.parametrize("wanted", ["strasse", "STRASSE", "Straße ", "variant_a", "a", 0])
def test_a_variant_is_found_by_its_name_however_it_is_written(wanted: str | int):
    asked = experiment(1, 1)
    named = replace(asked, variants=(replace(asked.variants[0], name="Straße"), asked.variants[1]))

    assert find_variant(named, wanted).position == 0


# Assignment


@pytest.mark.parametrize("weights", [(1, 1), (9, 1), (1, 2, 7), (0, 1, 1)])
def test_shares_are_what_the_weights_promise(weights: tuple[int, ...]):
    counts = np.bincount(
        [assign(experiment(*weights), f"u{n}").position for n in range(20_000)], minlength=len(weights)
    )
    expected = np.array(weights) / sum(weights) * 20_000

    assert counts[np.array(weights) == 0].sum() == 0
    used = np.array(weights) > 0
    assert chisquare(counts[used], expected[used]).pvalue > 0.001


def test_two_experiments_assign_independently():
    table = np.zeros((2, 2), int)
    for n in range(20_000):
        table[
            assign(experiment(1, 1, salt="one"), f"u{n}").position,
            assign(experiment(1, 1, salt="two"), f"u{n}").position,
        ] += 1

    assert chi2_contingency(table).pvalue > 0.001


def test_the_same_unit_gets_the_same_variant_in_another_process():
    code = (
        "from tests.core.experiments.test_experiments import experiment; from core.assignment.placement import assign;"
        "print(''.join(str(assign(experiment(1, 2, 3), f'ü{n}').position) for n in range(200)))"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()

    assert there == "".join(str(assign(experiment(1, 2, 3), f"ü{n}").position) for n in range(200))


def test_published_assignments_do_not_change():
    # SHA-256("s1:u0")[:8] as a whole number, times the sum of weights, over 2^64
    assert [assign(experiment(1, 1), f"u{n}").name for n in range(8)] == [assign_by_hand(f"u{n}") for n in range(8)]


def assign_by_hand(unit: str) -> str:
    import hashlib

    return "A" if int(hashlib.sha256(f"s1:{unit}".encode()).hexdigest()[:16], 16) < 2**63 else "B"


def test_weights_that_sum_to_nothing_are_refused():
    with pytest.raises(ValueError, match="must be > 0"):
        assign(experiment(0, 0), "u")


# Statistics


@pytest.mark.parametrize(
    ("successes", "trials", "lower", "upper"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0000, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_matches_newcombe_1998a_table_1(successes, trials, lower, upper):
    interval = wilson_interval(successes, trials)

    assert (interval.lower, interval.upper) == pytest.approx((lower, upper), abs=5e-5)


@pytest.mark.parametrize(
    ("treatment", "control", "lower", "upper"),
    [((56, 70), (48, 80), 0.0524, 0.3339), ((9, 10), (3, 10), 0.1705, 0.8090), ((10, 10), (0, 20), 0.6791, 1.0)],
)
def test_difference_matches_newcombe_1998b_table_2(treatment, control, lower, upper):
    interval = difference_interval(control, treatment)

    assert (interval.lower, interval.upper) == pytest.approx((lower, upper), abs=5e-5)


@given(trials=st.integers(1, 500), share=st.floats(0, 1), level=st.floats(0.5, 0.999))
def test_wilson_agrees_with_scipy(trials, share, level):
    successes = round(share * trials)
    interval = wilson_interval(successes, trials, confidence_level=level)
    expected = binomtest(successes, trials).proportion_ci(level, method="wilson")

    assert (interval.lower, interval.upper) == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize(("successes", "trials"), [(1, 0), (-1, 10), (11, 10)])
def test_impossible_counts_are_refused(successes, trials):
    with pytest.raises(ValueError, match="must be"):
        wilson_interval(successes, trials)


def test_the_mixtures_scale_is_lamberts_w():
    expected = (-lambertw(-(0.05**2) / np.e, -1).real - 1) / 1000

    assert sequential._rho2(0.05, 1000) == pytest.approx(expected, rel=1e-12)


def test_nothing_is_claimed_before_thirty_a_side():
    assert not sequential.proportion_difference((0, 29), (29, 29)).is_finite
    assert sequential.proportion_difference((0, 30), (30, 30)).lower > 0


@given(st.integers(0, 200), st.integers(0, 200))
def test_the_interval_turns_round_with_the_sides(a: int, b: int):
    there = sequential.proportion_difference((a, 200), (b, 200))
    back = sequential.proportion_difference((b, 200), (a, 200))

    assert (there.lower, there.upper) == pytest.approx((-back.upper, -back.lower))
    assert there.lower <= there.estimate <= there.upper
    assert there.lower < there.upper


@pytest.mark.parametrize(("rate", "share_of_b"), [(0.30, 0.5), (0.02, 0.5), (0.30, 0.1), (0.02, 0.1)])
def test_looking_all_the_time_finds_few_false_winners(rate: float, share_of_b: float):
    """300 repeats, a look after every 20, to 4,000 a side: at 5 % true error, 26 false winners have p < 0.005."""
    rng = np.random.default_rng(11)
    n_b = round(4000 * 2 * share_of_b)
    looks = np.linspace(40, 8000, 200).astype(int)
    false_winners = 0
    for _ in range(300):
        b = np.cumsum(rng.random(n_b) < rate)
        a = np.cumsum(rng.random(8000 - n_b) < rate)
        for n in looks:
            at_b, at_a = max(1, int(n * share_of_b)), max(1, n - int(n * share_of_b))
            interval = sequential.proportion_difference((int(a[at_a - 1]), at_a), (int(b[at_b - 1]), at_b))
            if interval.lower > 0 or interval.upper < 0:
                false_winners += 1
                break
    assert false_winners <= 25


def test_a_split_that_is_off_raises_the_alarm_and_a_true_one_does_not():
    assert is_mismatch([5300, 4700], [1, 1])
    assert not is_mismatch([5050, 4950], [1, 1])
    assert not is_mismatch([0, 0], [1, 1])
    assert sequential_sample_ratio([10, 10], [1, 1]) < 0


def test_the_sample_ratio_evidence_grows_like_the_likelihood():
    # far from the truth, the log e-value approaches n times the divergence of the split from the promise
    n, share = 200_000, 0.6
    divergence = share * np.log(share / 0.5) + (1 - share) * np.log((1 - share) / 0.5)

    assert sequential_sample_ratio([int(n * share), int(n * (1 - share))], [1, 1]) == pytest.approx(
        n * divergence, rel=0.02
    )
    assert chi2.sf((0.1 * n) ** 2 / (0.25 * n), 1) < 1e-10


# Against other libraries


samples = st.tuples(st.integers(3, 5000), st.floats(-100, 100), st.floats(0.01, 50))


@given(samples, samples, st.floats(0.6, 0.999))
def test_welch_agrees_with_scipy(control, treatment, level):
    found = welch_interval(Sample(*control), Sample(*treatment), confidence_level=level)
    (n, mean, variance), (m, other, spread) = control, treatment
    parts = variance / n, spread / m
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / (n - 1) + parts[1] ** 2 / (m - 1))
    half = student.ppf(0.5 + level / 2, freedom) * np.sqrt(sum(parts))

    assert (found.lower, found.upper) == pytest.approx((other - mean - half, other - mean + half), rel=1e-9, abs=1e-9)
    assert welch_interval(control, treatment, confidence_level=level) == found  # type: ignore[arg-type]


def test_welch_gives_the_published_interval_of_two_barley_samples():
    """R's t.test(1:10, y = c(7:20)), in its manual: −11.052802 to −4.947198."""
    one, two = np.arange(1.0, 11.0), np.arange(7.0, 21.0)
    found = welch_interval(Sample(14, two.mean(), two.var(ddof=1)), Sample(10, one.mean(), one.var(ddof=1)))

    assert (found.lower, found.upper) == pytest.approx((-11.052802, -4.947198), abs=5e-7)


@given(st.lists(st.integers(0, 5000), min_size=2, max_size=5).filter(sum), st.data())
def test_the_split_test_agrees_with_scipy(counts, data):
    weights = data.draw(st.lists(st.integers(1, 9), min_size=len(counts), max_size=len(counts)))
    expected = np.array(weights) / sum(weights) * sum(counts)

    assert sample_ratio_test(counts, weights) == pytest.approx(chisquare(counts, expected).pvalue, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize(
    ("baseline", "effect", "power", "significance", "n"),
    # (z₁₋α/₂ + z_power)² (p₁q₁ + p₂q₂) / δ² by hand, rounded up
    [(0.30, 0.05, 0.8, 0.05, 1374), (0.30, 0.10, 0.8, 0.05, 354), (0.10, -0.02, 0.9, 0.05, 4298), (0.5, 0.01, 0.8, 0.01, 58384)],
)  # fmt: skip
def test_the_planned_size_is_the_textbooks(baseline, effect, power, significance, n):
    assert required_sample_size(baseline, effect, power=power, significance=significance) == n


def test_beliefs_agree_with_draws_from_the_posteriors():
    rng = np.random.default_rng(3)
    counts = [(30, 100), (38, 100), (35, 100)]
    draws = np.column_stack([rng.beta(1 + s, 1 + n - s, 400_000) for s, n in counts])
    best, loss = np.bincount(draws.argmax(1)) / len(draws), (draws.max(1)[:, None] - draws).mean(0)

    found = bayes.of_proportions(counts)

    assert [each.probability_best for each in found] == pytest.approx(best, abs=0.004)
    assert [each.expected_loss for each in found] == pytest.approx(loss, abs=0.0005)
    two = bayes.of_means([Sample(50, 1.0, 4.0), Sample(80, 1.3, 3.0)])
    assert two[1].probability_best == pytest.approx(norm.cdf(0.3 / np.sqrt(4 / 50 + 3 / 80)), abs=1e-6)


def test_a_quantiles_interval_is_where_the_evidence_is_small():
    rng = np.random.default_rng(8)
    edges = 2.0 ** (np.arange(-64, 128) / 32)
    counts = np.histogram(rng.lognormal(0, 0.5, 3000), edges)[0]
    interval = quantiles.quantile_interval(counts, edges, 0.95)

    assert interval.lower < np.exp(0.5 * 1.6449) < interval.upper
    assert interval.upper / interval.lower < 1.25
    few = quantiles.quantile_interval(np.histogram(rng.lognormal(0, 0.5, 40), edges)[0], edges, 0.95)
    assert few.upper == np.inf
    ratio = quantiles.quantile_ratio(counts, np.roll(counts, 32), edges, 0.95)
    assert ratio.estimate == pytest.approx(2.0)
    assert ratio.lower > 1


# Decisions


def sums(
    outcomes: dict[int, tuple[int, int]],
    exposed: dict[int, int] | None = None,
    cost: dict[int, tuple[int, float, float]] | None = None,
    errors: dict[int, tuple[int, int]] | None = None,
    phase: int = 1,
) -> Sums:
    """Sums of units with one outcome each: position -> (units, successes); cost: (units, mean, standard deviation)."""
    found: dict[tuple[int, int, str], Moments] = {}
    for metric, counts in (("success", outcomes), ("error_rate", errors or {})):
        for position, (n, wins) in counts.items():
            p = wins / n if n else 0.0
            found[(phase, position, metric)] = Moments(n, 1.0, p, 0.0, 0.0, n * p * (1 - p))
    for position, (n, _) in outcomes.items():
        n_exposed = (exposed or {}).get(position, n)
        found[(phase, position, "exposure")] = Moments(n_exposed, 1.0)
    for position, (n, mean, sd) in (cost or {}).items():
        found[(phase, position, "cost")] = Moments(n, 1.0, mean, 0.0, 0.0, (n - 1) * sd * sd)
    return Sums(found, {})


def verdict(
    outcomes: dict[int, tuple[int, int]], weights: tuple[int, ...] = (1, 1), units_a_day: float = 0, **more: Any
):
    design = more.pop("design", Design())
    made = replace(experiment(*weights), design=design)
    return decide(made, analyse(made, sums(outcomes, **more)), Traffic(units=units_a_day, calls=units_a_day))


def test_one_success_against_none_is_no_winner():
    assert verdict({0: (1, 0), 1: (1, 1)}).action == "inconclusive"
    assert verdict({}).action == "inconclusive"


def test_nobody_is_told_to_keep_running_what_was_stopped():
    ended = replace(experiment(1, 1), status="stopped")
    for counts in ({}, {0: (1, 0), 1: (1, 1)}, {0: (200, 60), 1: (200, 72)}):
        decision = decide(ended, analyse(ended, sums(counts)), Traffic(units=100, calls=100))
        assert decision.headline.startswith("Inconclusive:")


def test_a_higher_rate_alone_is_no_winner():
    decision = verdict({0: (200, 60), 1: (200, 72)})

    assert (decision.action, decision.winner) == ("inconclusive", None)


def test_a_clear_difference_ships_with_its_reason():
    decision = verdict({0: (3000, 900), 1: (3000, 1100)})

    assert (decision.action, decision.winner) == ("ship", 1)
    assert "points" in decision.reasons[0]


def test_a_worse_treatment_keeps_the_control():
    assert verdict({0: (3000, 1100), 1: (3000, 900)}).winner == 0


def test_a_wrong_split_holds_the_verdict_back_until_it_is_acknowledged():
    found = sums({0: (3000, 900), 1: (3000, 1100)}, exposed={0: 6000, 1: 3000})
    made = experiment(1, 1)

    assert decide(made, analyse(made, found)).action == "hold"
    seen = replace(made, acknowledged_at=clock.now())
    assert decide(seen, analyse(seen, found)).action == "ship"


def test_more_variants_and_declared_metrics_need_more_evidence():
    two = analyse(experiment(1, 1), sums({0: (1000, 300), 1: (1000, 350)}))
    four = analyse(experiment(1, 1, 1, 1), sums({0: (1000, 300), **dict.fromkeys((1, 2, 3), (1000, 350))}))
    more = replace(experiment(1, 1, 1, 1), design=Design(secondary=("rating", "cost_per_success", "number")))

    widths = [c.difference.upper - c.difference.lower for c in (two.contrasts[0], four.contrasts[0])]
    assert widths[1] > widths[0]
    assert four.confidence_level == pytest.approx(1 - 0.05 / 3)
    assert analyse(more, sums({})).confidence_level == pytest.approx(1 - 0.05 / 12)


def test_not_worse_and_cheaper_ships_the_cheaper_one():
    design = Design(rule="not_worse_and_cheaper", margin=0.05)
    cheaper = {0: (4000, 0.010, 0.004), 1: (4000, 0.006, 0.003)}

    decision = verdict({0: (4000, 2400), 1: (4000, 2390)}, design=design, cost=cheaper, units_a_day=1000)

    assert (decision.action, decision.winner) == ("ship", 1)
    assert "40% cheaper" in decision.money
    assert "saves $122 a month" in decision.money  # 0.004 × 1000 × 30.4375
    assert verdict({0: (4000, 2400), 1: (4000, 2100)}, design=design, cost=cheaper).winner == 0
    assert verdict({0: (400, 240), 1: (400, 239)}, design=design, cost=cheaper).action == "inconclusive"


def test_a_broken_guardrail_stops():
    design = Design(guardrails=(Guardrail(metric="error_rate", margin=0.02),))
    errors = {0: (3000, 30), 1: (3000, 240)}

    decision = verdict({0: (3000, 900), 1: (3000, 1100)}, design=design, errors=errors)

    assert decision.action == "stop"
    assert "error rate" in decision.headline
    assert verdict({0: (3000, 900), 1: (3000, 1100)}, design=design, errors={0: (3000, 30), 1: (3000, 33)}).winner == 1


def test_it_says_how_long_it_takes_or_that_it_cannot_be_told():
    soon = verdict({0: (1000, 300), 1: (1000, 330)}, units_a_day=500)
    same = verdict({0: (1000, 300), 1: (1000, 305)}, units_a_day=5)
    other = experiment(1, 1)
    other = replace(other, variants=(other.variants[0], replace(other.variants[1], model="sim-careful")))
    never = decide(other, analyse(other, sums({0: (1000, 300), 1: (1000, 305)})), Traffic(units=5, calls=5))

    assert soon.headline.startswith("Keep running: about")
    assert never.headline == "Cannot be told at this traffic"
    assert same.headline == "The variants are the same, and the split shows no fault"


def test_no_difference_that_matters_is_a_finding():
    decision = verdict({0: (90_000, 27_000), 1: (90_000, 27_050)}, design=Design(smallest_effect=0.02))

    assert decision.headline == "No difference that matters"


def test_phases_are_compared_within_themselves():
    """Quality rose for all when B got more traffic: pooled, B looks better by 16 points; it is not."""
    variants = experiment(1, 1).variants
    later = tuple(replace(variant, weight=weight) for variant, weight in zip(variants, (1, 9), strict=True))
    phases = tuple(
        Phase(number=n, started_at=clock.now(), ended_at=None, variants=v) for n, v in ((1, variants), (2, later))
    )
    made = replace(experiment(1, 1), variants=later, phases=phases)
    first = sums({0: (5000, 1000), 1: (5000, 1000)})
    second = sums({0: (1000, 500), 1: (9000, 4500)}, phase=2)

    analysis = analyse(made, Sums(first.moments | second.moments, {}))

    contrast = analysis.contrast(1, "success")
    assert contrast is not None
    assert contrast.difference.estimate == pytest.approx(0, abs=1e-9)
    assert not analysis.is_ratio_mismatch
    assert analysis.results[1].n_outcomes == 14_000


# The service


def test_a_unit_keeps_its_variant_and_is_exposed_once(mm: ModelManager):
    made = mm.experiments.create("Tone", ["sim-fast", "sim-balanced"], hypothesis="Shorter is better.")
    seen = []
    for _ in range(3):
        call = mm.submit("Hello there", model=f"exp:{made.id}", unit="u_42")
        served = call.assignment
        assert served is not None
        call.result()
        seen.append(served.variant.position)

    analysis = mm.experiments.report(made.id).analysis
    assert len(set(seen)) == 1
    assert sum(result.n_exposed for result in analysis.results) == 1
    assert analysis.results[seen[0]].n_calls == 3


def test_outcomes_are_counted_under_their_variant(mm: ModelManager):
    made = mm.experiments.create("Tone", ["sim-fast", "sim-balanced"])
    ids = mm.experiments.record(
        made.id,
        [
            OutcomeInput(variant="variant_a", success=True, rating=5),
            OutcomeInput(variant="A", success=False, rating=2),
            OutcomeInput(variant="sim-balanced", success=True),
        ],
    )

    a, b = mm.experiments.report(made.id).analysis.results
    assert len({each.id for each in ids}) == 3
    assert (a.n_outcomes, a.n_successes, a.estimates["rating"].estimate) == (2, 1, 3.5)
    assert (b.n_outcomes, "rating" in b.estimates) == (1, False)


def test_ten_thousand_outcomes_at_once_keep_mean_and_variance(mm: ModelManager):
    made = mm.experiments.create("Tone", ["sim-fast", "sim-balanced"])
    ratings = np.random.default_rng(5).integers(1, 6, 10_000)
    mm.experiments.record(made.id, [OutcomeInput(variant=0, success=True, rating=float(r)) for r in ratings])

    kept = mm.experiments.reports.sums(made.id).of(1, 0, "rating")
    kept = kept.rebased(0.0)
    assert kept.mean_y == pytest.approx(ratings.mean())
    assert kept.m_yy == pytest.approx(((ratings - ratings.mean()) ** 2).sum())


def test_all_outcomes_of_a_request_or_none(mm: ModelManager):
    made = mm.experiments.create("Tone", ["sim-fast", "sim-balanced"])
    with pytest.raises(InvalidRequest, match="variant"):
        mm.experiments.record(made.id, [OutcomeInput(variant=0, success=True), OutcomeInput(variant="Z", success=True)])
    with pytest.raises(InvalidRequest, match="rating"):
        mm.experiments.record(made.id, [OutcomeInput(variant=0, success=True, rating=6)])

    assert mm.experiments.report(made.id).analysis.n_outcomes == 0


def test_a_stopped_experiment_takes_no_traffic(mm: ModelManager):
    made = mm.experiments.create("Tone", ["sim-fast", "sim-balanced"])
    mm.experiments.stop(made.id)

    for refused in (
        lambda: mm.experiments.start(made.id, "u", "Hi"),
        lambda: mm.experiments.stop(made.id),
        lambda: mm.experiments.traffic.play(made.id),
    ):
        with pytest.raises(Conflict):
            refused()


@pytest.mark.parametrize(
    ("name", "variants", "error"),
    [
        ("", ["sim-fast", "sim-fast"], InvalidRequest),
        ("x", ["sim-fast"], InvalidRequest),
        ("x", ["sim-fast", "nope"], ModelNotFound),
        ("x", ["sim-fast"] * 11, InvalidRequest),
    ],
)
def test_an_experiment_that_proves_nothing_is_refused(mm: ModelManager, name, variants, error):
    with pytest.raises(error):
        mm.experiments.create(name, variants)
    assert mm.experiments.all() == []


def test_playing_a_thousand_users_moves_the_numbers(mm: ModelManager):
    made = mm.experiments.create("Tone", ["sim-fast", "sim-balanced"])
    mm.experiments.traffic.play(made.id, 1000)

    report = mm.experiments.report(made.id)
    assert report.analysis.n_outcomes == 1000
    assert not report.analysis.is_ratio_mismatch
    assert sum(day.n_outcomes for day in mm.experiments.reports.days(made.id)) == 1000
    assert mm.experiments.differences() == []


def test_an_unknown_experiment_is_not_found(mm: ModelManager):
    with pytest.raises(NotFound):
        mm.experiments.report("e_none")


def test_a_variant_without_traffic_does_not_hold_the_decision_up():
    made = experiment(1, 1, 0)

    analysis = analyse(made, sums({0: (3000, 900), 1: (3000, 1100)}))

    assert decide(made, analysis).winner == 1
    assert analysis.confidence_level == pytest.approx(0.95)
