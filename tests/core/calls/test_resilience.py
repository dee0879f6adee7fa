"""Models that step in for others, and circuits that open."""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import openai
import pytest

from core import AimmError, ModelManager, ProviderUnavailable, clock, testing
from core.calls import breaker
from core.calls.origin import Origin
from core.domain.experiment import Target, Variant
from core.domain.generation import Generation
from core.errors import CircuitOpen
from tests.builders import CLAUDE, FLASH, GPT, HELLO, Running, running_gateway
from tests.conftest import Open, SetClock, copied
from tests.fakes.vendors import KEY, FakeVendor, failure, openai_answer

DOWN = failure(503, "down", headers={"retry-after": "60"})


@pytest.fixture(scope="module")
def served(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    url = copied(sqlite_template, tmp_path_factory.mktemp("resilience"))
    with running_gateway(url, call_timeout_s=2.0) as running:
        running.mm.budgets.create("all", "1000", action="stop")
        yield running


@pytest.fixture(autouse=True)
def forgetful(served: Running) -> None:
    served.forget()


def the_last(served: Running, n: int) -> list[Generation]:
    return [served.mm.log.get(row.id) for row in served.mm.log.latest(limit=n)]


@pytest.mark.parametrize("way", ["body", "header", "alias"])
@pytest.mark.parametrize("streamed", [False, True])
def test_another_model_steps_in(served: Running, way: str, streamed: bool):
    served.vendor.next(DOWN)
    before = served.mm.log.count()
    model, more = GPT, {"x-aimm-fallbacks": f"{FLASH}, sim-fast"} if way == "header" else {}
    body: dict[str, Any] = {"fallbacks": [FLASH, "sim-fast"]} if way == "body" else {}
    if way == "alias":
        served.mm.aliases.set("safe", Target(model=GPT, fallbacks=(FLASH, "sim-fast")))
        model = "safe"
    heard = served.post("/v1/chat/completions", {"model": model, "messages": HELLO, "stream": streamed, **body}, more)

    assert (heard.status, heard.headers["x-aimm-model"]) == (200, FLASH)
    assert heard.headers["x-aimm-fallback"] == f"{GPT} provider_unavailable"
    assert b"Hello from" in heard.body
    answer, failed = sorted(the_last(served, 2), key=lambda row: row.status != "ok")
    assert served.mm.log.count() == before + 2
    assert (answer.model, answer.status, answer.id) == (FLASH, "ok", heard.headers["x-aimm-request-id"])
    assert (failed.model, failed.status, failed.error_class) == (GPT, "error", "provider_unavailable")
    assert answer.id in failed.note and f"Fell back to {FLASH}" in failed.note
    assert f"Fell back from {GPT}" in answer.note
    assert "fallbacks" not in served.vendor.requests[0]["body"]
    assert served.books_agree()


def test_the_chain_goes_on_to_its_end(served: Running):
    served.vendor.next(DOWN, failure(429, "slow", headers={"retry-after": "60"}))
    heard = served.chat(GPT, extra_body={"fallbacks": [CLAUDE, "sim-fast"]})

    assert heard.headers["x-aimm-model"] == "sim-fast"
    assert heard.headers["x-aimm-fallback"] == f"{GPT} provider_unavailable"
    assert [row.model for row in the_last(served, 3) if row.status == "error"] in ([GPT, CLAUDE], [CLAUDE, GPT])
    assert served.books_agree()  # a simulated model pays nothing, and what was reserved for the others is free again


def test_where_all_fail_the_last_error_is_the_answer(served: Running):
    served.vendor.next(DOWN, failure(429, "slow", headers={"retry-after": "60"}))
    before = served.mm.log.count()

    with pytest.raises(openai.RateLimitError):
        served.chat(GPT, extra_body={"fallbacks": [CLAUDE]})

    assert served.mm.log.count() == before + 2
    assert {(row.model, row.status) for row in the_last(served, 2)} == {(GPT, "error"), (CLAUDE, "error")}
    assert served.books_agree()


def test_a_fallback_that_is_none_leaves_nothing_reserved(served: Running):
    served.vendor.next(DOWN)

    with pytest.raises(openai.InternalServerError, match="down"):
        served.chat(GPT, extra_body={"fallbacks": ["no-such-model"]})

    testing.flush(served.mm)
    assert (served.row().model, served.row().status) == (GPT, "error")
    assert served.books_agree()


def test_after_text_was_shown_nobody_steps_in(served: Running):
    served.vendor.next(replace(openai_answer("Half of it, and more"), break_after=1))

    with pytest.raises(openai.APIError, match="broke off"):
        served.stream(GPT, extra_body={"fallbacks": ["sim-fast"]})

    assert (served.row().model, served.row().status) == (GPT, "truncated")


def test_a_wrong_request_is_wrong_everywhere(served: Running):
    served.vendor.next(failure(400, "wrong"))

    with pytest.raises(openai.BadRequestError):
        served.chat(GPT, extra_body={"fallbacks": ["sim-fast"]})

    assert served.row().model == GPT


REFUSED = failure(400, "temperature is deprecated for this model", "invalid_request_error")
ASKED = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}


