"""Batches that are handed to their vendor's own: created once, half the price, each line told, whatever happens."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
import pytest

from core import clock
from core.domain.experiment import Target
from core.domain.generation import Generation
from tests.api.gateway.test_batches import CHAT, COST, WORST, begun, ended, line, results
from tests.builders import CLAUDE, FLASH, GPT, Running, running_gateway, until
from tests.conftest import copied
from tests.fakes import gemini as gemini_fake
from tests.fakes.vendors import anthropic_answer, failure, openai_answer

QUICK = {"POLL_S": 0.02, "LOOK_S": 0.02, "PAUSE_S": 0.02, "GRACE_S": 0.1}


@pytest.fixture(scope="module")
def own_gateway(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    url = copied(sqlite_template, tmp_path_factory.mktemp("vendor_batches"))
    with running_gateway(url, call_timeout_s=6.0) as running:
        running.mm.budgets.create("all", "1000", action="stop")
        yield running


@pytest.fixture
def served(own_gateway: Running, monkeypatch: pytest.MonkeyPatch) -> Running:
    own_gateway.forget()
    own_gateway.vendor.batches.is_on = own_gateway.gemini.batches.is_on = True
    for name, value in QUICK.items():
        monkeypatch.setattr(f"core.batches.handing.{name}", value)
    return own_gateway


@pytest.fixture
def client(served: Running) -> openai.OpenAI:
    return served.client()


def told(client: openai.OpenAI, batch: Any) -> dict[str, Any]:
    """The error code, or the status, of each line by its custom_id."""
    found = results(client, batch.output_file_id) + results(client, batch.error_file_id)
    assert len({each["custom_id"] for each in found}) == len(found)
    return {each["custom_id"]: (each["error"] or {}).get("code") or each["response"]["status_code"] for each in found}


def calls(served: Running, batch: Any) -> list[Generation]:
    return [served.mm.log.get(row.id) for row in served.mm.log.by_ref(batch.id)]


def test_a_batch_of_one_vendor_is_its_own_batch_at_half_the_price(client: openai.OpenAI, served: Running):
    batch = ended(client, begun(client, line("b"), line("a"), line("c"), metadata={"of": "today"}).id)

    assert (batch.status, batch.service_tier, batch.metadata) == ("completed", "batch", {"of": "today"})
    assert [each["custom_id"] for each in results(client, batch.output_file_id)] == ["b", "a", "c"]
    assert served.vendor.batches.n_created == 1
    assert served.vendor.requests == []  # nothing was asked one by one
    assert [made["metadata"] for made in served.vendor.batches.made.values()] == [{"aimm_batch": batch.id}]
    assert Decimal(batch.cost_usd) == COST * 3 / 2
    assert {(call.service_tier, call.cost_usd, call.tags) for call in calls(served, batch)} == {
        ("batch", COST / 2, ("batch",))
    }
    assert until(lambda: not served.vendor.batches.files)  # nothing of it stays there
    assert served.books_agree()


@pytest.mark.parametrize(
    "more", [{"metadata": {"aimm_batch": "paced"}}, {"extra_headers": {"x-aimm-fallbacks": CLAUDE}}]
)
def test_lines_are_asked_one_by_one_where_the_caller_wants_it(
    client: openai.OpenAI, served: Running, more: dict[str, Any]
):
    batch = ended(client, begun(client, line("a"), **more).id)

    assert (batch.service_tier, Decimal(batch.cost_usd)) == ("default", COST)
    assert served.vendor.batches.n_created == 0


def test_what_its_vendor_refuses_is_asked_one_by_one_unless_the_caller_insists(client: openai.OpenAI, served: Running):
    served.vendor.batches.refuses = "Batches are not for you."
    free = ended(client, begun(client, line("a")).id)
    bound = ended(client, begun(client, line("a"), metadata={"aimm_batch": "vendor"}).id)

    assert (free.status, free.service_tier, Decimal(free.cost_usd)) == ("completed", "default", COST)
    assert bound.status == "failed"
    assert "Batches are not for you." in bound.errors.data[0].message
    assert served.books_agree()


def test_a_model_without_batches_is_refused_only_to_who_insists(client: openai.OpenAI):
    batch = ended(client, begun(client, line("a", model="sim-fast"), metadata={"aimm_batch": "vendor"}).id)

    assert (batch.status, batch.errors.data[0].code) == ("failed", "vendor_batch_unavailable")
    with pytest.raises(openai.BadRequestError, match="vendor or paced"):
        begun(client, line("a"), metadata={"aimm_batch": "fast"})


def test_refused_expired_and_missing_lines_are_each_named(client: openai.OpenAI, served: Running):
    served.vendor.batches.expires, served.vendor.batches.drops = 1, 1
    served.vendor.next(openai_answer(), failure(400, "Unsupported value: 'temperature'", "unsupported_value"))
    batch = begun(client, *(line(name) for name in "abcd"), line("wrong", messages=[]))

    batch = ended(client, batch.id)

    assert batch.status == "expired"
    assert told(client, batch) == {"a": 200, "b": 400, "c": "batch_expired", "d": "batch_expired", "wrong": 400}
    assert [call.cost_usd for call in calls(served, batch)] == [COST / 2, 0]
    assert Decimal(batch.cost_usd) == COST / 2
    assert served.books_agree()


def test_a_completed_batch_without_some_results_says_which(client: openai.OpenAI, served: Running):
    served.vendor.batches.drops = 1
    batch = ended(client, begun(client, line("a"), line("b")).id)

    assert (batch.status, told(client, batch)) == ("completed", {"a": 200, "b": "batch_line_missing"})


def test_a_cancellation_goes_on_to_the_vendor_and_what_it_answered_is_kept(client: openai.OpenAI, served: Running):
    served.vendor.batches.holds = True
    batch = begun(client, line("a"), line("b"))
    assert until(lambda: served.vendor.batches.n_created == 1)
    client.batches.cancel(batch.id)
    assert until(lambda: [made["status"] for made in served.vendor.batches.made.values()] == ["cancelling"])
    served.vendor.batches.holds = False

    batch = ended(client, batch.id)

    assert (batch.status, told(client, batch)) == ("cancelled", {"a": 200, "b": "batch_cancelled"})
    assert Decimal(batch.cost_usd) == COST / 2
    assert served.books_agree()


def test_a_creation_whose_answer_is_lost_is_found_again_and_not_repeated(client: openai.OpenAI, served: Running):
    served.vendor.batches.loses = 1

    batch = ended(client, begun(client, line("a")).id)

    assert (batch.status, batch.request_counts.completed) == ("completed", 1)
    assert served.vendor.batches.n_created == 1


def test_a_download_that_breaks_off_is_read_again_and_no_line_is_paid_twice(client: openai.OpenAI, served: Running):
    served.vendor.batches.breaks = 2

    batch = ended(client, begun(client, *(line(str(at)) for at in range(6))).id)

    assert told(client, batch) == {str(at): 200 for at in range(6)}
    assert len(calls(served, batch)) == 6
    assert served.books_agree()


def test_money_is_set_aside_at_the_price_of_batches_for_who_insists(served: Running):
    key, secret = served.mm.keys.create("batched", scopes=["call"])
    client, scope = served.client(secret), f"key:{key.id}"
    budget = served.mm.budgets.create(scope, WORST * 2, scope=scope, action="stop").budget
    served.vendor.batches.holds = True
    batch = begun(client, *(line(str(n), max_tokens=1000) for n in range(3)), metadata={"aimm_batch": "vendor"})
    assert until(lambda: served.vendor.batches.n_created == 1), client.batches.retrieve(batch.id).errors
    reserved = served.mm.budgets.status(budget.id).reserved_usd
    served.vendor.batches.holds = False
    ended(client, batch.id)

    assert WORST * 3 / 2 < reserved < WORST * 3 / 2 * Decimal("1.1")
    status = served.mm.budgets.status(budget.id)
    assert (status.spent_usd, status.reserved_usd) == (COST * 3 / 2, 0)
    assert served.books_agree()


def test_a_budget_that_leads_to_another_model_leaves_lines_to_be_asked(served: Running):
    key, secret = served.mm.keys.create("downgraded", scopes=["call"])
    scope = f"key:{key.id}"
    served.mm.budgets.create(scope, WORST, scope=scope, action="downgrade", downgrade_to="sim-fast")

    batch = ended(
        served.client(secret), begun(served.client(secret), *(line(str(n), max_tokens=1000) for n in range(3))).id
    )

    assert (batch.status, batch.service_tier) == ("completed", "default")
    assert served.vendor.batches.n_created == 0


def test_responses_are_batched_too(client: openai.OpenAI, served: Running):
    asked = {"model": GPT, "input": "Hello"}
    one = json.dumps({"custom_id": "a", "method": "POST", "url": "/v1/responses", "body": asked})

    batch = ended(client, begun(client, one, endpoint="/v1/responses").id)

    [found] = results(client, batch.output_file_id)
    assert found["response"]["body"]["object"] == "response"
    assert batch.service_tier == "batch"


# Anthropic and Gemini, whom the lines are translated for

CLAUDES = 10 * Decimal("0.000003") + 5 * Decimal("0.000015")
FLASHS = 10 * Decimal("0.0000003") + 5 * Decimal("0.0000025")


def batches_of(served: Running, model: str) -> Any:
    return served.gemini.batches if model == FLASH else served.vendor.batches


@pytest.mark.parametrize(("model", "cost"), [(CLAUDE, CLAUDES), (FLASH, FLASHS)])
def test_the_others_batches_cost_half_too(client: openai.OpenAI, served: Running, model: str, cost: Decimal):
    batch = ended(client, begun(client, *(line(name, model=model) for name in "abc")).id)

    assert (batch.status, batch.service_tier) == ("completed", "batch")
    assert [each["custom_id"] for each in results(client, batch.output_file_id)] == ["a", "b", "c"]
    assert Decimal(batch.cost_usd) == cost * 3 / 2
    assert {call.service_tier for call in calls(served, batch)} == {"batch"}
    assert (served.vendor.requests, served.gemini.requests) == ([], [])
    assert batches_of(served, model).n_created == 1
    assert until(lambda: not batches_of(served, model).made)  # nothing of it stays there
    assert served.books_agree()


@pytest.mark.parametrize("model", [CLAUDE, FLASH])
def test_the_others_lines_are_each_named_and_lost_creations_found(client: openai.OpenAI, served: Running, model: str):
    fake = batches_of(served, model)
    fake.expires, fake.loses = 1, 1
    if model == CLAUDE:
        served.vendor.next(anthropic_answer(), failure(400, "max_tokens: too many"))
    else:
        served.gemini.next(gemini_fake.answer(), gemini_fake.error(400, "INVALID_ARGUMENT", "max_tokens: too many"))

    batch = ended(client, begun(client, *(line(name, model=model) for name in "abc")).id)

    assert (batch.status, told(client, batch)) == ("expired", {"a": 200, "b": 400, "c": "batch_expired"})
    failed = {each["custom_id"]: each for each in results(client, batch.error_file_id)}
    assert "max_tokens: too many" in failed["b"]["response"]["body"]["error"]["message"]
    assert fake.n_created == 1
    assert served.books_agree()


@pytest.mark.parametrize("model", [CLAUDE, FLASH])
def test_the_others_are_cancelled_too(client: openai.OpenAI, served: Running, model: str):
    fake = batches_of(served, model)
    fake.holds = True
    batch = begun(client, line("a", model=model), line("b", model=model))
    assert until(lambda: fake.n_created == 1)
    client.batches.cancel(batch.id)
    [made] = fake.made.values()
    assert until(lambda: "cancelling" in (made.get("status"), made.get("state", "").lower()))
    fake.holds = False

    batch = ended(client, batch.id)

    assert (batch.status, told(client, batch)) == ("cancelled", {"a": 200, "b": "batch_cancelled"})
    assert served.books_agree()


def test_geminis_results_are_read_from_a_file_and_one_without_its_key_is_nobodys(
    client: openai.OpenAI, served: Running
):
    served.gemini.batches.in_file = True
    filed = ended(client, begun(client, line("a", model=FLASH)).id)
    served.gemini.batches.in_file, served.gemini.batches.keyless = False, 1
    keyless = ended(client, begun(client, line("a", model=FLASH), line("b", model=FLASH)).id)

    assert told(client, filed) == {"a": 200}
    assert told(client, keyless) == {"a": "batch_line_missing", "b": 200}


def test_what_was_asked_is_recorded_whatever_has_changed_since(served: Running):
    key, secret = served.mm.keys.create("revoked soon", scopes=["call"])
    served.mm.aliases.set("passing", Target(model=GPT, system="Be brief."))
    served.vendor.batches.holds = True
    batch = begun(served.client(secret), line("a", model="passing"), extra_headers={"x-aimm-cap-usd": "0.2"})
    assert until(lambda: served.vendor.batches.n_created == 1)
    served.mm.aliases.set("passing", Target(model="sim-fast", system="Be long."))
    served.mm.keys.revoke(key.id)
    served.vendor.batches.holds = False

    batch = ended(served.client(), batch.id)
    served.mm.aliases.remove("passing")

    [call] = calls(served, batch)
    assert (batch.status, told(served.client(), batch)) == ("completed", {"a": 200})
    assert (call.request_model, call.key_id, call.cost_usd) == (GPT, key.id, COST / 2)
    [asked] = served.vendor.batches.asked
    assert asked["messages"][0] == {"role": "system", "content": "Be brief."}


def test_the_log_of_a_batched_line_is_that_of_a_call(client: openai.OpenAI, served: Running):
    batch = ended(client, begun(client, line("a"), endpoint=CHAT).id)

    [call] = calls(served, batch)
    assert (call.status, call.text, call.request_model, call.provider) == ("ok", "Hello there.", GPT, "openai")
    assert (call.ref_id, call.ref_part, call.messages[0].text) == (batch.id, "1", "Hello")


# As public reports have it


def test_a_model_without_a_batch_price_of_its_own_costs_half_by_its_vendors_rule(client: openai.OpenAI):
    """BerriAI/litellm#9077, anchpop/tysm#55."""
    asked = {"model": "text-embedding-3-small", "input": "The sea"}
    one = json.dumps({"custom_id": "a", "method": "POST", "url": "/v1/embeddings", "body": asked})

    batch = ended(client, begun(client, one, endpoint="/v1/embeddings").id)

    [found] = results(client, batch.output_file_id)
    assert found["response"]["body"]["data"][0]["embedding"] == [0.25, -0.5, 0.0]
    assert (batch.service_tier, Decimal(batch.cost_usd)) == ("batch", 8 * Decimal("0.00000002") / 2)


