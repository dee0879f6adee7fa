"""What vendors count, read from each wire as they send it: the cost of an answer to the nano-dollar, or unknown and why."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.calls.accounting import settle
from core.calls.call import Origin
from core.domain.generation import Native, Usage
from core.pricing.book import PriceBook
from core.pricing.receipt import to_nano
from core.pricing.team import row_from
from core.providers import anthropic, gemini_wire, openai
from core.providers.tool_calls import CallReader
from tests.conftest import Open
from tests.fakes import gemini as wire
from tests.fakes.gemini import FakeGemini, Reply

NOW = datetime(2026, 11, 28, tzinfo=UTC)
ANSWERS = yaml.safe_load((Path(__file__).parent / "reference_usages.yaml").read_text("utf-8"))["answers"]
PROVIDERS = {"gemini": "gemini", "openai": "openai", "anthropic": "anthropic"}


def read(answer: dict[str, Any]) -> tuple[Usage | None, str]:
    """Usage and tier as the wire's own reader gives them."""
    usage = answer["usage"]
    if answer["wire"] == "gemini":
        chunk = gemini_wire.Reader().read(
            [{"usageMetadata": usage, "candidates": [answer.get("candidate", {})], "modelVersion": answer["model"]}]
        )
    elif answer["wire"] == "openai":
        chunk = openai._to_chunk([{"usage": usage, "service_tier": answer.get("tier")}], None, None, CallReader())
    else:
        chunk = anthropic._Reader().whole({"usage": usage})[0]
    return chunk.usage, chunk.service_tier or "standard"


@pytest.mark.parametrize("answer", ANSWERS, ids=[answer["id"] for answer in ANSWERS])
def test_an_answer_costs_what_its_vendor_counted(answer: dict[str, Any]):
    usage, tier = read(answer)
    provider, model = answer.get("provider", PROVIDERS[answer["wire"]]), answer["model"]
    own = {"provider": provider, "model": model, **answer["team"]} if "team" in answer else None
    price = PriceBook([row_from(own, servers=(provider,))] if own else ()).price(provider, model, NOW, tier)

    assert usage is not None
    account = settle([usage], price, is_estimated=False)

    assert (None if account.cost_usd is None else to_nano(account.cost_usd)) == answer["nano_usd"]
    assert answer.get("says", "") in account.unknown_for


@pytest.mark.parametrize(
    ("read", "usage"),
    [
        (openai.to_usage, {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}),
        (openai.to_usage, {"prompt_tokens": 0, "completion_tokens": 9, "total_tokens": 9}),
        (openai.to_usage, {"prompt_tokens": True, "completion_tokens": 9}),
        (openai.to_usage, {"prompt_tokens": 2**53 + 1, "completion_tokens": 9}),
        (anthropic.to_usage, {"input_tokens": 0, "output_tokens": 0}),
        (gemini_wire.to_usage, {"trafficType": "ON_DEMAND"}),
        (gemini_wire.to_usage, {"promptTokenCount": 0, "totalTokenCount": 0}),
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
        assert note in g.note and mm.generation(g.id).usage == g.usage
