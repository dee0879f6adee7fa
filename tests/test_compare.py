"""Comparisons: at the same time, errors in their column, a rule that mixes no units, votes that need company."""

import time
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from core import InvalidRequest, ModelManager, ModelNotFound, NotFound, clock
from core.comparison import judging
from core.config import Settings
from core.domain.comparison import DEFAULT_RULE, Candidate, Criterion, Vote
from core.domain.generation import Generation


def answer(
    position: int, *, cost: str | None = "0.001", latency: float = 1.0, text: str = "yes", status: str = "ok"
) -> Candidate:
    generation = Generation(
        id=f"g{position}", created_at=clock.now(), request_model=f"m{position}", response_model=None, provider="gemini",
        source="compare", status=status, cost_usd=None if cost is None else Decimal(cost), latency_s=latency, text=text,  # type: ignore[arg-type]
    )  # fmt: skip
    return Candidate(position=position, model=f"m{position}", generation=generation)


def test_the_cheapest_wins_by_the_default_rule():
    found = judging.winner([answer(0, cost="0.002", latency=0.1), answer(1, cost="0.001", latency=9.0)], DEFAULT_RULE)

    assert found is not None and found.position == 1


def test_costs_within_the_tie_band_leave_it_to_the_next_criterion():
    found = judging.winner([answer(0, cost="0.00104", latency=0.5), answer(1, cost="0.001", latency=9.0)], DEFAULT_RULE)

    assert found is not None and found.position == 0


@pytest.mark.parametrize(
    "loser",
    [
        answer(0, cost="0", latency=0.01, text=""),
        answer(0, cost="0", status="error"),
        answer(0, cost="0", status="truncated"),
        Candidate(position=0, model="m0"),
    ],
)
def test_an_empty_or_failed_answer_cannot_win(loser: Candidate):
    found = judging.winner([loser, answer(1, cost="9", latency=99)], DEFAULT_RULE)

    assert found is not None and found.position == 1


def test_a_tie_to_the_end_has_no_winner():
    assert judging.winner([answer(0), answer(1)], DEFAULT_RULE) is None
    assert judging.sole([answer(0), answer(1)], "latency") is None


def test_nobody_is_cheaper_than_the_unknown():
    pair = [answer(0, cost=None, latency=1), answer(1, cost="0.1", latency=5)]

    assert judging.sole(pair, "cost") is not None  # of those whose cost is known
    found = judging.winner(pair, DEFAULT_RULE)
    assert found is not None and found.position == 0  # the cost decides nothing, so the time does


@given(
    st.permutations([answer(0, cost="3", latency=1), answer(1, cost="2", latency=2), answer(2, cost="2.05", latency=1)])
)
def test_the_order_of_the_columns_does_not_decide(candidates: list[Candidate]):
    found = judging.winner(candidates, DEFAULT_RULE)

    assert found is not None and found.model == "m2"


def votes(*choices: str, a: str = "x", b: str = "y") -> list[Vote]:
    return [
        Vote(comparison_id="c", created_at=clock.now(), model_a=a, model_b=b, choice=choice, is_blind=False)
        for choice in choices
    ]  # type: ignore[arg-type]


def test_a_win_rate_needs_six_decided_pairs():
    few = {rate.model: rate for rate in judging.win_rates(votes("a", "a", "a", "a", "a", "tie", "both_bad"))}
    enough = {rate.model: rate for rate in judging.win_rates(votes("a", "a", "a", "a", "b", "b", "tie"))}

    assert few["x"].rate is None and few["x"].n_decided == 5
    assert enough["x"].rate == pytest.approx(4 / 6)
    wilson = binomtest(4, 6).proportion_ci(method="wilson")
    assert (enough["x"].lower, enough["x"].upper) == pytest.approx((wilson.low, wilson.high))
    assert enough["y"].rate == pytest.approx(2 / 6)


def test_a_model_against_itself_decides_nothing():
    assert judging.win_rates(votes(*"a" * 9, a="x", b="x")) == []


# The service


