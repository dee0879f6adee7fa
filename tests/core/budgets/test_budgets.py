"""Budgets: where periods begin, that a limit holds whatever runs at the same time, and how calls get around it."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import AimmError, BudgetExceeded, Conflict, InvalidRequest, ModelManager, NotFound, clock, testing
from core.budgets.ledger import Ledger, decide
from core.budgets.periods import bounds, bucket_us, span_us, window
from core.budgets.service import BudgetService
from core.calls.admission import quote_for
from core.calls.origin import Origin
from core.domain.budget import Budget, ByScope, Quote, Spender
from core.domain.generation import Generation, Model, Native
from core.domain.message import Media, Message
from core.domain.price import Price
from core.formats.money import to_nano
from core.pricing.estimate import estimate, input_range, output_range
from core.pricing.tokens import longest_answer, longest_input
from core.storage.calls.generations import to_row
from core.storage.calls.record import log_rows
from core.storage.engine.database import Connection, Database
from core.storage.engine.presence import Presence
from core.storage.engine.writer import Rows, Writer
from core.storage.money import ledger as ledger_rows
from core.storage.money.budgets import BudgetStore, covering
from tests.builders import a_generation
from tests.conftest import ROOT, Open
from tests.fakes import gemini as wire
from tests.fakes.gemini import KEY, FakeGemini, Reply

NOW = datetime(2026, 11, 16, 12, 30, tzinfo=UTC)  # a Monday, the middle of the month
FLASH = "gemini-2.5-flash"
SPENDER = Spender(provider="gemini", model="m")
BARE = Quote(call_id="g", at_us=0, spender=SPENDER, worst_nano=None)


@pytest.fixture
def world(database_url: str):
    """Budgets at a fixed moment, and a function that logs a call so many hours ago."""
    database = Database(database_url)
    presence = Presence(database)
    writer = Writer(database)
    ledger, numbers = Ledger(database, writer, presence), count()

    def record(connection: Connection, rows: Rows, bodies: Rows) -> None:
        log_rows(connection, rows, bodies)
        ledger.charge(connection, rows)

    def log(hours_ago: float, **changes: object) -> None:
        moment = NOW - timedelta(hours=hours_ago)
        row = to_row(a_generation(f"g{next(numbers)}", **{"created_at": moment, **changes}))
        writer.record_together(record, row, None).result()

    with testing.clock_at(NOW):
        yield BudgetService(database, writer, ledger), log
    writer.close()
    presence.close()
    database.close()


# Periods


@pytest.mark.parametrize(
    ("period", "zone", "now", "start", "end"),
    [
        ("day", "UTC", "2026-02-28T23:59:59", "2026-02-28T00:00:00", "2026-03-01T00:00:00"),
        ("month", "UTC", "2028-02-29T12:00:00", "2028-02-01T00:00:00", "2028-03-01T00:00:00"),
        ("month", "UTC", "2026-12-31T23:00:00", "2026-12-01T00:00:00", "2027-01-01T00:00:00"),
        ("week", "UTC", "2027-01-01T00:00:00", "2026-12-28T00:00:00", "2027-01-04T00:00:00"),
        # the clocks go forward on 2026-03-29 and back on 2026-10-25: days of 23 and 25 hours
        ("day", "Europe/Berlin", "2026-03-29T12:00:00", "2026-03-28T23:00:00", "2026-03-29T22:00:00"),
        ("day", "Europe/Berlin", "2026-10-25T12:00:00", "2026-10-24T22:00:00", "2026-10-25T23:00:00"),
        ("month", "Asia/Kolkata", "2026-11-30T18:30:00", "2026-11-30T18:30:00", "2026-12-31T18:30:00"),
        ("day", "America/Los_Angeles", "2026-11-01T07:30:00", "2026-11-01T07:00:00", "2026-11-02T08:00:00"),
    ],
)
def test_a_period_begins_at_local_midnight(period, zone, now, start, end):
    moments = [datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (now, start, end)]

    assert bounds(period, zone, moments[0]) == (moments[1], moments[2])


def test_periods_follow_each_other_without_gap():
    for zone in ("Europe/Berlin", "America/Sao_Paulo", "Pacific/Auckland"):
        moment = datetime(2026, 1, 1, tzinfo=ZoneInfo(zone)).astimezone(UTC)
        for _ in range(366):
            start, end = bounds("day", zone, moment)
            assert start == moment
            moment = end


def test_a_rolling_budget_covers_at_least_its_hours():
    budget = Budget(id="b", name="b", limit_usd=Decimal(1), period="rolling", rolling_hours=24)

    start, end = window(budget, NOW)

    assert start == NOW.replace(minute=0) - timedelta(hours=24)
    assert end - start == timedelta(hours=25)


@given(
    zone=st.sampled_from(
        ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/Havana"]
    ),
    period=st.sampled_from(["day", "week", "month", "rolling"]),
    moment=st.integers(1_672_531_200, 1_861_920_000),  # 2023 to 2028
)
@settings(derandomize=True, deadline=None, max_examples=300)
def test_every_moment_falls_into_a_bucket_of_its_own_period(zone: str, period: str, moment: int):
    budget = Budget(id="b", name="b", limit_usd=Decimal(1), period=period, timezone=zone, rolling_hours=5)
    at_us = moment * 1_000_000 + 1

    first, last = span_us(budget, at_us)

    assert first <= bucket_us(budget, at_us) <= at_us < last
    if period != "rolling":
        assert bucket_us(budget, at_us) == first == bucket_us(budget, last - 1)
        assert bucket_us(budget, last) == last


# Budgets


def test_a_budget_counts_its_period_its_model_and_real_money_only(world):
    budgets, log = world
    budgets.create("all", "1.00", period="day")
    budgets.create("one model", "1.00", period="month", scope="model:m2")
    log(1, cost_usd=Decimal("0.25"))
    log(1, cost_usd=Decimal("0.30"), request_model="m2")
    log(13, cost_usd=Decimal("5"))  # yesterday
    log(1, cost_usd=Decimal("7"), provider="simulated")
    log(1, cost_usd=None, cost_status="unknown")
    budgets._ledger.charged()

    one, everything = sorted(budgets.statuses(), key=lambda status: status.budget.period, reverse=True)

    assert (everything.spent_usd, everything.left_usd, everything.n_unpriced) == (Decimal("0.55"), Decimal("0.45"), 1)
    assert one.spent_usd == Decimal("0.30")


@pytest.mark.parametrize(
    ("spent", "reached"), [("0.49", None), ("0.50", 0.5), ("0.79", 0.5), ("0.80", 0.8), ("1.20", 1.0)]
)
def test_the_banner_speaks_from_the_first_threshold_on(world, spent: str, reached: float | None):
    budgets, log = world
    budgets.create("b", "1.00", period="day")
    log(1, cost_usd=Decimal(spent))
    budgets._ledger.charged()

    assert budgets.statuses()[0].reached == reached


@pytest.mark.parametrize(
    "changes",
    [{"name": ""}, {"limit_usd": 0}, {"limit_usd": "many"}, {"limit_usd": "nan"}, {"period": "year"}, {"timezone": "Mars/Olympus"},
     {"scope": "model:"}, {"action": "explode"}, {"thresholds": []}, {"thresholds": [0]}, {"period": "rolling"},
     {"period": "rolling", "rolling_hours": 0}, {"action": "downgrade"}, {"scope": "team:x"}, {"scope": "all:x"},
     {"forecast_thresholds": [-1]}, {"colour": "red"}, {"thresholds": [1e-320]}, {"thresholds": [0.0099]},
     {"thresholds": [0.5, 10.001]}, {"thresholds": [float("nan")]}, {"forecast_thresholds": [0.0099]},
     {"timezone": "localtime"}, {"timezone": "Localtime"}, {"timezone": "posix/Europe/Berlin"}],
)  # fmt: skip
def test_a_budget_that_cannot_be_is_refused(mm: ModelManager, changes: dict):
    fields = {"name": "b", "limit_usd": "1", **changes}
    with pytest.raises(InvalidRequest):
        mm.budgets.create(fields.pop("name"), fields.pop("limit_usd"), **fields)
    assert mm.budgets.statuses() == []


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ([0.8, 0.80000001], (0.8,)),
        ([10, 0.01, 0.8, 0.801], (0.01, 0.8, 0.801, 10)),
        ([1 / 3], (0.333,)),
    ],
)
def test_thresholds_are_kept_to_the_per_mille_and_each_once(mm: ModelManager, given: list[float], kept: tuple):
    made = mm.budgets.create("b", "1", thresholds=given, forecast_thresholds=given)

    assert (made.budget.thresholds, made.budget.forecast_thresholds) == (kept, kept)


def test_two_budgets_of_one_name_are_refused_and_one_can_go(mm: ModelManager):
    made = mm.budgets.create("b", "1")
    with pytest.raises(Conflict):
        mm.budgets.create("b", "2")
    mm.budgets.delete(made.budget.id)
    with pytest.raises(NotFound):
        mm.budgets.delete(made.budget.id)


def test_a_budget_made_in_mid_period_knows_what_was_spent_before(world):
    budgets, log = world
    log(1, cost_usd=Decimal("0.25"), tags=("a", "b"), user_id="u1")
    log(2, cost_usd=Decimal("0.50"), tags=("ab",))
    log(30, cost_usd=Decimal("4"), tags=("a",))  # yesterday

    made = {
        scope: budgets.create(scope, "1.00", period="day", scope=scope).spent_usd
        for scope in ("all", "tag:a", "tag:ab", "user:u1", "user:u2", "provider:gemini", "model:m")
    }
    rolling = budgets.create("rolling", "9", period="rolling", rolling_hours=48)

    assert made == {
        "all": Decimal("0.75"), "tag:a": Decimal("0.25"), "tag:ab": Decimal("0.50"), "user:u1": Decimal("0.25"),
        "user:u2": 0, "provider:gemini": Decimal("0.75"), "model:m": Decimal("0.75"),
    }  # fmt: skip
    assert rolling.spent_usd == Decimal("4.75")


def test_calls_are_charged_to_the_budgets_that_cover_them(world):
    budgets, log = world
    for scope in ("all", "tag:a", "key:k1", "user:u1", "model:m2"):
        budgets.create(scope, "10", scope=scope)
    log(1, cost_usd=Decimal(1), tags=("a", "b"), key_id="k1")
    log(1, cost_usd=Decimal(2), user_id="u1", request_model="m2")
    budgets._ledger.charged()

    spent = {status.budget.scope: status.spent_usd for status in budgets.statuses()}

    assert spent == {"all": 3, "tag:a": 1, "key:k1": 1, "user:u1": 2, "model:m2": 2}


def test_what_a_rolling_budget_counts_falls_out_by_the_hour(world):
    budgets, log = world
    budgets.create("r", "10", period="rolling", rolling_hours=3)
    for hours in (0.1, 1, 2, 3, 4, 5):
        log(hours, cost_usd=Decimal(1))
    budgets._ledger.charged()

    assert budgets.statuses()[0].spent_usd == 4  # the hour that the window begins in counts whole


def test_a_changed_scope_counts_anew(world):
    budgets, log = world
    log(1, cost_usd=Decimal(1), request_model="m2")
    log(1, cost_usd=Decimal(2))
    made = budgets.create("b", "10")

    changed = budgets.change(made.budget.id, scope="model:m2", limit_usd="5", name="c")

    assert (changed.spent_usd, changed.limit_usd, changed.budget.name) == (1, 5, "c")


def test_raised_once_with_a_reason_and_an_end(world):
    budgets, log = world
    log(1, cost_usd=Decimal(1))
    made = budgets.create("b", "1.00", period="day")

    raised = budgets.raise_once(made.budget.id, "0.50", reason="launch day")

    assert (raised.limit_usd, raised.left_usd) == (Decimal("1.50"), Decimal("0.50"))
    [more] = raised.budget.raises
    assert (more.reason, more.expires_at) == ("launch day", raised.resets_at)
    for bad in (
        {"reason": ""},
        {"reason": "x", "expires_at": NOW},
        {"reason": "x", "expires_at": NOW + timedelta(days=400)},
    ):
        with pytest.raises(InvalidRequest):
            budgets.raise_once(made.budget.id, "1", **bad)


# The decision


def a_quote(worst: int | None, **fields: object) -> Quote:
    return Quote(**{"call_id": "g", "at_us": 0, "spender": SPENDER, "worst_nano": worst, **fields})  # type: ignore[arg-type]


def room(limit: int, spent: int, reserved: int):
    from core.budgets.holds import Room

    return {"b": Room(limit, spent, reserved)}


def stop(**fields: object) -> Budget:
    return Budget(**{"id": "b", "name": "b", "limit_usd": Decimal(1), "action": "stop", **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("quote", "books_", "kind", "amount", "max_tokens"),
    [
        (a_quote(100), (1000, 900, 0), "go", 100, None),
        (a_quote(100), (1000, 901, 0), "refuse", None, None),
        (a_quote(100), (1000, 800, 101), "wait", None, None),  # others hold it; it will come free
        (a_quote(100, spent_nano=50), (1000, 851, 0), "refuse", None, None),  # an earlier attempt was billed
        (a_quote(0), (1000, 2000, 0), "go", 0, None),  # free models always may
        (a_quote(None), (1000, 2000, 0), "go", None, None),  # unpriced, and not refused
        # no length was set: a shorter answer is better than none
        (a_quote(1000, input_nano=100, token_nano=Decimal(2), shortest_tokens=100), (1000, 500, 0), "go", 500, 200),
        (
            a_quote(1000, input_nano=100, token_nano=Decimal(2), shortest_tokens=100),
            (1000, 800, 0),
            "refuse",
            None,
            None,
        ),
        (
            a_quote(1000, input_nano=100, token_nano=Decimal(2), shortest_tokens=100),
            (1000, 500, 300),
            "wait",
            None,
            None,
        ),
    ],
)
def test_a_call_starts_waits_is_shortened_or_refused(quote, books_, kind, amount, max_tokens):
    verdict, reserved = decide(quote, [stop()], room(*books_))

    assert (verdict.kind, reserved, verdict.max_tokens) == (kind, amount, max_tokens)


def test_a_model_without_a_price_is_refused_where_the_budget_says_so():
    verdict, _ = decide(a_quote(None), [stop(action="notify", refuses_unpriced=True)], room(1000, 0, 0))

    assert (verdict.kind, verdict.reason) == ("refuse", "unpriced")


@given(
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 50), st.integers(0, 3)), max_size=30),
    st.integers(1, 2000),
    st.integers(0, 500),
)
@settings(derandomize=True, deadline=None)
def test_whatever_is_asked_spent_and_reserved_stay_within_the_limit(quotes, limit, spent):
    rooms = room(limit, min(spent, limit), 0)
    for worst, earlier, length in quotes:
        quote = a_quote(worst, spent_nano=earlier, token_nano=Decimal(1), shortest_tokens=length)
        verdict, amount = decide(quote, [stop()], rooms)
        if verdict.kind == "go" and worst:
            rooms["b"].reserved_nano += amount or 0
        assert rooms["b"].spent_nano + rooms["b"].reserved_nano <= limit


# Calls against a limit

WORST = Decimal("0.0000332")  # 69 tokens in at most, 5 out
COST = Decimal("0.0000155")  # what the fake's answer costs


def many(mm: ModelManager, n: int, **fields: object) -> list[Generation]:
    request = mm.request("hello", model=FLASH, max_tokens=5)
    calls = [mm.submit(request, Origin(**fields)) for _ in range(n)]  # type: ignore[arg-type]
    return [call.result() for call in calls]


class Watch:
    """Looks at the ledger from a connection of its own while calls run."""

    def __init__(self, mm: ModelManager, budget: Budget) -> None:
        self.totals: list[int] = []
        self._ends = threading.Event()

        def look() -> None:
            while not self._ends.wait(0.002):
                with mm.database.read() as connection:
                    found = ledger_rows.position(connection, budget.id, span_us(budget, clock.now_us()))
                self.totals.append(found.spent_nano + found.reserved_nano)

        self._thread = threading.Thread(target=look)
        self._thread.start()

    def stop(self) -> list[int]:
        self._ends.set()
        self._thread.join()
        return self.totals


def test_parallel_calls_never_pass_the_limit_and_use_it_up(open_manager: Open, database_url: str, gemini: FakeGemini):
    mm = open_manager(database_url, gemini, call_timeout_s=60.0)
    status = mm.budgets.create("ten", 10 * COST, action="stop")
    watch = Watch(mm, status.budget)

    ended = [g.error_class or g.status for g in many(mm, 60)]

    totals = watch.stop()
    assert max(totals) <= to_nano(10 * COST)
    n_ok = ended.count("ok")
    assert set(ended) == {"ok", "budget_exceeded"}
    assert 10 * COST - n_ok * COST < WORST  # no call more would have fitted
    after = mm.budgets.status(status.budget.id)
    assert (after.spent_usd, after.reserved_usd) == (n_ok * COST, 0)
    assert mm.monitoring.differences() == mm.budgets.differences() == []


CHILD = """
import json, sys
from core import ModelManager
from core.calls.origin import Origin
from core.config import Settings
settings = Settings(database_url=sys.argv[1], keys={"gemini": sys.argv[2]}, addresses={"gemini": sys.argv[3]}, call_timeout_s=60.0)
with ModelManager.open(settings, takes_up=False) as mm:
    request = mm.request("hello", model="gemini-2.5-flash", max_tokens=5)
    print("ready", flush=True)
    sys.stdin.readline()
    calls = [mm.submit(request) for _ in range(int(sys.argv[4]))]
    print(json.dumps([call.result().status for call in calls]), flush=True)
