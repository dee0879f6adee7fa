"""The gateway's answers: headers, comments, embeddings, models, feedback, shadows, and callers who leave."""

import base64
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import openai
import pytest

from core.domain.experiment import Variant
from tests.builders import CLAUDE, FLASH, GPT, HELLO, Running, running_gateway
from tests.fakes import gemini as gemini_fake
from tests.fakes import vendors as vendor_fake


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    url = f"sqlite:///{tmp_path_factory.mktemp('gateway')}/aimm.db"
    with running_gateway(url, call_timeout_s=6.0) as running:
        running.mm.budgets.create("all", "1000", action="stop")
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


def experiment(served: Running, name: str, *variants: Variant) -> str:
    made = served.mm.experiments.create(name, hypothesis="h", variants=variants)
    return str(made.id)


@pytest.mark.parametrize("model", [GPT, CLAUDE, FLASH])
def test_every_answer_says_who_gave_it_and_what_it_cost(served: Running, model: str):
    raw = served.chat(model, max_tokens=100)
    row = served.row()

    headers = raw.headers
    assert (headers["x-aimm-request-id"], headers["x-aimm-model"]) == (row.id, model)
    assert (headers["x-aimm-provider"], headers["x-aimm-price-id"]) == (row.provider, row.price_id)
    assert (Decimal(headers["x-aimm-cost-usd"]), headers["x-aimm-cost-status"]) == (row.cost_usd, "priced")
    assert float(headers["x-aimm-overhead-ms"]) >= 0
    assert 0 < Decimal(headers["x-aimm-budget-remaining-usd"]) <= 1000
    assert row.text == raw.parse().choices[0].message.content
    assert row.messages[0].text == "Hello"


@pytest.mark.parametrize("model", [GPT, CLAUDE, FLASH, "sim-fast"])
def test_a_stream_says_at_its_end_what_it_cost(served: Running, model: str):
    heard = served.post("/v1/chat/completions", {"model": model, "messages": HELLO, "stream": True})
    row = served.row()

    lines = heard.body.decode().strip().split("\n")
    assert heard.headers["x-aimm-request-id"] == row.id
    assert lines[-1] == "data: [DONE]"
    comment = next(line for line in lines if line.startswith(": x-aimm"))
    assert f"x-aimm-cost-usd={row.cost_usd:f}" in comment
    assert lines[lines.index(comment) + 1].startswith("data: ")  # alone, some clients take it for an event without data
    assert "data: [DONE]" not in heard.body.decode().replace("data: [DONE]", "", 1)


def test_geminis_wire_has_headers_and_no_comments(served: Running):
    body = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}
    for model in (FLASH, GPT):
        whole = served.post(f"/gemini/v1beta/models/{model}:generateContent", body)
        streamed = served.post(f"/gemini/v1/models/{model}:streamGenerateContent?alt=sse", body)

        assert whole.headers["x-aimm-cost-usd"] and streamed.headers["x-aimm-request-id"] == served.row().id
        assert not any(line.startswith(b":") for line in streamed.body.split(b"\n"))
        assert whole.json["candidates"][0]["finishReason"] == "STOP"


def test_the_count_is_in_the_last_chunk_only_where_it_was_asked_for(served: Running):
    for model in (GPT, CLAUDE):
        counted = served.stream(model, stream_options={"include_usage": True})
        plain = served.stream(model)

        assert counted[-1].usage.total_tokens == 15 and counted[-1].choices == []
        assert all(chunk.usage is None for chunk in (*counted[:-1], *plain))
        assert all(chunk.choices for chunk in plain)
    translated = served.post(
        "/v1/chat/completions",
        {"model": CLAUDE, "messages": HELLO, "stream": True, "stream_options": {"include_usage": True}},
    )
    assert translated.body.count(b'"usage":null') == translated.body.count(b"chat.completion.chunk") - 1


def test_an_experiment_says_what_was_assigned_and_takes_feedback(served: Running):
    variants = (
        Variant(position=0, name="A", model="sim-fast"),
        Variant(position=1, name="B", model=GPT, system="Be brief."),
        Variant(position=2, name="S", model=CLAUDE, weight=0, is_shadow=True),
    )
    experiment_id = experiment(served, "tone", *variants)
    heard = served.chat("exp:tone", user="u1")
    answer_id, assignment = heard.headers["x-aimm-request-id"], heard.headers["x-aimm-assignment"]

    first = served.post("/v1/feedback", {"generation_id": answer_id, "success": True})
    second = served.post("/v1/feedback", {"assignment_id": assignment, "rating": 4})
    wrong = served.post("/v1/feedback", {"generation_id": "g_none", "success": True})
    unsaid = served.post("/v1/feedback", {"success": True})

    assert heard.headers["x-aimm-variant"] in ("variant_a", "variant_b")
    assert (first.status, second.status, wrong.status, unsaid.status) == (200, 200, 404, 400)
    assert unsaid.json["error"]["type"] == "invalid_request_error"
    units = served.mm.experiments.latest_units(experiment_id)
    assert [(unit.unit_id, unit.assignment_id) for unit in units] == [("u1", assignment)]
    assert (first.json["state"], second.json["state"]) == ("counted", "counted")
    # The shadow is asked with the same words, recorded as what it is, and never returned.
    assert until(lambda: any("shadow" in row.tags for row in served.rows()))
    shadow = next(row for row in served.rows() if "shadow" in row.tags)
    assert (shadow.model, answer_id in (shadow.ref_part or ""), shadow.messages[0].text) == (CLAUDE, True, "Hello")
    assert heard.headers["x-aimm-model"] != CLAUDE