def test_all_candidates_answer_and_their_rows_belong_together(mm: ModelManager):
    comparison = mm.comparisons.wait(mm.comparisons.start("Why?", ["sim-fast", "sim-fast", "sim-careful"]))

    assert [candidate.model for candidate in comparison.candidates] == ["sim-fast", "sim-fast", "sim-careful"]
    assert all(candidate.can_win for candidate in comparison.candidates)
    assert len(mm.log.by_ref(comparison.id)) == 3
    assert mm.comparisons.get(comparison.id).winner == comparison.winner


def test_they_answer_at_the_same_time(sqlite_url: str):
    with ModelManager.open(Settings(database_url=sqlite_url)) as mm:
        started = time.monotonic()
        comparison = mm.comparisons.wait(mm.comparisons.start("Why?", ["sim-careful"] * 4))
        wall_s = time.monotonic() - started

    assert wall_s < 2 * max(c.generation.latency_s for c in comparison.candidates if c.generation)


def test_an_error_stays_in_its_column(mm: ModelManager):
    broken = Candidate(position=0, model="sim-fast", system="x")
    comparison = mm.comparisons.wait(mm.comparisons.start("[[fail:block:0]] Why?", ["sim-balanced", broken]))
    assert all(candidate.can_win for candidate in comparison.candidates)

    comparison = mm.comparisons.wait(mm.comparisons.start("[[fail:block]] Why?", ["sim-balanced", "sim-fast"]))
    assert comparison.winner is None
    assert [c.generation.status for c in comparison.candidates if c.generation] == ["blocked", "blocked"]


def test_stop_stops_one_column(sqlite_url: str):
    with ModelManager.open(Settings(database_url=sqlite_url)) as mm:
        comparison_id = mm.comparisons.start("Tell a story.", ["sim-careful", "sim-balanced"])
        first, _ = mm.comparisons.calls(comparison_id)
        while not first.view().text:
            time.sleep(0.01)
        first.cancel()
        comparison = mm.comparisons.wait(comparison_id)

    assert [c.generation.status for c in comparison.candidates if c.generation] == ["stopped", "ok"]
    assert comparison.winner == 1


@pytest.mark.parametrize(
    ("models", "error"),
    [
        ([], InvalidRequest),
        (["sim-fast"], InvalidRequest),
        (["sim-fast"] * 9, InvalidRequest),
        (["sim-fast", "nope"], ModelNotFound),
    ],
)
def test_a_comparison_that_cannot_be_is_refused_whole(mm: ModelManager, models: list[str], error):
    with pytest.raises(error):
        mm.comparisons.start("Why?", models)
    assert (mm.comparisons.latest(), mm.log.count()) == ([], 0)


def test_a_new_rule_names_a_new_winner(mm: ModelManager):
    comparison = mm.comparisons.wait(mm.comparisons.start("Why?", ["sim-fast", "sim-careful"]))
    assert comparison.winner == 0

    longest = mm.comparisons.settle(comparison.id, [Criterion("length", 0.0, True)])

    assert longest.winner == 1
    with pytest.raises(InvalidRequest):
        mm.comparisons.settle(comparison.id, [Criterion("cost"), Criterion("cost")])


def test_votes_count_and_bad_ones_are_refused(mm: ModelManager):
    comparison_id = mm.comparisons.wait(mm.comparisons.start("Why?", ["sim-fast", "sim-careful"])).id
    for _ in range(6):
        mm.comparisons.vote(comparison_id, "b", blind=True)

    best = mm.comparisons.win_rates()[0]
    assert (best.model, best.n_wins, best.rate) == ("sim-careful", 6, 1.0)
    for choice, pair in (("c", (0, 1)), ("a", (0, 0)), ("a", (0, 7))):
        with pytest.raises(InvalidRequest):
            mm.comparisons.vote(comparison_id, choice, pair=pair)  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        mm.comparisons.vote("c_none", "a")


def test_a_candidates_own_system_prompt_holds_over_the_shared_one(mm: ModelManager):
    own = replace(Candidate(position=0, model="sim-fast"), system="Mine.")
    comparison = mm.comparisons.wait(mm.comparisons.start("Why?", [own, "sim-fast"], system="Ours."))

    assert [c.generation.system for c in comparison.candidates if c.generation] == ["Mine.", "Ours."]
