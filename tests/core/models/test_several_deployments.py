"""Several deployments of one model: the one that is limited or down rests, the others serve, and each call says which."""

from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from core import ModelManager, Origin, clock
from core.domain.generation import Message
from core.errors import AimmError
from tests.builders import GPT, until
from tests.conftest import Open, SetClock, fresh
from tests.core.models.test_deployments import KEYS, add, ask, used_keys
from tests.fakes.vendors import FakeVendor, failure

LIMITED = failure(429, "too many", "rate_limit_exceeded", {"retry-after": "1"})
DOWN = failure(503, "down")


@pytest.fixture
def three(open_manager: Open, tmp_path: Path, fakes: list[FakeVendor]) -> ModelManager:
    """A manager with three deployments of one vendor, a, b and c, of equal weight."""
    mm = open_manager(fresh(tmp_path), call_timeout_s=10.0)
    for name, fake in zip("abc", fakes, strict=True):
        add(mm, name, fake)
    return mm


def answered(mm: ModelManager, n: int) -> Counter[str]:
    found = [ask(mm) for _ in range(n)]
    assert [g.status for g in found if g.status != "ok"] == []
    return Counter(g.deployment for g in found)


def test_one_is_limited_and_one_is_down_and_every_call_is_answered(
    three: ModelManager, fakes: list[FakeVendor], set_clock: SetClock
):
    fakes[0].next(*[LIMITED] * 100)
    fakes[1].close()

    assert answered(three, 40) == {"c": 40}

    assert len(fakes[0].requests) == 1
    assert set(three.breakers.states()) == {("a", GPT), ("b", GPT)}
    # A minute later each is tried once more, by one call.
    set_clock(clock.now() + timedelta(seconds=61))
    assert answered(three, 20) == {"c": 20}
    assert len(fakes[0].requests) == 2
    fakes[0].forget()
    set_clock(clock.now() + timedelta(seconds=61))
    assert set(answered(three, 40)) == {"a", "c"}
    assert set(three.breakers.states()) == {("b", GPT)}


def test_weights_and_priorities_share_the_calls(three: ModelManager, fakes: list[FakeVendor]):
    three.deployments.change("a", weight=3)
    three.deployments.change("c", priority=2)

    shares = answered(three, 120)

    assert set(shares) == {"a", "b"} and shares["a"] > shares["b"] > 5
    three.deployments.change("a", weight=0)
    fakes[1].next(DOWN)
    assert answered(three, 4) == {"c": 4}
    three.deployments.change("b", is_enabled=False)
    three.deployments.change("c", weight=0)
    with pytest.raises(AimmError, match="takes calls"):
        ask(three)


def test_a_conversation_stays_where_it_is_cached(three: ModelManager, fakes: list[FakeVendor]):
    turns = (Message("user", "Hello"), Message("model", "Hi"), Message("user", "More"))
    request = three.request(turns, model=GPT)

    found = {three.submit(request).result(10).deployment for _ in range(8)}
    assert len(found) == 1
    by_session = {
        session: {
            three.submit(three.request("Hi", model=GPT), Origin(session_id=session)).result(10).deployment
            for _ in range(3)
        }
        for session in map(str, range(12))
    }
    assert all(len(places) == 1 for places in by_session.values())
    assert len({place for places in by_session.values() for place in places}) > 1


def test_where_all_rest_the_error_says_the_soonest(three: ModelManager, fakes: list[FakeVendor]):
    for fake, wait in zip(fakes, ("300", "30", "200"), strict=True):
        fake.next(failure(429, "too many", "rate_limit_exceeded", {"retry-after": wait}))
    first = ask(three)
    found = ask(three)

    assert [first.error_class, found.error_class] == ["rate_limited", "rate_limited"]
    call = three.submit(three.request("Hello", model=GPT))
    with pytest.raises(AimmError) as caught:
        call.answered(call.result(10))
    assert caught.value.retry_after_s is not None and 25 < caught.value.retry_after_s <= 30
    assert [len(fake.requests) for fake in fakes] == [1, 1, 1]


@pytest.mark.parametrize(
    ("reply", "rests", "moves"),
    [
        (failure(401, "no such key"), {("a", "*")}, True),
        (failure(403, "not this model"), {("a", GPT)}, True),
        (failure(404, "no such model", "DeploymentNotFound"), {("a", GPT)}, True),
        (failure(429, "no money", "insufficient_quota"), {("a", GPT)}, True),
        (failure(400, "maximum context length is 10 tokens", "context_length_exceeded"), set(), True),
        (failure(400, "Your credit balance is too low to access the API"), {("a", GPT)}, True),
        (failure(402, "pay"), {("a", GPT)}, True),
        (failure(400, "your mistake"), set(), False),
        (failure(400, "filtered", "content_filter"), set(), False),
        (failure(500, "broken"), {("a", GPT)}, True),
    ],
)
def test_an_error_of_one_moves_on_and_rests_no_more_than_it_must(
    three: ModelManager, fakes: list[FakeVendor], reply: object, rests: set, moves: bool
):
    three.deployments.change("b", priority=2)
    three.deployments.change("c", priority=2)
    fakes[0].next(reply)  # type: ignore[arg-type]

    found = ask(three)

    assert (found.status == "ok", found.deployment != "a") == (moves, moves)
    assert set(three.breakers.states()) == rests
    # Of another model, a deployment that has no such model is asked all the same.
    other = ask(three, "openai/gpt-4.1")
    assert (other.deployment == "a") is (rests != {("a", "*")})


