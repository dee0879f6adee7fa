"""Money of one's own servers: prices that are set, what a server says it charged, and budgets that stop both."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal

import pytest
from sqlalchemy import create_engine

from core import AimmError, InvalidRequest, ModelManager, clock
from core.calls.origin import Origin
from core.cli import __main__ as cli
from core.domain.budget import Budget, Spender
from core.domain.experiment import Target
from core.domain.generation import Native
from core.errors import BudgetExceeded
from core.storage.calls import rollups
from core.storage.calls.generations import to_row
from core.storage.engine.database import to_url
from tests.builders import a_generation
from tests.conftest import Open
from tests.core.comparison.test_compare import migrated
from tests.fakes.vendors import KEY, FakeVendor, openai_answer

LLAMA = "Llama-3.3-70B"
TUNED = "ft:gpt-4o-mini-2024-07-18:acme::AbC123"


@pytest.fixture
def vendor() -> Iterator[FakeVendor]:
    server = FakeVendor(models=("gpt-4o", TUNED, LLAMA, "google/gemini-2.5-pro"))
    yield server
    server.close()


@pytest.fixture
def mm(open_manager: Open, sqlite_url: str, vendor: FakeVendor) -> ModelManager:
    address = f"{vendor.url}/v1"
    return open_manager(
        sqlite_url, openai_api_key=KEY, openai_base_url=address, ollama_base_url=vendor.url,
        servers={"openrouter": address, "vllm": address}, call_timeout_s=20.0,
    )  # fmt: skip


def charging(usd: float | None, **more: object):
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, **more}
    return openai_answer(usage=usage if usd is None else usage | {"cost": usd})


def test_a_first_call_that_is_tried_again_does_not_wait_for_the_rest_that_it_holds(
    mm: ModelManager, vendor: FakeVendor
):
    status = mm.budgets.create("all", "1", action="stop")
    vendor.next(replace(openai_answer(), break_after=0), charging(0.0125))

    said = mm.generate("Hi", model=f"openrouter/{LLAMA}")

    assert mm.log.get(said.id).n_attempts == 2
    assert mm.budgets.status(status.budget.id).reserved_usd == 0


def test_what_a_server_says_it_charged_is_the_cost_until_the_team_sets_a_price(mm: ModelManager, vendor: FakeVendor):
    vendor.next(charging(0.0125), charging(0.0125), charging(None, hologram_tokens=4))

    said = mm.generate("Hi", model=f"openrouter/{LLAMA}")
    mm.prices.set_price({"provider": "openrouter", "model": LLAMA, "input": 100, "output": 200})
    own, odd = (mm.generate("Hi", model=f"openrouter/{LLAMA}") for _ in range(2))

    assert (said.cost_usd, said.cost_status, said.model) == (Decimal("0.0125"), "priced", LLAMA)
    assert "charged by the vendor" in mm.log.get(said.id).receipts[0].note.lower()
    assert own.cost_usd == Decimal("0.002")  # 10 x 0.0001 + 5 x 0.0002
    assert (odd.cost_usd, "hologram_tokens (4)" in odd.note) == (None, True)
    assert mm.monitoring.differences() == [] and mm.budgets.differences() == []


@pytest.mark.parametrize("provider", ["vllm", "ollama"])
def test_models_of_ones_own_machines_take_prices_and_past_calls_are_charged_anew(
    mm: ModelManager, vendor: FakeVendor, provider: str
):
    before = mm.generate("Hi", model=f"{provider}/{LLAMA}")
    mm.prices.set_price({"provider": provider, "model": LLAMA, "input": 100, "output": 200, "request_per_1000": 1})

    after = mm.generate("Hi", model=f"{provider}/{LLAMA}")
    n = mm.repricing.reprice(provider, LLAMA, only_unpriced=provider == "vllm")

    assert before.cost_usd == {"vllm": None, "ollama": 0}[provider]
    assert after.cost_usd == Decimal("0.003")
    assert (n, mm.log.get(before.id).cost_usd) == ({"vllm": 1, "ollama": 2}[provider], Decimal("0.003"))
    assert mm.monitoring.differences() == []


def test_the_command_line_sets_a_price_for_a_server_that_is_set_up(sqlite_url: str, monkeypatch, capsys):
    monkeypatch.setenv("DATABASE_URL", sqlite_url)
    monkeypatch.setenv("AIMM_SERVERS", "openrouter=http://127.0.0.1:9/v1")
    row = ["deepseek/deepseek-chat", "--input", "0.3", "--output", "1.2", "--output-image", "30"]

    assert cli.main(["prices", "set", "openrouter", *row]) == 0
    assert cli.main(["prices", "set", "opnrouter", *row]) == cli.EXIT_ERROR
    assert "openrouter" in capsys.readouterr().err
    assert cli.main(["prices", "list", "openrouter/deepseek/deepseek-chat"]) == 0
    assert "input 0.3 output 1.2" in capsys.readouterr().out


def test_a_budget_stops_a_server_that_says_its_cost_afterwards(mm: ModelManager, vendor: FakeVendor):
    made = mm.budgets.create("router", "0.03", action="stop", scope="provider:openrouter")
    vendor.next(*[charging(0.0125) for _ in range(20)])

    def ask(_: int) -> str:
        try:
            return mm.generate("Hi", model=f"openrouter/{LLAMA}").status
        except BudgetExceeded:
            return "stopped"

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(ask, range(12)))

    # Two fit; the third begins with a rest of 0.005, and no more than that one call can pass the limit.
    assert (answers.count("ok"), answers.count("stopped"), len(vendor.requests)) == (3, 9, 3)
    assert mm.budgets.status(made.budget.id).spent_usd == Decimal("0.0375")
    assert mm.budgets.status(made.budget.id).reserved_usd == 0


def test_a_server_that_says_no_cost_is_not_held_up(mm: ModelManager, vendor: FakeVendor):
    mm.budgets.create("all", "0.000001", action="stop")

    assert [mm.generate("Hi", model=f"vllm/{LLAMA}").cost_usd for _ in range(3)] == [None] * 3
    assert mm.budgets.statuses()[0].reserved_usd == 0


SCOPES = [
    (f"model:{LLAMA}", f"vllm/{LLAMA}", "gpt-4o"),
    (f"model:{LLAMA.lower()}", f"vllm/{LLAMA}", "gpt-4o"),
    (f"model:vllm/{LLAMA}", f"vllm/{LLAMA}", f"openrouter/{LLAMA}"),
    ("model:google/gemini-2.5-pro", "openrouter/google/gemini-2.5-pro", f"openrouter/{LLAMA}"),
    ("model:openrouter/google/gemini-2.5-pro", "openrouter/google/gemini-2.5-pro", f"openrouter/{LLAMA}"),
    ("model:Models/Gemini-2.5-Pro", "openrouter/google/gemini-2.5-pro", f"openrouter/{LLAMA}"),
    (f"model:{TUNED}", f"openai/{TUNED}", "gpt-4o"),
    ("model:ft:gpt-4o-mini*", f"openai/{TUNED}", "gpt-4o"),
    ("model:GPT-4o*", "gpt-4o", f"vllm/{LLAMA}"),
    ("model:*llama*", f"vllm/{LLAMA}", "gpt-4o"),
    ("model:vllm/*", f"vllm/{LLAMA}", "gpt-4o"),
    ("model:openai/*", "gpt-4o", f"vllm/{LLAMA}"),
    ("model:OpenAI:*", "gpt-4o", f"vllm/{LLAMA}"),
    ("model:google/*", "openrouter/google/gemini-2.5-pro", f"openrouter/{LLAMA}"),
    ("provider:VLLM", f"vllm/{LLAMA}", "gpt-4o"),
]  # fmt: skip


@pytest.mark.parametrize(("scope", "covered", "other"), SCOPES)
def test_a_scope_covers_the_calls_that_are_booked_under_what_it_names(
    mm: ModelManager, vendor: FakeVendor, scope: str, covered: str, other: str
):
    for provider, model in (("vllm", LLAMA), ("openrouter", LLAMA), ("openrouter", "google/gemini-2.5-pro"), ("openai", TUNED)):  # fmt: skip
        mm.prices.set_price({"provider": provider, "model": model, "input": 1000, "output": 1000})
    mm.generate("Hi", model=covered)  # before the budget: it counts what its period has cost already
    made = mm.budgets.create("b", "0.9", scope=scope)
    mm.generate("Hi", model=covered)
    mm.generate("Hi", model=other)

    each = Decimal("0.000075") if covered == "gpt-4o" else Decimal("0.015")
    assert mm.budgets.status(made.budget.id).spent_usd == 2 * each
    assert mm.budgets.differences() == []
    mm.budgets.change(made.budget.id, action="stop", limit_usd="0.000001")
    with pytest.raises(BudgetExceeded):
        mm.generate("Hi", model=covered, max_tokens=5)
    assert mm.generate("Hi", model=other, max_tokens=5).status == "ok"
    assert mm.spend.outlook()[0].status.spent_usd == 2 * each


@pytest.mark.parametrize("tier", ["flex", "ultrafast", "auto"])
def test_a_spent_budget_stops_a_call_at_whatever_tier_it_asks_for(mm: ModelManager, vendor: FakeVendor, tier: str):
    made = mm.request("Hi", model="gpt-4o", max_tokens=5)
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5, "service_tier": tier}
    came = replace(made, native=Native(wire="openai", body=body, parameters=made.parameters))
    first = mm.submit(came, Origin()).result()
    mm.budgets.create("spent", "0.000001", action="stop")

    assert mm.submit(came, Origin()).result().error_class == "budget_exceeded"

    mm.budgets.change(mm.budgets.statuses()[0].budget.id, limit_usd=100, refuses_unpriced=True)
    # What has no price is refused by a budget that takes nothing unpriced, though the vendor may serve it as standard.
    assert mm.submit(came, Origin()).result().status == ("ok" if tier == "auto" else "error")
    assert (first.cost_usd is None) == (tier != "auto")


def test_a_scope_that_can_fit_no_call_is_refused_in_words(open_manager: Open, sqlite_url: str):
    mm = open_manager(sqlite_url, gemini_api_key="k", gemini_base_url="http://127.0.0.1:9")
    key, _ = mm.keys.create("ci", scopes=("call",))
    mm.aliases.set("Fast", Target(model="gemini-2.5-flash"))
    refused = {
        "model:fast": "alias", "model:FAST": "gemini-2.5-flash", "model:exp:mine": "variants", "model:sim-fast": "simulated",
        "model:sim-*": "simulated", "model:no such model": "no model", "model:llama-3": "no model", "model:lama*": "no known model",
        "tag:a,b": "tags must be", "tag:two words": "tags must be", "key:nobody": "no key", "provider:google": "gemini",
        "workflow:translation": "must be all", "model:a?b#c": "no known model",
    }  # fmt: skip

    for scope, words in refused.items():
        with pytest.raises(AimmError, match=words):
            mm.budgets.create(scope, 1, scope=scope)
    assert mm.budgets.statuses() == []
    for scope in (
        "model:gemini-9-flash",
        "model:gemini-*",
        "model:claude-*",
        "model:gpt-99*",
        "tag:a",
        "user:Bob B.",
        "provider:anthropic",
    ):
        mm.budgets.create(scope, 1, scope=scope)
    assert mm.budgets.create("by name", 1, scope="key:ci").budget.scope == f"key:{key.id}"


def test_a_budget_leads_to_a_model_of_ones_own_server_as_it_is_written(mm: ModelManager, vendor: FakeVendor):
    mm.budgets.create("b", "0.000001", action="downgrade", scope="model:gpt-4o", downgrade_to=f"vllm/{LLAMA}")

    g = mm.submit(mm.request("Hi", model="gpt-4o", max_tokens=5), Origin()).result()

    assert (g.status, g.provider, g.model) == ("ok", "vllm", LLAMA)
    assert vendor.requests[-1]["body"]["model"] == LLAMA


def test_two_budgets_that_lead_to_each_others_models_refuse(mm: ModelManager):
    mm.prices.set_price({"provider": "vllm", "model": LLAMA, "input": 1000, "output": 1000})
    mm.budgets.create("a", "0.000001", action="downgrade", scope="model:gpt-4o", downgrade_to=f"vllm/{LLAMA}")
    mm.budgets.create("b", "0.000001", action="downgrade", scope=f"model:{LLAMA}", downgrade_to="openai/gpt-4o")

    with pytest.raises(BudgetExceeded):
        mm.generate("Hi", model="gpt-4o", max_tokens=5)


@pytest.mark.parametrize(
    "scope", ["model:gemini-2.5-flash", "model:gemini/gemini-2.5-flash", "model:models/gemini-2.5-flash"]
)
def test_a_model_is_covered_whatever_vendor_its_name_is_written_with(scope: str):
    from core.budgets.service import checked

    budget = checked(Budget(id="b", name="b", limit_usd=Decimal(1)), {"scope": scope})

    assert budget.covers(Spender(provider="gemini", model="gemini-2.5-flash"))
    assert budget.covers(Spender(provider="openrouter", model="google/gemini-2.5-flash"))
    assert not budget.covers(Spender(provider="gemini", model="gemini-2.5-flash-lite"))


def test_no_price_can_be_set_for_a_server_that_is_not_there(mm: ModelManager):
    with pytest.raises(InvalidRequest, match="openrouter, vllm"):
        mm.prices.set_price({"provider": "groq", "model": "x", "input": 1, "output": 1})


def test_the_books_of_a_budget_that_counted_nothing_are_written_anew(open_manager: Open, empty_database_url: str):
    """Scopes were kept in lower case, and calls as the server writes their model."""
    row = to_row(
        a_generation("g1", request_model=LLAMA, provider="vllm", cost_usd=Decimal("0.25"), created_at=clock.now())
    )
    row.pop("more_usage")
    budget = {
        "id": "b1", "name": "b", "limit_nano_usd": 10**9, "period": "month", "rolling_hours": 0, "timezone": "UTC",
        "scope": f"model:{LLAMA.lower()}", "action": "notify", "downgrade_to": "", "thresholds": "[0.5]",
        "forecast_thresholds": "[]", "refuses_unpriced": 0, "is_seeded": 1, "created_at": 1,
    }  # fmt: skip
    migrated(empty_database_url, "0007", {"generations": [row], "budgets": [budget]})
    engine = create_engine(to_url(empty_database_url))
    with engine.begin() as connection:
        rollups.add_rows(connection, [row])
    engine.dispose()

    mm = open_manager(empty_database_url)

    assert mm.budgets.status("b1").spent_usd == Decimal("0.25")
    assert mm.log.get("g1").usage.more == {}
    assert mm.budgets.differences() == [] and mm.monitoring.differences() == []
