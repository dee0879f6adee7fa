"""Verdicts and gates: what is compared with what, what is said, and what a process exits with."""

import dataclasses
import math
import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from core import InvalidRequest
from core.domain.evaluation.run import Cell, CheckScore, Contestant, EvaluationRun, Gate, Plan, Requirement, placed
from core.evaluation.gate import Opponents, judge
from core.evaluation.report import as_junit, as_markdown
from core.evaluation.verdict import counterpart, sentence, verdict
from core.statistics.paired import mcnemar


def cells(grades: str, *, contestant: int = 0, first: int = 0, repetitions: int = 1, **more: Any) -> list[Cell]:
    """A cell a letter: p(ass), f(ail), e(rror), n(ot run), u(nchecked); `repetitions` letters an item."""
    found = []
    for at, letter in enumerate(grades):
        item, repetition = divmod(at, repetitions)
        state: Any = {"e": "error", "n": "skipped"}.get(letter, "answered")
        grade: Any = {"p": "pass", "f": "fail", "u": "unchecked"}.get(letter, "")
        place = {"item": item, "contestant": contestant, "repetition": repetition}
        cell = Cell(
            **place, row_id=f"r{first + item}", state=state, grade=grade, latency_s=1.0, cost_usd=Decimal("0.01")
        )
        found.append(dataclasses.replace(cell, **more))
    return found


def run(*contestants: Contestant, gate: Gate | None = None, **more: Any) -> EvaluationRun:
    plan = Plan(name="suite", dataset="cases@1", contestants=placed(contestants or (a("A"), a("B"))), gate=gate)
    told = {"status": "finished", "created_at": datetime.now(UTC), "n_items": 1, "n_cells": 1, **more}
    return EvaluationRun(id="ev_1", plan=plan, **told)


def a(name: str = "", model: str = "sim-fast", prompt: str = "") -> Contestant:
    return Contestant(position=0, name=name, model=model, prompt=prompt)


NOT_WORSE = Gate(require=(Requirement(not_worse_than_points=2),))


def test_items_are_paired_by_their_rows_and_sorted_by_damage():
    found = verdict(cells("ppffp"), cells("pfpff", contestant=1))

    assert [(pair.row_id, pair.change) for pair in found.items if pair.change != "same"] == [
        ("r1", "broken"), ("r4", "broken"), ("r2", "fixed"),
    ]  # fmt: skip
    assert found.comparison is not None
    assert found.comparison.p_value == pytest.approx(mcnemar(2, 1).mid_p)


def test_rows_of_one_run_only_are_named_and_left_out():
    found = verdict(cells("ppp"), cells("ppp", first=1))

    assert (found.only_baseline, found.only_candidate, len(found.items)) == (("r0",), ("r3",), 2)
    assert "2 items are in one run only" in sentence(found)


def test_an_answer_that_failed_is_left_out_and_counted_both_ways():
    found = verdict(cells("pppp"), cells("ppen", contestant=1))

    assert (len(found.items), found.unpaired) == (2, ("r2", "r3"))
    assert (found.candidate.mean, found.candidate.mean_with_errors) == (1.0, pytest.approx(2 / 3))
    assert "1 answer of B failed." in sentence(found)
    assert "1 of B did not run." in sentence(found)


def test_repetitions_are_one_item():
    found = verdict(cells("pppppf" * 10, repetitions=3), cells("pffpff" * 10, repetitions=3))

    assert found.comparison is not None
    assert (found.comparison.n_items, found.comparison.method) == (20, "t on item means")


def test_the_sentence_says_who_is_better_by_how_much_and_what_could_not_be_seen():
    found = verdict(cells("p" * 100 + "f" * 100), cells("p" * 130 + "f" * 70, contestant=1))
    said = sentence(found)

    assert said.startswith("B is better: B passes 65.0% of 200 items, A 50.0% (+15.0 points, 95%")
    assert "McNemar p < 0.001" in said
    assert "cannot show a drop of less than" in said


