"""Limits that are kept: those of keys and their users, and those that vendors tell of."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import openai
import pytest

from core import ModelManager, RateLimited, clock
from core.calls import limits
from core.calls.call import Call
from core.calls.origin import Origin
from core.config import Settings
from core.domain.generation import Generation
from tests.builders import GPT, HELLO, Running, running_gateway
from tests.conftest import Open, copied
from tests.fakes.vendors import KEY, FakeVendor, openai_answer


@pytest.fixture(scope="module")
def served(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_gateway(copied(sqlite_template, tmp_path_factory.mktemp("limits"))) as running:
        yield running


@pytest.fixture
def vendor() -> Iterator[FakeVendor]:
    server = FakeVendor()
    yield server
    server.close()


def settings_of(vendor: FakeVendor) -> dict[str, Any]:
    return {"openai_api_key": KEY, "openai_base_url": f"{vendor.url}/v1", "call_timeout_s": 5.0}


def ask(mm: ModelManager, origin: Origin | None = None) -> Generation:
    return mm.submit(mm.request("Hello", model=GPT), origin or Origin()).result(10)


def test_a_key_and_each_of_its_users_have_limits(served: Running):
    _, secret = served.mm.keys.create("limited", rpm=3, user_rpm=2)
    for user in ("u1", "u1"):
        served.chat("sim-fast", key=secret, user=user)

    with pytest.raises(openai.RateLimitError) as of_user:
        served.chat("sim-fast", key=secret, user="u1")
    served.chat("sim-fast", key=secret, user="u2")
    with pytest.raises(openai.RateLimitError) as of_key:
        served.chat("sim-fast", key=secret, user="u3")

    assert "this user is 2" in of_user.value.message and "this key is 3" in of_key.value.message
    for error in (of_user.value, of_key.value):
        assert 50 <= int(error.response.headers["retry-after"]) <= 60
        assert error.response.headers["x-aimm-reason"] == "rate_limited"
        assert error.code == "rate_limit_exceeded"


@pytest.mark.postgres
def test_a_limit_is_exact_across_processes(open_manager: Open, postgres_url: str):
    managers = [open_manager(postgres_url) for _ in range(2)]
    key, _ = managers[0].keys.create("shared", rpm=10)

    def one(n: int) -> bool:
        mm = managers[n % 2]
        try:
            return mm.submit(mm.request("Hi", model="sim-fast"), Origin(key=key)).result(20).status == "ok"
        except RateLimited:
            return False

    with ThreadPoolExecutor(40) as pool:
        answered = list(pool.map(one, range(40)))

    assert sum(answered) == managers[0].log.count() == 10


@pytest.mark.parametrize("reset", ["0.7", "700ms"])
def test_a_vendor_that_is_used_up_is_asked_when_it_said(
    open_manager: Open, sqlite_url: str, vendor: FakeVendor, reset: str
):
    mm = open_manager(sqlite_url, **settings_of(vendor))
    used_up = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": reset}
    vendor.next(replace(openai_answer(), headers=used_up))
    ask(mm)
    started = time.monotonic()

    assert ask(mm).status == "ok"
    assert time.monotonic() - started > 0.2
    assert len(vendor.requests) == 2


def test_where_the_vendor_takes_too_long_callers_hear_at_once(open_manager: Open, sqlite_url: str, vendor: FakeVendor):
    mm = open_manager(sqlite_url, **settings_of(vendor))
    used_up = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}
    vendor.next(replace(openai_answer(), headers=used_up))
    ask(mm)

    call = mm.submit(mm.request("Hello", model=GPT), Origin())
    with pytest.raises(RateLimited) as caught:
        call.answered(call.result(2))

    assert 9 < (caught.value.retry_after_s or 0) <= 10  # then one asks, whatever the vendor said
    assert len(vendor.requests) == 1


def test_tokens_a_minute_are_estimated_first_and_counted_at_the_end(served: Running):
    _, secret = served.mm.keys.create("tokens", tpm=60, user_tpm=1000, rpm=50)
    first = served.chat("sim-fast", key=secret, user="u1")
    took = first.parse().usage.total_tokens
    assert 20 < took < 50
    second = served.client(secret).chat.completions.with_raw_response.create
    with pytest.raises(openai.RateLimitError) as too_many:
        second(model="sim-fast", messages=HELLO, max_tokens=60 - took)
    with pytest.raises(openai.RateLimitError) as too_large:
        second(model="sim-fast", messages=HELLO, max_tokens=100)

    assert first.headers["x-ratelimit-limit-tokens"] == "60" and first.headers["x-ratelimit-remaining-requests"] == "49"
    assert (
        int(first.headers["x-ratelimit-remaining-tokens"]) < 60 and first.headers["x-ratelimit-reset-tokens"] == "1m0s"
    )
    assert "this key is 60 tokens a minute" in too_many.value.message
    told = too_many.value.response.headers
    assert (told["x-ratelimit-remaining-tokens"], told["x-ratelimit-limit-tokens"]) == ("0", "60")
    assert 50 <= int(told["retry-after"]) <= 60
    assert (
        "This request alone may take" in too_large.value.message
        and "retry-after" not in too_large.value.response.headers
    )
    served.chat("sim-fast", key=secret, max_tokens=60 - took - 5)  # what was refused counted for nothing


def test_calls_at_once_are_bounded_and_free_as_they_end(open_manager: Open, sqlite_url: str):
    with ModelManager.open(Settings(database_url=sqlite_url), simulated_speed=1) as mm:
        key, _ = mm.keys.create("narrow", max_parallel=3, user_max_parallel=2)

        def begun(user: str) -> Call:
            call = mm.submit(mm.request("Hello", model="sim-careful"), Origin(key=key, user_id=user))
            time.sleep(0.02)
            return call

        calls = [begun(user) for user in ("u1", "u1", "u1", "u2", "u3")]
        refused, running = calls[2::2], [calls[0], calls[1], calls[3]]
        heard = [str(each.done.exception(5)) for each in refused]
        running[0].cancel()
        running[0].done.result(5)
        again = begun("u3")
        assert [each.result(10).status for each in (*running, again)] == ["stopped", "ok", "ok", "ok"]

    assert ["this user is 2 calls at the same time" in heard[0], "this key is 3 calls" in heard[1]] == [True, True]


@pytest.mark.postgres
def test_calls_at_once_and_tokens_are_exact_across_processes(open_manager: Open, postgres_url: str):
    managers = [open_manager(postgres_url) for _ in range(2)]
    key, _ = managers[0].keys.create("shared", max_parallel=4, tpm=100_000)
    asked = [
        managers[n % 2].submit(managers[n % 2].request("Hi", model="sim-fast"), Origin(key=key)) for n in range(40)
    ]
    errors = [call.done.exception(20) for call in asked]
    n_tokens = sum(g.usage.input_tokens + g.usage.output_tokens for g in managers[0].log.latest(limit=100))

    assert {type(error) for error in errors} == {RateLimited, type(None)}
    for mm in managers:
        mm._writer.run(lambda _: None)  # behind what ended calls gave back
    with managers[0].database.read() as link:
        counted = dict(link.exec_driver_sql("SELECT name, sum(amount) FROM rate_hits GROUP BY name").all())
    assert {name: int(n) for name, n in counted.items()} == {f"tokens:key:{key.id}": n_tokens}  # no call is under way


def test_the_limit_of_a_team_is_exact_in_two_processes_on_either_database(open_manager: Open, database_url: str):
    managers = [open_manager(database_url) for _ in range(2)]
    managers[0].teams.set("red", rpm=10, max_parallel=1000)
    keys = [managers[0].keys.create(name, team="red", rpm=100)[0] for name in ("one", "two")]
    other = managers[0].keys.create("other", team="blue")[0]
    asked = [
        managers[n % 2].submit(
            managers[n % 2].request("Hi", model="sim-fast"), Origin(key=other if n >= 40 else keys[n // 2 % 2])
        )
        for n in range(44)
    ]
    errors = [call.done.exception(20) for call in asked]

    refused = [error for error in errors if error is not None]
    assert len(refused) == 30 and None in errors[:10] and errors[40:] == [None] * 4
    assert {(type(error), str(error)) for error in refused} == {
        (RateLimited, "The limit of the team red is 10 requests a minute.")
    }


def test_answers_tell_the_tightest_of_key_user_and_team(served: Running):
    served.mm.teams.set("green", rpm=3, tpm=1_000_000)
    _, secret = served.mm.keys.create("green", team="green", rpm=50, user_rpm=20, tpm=900)
    told = served.chat("sim-fast", key=secret, user="u1").headers
    served.chat("sim-fast", key=secret, user="u2")
    served.chat("sim-fast", key=secret, user="u3")
    with pytest.raises(openai.RateLimitError) as too_many:
        served.chat("sim-fast", key=secret, user="u4")
    served.mm.teams.set("green")
    served.chat("sim-fast", key=secret, user="u4")

    assert (told["x-ratelimit-limit-requests"], told["x-ratelimit-remaining-requests"]) == ("3", "2")
    assert told["x-ratelimit-limit-tokens"] == "900"
    assert "the team green is 3 requests" in too_many.value.message
    assert 50 <= int(too_many.value.response.headers["retry-after"]) <= 60


def test_a_budget_says_when_it_has_room_again(served: Running):
    key, secret = served.mm.keys.create("poor")
    served.mm.budgets.create(name="Tiny", limit_usd="0.000001", period="day", scope=f"key:{key.id}", action="stop")
    with pytest.raises(openai.RateLimitError) as spent:
        served.chat(GPT, key=secret)

    told = spent.value.response.headers
    assert (told["x-aimm-reason"], told["x-should-retry"]) == ("budget_exceeded", "false")
    ends_at = datetime.fromisoformat(told["x-aimm-budget-resets"])
    assert (
        0 < int(told["retry-after"]) <= 86_400
        and abs((ends_at - clock.now()).total_seconds() - int(told["retry-after"])) < 90
    )


def test_a_call_ends_although_its_limit_was_forgotten_meanwhile(
    open_manager: Open, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
):
    mm = open_manager(sqlite_url)
    key, _ = mm.keys.create("many users", tpm=100_000, user_max_parallel=2)
    monkeypatch.setattr(limits, "MAX_NAMES", 0)
    monkeypatch.setattr(limits, "WINDOW_US", 0)  # all that was counted is old at once

    calls = [mm.submit(mm.request("Hi", model="sim-fast"), Origin(key=key, user_id=f"u{n}")) for n in range(3)]

    assert [call.result(10).status for call in calls] == ["ok"] * 3
