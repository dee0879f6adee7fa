"""The gateway's edges: other hosts' names, slow senders, what only some say, ids of refusals, and a server that stops."""

import asyncio
import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest

from api.access import Nearby
from api.gateway import exchange
from api.gateway.exchange import Left
from api.gateway.queue import Gate
from core import InvalidRequest
from core.calls.call import Origin
from core.domain.experiment import Variant
from core.domain.generation import Parameters
from tests.api.test_access import _served, ask
from tests.builders import CLAUDE, FLASH, GPT, HELLO, Running, running_gateway
from tests.fakes import vendors as vendor_fake

CONTENTS: list[Any] = [{"role": "user", "parts": [{"text": "Hello"}]}]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    url = f"sqlite:///{tmp_path_factory.mktemp('mends')}/aimm.db"
    with running_gateway(url, call_timeout_s=6.0, max_in_flight=1, max_waiting=1) as running:
        yield running


@pytest.fixture(autouse=True)
def forgetful(served: Running) -> None:
    served.forget()


def until(holds: Callable[[], bool], seconds: float = 3.0) -> bool:
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def chat(served: Running, body: dict[str, Any], **headers: str) -> Any:
    whole = {"model": GPT, "messages": HELLO, **body}
    return served.post("/v1/chat/completions", whole, {name.replace("_", "-"): each for name, each in headers.items()})


def opened(served: Running, path: str, length: int, body: bytes = b"") -> socket.socket:
    """A connection with a request whose body may still be coming."""
    place = urlsplit(served.address)
    line = socket.create_connection((place.hostname or "", place.port or 0), timeout=10)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    )
    line.sendall(head.encode() + body)
    return line


