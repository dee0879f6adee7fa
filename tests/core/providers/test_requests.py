"""Bodies that vendors are sent: limits, orders and what is written over a body that came by the vendor's own wire."""

from typing import Any

import pytest

from core.domain.generation import Message, Native, Parameters, Request, Tool
from core.domain.message import Media, ToolCall, ToolResult
from core.errors import InvalidRequest
from core.providers.anthropic.request import to_body as anthropic_body
from core.providers.gemini.request import as_came, to_body
from tests.fakes.refusals import by_anthropic


def claude(**parameters: Any) -> dict[str, Any]:
    return anthropic_body(Request(model="m", messages=(Message("user", "Hello"),), parameters=Parameters(**parameters)))


@pytest.mark.parametrize(
    ("length", "asked", "budget", "max_tokens"),
    [
        (None, 2000, 2000, 6096), (None, -1, 1024, 5120), (None, 0, None, 4096), (3000, 2000, 2000, 3000),
        (2000, 2000, 1999, 2000), (1025, 5000, 1024, 1025), (1024, 5000, None, 1024), (500, 100, None, 500),
    ],
)  # fmt: skip
def test_thinking_stays_within_the_length(length: int | None, asked: int, budget: int | None, max_tokens: int):
    body = claude(max_tokens=length, thinking_budget=asked, temperature=0.2, top_p=0.5)

    assert (body.get("thinking") or {}).get("budget_tokens") == budget
    assert body["max_tokens"] == max_tokens
    assert ("temperature" in body, "top_p" in body) == (budget is None, budget is None)


def test_geminis_results_come_in_the_order_of_their_calls():
    calls = tuple(ToolCall(each, "f", "{}") for each in ("a", "b"))
    results = tuple(ToolResult(each, "f", each) for each in ("b", "a"))
    messages = (Message("user", "Go"), Message.of("model", calls), Message.of("user", (*results, "So?")))

    body = to_body(Request(model="m", messages=messages, tools=(Tool(name="f"),)))

    parts = body["contents"][2]["parts"]
    assert [part["functionResponse"]["response"]["result"] for part in parts[:2]] == ["a", "b"]
    assert parts[2] == {"text": "So?"}


def test_what_is_written_over_a_gemini_body_holds_in_both_spellings():
    body = {
        "generation_config": {"max_output_tokens": 9000, "top_k": 3, "stop_sequences": ["x"]},
        "system_instruction": {"parts": [{"text": "Old"}]},
    }
    native = Native(wire="gemini", body=body, parameters=Parameters(max_tokens=9000, stop=("x",)), system="Old")
    request = Request(model="m", messages=(), system="New", parameters=Parameters(max_tokens=5), native=native)

    assert as_came(request, native) == {
        "generationConfig": {"maxOutputTokens": 5, "top_k": 3},
        "systemInstruction": {"role": "user", "parts": [{"text": "New"}]},
    }


def test_a_gemini_body_does_not_name_another_model_than_its_address():
    native = Native(wire="gemini", body={"model": "models/dearer", "contents": []}, parameters=Parameters())

    assert as_came(Request(model="m", messages=(), native=native), native) == {"contents": []}


def test_a_schema_taken_away_leaves_json_and_the_rest():
    body = {
        "generationConfig": {"response_mime_type": "application/json", "responseSchema": {"type": "OBJECT"}, "topK": 3}
    }
    before = Parameters(json_schema={"type": "object"}, json_object=True)
    native = Native(wire="gemini", body=body, parameters=before)

    sent = as_came(Request(model="m", messages=(), parameters=Parameters(json_object=True), native=native), native)

    assert sent == {"generationConfig": {"responseMimeType": "application/json", "topK": 3}}


def test_bounds_of_a_schema_are_told_to_claude_in_words():
    count = {"type": "integer", "description": "How many.", "minimum": 1, "maximum": 9}
    names = {"type": "array", "items": {"type": "string", "format": "slug", "maxLength": 5}, "minItems": 2}
    schema = {"type": "object", "properties": {"minimum": count, "names": names}}

    body = claude(json_schema=schema)

    sent = body["output_config"]["format"]["schema"]
    assert by_anthropic(body, {"anthropic-version": "1"}) == ""
    assert sent["properties"]["minimum"]["description"] == "How many.\n\n{minimum: 1, maximum: 9}"
    assert sent["properties"]["names"]["description"] == "{minItems: 2}"
    assert sent["properties"]["names"]["items"]["description"] == "{format: slug, maxLength: 5}"


def test_a_map_in_a_schema_is_asked_for_in_words():
    schema = {"type": "object", "properties": {"ages": {"type": "object", "additionalProperties": {"type": "integer"}}}}

    body = claude(json_schema=schema)

    assert "output_config" not in body
    assert '"additionalProperties": {"type": "integer"}' in body["system"]


def test_media_are_sent_to_claude_as_what_they_are():
    parts = (
        Media("image/jpg", data="eA=="),
        Media("text/csv", data="YSxi"),
        Media("application/pdf", url="https://x/a.pdf"),
    )
    blocks = anthropic_body(Request(model="m", messages=(Message.of("user", parts),)))["messages"][0]["content"]

    assert blocks[0]["source"]["media_type"] == "image/jpeg"
    assert blocks[1] == {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a,b"}}
    assert blocks[2]["source"] == {"type": "url", "url": "https://x/a.pdf"}
    with pytest.raises(InvalidRequest, match=r"no audio/wav"):
        anthropic_body(Request(model="m", messages=(Message.of("user", (Media("audio/wav", data="eA=="),)),)))


@pytest.mark.parametrize(
    ("model", "thinking"),
    [
        ("claude-sonnet-4-5", {"type": "enabled", "budget_tokens": 2000}),
        ("claude-opus-4-6", {"type": "adaptive", "display": "summarized"}),
        ("claude-opus-4-8", {"type": "adaptive", "display": "summarized"}),
        ("claude-fable-5-1", {"type": "adaptive", "display": "summarized"}),
    ],
)
def test_thinking_is_asked_for_as_the_family_takes_it(model: str, thinking: dict[str, Any]):
    request = Request(model=model, messages=(Message("user", "Hi"),), parameters=Parameters(thinking_budget=2000))
    body = anthropic_body(request)

    assert body["thinking"] == thinking
    assert by_anthropic(body, {"anthropic-version": "1"}) == ""


def test_ids_of_calls_stay_apart_in_the_letters_that_claude_takes():
    calls = (ToolCall("a.1", "f", "{}"), ToolCall("a:1", "f", "{}"))
    results = (ToolResult("a.1", "f", "x"), ToolResult("a:1", "f", "y"))
    turns = (Message("user", "Hi"), Message.of("model", calls), Message.of("user", results))
    body = anthropic_body(Request(model="claude-sonnet-4-5", messages=turns))

    assert by_anthropic(body, {"anthropic-version": "1"}) == ""
