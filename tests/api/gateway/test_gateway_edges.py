"""Where vendors do what no page of theirs says, and callers do what few clients do."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import openai
import pytest

from api.gateway.queue import Gate
from tests.builders import CLAUDE, FLASH, GPT, HELLO, Running, running_gateway
from tests.fakes import gemini as gemini_fake
from tests.fakes.vendors import Reply, anthropic_answer, as_completion, failure, openai_answer

HELLO_GEMINI = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}
VLLM = "vllm/my-model"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    url = f"sqlite:///{tmp_path_factory.mktemp('edges')}/aimm.db"
    with running_gateway(url, call_timeout_s=6.0) as running:
        yield running


@pytest.fixture(autouse=True)
def forgetful(served: Running) -> None:
    served.forget()


def events_of(body: bytes) -> list[Any]:
    lines = [line[6:] for line in body.replace(b"\r", b"").split(b"\n") if line.startswith(b"data: ")]
    return [json.loads(line) for line in lines if line != b"[DONE]"]


def sse(*values: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(value).encode() + b"\n\n" for value in values)


def begun() -> Reply:
    """A comment and a first chunk without a word; then the connection breaks."""
    reply = openai_answer()
    role = {"id": "c0", "object": "chat.completion.chunk", "model": "m", "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}  # fmt: skip
    return replace(reply, events=[("", role), *reply.events], break_after=1)


def test_nothing_is_shown_of_an_attempt_that_said_nothing(served: Running):
    served.vendor.next(begun())
    heard = served.post("/v1/chat/completions", {"model": VLLM, "messages": HELLO, "stream": True})

    assert served.row().n_attempts == 2
    assert {event["id"] for event in events_of(heard.body)} == {"c1"}


def test_who_steps_in_for_an_attempt_that_said_nothing_answers_alone(served: Running):
    served.vendor.next(begun(), failure(503, "down", headers={"retry-after": "60"}))
    body = {"model": VLLM, "messages": HELLO, "stream": True, "fallbacks": [CLAUDE], "stream_options": {"include_usage": True}}  # fmt: skip
    heard = served.post("/v1/chat/completions", body)

    events = events_of(heard.body)
    assert heard.headers["x-aimm-fallback"] == "my-model provider_unavailable"
    assert (heard.headers["x-aimm-model"], {event["model"][:6] for event in events}) == (CLAUDE, {"claude"})
    assert [e["choices"][0]["finish_reason"] for e in events if e["choices"]][-1] == "stop"
    assert events[-1]["usage"]["total_tokens"] == 15


def test_an_error_after_mere_comments_keeps_its_status(served: Running):
    error = {"error": {"message": "no such thing", "code": 400}}
    served.vendor.next(Reply(events=[("", error)]))  # the fake sends a comment first

    with pytest.raises(openai.BadRequestError):
        served.stream(VLLM)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_server_that_answers_in_the_other_shape_is_understood(served: Running, streamed: bool):
    reply = openai_answer("Other shape")
    whole = Reply(body=as_completion(reply.events))
    pieces = Reply(raw=sse(*(event for _, event in reply.events[:-1])) + b"data: [DONE]\n\n")
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
    heard = served.post(f"/gemini/v1beta/models/{FLASH}:{action}", HELLO_GEMINI)

    answers = events_of(heard.body) if streamed else [heard.json]
    parts = [part for answer in answers for part in answer["candidates"][0]["content"]["parts"]]
    assert "".join(part["text"] for part in parts) == "Other shape"


def test_geminis_clients_get_no_comments_of_vendors(served: Running):
    raw = b": ping\n\n" + sse(gemini_fake.event("Hi", usage=gemini_fake.usage())) + b": ping\n\n" + sse(gemini_fake.event(" there", finish="STOP", usage=gemini_fake.usage()))  # fmt: skip
    served.gemini.next(gemini_fake.Reply(raw=raw))
    heard = served.post(f"/gemini/v1beta/models/{FLASH}:streamGenerateContent?alt=sse", HELLO_GEMINI)

    assert b": ping" not in heard.body
    assert len(events_of(heard.body)) == 2


@pytest.mark.parametrize("first_counted", [False, True])
def test_a_kept_stream_has_its_count_where_it_is_asked_for(served: Running, first_counted: bool):
    messages = [{"role": "user", "content": f"Counted first: {first_counted}"}]
    found = {}
    for counted in (first_counted, not first_counted):
        more: Any = {"stream_options": {"include_usage": True}} if counted else {}
        found[counted] = served.stream(GPT, messages, extra_headers={"x-aimm-cache": "60"}, **more)

    assert len(served.vendor.requests) == 1
    assert found[True][-1].usage.total_tokens == 15
    assert all(chunk.choices and chunk.usage is None for chunk in found[False])


@pytest.mark.parametrize("model", [GPT, CLAUDE])
def test_calls_that_gemini_knows_by_name_get_ids_that_fit_together(served: Running, model: str):
    calls = [{"functionCall": {"name": name, "args": {"n": n}}} for n, name in enumerate(("look", "look", "now"))]
    results = [{"functionResponse": {"name": name, "response": {"result": text}}} for name, text in (("look", "a"), ("look", "b"), ("now", "c"))]  # fmt: skip
    contents = [*HELLO_GEMINI["contents"], {"role": "model", "parts": calls}, {"role": "user", "parts": results}] * 2
    tools = [{"functionDeclarations": [{"name": "look"}, {"name": "now"}]}]
    heard = served.post(f"/gemini/v1beta/models/{model}:generateContent", {"contents": contents, "tools": tools})

    assert heard.status == 200
    messages = served.vendor.requests[-1]["body"]["messages"]
    if model == GPT:
        called = [call["id"] for message in messages for call in message.get("tool_calls") or ()]
        answered = [(m["tool_call_id"], m["content"]) for m in messages if m["role"] == "tool"]
    else:
        blocks = [block for message in messages if isinstance(message["content"], list) for block in message["content"]]
        called = [block["id"] for block in blocks if block["type"] == "tool_use"]
        answered = [(b["tool_use_id"], b["content"]) for b in blocks if b["type"] == "tool_result"]
    assert len(set(called)) == 6
    assert answered == list(zip(called, "abcabc", strict=True))


@pytest.mark.parametrize("streamed", [False, True])
def test_halves_of_a_character_are_put_together(served: Running, streamed: bool):
    events = [event for _, event in openai_answer("AB").events[:-1]]
    events[0]["choices"][0]["delta"]["content"] = "Grin \ud83d"
    events[1]["choices"][0]["delta"]["content"] = "\ude00 \ud83d"
    events[0]["model"] = "odd\x00\ud800"
    served.vendor.next(Reply(raw=sse(*events) + b"data: [DONE]\n\n"))

    heard = served.post("/v1/chat/completions", {"model": VLLM, "messages": HELLO, "stream": streamed})

    assert heard.status == 200
    assert served.row().text == "Grin 😀 \ufffd"


def test_an_answer_that_was_not_asked_for_by_the_piece_is_logged(served: Running):
    for model, reply in ((GPT, openai_answer("Whole")), (CLAUDE, anthropic_answer("Whole", thinking="Hm."))):
        served.vendor.next(reply)
        served.chat(model)
        row = served.row()
        assert (row.text, row.messages[0].text, row.thinking) == ("Whole", "Hello", "Hm." if model == CLAUDE else "")
    served.gemini.next(gemini_fake.answer("Whole"))
    assert served.post(f"/gemini/v1beta/models/{FLASH}:generateContent", HELLO_GEMINI).status == 200
    assert (served.row().text, served.row().provider) == ("Whole", "gemini")


def test_a_cap_is_for_all_models_of_a_call(served: Running):
    """An attempt that was billed and said nothing costs 5 cents; then another model is asked."""
    billed = Reply(events=[("", {"choices": [], "usage": {"prompt_tokens": 4000, "completion_tokens": 4000}})])
    more: Any = {"extra_body": {"fallbacks": [CLAUDE]}, "max_tokens": 100}
    for cap, status in (("0.0502", 400), ("0.06", 200)):
        served.forget()
        served.vendor.next(billed, failure(503, "down", headers={"retry-after": "60"}))
        try:
            found = served.chat(GPT, extra_headers={"x-aimm-cap-usd": cap}, **more).status_code
        except openai.BadRequestError as error:
            found = error.status_code
            assert "of the cap is left" in error.message and cap not in error.message
        assert found == status


def test_a_redirect_is_no_answer_and_takes_no_prompt_along(served: Running):
    moved = Reply(status=302, raw=b"", headers={"Location": f"{served.vendor.url}/v1/elsewhere"})
    served.vendor.next(moved)

    with pytest.raises(openai.InternalServerError) as caught:
        served.chat(GPT)

    assert (caught.value.status_code, len(served.vendor.requests)) == (502, 1)
    assert (served.row().error_class, served.row().n_attempts) == ("provider_error", 1)


def test_empty_turns_do_not_reach_anthropic(served: Running):
    served.chat(CLAUDE, [{"role": "user", "content": "x"}, {"role": "assistant", "content": ""}, *HELLO])

    assert [turn["content"] for turn in served.vendor.requests[-1]["body"]["messages"]] == ["x", "Hello"]


@pytest.mark.parametrize("is_given", [True, False])
def test_a_turn_that_is_given_up_as_it_comes_is_neither_lost_nor_doubled(is_given: bool):
    inside: list[str] = []

    async def hold(gate: Gate, until: asyncio.Event, name: str = "") -> None:
        async with gate.turn():
            inside.append(name)
            await until.wait()

    async def scenario() -> None:
        gate, ends = Gate(1, 2), asyncio.Event()
        first = asyncio.create_task(hold(gate, ends))
        await asyncio.sleep(0)
        second = asyncio.create_task(hold(gate, asyncio.Event()))
        await asyncio.sleep(0)
        ends.set()
        if is_given:  # the turn is the second's already, and it has not heard of it
            await asyncio.sleep(0)
        second.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
        inside.clear()
        later = [asyncio.create_task(hold(gate, asyncio.Event(), name)) for name in ("third", "fourth")]
        await asyncio.sleep(0.02)
        for task in later:
            task.cancel()
        await asyncio.gather(*later, return_exceptions=True)

    asyncio.run(scenario())
    assert inside == ["third"]


def test_a_hint_follows_a_whole_sentence(served: Running):
    served.vendor.next(failure(400, "This model's maximum context length is 8 tokens", "context_length_exceeded"))
    with pytest.raises(openai.BadRequestError) as caught:
        served.chat(CLAUDE)

    assert "8 tokens. Shorten the prompt" in caught.value.message