def test_pages_are_not_for_other_hosts_names():
    pages = Nearby(_served, is_local=True)
    for given, status in (
        ({"host": "evil.example:8501"}, 403), ({"origin": "http://evil.example"}, 403), ({"origin": "null"}, 403),
        ({"host": "127.0.0.1:8501", "origin": "http://localhost:8501"}, 200), ({}, 200),
    ):  # fmt: skip
        assert ask(pages, "/monitoring", **given)[0] == status
    assert ask(pages, "/healthz", host="evil.example")[0] == 200
    assert ask(pages, "/api/models", host="evil.example")[0] == 200  # Access looks at it, and takes a key
    assert ask(Nearby(_served, is_local=True, needs_host=lambda: False), "/", host="aimm.example")[0] == 200

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    scope = {"type": "websocket", "path": "/_stcore/stream", "server": ("127.0.0.1", 1), "headers": [(b"host", b"evil.example")]}  # fmt: skip
    asyncio.run(pages(scope, receive, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_gemini_gives_one_candidate(served: Running):
    for name in ("candidateCount", "candidate_count"):
        body = {"contents": CONTENTS, "generationConfig": {name: 2}}
        assert served.post(f"/gemini/v1/models/{FLASH}:generateContent", body).status == 400
    body = {"contents": CONTENTS, "generationConfig": {"candidateCount": 1}}
    assert served.post(f"/gemini/v1/models/{FLASH}:generateContent", body).status == 200


def test_slow_senders_lock_nobody_out(served: Running):
    slow = [opened(served, "/v1/chat/completions", 100, b"{") for _ in range(5)]
    time.sleep(0.1)

    assert chat(served, {}).status == 200
    for line in slow:
        line.close()


def test_who_leaves_the_queue_gives_up_its_place():
    async def story() -> list[str]:
        gate, gone, ends = Gate(1, 1), asyncio.Event(), asyncio.Event()
        heard = []

        async def wait_gone() -> None:
            await gone.wait()

        async def hold(name: str) -> None:
            try:
                async with gate.turn(wait_gone if name == "leaver" else None):
                    heard.append(name)
                    await ends.wait()
            except Left:
                heard.append(f"{name} left")

        first = asyncio.create_task(hold("first"))
        await asyncio.sleep(0)
        leaver = asyncio.create_task(hold("leaver"))
        await asyncio.sleep(0)
        gone.set()
        await leaver
        third = asyncio.create_task(hold("third"))
        await asyncio.sleep(0)
        ends.set()
        await asyncio.gather(first, third)
        async with gate.turn():
            heard.append("free")
        return heard

    assert asyncio.run(story()) == ["first", "leaver left", "third", "free"]


def test_instructions_alone_and_empty_turns_are_for_the_vendor_to_judge(served: Running):
    for messages in ([{"role": "system", "content": "Say hello."}], [{"role": "user", "content": ""}]):
        assert chat(served, {"messages": messages}).status == 200
        assert served.vendor.requests[-1]["body"]["messages"] == messages
    assert chat(served, {"model": CLAUDE, "messages": [{"role": "developer", "content": "Say hello."}]}).status == 200
    assert served.row().messages[0].text == "Say hello."


def test_seeds_and_stops_as_vendors_have_them(served: Running):
    for seed in (-1, 2**63 - 1):
        assert Parameters(seed=seed).problem() == "" and chat(served, {"seed": seed}).status == 200
    assert Parameters(seed=2**63).problem()
    for stop in ("", [], ["", "END"]):
        assert chat(served, {"stop": stop}).status == 200
    config = {"stopSequences": [""], "seed": -5}
    asked = served.post(
        f"/gemini/v1/models/{FLASH}:generateContent", {"contents": CONTENTS, "generationConfig": config}
    )
    assert asked.status == 200


def test_an_alias_and_an_experiment_are_told_by_http_to_cache_and_fall_back(served: Running):
    place = urlsplit(served.address)
    line = http.client.HTTPConnection(place.hostname or "", place.port, timeout=10)
    body = {"model": GPT, "fallbacks": [CLAUDE], "cache_s": 60}
    line.request("PUT", "/api/aliases/kept", json.dumps(body), {"Content-Type": "application/json"})
    alias = json.loads(line.getresponse().read())["alias"]
    line.close()
    assert (alias["fallbacks"], alias["cache_s"]) == ([CLAUDE], 60)

    made = {"name": "kept-e", "variant_a": "sim-fast", "variant_b": GPT, "cache_s": 60}
    assert served.post("/api/experiment", made).status == 201
    assert served.post("/api/experiment", made | {"cache_s": 2_592_001}).status == 422
    with pytest.raises(InvalidRequest):
        served.mm.experiments.create("x", [GPT, CLAUDE], cache_s=0)

    for model in ("kept", "exp:kept-e"):
        body = {"model": model, "user": "u", "messages": [{"role": "user", "content": f"Hello {model}"}]}
        heard = [chat(served, body).headers.get("x-aimm-cache") for _ in range(2)]
        unkept = chat(served, body, x_aimm_cache="no")
        assert (heard, unkept.status, unkept.headers.get("x-aimm-cache")) == (["miss", "hit"], 200, None)


def test_an_answer_is_kept_for_thirty_days_at_most(served: Running):
    assert chat(served, {}, x_aimm_cache="2592001").status == 400
    assert Origin(cache_s=2_592_001).problem() and not Origin(cache_s=0).problem()


def test_refusals_have_an_id_too(served: Running):
    refused = [
        served.post("/v1/chat/completions", b"{"), served.get("/v1/nothing"), served.get("/v1/models"), served.get("/v1"),
        served.get("/gemini"), served.post("/v1/feedback", {}), chat(served, {}, host="evil.example"),
        chat(served, {}, authorization="Bearer aimm_none"),
        served.post(f"/gemini/v1/models/{FLASH}:countTokens", {"contents": CONTENTS}),
    ]  # fmt: skip

    assert [each.status for each in refused] == [400, 404, 200, 404, 404, 400, 403, 401, 200]
    assert all(each.headers["x-aimm-request-id"].startswith("r_") for each in refused)
    assert all("error" in each.json and each.json["error"]["message"] for each in refused if each.status >= 400)


def test_models_that_a_body_names_for_its_vendor_are_asked_for_too(served: Running):
    """OpenRouter takes a list of fallbacks of its own."""
    _, secret = served.mm.keys.create("narrow", models=("vllm/*",))
    body = {"model": "vllm/my-model", "messages": HELLO}

    heard = [
        chat(served, {**body, "models": models}, authorization=f"Bearer {secret}").status
        for models in (["vllm/other"], ["openai/o3-pro"], "openai/o3-pro", [5])
    ]

    assert heard == [200, 403, 403, 400]


def test_a_call_is_found_by_its_id(served: Running):
    answer_id = chat(served, {}).headers["x-aimm-request-id"]

    found = served.get(f"/api/generations/{answer_id}")

    assert (found.status, found.json["generation"]["id"]) == (200, answer_id)
    assert found.json["generation"]["cost"] and served.get("/api/generations/g_none").status == 404


def test_too_large_a_body_is_refused_in_the_wires_form(served: Running):
    raw = b'{"model":"' + b"x" * (8 * 1024 * 1024) + b'"}'

    openai, gemini = (served.post(path, raw) for path in ("/v1/chat/completions", f"/gemini/v1/models/{GPT}:generateContent"))  # fmt: skip

    assert (openai.status, openai.json["error"]["code"]) == (413, "too_large")
    assert (gemini.status, gemini.json["error"]["code"]) == (413, 413)


def test_a_body_that_does_not_come_is_not_waited_for(served: Running, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(exchange, "BODY_TIMEOUT_S", 0.1)
    port = urlsplit(served.address).port
    for path in ("/v1/chat/completions", "/api/generate"):
        head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n"
        with socket.create_connection(("127.0.0.1", port), 5) as line:
            line.sendall(head.encode() + b"{")
            heard = b""
            while b"come within" not in heard and (piece := line.recv(65536)):
                heard += piece
        assert heard.startswith(b"HTTP/1.1 408 ") and b"did not come within" in heard


@pytest.mark.parametrize("streamed", [False, True])
def test_a_server_that_stops_says_so(served: Running, streamed: bool):
    plain = vendor_fake.openai_answer()
    served.vendor.next(replace(plain, pause_s=1.0) if streamed else replace(plain, hang_s=1.0))
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(chat, served, {"stream": streamed})
        assert until(lambda: bool(served.vendor.requests))
        time.sleep(0.3)
        served.mm.calls.cancel_all()
        heard = asking.result(10)

    if streamed:
        assert heard.status == 200 and b"stopping" in heard.body
        assert b'"error"' in heard.body and b"[DONE]" not in heard.body
    else:
        assert (heard.status, heard.json["error"]["code"]) == (503, "provider_unavailable")


def test_calls_without_a_user_are_one_users(served: Running):
    _, secret = served.mm.keys.create("users", user_rpm=2)
    statuses = [chat(served, {}, authorization=f"Bearer {secret}").status for _ in range(3)]

    assert statuses == [200, 200, 429]


def test_embeddings_fall_back_and_are_assigned(served: Running):
    body = {"model": "no-such-model", "input": "Hello", "fallbacks": ["text-embedding-3-small"]}
    assert served.post("/v1/embeddings", body).status == 200
    assert "fallbacks" not in served.vendor.requests[-1]["body"]

    both = [Variant(position=at, name=name, model="text-embedding-3-small") for at, name in enumerate("AB")]
    served.mm.experiments.create("vectors", both)
    asked = served.post("/v1/embeddings", {"model": "exp:vectors", "input": "Hello", "user": "u1"})
    assert asked.status == 200 and asked.headers["x-aimm-assignment"]


def test_a_shadow_keeps_the_tags_of_its_call(served: Running):
    arms = (
        Variant(position=0, name="A", model="sim-fast"),
        Variant(position=1, name="S", model=GPT, weight=0, is_shadow=True),
    )
    served.mm.experiments.create("shaded", arms)
    tags = [f"t{at}" for at in range(10)]

    assert chat(served, {"model": "exp:shaded", "user": "u"}, x_aimm_tags=",".join(tags)).status == 200
    assert until(lambda: any("shadow" in row.tags for row in served.rows()))
    shadow = next(row for row in served.rows() if "shadow" in row.tags)
    assert shadow.tags == (*tags[:9], "shadow")
