"""OpenAI's Responses on /v1/responses, asked by OpenAI's own client, unmodified but for its base address."""

import json
import socket
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest

from core.domain.experiment import Target
from core.domain.generation import Parameters
from tests.builders import HELLO, Running
from tests.fakes import gemini as wire
from tests.fakes.responses import call_item, response_answer, text_item, thought_item
from tests.fakes.vendors import Reply, anthropic_answer, anthropic_tools, failure

CLAUDE, GPT, GEMINI, LLAMA = "claude-sonnet-4-5", "gpt-4o", "gemini-2.5-flash", "llama3.2:3b"
ENCRYPTED: Any = ["reasoning.encrypted_content"]
WEATHER: dict[str, Any] = {
    "type": "function",
    "name": "weather",
    "description": "The weather of a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": False,
}


@pytest.fixture
def client(served: Running) -> openai.OpenAI:
    return served.client()


def post(served: Running, body: dict[str, Any], **headers: str) -> Any:
    lines = {name.replace("_", "-"): value for name, value in headers.items()}
    return served.post("/v1/responses", {"input": "Hello", **body}, lines)


def sent(served: Running) -> dict[str, Any]:
    """The body of the last request that reached OpenAI's or Anthropic's fake."""
    return dict(served.vendor.requests[-1]["body"])


@pytest.mark.parametrize("model", [GPT, CLAUDE, GEMINI, "sim-fast"])
@pytest.mark.parametrize("is_streamed", [False, True])
def test_an_answer(client: openai.OpenAI, served: Running, model: str, is_streamed: bool):
    if is_streamed:
        with client.responses.stream(model=model, input="Hello", instructions="Be brief.") as stream:
            text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
            answer: Any = stream.get_final_response()
    else:
        answer = client.responses.create(model=model, input="Hello", instructions="Be brief.")
        text = answer.output_text

    row = served.rows()[0]
    assert text == row.text != ""
    assert (answer.status, answer.usage.input_tokens, answer.usage.output_tokens) == (
        "completed", row.usage.input_tokens, row.usage.output_tokens,
    )  # fmt: skip
    assert (row.status, row.cost_status, row.system) == ("ok", "priced", "Be brief.")


def test_what_goes_to_openai_goes_as_it_came_and_comes_back_so(served: Running):
    body = {
        "model": GPT,
        "input": [{"role": "user", "content": [{"type": "input_video", "later": 1.0}]}],
        "tools": [{"type": "web_search", "external_web_access": True}, {"type": "new_tool"}],
        "client_metadata": {"a": "b"},
        "unheard_of": [1.0, {"é": None}],
        "stream": True,
    }
    served.vendor.next(response_answer(thought_item("Hm"), text_item("Hi"), new_field={"x": 1.0}))

    answer = post(served, body)

    assert sent(served) == body
    assert b'"new_field": {"x": 1.0}' in answer.body
    assert "x-aimm-ignored" not in answer.headers
    row = served.rows()[0]
    assert (row.text, row.thinking, row.status, row.finish_reason) == ("Hi", "Hm", "ok", "stop")


def events_of(raw: bytes) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in raw.decode().splitlines() if line.startswith("data: ")]


@pytest.mark.parametrize("model", [CLAUDE, GEMINI])
def test_the_events_of_another_vendors_answer(served: Running, model: str):
    served.vendor.next(anthropic_tools(("toolu_1", "weather", '{"city": "Rome"}'), text="Let me see."))
    served.gemini.next(
        wire.Reply(events=[wire.event("Let me see."), wire.tool_event(("weather", {"city": "Rome"}, ""))])
    )

    events = events_of(post(served, {"model": model, "tools": [WEATHER], "stream": True}).body)

    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    kinds = [event["type"].removeprefix("response.") for event in events]
    assert kinds[:3] == ["created", "in_progress", "output_item.added"]
    assert kinds[-3:] == ["function_call_arguments.done", "output_item.done", "completed"]
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    whole = events[-1]["response"]
    assert whole["output"] == done
    call = done[-1]
    assert (call["type"], call["name"], json.loads(call["arguments"])) == ("function_call", "weather", {"city": "Rome"})
    assert next(item for item in done if item["type"] == "message")["content"][0]["text"] == "Let me see."
    assert whole["usage"].keys() == {
        "input_tokens", "input_tokens_details", "output_tokens", "output_tokens_details", "total_tokens",
    }  # fmt: skip


