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
        chunk = gemini_wire.Reader().read([{"usageMetadata": usage}])
    elif answer["wire"] == "openai":
        chunk = openai._to_chunk([{"usage": usage, "service_tier": answer.get("tier")}], None, None, CallReader())
    else:
        chunk = anthropic._Reader().whole({"usage": usage})[0]
    return chunk.usage, chunk.service_tier or "standard"


@pytest.mark.parametrize("answer", ANSWERS, ids=[answer["id"] for answer in ANSWERS])
def test_an_answer_costs_what_its_vendor_counted(answer: dict[str, Any]):
    usage, tier = read(answer)
    price = PriceBook().price(answer.get("provider", PROVIDERS[answer["wire"]]), answer["model"], NOW, tier)

    assert usage is not None
    account = settle([usage], price, is_estimated=False)

    assert (None if account.cost_usd is None else to_nano(account.cost_usd)) == answer["nano_usd"]
    assert answer.get("says", "") in account.unknown_for


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
