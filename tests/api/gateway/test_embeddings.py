"""Embeddings by OpenAI's wire, of every vendor that makes them."""

import base64
import struct
from decimal import Decimal
from typing import Any

import openai
import pytest
from google import genai
from google.genai import errors

from core.domain.experiment import Target, Variant
from tests.builders import CLAUDE, Running


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


def test_embeddings_fall_back_and_are_assigned(served: Running):
    body = {"model": "no-such-model", "input": "Hello", "fallbacks": ["text-embedding-3-small"]}
    assert served.post("/v1/embeddings", body).status == 200
    assert "fallbacks" not in served.vendor.requests[-1]["body"]

    both = [Variant(position=at, name=name, model="text-embedding-3-small") for at, name in enumerate("AB")]
    served.mm.experiments.create("vectors", both)
    asked = served.post("/v1/embeddings", {"model": "exp:vectors", "input": "Hello", "user": "u1"})
    assert asked.status == 200 and asked.headers["x-aimm-assignment"]


@pytest.fixture(scope="module")
def google(gateway: Running) -> genai.Client:
    return genai.Client(api_key="none", http_options={"base_url": f"{gateway.address}/gemini"})


def test_geminis_embeddings_come_from_gemini_as_they_came(served: Running, google: genai.Client):
    served.mm.aliases.set("vectors", Target(model="gemini-embedding-001"))
    for contents in ("one", ["one", "two", "three"]):
        found = google.models.embed_content(model="vectors", contents=contents, config={"task_type": "RETRIEVAL_QUERY", "output_dimensionality": 3})  # fmt: skip
        n = len(contents) if isinstance(contents, list) else 1
        assert [each.values for each in found.embeddings or ()] == [[0.25, -0.5, float(at)] for at in range(n)]
        sent = served.gemini.requests[-1]["body"]["requests"]
        assert [(each["taskType"], each["outputDimensionality"]) for each in sent] == [("RETRIEVAL_QUERY", 3)] * n
    row = served.row()
    assert (row.operation, [m.text for m in row.messages]) == ("embeddings", ["one", "two", "three"])
    assert (row.request_model, row.cost_status) == ("gemini-embedding-001", "estimated") and row.cost_usd

    body = {"model": "models/vectors", "content": {"parts": [{"text": "one"}]}}
    heard = served.post("/gemini/v1beta/models/vectors:embedContent", body)
    assert heard.json == {"embedding": {"values": [0.25, -0.5, 9.0]}}
    assert served.gemini.requests[-1]["path"].endswith("gemini-embedding-001:embedContent")


def test_geminis_embeddings_come_from_others_too(served: Running, google: genai.Client):
    config: Any = {"task_type": "RETRIEVAL_QUERY", "output_dimensionality": 3}
    found = google.models.embed_content(model="text-embedding-3-small", contents=["one", "two"], config=config)
    assert [each.values for each in found.embeddings or ()] == [[0.25, -0.5, 0.0], [0.25, -0.5, 1.0]]
    asked = {"model": "text-embedding-3-small", "input": ["one", "two"], "dimensions": 3}
    assert served.vendor.requests[-1]["body"] == asked
    row = served.row()
    assert "task_type" in row.note and row.cost_usd == Decimal("0.02") * 8 / 1_000_000  # $0.02 a million tokens

    heard = served.post("/gemini/v1beta/models/sim-fast:embedContent", {"content": {"parts": [{"text": "one"}]}})
    assert len(heard.json["embedding"]["values"]) == 256
    with pytest.raises(errors.ClientError, match="makes no embeddings"):
        google.models.embed_content(model=CLAUDE, contents="one")
    picture = {"content": {"parts": [{"inlineData": {"mimeType": "image/png", "data": "aGk="}}]}}
    refused = served.post("/gemini/v1beta/models/text-embedding-3-small:embedContent", picture)
    assert refused.status == 400 and "more than texts" in refused.json["error"]["message"]


@pytest.mark.parametrize("body", [{}, {"requests": []}, {"requests": [1]}, {"requests": {}}, {"content": 1}, {"requests": [{"content": None}]}])  # fmt: skip
def test_what_is_no_request_for_geminis_embeddings_is_refused(served: Running, body: Any):
    for action in ("embedContent", "batchEmbedContents"):
        assert served.post(f"/gemini/v1beta/models/sim-fast:{action}", body).status == 400


def test_many_texts_go_to_gemini_in_batches_of_the_length_that_is_asked_for(served: Running):
    texts = [f"Nr {n}" for n in range(230)]
    body = {"model": "gemini-embedding-001", "input": texts, "dimensions": 256}

    heard = served.post("/v1/embeddings", body)

    assert [each["index"] for each in heard.json["data"]] == list(range(230))
    sent = [each["body"]["requests"] for each in served.gemini.requests]
    assert [len(batch) for batch in sent] == [100, 100, 30]
    assert [one["content"]["parts"][0]["text"] for batch in sent for one in batch] == texts
    assert {one["outputDimensionality"] for batch in sent for one in batch} == {256}
    tokens = served.post("/v1/embeddings", {"model": "gemini-embedding-001", "input": [[1, 2]]})
    assert (tokens.status, tokens.json["error"]["param"]) == (400, "input[0]")