def tool_loop(client: openai.OpenAI, model: str, how: str) -> Any:
    """Two requests, with the first one's output given back as real programs do it."""
    first: Any = client.responses.create(
        model=model, input="Weather in Rome?", tools=[WEATHER], reasoning={"effort": "low", "summary": "auto"},
        include=ENCRYPTED if how in ("whole", "no ids") else [], store=False if how == "no ids" else None,
    )  # fmt: skip
    [call] = [item for item in first.output if item.type == "function_call"]
    assert json.loads(call.arguments) == {"city": "Rome"}
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "Sunny"}
    if how == "previous":
        return client.responses.create(model=model, input=[result], tools=[WEATHER], previous_response_id=first.id)
    given: list[Any] = [item.model_dump(exclude_none=True) for item in first.output]
    if how == "no ids":
        given = [{name: value for name, value in item.items() if name != "id"} for item in given]
    if how == "by reference":
        given = [
            item if item["type"] == "function_call" else {"type": "item_reference", "id": item["id"]} for item in given
        ]
    question = {"role": "user", "content": "Weather in Rome?"}
    effort: Any = {"effort": "low"}
    return client.responses.create(
        model=model, input=[question, *given, result], tools=[WEATHER], reasoning=effort
    )  # fmt: skip


WAYS = ["whole", "no ids", "bare ids", "by reference", "previous"]


@pytest.mark.parametrize("how", WAYS)
def test_claude_gets_its_thoughts_back(client: openai.OpenAI, served: Running, how: str):
    reply = anthropic_tools(("toolu_1", "weather", '{"city": "Rome"}'))
    start = {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}}
    deltas: list[dict[str, Any]] = [
        {"type": "thinking_delta", "thinking": "Look it up."}, {"type": "signature_delta", "signature": "ErOfClaude"}
    ]  # fmt: skip
    thought: list[tuple[str, Any]] = [("content_block_start", start)]
    thought += [("content_block_delta", {"type": "content_block_delta", "index": 0, "delta": each}) for each in deltas]
    thought += [("content_block_stop", {"type": "content_block_stop", "index": 0})]
    served.vendor.next(Reply(raw=_sse([*reply.events[:1], *thought, *reply.events[2:]])))

    answer = tool_loop(client, CLAUDE, how)

    turns = sent(served)["messages"]
    assert turns[1]["content"][0] == {"type": "thinking", "thinking": "Look it up.", "signature": "ErOfClaude"}
    assert turns[2]["content"][0]["content"] == "Sunny"
    assert "thinking" in sent(served) or how == "previous"
    assert answer.output_text == "Hello there."


def _sse(events: list[tuple[str, Any]]) -> bytes:
    return "".join(f"event: {name}\ndata: {json.dumps(value)}\n\n" for name, value in events).encode()


@pytest.mark.parametrize("how", WAYS)
def test_gemini_gets_its_signature_back(client: openai.OpenAI, served: Running, how: str):
    served.gemini.next(wire.Reply(events=[wire.tool_event(("weather", {"city": "Rome"}, "c2lnbmF0dXJl"))]))

    answer = tool_loop(client, GEMINI, how)

    turns = served.gemini.requests[-1]["body"]["contents"]
    assert turns[1]["parts"][-1]["thoughtSignature"] == "c2lnbmF0dXJl"
    assert turns[2]["parts"][0]["functionResponse"]["response"] == {"result": "Sunny"}
    assert answer.output_text == "Hello from the fake."


