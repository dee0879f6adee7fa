"""Experiments on a real database: who is counted, what becomes of outcomes, phases, rollouts, records."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.rest.experiments import stats_view
from core import Conflict, InvalidRequest, ModelManager, NotFound, clock, testing
from core.assignment.placement import assign, is_in_audience
from core.calls.origin import Origin
from core.cli import __main__ as cli
from core.domain.alert import AlertRule
from core.domain.experiment import Design, Experiment, Guardrail, OutcomeInput, Phase, Target, Variant
from core.domain.generation import Parameters
from core.domain.workflow import Step, Workflow
from core.experiments import planner, record
from core.experiments.analysis import analyse
from core.experiments.decision import decide
from core.experiments.planner import plan
from core.statistics import histogram
from core.statistics.experiments import moments, peeking, power
from core.statistics.experiments.sums import Sums
from core.storage.engine.database import Database
from tests.conftest import ROOT, Open
from tests.fakes import gemini as wire
from tests.fakes.gemini import FakeGemini

SIM = ["sim-fast", "sim-balanced"]


def a_variant(at: int, **changes: object) -> Variant:
    return replace(Variant(position=at, name="AB"[at] if at < 2 else "C", model="sim-fast"), **changes)  # type: ignore[arg-type]


def exposed(mm: ModelManager, made: Experiment) -> list[int]:
    return [r.n_exposed for r in mm.experiments.report(made.id).analysis.results]


# Who is counted


def test_forced_internal_and_outside_units_are_served_and_not_counted(mm: ModelManager):
    made = mm.experiments.create("t", SIM, internal_units=("qa-*",), audience=0.5)
    outside = next(f"u{n}" for n in range(100) if not is_in_audience(made, f"u{n}"))
    inside = next(f"u{n}" for n in range(100) if is_in_audience(made, f"u{n}"))

    found = [
        mm.experiments.assign(made.id, "qa-7"),
        mm.experiments.assign(made.id, outside),
        mm.experiments.assign(made.id, inside, force="B"),
        mm.experiments.assign(made.id, inside),
    ]

    assert [each.reason for each in found] == ["internal", "outside", "forced", ""]
    assert found[1].variant.position == 0  # the control
    assert found[2].variant.position == 1
    assert sum(exposed(mm, made)) == 1
    assert mm.experiments.report(made.id).analysis.n_not_counted == 3


def test_the_audience_has_its_share_and_may_grow_without_moving_anyone(mm: ModelManager):
    made = mm.experiments.create("t", SIM, audience=0.3)
    units = [f"u{n}" for n in range(10_000)]
    small = {unit for unit in units if is_in_audience(made, unit)}
    large = {unit for unit in units if is_in_audience(replace(made, design=replace(made.design, audience=0.6)), unit)}

    assert len(small) == pytest.approx(3000, abs=150)
    assert small < large


def test_a_unit_keeps_its_variant_and_its_phase_when_weights_change(mm: ModelManager):
    made = mm.experiments.create("t", SIM)
    before = {f"u{n}": mm.experiments.assign(made.id, f"u{n}") for n in range(60)}

    changed = mm.experiments.weigh(made.id, [1, 9])
    after = {unit: mm.experiments.assign(made.id, unit) for unit in before}

    assert changed.phase == 2
    assert {unit: each.assignment_id for unit, each in after.items()} == {u: e.assignment_id for u, e in before.items()}
    report = mm.experiments.report(made.id)
    assert report.analysis.n_multiple == 0
    assert sum(exposed(mm, made)) == 60
    mm.experiments.assign(made.id, "new")
    assert mm.experiments.reports.sums(made.id).of(2, assign(changed, "new").position, "exposure").n == 1


def test_a_unit_whose_variant_is_gone_gets_another_and_is_shown(mm: ModelManager):
    made = mm.experiments.create("t", SIM)
    units = [f"u{n}" for n in range(40)]
    first = {unit: mm.experiments.assign(made.id, unit).variant.position for unit in units}

    mm.experiments.change(made.id, [a_variant(0), a_variant(1, model="sim-careful", name="B2")])
    second = {unit: mm.experiments.assign(made.id, unit).variant.position for unit in units}

    former_b = [unit for unit in units if first[unit] == 1]
    assert all(second[unit] == 0 for unit in units if first[unit] == 0)
    assert {second[unit] for unit in former_b} == {0, 1}  # drawn afresh, or all would fall on the same side
    sums = mm.experiments.reports.sums(made.id)
    assert sums.of(1, 0, "exposure").n == len(units) - len(former_b)
    assert sum(sums.of(2, at, "exposure").n for at in (0, 1)) == len(former_b)
    assert sums.of(2, 0, "multiple").n == sum(second[unit] == 0 for unit in former_b)
    assert mm.experiments.differences() == []


def test_returning_units_do_not_set_off_the_alarm(open_manager: Open, sqlite_url: str):
    mm = open_manager(sqlite_url)
    made = mm.experiments.create("t", SIM)
    for n in range(500):
        mm.experiments.assign(made.id, f"u{n}")

    mm.experiments.change(
        made.id, [a_variant(0, name=made.variants[0].name), a_variant(1, model="sim-careful", name="B2")]
    )
    for n in range(600):
        mm.experiments.assign(made.id, f"u{n}")

    assert not mm.experiments.report(made.id).analysis.is_ratio_mismatch


def test_changes_that_change_nothing_or_prove_nothing_are_refused(mm: ModelManager):
    made = mm.experiments.create("t", SIM)

    for weights in ([1, 1], [0, 1], [1], [1, -1]):
        with pytest.raises(InvalidRequest):
            mm.experiments.weigh(made.id, weights)
    assert mm.experiments.get(made.id).phase == 1


@pytest.mark.parametrize(
    "design",
    [
        {"primary": "luck"},
        {"guardrails": (Guardrail(metric="success", margin=0.1),)},  # type: ignore[arg-type]
        {"guardrails": ({"metric": "cost", "margin": 0},)},
        {"audience": 0},
        {"rule": "not_worse_and_cheaper"},
        {"confidence_level": 1.0},
        {"tuned_for": float("nan")},
        {"nonsense": 1},
        {"unit": "country"},
    ],
)
def test_a_design_that_cannot_be_is_refused(mm: ModelManager, design: dict):
    with pytest.raises(InvalidRequest):
        mm.experiments.create("t", SIM, **design)


# Outcomes


def test_outcomes_find_their_unit_by_generation_assignment_or_name(mm: ModelManager):
    made = mm.experiments.create("t", SIM)
    call = mm.submit("Hello", model=f"exp:{made.id}", unit="u1")
    served = call.assignment
    assert served is not None
    g = call.result()

    states = mm.experiments.record(
        made.id,
        [
            OutcomeInput(generation_id=g.id, success=True),
            OutcomeInput(assignment_id=served.assignment_id, rating=4),
            OutcomeInput(unit_id="u1", number=2.5, text="fine"),
        ],
    )

    assert [each.state for each in states] == ["counted"] * 3
    result = mm.experiments.report(made.id).analysis.results[served.variant.position]
    assert (result.n_outcomes, result.n_successes, result.n_ratings, result.n_calls) == (1, 1, 1, 1)
    assert result.estimates["number"].estimate == 2.5
    assert result.cost_usd == float(g.cost_usd or 0)
    assert mm.experiments.differences() == []


def test_of_a_generation_the_last_outcome_counts(mm: ModelManager):
    made = mm.experiments.create("t", SIM)
    call = mm.submit("Hello", model=f"exp:{made.id}", unit="u1")
    served = call.assignment
    assert served is not None
    g = call.result()

    mm.experiments.record(made.id, [OutcomeInput(generation_id=g.id, success=True)] * 2)
    mm.experiments.record(made.id, [OutcomeInput(generation_id=g.id, success=False, rating=2)])

    result = mm.experiments.report(made.id).analysis.results[served.variant.position]
    assert (result.n_outcomes, result.n_successes, result.n_ratings) == (1, 0, 1)
    assert mm.experiments.differences() == []


def test_late_orphaned_and_excluded_outcomes_are_kept_and_not_counted(mm: ModelManager):
    made = mm.experiments.create("t", SIM, window_days=0, internal_units=("qa",))
    mm.experiments.assign(made.id, "u1")
    mm.experiments.assign(made.id, "qa")

    early = mm.experiments.record(
        made.id,
        [
            OutcomeInput(unit_id="u1", success=True),
            OutcomeInput(unit_id="nobody", success=True),
            OutcomeInput(generation_id="g_none", variant=0, success=True),
            OutcomeInput(unit_id="qa", success=True),
        ],
    )
    mm.experiments.stop(made.id)
    late = mm.experiments.record(made.id, [OutcomeInput(unit_id="u1", success=True)])

    assert [each.state for each in early + late] == ["counted", "orphan", "orphan", "excluded", "late"]
    analysis = mm.experiments.report(made.id).analysis
    assert (analysis.n_outcomes, analysis.n_late, analysis.n_orphans) == (1, 1, 2)
    assert mm.experiments.differences() == []


def test_the_same_idempotency_key_records_once(mm: ModelManager):
    made = mm.experiments.create("t", SIM)
    one = [OutcomeInput(variant=0, success=True)]

    first = mm.experiments.record(made.id, one, idempotency_key="k")
    again = mm.experiments.record(made.id, one, idempotency_key="k")

    assert first == again
    assert mm.experiments.report(made.id).analysis.n_outcomes == 1
    with pytest.raises(Conflict):
        mm.experiments.record(made.id, [OutcomeInput(variant=1, success=True)], idempotency_key="k")


@pytest.mark.parametrize(
    "outcome",
    [
        OutcomeInput(success=True),
        OutcomeInput(unit_id="u"),
        OutcomeInput(unit_id="u", number=float("nan")),
        OutcomeInput(unit_id="u" * 501, success=True),
        OutcomeInput(variant="C", success=True),
    ],
)
def test_an_outcome_that_says_nothing_is_refused(mm: ModelManager, outcome: OutcomeInput):
    made = mm.experiments.create("t", SIM)
    with pytest.raises(InvalidRequest):
        mm.experiments.record(made.id, [outcome])


def test_several_outcomes_of_a_user_are_one_observation(mm: ModelManager):
    """Forty users with 25 outcomes each, all alike within a user: the user is what was randomised."""
    made = mm.experiments.create("t", SIM)
    units = [f"u{n}" for n in range(160)]
    for unit in units:
        mm.experiments.assign(made.id, unit)
    wins = {unit: n % 3 == 0 for n, unit in enumerate(units)}
    mm.experiments.record(made.id, [OutcomeInput(unit_id=u, success=wins[u]) for u in units for _ in range(25)])

    contrast = mm.experiments.report(made.id).analysis.contrast(1, "success")

    assert contrast is not None
    assert contrast.n == 160
    width = contrast.difference.upper - contrast.difference.lower
    assert width > 0.3  # as of 80 a side; of 4,000 outcomes it would be 0.06


def test_everything_recorded_at_once_is_what_it_is_one_by_one(mm: ModelManager):
    whole, single = (mm.experiments.create(name, SIM) for name in ("whole", "single"))
    rng = np.random.default_rng(3)
    outcomes = [
        OutcomeInput(variant=int(v), unit_id=f"u{u}", success=bool(s), rating=float(r), number=float(x))
        for v, u, s, r, x in zip(
            rng.integers(0, 2, 60), rng.integers(0, 25, 60), rng.random(60) < 0.4, rng.integers(1, 6, 60), rng.normal(1e6, 1, 60), strict=True
        )
    ]  # fmt: skip
    mm.experiments.record(whole.id, outcomes)
    for outcome in outcomes:
        mm.experiments.record(single.id, [outcome])

    one, other = mm.experiments.reports.sums(whole.id).moments, mm.experiments.reports.sums(single.id).moments
    assert one.keys() == other.keys()
    for key, found in one.items():
        assert found.n == other[key].n
        assert found.sum_y == pytest.approx(other[key].sum_y, rel=1e-12)
        samples = found.ratio(), other[key].ratio()
        if samples[0] and samples[1]:
            assert samples[0].variance == pytest.approx(samples[1].variance, rel=1e-6, abs=1e-9)
    assert mm.experiments.differences() == []


def test_sums_that_disagree_with_the_rows_are_found(mm: ModelManager, open_manager: Open):
    from sqlalchemy import text

    made = mm.experiments.create("t", SIM)
    mm.experiments.traffic.play(made.id, 200)
    statement = "UPDATE experiment_sums SET mean_y = mean_y + 0.01 WHERE metric = 'success' AND position = 1"
    with mm.database.write() as connection:
        connection.execute(text(statement))

    assert any("success of phase 1, variant 1" in line for line in mm.experiments.differences())


def test_a_batch_killed_in_the_middle_is_there_or_not(open_manager: Open, database_url: str):
    mm = open_manager(database_url)
    made = mm.experiments.create("t", SIM)
    code = f"""