@pytest.mark.parametrize("status", [400, 413, 422])
@pytest.mark.parametrize(
    ("path", "body", "fallbacks", "answers"),
    [
        ("/v1/chat/completions", {"model": CLAUDE, "messages": HELLO, "temperature": 0.2}, GPT, GPT),
        ("/v1/chat/completions", {"model": CLAUDE, "messages": HELLO, "stream": True}, f"claude-opus-4-7,{GPT}", GPT),
        ("/v1/chat/completions", {"model": CLAUDE, "messages": HELLO}, "claude-opus-4-7", None),
        ("/v1/chat/completions", {"model": CLAUDE, "messages": HELLO}, "sim-fast", "sim-fast"),
        ("/v1/chat/completions", {"model": GPT, "messages": HELLO}, FLASH, FLASH),
        ("/v1/chat/completions", {"model": GPT, "messages": HELLO}, "vllm/my-model", None),
        (f"/gemini/v1beta/models/{CLAUDE}:generateContent", ASKED, f"nobody,{FLASH}", FLASH),
        (f"/gemini/v1beta/models/{GPT}:generateContent", ASKED, CLAUDE, CLAUDE),
    ],
)  # fmt: skip
def test_a_refused_request_goes_on_to_a_model_of_another_wire(
    served: Running, path: str, body: dict[str, Any], fallbacks: str, answers: str | None, status: int
):
    served.vendor.next(replace(REFUSED, status=status))
    before = served.mm.log.count()

    heard = served.post(path, body, {"x-aimm-fallbacks": fallbacks})

    rows = {row.model: row for row in the_last(served, served.mm.log.count() - before)}
    if answers is None:
        assert heard.status in (400, 413, 422) and len(rows) == 1
        return
    assert (heard.status, heard.headers["x-aimm-model"]) == (200, answers), heard.body
    [refused] = [row for row in rows.values() if row.model != answers]
    assert len(rows) == 2 and (refused.status, refused.cost_usd) == ("error", 0)
    assert "temperature is deprecated" in refused.error_message and f"Fell back to {answers}" in refused.note
    assert refused.messages == rows[answers].messages and "Fell back from" in rows[answers].note


def test_a_model_that_hangs_leaves_the_next_one_its_share_of_the_time(served: Running):
    served.vendor.next(replace(openai_answer(), hang_s=1.8))
    started = time.monotonic()

    heard = served.chat(GPT, extra_body={"fallbacks": [FLASH]})

    assert heard.headers["x-aimm-fallback"] == f"{GPT} provider_timeout"
    assert time.monotonic() - started > 0.9


def test_an_experiment_counts_the_call_once(served: Running):
    variants = [Variant(position=at, name=name, model=GPT) for at, name in enumerate("AB")]
    made = served.mm.experiments.create("falls", hypothesis="h", variants=variants)
    served.vendor.next(DOWN)

    heard = served.chat("exp:falls", user="u1", extra_body={"fallbacks": ["sim-fast"]})

    assert heard.headers["x-aimm-model"] == "sim-fast"
    rows = [row for row in served.rows() if row.ref_id == made.id]
    assert [row.id for row in rows] == [heard.headers["x-aimm-request-id"]]
    assert served.mm.experiments.differences() == []


# Circuits that open


@pytest.fixture
def vendor() -> Iterator[FakeVendor]:
    server = FakeVendor()
    yield server
    server.close()


