"""Answers as vendors and the proxies before them pack them: read alike, whoever reads them."""

import asyncio
import gzip
import json
import zlib
from typing import Any

import pytest

from core.errors import ProviderError
from core.providers.gemini import errors as gemini_errors
from core.providers.http.answer import Answer
from core.providers.http.errors import retry_after
from tests.fakes.raw import ask, packet

SSE, JSON, HTML = "text/event-stream", "application/json", "text/html"
CUT, ENDED = b'{"a": "K\xc3', b'\xb6"}'


def pieces(vendor: str) -> list[dict[str, Any]]:
    """An answer of two pieces, `Hé` and `llo`, and its end."""
    if vendor == "openai":
        texts = [{"choices": [{"delta": {"content": text}}]} for text in ("Hé", "llo")]
        return [
            *texts,
            {
                "choices": [{"delta": {}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 3, "completion_tokens": 2},
            },
        ]
    if vendor == "anthropic":
        texts = [
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
            for text in ("Hé", "llo")
        ]
        counted = {"input_tokens": 3, "output_tokens": 2}
        return [*texts, {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": counted}]
    texts = [{"candidates": [{"content": {"parts": [{"text": text}]}}]} for text in ("Hé", "llo")]
    return [
        *texts,
        {"candidates": [{"finishReason": "STOP"}], "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2}},
    ]


def whole(vendor: str) -> dict[str, Any]:
    if vendor == "openai":
        return {
            "choices": [{"message": {"content": "Héllo"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 2},
        }
    if vendor == "anthropic":
        return {
            "content": [{"type": "text", "text": "Héllo"}],
            "stop_reason": "end_turn",
            "usage": {"input_tokens": 3, "output_tokens": 2},
        }
    parts = [{"text": "Héllo"}]
    return {
        "candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2},
    }


def dumped(value: Any, **more: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, **more).encode()


def lines(vendor: str, between: bytes = b"\n\n", before: bytes = b"data: ") -> bytes:
    return b"".join(before + dumped(value) + between for value in pieces(vendor))


GOOD: dict[str, Any] = {
    "plain": lambda v: (lines(v), SSE),
    "a charset": lambda v: (lines(v), "text/event-stream; charset=UTF-8"),
    "called JSON": lambda v: (lines(v), JSON),
    "called text": lambda v: (lines(v), "text/plain"),
    "no space": lambda v: (lines(v, before=b"data:"), SSE),
    "comments between": lambda v: (b": hello\n\n" + lines(v, between=b"\n\n: keep-alive\n\n"), SSE),
    "comments within": lambda v: (lines(v, before=b": OPENROUTER PROCESSING\ndata: "), SSE),
    "comments after the data": lambda v: (lines(v, between=b"\n: ok\n\n"), SSE),
    "over several lines": lambda v: (b"".join(b"".join(b"data: " + line + b"\n" for line in dumped(each, indent=1).splitlines()) + b"\n" for each in pieces(v)), SSE),
    "CRLF": lambda v: (lines(v, between=b"\r\n\r\n"), SSE),
    "CR": lambda v: (lines(v, between=b"\r\r"), SSE),
    "mixed line ends": lambda v: (lines(v, between=b"\n\r\n"), SSE),
    "more empty lines": lambda v: (b"\n\n\n" + lines(v, between=b"\n\n\n\n\n"), SSE),
    "no empty lines": lambda v: (lines(v, between=b"\n"), SSE),
    "no last empty line": lambda v: (lines(v).rstrip(), SSE),
    "a BOM": lambda v: (b"\xef\xbb\xbf" + lines(v), SSE),
    "names, ids, retry": lambda v: (b"retry: 10\n\n" + lines(v, before=b"event: message\nid: 7\ndata: "), SSE),
    "DONE": lambda v: (lines(v) + b"data: [DONE]\n\n", SSE),
    "DONE without a space": lambda v: (lines(v) + b"data:[DONE]", SSE),
    "empty data and null": lambda v: (b"data:\n\ndata: null\n\n" + lines(v), SSE),
    "lists of events": lambda v: (b"data: " + dumped(pieces(v)) + b"\n\n", SSE),
    "whole": lambda v: (dumped(whole(v)), JSON),
    "whole, called a stream": lambda v: (b"\n " + dumped(whole(v)), SSE),
    "whole, on lines, with a BOM": lambda v: (b"\xef\xbb\xbf" + dumped(whole(v), indent=2), "application/json; charset=utf-8"),
    "whole in a list": lambda v: (dumped([whole(v)]), JSON),
    "no error": lambda v: (b"".join(b"data: " + dumped({**each, "error": {}}) + b"\n\n" for each in pieces(v)), SSE),
    "unknown fields": lambda v: (b"data: " + dumped({"ping": 1, "note": {"a": []}}) + b"\n\n" + lines(v), SSE),
}  # fmt: skip
BAD: dict[str, tuple[bytes, str]] = {
    "a web page": (b"<!DOCTYPE html><html><body>Sign in</body></html>", HTML),
    "a web page, called JSON": (b"\n<html></html>", JSON),
    "a web page, called a stream": (b"<html></html>", SSE),
    "nothing, called JSON": (b"", JSON),
    "broken JSON": (b'{"candidates": [', JSON),
    "a text": (b'"Hello"', JSON),
    "a number": (b"5", JSON),
    "null": (b"null", JSON),
    "an empty list": (b"[]", JSON),
    "a list of texts": (b'["Hello"]', JSON),
    "NaN": (b'{"a": NaN}', JSON),
    "a broken event": (b"data: {broken\n\n", SSE),
    "no UTF-8": (b'data: {"a": "\xff"}\n\n', SSE),
    "an error": (b'{"error": {"message": "overloaded", "code": 503}}', JSON),
    "an error in a list": (b'[{"error": {"message": "overloaded", "code": 503}}]', JSON),
    "an error as an event": (b'data: {"error": {"message": "overloaded", "code": 503}}\n\n', SSE),
    "an error beside more": (b'data: {"id": 1, "error": {"message": "overloaded", "code": 503}}\n\n', SSE),
    "an error of old": (b'data: {"object": "error", "message": "overloaded", "code": 503}\n\n', SSE),
    "brotli": (b"\x0b\x02\x80abc\x03", f"{SSE}\r\ncontent-encoding: br"),
    "zstd, called JSON": (b"\x28\xb5\x2f\xfdabc", f"{JSON}\r\nContent-Encoding: zstd"),
    "an error as a text": (b'{"error": "overloaded"}', JSON),
    "an error as a text in an event": (b'data: {"error": "overloaded"}\n\n', SSE),
}
READERS = [("gemini", True), ("gemini", False), ("openai", True), ("anthropic", True)]


def read(vendor: str, by_wire: bool, sent: bytes) -> tuple[str, Any, Any, Any]:
    """(text, finish reason, usage, error)"""
    chunks, error, _ = ask(vendor, sent, by_wire=by_wire)
    finish = next((chunk.finish_reason for chunk in chunks if chunk.finish_reason), None)
    usage = next((chunk.usage for chunk in reversed(chunks) if chunk.usage), None)
    return "".join(chunk.text for chunk in chunks), finish, usage and (usage.input_tokens, usage.output_tokens), error


@pytest.mark.parametrize(("vendor", "by_wire"), READERS)
def test_every_packing_of_a_good_answer_is_read(vendor: str, by_wire: bool):
    for name, make in GOOD.items():
        body, kind = make(vendor)
        packings = {
            "gzip": gzip.compress(body),
            "identity, GZIP": gzip.compress(body),
            "deflate": zlib.compress(body, wbits=-15),
        }
        packed = [packet(raw, f"{kind}\r\ncontent-encoding: {word}") for word, raw in packings.items()]

        for sent in (packet(body, kind), *(packed if name in ("plain", "whole", "a BOM") else packed[:1])):
            assert read(vendor, by_wire, sent) == ("Héllo", "stop", (3, 2), None), name


@pytest.mark.parametrize(("vendor", "by_wire"), READERS)
def test_what_is_no_answer_is_an_error_and_says_which(vendor: str, by_wire: bool):
    for name, (body, kind) in BAD.items():
        text, finish, _, error = read(vendor, by_wire, packet(body, kind))

        assert (text, finish) == ("", None), name
        assert isinstance(error, ProviderError), (name, error)
        assert "overloaded" in error.message or "error" not in name, (name, error)
        assert "web page" in error.message or "page" not in name, (name, error)


@pytest.mark.parametrize(("vendor", "by_wire"), READERS)
@pytest.mark.parametrize(
    "body", [b"", b": ping\n\n", b'data: {"foo": 1}\n\n', b'data: "Hello"\n\n', b"data: [DONE]\n\n"]
)
def test_what_says_nothing_is_no_answer(vendor: str, by_wire: bool, body: bytes):
    assert read(vendor, by_wire, packet(body, SSE)) == (
        "",
        None,
        None,
        None,
    )  # the call then ends as one without an answer


@pytest.mark.parametrize("by_wire", [True, False])
def test_gemini_without_a_finish_reason_is_whole_only_as_one(by_wire: bool):
    value = {"candidates": [{"content": {"parts": [{"text": "Hi"}]}}]}

    for body, kind, finish in (
        (dumped(value), JSON, "unknown"),
        (dumped([value]), JSON, "unknown"),
        (b"data: " + dumped(value), SSE, None),
    ):
        assert read("gemini", by_wire, packet(body, kind))[:2] == ("Hi", finish)


@pytest.mark.parametrize(("vendor", "by_wire"), READERS)
def test_objects_of_another_shape_are_an_error(vendor: str, by_wire: bool):
    odd: list[dict[str, Any]] = [
        {"candidates": {"a": 1}}, {"candidates": [{"content": {"parts": [{"text": 5}]}}]}, {"candidates": [{"content": "Hi", "finishReason": "STOP"}]},
    ] if vendor == "gemini" else [{"choices": {"a": 1}}, {"choices": [{"delta": "Hi"}]}, {"choices": [{"delta": {"content": 5, "tool_calls": 7}}]}] if vendor == "openai" else [
        {"type": "message_start", "message": [1]}, {"type": "content_block_delta", "delta": "Hi"}, {"type": "message_delta", "delta": [], "usage": "x"},
    ]  # fmt: skip
    for value in odd:
        text, finish, usage, error = read(vendor, by_wire, packet(b"data: " + dumped(value) + b"\n\n", SSE))

        assert (text, finish, usage) == ("", None, None), value
        assert error is None or isinstance(error, ProviderError), value


@pytest.mark.parametrize("text", ["inf", "nan", "1e999", "9" * 400, "-5", "soon"])
def test_a_time_to_wait_is_finite_or_unknown(text: str):
    details = [{"retryDelay": f"{text}s"}]
    limited = gemini_errors.to_error(
        429, {"error": {"message": "slow down", "details": details}}, {"retry-after": text}
    )

    assert (limited.retry_after_s, retry_after({"retry-after": text})) == (None, None)


@pytest.mark.parametrize("vendor", ["openai", "gemini"])
@pytest.mark.parametrize(
    "body",
    [
        b'{"data": [{"embedding": null}], "embeddings": [{}]}',
        b'{"data": ["a"], "embeddings": ["a"]}',
        b'{"error": "no"}',
    ],
)
def test_vectors_of_another_shape_are_an_error(vendor: str, body: bytes):
    assert isinstance(ask(vendor, packet(body, JSON), operation="embeddings")[1], ProviderError)


class Bytes:
    """An answer that comes a few bytes at a time."""

    is_ending = False

    def __init__(self, body: bytes, kind: str, size: int) -> None:
        self.headers = {"content-type": kind}
        self._pieces = [body[at : at + size] for at in range(0, len(body), size)]

    async def read(self) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""


async def values_of(body: bytes, kind: str, size: int) -> list[Any]:
    answer = Answer(Bytes(body, kind, size), "The vendor")
    if await answer.is_whole():
        return (await answer.whole())[1]
    return [event.value async for events in answer.events() for event in events if event.value is not None]


def test_however_the_bytes_are_cut_the_events_are_the_same():
    for name, make in GOOD.items():
        body, kind = make("openai")
        whole_at_once = asyncio.run(values_of(body, kind, len(body)))

        for size in (1, 2, 3, 7):
            assert asyncio.run(values_of(body, kind, size)) == whole_at_once, (name, size)
        assert whole_at_once
