"""Embeddings by OpenAI's wire, of every vendor that makes them."""

import base64
import struct

import openai
import pytest

from core.domain.experiment import Variant
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
