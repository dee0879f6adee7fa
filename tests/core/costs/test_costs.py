"""Prices a team keeps itself, models without a price, and past calls charged anew: exact, and all or nothing."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from core import InvalidRequest, ModelManager, NotFound, clock, testing
from core.cli import __main__ as cli
from core.config import Settings
from core.costs.service import PriceService
from core.domain.generation import Usage
from core.domain.price import Price, Rate
from core.formats.money import to_nano
from core.pricing.book import PriceBook
from core.pricing.catalogue import Catalogue, is_newer, shipped
from core.pricing.cost import cost_of, cost_of_cached
from core.pricing.receipt import receipt_for
from core.pricing.team import above_from_text, row_from, rows_from_yaml
from core.storage.money.prices import PriceStore
from tests.builders import a_generation
from tests.conftest import ROOT, Open, fresh
from tests.fakes import gemini as wire
from tests.fakes.gemini import FakeGemini, Reply

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
REFERENCE = yaml.safe_load((Path(__file__).parents[2] / "reference_costs.yaml").read_text("utf-8"))["calls"]


@pytest.mark.parametrize("call", REFERENCE, ids=[call["id"] for call in REFERENCE])
def test_a_reference_call_costs_what_it_costs_to_the_nano_dollar(call: dict):
    at = datetime.fromisoformat(call["at"].replace("Z", "+00:00"))
    price = PriceBook().price(call["provider"], call["model"], at, call["service_tier"])

    account = cost_of([Usage(**call["usage"])], price)

    assert (None if account.cost_usd is None else to_nano(account.cost_usd)) == call["nano_usd"]


# The team's own rows


def book(*rows: dict) -> PriceBook:
    return PriceBook([row_from(row, id_=str(n)) for n, row in enumerate(rows)])


def test_an_own_price_holds_from_its_date_on():
    prices = book(
        {"provider": "gemini", "model": "gemini-x", "input": 1, "output": 2, "effective_from": "2026-01-01"},
        {"provider": "gemini", "model": "gemini-x", "input": 3, "output": 4, "effective_from": "2026-11-20T12:00:00Z"},
    )

    found = [prices.price("gemini", "gemini-x", NOW + timedelta(seconds=s)) for s in (-400 * 86_400, -1, 0)]

    assert [price and price.input.base for price in found] == [None, 1, 3]


def test_a_discount_is_taken_off_the_catalogues_price_and_off_every_tier_of_it():
    listed = PriceBook().price("gemini", "gemini-2.5-pro", NOW)
    price = book({"provider": "gemini", "model": "*", "discount_percent": 15}).price("gemini", "gemini-2.5-pro", NOW)

    assert listed and price
    assert [price.input.at(n) for n in (1, 200_001)] == [
        rate * Decimal("0.85") for rate in (Decimal("1.25"), Decimal("2.5"))
    ]
    assert price.id != listed.id
    assert "15" in price.note


def test_a_row_of_the_very_model_covers_the_row_for_all():
    prices = book(
        {"provider": "gemini", "model": "*", "discount_percent": 50, "effective_from": "2026-06-01"},
        {"provider": "gemini", "model": "gemini-2.5-flash", "input": 7, "output": 8},
    )

    price = prices.price("gemini", "models/GEMINI-2.5-flash", NOW)

    assert price is not None
    assert price.input.base == 7


@pytest.mark.parametrize(
    ("row", "tier", "usd"),
    [
        ({"tiers": {"batch": "0.4"}}, "standard", "0.15"),
        ({"tiers": {"batch": "0.4"}}, "batch", "0.06"),
        ({"tiers": {"batch": "0.4"}}, "priority", "0.3"),
        ({"search_per_1000": 14}, "standard", "0.15"),
        ({"discount_percent": 10}, "standard", "0.27"),
        ({"discount_percent": 10}, "priority", "0.54"),
        ({"discount_percent": 0}, "standard", "0.3"),
        ({"input": "0.2", "output": 1}, "standard", "0.2"),
        ({"input": "0.2", "output": 1}, "priority", None),
    ],
)
def test_what_a_row_without_prices_does_not_say_the_row_for_all_does(row: dict, tier: str, usd: str | None):
    everything = {"provider": "gemini", "model": "*", "discount_percent": 50, "tiers": {"priority": 2}}
    prices = book(everything, {"provider": "gemini", "model": "gemini-2.5-flash", **row})

    price = prices.price("gemini", "gemini-2.5-flash", NOW, tier)

    assert (None if price is None else price.input.base) == (None if usd is None else Decimal(usd))


def test_a_price_that_two_rows_make_is_not_the_same_row_once_one_of_them_changes():
    tiers = {"provider": "gemini", "model": "gemini-2.5-flash", "tiers": {"batch": "0.4"}}

    ids = {
        book(tiers, *discounts).price("gemini", "gemini-2.5-flash", NOW).id  # type: ignore[union-attr]
        for discounts in (
            [{"provider": "gemini", "model": "*", "discount_percent": 50}],
            [{"provider": "gemini", "model": "*", "discount_percent": 50}] * 2,
            [],
        )
    }

    assert len(ids) == 3


def test_a_service_tier_without_a_price_is_unknown_not_standard():
    prices = book({"provider": "gemini", "model": "m", "input": 2, "output": 4, "tiers": {"batch": 0.5}})

    tiers = {tier: prices.price("gemini", "m", NOW, tier) for tier in ("standard", "batch", "priority")}

    assert [tiers[tier] and tiers[tier].input.base for tier in tiers] == [2, 1, None]


def test_searches_and_cache_storage_are_lines_of_their_own():
    price = book(
        {"provider": "gemini", "model": "m", "input": 1, "output": 1, "search_per_1000": 14, "storage_per_hour": "4.5"}
    ).price("gemini", "m", NOW)
    assert price is not None

    receipt = receipt_for(Usage(input_tokens=1_000_000, n_searches=3, storage_token_hours=2_000_000), price)

    assert {line.kind: line.usd for line in receipt.lines} == {
        "input": 1, "output": 0, "searches": Decimal("0.042"), "cache storage": 9,
    }  # fmt: skip


def test_what_was_used_and_has_no_price_makes_the_cost_unknown():
    price = Price(id="p", model="m", input=Rate(base=Decimal(1)), output=Rate(base=Decimal(1)))

    assert cost_of([Usage(input_tokens=5, n_searches=1)], price).cost_usd is None


def test_an_answer_from_our_own_cache_costs_nothing_and_counts_as_saved():
    price = PriceBook().price("gemini", "gemini-2.5-flash", NOW)

    account = cost_of_cached(Usage(input_tokens=1000, output_tokens=500), price)

    assert (account.cost_usd, account.cost_status, account.saved_usd) == (0, "cached", Decimal("0.00155"))


@pytest.mark.parametrize(
    "row",
    [
        {}, {"provider": "gemini"}, {"provider": "gemini", "model": "m"}, {"provider": "gemini", "model": "m", "input": 1},
        {"provider": "gemini", "model": "m", "input": -1, "output": 1}, {"provider": "gemini", "model": "m", "input": "x", "output": 1},
        {"provider": "gemini", "model": "m", "input": "NaN", "output": 1}, {"provider": "gemini", "model": "*", "input": 1, "output": 1},
        {"provider": "gemini", "model": "m", "discount_percent": 101}, {"provider": "simulated", "model": "sim-fast", "input": 1, "output": 1},
        {"provider": "gemini", "model": "m", "input": 1, "output": 1, "colour": 3}, {"provider": "gemini", "model": "m", "input": 1, "output": 1, "effective_from": "soon"},
        {"provider": "gemini", "model": "m", "discount_percent": 5, "tiers": {"express": 2}}, {"provider": "gemini", "model": "m", "input": True, "output": 1},
        {"provider": "gemini", "model": "m", "input": 1, "output": 1, "above": {"many": {}}},
    ],
)  # fmt: skip
def test_a_price_row_that_cannot_be_is_refused(row: dict):
    with pytest.raises(InvalidRequest):
        row_from(row)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"above": {200_000: {"ouput": 15}}}, "ouput"),
        ({"above": {200_000: {"cached": 1}}}, "cached"),
        ({"above": {200_000: {"input": None}}}, "None"),
        ({"above": {10**12 + 1: {"input": 2}}}, "1,000,000,000,000"),
        ({"above": {"²": {"input": 2}}}, "²"),
        ({"above": {"-1": {"input": 2}}}, "-1"),
        ({"above": [200_000]}, "above"),
        ({"input": None, "output": None, "discount_percent": 5, "above": {200_000: {"input": 2}}}, "both input and output"),
        ({"provider": "google"}, "gemini, openai, anthropic"),
        ({"provider": "gemni"}, "gemini, openai, anthropic"),
        ({"model": "gemini-2.5-*"}, "one model"),
        ({"model": "google/*"}, "one model"),
    ],
)  # fmt: skip
def test_a_slip_in_a_price_row_is_named(fields: dict, said: str):
    with pytest.raises(InvalidRequest, match=said):
        row_from({"provider": "gemini", "model": "m", "input": 1, "output": 1, **fields})


def test_a_long_prompt_may_begin_at_a_million_million_tokens():
    row = row_from({"provider": "gemini", "model": "m", "input": 1, "output": 1, "above": {10**12: {"input": 2}}})

    assert row.rates["input"].above == ((10**12, 2),)


def test_a_prices_file_is_read_again_when_it_changes_and_a_broken_one_keeps_the_last_rows(
    open_manager: Open, sqlite_url: str, tmp_path: Path
):
    file = tmp_path / "prices.yaml"
    file.write_text("prices:\n- {provider: gemini, model: gemini-x, input: 1, output: 2}\n")
    mm = open_manager(sqlite_url, prices_file=file)
    assert mm.prices.price("gemini", "gemini-x", NOW) is not None

    file.write_text("prices:\n- {provider: gemini, model: gemini-x, input: cheap}\n")
    mm.prices.refresh()

    assert "row 1" in mm.prices.file_error
    assert mm.prices.price("gemini", "gemini-x", NOW) is not None


ROW = "- {provider: gemini, model: m, input: 1, output: 2"


def test_a_row_is_set_from_the_command_line_with_every_price(sqlite_url: str, monkeypatch, capsys):
    monkeypatch.setenv("DATABASE_URL", sqlite_url)
    rates = {"input": 1, "output": 2, "cached": 3, "cache_write": 4, "cache_write_1h": 5, "audio": 6, "cached_audio": 7, "output_audio": 8}  # fmt: skip
    options = [part for name, usd in rates.items() for part in (f"--{name.replace('_', '-')}", str(usd))]
    above = ["--above", "200000:input=4,output=18", "--above", "500000:input=5"]

    assert cli.main(["prices", "set", "gemini", "gemini-x", *options, *above, "--tier", "batch=0"]) == 0

    with ModelManager.open(Settings(database_url=sqlite_url), takes_up=False) as mm:
        [row] = mm.prices.book.rows
        assert {name: rate.base for name, rate in row.rates.items()} == rates
        assert row.rates["input"].above == ((200_000, 4), (500_000, 5))
        assert row.rates["output"].above == ((200_000, 18),)
        assert row.tiers == {"batch": 0}
        batch = mm.prices.price("gemini", "gemini-x", NOW, "batch")
        assert batch is not None and batch.dearest_input(300_000) == batch.dearest_output(300_000) == 0
    capsys.readouterr()
    assert cli.main(["prices", "list", "gemini/gemini-x"]) == 0
    assert "input 1 (4 above 200,000 tokens) (5 above 500,000 tokens)" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        "set gemini m --input 1 --output 2 --from 9999-12-31T23:59:59-23:00",
        "set gemini m --input 1 --output 2 --from 0001-01-01T00:00:00+23:00",
        "set gemini m --input 1 --output 2 --above 200000",
        "set gemini m --input 1 --output 2 --note \udcff",
        "apply gemini m --since 9999-12-31T23:59:59-23:00",
    ],
)
def test_what_cannot_be_is_one_clear_line_on_the_command_line(words: str, sqlite_url: str, monkeypatch, capsys):
    monkeypatch.setenv("DATABASE_URL", sqlite_url)

    assert cli.main(["prices", *words.split()]) == cli.EXIT_ERROR

    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("text", ["200000", "200000:input", "200000:=4", "input=4", "2e5:input=4", "200000:inptu=4"])
def test_prices_of_long_prompts_that_are_not_what_they_should_be_are_refused(text: str):
    with pytest.raises(InvalidRequest, match=r"above|must be like"):
        row_from({"provider": "gemini", "model": "m", "input": 1, "output": 1, "above": above_from_text(text)})


@pytest.mark.parametrize(
    "text",
    [
        "[", "prices: 3", "- 3", "- {model: m}", "[" * 3000, "!!bool maybe", f"{ROW}, effective_from: 2026-13-45}}",
        f"{ROW}, effective_from: 9999-12-31T23:59:59-23:00}}", f"{ROW}, effective_from: '0001-01-01T00:00:00+23:00'}}",
        f"{ROW}, above: {{'²': {{input: 2}}}}}}", f"{ROW}, cached: {'9' * 5000}}}",
        f"{ROW}, cached: yes}}", f"{ROW}, cached: 1:30}}", f"{ROW}, effective_from: 2026-02-30}}", f"{ROW}, input: 3}}",
        f"{ROW}, note: [a]}}", "a: &a [x, x, x, x, x, x, x, x]\nprices: " + "[" * 60, "price:\n" + ROW + "}", "\tprices: []",
        "prices: []\n---\nprices: []", "prices: !new [1]", "- &a [*a]", b"prices: [] # caf\xe9", "# \x1b",
    ],
)  # fmt: skip
def test_a_prices_file_that_is_wrong_is_named_and_does_not_stop_the_start(
    text: str | bytes, open_manager: Open, sqlite_url: str, tmp_path: Path
):
    with pytest.raises(InvalidRequest, match=r"prices\.yaml.{,600}\Z"):
        rows_from_yaml(text)
    file = tmp_path / "prices.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())

    mm = open_manager(sqlite_url, prices_file=file)

    assert mm.prices.price("gemini", "gemini-2.5-flash", NOW) is not None
    [warning] = mm.prices.warnings
    assert warning.startswith("prices.yaml")


def test_a_stored_row_that_cannot_be_read_any_more_is_named_and_can_be_removed(open_manager: Open, sqlite_url: str):
    mm = open_manager(sqlite_url)
    old = {"provider": "gemini", "model": "gemini-x", "input": 1, "output": 2, "a field of another version": 3}
    with mm.database.write() as connection:
        PriceStore.add_own(connection, "p_old", old)

    mm = open_manager(sqlite_url)

    [warning] = mm.prices.warnings
    assert "p_old" in warning and "a field of another version" in warning
    assert mm.prices.book.rows == ()
    mm.prices.remove_price("p_old")
    assert mm.prices.warnings == []


@pytest.mark.parametrize("content", ["", "{}", "[" * 3000, '[{"id": "google", "a newer form": 1}]'])
def test_a_taken_catalogue_that_cannot_be_read_leaves_the_shipped_one_in_use(
    content: str, open_manager: Open, sqlite_url: str
):
    mm = open_manager(sqlite_url)
    with mm.database.write() as connection:
        PriceStore.take(connection, "0123456789", content)

    mm = open_manager(sqlite_url)

    assert mm.prices.book.catalogue is shipped()
    [warning] = mm.prices.warnings
    assert "0123456789" in warning
    mm.prices.use_shipped()
    assert mm.prices.warnings == []
    assert mm.audit.page()[0][0].subject == "0123456789"


def test_a_row_set_here_holds_in_the_next_process_too(open_manager: Open, database_url: str):
    mm = open_manager(database_url)
    row = mm.prices.set_price({"provider": "gemini", "model": "gemini-x", "input": "0.1", "output": "0.4"})
    other = open_manager(database_url)
    assert other.prices.price("gemini", "gemini-x", NOW).input.base == Decimal("0.1")  # type: ignore[union-attr]

    mm.prices.remove_price(row.id)
    other.prices.refresh()

    assert other.prices.price("gemini", "gemini-x", NOW) is None
    assert [entry.action for entry in mm.audit.page()[0]] == ["price removed", "price set"]
    with pytest.raises(NotFound):
        mm.prices.remove_price(row.id)


# A newer catalogue


def newer(price: str = "0.5") -> str:
    """A catalogue in genai-prices' published form, with one model."""
    model = {
        "id": "gemini-2.5-flash",
        "match": {"equals": "gemini-2.5-flash"},
        "prices": {"input_mtok": price, "output_mtok": "2.5"},
    }
    provider = {"id": "google", "name": "Google", "api_pattern": "google", "models": [model]}
    return json.dumps([provider])


