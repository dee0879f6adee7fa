"""Calls: every one takes the one path, is retried as promised, and leaves a row that tells the truth."""

import asyncio
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from core import (
    AimmError,
    AuthenticationError,
    Blocked,
    BudgetExceeded,
    ContextTooLong,
    InvalidRequest,
    ModelManager,
    ModelNotFound,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
    TooLarge,
    clock,
)
from core.calls import attempts
from core.calls.attempts import WAIT_INITIAL_S
from core.calls.origin import Origin
from core.config import MAX_PROMPT_BYTES, Settings
from core.domain.experiment import Target, Variant
from core.domain.key import Key
from tests.conftest import Open
from tests.fakes import gemini as wire
from tests.fakes.gemini import FakeGemini, Reply

FLASH = "gemini-2.5-flash"


def test_an_answer_is_logged_as_it_was_given(mm: ModelManager):
    given = mm.generate("Why do cats purr?", model="sim-fast", system="Be brief.", temperature=0.5)

    logged = mm.log.get(given.id)

    assert (logged.text, logged.usage, logged.cost_usd, logged.status) == (
        given.text,
        given.usage,
        given.cost_usd,
        "ok",
    )
    assert (logged.messages[0].text, logged.system, logged.parameters.temperature) == (
        "Why do cats purr?",
        "Be brief.",
        0.5,
    )
    assert sum((receipt.usd for receipt in logged.receipts), Decimal(0)) == logged.cost_usd
    assert mm.monitoring.differences() == []


def test_the_same_request_gets_the_same_simulated_answer(mm: ModelManager):
    first = mm.generate("Name three rivers.", model="sim-balanced", seed=7)
    second = mm.generate("Name three rivers.", model="sim-balanced", seed=7)

    assert (first.text, first.usage) == (second.text, second.usage)


def test_a_stream_is_the_same_text_in_pieces(sqlite_url: str):
    from core.config import Settings

    with ModelManager.open(Settings(database_url=sqlite_url)) as mm:
        pieces = list(mm.stream("Name three rivers.", model="sim-balanced"))
        whole = mm.generate("Name three rivers.", model="sim-balanced").text

    assert len(pieces) > 3
    assert "".join(pieces) == whole


def test_two_failures_then_success_are_three_attempts_of_one_row(mm: ModelManager):
    generation = mm.generate("[[fail:rate_limit:2]] hello", model="sim-fast")

    assert (generation.status, generation.n_attempts) == ("ok", 3)
    assert mm.log.count() == 1


def test_a_call_that_keeps_failing_raises_and_is_logged_without_cost(mm: ModelManager):
    with pytest.raises(RateLimited) as caught:
        mm.generate("[[fail:rate_limit]] hello", model="sim-fast")

    logged = mm.log.get(caught.value.generation_id or "")
    assert (logged.status, logged.error_class, logged.cost_usd) == ("error", "rate_limited", Decimal(0))


def test_a_blocked_prompt_names_its_category_and_is_not_retried(mm: ModelManager):
    with pytest.raises(Blocked) as caught:
        mm.generate("[[fail:block]] hello", model="sim-fast")

    assert caught.value.category == "SAFETY"
    assert mm.log.get(caught.value.generation_id or "").n_attempts == 1


def test_a_broken_stream_keeps_its_text_and_calls_its_cost_an_estimate(mm: ModelManager):
    generation = mm.generate("[[fail:break]] tell me about the sea", model="sim-fast")

    assert (generation.status, generation.cost_status) == ("truncated", "estimated")
    assert generation.text
    assert generation.cost_usd is not None and generation.cost_usd > 0


def test_stop_keeps_the_text_so_far(open_manager, sqlite_url: str):
    from core.config import Settings

    with ModelManager.open(Settings(database_url=sqlite_url)) as slow:
        call = slow.submit(slow.request("Tell a long story about the sea.", model="sim-careful"))
        while not call.view().text:
            time.sleep(0.01)
        call.cancel()
        generation = call.result(5)

    assert (generation.status, generation.cost_status) == ("stopped", "estimated")
    assert len(generation.text) > 0


