"""What vendors count, read from each wire as they send it: the cost of an answer to the nano-dollar, or unknown and why."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.calls.accounting import settle
from core.domain.generation import Usage
from core.pricing.book import PriceBook
from core.pricing.receipt import to_nano
from core.providers import anthropic, gemini_wire, openai
from core.providers.tool_calls import CallReader

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