def test_a_newer_catalogue_is_a_difference_before_it_is_taken(mm: ModelManager):
    changes = mm.prices.compare(newer())
    assert {change.kind for change in changes} == {"gone", "changed"}
    [flash] = [change for change in changes if change.kind == "changed"]
    assert (flash.before.input.base, flash.after.input.base) == (Decimal("0.3"), Decimal("0.5"))  # type: ignore[union-attr]
    assert mm.prices.book.catalogue is shipped()

    mm.prices.take(newer())

    assert mm.prices.price("gemini", "gemini-2.5-flash", NOW).input.base == Decimal("0.5")  # type: ignore[union-attr]
    assert mm.prices.compare(newer()) == []
    mm.prices.use_shipped()
    assert mm.prices.price("gemini", "gemini-2.5-flash", NOW).input.base == Decimal("0.3")  # type: ignore[union-attr]


@pytest.mark.parametrize(("installed", "is_outdated"), [("999.0", True), ("0.0.1", False), (None, False)])
def test_an_upgrade_after_a_catalogue_was_taken_is_said(
    installed: str | None, is_outdated: bool, open_manager: Open, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
):
    open_manager(sqlite_url).prices.take(newer())
    if installed:  # a test cannot upgrade a package that is in use
        upgraded = Catalogue(installed, lambda: shipped().snapshot)
        monkeypatch.setattr("core.costs.service.shipped", lambda: upgraded)

    mm = open_manager(sqlite_url)

    assert mm.prices.price("gemini", "gemini-2.5-flash", NOW).input.base == Decimal("0.5")  # type: ignore[union-attr]
    assert ["aimm prices update --shipped" in text for text in mm.prices.warnings] == [True] * is_outdated
    mm.prices.use_shipped()
    assert mm.prices.warnings == []


