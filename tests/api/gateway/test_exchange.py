"""One request and its answer: bodies that are none, too large or late, callers who leave, servers that stop."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest

from api import body
from core.domain.generation import Parameters
from tests.builders import CLAUDE, CONTENTS, FLASH, GPT, HELLO, Running, until
from tests.fakes import gemini as gemini_fake
from tests.fakes import vendors as vendor_fake


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b"{}", b'{"contents": 3}', b'{"contents": []}'])
def test_what_is_no_request_is_refused_in_the_form_of_its_wire(served: Running, body: bytes):
    before = served.mm.log.count()
    first = served.post("/v1/chat/completions", body)
    second = served.post("/gemini/v1beta/models/sim-fast:generateContent", body)

    assert (first.status, first.json["error"]["type"]) == (400, "invalid_request_error")
    assert (second.status, second.json["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert served.mm.log.count() == before


def test_too_large_a_body_is_refused_in_the_wires_form(served: Running):
    raw = b'{"model":"' + b"x" * (32 * 1024 * 1024) + b'"}'

    openai, gemini = (served.post(path, raw) for path in ("/v1/chat/completions", f"/gemini/v1/models/{GPT}:generateContent"))  # fmt: skip

    assert (openai.status, openai.json["error"]["code"]) == (413, "too_large")
    assert (gemini.status, gemini.json["error"]["code"]) == (413, 413)
    assert served.post("/api/generate", raw[: 9 * 1024 * 1024]).status == 413


@pytest.mark.parametrize("head", ["content-length: 40000000", "transfer-encoding: chunked"])
def test_too_large_a_body_is_refused_before_it_has_come(served: Running, head: str):
    lines = f"POST /v1/audio/transcriptions HTTP/1.1\r\nhost: localhost\r\n{head}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", urlsplit(served.address).port or 0), 5) as line:
        line.sendall(lines.encode())
        if "chunked" in head:  # more than the limit, and no end
            for _ in range(33):
                line.sendall(b"100000\r\n" + bytes(1024 * 1024) + b"\r\n")
        heard = b""
        while b"too_large" not in heard and (piece := line.recv(65536)):
            heard += piece
    assert heard.startswith(b"HTTP/1.1 413 ") and b'"code":"too_large"' in heard


def test_a_body_that_does_not_come_is_not_waited_for(served: Running, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(body, "BODY_TIMEOUT_S", 0.1)
    port = urlsplit(served.address).port
    for path in ("/v1/chat/completions", "/api/generate"):
        head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n"
        with socket.create_connection(("127.0.0.1", port), 5) as line:
            line.sendall(head.encode() + b"{")
            heard = b""
            while b"come within" not in heard and (piece := line.recv(65536)):
                heard += piece
        assert heard.startswith(b"HTTP/1.1 408 ") and b"did not come within" in heard


def test_candidates_are_for_who_gives_several(served: Running):
    for name in ("candidateCount", "candidate_count"):
        body = {"contents": CONTENTS, "generationConfig": {name: 2}}
        assert served.post(f"/gemini/v1/models/{FLASH}:generateContent", body).status == 200
        refused = served.post(f"/gemini/v1/models/{CLAUDE}:generateContent", body)
        assert (refused.status, "2 were asked for" in refused.json["error"]["message"]) == (400, True)


def test_instructions_alone_and_empty_turns_are_for_the_vendor_to_judge(served: Running):
    for messages in ([{"role": "system", "content": "Say hello."}], [{"role": "user", "content": ""}]):
        assert served.complete({"messages": messages}).status == 200
        assert served.vendor.requests[-1]["body"]["messages"] == messages
    assert (
        served.complete({"model": CLAUDE, "messages": [{"role": "developer", "content": "Say hello."}]}).status == 200
    )
    assert served.row().messages[0].text == "Say hello."


def test_seeds_and_stops_as_vendors_have_them(served: Running):
    for seed in (-1, 2**63 - 1):
        assert Parameters(seed=seed).problem() == "" and served.complete({"seed": seed}).status == 200
    assert Parameters(seed=2**63).problem()
    for stop in ("", [], ["", "END"]):
        assert served.complete({"stop": stop}).status == 200
    config = {"stopSequences": [""], "seed": -5}
    asked = served.post(
        f"/gemini/v1/models/{FLASH}:generateContent", {"contents": CONTENTS, "generationConfig": config}
    )
    assert asked.status == 200


def test_calls_without_a_user_are_one_users(served: Running):
    _, secret = served.mm.keys.create("users", user_rpm=2)
    statuses = [served.complete({}, authorization=f"Bearer {secret}").status for _ in range(3)]

    assert statuses == [200, 200, 429]


@pytest.mark.parametrize("model", [GPT, CLAUDE, FLASH])
def test_a_caller_who_leaves_stops_the_vendor_and_pays_for_what_came(served: Running, model: str):
    if model == FLASH:
        events = [gemini_fake.event(f"word{n} ", usage=gemini_fake.usage()) for n in range(100)]
        fake: Any = served.gemini
        fake.next(gemini_fake.Reply(events=events, pause_s=0.02))
    else:
        fake = served.vendor
        reply = vendor_fake.anthropic_answer("word ") if model == CLAUDE else vendor_fake.openai_answer("word word ")
        n = 2 if model == GPT else 4  # to the first words and on, but not to the end
        more = [*reply.events[:n], *[reply.events[n - 1]] * 100]
        fake.next(replace(reply, events=more, pause_s=0.02))
    before = served.mm.log.count()

    stream = served.client().chat.completions.create(model=model, messages=HELLO, stream=True)
    for chunk in stream:
        if chunk.choices[0].delta.content:
            break
    stream.close()

    assert fake.cut_off.wait(1)
    assert until(lambda: served.mm.log.count() == before + 1)
    row = served.row()
    assert (row.status, row.cost_status) == ("stopped", "estimated")
    assert row.text.startswith("word") and row.cost_usd
    assert served.books_agree()


def test_a_caller_who_leaves_before_the_first_word_stops_the_vendor_too(served: Running):
    served.vendor.next(replace(vendor_fake.openai_answer(), hang_s=0.7))
    before = served.mm.log.count()
    with pytest.raises(openai.APITimeoutError):
        served.client().with_options(timeout=0.2).chat.completions.create(model=GPT, messages=HELLO)

    assert until(lambda: served.mm.log.count() == before + 1, 0.45)
    assert (served.row().status, served.books_agree()) == ("stopped", True)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_server_that_stops_says_so(served: Running, streamed: bool):
    plain = vendor_fake.openai_answer()
    served.vendor.next(replace(plain, pause_s=1.0) if streamed else replace(plain, hang_s=1.0))
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(served.complete, {"stream": streamed})
        assert until(lambda: bool(served.vendor.requests))
        time.sleep(0.3)
        served.mm.calls.cancel_all()
        heard = asking.result(10)

    if streamed:
        assert heard.status == 200 and b"stopping" in heard.body
        assert b'"error"' in heard.body and b"[DONE]" not in heard.body
    else:
        assert (heard.status, heard.json["error"]["code"]) == (503, "provider_unavailable")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/generate", "/metrics"])
def test_a_refused_caller_is_told_an_id(served: Running, path: str):
    heard = served.post(path, {}, {"Origin": "http://evil.example"})

    assert (heard.status, heard.headers["x-aimm-request-id"][:2]) == (403, "r_")