def test_a_request_that_breaks_every_deployment_lets_none_rest(three: ModelManager, fakes: list[FakeVendor]):
    for fake in fakes:
        fake.next(*[failure(500, "broken")] * 5)

    assert ask(three).status == "error"
    assert three.breakers.states() == {}
    for fake in fakes:
        fake.forget()
    assert sum(answered(three, 9).values()) == 9


def test_a_stream_that_dies_is_not_begun_anew(three: ModelManager, fakes: list[FakeVendor]):
    from tests.fakes.vendors import openai_answer

    for fake in fakes:
        cut = openai_answer("Half of it")
        cut.break_after = 1
        fake.next(cut)

    found = ask(three)

    assert (found.status, sum(len(fake.requests) for fake in fakes)) == ("truncated", 1)


def test_a_name_before_the_model_asks_this_one_alone(three: ModelManager, fakes: list[FakeVendor]):
    fakes[1].next(*[failure(400, "no")] * 2, *[failure(503, "down", headers={"retry-after": "60"})] * 5)

    assert ask(three, "b/gpt-4o").error_class == "invalid_request"
    assert ask(three, "b:gpt-4o").error_class == "invalid_request"
    assert ask(three, "b/gpt-4o").error_class == "provider_unavailable"
    assert (fakes[0].requests, fakes[2].requests) == ([], [])


def test_calls_under_way_end_where_they_were_begun(three: ModelManager, fakes: list[FakeVendor]):
    import threading

    for fake in fakes:
        fake.hold = threading.Event()
    calls = [three.submit(three.request("Hello", model=GPT)) for _ in range(6)]
    assert until(lambda: sum(len(fake.requests) for fake in fakes) == 6)
    for name in "abc":
        three.deployments.remove(name)
    for fake in fakes:
        assert fake.hold is not None
        fake.hold.set()

    assert {call.result(10).status for call in calls} == {"ok"}


def test_what_rests_rests_in_every_process_and_one_of_them_tries_first(
    open_manager: Open, tmp_path: Path, fakes: list[FakeVendor]
):
    url = fresh(tmp_path)
    mm, other = (open_manager(url, call_timeout_s=10.0) for _ in range(2))
    for name, fake in zip("ab", fakes, strict=False):
        add(mm, name, fake)
    assert until(lambda: len(other.deployments.all()) == 2, 1.0)
    fakes[0].next(*[LIMITED] * 9)

    assert until(lambda: bool(ask(mm) and fakes[0].requests))
    assert until(lambda: ("a", GPT) in other.breakers.states(), 1.0)
    assert answered(other, 20) == {"b": 20}

    assert len(fakes[0].requests) == 1
    mine, theirs = (each.breakers.states()["a", GPT].open_until for each in (mm, other))
    assert theirs - mine >= 2_000_000


def test_each_key_reaches_its_own_host_alone(three: ModelManager, fakes: list[FakeVendor]):
    """Also where one redirects to another, is retried, or falls back."""
    for fake, other in zip(fakes, (*fakes[1:], fakes[0]), strict=True):
        fake.next(failure(307, "elsewhere", headers={"location": f"{other.url}/v1/chat/completions"}), DOWN, LIMITED)
    for _ in range(12):
        ask(three)
    for name in "abc":
        three.deployments.test(name)

    for fake, key in zip(fakes, KEYS, strict=True):
        assert used_keys(fake) == {key}


def test_each_record_says_which(three: ModelManager, fakes: list[FakeVendor]):
    from core.domain.log.filter import LogFilter

    for name in "abb":
        ask(three, f"{name}/gpt-4o")

    found = three.log.search(LogFilter(deployment="b"))
    assert [g.deployment for g in found.calls] == ["b", "b"]


def test_many_failures_at_once_are_one_rest_and_the_longest_counts(three: ModelManager, fakes: list[FakeVendor]):
    import threading

    three.deployments.change("b", priority=2)
    three.deployments.change("c", priority=2)
    fakes[0].next(failure(429, "wait", "", {"retry-after": "200"}), *[failure(503, "down")] * 19)
    fakes[0].hold = threading.Event()
    calls = [three.submit(three.request("Hello", model=GPT)) for _ in range(20)]
    assert until(lambda: len(fakes[0].requests) == 20)
    fakes[0].hold.set()

    assert {call.result(10).status for call in calls} == {"ok"}
    opening = three.breakers.states()["a", GPT]
    assert opening.n_openings == 1
    assert 150 < (opening.open_until - clock.now_us()) / 1e6 <= 200


def test_another_key_ends_a_rest_at_once(three: ModelManager, fakes: list[FakeVendor]):
    fakes[0].key = "sk-Key-that-is-new-0123456789"
    assert ask(three, "a/gpt-4o").status == "error"
    assert until(lambda: bool(ask(three) and ("a", "*") in three.breakers.states()))

    three.deployments.rotate("a", fakes[0].key)

    assert three.breakers.states() == {}
    assert ask(three, "a/gpt-4o").status == "ok"