@pytest.mark.parametrize(("version", "than"), [("0.2.10", "0.2.9"), ("1.0", "0.9.9"), ("0.2.3.1", "0.2.3")])
def test_versions_follow_each_other_by_their_numbers(version: str, than: str):
    assert is_newer(version, than) and not is_newer(than, version) and not is_newer(version, version)


@pytest.mark.parametrize("text", ["", "{}", "[]", "[3]", "<html>", '[{"id": "google"}]'])
def test_what_is_not_a_catalogue_is_refused(mm: ModelManager, text: str):
    with pytest.raises(InvalidRequest):
        mm.prices.compare(text)
    with pytest.raises(ValueError):
        Catalogue.from_json(text)


# Past calls

PRICES = [
    {"input": "0.3", "output": "2.5", "cached": "0.03", "audio": "1"},
    {"input": "1.25", "output": "10", "above": {200_000: {"input": "2.5", "output": "15"}}, "cache_write": "1.5"},
    {"input": "0.123456", "output": "7.000001", "cached": "0.5", "discount_percent": "12.5"},
    {"input": 0, "output": 0},
    {"input": 3, "output": 15, "cache_write": "3.75", "cache_write_1h": 6, "output_audio": 80, "audio": 7, "cached_audio": "0.1"},
    {"input": "0.3", "output": "2.5", "output_image": 30, "image": "0.7", "audio": 1, "thinking": 3, "request_per_1000": "5.5",
     "cache_write": "1.5", "cache_write_1h": 2, "output_audio": 9},
]  # fmt: skip
usages = st.builds(
    lambda cached, written, hour, audio_plain, audio_cached, plain, thought, spoken, text, painted, seen: Usage(
        input_tokens=cached + audio_cached + written + hour + audio_plain + plain + seen, cached_tokens=cached + audio_cached,
        cache_write_tokens=written, cache_write_1h_tokens=hour, audio_tokens=audio_plain + audio_cached,
        cached_audio_tokens=audio_cached, output_tokens=thought + spoken + text + painted, thinking_tokens=thought,
        output_audio_tokens=spoken,
        more={k: n for k, n in (("output_image_tokens", painted), ("image_tokens", seen)) if n},
    ),
    *[st.one_of(st.just(0), st.integers(0, 300_000))] * 9, *[st.one_of(st.just(0), st.just(0), st.integers(0, 3000))] * 2,
)  # fmt: skip


