"""What vendors do wrong, and what the gateway's callers, its log and its ledger make of it."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.builders import CLAUDE, CONTENTS, FLASH, GPT, HELLO, VLLM, Running, running_gateway
from tests.conftest import copied
from tests.fakes import gemini as gemini_fake
from tests.fakes import vendors as vendor_fake

VENDORS = {"openai": GPT, "vllm": VLLM, "ollama": "ollama/llama3.2:3b", "anthropic": CLAUDE, "gemini": FLASH}
SAME_WIRE = ("openai", "vllm", "ollama")
each_vendor = pytest.mark.parametrize("vendor", VENDORS)
both_ways = pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
Reply = Any


@pytest.fixture(scope="module")
def hasty_gateway(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    url = copied(sqlite_template, tmp_path_factory.mktemp("hasty"))
    with running_gateway(url, call_timeout_s=0.4) as running:
        running.mm.budgets.create("all", "1000", action="stop")
        yield running


@pytest.fixture
def hasty(hasty_gateway: Running) -> Running:
    """A gateway that gives a call 0.4 seconds."""
    hasty_gateway.forget()
    return hasty_gateway


def failing(vendor: str, status: int, message: str, code: str = "", retry_after: str = "") -> Reply:
    headers = {"retry-after": retry_after} if retry_after else {}
    if vendor == "gemini":
        return gemini_fake.error(status, code or "INTERNAL", message, headers=headers)
    return vendor_fake.failure(status, message, code, headers)


def answering(vendor: str, text: str = "Hello there, and more.") -> Reply:
    makers: dict[str, Any] = {"gemini": gemini_fake.answer, "anthropic": vendor_fake.anthropic_answer}
    return makers.get(vendor, vendor_fake.openai_answer)(text)


def raw(vendor: str, data: bytes, *, is_json: bool) -> Reply:
    kind = "application/json" if is_json else "text/event-stream"
    if vendor == "gemini":
        return gemini_fake.Reply(raw=data, headers={"Content-Type": kind})
    return vendor_fake.Reply(raw=data, content_type=kind)


def without(vendor: str, part: str) -> Reply:
    """An answer without its finish reason ("finish") or without its count ("usage")."""
    events = answering(vendor).events
    if vendor == "gemini":
        plain = [{k: v for k, v in event.items() if part != "usage" or k != "usageMetadata"} for event in events]
        if part == "finish":
            for event in plain:
                event["candidates"][0].pop("finishReason", None)
        return gemini_fake.Reply(events=plain)
    if vendor == "anthropic":
        kept = [event for event in events if part == "usage" or event[0] not in ("message_delta", "message_stop")]
        if part == "usage":
            kept[0] = ("message_start", {"type": "message_start", "message": {"model": CLAUDE}})
        return vendor_fake.Reply(events=kept)
    lost = {"finish": (2, 3, 4), "usage": (3,)}[part]
    return vendor_fake.Reply(events=[event for at, event in enumerate(events) if at not in lost])


def tell(running: Running, vendor: str, *replies: Reply) -> None:
    (running.gemini if vendor == "gemini" else running.vendor).next(*replies)


def asked(running: Running, vendor: str) -> int:
    return len((running.gemini if vendor == "gemini" else running.vendor).requests)


class Asking:
    """One request, and what it left behind."""

    def __init__(self, running: Running, vendor: str, *, streamed: bool) -> None:
        before = running.mm.log.count()
        self.text, self.error = "", None
        started = time.monotonic()
        try:
            if streamed:
                stream = running.client().chat.completions.create(model=VENDORS[vendor], messages=HELLO, stream=True)
                for chunk in stream:
                    self.text += (chunk.choices[0].delta.content or "") if chunk.choices else ""
            else:
                self.text = running.chat(VENDORS[vendor]).parse().choices[0].message.content
        except openai.APIError as error:
            self.error: Any = error
        self.seconds = time.monotonic() - started
        assert running.mm.log.count() == before + 1  # nothing lost, nothing doubled
        assert running.books_agree()
        self.row = running.row()


@each_vendor
@both_ways
def test_a_long_retry_after_is_handed_on_at_once(served: Running, vendor: str, streamed: bool):
    tell(served, vendor, failing(vendor, 429, "Slow down", "slow_down", "30"))

    seen = Asking(served, vendor, streamed=streamed)

    assert isinstance(seen.error, openai.RateLimitError)
    assert seen.error.code == ("slow_down" if vendor in SAME_WIRE else "rate_limit_exceeded")
    assert seen.error.response.headers["retry-after"] == "30"
    assert seen.error.response.headers["x-aimm-reason"] == "upstream_rate_limited"
    assert seen.error.response.headers["x-aimm-request-id"] == seen.row.id
    assert (seen.row.status, seen.row.error_class, seen.row.n_attempts) == ("error", "rate_limited", 1)
    assert seen.row.cost_usd == 0
    assert seen.seconds < 5  # it was not waited for


@each_vendor
@both_ways
@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_passes_soon_is_tried_again(served: Running, vendor: str, streamed: bool, status: int):
    tell(served, vendor, failing(vendor, status, "Not now", "", "0.02"))

    seen = Asking(served, vendor, streamed=streamed)

    assert seen.error is None and seen.text
    assert (seen.row.status, seen.row.n_attempts, seen.row.text) == ("ok", 2, seen.text)


@pytest.mark.parametrize("vendor", ["openai", "gemini"])
def test_a_rate_limit_that_names_no_time_is_tried_again(served: Running, vendor: str):
    tell(served, vendor, failing(vendor, 429, "Slow down"))

    assert Asking(served, vendor, streamed=True).row.n_attempts == 2


@pytest.mark.parametrize("vendor", SAME_WIRE)
@both_ways
def test_a_spent_account_is_not_asked_again(served: Running, vendor: str, streamed: bool):
    tell(served, vendor, failing(vendor, 429, "You exceeded your current quota", "insufficient_quota"))

    seen = Asking(served, vendor, streamed=streamed)

    assert isinstance(seen.error, openai.RateLimitError)
    assert (seen.error.code, seen.row.n_attempts, asked(served, vendor)) == ("insufficient_quota", 1, 1)


@each_vendor
@both_ways
def test_what_does_not_pass_keeps_its_status(served: Running, vendor: str, streamed: bool):
    tell(served, vendor, *[failing(vendor, 500, "It broke", "server_broke", "0.01")] * 5)

    seen = Asking(served, vendor, streamed=streamed)

    assert isinstance(seen.error, openai.InternalServerError)
    assert (seen.error.status_code, seen.row.error_class, seen.row.n_attempts) == (500, "provider_unavailable", 5)
    assert seen.error.code == ("server_broke" if vendor in SAME_WIRE else "provider_unavailable")
    assert "It broke" in seen.error.message


@each_vendor
@both_ways
def test_a_vendor_that_hangs_meets_the_deadline(hasty: Running, vendor: str, streamed: bool):
    reply = replace(answering(vendor), hang_s=1.0)
    tell(hasty, vendor, reply)

    seen = Asking(hasty, vendor, streamed=streamed)

    assert isinstance(seen.error, openai.InternalServerError)
    assert (seen.error.status_code, seen.row.error_class) == (504, "provider_timeout")
    assert seen.seconds > 0.3
    assert seen.row.cost_status in ("estimated", "unknown")  # it may well be billed


@each_vendor
def test_a_stream_that_hangs_after_its_first_words_ends_at_the_deadline(hasty: Running, vendor: str):
    tell(hasty, vendor, replace(answering(vendor), pause_s=0.085 if vendor == "anthropic" else 0.45))

    seen = Asking(hasty, vendor, streamed=True)

    assert "broke off" in seen.error.message
    assert (seen.row.status, seen.row.error_class, seen.row.text) == ("truncated", "provider_timeout", seen.text)
    assert seen.text and seen.seconds > 0.3


@each_vendor
@both_ways
def test_a_connection_that_breaks_before_anything_came_is_tried_again(served: Running, vendor: str, streamed: bool):
    tell(served, vendor, replace(answering(vendor), break_after=0))

    seen = Asking(served, vendor, streamed=streamed)

    assert (seen.error, seen.row.status, seen.row.n_attempts) == (None, "ok", 2)


@each_vendor
@pytest.mark.parametrize("fault", ["break", "early end"])
def test_an_answer_that_breaks_off_ends_with_an_error_and_keeps_its_text(served: Running, vendor: str, fault: str):
    n = {"anthropic": 4, "gemini": 1}.get(vendor, 1)
    broken = replace(answering(vendor), break_after=n) if fault == "break" else without(vendor, "finish")
    tell(served, vendor, broken)

    seen = Asking(served, vendor, streamed=True)

    assert isinstance(seen.error, openai.APIError) and "broke off" in seen.error.message
    assert (seen.row.status, seen.row.n_attempts) == ("truncated", 1)
    assert seen.text and seen.row.text == seen.text
    assert seen.row.cost_status == {"ollama": "estimated", "vllm": "unknown"}.get(vendor, "estimated")
    assert asked(served, vendor) == 1  # never again after text was shown


@each_vendor
def test_a_whole_answer_without_a_finish_reason_is_an_answer(served: Running, vendor: str):
    tell(served, vendor, without(vendor, "finish"))

    seen = Asking(served, vendor, streamed=False)

    assert (seen.error, seen.row.status, seen.row.finish_reason) == (None, "ok", "unknown")
    assert seen.row.text == "Hello there, and more."


@each_vendor
@both_ways
def test_what_cannot_be_read_is_tried_again(served: Running, vendor: str, streamed: bool):
    broken = b"data: {broken\n\n" if streamed else b"<html>nonsense"
    tell(served, vendor, raw(vendor, broken, is_json=not streamed))

    seen = Asking(served, vendor, streamed=streamed)

    assert (seen.error, seen.row.status, seen.row.n_attempts) == (None, "ok", 2)


@pytest.mark.parametrize("vendor", ["openai", "anthropic", "gemini"])
@both_ways
def test_what_is_too_large_is_given_up(served: Running, vendor: str, streamed: bool):
    large = b"data: " + b"x" * (4 * 1024 * 1024 + 9) if streamed else b'{"a": "' + b"x" * (32 * 1024 * 1024) + b'"}'
    tell(served, vendor, raw(vendor, large, is_json=not streamed))

    seen = Asking(served, vendor, streamed=streamed)

    assert (seen.error, seen.row.status, seen.row.n_attempts) == (None, "ok", 2)


@each_vendor
@both_ways
def test_characters_cut_in_two_arrive_whole(served: Running, vendor: str, streamed: bool):
    tell(served, vendor, replace(answering(vendor, "Grüße 😀 an 世界"), split_at=7))

    seen = Asking(served, vendor, streamed=streamed)

    assert (seen.text, seen.row.text) == ("Grüße 😀 an 世界", "Grüße 😀 an 世界")


@each_vendor
@both_ways
def test_an_answer_without_a_count_is_estimated(served: Running, vendor: str, streamed: bool):
    tell(served, vendor, without(vendor, "usage"))

    seen = Asking(served, vendor, streamed=streamed)

    assert (seen.row.status, seen.row.usage.output_tokens > 0) == ("ok", True)
    assert seen.row.cost_status == ("unknown" if vendor == "vllm" else "estimated")


@pytest.mark.parametrize("vendor", SAME_WIRE)
def test_of_a_running_count_the_last_word_holds(served: Running, vendor: str):
    reply = answering(vendor)
    for at, (_, event) in enumerate(reply.events[:-2], 1):
        event["usage"] = {"prompt_tokens": 10, "completion_tokens": at}
    tell(served, vendor, reply)

    seen = Asking(served, vendor, streamed=True)

    assert (seen.row.usage.output_tokens, seen.row.cost_status != "estimated") == (5, True)


def test_a_connection_whose_stream_ended_serves_the_next_request_to_its_end(served: Running):
    Asking(served, "openai", streamed=True)  # its connection is kept, and given a second to end
    time.sleep(0.6)
    tell(served, "openai", replace(answering("openai"), hang_s=0.8))

    assert Asking(served, "openai", streamed=False).row.n_attempts == 1


def test_the_books_hold_all_of_it(served: Running):
    Asking(served, "openai", streamed=True)
    rows = served.rows()

    assert sum((row.cost_usd or Decimal(0) for row in rows), Decimal(0)) <= served.mm.budgets.statuses()[0].spent_usd
    assert served.mm.budgets.statuses()[0].reserved_usd == 0


def events_of(body: bytes) -> list[Any]:
    lines = [line[6:] for line in body.replace(b"\r", b"").split(b"\n") if line.startswith(b"data: ")]
    return [json.loads(line) for line in lines if line != b"[DONE]"]


def sse(*values: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(value).encode() + b"\n\n" for value in values)


def begun() -> Reply:
    """A comment and a first chunk without a word; then the connection breaks."""
    reply = vendor_fake.openai_answer()
    role = {"id": "c0", "object": "chat.completion.chunk", "model": "m", "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}  # fmt: skip
    return replace(reply, events=[("", role), *reply.events], break_after=1)


def test_nothing_is_shown_of_an_attempt_that_said_nothing(served: Running):
    served.vendor.next(begun())
    heard = served.post("/v1/chat/completions", {"model": VLLM, "messages": HELLO, "stream": True})

    assert served.row().n_attempts == 2
    assert {event["id"] for event in events_of(heard.body)} == {"c1"}


def test_who_steps_in_for_an_attempt_that_said_nothing_answers_alone(served: Running):
    served.vendor.next(begun(), vendor_fake.failure(503, "down", headers={"retry-after": "60"}))
    body = {"model": VLLM, "messages": HELLO, "stream": True, "fallbacks": [CLAUDE], "stream_options": {"include_usage": True}}  # fmt: skip
    heard = served.post("/v1/chat/completions", body)

    events = events_of(heard.body)
    assert heard.headers["x-aimm-fallback"] == "my-model provider_unavailable"
    assert (heard.headers["x-aimm-model"], {event["model"][:6] for event in events}) == (CLAUDE, {"claude"})
    assert [e["choices"][0]["finish_reason"] for e in events if e["choices"]][-1] == "stop"
    assert events[-1]["usage"]["total_tokens"] == 15


def test_an_error_after_mere_comments_keeps_its_status(served: Running):
    error = {"error": {"message": "no such thing", "code": 400}}
    served.vendor.next(vendor_fake.Reply(events=[("", error)]))  # the fake sends a comment first

    with pytest.raises(openai.BadRequestError):
        served.stream(VLLM)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_server_that_answers_in_the_other_shape_is_understood(served: Running, streamed: bool):
    reply = vendor_fake.openai_answer("Other shape")
    whole = vendor_fake.Reply(body=vendor_fake.as_completion(reply.events))
    pieces = vendor_fake.Reply(raw=sse(*(event for _, event in reply.events[:-1])) + b"data: [DONE]\n\n")
    served.vendor.next(whole if streamed else pieces)

    if streamed:
        chunks = served.stream(VLLM)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        assert chunks[-1].choices[0].finish_reason == "stop"
    else:
        text = served.chat(VLLM).parse().choices[0].message.content

    assert (text, served.row().status) == ("Other shape", "ok")


@pytest.mark.parametrize("streamed", [False, True])
def test_gemini_in_the_other_shape_is_understood(served: Running, streamed: bool):
    reply = gemini_fake.answer("Other shape")
    whole = gemini_fake.Reply(body=gemini_fake.as_response(reply.events))
    pieces = gemini_fake.Reply(raw=sse(*reply.events))
    served.gemini.next(whole if streamed else pieces)
    action = "streamGenerateContent?alt=sse" if streamed else "generateContent"
    heard = served.post(f"/gemini/v1beta/models/{FLASH}:{action}", {"contents": CONTENTS})

    answers = events_of(heard.body) if streamed else [heard.json]
    parts = [part for answer in answers for part in answer["candidates"][0]["content"]["parts"]]
    assert "".join(part["text"] for part in parts) == "Other shape"


def test_geminis_clients_get_no_comments_of_vendors(served: Running):
    raw = b": ping\n\n" + sse(gemini_fake.event("Hi", usage=gemini_fake.usage())) + b": ping\n\n" + sse(gemini_fake.event(" there", finish="STOP", usage=gemini_fake.usage()))  # fmt: skip
    served.gemini.next(gemini_fake.Reply(raw=raw))
    heard = served.post(f"/gemini/v1beta/models/{FLASH}:streamGenerateContent?alt=sse", {"contents": CONTENTS})

    assert b": ping" not in heard.body
    assert len(events_of(heard.body)) == 2


@pytest.mark.parametrize("streamed", [False, True])
def test_halves_of_a_character_are_put_together(served: Running, streamed: bool):
    events = [event for _, event in vendor_fake.openai_answer("AB").events[:-1]]
    events[0]["choices"][0]["delta"]["content"] = "Grin \ud83d"
    events[1]["choices"][0]["delta"]["content"] = "\ude00 \ud83d"
    events[0]["model"] = "odd\x00\ud800"
    served.vendor.next(vendor_fake.Reply(raw=sse(*events) + b"data: [DONE]\n\n"))

    heard = served.post("/v1/chat/completions", {"model": VLLM, "messages": HELLO, "stream": streamed})

    assert heard.status == 200
    assert served.row().text == "Grin 😀 \ufffd"


def test_a_redirect_is_no_answer_and_takes_no_prompt_along(served: Running):
    moved = vendor_fake.Reply(status=302, raw=b"", headers={"Location": f"{served.vendor.url}/v1/elsewhere"})
    served.vendor.next(moved)

    with pytest.raises(openai.InternalServerError) as caught:
        served.chat(GPT)

    assert (caught.value.status_code, len(served.vendor.requests)) == (502, 1)
    assert (served.row().error_class, served.row().n_attempts) == ("provider_error", 1)


def test_a_hint_follows_a_whole_sentence(served: Running):
    served.vendor.next(
        vendor_fake.failure(400, "This model's maximum context length is 8 tokens", "context_length_exceeded")
    )
    with pytest.raises(openai.BadRequestError) as caught:
        served.chat(CLAUDE)

    assert "8 tokens. Shorten the prompt" in caught.value.message