@pytest.mark.parametrize("model", ["text-embedding-3-small", "gemini-embedding-001", "sim-fast", "ollama/nomic-embed"])
def test_embeddings(served: Running, model: str):
    client = served.client()
    packed = client.embeddings.with_raw_response.create(
        model=model, input=["one", "two"]
    )  # base64, as the client likes
    row = served.row()
    plain = client.embeddings.create(model=model, input="one", encoding_format="float")

    found = packed.parse()
    assert len(found.data) == 2 and len(plain.data) == 1
    assert found.data[0].embedding == pytest.approx(plain.data[0].embedding, abs=1e-6)
    assert found.data[0].embedding != found.data[1].embedding
    assert (row.operation, row.status, row.usage.output_tokens) == ("embeddings", "ok", 0)
    assert row.usage.input_tokens > 0
    assert row.cost_usd is not None and (row.cost_usd > 0 or model.startswith("ollama"))
    assert packed.headers["x-aimm-request-id"] == row.id


def test_simulated_vectors_have_length_one_and_come_as_they_are_asked_for(served: Running):
    body = {"model": "sim-fast", "input": "one", "encoding_format": "base64"}
    packed = served.post("/v1/embeddings", body).json["data"][0]["embedding"]

    vector = struct.unpack("<256f", base64.b64decode(packed))
    assert sum(value * value for value in vector) == pytest.approx(1, abs=1e-5)


def test_anthropic_makes_no_embeddings(served: Running):
    with pytest.raises(openai.BadRequestError, match="no embeddings"):
        served.client().embeddings.create(model=CLAUDE, input="x")


def test_models_are_found_by_their_names(served: Running):
    client = served.client()
    assert client.models.retrieve("sim-fast").owned_by == "simulated"
    assert client.models.retrieve("llama3.2:3b").id == "llama3.2:3b"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("none")
    assert served.get("/gemini/v1beta/models/sim-fast").json["name"] == "models/sim-fast"
    assert served.get("/gemini/v1beta/models/none").json["error"]["status"] == "NOT_FOUND"


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b"{}", b'{"contents": 3}', b'{"contents": [{"role": "user"}]}'])
def test_what_is_no_request_is_refused_in_the_form_of_its_wire(served: Running, body: bytes):
    before = served.mm.log.count()
    first = served.post("/v1/chat/completions", body)
    second = served.post("/gemini/v1beta/models/sim-fast:generateContent", body)

    assert (first.status, first.json["error"]["type"]) == (400, "invalid_request_error")
    assert (second.status, second.json["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert served.mm.log.count() == before


@pytest.mark.parametrize("model", [GPT, CLAUDE, FLASH])
def test_a_caller_who_leaves_stops_the_vendor_and_pays_for_what_came(served: Running, model: str):
    if model == FLASH:
        events = [gemini_fake.event(f"word{n} ", usage=gemini_fake.usage()) for n in range(100)]
        fake: Any = served.gemini
        fake.next(gemini_fake.Reply(events=events, pause_s=0.02))
    else:
        fake = served.vendor
        reply = vendor_fake.anthropic_answer("word ") if model == CLAUDE else vendor_fake.openai_answer("word word ")
        more = [*reply.events[:3], *[reply.events[1 if model == GPT else 2]] * 100]
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


def test_only_so_many_are_served_at_once(tmp_path):
    with running_gateway(f"sqlite:///{tmp_path}/aimm.db", max_in_flight=1, max_waiting=1) as running:
        running.vendor.next(*[replace(vendor_fake.openai_answer(), hang_s=0.5)] * 2)
        threads = [threading.Thread(target=running.chat, args=(GPT,)) for _ in range(2)]
        for thread in threads:
            thread.start()
            assert until(lambda: bool(running.vendor.requests))
            time.sleep(0.1)

        with pytest.raises(openai.RateLimitError) as caught:
            running.chat(GPT)
        for thread in threads:
            thread.join(5)

        assert (caught.value.code, caught.value.response.headers["retry-after"]) == ("overloaded", "1")
        assert caught.value.response.headers["x-aimm-reason"] == "overloaded"
        assert running.mm.log.count() == len(running.vendor.requests) == 2
        assert running.chat(GPT).parse().choices