def test_a_team_price_that_knows_no_batch_leaves_lines_to_be_asked_at_it(client: openai.OpenAI, served: Running):
    """BerriAI/litellm#37077: a price of one's own was ignored, or batches cost nothing."""
    served.mm.prices.set_price({"provider": "openai", "model": GPT, "input": 1, "output": 1})
    try:
        own = ended(client, begun(client, line("a")).id)
        served.mm.prices.set_price(
            {"provider": "openai", "model": GPT, "input": 1, "output": 1, "tiers": {"batch": 0.4}}
        )
        batched = ended(client, begun(client, line("a")).id)
    finally:
        for row in served.mm.prices.book.rows:
            served.mm.prices.remove_price(row.id)

    assert (own.service_tier, Decimal(own.cost_usd)) == ("default", Decimal("0.000015"))
    assert (batched.service_tier, Decimal(batched.cost_usd)) == ("batch", Decimal("0.000006"))


def test_where_each_line_failed_their_words_are_told(client: openai.OpenAI, served: Running):
    """ProjectTech4DevAI/kaapi-backend#723: completed, without an output file."""
    served.vendor.next(*[failure(400, "Unsupported value: 'temperature'", "unsupported_value")] * 2)

    batch = ended(client, begun(client, line("a"), line("b")).id)

    assert (batch.status, batch.output_file_id, batch.request_counts.failed) == ("completed", None, 2)
    assert "Unsupported value" in results(client, batch.error_file_id)[0]["response"]["body"]["error"]["message"]