def settings_of(vendor: FakeVendor) -> dict[str, Any]:
    return {"openai_api_key": KEY, "openai_base_url": f"{vendor.url}/v1", "call_timeout_s": 5.0}


def ask(mm: ModelManager, origin: Origin | None = None) -> Generation:
    return mm.submit(mm.request("Hello", model=GPT), origin or Origin()).result(10)


def test_a_model_that_fails_again_and_again_is_left_alone_until_one_call_finds_it_well(
    open_manager: Open, database_url: str, vendor: FakeVendor, set_clock: SetClock
):
    mm, other = (open_manager(database_url, **settings_of(vendor)) for _ in range(2))
    vendor.next(*[failure(503, "down", headers={"retry-after": "0.001"})] * 50)
    for _ in range(10):
        assert ask(mm).n_attempts == 5
    n = len(vendor.requests)

    refused = ask(mm)
    other.breakers.refresh()
    elsewhere = ask(other)

    assert [(g.status, g.error_class, g.n_attempts, g.cost_usd) for g in (refused, elsewhere)] == [("error", "circuit_open", 0, 0)] * 2  # fmt: skip
    assert len(vendor.requests) == n == 50
    # When its time is up, one call tries; it finds the vendor well, for all.
    set_clock(clock.now() + timedelta(seconds=breaker.OPEN_S + 1))
    vendor.next(replace(openai_answer(), hang_s=0.3))
    probe = mm.submit(mm.request("Hello", model=GPT), Origin())
    while len(vendor.requests) == n:
        time.sleep(0.01)
    beside = ask(mm)
    assert (beside.error_class, probe.result(5).status) == ("circuit_open", "ok")
    assert ask(mm).status == "ok"
    testing.flush(mm)
    other.breakers.refresh()
    assert ask(other).status == "ok"


@pytest.mark.parametrize("status", [400, 401, 404, 429])
def test_what_is_no_fault_of_the_vendor_leaves_it_open(
    open_manager: Open, sqlite_url: str, vendor: FakeVendor, status: int
):
    mm = open_manager(sqlite_url, **settings_of(vendor))
    vendor.next(*[failure(status, "no", "insufficient_quota")] * 12)
    for _ in range(12):
        ask(mm)

    assert ask(mm).status == "ok"
    assert mm.breakers.states() == {}


@pytest.mark.parametrize(
    ("statuses", "n_prompts", "is_open"),
    [
        ([500] * 15, 1, False),  # one bad request, again and again
        ([500] * 30, 2, False),
        ([504] * 15, 1, False),  # too large a request to be answered in time
        ([500] * 12, 12, True),
        ([503] * 12, 1, True),  # a server that is down is so for every request
        ([503] * 9, 9, False),
        ([503, 200, 200] * 12, 36, False),  # a third fails
        ([503, 503, 200] * 12, 36, True),
        ([400, 403, 404, 413, 422] * 5, 25, False),
        ([*[401] * 12, *[503] * 9], 21, False),
    ],
)
def test_a_door_shuts_by_the_share_of_distinct_requests_that_failed(
    open_manager: Open, sqlite_url: str, vendor: FakeVendor, statuses: list[int], n_prompts: int, is_open: bool
):
    mm = open_manager(sqlite_url, **settings_of(vendor))
    down = {"retry-after": "60"}  # one attempt each
    for at, status in enumerate(statuses):
        vendor.next(openai_answer() if status == 200 else failure(status, "no", headers=down))
        mm.submit(mm.request(f"Prompt {at % n_prompts}", model=GPT), Origin()).result(10)
        if mm.breakers.states():
            break
    vendor.forget()

    assert bool(mm.breakers.states()) is is_open
    assert ask(mm).status == ("error" if is_open else "ok")


def test_a_request_that_takes_longer_than_its_caller_waits_shuts_no_door(
    open_manager: Open, sqlite_url: str, vendor: FakeVendor
):
    mm = open_manager(sqlite_url, **settings_of(vendor) | {"call_timeout_s": 0.5})
    vendor.next(*[replace(openai_answer(), hang_s=1.0)] * 12)
    calls = [mm.submit(mm.request("Hello", model=GPT), Origin()) for _ in range(12)]

    assert {call.result(10).error_class for call in calls} == {"provider_timeout"}
    assert mm.breakers.states() == {}


