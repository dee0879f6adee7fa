"""Gemini's wire under /gemini, asked by google-genai itself: faults, fallbacks, counts, and callers who leave."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google import genai
from google.genai import errors, types

from core.domain.experiment import Target
from tests.builders import CLAUDE, FLASH, GPT, Running, running_gateway
from tests.conftest import copied
from tests.fakes import gemini as gemini_fake
from tests.fakes.gemini import event, usage
from tests.fakes.vendors import anthropic_answer, failure, openai_answer

MODELS = {"gemini": FLASH, "openai": GPT, "anthropic": CLAUDE}
each_vendor = pytest.mark.parametrize("vendor", MODELS)
both_ways = pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])


@pytest.fixture(scope="module")
def served(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    url = copied(sqlite_template, tmp_path_factory.mktemp("gemini"))
    with running_gateway(url, call_timeout_s=1.0) as running:
        running.mm.budgets.create("all", "1000", action="stop")
        yield running


@pytest.fixture(scope="module")
def google(served: Running) -> Iterator[Any]:
    options = types.HttpOptions(base_url=f"{served.address}/gemini", timeout=20_000)
    with genai.Client(api_key="none", vertexai=False, http_options=options) as client:
        yield client.models


@pytest.fixture(autouse=True)
def forgetful(served: Running) -> None:
    served.forget()


class Asking:
    """One request, and what it left behind."""

    def __init__(self, running: Running, google: Any, model: str, *, streamed: bool) -> None:
        before = running.mm.log.count()
        self.text, self.error, self.last = "", None, None
        try:
            if streamed:
                for self.last in google.generate_content_stream(model=model, contents="Hello"):
                    self.text += self.last.text or ""
            else:
                self.last = google.generate_content(model=model, contents="Hello")
                self.text = self.last.text
        except errors.APIError as error:
            self.error: Any = error
        assert running.mm.log.count() == before + 1
        assert running.books_agree()
        self.row = running.row()


def tell(running: Running, vendor: str, reply: Any, *more: Any) -> None:
    (running.gemini if vendor == "gemini" else running.vendor).next(reply, *more)


def failing(vendor: str, status: int, retry_after: str = "") -> Any:
    headers = {"retry-after": retry_after} if retry_after else {}
    if vendor == "gemini":
        return gemini_fake.error(
            status, "RESOURCE_EXHAUSTED" if status == 429 else "UNAVAILABLE", "No", headers=headers
        )
    return failure(status, "No", "", headers)


def answering(vendor: str) -> Any:
    text = "Hello there, and more."
    return {"gemini": gemini_fake.answer, "openai": openai_answer, "anthropic": anthropic_answer}[vendor](text)


@each_vendor
@both_ways
def test_a_rate_limit_is_googles(served: Running, google: Any, vendor: str, streamed: bool):
    tell(served, vendor, gemini_fake.rate_limited(30) if vendor == "gemini" else failing(vendor, 429, "30"))

    seen = Asking(served, google, MODELS[vendor], streamed=streamed)

    assert (seen.error.code, seen.error.status) == (429, "RESOURCE_EXHAUSTED")
    assert any(detail.get("retryDelay") == "30s" for detail in seen.error.details["error"]["details"])
    assert (seen.row.error_class, seen.row.n_attempts) == ("rate_limited", 1)


@each_vendor
@both_ways
def test_what_passes_soon_is_tried_again(served: Running, google: Any, vendor: str, streamed: bool):
    tell(served, vendor, failing(vendor, 503, "0.02"))

    seen = Asking(served, google, MODELS[vendor], streamed=streamed)

    assert (seen.error, seen.row.status, seen.row.n_attempts, seen.row.text) == (None, "ok", 2, seen.text)


@each_vendor
@both_ways
def test_a_vendor_that_hangs_meets_the_deadline(served: Running, google: Any, vendor: str, streamed: bool):
    tell(served, vendor, replace(answering(vendor), hang_s=1.4))

    seen = Asking(served, google, MODELS[vendor], streamed=streamed)

    assert (seen.error.code, seen.error.status) == (504, "DEADLINE_EXCEEDED")
    assert seen.row.error_class == "provider_timeout"


@each_vendor
def test_an_answer_that_breaks_off_ends_with_an_error(served: Running, google: Any, vendor: str):
    tell(served, vendor, replace(answering(vendor), break_after=4 if vendor == "anthropic" else 1))

    seen = Asking(served, google, MODELS[vendor], streamed=True)

    assert "broke off" in str(seen.error)
    assert (seen.row.status, seen.row.cost_status) == ("truncated", "estimated")
    assert seen.text and seen.row.text == seen.text


def test_a_stream_that_ends_early_and_cleanly_is_no_success(served: Running, google: Any):
    served.gemini.next(gemini_fake.Reply(events=[event("Half", usage=usage())]))

    seen = Asking(served, google, FLASH, streamed=True)

    assert "broke off" in str(seen.error)
    assert seen.row.status == "truncated"


@both_ways
def test_comments_and_cut_characters_are_no_hindrance(served: Running, google: Any, streamed: bool):
    reply = replace(gemini_fake.answer("Grüße 😀 an 世界"), split_at=5)
    served.gemini.next(reply)

    assert Asking(served, google, FLASH, streamed=streamed).text == "Grüße 😀 an 世界"


@both_ways
def test_what_was_blocked_says_why(served: Running, google: Any, streamed: bool):
    blocked = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": usage(10, None)}
    served.gemini.next(gemini_fake.Reply(events=[blocked]))

    seen = Asking(served, google, FLASH, streamed=streamed)

    assert seen.error is None and seen.last is not None
    assert seen.last.prompt_feedback.block_reason == types.BlockedReason.PROHIBITED_CONTENT
    assert seen.row.status == "blocked"


def test_another_vendor_steps_in(served: Running):
    served.gemini.next(failing("gemini", 503, "60"))
    body = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}

    heard = served.post(f"/gemini/v1beta/models/{FLASH}:generateContent", body, {"x-aimm-fallbacks": CLAUDE})

    assert (heard.headers["x-aimm-model"], heard.headers["x-aimm-fallback"]) == (CLAUDE, f"{FLASH} provider_unavailable")  # fmt: skip
    assert heard.json["candidates"][0]["content"]["parts"] == [{"text": "Hello there."}]


def test_tokens_are_counted(served: Running, google: Any):
    assert google.count_tokens(model=FLASH, contents="Hello").total_tokens == 7
    assert google.count_tokens(model=CLAUDE, contents="Hello").total_tokens == 42
    assert google.count_tokens(model="sim-fast", contents="Hello").total_tokens == 1
    with pytest.raises(errors.ClientError):
        google.count_tokens(model=GPT, contents="Hello")


def test_tokens_are_counted_by_the_target_of_an_alias_and_within_a_keys_limit(served: Running):
    served.mm.aliases.set("counted", Target(model=CLAUDE, system="Be brief."))
    _, secret = served.mm.keys.create("counts", models=("counted",), rpm=2, user_rpm=1)
    body = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}

    heard = [
        served.post("/gemini/v1beta/models/counted:countTokens", body, {"x-goog-api-key": secret, "x-aimm-user": user})
        for user in ("a", "a", "b", "c")
    ]

    assert [each.status for each in heard] == [200, 429, 200, 429]
    assert heard[0].json == {"totalTokens": 42}
    sent = served.vendor.requests[-1]["body"]
    assert (sent["model"], sent["system"]) == (CLAUDE, "Be brief.")
    assert int(heard[1].headers["retry-after"]) > 0


def test_a_caller_who_leaves_stops_the_vendor(served: Running, google: Any):
    served.gemini.next(gemini_fake.Reply(events=[event(f"w{n} ", usage=usage()) for n in range(100)], pause_s=0.02))
    before = served.mm.log.count()

    stream = google.generate_content_stream(model=FLASH, contents="Hello")
    assert next(stream).text
    stream.close()

    assert served.gemini.cut_off.wait(1)
    end = time.monotonic() + 3
    while served.mm.log.count() == before and time.monotonic() < end:
        time.sleep(0.01)
    assert (served.row().status, served.books_agree()) == ("stopped", True)
