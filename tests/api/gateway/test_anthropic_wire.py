"""Anthropic's wire on /v1/messages, asked by Anthropic's own client, unmodified but for its base address."""

import json
from typing import Any

import anthropic
import pytest

from core.domain.experiment import Target
from tests.builders import Running
from tests.fakes import gemini as wire
from tests.fakes.vendors import Reply, anthropic_answer, openai_answer, openai_tools

CLAUDE, GPT, GEMINI = "claude-sonnet-4-5", "gpt-4o", "gemini-2.5-flash"
pytestmark = pytest.mark.filterwarnings("ignore:The model 'claude:DeprecationWarning")
HELLO: list[Any] = [{"role": "user", "content": "Hello"}]
WEATHER: dict[str, Any] = {
    "name": "weather",
    "description": "The weather of a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}


@pytest.fixture(autouse=True)
def forgotten(served: Running) -> None:
    served.forget()


@pytest.fixture
def client(served: Running) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=served.address, api_key="none", max_retries=0)


def ask(client: anthropic.Anthropic, model: str, messages: list[Any] = HELLO, **more: Any) -> Any:
    return client.messages.create(model=model, max_tokens=2000, messages=messages, **more)


def post(served: Running, body: dict[str, Any], **headers: str) -> Any:
    lines = {name.replace("_", "-"): value for name, value in headers.items()}
    return served.post("/v1/messages", {"max_tokens": 2000, "messages": HELLO, **body}, lines)


@pytest.mark.parametrize("model", [CLAUDE, GPT, GEMINI, "sim-fast"])
@pytest.mark.parametrize("is_streamed", [False, True])
def test_an_answer(client: anthropic.Anthropic, served: Running, model: str, is_streamed: bool):
    if is_streamed:
        with client.messages.stream(model=model, max_tokens=2000, messages=HELLO, system="Be brief.") as stream:
            text = "".join(stream.text_stream)
            answer = stream.get_final_message()
    else:
        answer = ask(client, model, system="Be brief.")
        text = "".join(block.text for block in answer.content if block.type == "text")

    row = served.rows()[0]
    assert text == row.text != ""
    assert (answer.role, answer.stop_reason) == ("assistant", "end_turn")
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (row.usage.input_tokens, row.usage.output_tokens)
    assert (row.status, row.cost_status) == ("ok", "priced")
    assert row.system == "Be brief."