def nano_of(usages: Sequence[Usage], price: Price) -> int | None:
    """None = something in it has no price."""
    try:
        return to_nano(sum((receipt_for(usage, price).usd for usage in usages), Decimal(0)))
    except LookupError:
        return None


@pytest.fixture(scope="module")
def one_manager(tmp_path_factory: pytest.TempPathFactory):
    with ModelManager.open(Settings(database_url=fresh(tmp_path_factory.mktemp("r"))), takes_up=False) as mm:
        yield mm


@given(
    calls=st.lists(st.lists(usages, min_size=1, max_size=3), min_size=1, max_size=6),
    fields=st.sampled_from(PRICES),
    number=st.integers(0, 10**12),
)
@settings(derandomize=True, deadline=None, max_examples=30)
def test_charging_anew_in_sql_is_exact_and_so_are_the_rollups(one_manager: ModelManager, calls, fields, number):
    mm, model = one_manager, f"gemini-x{number}-{clock.now_us()}"
    rows = [
        a_generation(
            f"g{clock.now_us()}{n}", request_model=model, usage=sum(each, Usage()), usages=tuple(each), cost_usd=None,
            cost_status="unknown", tags=("t",), user_id=f"u{n % 2}", created_at=NOW - timedelta(hours=9 * n),
        )
        for n, each in enumerate(calls)
    ]  # fmt: skip
    testing.record(mm, *rows)
    mm.prices.set_price({"provider": "gemini", "model": model, **fields})
    price = mm.prices.price("gemini", model, NOW)
    assert price is not None
    expected = {g.id: nano for g in rows if g.usage.total_tokens and (nano := nano_of(g.usages, price)) is not None}

    days = mm.repricing.preview("gemini", model)
    n = mm.repricing.reprice("gemini", model)

    found = {row["id"]: row["cost_nano_usd"] for row in mm.log.all_rows() if row["request_model"] == model}
    assert {id_: nano for id_, nano in found.items() if nano is not None} == expected
    assert n == len(expected) == sum(day.n_calls for day in days)
    assert to_nano(sum((day.after_usd for day in days), Decimal(0))) == sum(expected.values())
    assert mm.monitoring.differences() == []