@pytest.mark.parametrize("how", WAYS)
def test_openai_gets_its_own_items_back(client: openai.OpenAI, served: Running, how: str):
    item = call_item("call_1", "weather", '{"city": "Rome"}', "fc_77")
    served.vendor.next(response_answer(thought_item("Hm", item_id="rs_77"), item, response_id="resp_77"))
    served.vendor.stored |= {"resp_77", "rs_77", "fc_77"}

    answer = tool_loop(client, GPT, how)

    body = sent(served)
    if how == "previous":
        assert body["previous_response_id"] == "resp_77"
        assert [each["type"] for each in body["input"]] == ["function_call_output"]
        assert served.rows()[0].messages[0].text == "Weather in Rome?"
    elif how == "by reference":
        assert {"type": "item_reference", "id": "rs_77"} in body["input"]
    assert answer.output_text == "Hello there."


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("second", [GPT, CLAUDE, GEMINI])
@pytest.mark.parametrize("first", [GPT, CLAUDE, GEMINI])
def test_another_vendor_goes_on_with_a_conversation(
    client: openai.OpenAI, served: Running, first: str, second: str, how: str
):
    if first == second:
        return
    served.mm.aliases.set("helper", Target(model=first))
    item = call_item("call_1", "weather", '{"city": "Rome"}', "fc_78")
    reply = {
        GPT: response_answer(thought_item("Hm", item_id=f"rs_{second[:3]}{WAYS.index(how)}"), item),
        CLAUDE: anthropic_tools(("toolu_1", "weather", '{"city": "Rome"}')),
        GEMINI: wire.Reply(events=[wire.tool_event(("weather", {"city": "Rome"}, ""))]),
    }
    (served.gemini if first == GEMINI else served.vendor).next(reply[first])
    asked = client.responses.create

    def turning(**more: Any) -> Any:
        answer = asked(**more)
        served.mm.aliases.set("helper", Target(model=second))
        return answer

    client.responses.create = turning  # type: ignore[assignment]
    try:
        answer = tool_loop(client, "helper", how)
    finally:
        del client.responses.create
        served.mm.aliases.remove("helper")

    row = served.rows()[0]
    assert (row.status, row.model) == ("ok", second), row.error_message
    assert answer.output_text == row.text != ""
    results = [part.text for turn in row.messages for part in turn.parts if type(part).__name__ == "ToolResult"]
    assert results == ["Sunny"]


def test_tools_in_namespaces_and_free_form_ones_come_back_as_they_are_known(client: openai.OpenAI, served: Running):
    patch = {
        "type": "custom",
        "name": "patch",
        "format": {"type": "grammar", "syntax": "lark", "definition": "start: X"},
    }
    tools: Any = [
        {"type": "namespace", "name": "agents", "tools": [WEATHER]}, WEATHER, patch,
        {"type": "web_search", "external_web_access": True},
    ]  # fmt: skip
    calls = ("t1", "agents__weather", '{"city": "Rome"}'), ("t2", "patch", '{"input": "*** Begin\\n\\"x\\""}')
    served.vendor.next(anthropic_tools(*calls))

    raw = client.responses.with_raw_response.create(model=CLAUDE, input="Go", tools=tools)
    first: Any = raw.parse()

    assert [tool["name"] for tool in sent(served)["tools"]] == ["agents__weather", "weather", "patch"]
    assert "start: X" in sent(served)["tools"][2]["description"]
    assert "web_search" in raw.headers["x-aimm-ignored"]
    call, custom = first.output
    assert (call.type, call.name, call.namespace) == ("function_call", "weather", "agents")
    assert (custom.type, custom.name, custom.input) == ("custom_tool_call", "patch", '*** Begin\n"x"')

    given: list[Any] = [each.model_dump(exclude_none=True) for each in first.output]
    given += [
        {"type": "function_call_output", "call_id": "t1", "output": "Sunny"},
        {"type": "custom_tool_call_output", "call_id": "t2", "output": "Done"},
    ]
    client.responses.create(model=CLAUDE, input=[{"role": "user", "content": "Go"}, *given], tools=tools)
    used = [block for block in sent(served)["messages"][1]["content"] if block["type"] == "tool_use"]
    assert [(block["name"], block["input"]) for block in used] == [
        ("agents__weather", {"city": "Rome"}), ("patch", {"input": '*** Begin\n"x"'}),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]}, "code_interpreter"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"input": [{"type": "mcp_call", "id": "mcp_1"}]}, "input[0] of type 'mcp_call'"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "file_1"}]}]}, "by file_id"),
        ({"tool_choice": {"type": "web_search"}, "tools": [{"type": "web_search"}]}, "tool_choice web_search"),
        ({"previous_response_id": "resp_unheard_of"}, "refers to by id"),
        ({"input": [{"type": "item_reference", "id": "rs_unheard_of"}]}, "refers to by id"),
        ({"temperature": 7}, "temperature"),
        ({"reasoning": {"effort": "ultra"}}, "reasoning.effort == 'ultra'"),
        ({"text": {"format": {"type": "json_schema", "name": "a"}}}, "json_schema without a schema"),
        (
            {
                "input": [
                    {"role": "developer", "content": [{"type": "input_image", "image_url": "https://x.example/a.png"}]},
                    {"role": "user", "content": "Hello"},
                ]
            },
            "input[0].content of more than texts",
        ),
    ],
)
def test_what_another_vendor_cannot_be_told_is_refused_in_words(served: Running, body: dict[str, Any], words: str):
    answer = post(served, {"model": CLAUDE, **body})

    assert answer.status == 400
    assert words in json.loads(answer.body)["error"]["message"]
    assert served.vendor.requests == []


