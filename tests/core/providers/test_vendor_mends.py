"""What vendors send and take beyond the plain case."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from core import ModelManager
from core.calls import pacing
from core.domain.generation import Message, Native, Parameters, Quota, Request, Tool, ToolDelta
from core.domain.message import ToolCall, ToolResult
from core.errors import AimmError, ModelNotFound, ProviderError
from core.providers.anthropic import AnthropicProvider
from core.providers.anthropic import _body as anthropic_body
from core.providers.gemini import GeminiProvider
from core.providers.gemini_wire import as_came, to_body
from core.providers.http.client import quota_of
from core.providers.http.network import refuses
from core.providers.openai import OpenAIProvider
from core.providers.registry import Registry
from core.storage.calls.responses import AnswerStore
from core.storage.gateway.breakers import BreakerStore, Opening
from tests.conftest import Open

Make = Callable[[str], Any]
BY_NAME: dict[str, Make] = {
    "openai": lambda url: OpenAIProvider("openai", url, "k"),
    "gemini": lambda url: GeminiProvider("k", url),
    "anthropic": lambda url: AnthropicProvider("k", url),
}
OPENAI_TEXT = {"choices": [{"delta": {"content": "Hi"}}]}
GEMINI_TEXT = {"candidates": [{"content": {"parts": [{"text": "Hi"}]}}]}
ANTHROPIC_TEXT = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}}


@asynccontextmanager
async def sending(packet: bytes, paths: list[str]) -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        paths.append(head.split()[1].decode())
        writer.write(packet)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def ask(
    vendor: str, packet: bytes, model: str = "m", *, by_wire: bool = True, **more: Any
) -> tuple[list[Any], Any, str]:
    """(chunks, error, path) of one request."""
    native = Native(wire="anthropic", body={}, parameters=Parameters()) if by_wire else None
    chunks, paths = [], []

    async def main() -> AimmError | None:
        async with sending(packet, paths) as url:
            provider = BY_NAME[vendor](url)
            request = Request(model=model, messages=(Message("user", "Hello"),), native=native, **more)
            try:
                async for chunk in provider.stream(request, attempt=1, timeout_s=5.0):
                    chunks.append(chunk)
            except AimmError as error:
                return error
            finally:
                await provider.close()
        return None

    return chunks, asyncio.run(main()), paths[0]


def packet(body: bytes, kind: str, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


def events(*values: Any) -> bytes:
    texts = [value if isinstance(value, str) else json.dumps(value) for value in values]
    return packet("".join(f"data: {text}\n\n" for text in texts).encode(), "text/event-stream")


def test_an_answer_in_parts_is_read_as_its_text_and_its_thoughts():
    """Mistral's thinking models."""
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
    for name in ("delta", "message"):
        said: list[Any] = [
            [thought],
            "Hi",
            [{"type": "text", "text": " you"}, {"type": "reference", "reference_ids": [1]}],
            [],
            None,
        ]
        parts = [{"choices": [{name: {"content": content}}]} for content in said]

        chunks, error, _ = ask("openai", events(*parts, {"choices": [{name: {}, "finish_reason": "stop"}]}))

        assert error is None
        assert ("".join(c.text for c in chunks), "".join(c.thinking for c in chunks)) == ("Hi you", "Hm."), name


@pytest.mark.parametrize(
    ("vendor", "text", "error"),
    [
        ("openai", OPENAI_TEXT, {"error": {"message": "oops"}}),
        ("gemini", GEMINI_TEXT, {"error": {"message": "oops", "code": 500}}),
        ("anthropic", ANTHROPIC_TEXT, {"type": "error", "error": {"type": "api_error", "message": "oops"}}),
    ],
)
@pytest.mark.parametrize("is_broken", [False, True])
def test_a_text_before_an_error_is_not_lost(vendor: str, text: Any, error: Any, is_broken: bool):
    chunks, raised, _ = ask(vendor, events(text, "{broken" if is_broken else error))

    assert "".join(chunk.text for chunk in chunks) == "Hi"
    assert isinstance(raised, ProviderError)
    assert is_broken or "oops" in raised.message


@pytest.mark.parametrize(
    ("vendor", "body"),
    [
        ("openai", {"choices": [{"message": {"content": "Hi"}, "finish_reason": None}]}),
        ("gemini", GEMINI_TEXT),
        ("anthropic", {"content": [{"type": "text", "text": "Hi"}], "stop_reason": None}),
    ],
)
def test_a_whole_answer_that_does_not_say_why_it_ended_is_whole(vendor: str, body: Any):
    chunks, raised, _ = ask(vendor, packet(json.dumps(body).encode(), "application/json"))

    assert raised is None
    assert ("".join(chunk.text for chunk in chunks), chunks[-1].finish_reason) == ("Hi", "unknown")
    for empty in ({}, {"choices": [{"message": {"content": None}}]}, {"candidates": [{}]}, {"content": []}):
        chunks, _, _ = ask(vendor, packet(json.dumps(empty).encode(), "application/json"))
        assert chunks[-1].finish_reason is None


@pytest.mark.parametrize(("vendor", "by_wire"), [("openai", True), ("gemini", True), ("gemini", False), ("anthropic", True)])  # fmt: skip
def test_a_redirect_is_the_vendors_fault(vendor: str, by_wire: bool):
    _, error, _ = ask(vendor, packet(b"{}", "application/json", "302 Found\r\nlocation: /x"), by_wire=by_wire)

    assert (error.code, error.is_retryable) == ("provider_error", False)
    assert "a redirect, which is not followed" in error.message


