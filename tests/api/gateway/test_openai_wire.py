"""The OpenAI wire on /v1, asked by OpenAI's own client, unmodified but for its base address."""

from typing import Any

import openai
import pytest

from tests.api.test_api import Client
from tests.builders import Running
from tests.fakes import gemini as wire
from tests.fakes.gemini import FakeGemini


@pytest.fixture
def client(served: Running) -> openai.OpenAI:
    return served.client()


@pytest.fixture
def fake(served: Running) -> FakeGemini:
    return served.gemini


HELLO: list[Any] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]


def test_a_conversation(client: openai.OpenAI, fake: FakeGemini):
    turns: list[Any] = [
        *HELLO,
        {"role": "assistant", "content": "Hi."},
        {"role": "user", "content": [{"type": "text", "text": "Why?"}]},
    ]

    raw = client.chat.completions.with_raw_response.create(
        model="gemini-2.5-flash", messages=turns, temperature=0.2, max_completion_tokens=50, seed=1, user="u1"
    )
    answer = raw.parse()

    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("Hello from the fake.", "stop")
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (10, 5, 15)
    sent = fake.requests[-1]["body"]
    assert [turn["role"] for turn in sent["contents"]] == ["user", "model", "user"]
    assert sent["generationConfig"]["maxOutputTokens"] == 50
    assert raw.headers["x-aimm-cost-usd"] == "0.0000155"
    assert raw.headers["x-aimm-provider"] == "gemini"


def test_a_stream_with_its_usage(client: openai.OpenAI):
    chunks = list(
        client.chat.completions.create(
            model="sim-fast", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
    )

    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 0


def test_a_client_that_leaves_stops_the_call(client: openai.OpenAI, fake: FakeGemini):
    fake.next(wire.Reply(events=[wire.event(f"word{n} ") for n in range(100)], pause_s=0.05))
    stream = client.chat.completions.create(model="gemini-2.5-flash", messages=HELLO, stream=True)
    for chunk in stream:
        if chunk.choices[0].delta.content:
            break
    stream.close()

    assert fake.cut_off.wait(3)


def test_json_of_a_schema_is_asked_for(client: openai.OpenAI, fake: FakeGemini):
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    fake.next(wire.answer('{"a": 1}'))

    answer = client.chat.completions.create(
        model="gemini-2.5-flash",
        messages=HELLO,
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
    )

    assert answer.choices[0].message.content == '{"a": 1}'
    assert fake.requests[-1]["body"]["generationConfig"]["responseJsonSchema"] == schema


def test_errors_are_those_of_the_client(client: openai.OpenAI, fake: FakeGemini):
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="no-such-model", messages=HELLO)
    with pytest.raises(openai.BadRequestError, match="tools"):
        client.chat.completions.create(model="sim-fast", messages=HELLO, tools=[{"type": "function", "function": {}}])  # type: ignore[typeddict-item]
    with pytest.raises(openai.BadRequestError, match="temperature"):
        client.chat.completions.create(model="sim-fast", messages=HELLO, temperature=9)
    fake.next(*[wire.rate_limited(30.0)] * 5)
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model="gemini-2.5-flash", messages=HELLO)
    assert caught.value.response.headers["retry-after"] == "30"


def test_models_aliases_and_experiments_are_listed_and_asked(served: Running, client: openai.OpenAI):
    http = Client(served.address)
    http.post(
        "/api/experiment", {"name": "tone", "hypothesis": "h", "variant_a": "sim-fast", "variant_b": "sim-balanced"}
    )
    http.send("PUT", "/api/aliases/bot", {"model": "sim-careful"})

    names = {model.id for model in client.models.list()}
    raw = client.chat.completions.with_raw_response.create(model="exp:tone", messages=HELLO, user="u1")
    again = client.chat.completions.with_raw_response.create(model="exp:tone", messages=HELLO, user="u1")

    assert {"sim-fast", "bot", "exp:tone"} <= names
    assert raw.headers["x-aimm-assignment"] == again.headers["x-aimm-assignment"]
    assert raw.headers["x-aimm-variant"] in ("variant_a", "variant_b")
    assert client.chat.completions.create(model="bot", messages=HELLO).model == "sim-careful"
    with pytest.raises(openai.BadRequestError, match="user"):
        client.chat.completions.create(model="exp:tone", messages=HELLO)
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="exp:none", messages=HELLO, user="u1")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"model": "sim-fast"},
        {"model": "sim-fast", "messages": []},
        {"model": "sim-fast", "messages": [{"role": "user", "content": "\ud800"}]},
        {"model": "sim-fast", "messages": [{"role": "assistant", "content": "x"}]},
        {"model": "sim-fast", "messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
        {"model": "sim-fast", "messages": [{"role": "user", "content": "x"}], "n": 3},
        {"model": "sim-fast", "messages": [{"role": "user", "content": "x"}], "max_tokens": 0},
    ],
)
def test_what_cannot_be_is_refused_in_openais_form(served: Running, body: dict[str, Any]):
    status, answer = Client(served.address).post("/v1/chat/completions", body)

    assert status == 400
    assert answer["error"]["message"]
    assert answer["error"]["type"] == "invalid_request_error"