def test_what_is_only_an_offer_is_left_out_by_name(served: Running):
    body = {
        "tools": [{"type": "web_search"}], "prompt_cache_key": "k", "truncation": "auto", "text": {"verbosity": "low"},
        "client_metadata": {"a": "b"}, "max_tool_calls": 3,
    }  # fmt: skip

    answer = post(served, {"model": CLAUDE, **body})

    assert answer.status == 200
    for name in ("web_search", "prompt_cache_key", "truncation", "text.verbosity", "client_metadata", "max_tool_calls"):
        assert name in answer.headers["x-aimm-ignored"]


def test_a_response_in_the_background_is_refused(served: Running):
    answer = post(served, {"model": GPT, "background": True})

    assert answer.status == 400
    assert "background" in json.loads(answer.body)["error"]["message"]


def test_a_response_can_be_read_again_and_forgotten(client: openai.OpenAI, served: Running):
    answer: Any = client.responses.create(model=CLAUDE, input="Hello", metadata={"a": "b"})

    again: Any = client.responses.retrieve(answer.id)
    items: Any = client.responses.input_items.list(answer.id)

    assert (again.id, again.output_text, again.metadata) == (answer.id, answer.output_text, {"a": "b"})
    assert [item.content for item in items.data] == ["Hello"]
    client.responses.delete(answer.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(answer.id)
    with pytest.raises(openai.BadRequestError, match="There is no response"):
        client.responses.create(model=CLAUDE, input="And?", previous_response_id=answer.id)


def test_instructions_are_not_inherited(client: openai.OpenAI, served: Running):
    first: Any = client.responses.create(model=CLAUDE, input="Hello", instructions="Be brief.")
    client.responses.create(model=CLAUDE, input="And?", previous_response_id=first.id)

    assert "system" not in sent(served)
    assert len(sent(served)["messages"]) == 3


@pytest.mark.parametrize("model", [CLAUDE, GPT])
def test_another_keys_response_is_not_there(served: Running, model: str):
    mine, other = (served.mm.keys.create(f"{name}-{model}")[1] for name in ("mine", "other"))
    answer: Any = served.client(mine).responses.create(model=model, input="My secret")

    with pytest.raises(openai.NotFoundError):
        served.client(other).responses.retrieve(answer.id)
    with pytest.raises(openai.NotFoundError):
        served.client(other).responses.delete(answer.id)
    with pytest.raises(openai.BadRequestError, match="There is no response") as refused:
        served.client(other).responses.create(model=model, input="And?", previous_response_id=answer.id)
    assert refused.value.code == "previous_response_not_found"
    item = {"type": "item_reference", "id": answer.output[0].id}
    with pytest.raises(openai.APIStatusError):
        given: Any = [item, {"role": "user", "content": "And?"}]
        served.client(other).responses.create(model=model, input=given)


@pytest.mark.parametrize("how", ["store", "header"])
def test_what_must_not_be_kept_is_not(client: openai.OpenAI, served: Running, how: str):
    more: dict[str, Any] = {"store": False} if how == "store" else {"extra_headers": {"x-aimm-no-store": "1"}}
    answer: Any = client.responses.create(model=CLAUDE, input="A secret", **more)

    assert answer.store is False
    with pytest.raises(openai.APIStatusError) as refused:
        client.responses.retrieve(answer.id)
    assert refused.value.status_code == (404 if how == "store" else 400)
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model=CLAUDE, input="And?", previous_response_id=answer.id)
    assert (refused.value.code, refused.value.param) == ("previous_response_not_found", "previous_response_id")


def test_what_openai_keeps_is_deleted_there_too(client: openai.OpenAI, served: Running):
    answer: Any = client.responses.create(model=GPT, input="Hello")

    client.responses.delete(answer.id)

    assert served.vendor.deleted == [f"/v1/responses/{answer.id}"]
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(answer.id)