@pytest.mark.parametrize("model", [GPT, CLAUDE, FLASH])
def test_a_batch_that_its_vendor_no_longer_knows_ends(client: openai.OpenAI, served: Running, model: str):
    """tensorzero/tensorzero#1198: looked for without end."""
    fake = batches_of(served, model)
    fake.holds = True
    batch = begun(client, line("a", model=model))
    assert until(lambda: fake.n_created == 1)
    fake.made.clear()

    batch = ended(client, batch.id)

    assert (batch.status, told(client, batch)) == ("completed", {"a": "batch_line_missing"})
    assert served.books_agree()


def test_unanswered_lines_are_no_failures_and_have_files_of_ours(client: openai.OpenAI, served: Running):
    """BerriAI/litellm#36034, #36048, 567-labs/instructor#2529, llm-d/llm-d-batch-gateway#221."""
    served.vendor.batches.expires = 2

    batch = ended(client, begun(client, *(line(name) for name in "abc")).id)

    counts = batch.request_counts
    assert (counts.total, counts.completed, counts.failed) == (3, 1, 0)
    assert len(results(client, batch.output_file_id)) + len(results(client, batch.error_file_id)) == 3
    assert {file.id for file in client.files.list()} >= {batch.output_file_id, batch.error_file_id}


def test_files_that_are_named_late_and_results_that_come_twice_count_once(client: openai.OpenAI, served: Running):
    """BerriAI/litellm#37050: paid again with each look."""
    served.vendor.batches.is_doubled, served.vendor.batches.n_late = True, 2

    batch = ended(client, begun(client, line("a"), line("b")).id)

    assert (told(client, batch), len(calls(served, batch))) == ({"a": 200, "b": 200}, 2)
    assert Decimal(client.batches.retrieve(batch.id).cost_usd) == COST  # type: ignore[attr-defined]
    assert served.books_agree()