@pytest.mark.parametrize(
    ("prompt", "parameters", "expected"),
    [
        ("", {}, InvalidRequest),
        ("   \n", {}, InvalidRequest),
        ("x" * (MAX_PROMPT_BYTES + 1), {}, TooLarge),
        ("hi", {"temperature": 3.0}, InvalidRequest),
        ("hi", {"max_tokens": 0}, InvalidRequest),
        ("hi", {"thinking_budget": 10}, InvalidRequest),
        ("hi", {"model": "no-such-model"}, ModelNotFound),
        ("hi", {"model": FLASH}, AuthenticationError),
    ],
)
def test_what_cannot_be_asked_is_refused_before_it_is_sent(mm: ModelManager, prompt, parameters, expected):
    with pytest.raises(expected):
        mm.generate(prompt, **{"model": "sim-fast", **parameters})

    assert mm.log.count() == 0


def test_many_calls_at_once_all_get_their_rows(mm: ModelManager):
    with ThreadPoolExecutor(20) as pool:
        ids = list(pool.map(lambda n: mm.generate(f"Say {n}.", model="sim-fast").id, range(100)))

    assert len(set(ids)) == mm.log.count() == 100
    assert mm.monitoring.differences() == []


def test_content_can_be_kept_out_of_the_database(open_manager, sqlite_url: str):
    mm = open_manager(sqlite_url, log_content="metadata")
    given = mm.generate("My secret recipe.", model="sim-fast", system="Keep quiet.")

    logged = mm.log.get(given.id)

    assert (logged.text, logged.messages, logged.system) == ("", (), None)
    assert logged.usage == given.usage
    assert mm.log.latest(text="recipe") == []


# Gemini, through its real SDK --------------------------------------------------------------------------------------


def test_gemini_gets_what_was_asked_and_its_usage_is_read(with_gemini: ModelManager, gemini: FakeGemini):
    gemini.next(
        wire.answer(
            "Grüße 🌊 aus dem Netz", prompt=1000, candidates=50, thoughtsTokenCount=30, cachedContentTokenCount=200
        )
    )

    g = with_gemini.generate(
        "Hi",
        model=FLASH,
        system="Be kind.",
        temperature=0.3,
        max_tokens=99,
        thinking_budget=64,
        json_schema={"type": "object"},
    )

    sent = gemini.requests[0]["body"]
    assert sent["systemInstruction"]["parts"][0]["text"] == "Be kind."
    assert sent["generationConfig"]["maxOutputTokens"] == 99
    thinking = sent["generationConfig"]["thinkingConfig"]  # the SDK writes either case; the wire takes both
    assert thinking.get("thinkingBudget", thinking.get("thinking_budget")) == 64
    assert sent["generationConfig"]["responseMimeType"] == "application/json"
    assert g.text == "Grüße 🌊 aus dem Netz"
    assert (g.usage.input_tokens, g.usage.cached_tokens, g.usage.output_tokens, g.usage.thinking_tokens) == (
        1000,
        200,
        80,
        30,
    )
    # 800 at 0.30, 200 at 0.03, 80 at 2.50 dollars per million: by hand
    assert g.cost_usd == Decimal("0.000446")
    assert (g.cost_status, g.finish_reason) == ("priced", "stop")


def test_a_conversation_is_sent_with_its_earlier_turns(with_gemini: ModelManager, gemini: FakeGemini):
    from core.domain.generation import Message

    turns = [Message("user", "One?"), Message("model", "Two."), Message("user", "Three?")]
    with_gemini.generate(turns, model=FLASH)  # type: ignore[arg-type]

    assert [content["role"] for content in gemini.requests[0]["body"]["contents"]] == ["user", "model", "user"]


def test_unicode_split_across_writes_arrives_whole(with_gemini: ModelManager, gemini: FakeGemini):
    reply = wire.answer("日本語 🌊 äöü")
    reply.split_at = 3
    gemini.next(reply)

    assert with_gemini.generate("Hi", model=FLASH).text == "日本語 🌊 äöü"