def test_an_answer_that_was_cut_says_so(client: openai.OpenAI, served: Running):
    reply = anthropic_answer("Half a")
    reply.events[-2][1]["delta"]["stop_reason"] = "max_tokens"
    served.vendor.next(reply)

    answer: Any = client.responses.create(model=CLAUDE, input="Hello", max_output_tokens=20)

    assert (answer.status, answer.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert sent(served)["max_tokens"] == 20


@pytest.mark.parametrize("model", [GPT, CLAUDE])
@pytest.mark.parametrize(
    ("status", "code"), [(429, "insufficient_quota"), (400, "invalid_value"), (500, "server_error"), (401, "bad_key")]
)
def test_a_vendors_error_before_the_answer_is_a_status(served: Running, model: str, status: int, code: str):
    served.vendor.next(*[failure(status, "No, because.", code)] * 5)

    answer = post(served, {"model": model, "stream": True})

    assert answer.status == status
    assert "No, because." in json.loads(answer.body)["error"]["message"]


@pytest.mark.parametrize("model", [GPT, CLAUDE])
def test_an_answer_that_breaks_off_fails(client: openai.OpenAI, served: Running, model: str):
    reply = response_answer(text_item("Hello there.")) if model == GPT else anthropic_answer("Hello there.")
    reply.break_after = 5
    served.vendor.next(reply)

    events = events_of(post(served, {"model": model, "stream": True}).body)

    assert events[-1]["type"] == "response.failed"
    numbers = [event["sequence_number"] for event in events]
    assert numbers == sorted(set(numbers))
    assert events[-1]["response"]["id"] == events[0]["response"]["id"]
    assert served.rows()[0].status == "truncated"


def test_an_error_within_a_stream_that_began(served: Running):
    whole = response_answer(text_item("Hello there."))
    error = {"code": "server_error", "message": "Our fault."}
    failed = (
        "response.failed",
        {"type": "response.failed", "response": {"id": "r", "status": "failed", "error": error}},
    )
    served.vendor.next(Reply(events=[*whole.events[:5], failed]))

    events = events_of(post(served, {"model": GPT, "stream": True}).body)

    assert events[-1]["response"]["error"]["message"] == "Our fault."
    assert served.rows()[0].status == "truncated"


def test_a_vendor_that_fails_at_once_is_asked_again(client: openai.OpenAI, served: Running):
    whole = response_answer()
    error = {"code": "server_error", "message": "Our fault."}
    failed = (
        "response.failed",
        {"type": "response.failed", "response": {"id": "r", "status": "failed", "error": error}},
    )
    served.vendor.next(Reply(events=[*whole.events[:2], failed]))

    events = events_of(post(served, {"model": GPT, "stream": True}).body)

    assert [event["type"] for event in events].count("response.created") == 1
    assert events[-1]["type"] == "response.completed"
    assert served.rows()[0].n_attempts == 2


def test_searches_are_charged_and_what_nobody_can_price_stays_unknown(client: openai.OpenAI, served: Running):
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}}
    drawn = {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": ""}
    served.vendor.next(response_answer(search, text_item("Found")), response_answer(drawn, text_item("Drawn")))

    client.responses.create(model=GPT, input="Search")
    client.responses.create(model=GPT, input="Draw")

    draw, searched = served.rows()[0], served.rows()[1]
    assert searched.usage.n_searches == 1
    assert draw.cost_usd is None


def test_an_alias_with_a_system_prompt_and_parameters(client: openai.OpenAI, served: Running):
    served.mm.aliases.set("terse", Target(model=GPT, system="Be terse.", parameters=Parameters(temperature=0.1)))
    try:
        client.responses.create(model="terse", input="Hello", top_p=0.5)
    finally:
        served.mm.aliases.remove("terse")

    body = sent(served)
    assert body == {
        "model": GPT, "input": "Hello", "instructions": "Be terse.", "temperature": 0.1, "top_p": 0.5,
    }  # fmt: skip


@pytest.mark.parametrize(("path", "model"), [("/v1/responses", GPT), ("/v1/messages", CLAUDE)])
def test_what_an_alias_adds_and_the_wire_has_no_words_for_is_named(served: Running, path: str, model: str):
    served.mm.aliases.set("seeded", Target(model=model, parameters=Parameters(seed=1, temperature=0.1)))
    body = {"model": "seeded", "input": "Hello", "messages": HELLO, "max_tokens": 10}
    try:
        answer = served.post(
            path, {k: v for k, v in body.items() if (k == "input") is (path == "/v1/responses") or k == "model"}
        )
    finally:
        served.mm.aliases.remove("seeded")

    assert (answer.status, answer.headers["x-aimm-ignored"]) == (200, "seed")
    assert (sent(served)["temperature"], "seed" in sent(served)) == (0.1, False)


def test_tokens_are_counted(client: openai.OpenAI, served: Running):
    assert client.responses.input_tokens.count(model=CLAUDE, input="Hello").input_tokens == 42


def test_who_tries_a_websocket_first_is_told_at_once(served: Running, caplog: pytest.LogCaptureFixture):
    address = urlsplit(served.address)
    key = "dGhlIHNhbXBsZSBub25jZQ=="
    lines = f"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=5) as connection:
        connection.sendall(f"GET /v1/responses HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n".encode())
        answer = b""
        while not answer.endswith(b"}"):
            answer += connection.recv(100_000)
        assert answer.startswith(b"HTTP/1.1 426")
        connection.sendall(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n")  # it is an ordinary one still
        assert connection.recv(100_000).startswith(b"HTTP/1.1 200")
    assert caplog.messages == []


def test_a_model_that_only_responses_reach_is_reached_from_every_wire(served: Running):
    model, weather = "gpt-5.1-codex", {"name": "weather", "parameters": WEATHER["parameters"]}
    call = call_item("call_1", "weather", '{"city": "Rome"}')
    served.vendor.next(*[response_answer(thought_item("Hm"), call)] * 3)

    tools: Any = [{"type": "function", "function": weather}]
    shape: Any = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "array"}}}
    chat = served.chat(model, tools=tools, reasoning_effort="high", response_format=shape).parse().choices[0].message
    assert chat.tool_calls[0].function.arguments == '{"city": "Rome"}'
    body = sent(served)
    assert (body["reasoning"], body["store"]) == ({"effort": "high", "summary": "auto"}, False)
    assert body["tools"] == [{"type": "function", "description": "", "strict": False, **weather}]
    assert body["text"]["format"]["schema"]["type"] == "object"

    given = [{"role": "user", "content": "Go"}, chat.model_dump(exclude_none=True)]
    result = {"role": "tool", "tool_call_id": "call_1", "content": "Sunny"}
    served.vendor.forget()
    served.vendor.next(response_answer(text_item('{"value": [1, 2]}')))
    text = served.chat(model, [*given, result], tools=tools, response_format=shape).parse().choices[0].message.content
    assert json.loads(text) == [1, 2]
    assert [item.get("type", item.get("role")) for item in sent(served)["input"]] == [
        "user", "function_call", "function_call_output",
    ]  # fmt: skip

    message = served.post("/v1/messages", {"model": model, "max_tokens": 99, "messages": HELLO})
    assert (message.status, message.json["content"][0]["text"]) == (200, "Hello there.")
    content = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}
    gemini = served.post(f"/gemini/v1beta/models/{model}:generateContent", content)
    assert gemini.json["candidates"][0]["content"]["parts"][0]["text"] == "Hello there."


