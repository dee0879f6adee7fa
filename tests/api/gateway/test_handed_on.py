"""Bodies that hold more than is read here: who speaks the wire gets them as they came, others refuse in words or are told less by name."""

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.builders import CLAUDE, CONTENTS, FLASH, GPT, HELLO, VLLM, Running
from tests.fakes.vendors import Reply, anthropic_answer, openai_answer


def part(**content: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}, content]}]}


def turn(**message: Any) -> dict[str, Any]:
    return {"messages": [*HELLO, message, *HELLO]}


NEEDED: list[tuple[dict[str, Any], str]] = [
    (part(type="video_url", video_url={"url": "https://x.example/a.mp4"}), ""),
    (part(type="audio_url", audio_url="https://x.example/a.mp3"), ""),
    (part(type="file", file={"file_id": "file-1"}), "messages[0].content[1]"),
    (part(type="image_url"), "messages[0].content[1]"),
    (part(type="input_audio", input_audio={"url": "x"}), "messages[0].content[1]"),
    (part(type="of_next_year", of_next_year=1), "messages[0].content[1]"),
    (part(type=7), "messages[0].content[1]"),
    (turn(role="user", content={"text": "Hi"}), "messages[1].content"),
    (turn(role="user", content=7), "messages[1].content"),
    (turn(role="critic", content="Hm"), "messages[1].role"),
    (turn(role="assistant", content="Hm", tool_calls=[{"id": "c", "type": "web", "web": {}}]), "messages[1].tool_calls[0]"),
    ({"tools": [{"type": "function", "function": {}}]}, "tools[0]"),
    ({"tools": [{"type": "web_search"}]}, "tools[0]"),
    ({"tools": [{"type": "mcp", "server_url": "x"}, {"type": "function", "function": {"name": "f"}}]}, "tools[0]"),
    ({"tool_choice": {"type": "hosted"}}, "tool_choice"),
    ({"temperature": 5}, "temperature"),
    ({"top_p": 1.5}, "top_p"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_completion_tokens": "many"}, "max_completion_tokens"),
    ({"stop": [str(n) for n in range(17)]}, "stop"),
    ({"stop": 3}, "stop"),
    ({"seed": "abc"}, "seed"),
    ({"reasoning_effort": "heroic"}, "reasoning_effort"),
    ({"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}}, "response_format"),
    ({"response_format": {"type": "grammar", "grammar": "x"}}, "response_format"),
    ({"n": 2}, ""),  # Gemini gives several too
    ({"logprobs": True, "top_logprobs": 3}, "logprobs"),
    ({"logit_bias": {"50256": -100}}, "logit_bias"),
    ({"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}}, "modalities"),
    ({"guided_json": {"type": "object"}}, "guided_json"),
]  # fmt: skip
NAMED: list[tuple[dict[str, Any], str]] = [
    (turn(role="user", name="ada", content="Hi"), "messages.name"),
    (turn(role="assistant", content="Hm", reasoning_content="Thus"), "messages.reasoning_content"),
    (turn(role="assistant", content=[{"type": "thinking", "thinking": "Thus"}, {"type": "text", "text": "Hm"}]), "messages.content of thoughts"),
    (part(type="image_url", image_url={"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}), "image_url.detail"),
    ({"tools": [{"type": "web_search"}, {"type": "function", "function": {"name": "f"}}]}, "tools[0] of type 'web_search'"),
    *(({name: value}, name) for name, value in (
        ("prediction", {"type": "content", "content": "x"}), ("web_search_options", {"user_location": None}),
        ("metadata", {"a": "b"}), ("store", True), ("verbosity", "low"), ("prompt_cache_key", "k"), ("min_p", 0.1),
        ("service_tier", "scale"), ("of_next_year", {"a": 1}),
    )),
]  # fmt: skip


def test_a_server_of_openais_wire_gets_all_that_came(served: Running):
    more: list[dict[str, Any]] = [{"max_tokens": -1}, turn(role="function", name="f", content="7")]
    for at, body in enumerate([*(case for case, _ in (*NEEDED, *NAMED)), *more]):
        model = (GPT, VLLM)[at % 2]
        heard = served.complete({"model": model, **body})

        assert heard.status == 200, (body, heard.body)
        asked = served.vendor.requests[-1]["body"]
        assert asked == {"model": model.removeprefix("vllm/"), "messages": HELLO, **body}
        assert "x-aimm-ignored" not in heard.headers, body


def test_what_is_relied_on_is_refused_by_name(served: Running):
    for at, (body, param) in enumerate(case for case in NEEDED if case[1]):
        heard = served.complete({"model": (CLAUDE, FLASH, "sim-fast")[at % 3], **body})
        error = heard.json["error"]
        assert (heard.status, error["param"], error["type"]) == (400, param, "invalid_request_error"), (body, error)
        assert param in error["message"], body
    assert not served.vendor.requests and not served.gemini.requests


def test_what_is_left_out_is_named(served: Running):
    for at, (body, name) in enumerate(NAMED):
        heard = served.complete({"model": (CLAUDE, FLASH)[at % 2], **body})
        assert heard.status == 200, (body, heard.body)
        assert name in heard.headers["x-aimm-ignored"].split(", "), body
        assert name in served.row().note


def test_fields_that_say_nothing_are_not_named(served: Running):
    quiet = {"n": 1, "logprobs": False, "logit_bias": {}, "metadata": None, "store": False, "modalities": ["text"], "max_tokens": -1, "service_tier": "auto", "audio": None, "tools": [], "functions": None}  # fmt: skip
    said = {"role": "assistant", "content": "Hm", "refusal": None, "annotations": [], "audio": None, "tool_calls": None}

    for model in (CLAUDE, FLASH):
        heard = served.complete({"model": model, "messages": [*HELLO, said, *HELLO], **quiet})
        assert (heard.status, heard.headers.get("x-aimm-ignored")) == (200, None)


def test_a_fallback_of_another_wire_refuses_what_it_cannot_be_told(served: Running):
    served.vendor.next(*[Reply(status=503, body={})] * 5)
    heard = served.complete({"logprobs": True, "fallbacks": [CLAUDE]}, x_aimm_fallbacks=CLAUDE)

    assert (heard.status, heard.json["error"]["param"]) == (400, "logprobs")


def test_several_answers_come_back_whole_and_the_first_is_recorded(served: Running):
    choices = [{"index": n, "message": {"role": "assistant", "content": f"Nr {n}"}, "finish_reason": "stop"} for n in (0, 1)]  # fmt: skip
    counted = {"prompt_tokens": 10, "completion_tokens": 8, "total_tokens": 18}
    served.vendor.next(Reply(body={"object": "chat.completion", "model": GPT, "choices": choices, "usage": counted}))

    heard = served.complete({"n": 2})

    assert [each["message"]["content"] for each in heard.json["choices"]] == ["Nr 0", "Nr 1"]
    assert (served.row().text, served.row().usage.output_tokens) == ("Nr 0", 8)


def test_a_stream_of_several_answers_is_recorded_without_mixing_them(served: Running):
    reply = openai_answer("Hello there.")
    other = {"choices": [{"index": 1, "delta": {"content": "Another"}}]}
    reply.events.insert(1, ("", other))
    served.vendor.next(reply)

    body = served.complete({"n": 2, "stream": True}).body

    assert b"Another" in body
    assert served.row().text == "Hello there."


GEMINI_NEEDED: list[tuple[dict[str, Any], str]] = [
    ({"contents": [{"role": "user", "parts": [{"text": "Hi"}, {"executableCode": {"code": "1"}}]}]}, "contents[0].parts[1]"),
    ({"contents": [{"parts": [{"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/a"}}]}]}, "contents[0].parts[0].fileData"),
    ({"cachedContent": "cachedContents/a"}, "cached_content"),
    ({"tools": [{"googleSearch": {}}]}, "tools[0].google_search"),
    ({"generationConfig": {"temperature": 3}}, "temperature"),
    ({"generationConfig": {"responseModalities": ["IMAGE"]}}, "responseModalities"),
    ({"generationConfig": {"responseLogprobs": True, "logprobs": 2}}, "response_logprobs"),
    ({"generationConfig": {"thinkingConfig": {"thinkingLevel": "HEROIC"}}}, "thinkingLevel"),
]  # fmt: skip
GEMINI_NAMED: list[tuple[dict[str, Any], str]] = [
    ({"safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}]}, "safety_settings"),
    ({"generationConfig": {"mediaResolution": "LOW"}}, "generationConfig.media_resolution"),
    ({"tools": [{"googleSearch": {}}, {"functionDeclarations": [{"name": "f"}]}]}, "tools[0].google_search"),
    ({"contents": [*CONTENTS, {"role": "model", "parts": [{"text": "Hm", "thought": True}, {"text": "Yes"}]}, *CONTENTS]}, "contents.parts.thought"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "name"), [*GEMINI_NEEDED, *GEMINI_NAMED], ids=lambda value: str(value)[:60])
def test_gemini_gets_all_that_came_and_others_do_not(served: Running, body: dict[str, Any], name: str):
    whole = {"contents": CONTENTS, **body}
    assert served.post(f"/gemini/v1beta/models/{FLASH}:generateContent", whole).status == 200
    assert served.gemini.requests[-1]["body"] == whole
    for model in (GPT, CLAUDE):
        heard = served.post(f"/gemini/v1beta/models/{model}:generateContent", whole)
        if (body, name) in GEMINI_NAMED:
            assert heard.status == 200, heard.body
            assert name in heard.headers["x-aimm-ignored"].split(", ")
        else:
            assert (heard.status, name in heard.json["error"]["message"]) == (400, True), heard.body


def test_geminis_schema_words_are_json_schemas(served: Running):
    shape = {
        "type": "OBJECT", "property_ordering": ["b", "a"], "required": ["a"],
        "properties": {
            "a": {"type": "ARRAY", "items": {"type": "STRING", "format": "enum", "enum": ["x"]}, "min_items": "2"},
            "b": {"any_of": [{"type": "INTEGER"}, {"type": "STRING"}], "nullable": True},
            "type": {"type": "STRING", "nullable": True, "description": "STRING"},
        },
    }  # fmt: skip
    tools = [{"functionDeclarations": [{"name": "f", "parameters": shape}]}]
    body = {"contents": CONTENTS, "tools": tools, "generationConfig": {"responseMimeType": "application/json", "responseSchema": shape}}  # fmt: skip
    served.post(f"/gemini/v1beta/models/{GPT}:generateContent", body)

    sent = served.vendor.requests[-1]["body"]
    expected = {
        "type": "object", "required": ["a"],
        "properties": {
            "b": {"anyOf": [{"type": "integer"}, {"type": "string"}, {"type": "null"}]},
            "a": {"type": "array", "items": {"type": "string", "enum": ["x"]}, "minItems": 2},
            "type": {"type": ["string", "null"], "description": "STRING"},
        },
    }  # fmt: skip
    assert sent["tools"][0]["function"]["parameters"] == expected
    assert sent["response_format"]["json_schema"]["schema"] == expected
    assert list(json.loads(json.dumps(sent["tools"][0]["function"]["parameters"]))["properties"]) == ["b", "a", "type"]


def test_the_log_keeps_a_systems_turn_and_no_pictures_of_results(served: Running):
    data = "data:image/png;base64,iVBORw0KGgo="
    picture = {"type": "image_url", "image_url": {"url": data}}
    call = {"id": "c1", "type": "function", "function": {"name": "shoot", "arguments": "{}"}}
    result = {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "Here"}, picture]}
    turns = [*HELLO, {"role": "assistant", "tool_calls": [call]}, result, {"role": "system", "content": "Be quick."}]

    assert served.complete({"model": CLAUDE, "messages": turns}).status == 200

    asked = served.vendor.requests[-1]["body"]["messages"][-1]["content"]
    assert [block["type"] for block in asked] == ["tool_result", "text"]
    assert [block["type"] for block in asked[0]["content"]] == ["text", "image"]
    kept = served.row().messages
    assert (kept[-1].text, kept[-1].is_system) == ("Be quick.", True)
    assert (kept[-2].media[0].media_type, "iVBOR" in repr(kept)) == ("image/png", False)


@pytest.mark.parametrize(("model", "path"), [(GPT, "/v1/chat/completions"), (CLAUDE, "/v1/messages")])
def test_rate_limits_are_told_to_callers_of_the_vendors_wire(served: Running, model: str, path: str):
    told = {"anthropic-ratelimit-tokens-remaining": "9", "x-ratelimit-remaining-requests": "5", "x-ratelimit-reset-requests": "1s"}  # fmt: skip
    refused = {**told, "retry-after": "600", "x-should-retry": "false"}
    body = {"model": model, "messages": HELLO, "max_tokens": 9}
    other = CLAUDE if model == GPT else GPT
    for each, lines in ((model, told), (other, {})):
        served.vendor.next(answer_of(each, told))
        heard = served.post(path, {**body, "model": each})
        assert {name: heard.headers.get(name) for name in told} == {name: lines.get(name) for name in told}
    served.vendor.next(*[Reply(status=429, body={"error": {"message": "slow down"}}, headers=refused)] * 5)
    heard = served.post(path, body)
    assert (heard.status, {name: heard.headers.get(name) for name in refused}) == (429, refused)


def answer_of(model: str, headers: dict[str, str]) -> Reply:
    reply = openai_answer() if model == GPT else anthropic_answer()
    return replace(reply, headers=headers)


def test_marks_for_the_cache_reach_claude_by_openais_wire(served: Running):
    mark: dict[str, Any] = {"cache_control": {"type": "ephemeral"}}
    hour = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    marked = [{"role": "user", "content": [{"type": "text", "text": f"Nr {n}", **mark}]} for n in range(4)]
    said = [turn for each in marked for turn in (each, {"role": "assistant", "content": "Hm"})]
    rules = {"role": "system", "content": [{"type": "text", "text": "Rules", **hour}]}
    tools = [{"type": "function", "function": {"name": "f"}, **mark}]
    body = {"messages": [rules, *said, *HELLO], "tools": tools}

    assert served.complete({"model": CLAUDE, **body}).status == 200
    sent = served.vendor.requests[-1]["body"]
    assert sent["system"] == [{"type": "text", "text": "Rules", **hour}]
    assert sent["tools"][0]["cache_control"] == mark["cache_control"]
    blocks = [block for turn in sent["messages"] if isinstance(turn["content"], list) for block in turn["content"]]
    assert [block["text"] for block in blocks if "cache_control" in block] == ["Nr 2", "Nr 3"]
    assert served.complete({"model": FLASH, **body}).headers["x-aimm-ignored"] == "cache_control"
