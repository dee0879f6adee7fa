"""Deployments that accept and then say nothing, and requests that hold what only one deployment can read."""

from pathlib import Path

import pytest

from core import ModelManager
from core.domain.generation import Message, Request
from tests.builders import CLAUDE, GPT, until
from tests.conftest import Open, fresh
from tests.core.models.test_deployments import add, ask
from tests.fakes.gemini import FakeGemini
from tests.fakes.vendors import FakeVendor, Reply, failure, openai_answer

UNREADABLE = failure(400, "The encrypted content gAAA could not be verified.", "invalid_encrypted_content")
LIMITED = failure(429, "too many", "rate_limit_exceeded", {"retry-after": "200"})


@pytest.fixture
def two(open_manager: Open, tmp_path: Path, fakes: list[FakeVendor]) -> ModelManager:
    """A manager with the deployments a and b, of which a is asked first."""
    mm = open_manager(fresh(tmp_path), call_timeout_s=1.0)
    for name, fake, priority in zip("ab", fakes, (1, 2), strict=False):
        add(mm, name, fake, priority=priority)
    return mm


def test_one_that_hangs_is_asked_once_and_the_others_serve(two: ModelManager, fakes: list[FakeVendor]):
    two.budgets.create(name="all", limit_usd="5", period="month")
    fakes[0].next(*[Reply(hang_s=1.2)] * 9)

    found = [ask(two) for _ in range(4)]

    assert [(g.status, g.deployment) for g in found] == [("ok", "b")] * 4
    assert (len(fakes[0].requests), found[0].n_attempts) == (1, 2)
    assert two.breakers.states()["a", GPT].code == "provider_timeout"
    # What the silent one may bill is estimated, and nothing stays reserved.
    assert (found[0].cost_status, found[1].cost_status) == ("estimated", "priced")
    assert two.budgets.statuses()[0].reserved_usd == 0
    assert ask(two, "a/gpt-4o").error_class == "circuit_open"  # by its name, too, it is left alone


def test_one_that_stops_in_the_midst_rests_and_a_long_answer_does_not(two: ModelManager, fakes: list[FakeVendor]):
    stalled, long = openai_answer("Half of it"), openai_answer("Slowly it comes")
    stalled.pause_s = 1.5
    fakes[0].next(stalled)
    assert (ask(two).status, ask(two).deployment) == ("truncated", "b")
    assert set(two.breakers.states()) == {("a", GPT)}

    two.deployments.test("a")
    long.events, long.pause_s = [long.events[0]] * 20, 0.1
    fakes[0].next(long)
    assert (ask(two).status, ask(two).deployment) == ("truncated", "a")
    assert two.breakers.states() == {}


def test_a_stopped_call_leaves_nothing_at_a_silent_one(two: ModelManager, fakes: list[FakeVendor]):
    two.budgets.create(name="all", limit_usd="5", period="month")
    fakes[0].next(Reply(hang_s=0.5))
    call = two.submit(two.request("Hello", model=GPT))
    assert until(lambda: bool(fakes[0].requests))
    call.cancel()

    assert call.result(5).status == "stopped"
    assert (fakes[1].requests, two.breakers.states(), two.budgets.statuses()[0].reserved_usd) == ([], {}, 0)


def test_encrypted_reasoning_goes_to_who_can_read_it_and_is_no_fault(two: ModelManager, fakes: list[FakeVendor]):
    fakes[0].next(UNREADABLE)

    assert ask(two).deployment == "b"
    assert two.breakers.states() == {}


def test_where_its_maker_rests_the_error_says_so_and_when(two: ModelManager, fakes: list[FakeVendor]):
    fakes[0].next(LIMITED)
    fakes[1].next(UNREADABLE)

    found = two.submit(two.request("Hello", model=GPT))

    assert (found.result(5).error_class, found.error.message[-8:]) == ("provider_unavailable", "a rests.")  # type: ignore[union-attr]
    assert 100 < (found.error.retry_after_s or 0) <= 200  # type: ignore[union-attr]
    two.deployments.test("a")
    fakes[0].next(UNREADABLE)
    fakes[1].next(UNREADABLE)
    assert ask(two).error_class == "invalid_request"  # nobody that is here has made it


def test_each_is_asked_only_for_what_it_has(open_manager: Open, tmp_path: Path, fakes: list[FakeVendor]):
    """Vertex has no embeddings here, Bedrock counts no tokens: another deployment of the vendor does both."""
    gemini, vertex = FakeGemini(key="AIza" + "0" * 35), FakeGemini(key="AIza" + "1" * 35)
    mm = open_manager(fresh(tmp_path), gemini_api_key=gemini.key, gemini_base_url=gemini.url, call_timeout_s=5.0)
    mm.deployments.add("vertex", "vertex", vertex.key, url=vertex.url, is_private=True, weight=1000)
    add(mm, "bedrock", fakes[0], kind="bedrock", weight=1000, vendor="anthropic", models={CLAUDE: "there"})
    add(mm, "own", fakes[1], kind="anthropic", url=fakes[1].url)

    text = (Message("user", "Hello"),)
    asked = Request(model="gemini/gemini-embedding-001", messages=text, operation="embeddings")
    made = [mm.submit(asked).result(5) for _ in range(3)]
    counts = [mm.count_tokens(mm.request("Hello", model=CLAUDE)) for _ in range(4)]

    assert [(g.status, g.deployment) for g in made] == [("ok", "")] * 3 and vertex.requests == []
    assert counts == [42] * 4 and fakes[0].requests == []
    gemini.close()
    vertex.close()