"""


def child(url: str, gemini: FakeGemini, n: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", CHILD, url, KEY, gemini.url, str(n)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_two_processes_share_one_limit(open_manager: Open, database_url: str, gemini: FakeGemini):
    mm = open_manager(database_url, gemini, call_timeout_s=60.0)
    status = mm.budgets.create("ten", 10 * COST, action="stop")
    children = [child(database_url, gemini, 25) for _ in range(2)]
    watch = Watch(mm, status.budget)

    outputs = [process.communicate("go\n", timeout=60)[0] for process in children]

    assert max(watch.stop()) <= to_nano(10 * COST)
    n_ok = sum(json.loads(text).count("ok") for text in outputs)
    after = mm.budgets.status(status.budget.id)
    assert (after.spent_usd, after.reserved_usd) == (n_ok * COST, 0)
    assert 8 <= n_ok <= 10


def test_what_a_killed_process_reserved_comes_free(open_manager: Open, database_url: str, gemini: FakeGemini):
    mm = open_manager(database_url, gemini)
    status = mm.budgets.create("three", 3 * WORST, action="stop")
    gemini.next(*[wire.Reply(hang_s=20.0) for _ in range(5)])
    process = child(database_url, gemini, 5)
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    deadline = time.monotonic() + 20
    while mm.budgets.status(status.budget.id).reserved_usd < 2 * WORST and time.monotonic() < deadline:
        time.sleep(0.02)

    process.kill()
    process.communicate()
    gemini.clear()
    [generation] = many(mm, 1)

    assert generation.status == "ok"
    assert mm.budgets.status(status.budget.id).reserved_usd == 0


def test_a_failed_call_gives_back_what_it_reserved(with_gemini: ModelManager, gemini: FakeGemini):
    status = with_gemini.budgets.create("one", WORST, action="stop")
    gemini.next(wire.error(400, "INVALID_ARGUMENT", "No."))

    first, second = many(with_gemini, 1), many(with_gemini, 1)

    assert [first[0].status, second[0].status] == ["error", "ok"]
    assert with_gemini.budgets.status(status.budget.id).reserved_usd == 0


def test_a_call_that_is_tried_again_does_not_wait_for_its_own_reservation(
    open_manager: Open, database_url: str, gemini: FakeGemini
):
    mm = open_manager(database_url, gemini, call_timeout_s=5.0)
    status = mm.budgets.create("one and a half", WORST * 3 / 2, action="stop")
    gemini.next(replace(wire.answer(), break_after=0))

    generation = many(mm, 1)[0]

    after = mm.budgets.status(status.budget.id)
    assert (generation.status, generation.n_attempts) == ("ok", 2)
    assert (after.reserved_usd, after.spent_usd) == (0, generation.cost_usd)


def test_a_stopped_call_gives_back_what_it_reserved(with_gemini: ModelManager, gemini: FakeGemini):
    status = with_gemini.budgets.create("one", "1", action="stop")
    gemini.next(wire.Reply(hang_s=3.0))
    call = with_gemini.submit(with_gemini.request("hello", model=FLASH, max_tokens=5))
    deadline = time.monotonic() + 5
    while with_gemini.budgets.status(status.budget.id).reserved_usd == 0 and time.monotonic() < deadline:
        time.sleep(0.01)

    call.cancel()
    generation = call.result()

    after = with_gemini.budgets.status(status.budget.id)
    assert generation.status == "stopped"
    assert (after.reserved_usd, after.spent_usd) == (0, generation.cost_usd)


def test_a_budget_that_downgrades_lets_another_model_answer(with_gemini: ModelManager, gemini: FakeGemini):
    with_gemini.budgets.create("b", WORST * 2, action="downgrade", downgrade_to="sim-fast")

    answers = many(with_gemini, 1) + many(with_gemini, 1) + many(with_gemini, 3)

    models = [g.model for g in answers]
    assert models[:1] == [FLASH]
    assert set(models[-2:]) == {"sim-fast"}
    assert all(g.status == "ok" for g in answers)
    assert "sim-fast answered instead of gemini-2.5-flash" in with_gemini.log.get(answers[-1].id).note


def test_the_model_that_really_runs_is_checked(with_gemini: ModelManager, gemini: FakeGemini):
    with_gemini.budgets.create("all", "0.000001", action="downgrade", downgrade_to="gemini-2.5-flash-lite")
    with_gemini.budgets.create("lite", "0.000001", action="stop", scope="model:gemini-2.5-flash-lite")

    with pytest.raises(BudgetExceeded) as caught:
        with_gemini.generate("hello", model=FLASH, max_tokens=5)

    assert caught.value.budget == "lite"
    assert gemini.requests == []


def test_unpriced_models_are_refused_only_where_a_budget_says_so(with_gemini: ModelManager):
    made = with_gemini.budgets.create("b", "0.0001", action="stop")
    assert with_gemini.generate("hello", model="gemini-unpriced-1").cost_usd is None

    with_gemini.budgets.change(made.budget.id, refuses_unpriced=True)

    with pytest.raises(BudgetExceeded, match="without a known price"):
        with_gemini.generate("hello", model="gemini-unpriced-1")


def test_a_call_without_a_length_is_shortened_to_what_is_left(with_gemini: ModelManager, gemini: FakeGemini):
    with_gemini.budgets.create("b", "0.01", action="stop")

    g = with_gemini.generate("hello", model=FLASH)

    sent = gemini.requests[-1]["body"]["generationConfig"]["maxOutputTokens"]
    assert 3900 < sent < 4000  # a cent at $2.50 a million
    assert f"{sent:,} tokens" in with_gemini.log.get(g.id).note


def test_the_cap_of_a_call_is_kept_whatever_budgets_say(with_gemini: ModelManager, gemini: FakeGemini):
    from core import CapReached

    request = with_gemini.request("hello", model=FLASH)
    with_gemini.submit(request, Origin(cap_usd=Decimal("0.001"))).result()
    assert gemini.requests[-1]["body"]["generationConfig"]["maxOutputTokens"] < 400

    call = with_gemini.submit(request, Origin(cap_usd=Decimal("0.00001")))
    with pytest.raises(CapReached):
        call.answered(call.result())
    assert len(gemini.requests) == 1


def test_two_budgets_that_downgrade_to_each_other_refuse(with_gemini: ModelManager, gemini: FakeGemini):
    lite = "gemini-2.5-flash-lite"
    with_gemini.budgets.create("a", "0.000001", action="downgrade", scope=f"model:{FLASH}", downgrade_to=lite)
    with_gemini.budgets.create("b", "0.000001", action="downgrade", scope=f"model:{lite}", downgrade_to=FLASH)

    with pytest.raises(BudgetExceeded) as caught:
        with_gemini.generate("hello", model=FLASH, max_tokens=5)

    assert len(with_gemini.log.get(caught.value.generation_id or "").note) < 500
    assert gemini.requests == []


@pytest.mark.parametrize(
    "fields",
    [
        {"scope": "provider:nope"},
        {"scope": "model:models/"},
        {"action": "downgrade", "downgrade_to": "no-such-model"},
        {"action": "downgrade", "downgrade_to": "models/"},
        {"action": "downgrade", "downgrade_to": "sim-fast", "scope": "model:sim-fast"},
    ],
)
def test_a_budget_that_could_never_bind_is_refused(mm: ModelManager, fields: dict):
    with pytest.raises(AimmError):
        mm.budgets.create("b", 1, **fields)
    assert mm.budgets.statuses() == []


def test_a_scope_is_taken_as_it_was_meant(with_gemini: ModelManager):
    with_gemini.budgets.create("b", "0.000001", action="stop", scope=" Provider: Gemini ")

    with pytest.raises(BudgetExceeded):
        with_gemini.generate("hello", model=FLASH, max_tokens=5)


def test_a_changed_period_keeps_what_calls_under_way_hold(with_gemini: ModelManager, gemini: FakeGemini):
    made = with_gemini.budgets.create("b", WORST, action="stop")
    gemini.next(slow(1.0))
    call = with_gemini.submit(with_gemini.request("hello", model=FLASH, max_tokens=5), Origin())
    until = time.monotonic() + 5
    while not with_gemini.budgets.status(made.budget.id).reserved_usd and time.monotonic() < until:
        time.sleep(0.01)

    changed = with_gemini.budgets.change(made.budget.id, period="day")

    assert changed.reserved_usd == WORST
    call.result()
    assert with_gemini.budgets.status(made.budget.id).reserved_usd == 0


def test_deleting_budgets_while_calls_run_loses_none(open_manager: Open, database_url: str, gemini: FakeGemini):
    mm = open_manager(database_url, gemini, call_timeout_s=60.0)
    ends = threading.Event()

    def churn() -> None:
        while not ends.is_set():
            mm.budgets.delete(mm.budgets.create(f"b{clock.now_us()}", 5, action="stop").budget.id)

    thread = threading.Thread(target=churn)
    thread.start()
    answers = [g.status for _ in range(6) for g in many(mm, 15)]
    ends.set()
    thread.join()

    assert answers == ["ok"] * 90
    assert len(gemini.requests) == 90


def test_a_raise_also_helps_a_call_that_waits(with_gemini: ModelManager, gemini: FakeGemini):
    made = with_gemini.budgets.create("b", WORST, action="stop")
    gemini.next(slow(1.5))
    request = with_gemini.request("hello", model=FLASH, max_tokens=5)
    first = with_gemini.submit(request, Origin())
    until = time.monotonic() + 5
    while not with_gemini.budgets.status(made.budget.id).reserved_usd and time.monotonic() < until:
        time.sleep(0.01)
    second = with_gemini.submit(request, Origin())
    time.sleep(0.2)

    with_gemini.budgets.raise_once(made.budget.id, WORST, reason="a demo")

    assert second.result(5).status == "ok"
    assert not first.done.done()
    first.result()


def test_a_pointer_to_the_latest_model_reserves_the_dearest_it_may_mean(mm: ModelManager):
    request = replace(mm.request("Hi", model=FLASH), model="gemini-flash-latest")

    def worst(prices: Sequence[Price]) -> Quote:
        return quote_for(BARE, request, Model(name="m", provider="gemini"), prices)

    held = worst(mm.prices.possible("gemini", "gemini-flash-latest", NOW))
    for name in ("gemini-2.5-flash", "gemini-2.5-flash-image", "gemini-3-flash-preview", "gemini-3.5-flash"):
        price = mm.prices.price("gemini", name, NOW)
        if price is not None:
            assert worst([price]).input_nano <= held.input_nano and worst([price]).token_nano <= held.token_nano
    assert mm.prices.possible("gemini", FLASH, NOW) == [mm.prices.price("gemini", FLASH, NOW)]


@pytest.mark.parametrize(
    ("part", "body"),
    [
        (Media("application/pdf", url="https://example.org/a.pdf"), {}),
        (Media("video/mp4", url="https://example.org/a.mp4"), {}),
        ("Hi", {"cachedContent": "cachedContents/1"}),
        ("Hi", {"contents": [{"parts": [{"codeExecutionResult": {"output": "x" * 1_000_000}}]}]}),
    ],
)  # fmt: skip
def test_a_prompt_that_only_its_vendor_reads_reserves_the_longest(mm: ModelManager, part: Any, body: dict[str, Any]):
    made = replace(mm.request("Hi", model=FLASH), messages=(Message.of("user", (part,)),))
    request = replace(made, native=Native(wire="gemini", body=body, parameters=made.parameters))
    price = mm.prices.price("gemini", FLASH, NOW)
    assert price is not None

    for limit in (None, 32_000):
        model = Model(name=FLASH, provider="gemini", context_tokens=limit)
        held = quote_for(BARE, request, model, [price])
        assert held.input_nano >= to_nano(price.input.base * (limit or 1_000_000) / 1_000_000)


@pytest.mark.parametrize(
    ("part", "model", "least"),
    [
        (Media("audio/ogg", data="x" * 4_000_000), FLASH, 3_000_000 / 16),  # an hour of speech: 32 tokens a second
        (Media("application/pdf", data="x" * 400_000), FLASH, 300_000),  # a hundred pages of text, compressed
        (Media("image/png", data="x" * 400), "gpt-4o-mini", 48_169),
        (Media("image/png", data="x" * 400), "gpt-4o", 8_192),
    ],
)  # fmt: skip
def test_media_reserve_what_they_may_cost_at_worst(mm: ModelManager, part: Media, model: str, least: float):
    request = replace(mm.request("Hi", model=FLASH), messages=(Message.of("user", (part,)),))

    assert least <= longest_input(request, Model(name=model, provider="x")) <= least + 100


@pytest.mark.parametrize(
    ("provider", "name"),
    [("anthropic", "claude-sonnet-4-5"), ("openai", "gpt-5.6-sol"), ("gemini", "gemini-2.5-flash-image")],
)
def test_the_highest_estimate_is_what_a_budget_reserves(mm: ModelManager, provider: str, name: str):
    request, model = mm.request("Hi", model="sim-fast"), Model(name=name, provider=provider)
    price = mm.prices.price(provider, name, NOW)
    assert price is not None
    inputs = input_range(request.n_bytes, longest_input(request, model), None)

    high = estimate(name, price, inputs, output_range(longest_answer(request, model), None)).high_usd
    held = quote_for(BARE, request, model, [price])

    assert high is not None and held.worst_nano is not None
    assert 0 <= held.worst_nano - to_nano(high) <= 2


def slow(hang_s: float) -> Reply:
    return replace(wire.answer(), hang_s=hang_s)


SCOPES = (
    "all",
    "provider:openai",
    "provider:gemini",
    "model:gpt-4o",
    "model:gpt-*",
    "key:k1",
    "user:u1",
    "user:u*",
    "tag:a",
    "tag:b",
    "tag:a b",
)
SPENDERS = (
    Spender(provider="openai", model="gpt-4o"), Spender(provider="gemini", model="gemini-2.5-flash", user_id="u1", tags=("a", "b")),
    Spender(provider="openai", model="other", key_id="k1", user_id="u2", tags=("a b",)),
)  # fmt: skip


@pytest.mark.parametrize("spender", SPENDERS)
def test_only_budgets_that_cover_a_call_are_looked_at_and_all_of_them(mm: ModelManager, spender: Spender):
    made = [Budget(id=f"b{n}", name=f"b{n}", limit_usd=Decimal(1), scope=scope) for n, scope in enumerate(SCOPES)]
    with mm.database.write() as connection:
        for budget in made:
            BudgetStore.insert(connection, budget, 0)
    covers = {budget.id for budget in made if budget.covers(spender)}
    with mm.database.read() as connection:
        read = covering(connection, [spender])

    assert {budget.id for budget in ByScope((each, each) for each in made).of(spender)} == covers
    assert {budget.id for budget in read if budget.covers(spender)} == covers
    assert {budget.scope for budget in read if not budget.covers(spender)} <= {"model:gpt-*", "user:u*"}


def test_standings_of_many_budgets_are_those_of_each_one(mm: ModelManager):
    for n in range(12):
        period = ("month", "week", "day", "rolling")[n % 4]
        hours = 5 if period == "rolling" else 0
        zone = "Asia/Tokyo" if n % 3 else "UTC"
        mm.budgets.create(
            f"b{n}", 10, period=period, rolling_hours=hours, timezone=zone, scope="user:u1" if n % 2 else "all"
        )
    for n in range(4):
        g = a_generation(f"g{n}", created_at=clock.now(), cost_usd=Decimal("0.5"), user_id=f"u{n % 2}")
        testing.record(mm, g)

    found = mm.budgets.statuses()
    assert {status.spent_usd for status in found} == {1, 2}
    for status in found:
        first, last = span_us(status.budget, clock.now_us())
        with mm.database.read() as connection:
            assert ledger_rows.positions(connection, {status.budget.id: (first, last)})[
                status.budget.id
            ] == ledger_rows.position(connection, status.budget.id, (first, last))