def test_only_the_call_that_tries_says_what_becomes_of_a_door_that_is_shut(
    mm: ModelManager, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(breaker, "OPEN_S", 0)
    *failed, probe, late = [mm.submit(mm.request(str(n), model="sim-fast"), Origin()) for n in range(12)]
    for call in failed:
        mm.breakers.failed("openai", GPT, ProviderUnavailable("down"), call)
    mm.breakers.check("openai", GPT, probe)

    mm.breakers.left("openai", GPT, late)  # one from before the door was shut
    with pytest.raises(CircuitOpen):
        mm.breakers.check("openai", GPT, late)
    mm.breakers.left("openai", GPT, probe)  # it ended before anything was known
    mm.breakers.check("openai", GPT, late)


def test_attempts_of_one_request_are_one_failure(open_manager: Open, sqlite_url: str, vendor: FakeVendor):
    mm = open_manager(sqlite_url, **settings_of(vendor))
    vendor.next(*[failure(503, "down", headers={"retry-after": "0.001"})] * 20)

    assert [ask(mm).n_attempts for _ in range(4)] == [5] * 4
    assert mm.breakers.states() == {}


def test_a_failed_probe_closes_the_door_for_longer(
    open_manager: Open, sqlite_url: str, vendor: FakeVendor, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(breaker, "OPEN_S", 0)
    mm = open_manager(sqlite_url, **settings_of(vendor))
    vendor.next(*[failure(503, "down", headers={"retry-after": "60"})] * 11)
    for _ in range(11):
        ask(mm)

    assert mm.breakers.states()["openai", GPT].n_openings == 2


def test_a_probe_that_is_refused_has_found_the_vendor_there(
    open_manager: Open, database_url: str, vendor: FakeVendor, monkeypatch: pytest.MonkeyPatch
):
    for name in ("OPEN_S", "OTHERS_WAIT_S", "SETTLED_S"):
        monkeypatch.setattr(breaker, name, 0)
    mm, other = (open_manager(database_url, **settings_of(vendor)) for _ in range(2))
    vendor.next(*[failure(503, "down", headers={"retry-after": "60"})] * 10, failure(400, "wrong"))
    for _ in range(10):
        ask(other)
    mm.breakers.refresh()
    assert mm.breakers.states()

    assert ask(mm).error_class == "invalid_request"
    assert mm.breakers.states() == {}
    # The process that had counted the failures begins to count anew.
    testing.flush(mm)
    other.breakers.refresh()
    vendor.next(failure(503, "down", headers={"retry-after": "60"}))
    ask(other)
    assert other.breakers.states() == {}


def test_a_door_that_is_shut_is_a_503_that_says_until_when(served: Running):
    served.vendor.next(*[DOWN] * 10)
    for _ in range(10):
        with pytest.raises(openai.InternalServerError):
            served.chat("vllm/broken")

    with pytest.raises(openai.InternalServerError) as caught:
        served.chat("vllm/broken")

    assert (caught.value.status_code, len(served.vendor.requests)) == (503, 10)
    assert 5 <= int(caught.value.response.headers["retry-after"]) <= 10
    assert served.chat("vllm/broken", extra_body={"fallbacks": ["sim-fast"]}).headers["x-aimm-model"] == "sim-fast"


def test_callers_who_leave_while_a_budget_is_asked_leave_the_writer_alive(served: Running):
    served.mm.budgets.create("cap", 100, action="stop")

    async def leave(n: int) -> None:
        call = await served.mm.asubmit("Hello", model=GPT)
        await asyncio.sleep(n % 7 / 2000)
        call.cancel()
        with contextlib.suppress(AimmError):
            await asyncio.wrap_future(call.done)

    async def all_of_them() -> None:
        await asyncio.gather(*(leave(n) for n in range(120)))

    asyncio.run(all_of_them())

    assert served.mm.generate("Hello", model="sim-fast").text
    assert served.books_agree()


def test_an_attempt_that_broke_without_a_count_is_estimated(served: Running):
    served.vendor.next(replace(openai_answer("Hello"), break_after=0))
    served.chat(GPT)

    row = served.row()
    assert (row.n_attempts, row.cost_status, len(row.usages)) == (2, "estimated", 2)


def test_a_chain_has_an_end(served: Running):
    with pytest.raises(openai.BadRequestError, match="at most 5"):
        served.chat(GPT, extra_body={"fallbacks": ["sim-fast"] * 6})