def test_where_nothing_differs_nothing_is_claimed_and_the_width_is_not_zero():
    found = verdict(cells("p" * 20), cells("p" * 20))

    assert found.comparison is not None
    assert found.comparison.difference.lower < 0 < found.comparison.difference.upper
    assert 0 < found.comparison.smallest_detectable_drop < math.inf
    assert sentence(found).startswith("No difference is shown")


def test_of_cost_less_is_better():
    dear = cells("pppp" * 10, contestant=1, cost_usd=Decimal("0.02"))
    found = verdict(cells("pppp" * 10), dear, metric="cost")

    assert found.n("worse") == 40
    assert sentence(found).startswith("A is better: B $0.0200 against $0.0100 of A (+$0.0100, 95%")


def test_a_reused_answer_has_no_latency_of_its_own():
    found = verdict(cells("pp"), cells("pp", is_reused=True), metric="latency")
    assert found.comparison is None


def test_a_metric_is_the_weighted_mean_of_its_checks():
    scores = (
        CheckScore(type="contains", passed=True, score=1.0, metric="right", weight=3.0),
        CheckScore(type="similar", passed=False, score=0.2, metric="right"),
        CheckScore(type="latency", passed=True, score=1.0),
    )
    [cell] = cells("f", scores=scores)
    assert (cell.value("right"), cell.value("pass"), cell.value("other")) == (pytest.approx(0.8), 0.0, None)


@pytest.mark.parametrize(
    ("candidate", "theirs"),
    [
        (a(prompt="support@7", model="m2"), 1),
        (a(prompt="support@7", model="m1"), 0),
        (a(prompt="other@1", model="m3"), 2),
        (a(name="old", model="m9"), 2),
        (a(prompt="nobody@1", model="m9"), None),
    ],
)
def test_a_contestant_is_held_against_its_counterpart(candidate: Contestant, theirs: int | None):
    others = placed([a(prompt="support@3", model="m1"), a(prompt="support@3", model="m2"), a("old", "m3", "help@1")])
    found = counterpart(candidate, others)
    assert (found and found.position) == theirs


# The gate


def test_a_gate_fails_where_it_is_shown_to_be_worse_and_by_more_than_the_margin():
    before = cells("p" * 180 + "f" * 20)
    result = judge(run(gate=NOT_WORSE), {0: before, 1: cells("p" * 150 + "f" * 50, contestant=1)})

    assert result.exit_code == 100
    assert "−15.0 points against A, one-sided p = 0.0000 (30 worse, 0 better)" in result.reason

    held = judge(run(gate=NOT_WORSE), {0: before, 1: cells("p" * 178 + "f" * 22, contestant=1)})
    assert held.exit_code == 0
    assert "cannot show a drop of less than" in held.reason


def test_a_small_drop_that_is_real_is_within_the_margin():
    before, after = cells("p" * 4000), cells("p" * 3960 + "f" * 40, contestant=1)
    assert judge(run(gate=NOT_WORSE), {0: before, 1: after}).exit_code == 0
    strict = Gate(require=(Requirement(not_worse_than_points=1.1, is_strict=True),))
    assert judge(run(gate=strict), {0: before, 1: after}).exit_code == 100  # not proven


def test_a_run_against_itself_passes():
    same = cells("pf" * 50)
    opponents = Opponents(name="main", contestants=placed([a("A")]), cells={0: same})
    assert judge(run(a("A"), gate=NOT_WORSE), {0: same}, opponents).exit_code == 0


def test_a_green_gate_names_how_many_items_it_could_not_compare():
    opponents = Opponents(name="main", contestants=(a("A"),), cells={0: cells("pppp")})
    result = judge(run(a("A"), gate=NOT_WORSE), {0: cells("pppff", first=2)}, opponents)

    assert (result.exit_code, "5 items are in one run only" in result.reason) == (0, True), result.reason