def test_a_models_name_stays_within_its_part_of_the_address():
    path = ask("gemini", events(GEMINI_TEXT), "a/../b?c#d")[2]

    assert path == "/v1beta/models/a%2F..%2Fb%3Fc%23d:streamGenerateContent?alt=sse"


@pytest.mark.parametrize("name", ["a?b", "vllm/a#b", "gemini/../x", "vllm:..", " a", "a\n", "a\x00b", "gemini/a\r\nb"])
def test_a_name_that_means_something_else_in_an_address_is_refused(name: str):
    registry = Registry(keys={"gemini": "k"}, servers={"vllm": ("http://127.0.0.1:9", None)})

    with pytest.raises(ModelNotFound, match="no model's name"):
        asyncio.run(registry.resolve(name))


@pytest.mark.parametrize("name", ["vllm/org/model", "vllm:org/model:7b", "vllm//models/a..b"])
def test_a_servers_models_may_have_slashes_and_colons(name: str):
    registry = Registry(servers={"vllm": ("http://127.0.0.1:9", None)})

    assert asyncio.run(registry.resolve(name))[1].name == name[5:]


@pytest.mark.parametrize(
    ("pieces", "given", "arguments"),
    [([], {}, "{}"), ([""], {}, "{}"), ([], {"a": 1}, '{"a": 1}'), (['{"a":', "2}"], {}, '{"a":2}')],
)
def test_a_call_without_arguments_has_empty_ones(pieces: list[str], given: Any, arguments: str):
    block = {"type": "tool_use", "id": "t", "name": "f", "input": given}
    deltas = [
        {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": piece}}
        for piece in pieces
    ]
    start = {"type": "content_block_start", "index": 1, "content_block": block}
    end = {"type": "message_delta", "delta": {"stop_reason": "tool_use"}}
    chunks, _, _ = ask("anthropic", events(start, *deltas, {"type": "content_block_stop", "index": 1}, end))

    tools: list[ToolDelta] = [tool for chunk in chunks for tool in chunk.tools]
    assert "".join(tool.arguments for tool in tools) == arguments
    assert {tool.index for tool in tools} == {0}


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


def test_a_schema_taken_away_leaves_json_and_the_rest():
    body = {
        "generationConfig": {"response_mime_type": "application/json", "responseSchema": {"type": "OBJECT"}, "topK": 3}
    }
    before = Parameters(json_schema={"type": "object"}, json_object=True)
    native = Native(wire="gemini", body=body, parameters=before)

    sent = as_came(Request(model="m", messages=(), parameters=Parameters(json_object=True), native=native), native)

    assert sent == {"generationConfig": {"responseMimeType": "application/json", "topK": 3}}


def test_a_far_reset_lets_one_request_in_ten_seconds_learn_the_truth(monkeypatch: pytest.MonkeyPatch):
    now = [1000.0]
    monkeypatch.setattr(pacing.time, "monotonic", lambda: now[0])
    pacer = pacing.Pacer()
    pacer.heard("openai", "m", Quota(remaining=0, reset_s=7200))

    assert pacer.wait_s("openai", "m") == 10
    now[0] += 10
    assert [pacer.wait_s("openai", "m") for _ in range(2)] == [0, 10]
    pacer.heard("openai", "m", Quota(remaining=1, reset_s=3))
    assert [pacer.wait_s("openai", "m") for _ in range(2)] == [0, 3]
    now[0] += 3
    assert [pacer.wait_s("openai", "m") for _ in range(2)] == [0, 0]


def test_tokens_are_no_requests():
    headers = {"x-ratelimit-remaining-requests": "50", "x-ratelimit-reset-requests": "1s"}
    few = headers | {"x-ratelimit-remaining-tokens": "7", "x-ratelimit-reset-tokens": "6m0s"}

    assert quota_of(few) == Quota(remaining=50, reset_s=1.0)
    assert quota_of(few | {"x-ratelimit-remaining-tokens": "0"}) == Quota(remaining=0, reset_s=360.0)


@pytest.mark.parametrize(
    "address",
    ["64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "::169.254.169.254", "::ffff:169.254.169.254", "fd20:ce::254",
     "192.0.0.192", "64:ff9b::192.0.0.192", "fe80::1%eth0"],
)  # fmt: skip
def test_metadata_is_refused_in_every_form(address: str):
    assert refuses(address)


@pytest.mark.parametrize("address", ["::1", "127.0.0.1", "2606:4700::1111", "64:ff9b::808:808", "2002:808:808::1", "10.0.0.1"])  # fmt: skip
def test_other_addresses_are_not(address: str):
    assert not refuses(address)


def test_breakers_and_answers_are_written_over(open_manager: Open, database_url: str):
    mm: ModelManager = open_manager(database_url)
    database = mm.database
    with database.write() as connection:
        for n in (1, 2):
            BreakerStore.put(connection, ("openai", "m"), Opening(n, n, "why"))
            AnswerStore.put(connection, "d", {"n": n}, 0, 100)

    assert BreakerStore(database).all() == {("openai", "m"): Opening(2, 2, "why")}
    assert AnswerStore(database).get("d", 50) == {"n": 2}