def test_back_pricing_moves_budgets_and_leaves_a_trail(open_manager: Open, database_url: str, gemini: FakeGemini):
    mm = open_manager(database_url, gemini)
    budget = mm.budgets.create("b", "1")
    gemini.next(wire.answer(prompt=1000, candidates=500), wire.answer(prompt=2000, candidates=100))
    calls = [mm.generate("Hi", model="gemini-unpriced-1") for _ in range(2)]
    [unpriced] = mm.repricing.unpriced()
    assert (unpriced.model, unpriced.n_calls, unpriced.input_tokens, unpriced.output_tokens) == (
        "gemini-unpriced-1",
        2,
        3000,
        600,
    )
    mm.prices.set_price({"provider": "gemini", "model": "gemini-unpriced-1", "input": 1, "output": 10})
    assert mm.log.get(calls[0].id).cost_usd is None  # nothing is charged before it is asked for

    mm.repricing.reprice("gemini", "gemini-unpriced-1")

    cost = Decimal("0.009")
    assert mm.budgets.status(budget.budget.id).spent_usd == cost
    assert mm.budgets.status(budget.budget.id).n_unpriced == 0
    assert mm.repricing.unpriced() == []
    assert mm.audit.page()[0][0].action == "calls repriced"
    assert mm.audit.page()[0][0].detail["calls"] == 2
    again = mm.log.get(calls[0].id)
    assert (again.cost_status, again.receipts[0].usd) == ("priced", again.cost_usd)
    assert mm.monitoring.differences() == []
    assert mm.budgets.differences() == []
    assert mm.repricing.reprice("gemini", "gemini-unpriced-1") == 0