@pytest.mark.parametrize("tool", [{"type": "web_search"}, {"type": "web_search_preview_2025_03_11"}])
def test_searches_are_held_against_a_budget_before_they_are_made(served: Running, tool: dict[str, Any]):
    """Ten of them, at ten dollars a thousand: more than the cap."""
    asked = {"max_output_tokens": 20, "input": "Hi"}

    plain = post(served, {"model": GPT, **asked}, x_aimm_cap_usd="0.05")
    searching = post(served, {"model": GPT, "tools": [tool], **asked}, x_aimm_cap_usd="0.05")
    left_out = post(served, {"model": CLAUDE, "tools": [tool], **asked}, x_aimm_cap_usd="0.05")

    assert (plain.status, searching.status, left_out.status) == (200, 400, 200)


@pytest.mark.parametrize("model", [GPT, CLAUDE, GEMINI])
def test_items_as_programs_dump_them_with_nulls_and_arguments_as_objects(served: Running, model: str):
    """As dumped by pydantic without leaving anything out, and by frameworks that read the arguments first."""
    nothing: dict[str, Any] = {"encrypted_content": None, "content": None, "status": None}
    call = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "weather", "status": None}
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": "Go"}]},
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "I look.", "annotations": []}],
        },
        {"role": "user", "content": "Do."},
        {"type": "reasoning", "id": "rs_1", "summary": [], **nothing},
        {**call, "arguments": {"city": "Rome"}},
        {"type": "function_call_output", "call_id": "call_1", "output": [{"type": "input_text", "text": "Sunny"}]},
    ]

    answer = post(served, {"model": model, "input": items, "tools": [WEATHER], "include": None, "reasoning": None})

    assert answer.status == 200, answer.body
    if model == CLAUDE:
        assert sent(served)["messages"][3]["content"][-1]["input"] == {"city": "Rome"}


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("told", ["beside", "nowhere"])
def test_a_failed_response_is_no_answer_wherever_its_error_stands(served: Running, told: str, streamed: bool):
    failed = {"id": "r", "object": "response", "status": "failed", "error": None, "output": [], "usage": None}
    error = {"error": {"message": "Upstream broke.", "type": "server_error", "code": "upstream_error"}}
    value = {"type": "response.failed", "response": failed, **(error if told == "beside" else {})}
    reply = (
        Reply(events=[("response.failed", value)])
        if streamed
        else Reply(body=failed | (error if told == "beside" else {}))
    )
    served.vendor.next(*[reply] * 5)

    answer = post(served, {"model": GPT, "stream": streamed})

    assert served.rows()[0].status in ("error", "truncated")
    if told == "beside":
        assert (answer.status, "Upstream broke." in answer.body.decode()) == (500, True)


