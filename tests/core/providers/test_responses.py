"""What vendors answer beyond the plain case: parts, errors after a text, answers without an end, redirects."""

import json
from typing import Any

import pytest

from core.domain.generation import ToolDelta
from core.errors import ProviderError
from tests.fakes.raw import ask, events, packet

OPENAI_TEXT = {"choices": [{"delta": {"content": "Hi"}}]}
GEMINI_TEXT = {"candidates": [{"content": {"parts": [{"text": "Hi"}]}}]}
ANTHROPIC_TEXT = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}}


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
