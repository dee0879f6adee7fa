"""Prices and budgets by deployment."""

from decimal import Decimal
from pathlib import Path

import pytest

from core import BudgetExceeded, InvalidRequest, ModelManager
from tests.builders import GPT
from tests.conftest import Open
from tests.core.models.test_deployments import add, ask
from tests.fakes.vendors import FakeVendor


@pytest.fixture
def mm(open_manager: Open, database_url: str, fakes: list[FakeVendor], tmp_path: Path) -> ModelManager:
    file = tmp_path / "encryption.key"
    from core.models.cipher import new_key

    file.write_text(new_key())
    file.chmod(0o600)
    mm = open_manager(database_url, call_timeout_s=10.0, encryption_key_file=file)
    for at, name in enumerate(("eu", "us")):
        add(mm, name, fakes[at], priority=at + 1)
    return mm


def test_a_deployment_may_have_prices_of_its_own_and_past_calls_keep_to_them(mm: ModelManager):
    usual = ask(mm, "us/gpt-4o").cost_usd
    mm.prices.set_price({"provider": "eu", "model": GPT, "input": 100, "output": 200})
    mm.prices.set_price({"provider": "us", "model": "*", "discount_percent": 50})

    eu, us = ask(mm, "eu/gpt-4o"), ask(mm, "us/gpt-4o")

    assert eu.cost_usd == Decimal("0.002")  # 10 tokens in, 5 out
    assert usual is not None and us.cost_usd == usual / 2
    # Charging anew by the vendor's name leaves the deployments' alone, and by a deployment's it takes its own.
    assert mm.repricing.preview("openai", GPT, only_unpriced=False) == []
    days = mm.repricing.preview("us", GPT, only_unpriced=False)
    assert [(day.n_calls, day.after_usd) for day in days] == [(2, usual)]
    assert mm.repricing.reprice("us", GPT, only_unpriced=False) == 2


def test_where_a_budget_of_one_is_spent_the_others_serve(mm: ModelManager):
    mm.budgets.create("eu", "0.000001", scope="deployment:eu", action="stop")

    found = ask(mm)

    assert (found.deployment, found.status) == ("us", "ok")
    assert "eu" in found.note
    mm.budgets.create("us", "0.000001", scope="deployment:us", action="stop")
    call = mm.submit(mm.request("Hello", model=GPT))
    with pytest.raises(BudgetExceeded):
        call.answered(call.result(10))


def test_a_budget_counts_what_its_deployment_has_cost(mm: ModelManager):
    cost = ask(mm, "eu/gpt-4o").cost_usd
    ask(mm, "us/gpt-4o")
    mm.budgets.create("late", "5", scope="deployment:eu")
    ask(mm, "eu/gpt-4o")

    [status] = mm.budgets.statuses()
    assert cost is not None and status.spent_usd == 2 * cost
    with pytest.raises(InvalidRequest, match="eu, us"):
        mm.budgets.create("none", "5", scope="deployment:asia")


def test_bedrock_has_the_prices_of_its_catalogue_by_the_name_there(mm: ModelManager, fakes: list[FakeVendor]):
    add(mm, "aws", fakes[2], kind="bedrock", models={"nova": "amazon.nova-pro-v1:0"})

    found = ask(mm, "bedrock/nova")

    assert (found.provider, found.deployment, found.request_model) == ("bedrock", "aws", "nova")
    assert found.cost_usd is not None