def test_calls_that_have_a_cost_are_charged_anew_only_when_asked(
    open_manager: Open, sqlite_url: str, gemini: FakeGemini
):
    mm = open_manager(sqlite_url, gemini)
    mm.generate("Hi", model="gemini-2.5-flash")
    mm.prices.set_price({"provider": "gemini", "model": "gemini-2.5-flash", "discount_percent": 50})
    assert mm.repricing.preview("gemini", "gemini-2.5-flash") == []

    [day] = mm.repricing.preview("gemini", "gemini-2.5-flash", only_unpriced=False)
    mm.repricing.reprice("gemini", "gemini-2.5-flash", only_unpriced=False)

    assert (day.before_usd, day.after_usd) == (Decimal("0.0000155"), Decimal("0.000007750"))
    assert mm.monitoring.differences() == []


def test_past_calls_are_charged_with_the_price_of_their_own_day(mm: ModelManager):
    for n, days in enumerate((30, 10, 1)):
        row = a_generation(
            f"g{n}", request_model="gemini-x", cost_usd=None, cost_status="unknown",
            usage=Usage(input_tokens=1_000_000), created_at=clock.now() - timedelta(days=days),
        )  # fmt: skip
        testing.record(mm, row)
    for price, days in ((1, 20), (3, 5)):
        start = (clock.now() - timedelta(days=days)).isoformat()
        mm.prices.set_price(
            {"provider": "gemini", "model": "gemini-x", "input": price, "output": 1, "effective_from": start}
        )

    mm.repricing.reprice("gemini", "gemini-x")

    costs = {row["id"]: row["cost_nano_usd"] for row in mm.log.all_rows()}
    assert costs == {"g0": None, "g1": 1_000_000_000, "g2": 3_000_000_000}
    assert mm.monitoring.differences() == []


def test_contradictory_counts_stay_unknown_whatever_the_price(open_manager: Open, sqlite_url: str, gemini: FakeGemini):
    mm = open_manager(sqlite_url, gemini)
    gemini.next(wire.answer(prompt=10, candidates=5, cachedContentTokenCount=500))

    g = mm.generate("Hi", model="gemini-2.5-flash")

    assert g.cost_usd is None
    assert mm.repricing.reprice("gemini", "gemini-2.5-flash") == 0


@pytest.mark.parametrize(
    ("replies", "status", "cost_status"),
    [
        ([wire.answer()], "ok", "priced"),
        ([Reply(events=[wire.event("Hello.", finish="STOP")])], "ok", "estimated"),
        ([Reply(events=[wire.event("Hello.", usage=wire.usage())])], "truncated", "estimated"),
        ([Reply(events=[wire.event("Hello.")])], "truncated", "estimated"),
        ([Reply(events=[wire.event("Hello.", usage=wire.usage())] * 50, pause_s=0.1)], "stopped", "estimated"),
        ([Reply(events=[wire.event("Hello.")] * 50, pause_s=0.1)], "stopped", "estimated"),
        ([Reply(events=[wire.event("", usage=wire.usage())]), wire.answer()], "ok", "priced"),
        ([Reply(events=[wire.event("", usage=wire.usage())]), Reply(events=[wire.event("Hi", usage=wire.usage())])], "truncated", "estimated"),
    ],
)  # fmt: skip
def test_charging_anew_leaves_an_estimate_an_estimate(
    replies: list[Reply], status: str, cost_status: str, open_manager: Open, database_url: str, gemini: FakeGemini
):
    mm = open_manager(database_url, gemini)
    gemini.next(*replies)
    call = mm.submit(mm.request("Hi", model="gemini-unpriced-1"))
    while status == "stopped" and not call.view().text:
        time.sleep(0.01)
    if status == "stopped":
        call.cancel()
    before = call.result(10)
    mm.prices.set_price({"provider": "gemini", "model": "gemini-unpriced-1", "input": 1, "output": 10})

    assert mm.repricing.reprice("gemini", "gemini-unpriced-1") == 1

    after = mm.log.get(before.id)
    assert (before.status, before.cost_status) == (status, "unknown")
    assert after.cost_status == cost_status
    assert mm.monitoring.differences() == []