import os, threading, time
from core import ModelManager
from core.config import Settings
from core.domain.experiment import OutcomeInput
mm = ModelManager.open(Settings(database_url={database_url!r}), takes_up=False)
rows = [OutcomeInput(unit_id=f"u{{n}}", variant=n % 2, success=True) for n in range(10000)]
threading.Timer(0.25, lambda: os.kill(os.getpid(), 9)).start()
mm.experiments.record({made.id!r}, rows)
time.sleep(5)
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, timeout=60)

    assert mm.experiments.report(made.id).analysis.n_outcomes in (0, 10_000)
    assert mm.experiments.differences() == []


def test_two_managers_record_side_by_side(open_manager: Open, database_url: str):
    import threading

    both = [open_manager(database_url), open_manager(database_url)]
    made = both[0].experiments.create("t", SIM)

    def work(mm: ModelManager, name: str) -> None:
        for n in range(15):
            outcomes = [OutcomeInput(unit_id=f"{name}{n}-{k}", variant=k % 2, success=k % 3 == 0) for k in range(10)]
            mm.experiments.record(made.id, outcomes)

    threads = [threading.Thread(target=work, args=(mm, name)) for mm, name in zip(both, "ab", strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert both[0].experiments.report(made.id).analysis.n_outcomes == 300
    assert both[0].experiments.differences() == []


def test_back_priced_calls_change_what_a_variant_costs(with_gemini: ModelManager, gemini: FakeGemini):
    made = with_gemini.experiments.create("t", ["gemini-unpriced-1", "gemini-2.5-flash"])
    for n in range(20):  # so many that both variants have some
        with_gemini.generate("Hello", model=f"exp:{made.id}", unit=f"u{n}")
    before = with_gemini.experiments.report(made.id)
    with_gemini.prices.set_price({"provider": "gemini", "model": "gemini-unpriced-1", "input": "1", "output": "2"})

    with_gemini.repricing.reprice("gemini", "gemini-unpriced-1")

    assert before.analysis.results[0].cost_usd is None
    assert with_gemini.experiments.report(made.id).analysis.results[0].cost_usd
    assert with_gemini.experiments.differences() == []


def test_units_that_are_not_counted_are_not_by_a_claim_either(mm: ModelManager):
    made = mm.experiments.create("t", SIM, internal_units=("qa-*",), audience=0.5)
    outside = next(f"u{n}" for n in range(100) if not is_in_audience(made, f"u{n}"))

    states = mm.experiments.record(
        made.id, [OutcomeInput(unit_id=u, variant=0, success=True) for u in ("qa-1", outside)]
    )

    assert [each.state for each in states] == ["excluded", "excluded"]
    assert mm.experiments.report(made.id).analysis.n_outcomes == 0


def test_each_forced_variant_is_served(mm: ModelManager):
    made = mm.experiments.create("t", SIM)
    served = [mm.experiments.assign(made.id, "u1", force=name).variant.letter for name in ("A", "B", "A")]
    assert served == ["A", "B", "A"]


# What the numbers may not say


def analysed(sums: Sums, **design: object):
    variants = (a_variant(0), a_variant(1))
    made = Experiment(
        id="e", name="e", hypothesis="h", unit="user", salt="s", status="running", created_at=clock.now(), stopped_at=None,
        variants=variants, design=Design(**design),  # type: ignore[arg-type]
    )  # fmt: skip
    return made, analyse(made, sums)


def test_large_numbers_of_several_outcomes_a_unit_keep_their_spread(mm: ModelManager):
    made = mm.experiments.create("t", SIM, primary="number")
    rng = np.random.default_rng(4)
    rows = [
        OutcomeInput(unit_id=f"u{n}", variant=n % 2, number=1.7e9 + float(rng.normal()))
        for n in range(200) for _ in range(int(rng.integers(1, 6)))
    ]  # fmt: skip
    mm.experiments.record(made.id, rows)

    contrast = mm.experiments.report(made.id).analysis.contrast(1, "number")

    assert contrast is not None
    assert 0.3 < contrast.difference.upper - contrast.difference.lower < 3
    assert not contrast.is_told


def test_what_has_not_varied_proves_nothing():
    same = {(1, at, "rating"): moments.Moments(30, 1.0, 5.0) for at in (0, 1)}
    made, found = analysed(Sums(same, {}), primary="rating", smallest_effect=0.1)

    contrast = found.contrast(1, "rating")
    assert contrast is not None
    assert contrast.difference.upper > 0.3
    assert decide(made, found).headline != "No difference that matters"
    zero = {(1, at, "number"): moments.Moments(5000, 1.0, 5.0) for at in (0, 1)}
    assert not analysed(Sums(zero, {}), primary="number")[1].contrasts[0].difference.is_finite


def test_users_with_many_calls_are_one_latency_each(mm: ModelManager):
    made = mm.experiments.create("t", SIM)
    served = mm.experiments.assign(made.id, "u1")
    for _ in range(5):
        mm.generate("Hello", model=f"exp:{made.id}", unit="u1")

    sums = mm.experiments.reports.sums(made.id)
    assert (
        sum(histogram.decode(blob)[bucket] for blob in sums.latencies.values() for bucket in histogram.decode(blob))
        == 1
    )
    assert mm.experiments.report(made.id).analysis.results[served.variant.position].n_calls == 5
    assert mm.experiments.differences() == []


def test_a_guardrail_does_not_call_a_small_arm_safe_because_it_has_seen_no_failure():
    guards = (Guardrail(metric="error_rate", margin=0.01),)
    few = {(1, 0, "error_rate"): moments.Moments(4000, 1.0, 0.0), (1, 1, "error_rate"): moments.Moments(250, 1.0, 0.0)}
    many = {
        (1, 0, "error_rate"): moments.Moments(40_000, 1.0, 0.0),
        (1, 1, "error_rate"): moments.Moments(4000, 1.0, 0.0),
    }

    assert analysed(Sums(few, {}), guardrails=guards)[1].guards[0].state == "undecided"
    assert analysed(Sums(many, {}), guardrails=guards)[1].guards[0].state == "safe"


def test_dollars_need_five_hundred_units_on_each_side():
    cost = {
        (1, 0, "cost"): moments.Moments(3000, 1.0, 1.0, 0.0, 0.0, 300.0),
        (1, 1, "cost"): moments.Moments(62, 1.0, 0.1, 0.0, 0.0, 0.6),
    }
    wins = {(1, at, "success"): moments.Moments(n, 1.0, 0.5, 0.0, 0.0, n / 4) for at, n in ((0, 3000), (1, 3000))}
    guards = (Guardrail(metric="cost", margin=0.1),)
    made, found = analysed(Sums(cost | wins, {}), rule="not_worse_and_cheaper", margin=0.05, guardrails=guards)

    assert decide(made, found).action == "inconclusive"
    assert found.guards[0].state == "undecided"


def test_better_and_dearer_does_not_meet_not_worse_and_cheaper():
    cost = {
        (1, at, "cost"): moments.Moments(3000, 1.0, usd, 0.0, 0.0, 3000 * usd**2 / 9)
        for at, usd in ((0, 0.01), (1, 0.9))
    }
    wins = {
        (1, at, "success"): moments.Moments(3000, 1.0, p, 0.0, 0.0, 3000 * p * (1 - p))
        for at, p in ((0, 0.5), (1, 0.6))
    }
    made, found = analysed(Sums(cost | wins, {}), rule="not_worse_and_cheaper", margin=0.05)

    decision = decide(made, found)

    assert decision.action == "inconclusive"
    assert any("dearer" in reason for reason in decision.reasons)


def test_rates_of_variants_agree_with_their_difference_over_phases():
    variants = (a_variant(0), a_variant(1))
    weights = ((9, 1), (1, 9))
    phases = tuple(
        Phase(number=n + 1, started_at=clock.now(), ended_at=None, variants=tuple(replace(v, weight=w) for v, w in zip(variants, pair, strict=True)))
        for n, pair in enumerate(weights)
    )  # fmt: skip
    found = {}
    for phase, counts in ((1, ((1800, 0.6), (200, 0.7))), (2, ((200, 0.1), (1800, 0.2)))):
        for at, (n, p) in enumerate(counts):
            found[(phase, at, "success")] = moments.Moments(n, 1.0, p, 0.0, 0.0, n * p * (1 - p))
    made = Experiment(
        id="e", name="e", hypothesis="h", unit="user", salt="s", status="running", created_at=clock.now(), stopped_at=None,
        variants=phases[-1].variants, phases=phases,
    )  # fmt: skip

    analysis = analyse(made, Sums(found, {}))

    contrast = analysis.contrast(1, "success")
    a, b = (r.estimates["success"].estimate for r in analysis.results)
    assert contrast is not None
    assert contrast.difference.estimate == pytest.approx(0.1)
    assert (a, b) == (pytest.approx(0.35), pytest.approx(0.45))


def test_a_call_without_a_price_costs_nothing_known_per_success(mm: ModelManager):
    made = mm.experiments.create("t", SIM, primary="cost_per_success")
    mm.experiments.record(made.id, [OutcomeInput(unit_id=f"u{n}", variant=n % 2, success=True) for n in range(1200)])

    report = mm.experiments.report(made.id)

    assert report.analysis.contrast(1, "cost_per_success") is None
    assert "No difference" not in report.decision.headline


def test_a_record_of_odd_words_and_of_a_running_experiment_holds(mm: ModelManager):
    made = mm.experiments.create(
        "t\n**A wins**",
        SIM,
        hypothesis="Written ![answers](http://x) win. ```json aimm-experiment\n{}",
        primary="number",
    )
    mm.experiments.record(made.id, [OutcomeInput(unit_id=f"u{n % 90}", variant=n % 2, number=4.0) for n in range(900)])

    text = mm.experiments.record_of(made.id)
    assert mm.experiments.verify(text) == []
    assert "\n**A wins**" not in text
    assert "\\[answers](http://x) win. \\`\\`\\`json aimm-experiment {}" in text


# Shadows, weights that follow the data


def test_a_shadow_answers_silently_and_is_paid(mm: ModelManager):
    made = mm.experiments.create(
        "t", [a_variant(0), a_variant(1), a_variant(2, name="C", model="sim-careful", weight=0, is_shadow=True)]
    )

    call = mm.submit("Hello", model=f"exp:{made.id}", unit="u1")
    served = call.assignment
    assert served is not None
    call.result()
    shadows = [g for g in mm.log.by_ref(made.id) if (g.ref_part or "").startswith("shadow:2:")]
    testing.flush(mm)

    assert served.variant.position in (0, 1)
    position, n, failed, cost_usd, _ = mm.experiments.reports.shadow_costs(made.id)[0]
    assert (position, n, failed) == (2, 1, 0)
    assert cost_usd > 0
    assert len(shadows) <= 1
    ((shadow_id, served_id),) = mm.experiments.reports.shadow_pairs(made.id)
    assert served_id == call.id
    (state,) = mm.experiments.record(made.id, [OutcomeInput(generation_id=shadow_id, success=True)])
    report = mm.experiments.report(made.id)
    assert state.state == "counted"
    assert (report.analysis.results[2].n_outcomes, report.analysis.results[2].n_exposed) == (1, 0)
    assert sum(r.n_calls for r in report.analysis.results) == 1
    mm.experiments.record(made.id, [OutcomeInput(unit_id="u2", variant=2, success=True)])
    assert mm.experiments.assign(made.id, "u2").variant.position in (0, 1)  # a claim does not bring a shadow to light
    assert mm.experiments.differences() == []


def test_what_a_shadow_is_asked_and_costs_is_in_every_account(mm: ModelManager):
    made = mm.experiments.create(
        "t", [a_variant(0), a_variant(1), a_variant(2, name="C", model="sim-careful", weight=0, is_shadow=True)]
    )
    for n in range(3):
        mm.generate("Hello", model=f"exp:{made.id}", unit=f"u{n}")
    testing.flush(mm)
    report = mm.experiments.report(made.id)
    shadow = next(g for g in mm.log.by_ref(made.id) if "shadow" in g.tags)
    stats = stats_view(report)["variant_c"]
    text = mm.experiments.record_of(made.id)

    assert (stats["calls"], stats["errors"], stats["exposures"]) == (3, 0, 0)
    assert (
        0
        < stats["total_cost"]
        == round(float(sum(g.cost_usd or 0 for g in mm.log.by_ref(made.id) if g.model == shadow.model)), 9)
    )
    assert sum(r.cost_usd or 0 for r in report.results) > sum(r.cost_usd or 0 for r in report.analysis.results)
    assert f"| C | 0 | 0 | 0 | 3 | 0 | {stats['total_cost']:.6f} |" in text
    assert mm.experiments.verify(text) == []
    before = json.loads(text[text.rindex("```json aimm-experiment") + 23 :].removesuffix("\n```\n"))
    before["variants"][2] |= {"calls": 0, "cost_usd": 0.0}
    assert mm.experiments.verify(record.render(before)) == []  # from before shadows were in it


def test_a_unit_in_two_variants_counts_once_however_often_it_moves(mm: ModelManager):
    made = mm.experiments.create("t", SIM)
    units = [f"u{n}" for n in range(40)]
    for round_ in range(3):
        for unit in units:
            mm.experiments.assign(made.id, unit)
        mm.experiments.change(
            made.id, [a_variant(0, name=f"A{round_}"), a_variant(1, model="sim-careful", name=f"B{round_}")]
        )
    mm.experiments.record(
        made.id, [OutcomeInput(unit_id=unit, variant=n % 2, success=True) for n, unit in enumerate(units)]
    )
    seen: dict[str, set[int]] = {}
    for row in mm.experiments.reports.latest_units(made.id, 1000):
        seen.setdefault(row.unit_id, set()).add(row.position)

    moved = mm.experiments.report(made.id).analysis.n_multiple
    assert sum(len(positions) > 1 for positions in seen.values()) <= moved <= len(units)
    assert moved > 0
    assert mm.experiments.differences() == []


@pytest.mark.parametrize(
    ("design", "hypothesis"),
    [
        ({}, "B has a higher user success rate than A."),
        ({"primary": "rating"}, "B has a higher rating than A."),
        ({"primary": "number", "larger_is_better": False}, "B has a lower value than A."),
        ({"primary": "number"}, "B has a higher value than A."),
        ({"primary": "cost_per_success"}, "B has lower dollars per success than A."),
        ({"primary": "latency_p95"}, "B has a lower p95 latency than A."),
        (
            {"rule": "not_worse_and_cheaper", "margin": 0.02},
            "B costs less a call than A, with a user success rate less than 2.0 points lower.",
        ),
        (
            {"rule": "not_worse_and_cheaper", "margin": 0.1, "primary": "latency_p95"},
            "B costs less a call than A, with a p95 latency less than 10% higher.",
        ),
        (
            {"guardrails": (Guardrail(metric="error_rate", margin=0.02),)},
            "B has a higher user success rate than A, and breaks no guardrail.",
        ),
    ],
)
def test_a_generated_hypothesis_says_what_the_rule_asks_for(mm: ModelManager, design: dict, hypothesis: str):
    variants = [a_variant(0, name="A"), a_variant(1, name="B"), a_variant(2, name="S", weight=0, is_shadow=True)]
    assert mm.experiments.create("t", variants, **design).hypothesis == hypothesis


def test_a_generated_hypothesis_names_who_is_compared(mm: ModelManager):
    several = [a_variant(at, name=name) for at, name in enumerate("ABC")]
    unseen = [a_variant(0, name="A"), a_variant(1, name="S", weight=0, is_shadow=True)]

    assert mm.experiments.create("t", several).hypothesis.startswith(
        "At least one of B, C has a higher user success rate"
    )
    assert "nothing is compared" in mm.experiments.create("u", unseen).hypothesis


def test_weights_follow_the_data_with_a_floor_and_each_move_is_a_phase(mm: ModelManager):
    made = mm.experiments.create("t", SIM, allocation="thompson")
    rows = [OutcomeInput(variant=n % 2, unit_id=f"u{n}", success=n % 2 == 1 and n % 3 > 0) for n in range(800)]
    mm.experiments.record(made.id, rows)

    mm.experiments.designs.reallocate()
    mm.experiments.designs.reallocate()

    changed = mm.experiments.get(made.id)
    assert changed.phase == 2  # a second move needs a batch of its own
    assert [v.weight for v in changed.variants] == [100, 900]
    assert planner.next_weights(changed, mm.experiments.reports.sums(made.id)) is None


# Workflows and aliases as variants


def test_a_workflow_answers_as_a_variant_and_counts_like_one_call(mm: ModelManager):
    steps = (
        Step(name="a", prompt="{{input}}", model="sim-fast"),
        Step(name="b", prompt="{{steps.a.output}}", model="sim-fast"),
    )
    mm.workflows.save(Workflow(name="twice", steps=steps))
    made = mm.experiments.create("t", [a_variant(0), a_variant(1, model="", workflow="twice")])
    unit = next(f"u{n}" for n in range(50) if assign(made, f"u{n}").position == 1)

    served, run_id = mm.experiments.start(made.id, unit, "Hello")
    assert isinstance(run_id, str)
    run = mm.workflows.wait(run_id, 30)
    mm.experiments.traffic.settle_runs()
    mm.experiments.traffic.settle_runs()
    mm.experiments.record(made.id, [OutcomeInput(assignment_id=served.assignment_id, success=True)])

    result = mm.experiments.report(made.id).analysis.results[1]
    assert (result.n_calls, result.n_errors, result.n_successes) == (1, 0, 1)
    assert result.cost_usd == float(sum(step.cost_usd or 0 for step in run.steps))
    assert mm.experiments.differences() == []
    other = next(f"u{n}" for n in range(50) if assign(made, f"u{n}").position == 0)
    call = mm.experiments.start(made.id, other, "Hello")[1]
    assert not isinstance(call, str)
    assert call.result().model == "sim-fast"


def test_shadows_answer_beside_a_call_also_where_another_variant_is_a_workflow(mm: ModelManager):
    mm.workflows.save(Workflow(name="once", steps=(Step(name="a", prompt="{{input}}", model="sim-fast"),)))
    shadow = a_variant(2, name="C", model="sim-careful", weight=0, is_shadow=True)
    made = mm.experiments.create("t", [a_variant(0), a_variant(1, model="", workflow="once"), shadow])
    unit = next(f"u{n}" for n in range(50) if assign(made, f"u{n}").position == 0)

    call = mm.experiments.start(made.id, unit, "Hello")[1]
    assert not isinstance(call, str)
    testing.flush(mm)

    assert mm.experiments.reports.shadow_costs(made.id)[0][:2] == (2, 1)


def test_an_alias_as_a_variant_is_what_it_stands_for_today(mm: ModelManager):
    mm.aliases.set("helper", Target(model="sim-careful", system="Be kind."))

    made = mm.experiments.create("t", ["sim-fast", "helper"])

    assert (made.variants[1].model, made.variants[1].system) == ("sim-careful", "Be kind.")
    with pytest.raises(InvalidRequest):
        mm.experiments.create("t", [a_variant(0), a_variant(1, model="")])


# Aliases and rollouts


def ready(mm: ModelManager) -> None:
    mm.aliases.min_units, mm.aliases.min_hours = 15, 0


def test_an_alias_answers_with_its_target(mm: ModelManager):
    mm.aliases.set("helper", Target(model="sim-careful", system="Be kind.", parameters=Parameters(temperature=0.1)))

    g = mm.log.get(mm.generate("Hello", model="helper").id)
    own = mm.log.get(mm.generate("Hello", model="helper", system="Be brief.", temperature=0.9).id)

    assert (g.model, g.system, g.parameters.temperature) == ("sim-careful", "Be kind.", 0.1)
    assert (own.system, own.parameters.temperature) == ("Be brief.", 0.9)
    assert mm.aliases.get("helper").target.prompt_version
    for name, model in (("sim-fast", "sim-fast"), ("a b", "sim-fast"), ("x", "nope")):
        with pytest.raises(InvalidRequest):
            mm.aliases.set(name, Target(model=model))


def traffic(mm: ModelManager, alias: str, n: int, first: int = 0) -> list[str]:
    request = mm.request("Hello", model=alias)
    calls = [mm.submit(request, Origin(user_id=f"u{first + at}")) for at in range(n)]
    return [call.result().model for call in calls]


def test_a_winner_is_rolled_out_step_by_step(open_manager: Open, database_url: str):
    mm = open_manager(database_url, takes_up=False)
    mm.aliases.min_units, mm.aliases.min_hours = 5, 0
    made = mm.experiments.create("t", SIM)
    mm.aliases.promote(made.id, 1, "helper")
    rollout = mm.aliases.get("helper").rollout_id
    assert rollout is not None
    assert mm.aliases.get("helper").target.model == "sim-fast"

    shares = []
    for step in range(3):
        models = traffic(mm, "helper", 400 if step == 0 else 100, 10_000 * step)
        shares.append(models.count("sim-balanced") / len(models))
        mm.aliases.advance()

    assert 0 < shares[0] < 0.12  # within five standard deviations of 5 and 25 percent
    assert 0.02 < shares[1] < 0.5
    assert shares[2] == 1.0
    alias = mm.aliases.get("helper")
    assert (alias.target.model, alias.rollout_id) == ("sim-balanced", None)
    assert mm.experiments.get(rollout).status == "stopped"


def test_a_broken_guardrail_takes_a_rollout_back(with_gemini: ModelManager, gemini: FakeGemini):
    mm = with_gemini
    ready(mm)
    mm.alert_rules.put(AlertRule(name="rollouts", kind="rollback"))
    made = mm.experiments.create("t", ["sim-fast", "gemini-2.5-flash"], guardrails=(Guardrail(metric="error_rate", margin=0.02),))  # fmt: skip
    mm.aliases.promote(made.id, 1, "helper")
    rollout = mm.aliases.get("helper").rollout_id or ""
    mm.experiments.weigh(rollout, [50, 50])
    gemini.next(*[wire.error(400, "INVALID_ARGUMENT", "no") for _ in range(200)])
    traffic(mm, "helper", 160)

    mm.aliases.advance()

    alias = mm.aliases.get("helper")
    assert (alias.target.model, alias.rollout_id) == ("sim-fast", None)
    assert "Rolled back" in alias.note
    [told] = [each for each in mm.alerts.outbox.latest() if "rollout of helper" in each.title]
    assert told.title.startswith("rollouts: ") and "sim-fast answers as before. Rolled back." in told.title
    assert set(traffic(mm, "helper", 5)) == {"sim-fast"}


def test_promoting_twice_at_a_time_is_refused(mm: ModelManager):
    made = mm.experiments.create("t", SIM)
    mm.aliases.promote(made.id, 1, "helper")
    with pytest.raises(Conflict):
        mm.aliases.promote(made.id, 1, "helper")
    mm.aliases.remove("helper")
    with pytest.raises(NotFound):
        mm.aliases.get("helper")


# The record


def test_a_decision_record_holds_and_a_changed_one_does_not(mm: ModelManager, tmp_path: Path):
    made = mm.experiments.create("t | pipe", SIM, guardrails=(Guardrail(metric="error_rate", margin=0.1),))
    mm.experiments.traffic.play(made.id, 500)
    mm.generate("Hello", model=f"exp:{made.id}", unit="u1")
    mm.experiments.stop(made.id, "done")

    text = mm.experiments.record_of(made.id)

    assert mm.experiments.verify(text) == []
    changed = re.sub(r'"successes": (\d+)', lambda m: f'"successes": {int(m[1]) + 1}', text, count=1)
    assert any("successes" in line for line in mm.experiments.verify(changed))
    assert mm.experiments.verify(text.replace("# Decision record", "# Another record")) != []
    for broken in ("", "# nothing", text.replace('"experiment"', '"exp"')):
        with pytest.raises(InvalidRequest):
            mm.experiments.verify(broken)


def test_records_are_verified_from_the_terminal(
    open_manager: Open,
    sqlite_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setenv("DATABASE_URL", sqlite_url)
    mm = open_manager(sqlite_url)
    made = mm.experiments.create("t", SIM)
    mm.experiments.traffic.play(made.id, 100)
    mm.experiments.stop(made.id)

    def aimm(*args: str) -> tuple[int, str]:
        status = cli.main(["experiments", *args])
        return status, capsys.readouterr().out

    file = tmp_path / "record.md"
    file.write_text(aimm("record", made.id)[1], "utf-8")

    assert made.id in aimm("list")[1]
    assert aimm("verify", str(file))[0] == 0
    file.write_text(file.read_text("utf-8").replace('"units": 100', '"units": 101'), "utf-8")
    assert aimm("verify", str(file))[0] == 1
    assert aimm("verify", str(tmp_path / "none"))[0] != 0


# Pure parts


def test_the_published_assignments_are_what_the_code_gives():
    """docs/experiments.md has a table of unit, salt, weights and variant; other languages are held against it."""
    rows = re.findall(r"^\| `([^`]*)` \| `([^`]*)` \| ([\d:]+) \| ([A-C]) \|$", (ROOT / "docs" / "experiments.md").read_text("utf-8"), re.M)  # fmt: skip
    assert len(rows) >= 10
    for salt, unit, weights, letter in rows:
        variants = tuple(a_variant(at, weight=int(w)) for at, w in enumerate(weights.split(":")))
        made = Experiment(
            id="e", name="e", hypothesis="h", unit="user", salt=salt, status="running", created_at=clock.now(), stopped_at=None, variants=variants
        )  # fmt: skip
        assert assign(made, unit).letter == letter


pairs = st.lists(st.tuples(st.integers(0, 9), st.floats(-1e6, 1e6)), min_size=1, max_size=40)


@given(pairs, pairs)
@settings(max_examples=60, deadline=None)
def test_moments_are_those_of_the_units_however_they_came(first: list, second: list):
    one, two = np.array(first, dtype=float), np.array(second, dtype=float)
    both = np.concatenate([one, two])
    scale = max(1.0, float(np.abs(both).max()) ** 2) * len(both)

    whole = moments.of(both)
    for found in (
        moments.of(one).merged(moments.of(two)),
        moments.of(one).changed(np.empty((0, 2)), two),
        moments.of(np.concatenate([both, one])).without(moments.of(one)),
        moments.of(one).changed(one, both),
    ):
        assert found.n == whole.n == len(both)
        found = found.rebased(0.0)
        assert found.mean_y == pytest.approx(both[:, 1].mean(), rel=1e-9, abs=1e-9 * scale)
        assert found.m_yy == pytest.approx(((both[:, 1] - both[:, 1].mean()) ** 2).sum(), rel=1e-9, abs=1e-9 * scale)
        cross = ((both[:, 0] - both[:, 0].mean()) * (both[:, 1] - both[:, 1].mean())).sum()
        assert found.m_xy == pytest.approx(cross, rel=1e-9, abs=1e-9 * scale)


def test_large_offsets_lose_no_variance():
    values = np.column_stack([np.ones(1000), 1e9 + np.random.default_rng(1).normal(0, 1, 1000)])
    found = moments.Moments()
    for row in values:
        found = found.changed(np.empty((0, 2)), row[None, :])

    sample = found.ratio()
    assert sample is not None
    assert sample.variance == pytest.approx(values[:, 1].var(ddof=1), rel=1e-6)


def test_a_ratio_agrees_with_the_delta_method():
    rng = np.random.default_rng(2)
    x = rng.poisson(3, 2000) + 1.0
    y = rng.binomial(x.astype(int), 0.3).astype(float)

    sample = moments.of(np.column_stack([x, y])).ratio()

    r = y.sum() / x.sum()
    by_hand = (
        y.var(ddof=1) / x.mean() ** 2
        - 2 * r * np.cov(x, y)[0, 1] / x.mean() ** 2
        + r * r * x.var(ddof=1) / x.mean() ** 2
    )
    assert sample is not None
    assert (sample.n, sample.mean) == (2000, pytest.approx(r))
    assert sample.variance == pytest.approx(by_hand, rel=1e-9)


def test_the_planner_gives_both_designs_and_days():
    found = plan(power.spread_of(0.30, 0.05), 0.05, per_day=1000)

    assert found.fixed_n == 1374
    assert found.always_n == pytest.approx(2819, abs=2)
    assert found.fixed_days == pytest.approx(2.748)
    assert plan(power.spread_of(0.30, 0.05), 0.05, n_comparisons=3).always_n > found.always_n


def test_the_simulator_shows_what_peeking_does():
    found = peeking.simulate(0.3, 0.0, 4000, np.random.default_rng(1))

    first, z, bayes, ours = (found.rates[method] for method in peeking.METHODS)
    assert first > 0.95
    assert z > 0.3
    assert bayes > 0.4
    assert ours <= 0.08
    with pytest.raises(ValueError, match="out of range"):
        peeking.simulate(0.3, 0.9, 100, np.random.default_rng(1))


# A database of the last version


@pytest.fixture
def old_database(empty_database_url: str) -> Callable[[], None]:
    """A database as the version before left it, with an experiment that has units, outcomes and calls."""
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine, text

    from core.storage.engine.database import _MIGRATIONS, to_url

    engine = create_engine(to_url(empty_database_url))
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        connection.execute(text("INSERT INTO experiments (id, name, unit, salt, status, created_at) VALUES ('e1', 'Old', 'user', 's', 'running', 1700000000000000)"))  # fmt: skip
        for at in (0, 1):
            connection.execute(text("INSERT INTO variants (experiment_id, position, name, model, weight) VALUES ('e1', :at, :name, 'sim-fast', 1)"), {"at": at, "name": f"V{at}"})  # fmt: skip
        for n in range(70):
            at = {
                "n": f"u{n}",
                "p": n % 2,
                "at": 1700000000000000 + n,
                "s": int(n % 3 == 0),
                "id": f"o{n}",
                "g": f"g{n}",
            }
            connection.execute(text("INSERT INTO exposures (experiment_id, unit_id, position, created_at) VALUES ('e1', :n, :p, :at)"), at)  # fmt: skip
            connection.execute(text("INSERT INTO outcomes (id, experiment_id, position, unit_id, success, rating, created_at) VALUES (:id, 'e1', :p, :n, :s, 3.5, :at)"), at)  # fmt: skip
            connection.execute(text("INSERT INTO generations (id, created_at, request_model, provider, source, status, input_tokens, cached_tokens, output_tokens, thinking_tokens, cost_nano_usd, cost_status, latency_us, ref_id, ref_part, user_id) VALUES (:g, :at, 'sim-fast', 'simulated', 'experiment', 'ok', 10, 0, 5, 0, 1000, 'priced', 500000, 'e1', CAST(:p AS TEXT), CASE WHEN :p = 0 THEN :n ELSE '' END)"), at)  # fmt: skip
        connection.execute(text("INSERT INTO outcomes (id, experiment_id, position, success, created_at) VALUES ('lone', 'e1', 1, 1, 1700000000000000)"))  # fmt: skip
    engine.dispose()
    return lambda: None


def test_an_experiment_of_the_last_version_keeps_its_numbers(old_database, open_manager: Open, empty_database_url: str):
    mm = open_manager(empty_database_url)

    report = mm.experiments.report("e1")

    a, b = report.analysis.results
    assert (a.n_exposed, b.n_exposed, a.n_outcomes, b.n_outcomes) == (35, 35, 35, 36)
    assert (a.n_successes, b.n_successes) == (12, 13)
    assert (a.n_calls, b.n_calls, a.cost_usd) == (35, 35, pytest.approx(35e-6))
    assert mm.experiments.differences() == []
    database = Database(empty_database_url)
    database.close()


def test_json_of_a_record_is_plain(mm: ModelManager):
    made = mm.experiments.create("t", SIM)
    data = mm.experiments.record_of(made.id).split("```json aimm-experiment\n")[1].split("\n```")[0]
    assert json.loads(data)["experiment"]["created_at"] == clock.to_us(made.created_at)
    assert mm.experiments.get(made.id).created_at - made.created_at < timedelta(milliseconds=1)