def test_several_tests_share_the_error():
    """The same drop is worse alone, and not among twelve."""
    before, after = cells("p" * 60), cells("p" * 54 + "f" * 6)
    alone = judge(run(gate=NOT_WORSE), {0: before, 1: [dataclasses.replace(c, contestant=1) for c in after]})
    many = run(*(a(f"c{at}") for at in range(13)), gate=NOT_WORSE)
    held = {0: before, 1: [dataclasses.replace(c, contestant=1) for c in after]}
    held |= {at: [dataclasses.replace(c, contestant=at) for c in before] for at in range(2, 13)}
    together = judge(many, held)

    assert (alone.exit_code, together.exit_code) == (100, 0)
    assert together.results[0].p_adjusted == pytest.approx(12 * (alone.results[0].p_adjusted or 0))


def test_a_nightly_gate_spends_less_at_each_look():
    gate = dataclasses.replace(NOT_WORSE, nightly="looks")
    held = {0: cells("p" * 60), 1: cells("p" * 54 + "f" * 6, contestant=1)}
    assert [judge(run(gate=gate), held, n_looks=n).exit_code for n in (1, 30)] == [100, 0]


def test_bounds_need_no_baseline():
    gate = Gate(require=(Requirement(metric="cost", not_above=0.005), Requirement(not_below=0.9)))
    result = judge(run(a("A"), gate=gate), {0: cells("ppppf")})

    assert result.exit_code == 100
    assert "$0.0100 is above $0.00500" in result.reason
    assert "80.0% is below 90.0%" in result.reason


def test_a_gate_that_compares_one_contestant_with_nobody_says_so():
    with pytest.raises(InvalidRequest, match="against which"):
        judge(run(a("A"), gate=NOT_WORSE), {0: cells("pp")})


@pytest.mark.parametrize(
    ("grades", "exit_code", "words"),
    [
        ("pppp", 0, "All 4 answers passed"),
        ("pppf", 100, "1 of 4 answers failed a check"),
        ("pppe", 1, "1 of A failed"),
        ("ppnn", 1, "2 cells of A did not run"),
        ("uuuu", 1, "No answer was checked"),
        ("ppuu", 1, "2 answers were not checked"),
        ("pfen", 1, "1 cell of A did not run"),
        ("pfe", 100, "1 of A failed"),
    ],
)
def test_without_a_gate_every_failed_check_counts_and_nothing_missing_is_green(grades: str, exit_code: int, words: str):
    result = judge(run(a("A")), {0: cells(grades)})
    assert (result.exit_code, words in result.reason) == (exit_code, True), result.reason


@pytest.mark.parametrize("gate", [Gate(), Gate(nightly="confirm"), Gate(significance=0.01)])
def test_a_gate_that_requires_nothing_is_no_gate(gate: Gate):
    result = judge(run(a("A"), gate=gate), {0: cells("pppf")})
    assert (result.exit_code, "1 of 4 answers failed a check" in result.reason) == (100, True)


def test_a_metric_that_no_answer_has_is_no_green():
    gate = Gate(require=(Requirement(metric="politeness", not_below=0.5),))
    assert judge(run(a("A"), gate=gate), {0: cells("pp")}).exit_code == 1


# Reports


def test_junit_says_what_was_answered_and_why_it_failed():
    score = CheckScore(type="contains", passed=False, score=0.0, reason='no "yes" & <no>\x00')
    held = cells("f", scores=(score,)) + cells("en", first=1)
    text = as_junit(run(a("A")), held, {}, {(0, 0, 0): "maybe\x0b <b>"})

    suites = ET.fromstring(text)  # noqa: S314 - our own
    [suite] = suites
    assert dict(suite.attrib) | {"time": ""} == {
        "name": "A A", "tests": "3", "failures": "1", "errors": "1", "skipped": "1", "time": "",
    }  # fmt: skip
    failure = suite[0][0]
    assert failure.tag == "failure"
    assert 'no "yes" & <no>' in str(failure.get("message"))
    assert "answer: maybe\ufffd <b>" in str(failure.text)


def test_a_summary_holds_no_broken_table():
    text = as_markdown(run(a("A|B\nC")), [], judge(run(a("A")), {0: cells("pf")}))
    assert "A\\|B C" in text