def test_a_batch_that_fails_at_its_vendor_after_its_creation(client: openai.OpenAI, served: Running):
    """anthropics/anthropic-sdk-python#899, and OpenAI's limit of enqueued tokens."""
    served.vendor.batches.fails = "token_limit_exceeded"
    free = ended(client, begun(client, line("a")).id)
    bound = ended(client, begun(client, line("a"), metadata={"aimm_batch": "vendor"}).id)

    assert (free.status, free.service_tier, told(client, free)) == ("completed", "default", {"a": 200})
    assert (bound.status, bound.errors.data[0].code) == ("failed", "token_limit_exceeded")
    assert served.books_agree()


def test_a_long_prompt_has_the_long_price_of_batches(client: openai.OpenAI, served: Running):
    """BerriAI/litellm#39861."""
    usage = {"prompt_tokens": 300_000, "completion_tokens": 1000, "total_tokens": 301_000}
    served.vendor.next(openai_answer(usage=usage))

    batch = ended(client, begun(client, line("a", model="gpt-5.6-luna")).id)

    price = served.mm.prices.price("openai", "gpt-5.6-luna", clock.now(), "batch")
    assert price is not None and price.input.at(300_000) > price.input.at(1)
    cost = (price.input.at(300_000) * 300_000 + price.output.at(300_000) * 1000) / 1_000_000
    assert (batch.service_tier, Decimal(batch.cost_usd)) == ("batch", cost)
