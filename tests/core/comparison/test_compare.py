"""Comparisons: at the same time, errors in their column, a rule that mixes no units, votes that need company."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sqlalchemy import MetaData, Table, create_engine

from core import Conflict, Forbidden, InvalidRequest, ModelManager, ModelNotFound, NotFound, clock
from core.calls.origin import Origin
from core.cli import __main__ as cli
from core.comparison import ballots, win_rates, winners
from core.config import Settings
from core.domain.comparison import DEFAULT_RULE, Best, Candidate, Contestant, Criterion, Vote, prompt_digest
from core.domain.experiment import Target
from core.domain.generation import Generation, Parameters
from core.statistics.sequential import proportion_interval
from core.storage.comparisons import ComparisonStore
from core.storage.engine.database import _MIGRATIONS, to_url
from tests.conftest import Open


def answer(
    position: int, *, cost: str | None = "0.001", latency: float = 1.0, text: str = "yes", status: str = "ok"
) -> Candidate:
    generation = Generation(
        id=f"g{position}", created_at=clock.now(), request_model=f"m{position}", response_model=None, provider="gemini",
        source="compare", status=status, cost_usd=None if cost is None else Decimal(cost), latency_s=latency, text=text,  # type: ignore[arg-type]
    )  # fmt: skip
    return Candidate(position=position, model=f"m{position}", generation=generation)


def test_the_cheapest_wins_by_the_default_rule():
    found = winners.winner([answer(0, cost="0.002", latency=0.1), answer(1, cost="0.001", latency=9.0)], DEFAULT_RULE)

    assert found is not None and found.position == 1


def test_costs_within_the_tie_band_leave_it_to_the_next_criterion():
    found = winners.winner([answer(0, cost="0.00104", latency=0.5), answer(1, cost="0.001", latency=9.0)], DEFAULT_RULE)

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
    found = winners.winner([loser, answer(1, cost="9", latency=99)], DEFAULT_RULE)

    assert found is not None and found.position == 1


def test_a_tie_to_the_end_has_no_winner():
    assert winners.winner([answer(0), answer(1)], DEFAULT_RULE) is None
    assert winners.sole([answer(0), answer(1)], "latency") is None


def twins(*latencies: float, model: str = "x", temperature: float | None = None) -> list[Candidate]:
    """Answers of one contestant that differ by chance."""
    return [
        replace(answer(0, latency=s), model=model, parameters=Parameters(temperature=temperature, seed=n))
        for n, s in enumerate(latencies)
    ]


@pytest.mark.parametrize(
    ("candidates", "fastest"),
    [
        (twins(1.0, 9.0), None),  # one model: only chance tells its answers apart
        (twins(1.0, 1.3) + twins(0.9, model="y"), None),  # within what x's own answers differ
        (twins(1.0, 1.3) + twins(0.5, model="y"), "y"),
        (twins(1.0, 1.3) + twins(2.0, model="y"), "x"),
        (twins(1.0, 1.02) + twins(0.9, model="y"), "y"),
        (twins(1.0) + twins(9.0, temperature=1.0), "x"),  # other settings are another contestant
        (twins(1.0, temperature=1) + twins(9.0, temperature=1.0), None),
    ],
)
def test_chance_crowns_nobody(candidates: list[Candidate], fastest: str | None):
    candidates = [replace(candidate, position=at) for at, candidate in enumerate(candidates)]
    rule = [Criterion("latency", 0.05)]
    found = winners.sole(candidates, "latency"), winners.winner(candidates, rule)

    assert [candidate and candidate.model for candidate in found] == [fastest, fastest]


def test_nobody_is_cheaper_than_the_unknown():
    pair = [answer(0, cost=None, latency=1), answer(1, cost="0.1", latency=5)]

    assert winners.sole(pair, "cost") is None
    found = winners.winner(pair, DEFAULT_RULE)
    assert found is not None and found.position == 0  # the cost decides nothing, so the time does


@given(
    st.permutations([answer(0, cost="3", latency=1), answer(1, cost="2", latency=2), answer(2, cost="2.05", latency=1)])
)
def test_the_order_of_the_columns_does_not_decide(candidates: list[Candidate]):
    found = winners.winner(candidates, DEFAULT_RULE)

    assert found is not None and found.model == "m2"


def votes(*choices: str, a: str = "x", b: str = "y") -> list[Vote]:
    return [
        Vote(
            id="v", comparison_id="c", voter="v", created_at=clock.now(), position_a=0, position_b=1,
            a=Contestant(a), b=Contestant(b), choice=choice, is_blind=False,  # type: ignore[arg-type]
        )
        for choice in choices
    ]  # fmt: skip


def test_a_win_rate_needs_six_decided_pairs():
    few = {
        rate.contestant.model: rate for rate in win_rates.rates_of(votes("a", "a", "a", "a", "a", "tie", "both_bad"))
    }
    enough = {rate.contestant.model: rate for rate in win_rates.rates_of(votes("a", "a", "a", "a", "b", "b", "tie"))}

    assert few["x"].rate is None and few["x"].n_decided == 5
    assert enough["x"].rate == pytest.approx(4 / 6)
    assert (enough["x"].lower, enough["x"].upper) == pytest.approx(proportion_interval(4, 6)[1:])
    assert enough["y"].rate == pytest.approx(2 / 6)


def test_a_model_against_itself_decides_nothing():
    assert win_rates.rates_of(votes(*"a" * 9, a="x", b="x")) == []


# The service


def test_all_candidates_answer_and_their_rows_belong_together(mm: ModelManager):
    comparison = mm.comparisons.wait(mm.comparisons.start("Why?", ["sim-fast", "sim-fast", "sim-careful"]))

    assert [candidate.model for candidate in comparison.candidates] == ["sim-fast", "sim-fast", "sim-careful"]
    assert all(candidate.can_win for candidate in comparison.candidates)
    assert len(mm.log.by_ref(comparison.id)) == 3
    assert mm.comparisons.get(comparison.id).winner == comparison.winner


def test_they_answer_at_the_same_time(sqlite_url: str):
    with ModelManager.open(Settings(database_url=sqlite_url)) as mm:
        comparison = mm.comparisons.wait(mm.comparisons.start("Why?", ["sim-careful"] * 4))

    calls = [c.generation for c in comparison.candidates if c.generation]
    first_end = min(call.created_at + timedelta(seconds=call.latency_s) for call in calls)
    assert len(calls) == 4 and max(call.created_at for call in calls) < first_end


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
        first = mm.comparisons.calls(comparison_id)[0]
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


def test_a_candidates_own_system_prompt_holds_over_the_shared_one(mm: ModelManager):
    own = replace(Candidate(position=0, model="sim-fast"), system="Mine.")
    comparison = mm.comparisons.wait(mm.comparisons.start("Why?", [own, "sim-fast"], system="Ours."))

    assert [c.generation.system for c in comparison.candidates if c.generation] == ["Mine.", "Ours."]


# Votes


@pytest.fixture
def answered(mm: ModelManager) -> Callable[..., str]:
    """Makes comparisons whose answers are there."""

    def make(*candidates: str | Candidate, **more: Any) -> str:
        chosen = candidates or ("sim-fast", "sim-careful")
        return mm.comparisons.wait(mm.comparisons.start("Why?", chosen, **more)).id

    return make


def test_a_voter_has_one_vote_a_pair_and_the_last_one_counts(mm: ModelManager, answered: Callable[..., str]):
    one = answered()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: mm.comparisons.vote(one, "ab"[n % 2]), range(16)))  # type: ignore[arg-type]
    mm.comparisons.vote(one, "b")
    first = mm.comparisons.vote(one, "a", pair=(1, 0))  # the same pair the other way round
    mm.comparisons.vote(one, "tie", voter="key:k_1")

    assert [(v.voter, v.choice) for v in mm.comparisons.votes()] == [("local", "b"), ("key:k_1", "tie")]
    assert first.choice == "b"
    assert mm.comparisons.vote(one, "both_bad").id == first.id


def test_a_vote_that_cannot_be_is_refused(mm: ModelManager, answered: Callable[..., str]):
    broken = Candidate(position=0, model="sim-fast", parameters=Parameters(thinking_budget=5))
    one = answered("sim-fast", "sim-careful", broken)
    for choice, pair, voter in (
        ("c", (0, 1), "v"), ("a", (0, 0), "v"), ("a", (0, 7), "v"), ("a", (-1, 0), "v"), ("a", (0, 2), "v"), ("a", (0, 1), ""),
    ):  # fmt: skip
        with pytest.raises(InvalidRequest):
            mm.comparisons.vote(one, choice, pair=pair, voter=voter)  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        mm.comparisons.vote("c_none", "a")
    assert mm.comparisons.votes() == []


def test_prompts_and_parameters_are_ranked_not_models(mm: ModelManager, answered: Callable[..., str]):
    short = Candidate(position=0, model="sim-fast", system="Be brief.")
    warm = Candidate(position=0, model="sim-fast", parameters=Parameters(temperature=1.5, seed=3))
    for n in range(6):
        mm.comparisons.vote(answered(short, warm), "a", voter=f"v{n}")
        mm.comparisons.vote(answered("sim-fast", "sim-fast"), "a")

    best, worst = mm.comparisons.win_rates()
    assert (best.contestant.prompt, best.rate, worst.contestant.label) == (prompt_digest("Be brief."), 1.0, "sim-fast · temperature 1.5")  # fmt: skip
    assert mm.comparisons.win_rates(by_model=True) == []


def test_an_alias_stands_for_its_model_prompt_and_parameters(mm: ModelManager, answered: Callable[..., str]):
    mm.aliases.set("v2", Target(model="sim-fast", system="Be brief.", parameters=Parameters(temperature=0.5)))
    one, two = mm.comparisons.get(answered("v2", "sim-fast")).candidates

    assert (one.model, one.system, one.parameters.temperature) == ("sim-fast", "Be brief.", 0.5)
    assert one.generation is not None and one.generation.system == "Be brief."
    assert one.contestant != two.contestant


def test_names_stay_hidden_until_the_voter_has_voted_on_each_pair(mm: ModelManager, answered: Callable[..., str]):
    voting, three = mm.comparisons.voting, answered("sim-fast", "sim-careful", "sim-balanced", is_blind=True)
    comparison = mm.comparisons.get(three)
    order = ballots.shown_order(three, "ada", 3)

    votes = [mm.comparisons.vote(three, "a", pair=pair, blind=True, voter="ada") for pair in ((0, 1), (1, 2))]
    assert voting.hides_names(comparison, "ada")
    votes.append(mm.comparisons.vote(three, "skip", pair=(0, 2), blind=True, voter="ada"))
    assert not voting.hides_names(comparison, "ada")
    assert voting.hides_names(comparison, "bob")
    assert all(vote.is_blind for vote in votes)
    assert [order.index(vote.shown_first) for vote in votes] == [
        min(order.index(vote.position_a), order.index(vote.position_b)) for vote in votes
    ]
    # What is said with the names in sight is not blind.
    assert not mm.comparisons.vote(three, "b", blind=True, voter="ada").is_blind
    voting.reveal(three, "bob")
    assert not mm.comparisons.vote(three, "a", blind=True, voter="bob").is_blind
    assert not mm.comparisons.vote(answered(), "a", blind=True).is_blind  # names were never hidden there
    assert not mm.comparisons.vote(answered(is_blind=True), "a").is_blind


@pytest.mark.parametrize(
    ("said", "asked", "gives_away"),
    [
        ("Hello! I'm Claude, made by Anthropic.", "Hi", True),
        ("As sim-fast I say: yes.", "Hi", True),
        ("I am Gemini.", "Who are you?", True),
        ("Claude is a name.", "Is Claude a name?", False),
        ("Yes.", "Hi", False),
    ],
)
def test_an_answer_that_names_its_model_is_not_blind(said: str, asked: str, gives_away: bool):
    candidate = replace(answer(0, text=said), model="sim-fast")

    assert ballots.names_itself(candidate, asked) is gives_away


def test_orders_are_drawn_for_each_voter():
    orders = [ballots.shown_order("c_1", f"v{n}", 2)[0] for n in range(1000)]

    assert orders == [ballots.shown_order("c_1", f"v{n}", 2)[0] for n in range(1000)]
    assert binomtest(sum(orders), 1000).pvalue > 0.001


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.sampled_from(["a", "b", "tie", "both_bad", "skip"])), max_size=60))  # fmt: skip
def test_win_rates_agree_with_counting_by_hand(cast: list[tuple[int, int, str]]):
    pairs = [vote for a, b, choice in cast for vote in votes(choice, a=f"m{a}", b=f"m{b}")]

    for rate in win_rates.rates_of(pairs):
        name = rate.contestant.model
        met = [vote for vote in pairs if name in (vote.a.model, vote.b.model) and vote.a != vote.b]
        won = sum((vote.a if vote.choice == "a" else vote.b).model == name for vote in met if vote.choice in "ab")
        n = sum(vote.choice in "ab" for vote in met)
        assert (rate.n_wins, rate.n_decided) == (won, n)
        assert rate.n_ties == sum(vote.choice in ("tie", "both_bad") for vote in met)
        if n >= win_rates.MIN_DECIDED:
            assert (rate.rate, rate.lower, rate.upper) == pytest.approx(proportion_interval(won, n), abs=1e-9)
        else:
            assert (rate.rate, rate.lower, rate.upper) == (None, None, None)


def test_two_contestants_are_decided_where_the_interval_leaves_out_a_half():
    cast = [*votes(*"a" * 30, *"b" * 5, "tie"), *votes(*"aaab", a="z", b="y"), *votes(*"bb", a="y", b="x"), *votes("skip", a="x", b="z")]  # fmt: skip

    first, second = win_rates.head_to_head(cast)

    assert (first.a.model, first.b.model, first.n_decided, first.n_ties) == ("x", "y", 37, 1)
    assert first.is_decided and first.share == proportion_interval(32, 37)
    assert (second.a.model, second.n_decided, second.is_decided) == ("z", 4, False)


@given(st.sampled_from([0, 1, 2, "tie", "both_bad"]), st.sets(st.sampled_from([0, 1, 2, 4]), min_size=2))
def test_the_best_of_all_is_read_back_from_votes_on_pairs(best: Best, able: set[int]):
    if isinstance(best, str) or best in able:
        assert ballots.best_of(ballots.choices_of(best, sorted(able)), sorted(able)) == best
    assert ballots.best_of({}, sorted(able)) is None


def test_the_best_of_all_is_chosen_blind_and_changed_with_the_names_in_sight(mm: ModelManager):
    broken = Candidate(position=0, model="sim-fast", parameters=Parameters(thinking_budget=5))
    chosen = ["sim-fast", broken, "sim-careful", "sim-balanced"]
    one = mm.comparisons.wait(mm.comparisons.start("Why?", chosen, is_blind=True)).id
    voting, able = mm.comparisons.voting, (0, 2, 3)

    with pytest.raises(InvalidRequest):
        voting.choose(one, 1)
    voting.choose(one, 2, blind=True)
    assert not voting.hides_names(mm.comparisons.get(one))
    assert [(v.choice, v.is_blind) for v in mm.comparisons.votes() if v.choice != "skip"] == [("b", True), ("a", True)]
    voting.choose(one, "tie", blind=True)

    assert {(v.choice, v.is_blind) for v in mm.comparisons.votes() if v.choice != "skip"} == {("tie", False)}
    assert ballots.best_of(voting.of(one), able) == "tie"


def test_a_failed_answer_is_asked_again_and_nothing_else(mm: ModelManager):
    broken = Candidate(position=0, model="sim-fast", parameters=Parameters(thinking_budget=5))
    one = mm.comparisons.wait(mm.comparisons.start("[[fail:block]] Why?", ["sim-fast", "sim-careful", broken])).id
    before = mm.comparisons.get(one)
    with pytest.raises(Conflict):
        other = mm.comparisons.wait(mm.comparisons.start("Why?", ["sim-fast", "sim-careful"])).id
        mm.comparisons.resume(other, positions=[0])

    assert mm.comparisons.resume(one, positions=[1]) == 1
    after = mm.comparisons.wait(one)

    assert after.status == "finished" and after.n_starts == 2
    assert [a.generation_id == b.generation_id for a, b in zip(before.candidates, after.candidates, strict=True)] == [True, False, True]  # fmt: skip
    assert len(mm.log.by_ref(one)) == 3  # the failure stays on record
    assert mm.comparisons.resume(one, positions=[2]) == 1
    assert "thinking_budget" in mm.comparisons.wait(one).candidates[2].error


def test_an_answer_that_was_stopped_is_not_asked_with_another_one(open_manager: Open, database_url: str):
    mm = open_manager(database_url)
    one = mm.comparisons.start("[[fail:block]] Why?", ["sim-fast", "sim-careful"])
    mm.comparisons.wait(one)
    with create_engine(to_url(database_url)).begin() as link:  # as a stop in the middle of it leaves it
        ComparisonStore.set_candidate(link, one, 1, mm.comparisons.get(one).candidates[1].generation_id, "stopped")
    later = open_manager(database_url)  # a process without its calls

    assert later.comparisons.resume(one, positions=[0]) == 1
    later.comparisons.wait(one)

    assert later.comparisons.get(one).candidates[1].error == "stopped"
    assert len(later.log.by_ref(one)) == 3
    assert later.comparisons.resume(one) == 1


def test_the_answer_shown_first_should_win_half(mm: ModelManager):
    blind = [replace(vote, shown_first=0) for vote in votes(*"aaaab", "tie", "skip")]
    assert win_rates.first_shown(blind) == (5, None)
    n, share = win_rates.first_shown(blind + votes("a") + [replace(votes("b")[0], shown_first=1)])
    assert (n, share and share.estimate) == (6, pytest.approx(5 / 6))


def test_a_simulated_answer_is_no_opponent_of_a_real_one():
    assert win_rates.rates_of([replace(vote, is_mixed=True) for vote in votes(*"aaaaaa")]) == []


# A process that ends


def migrated(database_url: str, revision: str, rows: dict[str, list[dict[str, Any]]]) -> None:
    """A database as that revision has it, with rows by table."""
    engine, config = create_engine(to_url(database_url)), Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        for table, values in rows.items():
            connection.execute(Table(table, MetaData(), autoload_with=connection).insert(), values)
    engine.dispose()


def test_votes_of_the_last_version_become_one_a_pair(open_manager: Open, empty_database_url: str):
    of_it = {"comparison_id": "c_1"}
    cast = [(0, 1, "a"), (0, 1, "b"), (1, 0, "b"), (2, 1, "tie")]
    migrated(
        empty_database_url,
        "0006",
        {
            "comparisons": [{"id": "c_1", "created_at": 1_700_000_000_000_000, "source": "compare", "prompt": "Why?", "system": "Ours.", "rule": '[["cost", 0.05, false]]'}],
            "candidates": [
                {**of_it, "position": at, "model": "sim-fast", "settings": json.dumps({"system": own, "parameters": {}})}
                for at, own in enumerate((None, "Mine.", None))
            ],
            "votes": [
                {**of_it, "id": f"v_{n}", "created_at": n, "position_a": a, "position_b": b, "model_a": "x", "model_b": "y", "choice": choice, "is_blind": n % 2}
                for n, (a, b, choice) in enumerate(cast)
            ],
        },
    )  # fmt: skip
    mm = open_manager(empty_database_url)

    kept = mm.comparisons.votes()
    assert [(v.id, v.voter, v.position_a, v.position_b, v.choice, v.is_blind, v.shown_first) for v in kept] == [
        ("v_2", "", 0, 1, "a", False, None), ("v_3", "", 1, 2, "tie", True, None)
    ]  # fmt: skip
    ours, mine = prompt_digest("Ours."), prompt_digest("Mine.")
    assert [(v.a.prompt, v.b.prompt) for v in kept] == [(ours, mine), (mine, ours)]
    assert mm.comparisons.get("c_1").status == "interrupted"
    assert mm.comparisons.resume("c_1") == 3


def test_a_comparison_that_another_process_asks_is_left_to_it(open_manager: Open, database_url: str):
    with ModelManager.open(Settings(database_url=database_url), simulated_speed=1) as first:
        one = first.comparisons.start("Why?", ["sim-careful", "sim-careful"])
        second = open_manager(database_url)
        assert second.comparisons.get(one).status == "running"
        with pytest.raises(Conflict):
            second.comparisons.resume(one)
        second.comparisons.settle(one)
        first.comparisons.wait(one)

    assert second.comparisons.get(one).status == "finished"
    assert len(second.log.by_ref(one)) == 2


def test_what_was_never_asked_says_why_also_after_a_restart(open_manager: Open, database_url: str):
    broken = Candidate(position=0, model="sim-fast", parameters=Parameters(thinking_budget=5))
    with ModelManager.open(Settings(database_url=database_url), simulated_speed=0) as first:
        one = first.comparisons.wait(first.comparisons.start("Why?", [broken, "sim-fast"])).id

    found = open_manager(database_url).comparisons.get(one)
    assert (found.status, "thinking_budget" in found.candidates[0].error) == ("finished", True)


def test_a_comparison_of_a_revoked_key_does_not_go_on(mm: ModelManager):
    key, _ = mm.keys.create("ci")
    one = mm.comparisons.start(
        "Why?", ["sim-fast", "sim-careful"], origin=Origin(source="api", key=key), cap_usd=Decimal("0.001")
    )
    mm.comparisons.wait(one)
    mm.keys.revoke(key.id)

    with pytest.raises(Conflict):
        mm.comparisons.resume(one)


def test_the_terminal_lists_shows_and_resumes(
    answered: Callable[..., str], mm: ModelManager, capsys: pytest.CaptureFixture[str]
):
    one = answered()
    mm.comparisons.vote(one, "b")

    for words, seen in (
        ("comparisons list", one), ("comparisons show " + one, "local: A/B b"), ("comparisons resume " + one, "0 asked"),
        ("comparisons win-rates", "1 won"), ("workflows list", "translation  translate"), ("workflows show analysis", "name: analysis"), ("workflows runs", ""),
    ):  # fmt: skip
        args = cli._parser().parse_args(words.split())
        assert not args.run(mm, args)
        assert seen in capsys.readouterr().out


def test_a_key_that_may_ask_an_alias_has_to_do_with_what_it_compared(mm: ModelManager):
    mm.aliases.set("chat", Target(model="sim-fast"))
    key, _ = mm.keys.create("ci", models=["chat", "sim-careful"])
    one = mm.comparisons.start("Why?", ["chat", "sim-careful"], origin=Origin(source="api", key=key))
    mm.comparisons.wait(one)

    mm.comparisons.vote(one, "a", key=key)
    with pytest.raises(Conflict, match="only a running one"):
        mm.comparisons.stop(one, key=key)
    stranger, _ = mm.keys.create("stranger", models=["sim-careful"])
    with pytest.raises(Forbidden, match="chat"):
        mm.comparisons.vote(one, "b", key=stranger)


def test_what_a_key_may_no_longer_ask_is_not_asked_again(mm: ModelManager):
    key, _ = mm.keys.create("ci")
    one = mm.comparisons.start(
        "Why?", ["sim-fast", "sim-careful"], origin=Origin(source="api", key=key), cap_usd=Decimal("0.000001")
    )
    mm.comparisons.wait(one)
    mm.keys.change(key.id, models=["sim-fast"])

    with pytest.raises(Conflict, match="may no longer ask 'sim-careful'"):
        mm.comparisons.resume(one, cap_usd=Decimal(1))


def test_a_key_whose_content_is_not_kept_leaves_no_prompt(mm: ModelManager):
    key, _ = mm.keys.create("quiet", log_content="none")
    one = mm.comparisons.start(
        "The secret plan", ["sim-fast", "sim-careful"], system="Be brief.", origin=Origin(source="api", key=key)
    )
    found = mm.comparisons.wait(one)

    assert (found.prompt, found.system, [c.system for c in found.candidates]) == ("", None, [None, None])
    assert mm.comparisons.get(one).prompt == ""
