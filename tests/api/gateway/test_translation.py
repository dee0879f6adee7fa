"""Tools, images and schemas from one wire to another: what vendors are asked, and what callers get back."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from google import genai
from google.genai import types

from core.domain.experiment import Target
from core.domain.generation import Parameters
from tests.builders import CLAUDE, CONTENTS, FLASH, GPT, HELLO, VLLM, Running
from tests.fakes import gemini as gemini_fake
from tests.fakes.responses import response_answer, text_item
from tests.fakes.vendors import Reply, anthropic_tools, openai_answer, openai_tools

PNG = "iVBORw0KGgo/+w=="
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"type": "array", "items": {"type": "object", "properties": {}}}},
    "required": ["a"],
}
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOLS: Any = [
    {"type": "function", "function": {"name": "weather", "description": "Of a city", "parameters": PARAMETERS}},
    {"type": "function", "function": {"name": "now"}},
]
CALLS = (("call_a", "weather", '{"city": "Köln"}'), ("call_b", "now", "{}"))


@pytest.fixture(scope="module")
def google(gateway: Running) -> Iterator[Any]:
    options = types.HttpOptions(base_url=f"{gateway.address}/gemini", timeout=20_000)
    with genai.Client(api_key="none", vertexai=False, http_options=options) as client:
        yield client.models


def sent(served: Running) -> Any:
    """What the vendor was asked last."""
    return (served.gemini.requests or served.vendor.requests)[-1]["body"]


def called(served: Running, model: str, *, streamed: bool, messages: list[Any] = HELLO, **more: Any) -> tuple[Any, str]:
    """([(id, name, arguments, extra)], finish reason)"""
    if not streamed:
        choice = served.chat(model, messages, tools=TOOLS, **more).parse().choices[0]
        assert choice.message.content in (None, "Let me see.")
        calls = choice.message.tool_calls
        return [(c.id, c.function.name, c.function.arguments, c.model_extra) for c in calls], choice.finish_reason
    chunks = [c for c in served.stream(model, messages, tools=TOOLS, **more) if c.choices]
    deltas = [d for c in chunks for d in c.choices[0].delta.tool_calls or ()]
    found = []
    for at in sorted({d.index for d in deltas}):
        mine = [d for d in deltas if d.index == at]
        arguments = "".join(d.function.arguments or "" for d in mine)
        found.append((mine[0].id, mine[0].function.name, arguments, mine[0].model_extra))
    return found, next(c.choices[0].finish_reason for c in chunks if c.choices[0].finish_reason)


def tools_of(served: Running, model: str, signature: str = "") -> None:
    if model == FLASH:
        calls = (("weather", {"city": "Köln"}, signature), ("now", {}, ""))
        served.gemini.next(gemini_fake.Reply(events=[gemini_fake.tool_event(*calls)]))
    else:
        served.vendor.next(anthropic_tools(*CALLS, text="Let me see.") if model == CLAUDE else openai_tools(*CALLS))


@pytest.mark.parametrize("model", [GPT, VLLM, CLAUDE, FLASH])
@pytest.mark.parametrize("streamed", [False, True])
def test_parallel_calls_of_tools_come_back_by_openais_wire(served: Running, model: str, streamed: bool):
    tools_of(served, model)

    calls, finish = called(served, model, streamed=streamed, tool_choice="required")

    assert finish == "tool_calls"
    assert [(name, json.loads(arguments)) for _, name, arguments, _ in calls] == [("weather", {"city": "Köln"}), ("now", {})]  # fmt: skip
    ids = [call_id for call_id, *_ in calls]
    assert ids == ["call_a", "call_b"] if model != FLASH else len(set(ids)) == 2 and all(ids)
    row = served.row()
    assert (row.status, row.finish_reason) == ("ok", "tool_calls")
    assert [(call.name, json.loads(call.arguments)) for call in row.tool_calls] == [("weather", {"city": "Köln"}), ("now", {})]  # fmt: skip


def test_what_vendors_are_told_of_tools(served: Running):
    for model in (GPT, VLLM):
        tools_of(served, model)
        called(served, model, streamed=False, tool_choice="required")
        assert (sent(served)["tools"], sent(served)["tool_choice"]) == (TOOLS, "required")
    tools_of(served, CLAUDE)
    called(served, CLAUDE, streamed=False, tool_choice={"type": "function", "function": {"name": "weather"}})
    assert sent(served)["tools"] == [
        {"name": "weather", "description": "Of a city", "input_schema": PARAMETERS},
        {"name": "now", "description": "", "input_schema": {"type": "object"}},
    ]
    assert sent(served)["tool_choice"] == {"type": "tool", "name": "weather"}
    tools_of(served, FLASH)
    called(served, FLASH, streamed=False, tool_choice="required")
    declared = sent(served)["tools"][0]["functionDeclarations"]
    assert declared[0] == {"name": "weather", "description": "Of a city", "parametersJsonSchema": PARAMETERS}
    assert sent(served)["toolConfig"] == {"functionCallingConfig": {"mode": "ANY"}}


def results(calls: Any) -> list[Any]:
    """A conversation in which all calls were answered, as a client sends it."""
    made = [
        {"id": i, "type": "function", "function": {"name": name, "arguments": arguments}, **(extra or {})}
        for i, name, arguments, extra in calls
    ]
    given = [{"role": "tool", "tool_call_id": call["id"], "content": f"result {at}"} for at, call in enumerate(made)]
    return [*HELLO, {"role": "assistant", "content": None, "tool_calls": made}, *given]


@pytest.mark.parametrize("streamed", [False, True])
def test_geminis_signatures_come_back_to_it(served: Running, streamed: bool):
    tools_of(served, FLASH, signature="c2lnbmF0dXJl")
    calls, _ = called(served, FLASH, streamed=streamed)

    served.chat(FLASH, results(calls), tools=TOOLS)

    turns = sent(served)["contents"]
    assert [turn["role"] for turn in turns] == ["user", "model", "user"]
    assert turns[1]["parts"][0] == {
        "functionCall": {"name": "weather", "args": {"city": "Köln"}}, "thoughtSignature": "c2lnbmF0dXJl",
    }  # fmt: skip
    assert turns[1]["parts"][1]["functionCall"] == {"name": "now", "args": {}}
    assert [part["functionResponse"] for part in turns[2]["parts"]] == [
        {"name": "weather", "response": {"result": "result 0"}},
        {"name": "now", "response": {"result": "result 1"}},
    ]


def test_results_of_tools_reach_anthropic(served: Running):
    tools_of(served, CLAUDE)
    calls, _ = called(served, CLAUDE, streamed=True)

    served.chat(CLAUDE, results(calls), tools=TOOLS)

    turns = sent(served)["messages"]
    assert [block["type"] for block in turns[1]["content"]] == ["tool_use", "tool_use"]
    assert turns[1]["content"][0]["input"] == {"city": "Köln"}
    assert [(b["type"], b["tool_use_id"], b["content"]) for b in turns[2]["content"]] == [
        ("tool_result", "call_a", "result 0"),
        ("tool_result", "call_b", "result 1"),
    ]


def test_images(served: Running):
    url = f"data:image/png;base64,{PNG}"
    parts = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": url, "detail": "low"}}]
    messages = [{"role": "user", "content": parts}]
    for model in (GPT, VLLM):
        served.chat(model, messages)
        assert sent(served)["messages"] == messages
    served.chat(CLAUDE, messages)
    source = {"type": "base64", "media_type": "image/png", "data": PNG}
    assert sent(served)["messages"][0]["content"] == [{"type": "text", "text": "What is it?"}, {"type": "image", "source": source}]  # fmt: skip
    served.chat(FLASH, messages)
    inline = {"inlineData": {"mimeType": "image/png", "data": PNG}}
    assert sent(served)["contents"] == [{"role": "user", "parts": [{"text": "What is it?"}, inline]}]
    assert PNG not in repr(served.row().messages)  # the log keeps no images
    served.chat(
        FLASH, [{"role": "user", "content": [{"type": "image_url", "image_url": f"data:image/jpg;base64,{PNG}"}]}]
    )
    assert sent(served)["contents"][0]["parts"] == [{"inlineData": {"mimeType": "image/jpeg", "data": PNG}}]


def test_schemas(served: Running):
    shape: Any = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": SCHEMA}}
    served.chat(GPT, response_format=shape)
    assert sent(served)["response_format"] == shape
    served.chat(CLAUDE, response_format=shape)
    schema = sent(served)["output_config"]["format"]["schema"]
    assert schema["additionalProperties"] is schema["properties"]["b"]["items"]["additionalProperties"] is False
    assert (schema["required"], schema["properties"]["a"]) == (["a"], {"type": "integer"})
    served.chat(FLASH, response_format=shape)
    assert sent(served)["generationConfig"] == {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA}


def test_counts_in_openais_words(served: Running):
    served.gemini.next(gemini_fake.answer(cachedContentTokenCount=4, thoughtsTokenCount=7))
    usage = served.chat(FLASH).parse().usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (10, 12, 22)
    assert (usage.prompt_tokens_details.cached_tokens, usage.completion_tokens_details.reasoning_tokens) == (4, 7)


# Gemini's wire


CONFIG = types.GenerateContentConfig(
    tools=[types.Tool(function_declarations=[types.FunctionDeclaration(name="weather", description="Of a city", parameters=types.Schema(type=types.Type.OBJECT, properties={"city": types.Schema(type=types.Type.STRING)}))])],
    tool_config=types.ToolConfig(function_calling_config=types.FunctionCallingConfig(mode=types.FunctionCallingConfigMode.ANY)),
    automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
)  # fmt: skip


@pytest.mark.parametrize("model", [GPT, VLLM, CLAUDE, FLASH])
@pytest.mark.parametrize("streamed", [False, True])
def test_calls_of_tools_come_back_by_geminis_wire(served: Running, google: Any, model: str, streamed: bool):
    tools_of(served, model, signature="c2lnbmF0dXJl")
    if streamed:
        answers = list(google.generate_content_stream(model=model, contents="Hello", config=CONFIG))
    else:
        answers = [google.generate_content(model=model, contents="Hello", config=CONFIG)]

    calls = [part for answer in answers for part in answer.candidates[0].content.parts or () if part.function_call]
    assert [(part.function_call.name, part.function_call.args) for part in calls] == [("weather", {"city": "Köln"}), ("now", {})]  # fmt: skip
    assert (answers[-1].candidates[0].finish_reason, answers[-1].usage_metadata.total_token_count) == ("STOP", 15)
    assert served.row().finish_reason == "tool_calls"
    if model == FLASH:
        assert calls[0].thought_signature == b"signature"
    else:
        assert [part.function_call.id for part in calls] == ["call_a", "call_b"]


@pytest.mark.parametrize("model", [GPT, CLAUDE])
def test_a_conversation_with_tools_and_an_image_by_geminis_wire(served: Running, google: Any, model: str):
    image = bytes([255, 239, 190, 251])
    turns = [
        types.Content(role="user", parts=[types.Part(text="See"), types.Part.from_bytes(data=image, mime_type="image/png")]),
        types.Content(role="model", parts=[types.Part(function_call=types.FunctionCall(id="call_a", name="weather", args={"city": "Köln"}))]),
        types.Content(role="user", parts=[types.Part(function_response=types.FunctionResponse(id="call_a", name="weather", response={"result": "rain"}))]),
    ]  # fmt: skip
    google.generate_content(model=model, contents=turns, config=CONFIG)

    body = sent(served)
    user, called_, result = body["messages"]
    data = "/+++" + "+w=="
    if model == GPT:
        assert user["content"][1]["image_url"]["url"] == f"data:image/png;base64,{data}"
        assert called_["tool_calls"][0]["function"] == {"name": "weather", "arguments": '{"city": "Köln"}'}
        assert result == {"role": "tool", "tool_call_id": "call_a", "content": "rain"}
        assert body["tools"][0]["function"]["parameters"] == PARAMETERS
        assert body["tool_choice"] == "required"
    else:
        assert user["content"][1]["source"]["data"] == data
        assert called_["content"][0]["input"] == {"city": "Köln"}
        assert result["content"][0] == {"type": "tool_result", "tool_use_id": "call_a", "content": "rain"}
        assert body["tools"][0]["input_schema"] == PARAMETERS
        assert body["tool_choice"] == {"type": "any"}


def test_geminis_schema_is_anthropics(served: Running, google: Any):
    shape = types.Schema(
        type=types.Type.OBJECT,
        properties={"a": types.Schema(type=types.Type.INTEGER), "property_ordering": types.Schema(type=types.Type.STRING)},
        property_ordering=["a", "property_ordering"],
    )  # fmt: skip
    config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=shape)
    google.generate_content(model=CLAUDE, contents="Hello", config=config)
    schema = sent(served)["output_config"]["format"]["schema"]
    google.generate_content(model=GPT, contents="Hello", config=config)

    assert schema == {
        "type": "object", "additionalProperties": False,
        "properties": {"a": {"type": "integer"}, "property_ordering": {"type": "string"}},
    }  # fmt: skip
    assert sent(served)["response_format"]["json_schema"]["schema"]["type"] == "object"


def test_counts_in_geminis_words(served: Running, google: Any):
    counted = {"prompt_tokens": 10, "completion_tokens": 12, "prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens_details": {"reasoning_tokens": 7}}  # fmt: skip
    served.vendor.next(openai_answer(usage=counted), Reply(events=openai_answer(usage=counted).events))
    for answer in (
        google.generate_content(model=GPT, contents="Hello"),
        list(google.generate_content_stream(model=GPT, contents="Hello"))[-1],
    ):
        usage = answer.usage_metadata
        assert (usage.prompt_token_count, usage.candidates_token_count, usage.thoughts_token_count) == (10, 5, 7)
        assert (usage.cached_content_token_count, usage.total_token_count) == (4, 22)


@pytest.mark.parametrize("model", [VLLM, CLAUDE, FLASH])
@pytest.mark.parametrize("stop", ["END", ["END"]])
def test_one_stop_text_is_one_on_every_wire(served: Running, google: Any, model: str, stop: Any):
    """Asked by OpenAI's and by Gemini's wire, and of an alias that says it."""
    body = {"contents": [{"parts": {"text": "Hi"}}], "generationConfig": {"stopSequences": stop, "topP": "0.5"}}
    served.mm.aliases.set("ending", Target(model=model, parameters=Parameters(stop=stop)), "")
    seen = []
    for asked in ("openai", "gemini", "alias", "api"):
        if asked == "openai":
            served.post("/v1/chat/completions", {"model": model, "messages": HELLO, "stop": stop})
        elif asked == "gemini":
            served.post(f"/gemini/v1beta/models/{model.replace('/', '%2F')}:generateContent", body)
        elif asked == "alias":
            served.mm.generate("Hi", model="ending")
        else:
            served.post("/api/generate", {"model": model, "prompt": "Hi", "stop": stop})
        asked_of = sent(served)
        seen.append(
            asked_of.get("stop") or asked_of.get("stop_sequences") or asked_of["generationConfig"]["stopSequences"]
        )

    assert all(each in (["END"], "END") for each in seen), seen


@pytest.mark.parametrize("model", [GPT, CLAUDE])
def test_calls_that_gemini_knows_by_name_get_ids_that_fit_together(served: Running, model: str):
    calls = [{"functionCall": {"name": name, "args": {"n": n}}} for n, name in enumerate(("look", "look", "now"))]
    results = [{"functionResponse": {"name": name, "response": {"result": text}}} for name, text in (("look", "a"), ("look", "b"), ("now", "c"))]  # fmt: skip
    contents = [*CONTENTS, {"role": "model", "parts": calls}, {"role": "user", "parts": results}] * 2
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


def test_empty_turns_do_not_reach_anthropic(served: Running):
    served.chat(CLAUDE, [{"role": "user", "content": "x"}, {"role": "assistant", "content": ""}, *HELLO])

    texts = [{"type": "text", "text": text} for text in ("x", "Hello")]
    assert served.vendor.requests[-1]["body"]["messages"] == [{"role": "user", "content": texts}]


def test_names_of_tools_come_back_as_the_caller_wrote_them(served: Running):
    name = "mcp:files.read/" + "x" * 60
    tools = [{"functionDeclarations": [{"name": "a.b"}]}]
    body = {"contents": CONTENTS, "tools": tools}
    served.vendor.next(anthropic_tools(("t1", "a_b_1eef715d", "{}")))
    heard = served.post(f"/gemini/v1beta/models/{CLAUDE}:generateContent", body)
    assert heard.json["candidates"][0]["content"]["parts"][0]["functionCall"]["name"] == "a.b"

    asked = {"model": GPT, "max_tokens": 9, "messages": HELLO, "tools": [{"name": name, "input_schema": {"type": "object"}}]}  # fmt: skip
    served.post("/v1/messages", asked)
    told = sent(served)["tools"][0]["function"]["name"]
    served.vendor.next(openai_tools(("c1", told, "{}")))
    heard = served.post("/v1/messages", asked)
    assert heard.json["content"][0]["name"] == name
    assert served.row().tool_calls[0].name == name


def test_an_answer_that_is_no_object_is_asked_of_openai_as_one(served: Running, google: Any):
    shape = types.Schema(type=types.Type.ARRAY, items=types.Schema(type=types.Type.STRING))
    config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=shape)
    for streamed in (False, True):
        served.vendor.next(openai_answer('{"value": ["a", "b"]}'))
        if streamed:
            text = "".join(part.text or "" for part in google.generate_content_stream(model=GPT, contents="Hi", config=config))  # fmt: skip
        else:
            text = google.generate_content(model=GPT, contents="Hi", config=config).text
        assert text == '["a", "b"]'
    assert sent(served)["response_format"]["json_schema"]["schema"]["properties"]["value"]["type"] == "array"


@pytest.mark.parametrize("streamed", [False, True])
def test_an_answer_that_is_no_object_is_asked_for_by_an_alias_too(served: Running, streamed: bool):
    shape = {"type": "array", "items": {"type": "string"}}
    served.mm.aliases.set("listed", Target(model=GPT, parameters=Parameters(json_schema=shape)))
    try:
        served.vendor.next(openai_answer('{"value": ["a", "b"]}'))
        if streamed:
            chat = "".join(c.choices[0].delta.content or "" for c in served.stream("listed") if c.choices)
        else:
            chat = served.chat("listed").parse().choices[0].message.content
        served.vendor.next(response_answer(text_item('{"value": ["a", "b"]}')))
        answer = served.post("/v1/responses", {"model": "listed", "input": "Hello", "stream": streamed})
    finally:
        served.mm.aliases.remove("listed")

    assert chat == '["a", "b"]'
    assert ('[\\"a\\", \\"b\\"]' in answer.body.decode(), "value" in answer.body.decode()) == (True, False)