def test_a_latest_name_is_charged_anew_as_the_model_that_answered(
    open_manager: Open, database_url: str, gemini: FakeGemini
):
    mm = open_manager(database_url, gemini)
    asked = [
        ("gemini-mine-latest", "gemini-new-1"), ("gemini-mine-latest", "models/Gemini-New-1"), ("gemini-new-1", "gemini-other-1"),
        ("gemini-mine-latest", "gemini-new-2"), ("gemini-2.5-flash", "gemini-new-1"), ("gemini-none-latest", None),
        ("gemini-flash-latest", "gemini-new-1"),  # the catalogue takes it for an older one
    ]  # fmt: skip
    ids = []
    for model, answered in asked:
        more = {"modelVersion": answered} if answered else {}
        gemini.next(Reply(events=[wire.event("Hi", finish="STOP", usage=wire.usage(1000, 0), **more)]))
        ids.append(mm.generate("Hi", model=model).id)
    before = [mm.log.get(id_).cost_usd for id_ in ids]
    assert {each.model: each.n_calls for each in mm.repricing.unpriced()} == {
        "gemini-new-1": 4, "gemini-new-2": 1, "gemini-none-latest": 1,
    }  # fmt: skip
    for usd, model in enumerate(("gemini-new-1", "gemini-new-2", "gemini-mine-latest", "gemini-none-latest"), 1):
        mm.prices.set_price({"provider": "gemini", "model": model, "input": usd, "output": 0})

    done = [
        mm.repricing.reprice("gemini", model) for model in ("gemini-new-1", "gemini-mine-latest", "gemini-none-latest")
    ]

    after = [mm.log.get(id_).cost_usd for id_ in ids]
    assert done == [4, 0, 1]
    assert after == [Decimal("0.001")] * 3 + [None, before[4], Decimal("0.004"), Decimal("0.001")]
    assert mm.monitoring.differences() == []
    gemini.next(Reply(events=[wire.event("Hi", finish="STOP", usage=wire.usage(1000, 0), modelVersion="gemini-new-1")]))
    live = mm.generate("Hi", model="gemini-mine-latest")
    assert (live.cost_usd, live.price_id) == (after[0], mm.log.get(ids[0]).price_id)
    assert [day.n_calls for day in mm.repricing.preview("gemini", "gemini-new-1", only_unpriced=False)] == [5]


def test_charging_anew_has_happened_or_not_when_it_is_killed(tmp_path: Path):
    url = fresh(tmp_path)
    with ModelManager.open(Settings(database_url=url), takes_up=False) as mm:
        rows = [
            a_generation(f"g{n}", request_model="gemini-x", cost_usd=None, cost_status="unknown") for n in range(4000)
        ]
        testing.record(mm, *rows)
        mm.prices.set_price({"provider": "gemini", "model": "gemini-x", "input": 1, "output": 1})
    code = (
        "import os, signal, sys\n"
        "from core import ModelManager\nfrom core.config import Settings\nfrom core.storage.money import repricing\n"
        "original = repricing._move_spend_by\n"
        "def killed(*args):\n    original(*args)\n    os.kill(os.getpid(), signal.SIGKILL)\n"
        "repricing._move_spend_by = killed\n"
        "ModelManager.open(Settings(database_url=sys.argv[1]), takes_up=False).repricing.reprice('gemini', 'gemini-x')\n"
    )
    assert subprocess.run([sys.executable, "-c", code, url], cwd=ROOT).returncode == -9

    with ModelManager.open(Settings(database_url=url), takes_up=False) as mm:
        assert mm.repricing.unpriced()[0].n_calls == 4000
        assert mm.monitoring.differences() == []
        assert mm.repricing.reprice("gemini", "gemini-x") == 4000
        assert mm.monitoring.differences() == []


def test_a_call_keeps_the_price_row_it_was_charged_with(open_manager: Open, sqlite_url: str, gemini: FakeGemini):
    mm = open_manager(sqlite_url, gemini)
    row = mm.prices.set_price({"provider": "gemini", "model": "gemini-2.5-flash", "input": 9, "output": 9})
    g = mm.generate("Hi", model="gemini-2.5-flash")
    mm.prices.remove_price(row.id)

    kept = mm.prices.pinned(g.price_id)

    assert kept is not None
    assert kept.input.base == 9
    assert mm.log.get(g.id).receipts[0].usd == g.cost_usd


def test_a_receipt_says_what_the_call_would_have_cost_elsewhere(
    open_manager: Open, sqlite_url: str, gemini: FakeGemini
):
    mm = open_manager(sqlite_url, gemini)
    g = mm.generate("Hi", model="gemini-2.5-flash")

    others = mm.prices.elsewhere(g, [("gemini", "gemini-2.5-flash"), ("gemini", "gemini-2.5-pro"), ("gemini", "nope")])

    assert others == [("gemini-2.5-pro", Decimal("0.0000625"), "standard")]
    assert isinstance(mm.prices, PriceService)


