"""What vendors count, read from each wire as they send it: the cost of an answer to the nano-dollar, or unknown and why."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.gateway.gemini import response as gemini_response
from api.gateway.openai import response as openai_response
from core.calls.origin import Origin
from core.domain.generation import Native, Usage
from core.formats.money import to_nano
from core.pricing.book import PriceBook
from core.pricing.cost import cost_of
from core.pricing.team import row_from
from core.providers.anthropic.response import Reader as AnthropicReader
from core.providers.anthropic.usage import to_usage as anthropic_usage
from core.providers.gemini import usage as gemini
from core.providers.gemini.response import Reader as GeminiReader
from core.providers.openai import usage as openai
from core.providers.openai.response import to_chunk
from core.providers.tool_calls import CallReader
from tests.builders import a_generation
from tests.conftest import Open
from tests.fakes import gemini as wire
from tests.fakes.gemini import FakeGemini, Reply

NOW = datetime(2026, 11, 28, tzinfo=UTC)
ANSWERS = yaml.safe_load((Path(__file__).parents[2] / "reference_usages.yaml").read_text("utf-8"))["answers"]
PROVIDERS = {"gemini": "gemini", "openai": "openai", "anthropic": "anthropic"}


def read(answer: dict[str, Any]) -> tuple[Usage | None, str]:
    """Usage and tier as the wire's own reader gives them."""
    usage = answer["usage"]
    if answer["wire"] == "gemini":
        chunk = GeminiReader().read(
            [{"usageMetadata": usage, "candidates": [answer.get("candidate", {})], "modelVersion": answer["model"]}]
        )
    elif answer["wire"] == "openai":
        chunk = to_chunk([{"usage": usage, "service_tier": answer.get("tier")}], None, None, CallReader())
    else:
        chunk = AnthropicReader().whole({"usage": usage})[0]
    return chunk.usage, chunk.service_tier or "standard"


@pytest.mark.parametrize("answer", ANSWERS, ids=[answer["id"] for answer in ANSWERS])
def test_an_answer_costs_what_its_vendor_counted(answer: dict[str, Any]):
    usage, tier = read(answer)
    provider, model = answer.get("provider", PROVIDERS[answer["wire"]]), answer["model"]
    own = {"provider": provider, "model": model, **answer["team"]} if "team" in answer else None
    price = PriceBook([row_from(own, servers=(provider,))] if own else ()).price(provider, model, NOW, tier)

    assert usage is not None
    account = cost_of([usage], price)

    assert (None if account.cost_usd is None else to_nano(account.cost_usd)) == answer["nano_usd"]
    assert answer.get("says", "") in account.unknown_for


def test_what_grounds_an_answer_is_remembered_to_its_end():
    counts, reader = {"promptTokenCount": 10, "candidatesTokenCount": 1}, GeminiReader()
    grounding = {"groundingMetadata": {"webSearchQueries": ["a", "b"]}}
    for candidate in (grounding, {}):
        value = {"usageMetadata": counts, "modelVersion": "gemini-3-flash-preview", "candidates": [candidate]}
        usage = reader.read([value]).usage

    assert usage is not None and usage.n_searches == 2


@pytest.mark.parametrize(
    ("read", "usage"),
    [
        (openai.to_usage, {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}),
        (openai.to_usage, {"prompt_tokens": 0, "completion_tokens": 9, "total_tokens": 9}),
        (openai.to_usage, {"prompt_tokens": True, "completion_tokens": 9}),
        (openai.to_usage, {"prompt_tokens": 2**53 + 1, "completion_tokens": 9}),
        (anthropic_usage, {"input_tokens": 0, "output_tokens": 0}),
        (gemini.to_usage, {"trafficType": "ON_DEMAND"}),
        (gemini.to_usage, {"promptTokenCount": 0, "totalTokenCount": 0}),
    ],
)  # fmt: skip
def test_a_request_without_an_input_was_not_counted(read: Any, usage: dict[str, Any]):
    assert read(usage) is None


@pytest.mark.parametrize(
    ("counts", "cost", "tier", "note"),
    [
        ({"candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1290}]}, "0.038703", "standard", ""),
        ({"serviceTier": "batch", "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1290}]}, "0.0193515", "batch", ""),
        ({"promptTokensDetails": [{"modality": "HOLOGRAM", "tokenCount": 7}]}, None, "standard", "HOLOGRAM (7)"),
        ({"agentSteps": 3}, None, "standard", "agentSteps (3)"),
        ({"serviceTier": "express"}, None, "express", ""),
    ],
)  # fmt: skip
def test_googles_client_and_the_wire_count_the_same(
    open_manager: Open,
    sqlite_url: str,
    gemini: FakeGemini,
    counts: dict[str, Any],
    cost: str | None,
    tier: str,
    note: str,
):
    usage = {"promptTokenCount": 10, "candidatesTokenCount": 1290, "totalTokenCount": 1300, **counts}
    body = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}
    mm = open_manager(sqlite_url, gemini, call_timeout_s=60.0)
    made = mm.request("Hi", model="gemini-2.5-flash-image")
    came = replace(made, native=Native(wire="gemini", body=body, parameters=made.parameters))

    for request in (made, came):
        gemini.next(Reply(events=[wire.event("Hello.", finish="STOP", usage=usage)]))
        g = mm.submit(request, Origin()).result()

        assert (g.cost_usd, g.service_tier) == (None if cost is None else Decimal(cost), tier)
        assert note in g.note and mm.log.get(g.id).usage == g.usage
        assert ("vendor's own wire" in g.note) == bool(
            g.usage.output_audio_tokens or g.usage.more.get("output_image_tokens")
        )


COUNTED = Usage(
    input_tokens=1000, cached_tokens=200, cache_write_tokens=60, cache_write_1h_tokens=40, audio_tokens=50, cached_audio_tokens=20,
    output_tokens=500, thinking_tokens=30, output_audio_tokens=70, n_searches=3,
    more={"image_tokens": 300, "video_tokens": 100, "cached_image_tokens": 10, "output_image_tokens": 200, "output_video_tokens": 80, "citation_tokens": 9},
)  # fmt: skip
PLAIN = Usage(input_tokens=10, output_tokens=5)


@pytest.mark.parametrize("usage", [COUNTED, PLAIN, replace(COUNTED, cache_write_1h_tokens=0)])
def test_what_a_vendor_counted_is_handed_on_to_callers_of_other_wires(usage: Usage):
    """Read again, it is the same, so that who stands behind this gateway counts as it does."""
    g = a_generation("g", usage=usage)
    gemini_has_no_word_for = {"cache_write_tokens": 0, "cache_write_1h_tokens": 0, "n_searches": 0}
    more = {name: n for name, n in usage.more.items() if name != "citation_tokens"}

    assert openai.to_usage(openai_response.usage(g)) == usage
    assert gemini.to_usage(gemini_response.usage(g)) == replace(usage, **gemini_has_no_word_for, more=more)
    assert set(openai_response.usage(a_generation("g", usage=PLAIN))["prompt_tokens_details"]) == {
        "cached_tokens",
        "audio_tokens",
    }
    assert "promptTokensDetails" not in gemini_response.usage(a_generation("g", usage=PLAIN))