def test_what_goes_to_anthropic_goes_as_it_came(served: Running):
    body = {
        "model": CLAUDE,
        "system": [{"type": "text", "text": "Rules", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi", "later": {"field": 1.0}}]}],
        "max_tokens": 100,
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "metadata": {"user_id": json.dumps({"device_id": "d1", "account_uuid": "", "session_id": "s1"})},
    }
    betas = "context-management-2025-06-27,something-new-2027-01-01"

    answer = post(served, body, anthropic_version="2023-06-01", anthropic_beta=betas, x_api_key="sk-ant-of-the-caller")

    assert answer.status == 200, answer.body
    assert served.vendor.requests[-1]["body"] == body
    sent = {name.lower(): value for name, value in served.vendor.headers[-1].items()}
    assert sent["anthropic-beta"] == betas
    assert sent["x-api-key"] == served.vendor.key
    assert "x-aimm-ignored" not in answer.headers
    row = served.rows()[0]
    assert row.user_id == "d1"


@pytest.mark.parametrize("is_streamed", [False, True])
def test_the_bytes_of_anthropics_answer_come_back(served: Running, is_streamed: bool):
    reply = anthropic_answer("Hello", thinking="Hm")
    reply.events.insert(2, ("new_kind", {"type": "new_kind", "value": [1.0, "é"]}))
    served.vendor.next(reply)

    answer = post(served, {"model": CLAUDE, "stream": is_streamed})

    if is_streamed:
        sent = [f"event: {name}\ndata: {json.dumps(value, ensure_ascii=False)}" for name, value in reply.events]
        got = [part for part in answer.body.decode().split("\n\n") if part]
        told = [line for line in got[-1].splitlines() if not line.startswith(":")]
        assert [part for part in got[:-1] if not part.startswith(":")] == sent[:-1]
        assert told == ["event: message_stop", 'data: {"type":"message_stop"}']
    else:
        assert b"new_kind" not in answer.body
    row = served.rows()[0]
    assert (row.text, row.thinking) == ("Hello", "Hm")


def test_reads_and_writes_of_the_cache_are_priced_and_told(client: anthropic.Anthropic, served: Running):
    counted = {
        "input_tokens": 10,
        "cache_read_input_tokens": 1000,
        "cache_creation_input_tokens": 500,
        "cache_creation": {"ephemeral_5m_input_tokens": 200, "ephemeral_1h_input_tokens": 300},
    }
    served.vendor.next(anthropic_answer(usage=counted))

    answer = ask(client, CLAUDE)

    row = served.rows()[0]
    assert answer.usage.cache_read_input_tokens == row.usage.cached_tokens == 1000
    assert (row.usage.cache_write_tokens, row.usage.cache_write_1h_tokens) == (200, 300)
    # 10 at $3, 1,000 read at $0.30, 200 written at $3.75, 300 at $6, 5 out at $15, each a million
    assert row.cost_usd is not None
    assert round(float(row.cost_usd) * 1e6) == 30 + 300 + 750 + 1800 + 75


@pytest.mark.parametrize("model", [GPT, GEMINI])
@pytest.mark.parametrize("is_streamed", [False, True])
def test_tools_are_called_and_answered(client: anthropic.Anthropic, served: Running, model: str, is_streamed: bool):
    calls = [("", "weather", {"city": "Oslo"}), ("", "weather", {"city": "Rome"})]
    if model == GPT:
        served.vendor.next(openai_tools(("a.1:x", "weather", '{"city": "Oslo"}'), ("b", "weather", '{"city": "Rome"}')))
    else:
        served.gemini.next(wire.Reply(events=[wire.tool_event(*((name, args, "c2ln") for _, name, args in calls))]))
    asked: dict[str, Any] = {"model": model, "max_tokens": 2000, "messages": HELLO, "tools": [WEATHER]}
    if is_streamed:
        with client.messages.stream(**asked) as stream:
            answer = stream.get_final_message()
    else:
        answer = client.messages.create(**asked)

    made = [block for block in answer.content if block.type == "tool_use"]
    assert [block.input for block in made] == [{"city": "Oslo"}, {"city": "Rome"}]
    assert answer.stop_reason == "tool_use"
    assert len({block.id for block in made}) == 2
    results = [
        {"type": "tool_result", "tool_use_id": made[1].id, "content": [{"type": "text", "text": "Sun"}]},
        {"type": "tool_result", "tool_use_id": made[0].id, "content": "No such city", "is_error": True},
        {"type": "text", "text": "Well?"},
    ]
    turns = [*HELLO, {"role": "assistant", "content": answer.content}, {"role": "user", "content": results}]
    last = ask(client, model, turns, tools=[WEATHER])

    assert last.stop_reason == "end_turn"
    if model == GPT:
        sent = served.vendor.requests[-1]["body"]["messages"]
        assert [(m["role"], m["content"]) for m in sent[2:]] == [
            ("tool", "Sun"), ("tool", "Error: No such city"), ("user", "Well?")
        ]  # fmt: skip
    else:
        contents = served.gemini.requests[-1]["body"]["contents"]
        assert [part["thoughtSignature"] for part in contents[1]["parts"]] == ["c2ln", "c2ln"]
        assert [part["functionResponse"]["response"] for part in contents[2]["parts"][:2]] == [
            {"error": "No such city"}, {"result": "Sun"}
        ]  # fmt: skip


def test_a_conversation_that_moves_to_claude_leaves_other_vendors_signatures_behind(
    client: anthropic.Anthropic, served: Running
):
    events = [wire.event("Hm", thought=True), wire.tool_event(("weather", {}, "c2ln"))]
    served.gemini.next(wire.Reply(events=events))
    answer = ask(client, GEMINI, tools=[WEATHER])
    call = next(block for block in answer.content if block.type == "tool_use")
    result = [{"type": "tool_result", "tool_use_id": call.id, "content": "Sun"}]
    turns = [*HELLO, {"role": "assistant", "content": answer.content}, {"role": "user", "content": result}]

    last = ask(client, CLAUDE, turns, tools=[WEATHER], thinking={"type": "enabled", "budget_tokens": 1024})

    assert last.stop_reason == "end_turn"
    assert "thinking" not in served.vendor.requests[-1]["body"]


def test_what_other_vendors_cannot_be_told_is_refused_or_named(served: Running):
    needed = {"mcp_servers": [{"type": "url", "url": "https://x.example"}]}
    refused = post(served, {"model": GPT, **needed})
    assert refused.status == 400
    assert json.loads(refused.body)["error"] == {
        "type": "invalid_request_error",
        "message": "gpt-4o cannot be told mcp_servers. A model of the anthropic wire can.",
    }
    assert not served.vendor.requests

    optional = {
        "tools": [WEATHER, {"type": "web_search_20250305", "name": "web_search"}],
        "top_k": 5,
        "context_management": {"edits": []},
        "system": [{"type": "text", "text": "Rules", "cache_control": {"type": "ephemeral"}}],
    }
    answer = post(served, {"model": GPT, **optional})
    assert answer.status == 200
    named = answer.headers["x-aimm-ignored"].split(", ")
    assert sorted(named) == ["cache_control", "context_management", "tools[1] of type 'web_search_20250305'", "top_k"]
    assert "left out" in served.rows()[0].note


UNREADABLE = [
    {"type": "search_result", "title": "T"},
    {"type": "container_upload", "file_id": "f"},
    {"type": "image", "source": {"type": "file", "file_id": "f"}},
    {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}},
    {"type": "of_next_year"},
]


@pytest.mark.parametrize("block", UNREADABLE, ids=lambda block: str(block["type"]))
def test_a_block_that_is_not_known_goes_to_anthropic_and_to_nobody_else(served: Running, block: dict[str, Any]):
    turns = [{"role": "user", "content": [{"type": "text", "text": "Hi"}, block]}]

    assert post(served, {"model": CLAUDE, "messages": turns}).status == 200
    assert served.vendor.requests[-1]["body"]["messages"] == turns
    other = post(served, {"model": GEMINI, "messages": turns})
    assert other.status == (200 if block["type"] == "search_result" else 400), other.body


@pytest.mark.parametrize("model", [GPT, GEMINI])
def test_a_system_turn_and_pictures_in_results_reach_other_vendors(served: Running, model: str):
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
    turns = [
        {"role": "user", "content": "Look"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "shoot", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": [picture]}]},
        {"role": "system", "content": "Be quick."},
    ]

    assert post(served, {"model": model, "messages": turns}).status == 200
    sent = json.dumps((served.vendor if model == GPT else served.gemini).requests[-1]["body"])
    assert "Be quick." in sent
    assert "iVBORw0KGgo=" in sent


@pytest.mark.parametrize(
    ("status", "error", "kind", "answered"),
    [
        (429, {"type": "rate_limit_error", "message": "slow down"}, "rate_limit_error", 429),
        (529, {"type": "overloaded_error", "message": "Overloaded"}, "overloaded_error", 529),
        (400, {"type": "invalid_request_error", "message": "prompt is too long: 9 tokens > 8 maximum"},
         "invalid_request_error", 400),
    ],
)  # fmt: skip
def test_anthropics_own_errors_come_back_in_its_words(
    served: Running, status: int, error: dict[str, str], kind: str, answered: int
):
    body = {"type": "error", "error": error, "request_id": "req_7"}
    served.vendor.next(*[Reply(status=status, body=body, headers={"retry-after": "600"})] * 5)

    found = post(served, {"model": CLAUDE})

    told = json.loads(found.body)
    assert (found.status, told["type"], told["error"]) == (
        answered,
        "error",
        {"type": kind, "message": error["message"]},
    )


def test_other_vendors_errors_are_told_in_anthropics_form(served: Running):
    text = "This model's maximum context length is 128000 tokens. However, your messages resulted in 130500 tokens."
    long = {"error": {"message": text, "type": "invalid_request_error", "code": "context_length_exceeded"}}
    served.vendor.next(Reply(status=400, body=long))
    found = json.loads(post(served, {"model": GPT}).body)
    assert found["error"]["message"] == "prompt is too long: 130500 tokens > 128000 maximum"

    assert json.loads(post(served, {"model": "no-such"}).body)["error"]["type"] == "not_found_error"
    nowhere = served.post("/v1/messages/nowhere", {})
    assert (nowhere.status, json.loads(nowhere.body)["type"]) == (404, "error")


def test_an_answer_that_breaks_off_ends_in_an_error_event(served: Running):
    broken = openai_answer("Hello there")
    broken.break_after = 2
    served.vendor.next(broken)

    lines = post(served, {"model": GPT, "stream": True}).body.decode()

    assert "event: error" in lines
    assert "message_stop" not in lines
    row = served.rows()[0]
    assert row.status == "truncated"


def test_tokens_are_counted(client: anthropic.Anthropic, served: Running):
    by_claude = client.messages.count_tokens(model=CLAUDE, messages=HELLO, system="Be brief.")
    assert by_claude.input_tokens == 42
    raw = client.messages.with_raw_response.count_tokens(model=GPT, messages=HELLO)
    assert raw.parse().input_tokens > 0
    assert raw.headers["x-aimm-estimated"] == "input_tokens"


def test_models_are_listed_in_the_form_of_who_asks(client: anthropic.Anthropic, served: Running):
    listed = list(client.models.list(limit=2))  # pages are fetched as needed
    names = [model.id for model in listed]
    theirs = [model.id for model in served.client().models.list()]
    assert sorted(names) == sorted(theirs)
    assert CLAUDE in names
    assert client.models.retrieve(CLAUDE).type == "model"
    with pytest.raises(anthropic.NotFoundError):
        client.models.retrieve("no-such")


def test_bound_thoughts_keep_their_system_prompt(served: Running):
    served.mm.aliases.set("helper", Target(model=CLAUDE, system="Of the alias."))
    thought = {"type": "thinking", "thinking": "Hm", "signature": "ErUB"}
    turns = [*HELLO, {"role": "assistant", "content": [thought, {"type": "text", "text": "Hi"}]}, *HELLO]

    bound = post(served, {"model": "helper", "messages": turns})
    free = post(served, {"model": "helper"})

    assert "system" not in served.vendor.requests[0]["body"]
    assert "alias" in bound.headers["x-aimm-ignored"]
    assert served.vendor.requests[1]["body"]["system"] == "Of the alias."
    assert "x-aimm-ignored" not in free.headers
