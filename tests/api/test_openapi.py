"""The document of all addresses, and requests that schemathesis or a bad value once brought to a fault here."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.gateway.registry import WIRES, wire_of
from api.openapi import document
from api.rest.app import make_app
from tests.builders import Running, running_gateway
from tests.conftest import copied

HELLO = [{"role": "user", "content": "Hello"}]
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def _nested(levels: int) -> Any:
    value: Any = None
    for _ in range(levels):
        value = [value]
    return value


@pytest.fixture(scope="module")
def served(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_gateway(copied(sqlite_template, tmp_path_factory.mktemp("openapi"))) as running:
        yield running


def test_one_document_describes_every_address(served: Running):
    found = served.get("/openapi.json").json
    under_api = served.get("/api/openapi.json").json

    assert {f"/api{path}" for path in under_api["paths"]} <= set(found["paths"])
    assert {
        "/v1/messages", "/v1/messages/count_tokens", "/v1/chat/completions", "/v1/embeddings", "/v1/models", "/v1/models/{model}", "/v1/feedback", "/v1/responses",
        "/v1/responses/input_tokens", "/v1/responses/{response_id}", "/v1/responses/{response_id}/input_items", "/v1/files",
        "/v1/files/{file_id}", "/v1/files/{file_id}/content", "/v1/batches", "/v1/batches/{batch_id}", "/v1/batches/{batch_id}/cancel", "/gemini/v1beta/models",
        "/gemini/v1beta/models/{model}", "/gemini/v1beta/models/{model}:generateContent",
        "/gemini/v1beta/models/{model}:streamGenerateContent", "/gemini/v1beta/models/{model}:countTokens",
        "/gemini/v1beta/models/{model}:embedContent", "/gemini/v1beta/models/{model}:batchEmbedContents", "/v1/completions", "/v1/moderations",
        "/v1/images/generations", "/v1/images/edits", "/v1/images/variations", "/v1/audio/speech", "/v1/audio/transcriptions", "/v1/audio/translations",
    } == {path for path in found["paths"] if not path.startswith("/api/")}  # fmt: skip


def test_a_wire_describes_addresses_of_its_own():
    for wire in WIRES:
        assert wire.paths()
        assert {wire_of(path) for path in wire.paths()} == {wire}


def test_what_the_document_points_at_is_in_it():
    whole = document(make_app(lambda: None).openapi(), WIRES)  # type: ignore[arg-type,return-value]
    left, pointed = [whole], set()
    while left:
        part: Any = left.pop()
        left += part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
        pointed |= {part["$ref"]} if isinstance(part, dict) and isinstance(part.get("$ref"), str) else set()

    assert pointed == {f"#/components/schemas/{name}" for name in whole["components"]["schemas"]}


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [*HELLO, {"role": "assistant", "tool_calls": 5}]},
        {"messages": [*HELLO, {"role": "assistant", "tool_calls": [{**CALL, "function": {"name": "f", "arguments": "\ud800"}}]}]},
        {"messages": [*HELLO, {"role": "tool", "tool_call_id": "c", "content": "\udfff"}]},
        {"messages": HELLO, "metadata": {"\x00": 1}},
        {"messages": HELLO, "metadata": _nested(500)},
        {"messages": HELLO, "temperature": float("nan")},
        {"messages": HELLO, "seed": 10**400},
    ],
)  # fmt: skip
def test_what_cannot_be_kept_or_sent_on_is_refused(served: Running, body: dict[str, Any]):
    found = served.post("/v1/chat/completions", {"model": "sim-fast", **body})

    assert (found.status, found.json["error"]["type"]) == (400, "invalid_request_error")


@pytest.mark.parametrize(
    "more",
    [
        {"generationConfig": {"thinkingConfig": "much"}},
        {"systemInstruction": {"parts": 5}},
        {"contents": [{"parts": [{"functionResponse": {"name": "f", "response": {"\ud800": 1}}}]}]},
    ],
)
def test_googles_wire_takes_no_fault_from_a_wrong_type(served: Running, more: dict[str, Any]):
    body = {"contents": [{"parts": [{"text": "Hello"}]}], **more}
    found = served.post("/gemini/v1beta/models/sim-fast:generateContent", body)

    assert found.status in (200, 400)


@pytest.mark.parametrize(
    "body",
    [
        {"generation_id": {}, "assignment_id": "", "success": True},
        {"assignment_id": "\x00", "success": True},
        {"assignment_id": "x", "text": "\ud800"},
        {"assignment_id": "x", "number": 10**400},
    ],
)
def test_feedback_that_cannot_be_is_refused(served: Running, body: dict[str, Any]):
    assert served.post("/v1/feedback", body).status in (400, 404)


def test_an_address_with_one_slash_too_many_is_the_one_without(served: Running):
    assert (served.get("/api/experiment/").status, served.get("/api/models/").status) == (200, 200)
