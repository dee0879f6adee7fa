"""Limits that are kept: those of keys and their users, and those that vendors tell of."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import openai
import pytest

from core import ModelManager, RateLimited
from core.calls.origin import Origin
from core.domain.generation import Generation
from tests.builders import GPT, Running, running_gateway
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


@pytest.mark.parametrize("reset", ["0.3", "300ms"])
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