def test_what_a_call_would_have_cost_elsewhere_is_at_its_own_service_tier(
    open_manager: Open, sqlite_url: str, gemini: FakeGemini
):
    mm = open_manager(sqlite_url, gemini)
    mm.prices.set_price({"provider": "gemini", "model": "gemini-x", "input": 1, "output": 1})
    g = mm.generate("Hi", model="gemini-2.5-flash", service_tier="flex")

    others = mm.prices.elsewhere(g, [("gemini", "gemini-2.5-pro"), ("gemini", "gemini-x")])

    assert others == [
        ("gemini-x", Decimal("0.000015"), "standard"),
        ("gemini-2.5-pro", Decimal("0.00003125"), "flex"),
    ]


def test_grounding_flex_and_reported_tiers_are_billed(open_manager: Open, sqlite_url: str, gemini: FakeGemini):
    mm = open_manager(sqlite_url, gemini)
    reply = wire.answer(prompt=1000, candidates=100)
    reply.events[-1]["candidates"][0]["groundingMetadata"] = {"webSearchQueries": ["a", "b"]}
    gemini.next(reply, wire.answer(prompt=1000, candidates=100))

    grounded = mm.generate("Hi", model="gemini-2.5-flash")
    flex = mm.generate("Hi", model="gemini-2.5-flash", service_tier="flex")

    assert grounded.cost_usd == Decimal("0.00055") + Decimal("0.035")
    assert (flex.cost_usd, flex.service_tier) == (Decimal("0.000275"), "flex")
    assert gemini.requests[-1]["body"]["serviceTier"] == "flex"


@pytest.mark.parametrize(
    "counts",
    [
        {"promptTokenCount": 10**20},
        {"promptTokenCount": 10**9 + 1, "candidatesTokenCount": 1},
        {"promptTokenCount": 10, "candidatesTokenCount": 10**30},
        {"promptTokenCount": 10, "totalTokenCount": 2**63},
        {"promptTokenCount": 10, "cachedContentTokenCount": 10**20},
        {"promptTokenCount": 10, "thoughtsTokenCount": 10**20},
        {"promptTokenCount": 10, "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 10**20}]},
    ],
)
def test_a_call_whose_counts_cannot_be_is_on_record_as_an_estimate(
    counts: dict, with_gemini: ModelManager, gemini: FakeGemini
):
    gemini.next(Reply(events=[wire.event("Hello from the fake.", finish="STOP", usage=counts)]))

    g = with_gemini.generate("Hi there", model="gemini-2.5-flash")

    assert with_gemini.log.get(g.id).text == "Hello from the fake."
    assert (g.cost_status, g.cost_usd) == ("estimated", Decimal("0.0000131"))


@pytest.mark.parametrize(
    ("count", "status", "recorded"), [(10**9, "priced", 10**9), (-5, "unknown", 0), (-(10**20), "estimated", 1)]
)
def test_a_call_with_odd_counts_is_on_record(
    count: int, status: str, recorded: int, with_gemini: ModelManager, gemini: FakeGemini
):
    usage = {"promptTokenCount": count, "candidatesTokenCount": 1, "totalTokenCount": count + 1}
    gemini.next(Reply(events=[wire.event("Hello.", finish="STOP", usage=usage)]))

    g = with_gemini.generate("Hi", model="gemini-2.5-flash")

    assert (g.cost_status, with_gemini.log.get(g.id).usage.input_tokens) == (status, recorded)


def worked_cases() -> list[list[str]]:
    text = (ROOT / "docs" / "costs.md").read_text("utf-8")
    table = text.split("## Worked cases")[1].split("\n\n")[2]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


@pytest.mark.parametrize("case", worked_cases(), ids=[row[0] for row in worked_cases()])
def test_the_worked_cases_of_the_docs_are_true(case: list[str], with_gemini: ModelManager, gemini: FakeGemini):
    _, model, metadata, cost, status = case
    usage = None if metadata == "–" else json.loads(metadata)
    gemini.next(wire.Reply(events=[wire.event("Hello from the fake.", finish="STOP", usage=usage)]))

    g = with_gemini.generate("Hi there", model=model)

    assert g.cost_status == status
    assert g.cost_usd == (None if cost == "unknown" else Decimal(cost))


@pytest.mark.parametrize(
    "events",
    [
        [wire.event("a" * 400, usage=wire.usage(10, 1)), wire.event("b" * 3600, finish="STOP")],  # counted too early
        [wire.event("b" * 4000, finish="STOP", usage={"promptTokenCount": 10})],
        [wire.event("b" * 4000, finish="STOP", usage={"totalTokenCount": 10})],
    ],
)
def test_an_answer_that_outgrew_its_count_is_estimated(with_gemini: ModelManager, gemini: FakeGemini, events: list):
    gemini.next(wire.Reply(events=events))

    g = with_gemini.generate("hello", model="gemini-2.5-flash")

    assert g.cost_status == "estimated"
    assert g.usage.output_tokens == 1000
