"""The gateway's answers: headers, comments, embeddings, models, feedback, shadows, and callers who leave."""

from decimal import Decimal
from typing import Any

import openai
import pytest

from core.calls.origin import Origin
from core.domain.experiment import Variant
from tests.builders import CLAUDE, CONTENTS, FLASH, GPT, HELLO, Running
from tests.fakes import gemini as gemini_fake
from tests.fakes import vendors as vendor_fake


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


def test_models_are_found_by_their_names(served: Running):
    client = served.client()
    assert client.models.retrieve("sim-fast").owned_by == "simulated"
    assert client.models.retrieve("llama3.2:3b").id == "llama3.2:3b"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("none")
    assert served.get("/gemini/v1beta/models/sim-fast").json["name"] == "models/sim-fast"
    assert served.get("/gemini/v1beta/models/none").json["error"]["status"] == "NOT_FOUND"


def test_refusals_have_an_id_too(served: Running):
    refused = [
        served.post("/v1/chat/completions", b"{"), served.get("/v1/nothing"), served.get("/v1/models"), served.get("/v1"),
        served.get("/gemini"), served.post("/v1/feedback", {}), served.complete({}, host="evil.example"),
        served.complete({}, authorization="Bearer aimm_none"),
        served.post(f"/gemini/v1/models/{FLASH}:countTokens", {"contents": CONTENTS}),
    ]  # fmt: skip

    assert [each.status for each in refused] == [400, 404, 200, 404, 404, 400, 403, 401, 200]
    assert all(each.headers["x-aimm-request-id"].startswith("r_") for each in refused)
    assert all("error" in each.json and each.json["error"]["message"] for each in refused if each.status >= 400)


def test_a_call_is_found_by_its_id(served: Running):
    answer_id = served.complete({}).headers["x-aimm-request-id"]

    found = served.get(f"/api/generations/{answer_id}")

    assert (found.status, found.json["generation"]["id"]) == (200, answer_id)
    assert found.json["generation"]["cost"] and served.get("/api/generations/g_none").status == 404


def test_an_answer_is_kept_for_thirty_days_at_most(served: Running):
    assert served.complete({}, x_aimm_cache="2592001").status == 400
    assert Origin(cache_s=2_592_001).problem() and not Origin(cache_s=0).problem()


@pytest.mark.parametrize("first_counted", [False, True])
def test_a_kept_stream_has_its_count_where_it_is_asked_for(served: Running, first_counted: bool):
    messages = [{"role": "user", "content": f"Counted first: {first_counted}"}]
    found = {}
    for counted in (first_counted, not first_counted):
        more: Any = {"stream_options": {"include_usage": True}} if counted else {}
        found[counted] = served.stream(GPT, messages, extra_headers={"x-aimm-cache": "60"}, **more)

    assert len(served.vendor.requests) == 1
    assert found[True][-1].usage.total_tokens == 15
    assert all(chunk.choices and chunk.usage is None for chunk in found[False])


def test_an_answer_that_was_not_asked_for_by_the_piece_is_logged(served: Running):
    for model, reply in (
        (GPT, vendor_fake.openai_answer("Whole")),
        (CLAUDE, vendor_fake.anthropic_answer("Whole", thinking="Hm.")),
    ):
        served.vendor.next(reply)
        served.chat(model)
        row = served.row()
        assert (row.text, row.messages[0].text, row.thinking) == ("Whole", "Hello", "Hm." if model == CLAUDE else "")
    served.gemini.next(gemini_fake.answer("Whole"))
    assert served.post(f"/gemini/v1beta/models/{FLASH}:generateContent", {"contents": CONTENTS}).status == 200
    assert (served.row().text, served.row().provider) == ("Whole", "gemini")