def test_a_servers_own_thoughts_in_the_open_are_read(served: Running):
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]}
    whole = response_answer(text_item("Hi")).events[-1][1]["response"]
    served.vendor.next(Reply(body={**whole, "output": [thought, text_item("Hi")]}))

    post(served, {"model": GPT})

    assert (served.rows()[0].thinking, served.rows()[0].text) == ("Hm.", "Hi")


def test_a_chain_over_three_vendors_loses_nothing(client: openai.OpenAI, served: Running):
    first: Any = client.responses.create(model=CLAUDE, input="One")
    second: Any = client.responses.create(model=GPT, input="Two", previous_response_id=first.id)
    client.responses.create(model=GEMINI, input="Three", previous_response_id=second.id)

    said = [part["text"] for turn in served.gemini.requests[-1]["body"]["contents"] for part in turn["parts"]]
    assert said == ["One", "Hello there.", "Two", "Hello there.", "Three"]


@pytest.mark.parametrize(
    "more", [{"previous_response_id": "resp_made_elsewhere"}, {"conversation": "conv_1"}, {"prompt": {"id": "pmpt_1"}}]
)
def test_what_nobody_here_has_read_is_held_at_its_longest(served: Running, more: dict[str, Any]):
    served.vendor.stored.add("resp_made_elsewhere")

    answer = post(served, {"model": GPT, "max_output_tokens": 20, **more}, x_aimm_cap_usd="0.01")

    assert (answer.status, "cap" in answer.body.decode()) == (400, True)


@pytest.mark.parametrize("kind", ["code_interpreter", "image_generation", "mcp", "shell"])
def test_a_tool_without_a_known_price_has_no_place_under_a_cap(served: Running, kind: str):
    tools = [{"type": kind, "container": {"type": "auto"}}]

    capped = post(served, {"model": GPT, "tools": tools, "max_output_tokens": 20}, x_aimm_cap_usd="0.01")

    assert (capped.status, served.vendor.requests) == (400, [])


def test_the_instruction_in_the_midst_stays_where_an_alias_has_its_own(served: Running):
    served.mm.aliases.set("terse", Target(model=GPT, system="Be terse."))
    items = [
        {"role": "user", "content": "1"},
        {"role": "developer", "content": "Later."},
        {"role": "user", "content": "2"},
    ]
    try:
        post(served, {"model": "terse", "input": items})
    finally:
        served.mm.aliases.remove("terse")

    assert (sent(served)["instructions"], sent(served)["input"]) == ("Be terse.", items)


def test_an_answer_with_ids_of_its_own_is_never_given_twice(served: Running):
    first, second = (post(served, {"model": GPT}, x_aimm_cache="60") for _ in range(2))

    assert json.loads(first.body)["id"] != json.loads(second.body)["id"]
    assert len(served.vendor.requests) == 2


def test_ids_of_any_type_lose_no_answer(served: Running):
    answer = post(served, {"model": CLAUDE, "input": [{"id": ["a"], "role": "user", "content": "x"}]})

    assert (answer.status, served.rows()[0].status) == (200, "ok")