@pytest.mark.parametrize(("attempt", "longest_s"), [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0)])
def test_the_wait_before_another_attempt_doubles(attempt: int, longest_s: float, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(attempts, "WAIT_INITIAL_S", WAIT_INITIAL_S)  # as it was before the tests set it to nothing
    rng, error = random.Random(7), ProviderError("overloaded")

    waits = [attempts.wait_before_retry_s(error, attempt, 60, rng) or 0.0 for _ in range(200)]

    assert 0.1 * longest_s <= min(waits) < 0.2 * longest_s and 0.9 * longest_s < max(waits) <= longest_s
    assert attempts.wait_before_retry_s(error, attempt, 0.1 * longest_s, rng) is None  # it would not fit
    assert attempts.wait_before_retry_s(error, 5, 60, rng) is None


def test_a_429_is_retried_after_the_time_the_vendor_names(with_gemini: ModelManager, gemini: FakeGemini):
    gemini.next(wire.rate_limited(0.4), wire.answer("Now."))

    started = time.monotonic()
    g = with_gemini.generate("Hi", model=FLASH)

    assert (g.text, g.n_attempts, len(gemini.requests)) == ("Now.", 2, 2)
    assert time.monotonic() - started >= 0.4


def test_a_wait_that_does_not_fit_the_deadline_is_not_waited_for(with_gemini: ModelManager, gemini: FakeGemini):
    gemini.next(wire.rate_limited(300))

    with pytest.raises(RateLimited) as caught:
        with_gemini.generate("Hi", model=FLASH)

    assert caught.value.retry_after_s == 300
    assert "GenerateRequestsPerMinute" in caught.value.quota
    assert len(gemini.requests) == 1


@pytest.mark.parametrize(
    ("reply", "expected", "n_requests"),
    [
        (wire.error(404, "NOT_FOUND", "models/x is not found"), ModelNotFound, 1),
        (wire.error(403, "PERMISSION_DENIED", "Permission denied"), AuthenticationError, 1),
        (wire.error(400, "INVALID_ARGUMENT", "Unsupported value"), InvalidRequest, 1),
        (
            wire.error(400, "INVALID_ARGUMENT", "The input token count exceeds the maximum number of tokens allowed"),
            ContextTooLong,
            1,
        ),
        (
            Reply(events=[{"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": wire.usage(9, None)}]),
            Blocked,
            1,
        ),
        (
            Reply(events=[wire.event("Well", usage=wire.usage()), wire.event("", finish="SAFETY", usage=wire.usage())]),
            Blocked,
            1,
        ),
    ],
)
def test_what_cannot_succeed_is_asked_once(with_gemini: ModelManager, gemini: FakeGemini, reply, expected, n_requests):
    gemini.next(reply)

    with pytest.raises(expected) as caught:
        with_gemini.generate("Hi", model=FLASH)

    assert len(gemini.requests) == n_requests
    assert with_gemini.log.get(caught.value.generation_id or "").error_class == caught.value.code


@pytest.mark.parametrize(
    "reply",
    [
        wire.error(500, "INTERNAL", "An internal error"),
        wire.error(503, "UNAVAILABLE", "The model is overloaded"),
        Reply(events=[wire.event("x")], break_after=0),
        Reply(raw=b"data: {not json}\r\n\r\n", headers={"Content-Type": "text/event-stream"}),
        Reply(events=[]),
        Reply(events=[{"candidates": [], "usageMetadata": wire.usage(10, None)}]),
        Reply(raw=b""),
    ],
    ids=["500", "503", "broken before the first byte", "malformed", "no chunk", "no candidates", "empty body"],
)
def test_a_passing_fault_is_retried(with_gemini: ModelManager, gemini: FakeGemini, reply):
    gemini.next(reply, wire.answer("Back again."))

    g = with_gemini.generate("Hi", model=FLASH)

    assert (g.text, g.n_attempts) == ("Back again.", 2)


def test_an_attempt_that_was_billed_and_empty_is_paid_with_the_one_that_followed(
    with_gemini: ModelManager, gemini: FakeGemini
):
    gemini.next(
        Reply(events=[{"candidates": [], "usageMetadata": wire.usage(1000, None)}]),
        wire.answer(prompt=1000, candidates=100),
    )

    g = with_gemini.generate("Hi", model=FLASH)

    assert g.usage.input_tokens == 2000
    assert g.cost_usd == Decimal("0.00085")  # twice 1000 at 0.30 and 100 at 2.50 per million


def test_a_stream_cut_in_the_middle_is_truncated_not_success(with_gemini: ModelManager, gemini: FakeGemini):
    for reply in (
        Reply(events=[wire.event("Half an ", usage=wire.usage()), wire.event("answer")], break_after=1),
        Reply(events=[wire.event("Half an ", usage=wire.usage())]),  # a clean end without a finish reason
    ):
        gemini.next(reply)
        g = with_gemini.generate("Hi", model=FLASH)

        assert (g.status, g.text, g.cost_status) == ("truncated", "Half an ", "estimated")
    assert len(gemini.requests) == 2


def test_a_vendor_that_hangs_meets_the_deadline(open_manager, sqlite_url: str, gemini: FakeGemini):
    mm = open_manager(sqlite_url, gemini, call_timeout_s=0.5)
    gemini.next(Reply(hang_s=3.0, events=[]))

    with pytest.raises(ProviderTimeout) as caught:
        mm.generate("Hi", model=FLASH)

    logged = mm.log.get(caught.value.generation_id or "")
    assert logged.latency_s < 2
    assert logged.cost_status == "estimated"


def test_usage_that_is_missing_is_estimated_and_says_so(with_gemini: ModelManager, gemini: FakeGemini):
    gemini.next(Reply(events=[wire.event("An answer without a bill.", finish="STOP")]))

    g = with_gemini.generate("Hi there", model=FLASH)

    assert (g.status, g.cost_status) == ("ok", "estimated")
    assert g.usage.output_tokens > 0


def test_a_model_without_a_price_costs_unknown_not_nothing(with_gemini: ModelManager, gemini: FakeGemini):
    g = with_gemini.generate("Hi", model="gemini-unpriced-1")

    assert (g.cost_usd, g.cost_status) == (None, "unknown")
    total = with_gemini.monitoring.total(with_gemini.monitoring.window())
    assert (total.n_unpriced, total.unpriced_tokens, total.cost_usd) == (1, 15, 0)


def test_max_tokens_is_an_answer_that_was_cut(with_gemini: ModelManager, gemini: FakeGemini):
    gemini.next(Reply(events=[wire.event("So far", finish="MAX_TOKENS", usage=wire.usage())]))

    g = with_gemini.generate("Hi", model=FLASH)

    assert (g.status, g.finish_reason) == ("ok", "length")


def test_thoughts_are_kept_apart_from_the_answer(with_gemini: ModelManager, gemini: FakeGemini):
    gemini.next(
        Reply(
            events=[
                wire.event("Hmm.", thought=True),
                wire.event("Yes.", finish="STOP", usage=wire.usage(thoughtsTokenCount=7)),
            ]
        )
    )

    g = with_gemini.generate("Hi", model=FLASH)

    assert (g.thinking, g.text, g.usage.thinking_tokens) == ("Hmm.", "Yes.", 7)


def test_stop_cancels_the_vendors_request(with_gemini: ModelManager, gemini: FakeGemini):
    events = [wire.event(f"word{n} ", usage=wire.usage()) for n in range(200)]
    gemini.next(Reply(events=events, pause_s=0.05))
    call = with_gemini.submit(with_gemini.request("Hi", model=FLASH), Origin(source="playground"))
    while not call.view().text:
        time.sleep(0.01)

    call.cancel()

    assert call.result(3).status == "stopped"
    assert gemini.cut_off.wait(3)


def test_the_vendors_own_list_is_what_can_be_asked(with_gemini: ModelManager):
    names = [model.name for model in with_gemini.models()]

    assert names[:2] == ["gemini-2.5-flash", "gemini-2.5-pro"]
    assert names[-3:] == ["sim-fast", "sim-balanced", "sim-careful"]
    assert with_gemini.models.default() == "gemini-3.5-flash"


def test_an_unreachable_vendor_is_a_connection_fault(open_manager, sqlite_url: str, gemini: FakeGemini):
    mm = open_manager(sqlite_url, gemini)
    gemini.close()

    with pytest.raises(ProviderUnavailable):
        mm.generate("Hi", model=FLASH)
    assert mm.vendors.check_key("AIzaSomething0123456789").status == "network"


def test_a_wrong_key_is_named_and_never_shown(open_manager, sqlite_url: str, gemini: FakeGemini, caplog):
    wrong = "AIzaWrongKeyThatNobodyShouldSee0123456"
    mm = open_manager(sqlite_url, gemini, gemini_api_key=wrong)

    with pytest.raises(AuthenticationError) as caught:
        mm.generate("Hi", model=FLASH)

    assert mm.vendors.check_key(wrong).status == "wrong_key"
    logged = mm.log.get(caught.value.generation_id or "")
    assert not any(wrong in text for text in (str(caught.value), repr(mm.settings), logged.error_message, caplog.text))


def test_a_key_that_works_says_so(with_gemini: ModelManager):
    from tests.fakes.gemini import KEY

    check = with_gemini.vendors.check_key(KEY)

    assert check.works
    assert "5 text models" in check.message


def test_a_spent_budget_stops_real_calls_and_no_others(with_gemini: ModelManager, gemini: FakeGemini):
    with_gemini.budgets.create("Tiny", "0.001", action="stop")
    gemini.next(wire.answer(prompt=1000, candidates=300))
    with_gemini.generate("Hi", model=FLASH)

    with pytest.raises(BudgetExceeded) as caught:
        with_gemini.generate("Hi", model=FLASH)

    assert caught.value.budget == "Tiny"
    assert len(gemini.requests) == 1
    assert with_gemini.generate("Hi", model="sim-fast").status == "ok"


def test_a_simulated_empty_answer_is_a_provider_error(mm: ModelManager):
    with pytest.raises(ProviderError):
        mm.generate("[[fail:empty]] hello", model="sim-fast")


# One call, five ways ------------------------------------------------------------------------------------------------


def _streamed(mm: ModelManager, *args: Any, **more: Any) -> str:
    return "".join(mm.stream(*args, **more))


async def _astreamed(mm: ModelManager, *args: Any, **more: Any) -> str:
    return "".join([piece async for piece in mm.astream(*args, **more)])


KEY_OF_ONE = Key(id="k1", name="one", hint="", models=("sim-balanced",), created_at=clock.now())
WAYS: dict[str, Callable[..., str]] = {
    "submit": lambda mm, *args, **more: mm.submit(*args, **more).result().text,
    "generate": lambda mm, *args, **more: mm.generate(*args, **more).text,
    "stream": _streamed,
    "agenerate": lambda mm, *args, **more: asyncio.run(mm.agenerate(*args, **more)).text,
    "astream": lambda mm, *args, **more: asyncio.run(_astreamed(mm, *args, **more)),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_ask_takes_the_same_and_answers_alike(open_manager: Open, sqlite_url: str, way: str):
    mm = open_manager(sqlite_url)
    mm.experiments.create("Which", [Variant(position=at, name="AB"[at], model="sim-fast") for at in (0, 1)])
    mm.aliases.set("ours", Target(model="sim-careful"))
    ask = partial(WAYS[way], mm)
    request = mm.request("Say one.", model="sim-fast", seed=1)

    assert ask("Say one.", model="sim-fast", seed=1) == ask(request) == ask(request.messages, model="sim-fast", seed=1)
    assert ask("Hi") and mm.log.latest(limit=1)[0].model == mm.models.default()
    assert ask("Hi", model="ours", system="Be brief.", max_tokens=5)
    assert mm.log.latest(limit=1)[0].model == "sim-careful"
    assert ask("Hi", Origin(source="cli", tags=("t",)), model="exp:Which", unit="u1")
    logged = mm.log.latest(limit=1)[0]
    assert (logged.source, logged.ref_name, logged.tags) == ("experiment", "experiment:Which", ("t",))

    for refused, names in (
        (lambda: ask("Hi", model="sim-fast", temprature=1), "'temprature' is no parameter. Did you mean temperature"),
        (lambda: ask("Hi", modle="sim-fast"), "'modle' is no parameter. Did you mean model"),
        (lambda: ask(mm.request("Hi", model="sim-fast"), tempurature=1), "'tempurature' is no parameter"),
        (lambda: ask("Hi", model="sim-fast", temperature=9), "temperature == 9, must be"),
        (lambda: ask(request, model="sim-careful"), "model: a Request says this itself"),
        (lambda: ask(request, top_p=1), "top_p: a Request says this itself"),
        (lambda: ask([{"role": "user", "content": "Hi"}], model="sim-fast"), "A prompt is a text"),
        (lambda: ask("Hi", model="exp:Which"), "which user is assigned"),
        (lambda: ask("Hi", model="exp:None"), "no running experiment 'None'"),
        (lambda: ask("Hi", Origin(key=KEY_OF_ONE), model="sim-fast"), "may not"),
    ):
        with pytest.raises(AimmError) as found:
            refused()
        assert names in found.value.text


def test_a_nul_in_an_answer_is_dropped(open_manager, database_url: str, gemini: FakeGemini):
    mm = open_manager(database_url, gemini)
    gemini.next(wire.answer("a\x00b and more"))

    g = mm.generate("Hi", model=FLASH)

    assert mm.log.get(g.id).text == "ab and more"


def test_whoever_stops_waiting_does_not_stop_the_call(sqlite_url: str):
    with ModelManager.open(Settings(database_url=sqlite_url)) as mm:
        request = mm.request("Tell a story.", model="sim-balanced")

        async def impatient() -> str:
            call = mm.submit(request, Origin(source="api"))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.wrap_future(call.done), 0.05)
            return call.id

        call = mm.calls.running(asyncio.run(impatient()))
        assert call is not None
        assert call.result(10).status == "ok"


def test_an_answer_that_was_whole_is_whole_though_the_connection_broke_after_it(
    open_manager, sqlite_url: str, gemini: FakeGemini
):
    mm = open_manager(sqlite_url, gemini)
    gemini.next(
        Reply(events=[wire.event("All of it.", finish="STOP", usage=wire.usage()), wire.event("x")], break_after=1)
    )

    g = mm.generate("Hi", model=FLASH)

    assert (g.status, g.cost_status, g.text) == ("ok", "priced", "All of it.")


def test_empty_answers_without_a_count_are_estimated_not_free(open_manager, sqlite_url: str, gemini: FakeGemini):
    mm = open_manager(sqlite_url, gemini, call_timeout_s=3.0)
    gemini.next(*[Reply(events=[])] * 9)

    with pytest.raises(Exception, match="nothing at all") as caught:
        mm.generate("Hi", model=FLASH)

    logged = mm.log.get(caught.value.generation_id)  # type: ignore[attr-defined]
    assert logged.cost_status == "estimated"
    assert logged.cost_usd is not None and logged.cost_usd > 0


def test_a_blocked_prompt_without_a_count_costs_nothing(open_manager, sqlite_url: str, gemini: FakeGemini):
    mm = open_manager(sqlite_url, gemini)
    gemini.next(Reply(events=[{"promptFeedback": {"blockReason": "SAFETY"}}]))

    with pytest.raises(Exception, match="SAFETY") as caught:
        mm.generate("Hi", model=FLASH)

    logged = mm.log.get(caught.value.generation_id)  # type: ignore[attr-defined]
    assert (logged.cost_usd, logged.cost_status) == (0, "priced")
