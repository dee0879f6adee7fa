"""Where money went and is going: the bridge adds up, alerts speak once, no message is lost, bills are read and compared."""

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import CapReached, InvalidRequest, ModelManager, ProviderUnavailable, clock, testing
from core.budgets.ledger import Ledger
from core.budgets.service import BudgetService
from core.calls.origin import Origin
from core.domain.alert import Alert
from core.domain.budget import Budget, BudgetOutlook, BudgetStatus
from core.domain.generation import Usage
from core.domain.metrics import Metrics, MetricsRow
from core.formats.money import from_nano, to_nano
from core.monitoring.alerts.rules import due, speaks, step, text_of
from core.monitoring.bills.reading import decoded, parse_bill
from core.monitoring.bills.reconcile import days_of, one_number, reconcile
from core.monitoring.bridge import NOTHING, ModelSpend, bridge
from core.monitoring.spend import NOT_YET, SpendService
from core.storage.calls.rollups import RollupStore
from core.storage.engine.database import Database
from core.storage.engine.presence import Presence
from core.storage.engine.writer import Writer
from core.storage.money.spend_by import SpendByStore
from tests.builders import a_generation
from tests.conftest import Open, SetClock
from tests.fakes.gemini import FakeGemini
from tests.fakes.smtp import FakeSmtp, self_signed

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)

# The bridge

spends = st.builds(
    lambda n, tokens, nanos: ModelSpend(n, *tokens, *nanos) if n else NOTHING,
    st.integers(0, 10**6),
    st.tuples(*[st.one_of(st.just(0), st.integers(1, 10**10))] * 3),
    st.tuples(*[st.one_of(st.just(0), st.integers(1, 10**13))] * 3),
)
periods = st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), spends, max_size=4)


@given(periods, periods)
@settings(derandomize=True, deadline=None, max_examples=200)
def test_the_parts_of_a_bridge_add_up_exactly_for_each_model_and_in_all(before, after):
    found = bridge(before, after)

    assert sum(found.parts.values()) == found.difference_usd
    for model, parts in found.by_model.items():
        assert to_nano(sum(parts.values())) == after.get(model, NOTHING).nano - before.get(model, NOTHING).nano


BASE = ModelSpend(10, 800, 200, 500, 1600, 40, 5000)


@pytest.mark.parametrize(
    ("after", "cause"),
    [
        (ModelSpend(20, 1600, 400, 1000, 3200, 80, 10000), "volume"),
        (ModelSpend(10, 1600, 400, 500, 3200, 80, 5000), "input length"),
        (ModelSpend(10, 800, 200, 1000, 1600, 40, 10000), "answer length"),
        (ModelSpend(10, 800, 200, 500, 3200, 80, 10000), "price"),
        (ModelSpend(10, 1000, 0, 500, 2000, 0, 5000), "cache share"),
    ],
)
def test_what_changed_alone_is_the_whole_cause(after: ModelSpend, cause: str):
    found = bridge({"m": BASE}, {"m": after})

    assert {part: usd for part, usd in found.parts.items() if usd} == {cause: from_nano(after.nano - BASE.nano)}
    assert found.moved_most is not None
    assert found.moved_most[:2] == ("m", cause)


def test_moving_calls_to_a_dearer_model_is_mix():
    cheap, dear = ModelSpend(10, 1000, 0, 0, 1000, 0, 0), ModelSpend(10, 1000, 0, 0, 9000, 0, 0)
    half = ModelSpend(5, 500, 0, 0, 500, 0, 0), ModelSpend(15, 1500, 0, 0, 13500, 0, 0)

    found = bridge({"cheap": cheap, "dear": dear}, {"cheap": half[0], "dear": half[1]})

    assert {part for part, nano in found.parts.items() if nano} == {"mix"}


# Alerts


def outlook(spent: str, expected: str | None = None, limit: str = "10") -> BudgetOutlook:
    budget = Budget(id="b", name="team", limit_usd=Decimal(limit), thresholds=(0.5, 0.8), forecast_thresholds=(1.0,))
    status = BudgetStatus(
        budget=budget, starts_at=NOW, resets_at=NOW, limit_usd=Decimal(limit), spent_usd=Decimal(spent),
        reserved_usd=Decimal(0), n_unpriced=0, reached=None,
    )  # fmt: skip
    return BudgetOutlook(status=status, expected_usd=None if expected is None else Decimal(expected))


def test_each_threshold_of_spend_and_forecast_is_an_alert():
    found = [(alert.threshold, alert.is_forecast, holds) for alert, holds in due(outlook("6", "12"), None, NOW)]

    assert found == [(0.5, False, True), (0.8, False, False), (1.0, True, True)]
    assert due(replace(outlook("6", "12"), expected_usd=None), None, NOW)[2][1] is None


def an_alert(state: str, *, is_forecast: bool = False, minutes_ago: int = 0, day: int = 1) -> Alert:
    since = NOW - timedelta(minutes=minutes_ago)
    return Alert(budget_id="b", budget_name="team", threshold=0.5, is_forecast=is_forecast, state=state, since=since, period_start=NOW.replace(day=day))  # type: ignore[arg-type]  # fmt: skip


@pytest.mark.parametrize(
    ("alert", "holds", "day", "state"),
    [
        (an_alert("ok"), True, 1, "firing"),
        (an_alert("ok"), False, 1, "ok"),
        (an_alert("ok", is_forecast=True), True, 1, "pending"),
        (an_alert("pending", is_forecast=True, minutes_ago=5), True, 1, "pending"),
        (an_alert("pending", is_forecast=True, minutes_ago=11), True, 1, "firing"),
        (an_alert("pending", is_forecast=True), False, 1, "ok"),
        (an_alert("firing", minutes_ago=5000), True, 1, "firing"),
        (an_alert("firing"), False, 1, "resolved"),
        (an_alert("firing"), False, 2, "resolved"),  # a new period
        (an_alert("firing"), True, 2, "firing"),
        (an_alert("firing", is_forecast=True), True, 2, "pending"),
        (an_alert("pending", is_forecast=True, minutes_ago=11), True, 2, "pending"),
        (an_alert("resolved", minutes_ago=30), False, 2, "resolved"),
        (an_alert("resolved", minutes_ago=30), False, 1, "resolved"),
        (an_alert("resolved", minutes_ago=61), False, 1, "ok"),
        (an_alert("resolved"), True, 1, "firing"),
        (an_alert("firing", is_forecast=True, minutes_ago=5), None, 1, "firing"),  # there is no forecast now
        (an_alert("firing", is_forecast=True, minutes_ago=5), None, 2, "firing"),
    ],
)
def test_an_alert_goes_through_its_states(alert: Alert, holds: bool | None, day: int, state: str):
    assert step(alert, holds, NOW.replace(day=day), NOW).state == state


@pytest.mark.parametrize(
    ("alert", "holds", "day", "does"),
    [
        (an_alert("ok"), True, 1, True),
        (an_alert("firing", minutes_ago=5), True, 1, False),
        (an_alert("firing", minutes_ago=5), True, 2, True),
        (an_alert("firing", minutes_ago=5), False, 2, True),
        (an_alert("resolved", minutes_ago=30), False, 2, False),
        (an_alert("firing", is_forecast=True, minutes_ago=5), True, 2, False),
    ],
)
def test_an_alert_speaks_once_in_each_period(alert: Alert, holds: bool, day: int, does: bool):
    after = step(alert, holds, NOW.replace(day=day), NOW)

    assert speaks(alert, after) == does
    assert not speaks(after, step(after, holds, NOW.replace(day=day), NOW + timedelta(minutes=1)))


@pytest.mark.parametrize(
    ("state", "is_forecast", "text"),
    [
        ("firing", False, "Budget 'team': 60% spent, $0.000600 of $0.00100 this month."),
        ("firing", True, "Budget 'team' is heading for $0.00120 of $0.00100 this month."),
        ("resolved", False, "Budget 'team': back below 50%."),
    ],
)
def test_a_message_tells_small_sums_apart(state: str, is_forecast: bool, text: str):
    alert = an_alert(state, is_forecast=is_forecast)

    assert text_of(alert, outlook("0.0006", "0.0012", limit="0.001"), "") == text


class Receiver:
    """A webhook that can be dead."""

    def __init__(self) -> None:
        self.got: list[dict] = []
        self.status = 200
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if receiver.status == 200:
                    receiver.got.append(body)
                self.send_response(receiver.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook/secret-token-123"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def spend(mm: ModelManager, usd: str, at: datetime | None = None, **fields: object) -> None:
    g = a_generation(f"g{uuid4().hex}", created_at=at or clock.now(), cost_usd=Decimal(usd), **fields)
    testing.record(mm, g)


def test_an_alert_is_sent_once_and_a_dead_webhook_loses_none(
    open_manager: Open, database_url: str, receiver: Receiver, set_clock: SetClock
):
    mm = open_manager(database_url, takes_up=False, alert_webhook=receiver.url, alert_slack=receiver.url)
    mm.budgets.create("team", "10", thresholds=[0.5])
    mm.alerts.evaluate()
    receiver.status = 503
    spend(mm, "6")

    [fired] = mm.alerts.evaluate()
    assert mm.alerts.evaluate() == []  # it does not repeat while it is firing
    assert mm.alerts.outbox.deliver() == 0
    assert {"It answered 503."} == {each.error for each in mm.alerts.outbox.latest()}
    receiver.status = 200
    set_clock(clock.now() + timedelta(minutes=2))
    assert mm.alerts.outbox.deliver() == 2
    assert mm.alerts.outbox.deliver() == 0

    assert (fired.state, fired.budget_name) == ("firing", "team")
    slack, webhook = sorted(receiver.got, key=len)
    assert list(slack) == ["text"]
    assert "60% spent" in slack["text"]
    assert (webhook["event"], webhook["spent_nano_usd"], webhook["threshold"]) == ("budget.firing", 6_000_000_000, 0.5)


def test_thresholds_that_are_passed_together_are_one_message(open_manager: Open, database_url: str, receiver: Receiver):
    mm = open_manager(database_url, takes_up=False, alert_webhook=receiver.url)
    made = mm.budgets.create("team", "10", thresholds=[0.25, 0.5, 0.8, 1.0])
    mm.budgets.create("other", "100", thresholds=[0.1, 0.9])
    mm.alerts.evaluate()
    spend(mm, "10.4")

    assert {(each.budget_name, each.threshold) for each in mm.alerts.evaluate()} == {("team", 1.0), ("other", 0.1)}
    assert mm.alerts.outbox.deliver() == 2
    assert {(each["budget"]["name"], each["threshold"]) for each in receiver.got} == {("team", 1.0), ("other", 0.1)}
    assert sum(each.state == "firing" for each in mm.alerts.all()) == 5
    mm.budgets.change(made.budget.id, limit_usd="100")

    [resolved] = mm.alerts.evaluate()  # it is back below all four
    assert (resolved.state, resolved.threshold) == ("resolved", 0.25)


def test_a_circuit_that_opens_is_told_once(open_manager: Open, sqlite_url: str, receiver: Receiver):
    mm = open_manager(sqlite_url, takes_up=False, alert_webhook=receiver.url)
    other = open_manager(sqlite_url, takes_up=False)
    for each in (mm, other):  # another process that finds the same
        for n in range(10):
            call = each.submit(each.request(str(n), model="sim-fast"), Origin())
            each.breakers.failed("openai", "gpt-5.5", ProviderUnavailable("It is down."), call)
        testing.flush(each)
    assert mm.alerts.outbox.deliver() == 1

    [got] = receiver.got
    assert (got["event"], got["provider"], got["model"]) == ("circuit.opened", "openai", "gpt-5.5")
    assert "circuit is open" in got["text"] and "It is down." in got["text"]
    assert "page" in {each.channel for each in mm.alerts.outbox.latest()}  # who has no channel sees it on Monitoring


@pytest.mark.parametrize(
    ("scope", "n", "answer", "usd", "cause"),
    [
        ("tag:t", 6, 10, "1", "3.0 times the calls"),
        ("user:u", 2, 30, "3", "answers 3.0 times as long"),
        ("key:k", 2, 10, "3", "each call costs 3.0 times as much"),
    ],
)
def test_budgets_of_a_tag_a_user_or_a_key_say_why(
    mm: ModelManager, scope: str, n: int, answer: int, usd: str, cause: str, set_clock: SetClock
):
    set_clock(NOW)
    key, _ = mm.keys.create("k")
    made = mm.budgets.create("b", "100", period="day", scope=scope)
    fields = {"user_id": "u", "key_id": key.id, "tags": ("t",)}
    for day, calls, tokens, cost in ((1, 2, 10, "1"), (0, n, answer, usd)):
        for number in range(calls):
            usage = Usage(input_tokens=10, output_tokens=tokens)
            g = a_generation(
                f"g{day}{number}", created_at=NOW - timedelta(days=day), cost_usd=Decimal(cost), usage=usage, **fields
            )
            testing.record(mm, g)

    why = mm.spend.why(mm.budgets.status(made.budget.id))
    assert why.startswith("100% of the rise against the period before: m,") and cause in why


def test_a_budget_that_has_run_out_does_not_run_out_in_the_past(mm: ModelManager, set_clock: SetClock):
    set_clock(NOW)
    for day in range(1, 15):
        spend(mm, "10", NOW - timedelta(days=day))
    spent, left = (mm.budgets.create(name, usd) for name, usd in (("spent", "20"), ("left", "180")))

    assert mm.spend.of_budget(mm.budgets.status(spent.budget.id)).runs_out_on is None
    ahead = mm.spend.of_budget(mm.budgets.status(left.budget.id)).runs_out_on
    assert ahead is not None and ahead >= NOW.date()


def test_a_threshold_that_two_days_pass_is_told_on_both(open_manager: Open, sqlite_url: str, set_clock: SetClock):
    mm = open_manager(sqlite_url, takes_up=False)
    set_clock(NOW)
    mm.budgets.create("team", "10", period="day", thresholds=[0.5])
    spend(mm, "6", NOW)
    assert [alert.state for alert in mm.alerts.evaluate()] == ["firing"]

    set_clock(NOW + timedelta(days=1))  # nobody looked in between
    spend(mm, "7", NOW + timedelta(days=1))

    assert [alert.text.partition(",")[0] for alert in mm.alerts.evaluate()] == ["Budget 'team': 70% spent"]
    assert mm.alerts.evaluate() == []


def test_spend_that_was_read_before_midnight_is_not_told_of_the_new_day(
    open_manager: Open, sqlite_url: str, set_clock: SetClock
):
    mm = open_manager(sqlite_url, takes_up=False)
    midnight = datetime(2026, 11, 21, tzinfo=UTC)
    set_clock(midnight - timedelta(seconds=1))
    mm.budgets.create("team", "10", period="day", thresholds=[0.5])
    spend(mm, "6", NOW)
    assert len(mm.alerts.evaluate()) == 1

    set_clock(midnight)  # what budgets have spent is kept for a second
    assert mm.alerts.evaluate() == []

    mm._ledger.charged()
    assert [alert.state for alert in mm.alerts.evaluate()] == ["resolved"]


def test_two_processes_that_see_a_threshold_passed_speak_once(open_manager: Open, sqlite_url: str, receiver: Receiver):
    one, two = (open_manager(sqlite_url, takes_up=False, alert_webhook=receiver.url) for _ in range(2))
    one.budgets.create("team", "10", thresholds=[0.5])
    spend(one, "6")
    two._ledger.charged()

    spoken = [*one.alerts.evaluate(), *two.alerts.evaluate()]
    assert len(spoken) == 1
    one.alerts.outbox.deliver(), two.alerts.outbox.deliver()

    assert len(receiver.got) == 1


def test_a_test_message_says_what_is_wrong_and_no_secret_shows(open_manager: Open, sqlite_url: str, receiver: Receiver):
    mm = open_manager(sqlite_url, takes_up=False, alert_webhook=receiver.url)
    assert mm.alerts.outbox.test("webhook") == ""
    receiver.close()

    problem = mm.alerts.outbox.test("webhook")

    assert "cannot be reached" in problem
    assert "secret-token" not in problem + repr(mm.settings) + repr(mm.alerts.outbox.channels)
    with pytest.raises(InvalidRequest):
        mm.alerts.outbox.test("email")


PASSWORD = "hunter2-of-the-mail"


def by_mail(open_manager: Open, url: str, address: str, **settings: str) -> ModelManager:
    return open_manager(url, takes_up=False, alert_email="team@example.com", smtp_url=address, **settings)


@pytest.mark.parametrize(
    ("host", "user", "problem"),
    [
        ("127.0.0.1", f"u:{PASSWORD}@", ""),  # what stays on this machine needs no encryption
        ("localhost", f"u:{PASSWORD}@", ""),
        ("0.0.0.0", "", ""),  # nothing to protect
        ("0.0.0.0", f"u:{PASSWORD}@", "no encryption"),  # reaches this machine, and is not its loopback address
    ],
)
def test_a_password_goes_over_no_plain_connection(
    open_manager: Open, sqlite_url: str, host: str, user: str, problem: str
):
    server = FakeSmtp()
    mm = by_mail(open_manager, sqlite_url, f"smtp://{user}{host}:{server.port}?from=aimm@example.com")

    found = mm.alerts.outbox.test("email")
    server.close()

    assert (problem in found) if problem else found == ""
    assert len(server.logins) == (1 if user and not problem else 0)
    assert len(server.messages) == (0 if problem else 1)


def test_a_mail_server_that_nobody_vouches_for_gets_no_password(open_manager: Open, sqlite_url: str, tmp_path: Path):
    server = FakeSmtp(self_signed(tmp_path))
    mm = by_mail(open_manager, sqlite_url, f"smtps://u:{PASSWORD}@localhost:{server.port}")

    problem = mm.alerts.outbox.test("email")
    server.close()

    assert "SSLCertVerificationError" in problem
    assert (server.logins, server.messages) == ([], [])


@pytest.mark.parametrize(
    "address",
    [
        f"smtp://u:{PASSWORD}@[x",
        f"smtp://u:{PASSWORD}@host:99999",
        f"smtp://u:{PASSWORD}@",
        f"http://u:{PASSWORD}@host",
        "mail.example.com:587",
    ],
)
def test_an_address_that_is_none_keeps_no_other_channel_from_its_message(
    open_manager: Open, sqlite_url: str, receiver: Receiver, address: str
):
    mm = by_mail(open_manager, sqlite_url, address, alert_webhook=receiver.url)
    mm.budgets.create("team", "10", thresholds=[0.5])
    spend(mm, "6")
    mm.alerts.evaluate()

    assert mm.alerts.outbox.deliver() == 1
    assert len(receiver.got) == 1
    [problem] = [each.error for each in mm.alerts.outbox.latest() if each.channel == "email"]
    assert problem == mm.alerts.outbox.test("email")
    assert "AIMM_SMTP_URL must look like" in problem
    assert PASSWORD not in problem


# Bills

GOOGLE = """Invoice number,X-1
Invoice date,2026-11-30

Billing account name,Project ID,Service description,SKU description,Usage start date,Usage end date,Usage amount,Usage unit,Cost ($),Subtotal ($)
Acme,p1,Gemini API,Generate content output token count gemini 2.5 pro text output,2026-11-02,2026-11-02,100,count,"1,234.50","1,234.50"
Acme,p1,Gemini API,Generate_content cached content token count for Gemini 2.5 flash lite,2026-11-03,2026-11-03,10,count,0.25,0.25
Acme,p1,Cloud Storage,Standard storage,2026-11-03,2026-11-03,1,gibibyte,9.99,9.99
Acme,p1,Gemini API,Grounding with Google Search,2026-11-03,2026-11-03,1,count,0,0
Total,,,,,,,,1244.74,1244.74
"""
MODELS = ["gemini-2.5-pro", "gemini-2.5-flash", "gemini-2.5-flash-lite"]


def test_googles_cost_table_is_read():
    bill = parse_bill("\ufeff" + GOOGLE, MODELS)

    assert (bill.source, bill.provider, bill.usd) == ("google-cloud-csv", "gemini", Decimal("1234.75"))
    assert [(line.on, line.model, line.kind) for line in bill.lines] == [
        (date(2026, 11, 2), "gemini-2.5-pro", "output"),
        (date(2026, 11, 3), "gemini-2.5-flash-lite", "cached"),
    ]
    assert len(bill.skipped) == 3


def test_openais_costs_export_is_read():
    text = (
        "start_time,end_time,amount_value,amount_currency,line_item,project_id\n"
        '1793491200,1793577600,1.5,usd,"gpt-5.5-2026-04-01, input",p\n1793491200,1793577600,0.5,usd,"gpt-5.5, output",p\n'
    )

    bill = parse_bill(text, ["gpt-5.5"])

    assert (bill.source, bill.usd) == ("openai-costs-csv", 2)
    assert {(line.on, line.model) for line in bill.lines} == {(date(2026, 11, 1), "gpt-5.5")}


def amounts(*texts: str, separator: str = ",") -> str:
    """A bill with these amounts, each in quotes."""
    rows = [["date", "model", "cost"], *(["2026-11-01", "m", f'"{text}"'] for text in texts)]
    return "".join(separator.join(row) + "\n" for row in rows)


@pytest.mark.parametrize(
    ("text", "usd"),
    [
        ("date;model;cost\n2026-11-01;m;1.234,56\n", "1234.56"),
        ("date\tmodel\tcost\n2026-11-01\tm\t$0.50\n", "0.50"),
        ("day,model name,cost (USD)\n2026-11-01,m,(3.00)\n", "-3.00"),
        # one amount, which can be read in one way only
        (amounts("0,012345"), "0.012345"),
        (amounts("12,345678"), "12.345678"),
        (amounts("-0,000001"), "-0.000001"),
        (amounts("0,125"), "0.125"),
        (amounts("1234,567"), "1234.567"),
        (amounts("1,5e-05"), "0.000015"),
        (amounts("1.234.567,8"), "1234567.8"),
        (amounts("1,234,567"), "1234567"),
        (amounts("1'234.50"), "1234.50"),
        (amounts("0.012345", separator=";"), "0.012345"),
        # one that can be read in two: the others of the file tell, else its separator
        (amounts("1,234", "0.5"), "1234.5"),
        (amounts("1,234", "0,5"), "1.734"),
        (amounts("1.234", "0,5"), "1234.5"),
        (amounts("1,234", "0.5", separator=";"), "1234.5"),
        (amounts("1,234"), "1234"),
        (amounts("1.234"), "1.234"),
        (amounts("1,234", separator=";"), "1.234"),
        (amounts("1.234", separator=";"), "1234"),
    ],
)
def test_amounts_are_read_as_they_are_written(text: str, usd: str):
    assert parse_bill(text, ["m"]).usd == Decimal(usd)


@pytest.mark.parametrize("marks", [".,", ",."])
@given(st.lists(st.decimals(-(10**6), 10**6, places=6), min_size=1, max_size=8).filter(any))
@settings(derandomize=True, deadline=None, max_examples=60)
def test_amounts_with_decimals_are_read_the_same_with_either_mark(marks: str, usd: list[Decimal]):
    texts = [f"{each:,.6f}".translate(str.maketrans(".,", marks)) for each in usd]

    assert parse_bill(amounts(*texts), ["m"]).usd == sum(usd)


@pytest.mark.parametrize(
    ("dates", "days"),
    [
        (["11/24/2026"], [(11, 24)]),
        (["11/05/2026", "11/24/2026"], [(11, 5), (11, 24)]),
        (["05/11/2026", "24/11/2026 00:00"], [(11, 5), (11, 24)]),
        (["11/11/2026"], [(11, 11)]),
        (["05.11.2026"], [(11, 5)]),
        (["2026/11/05", "2026-11-24T00:00:00Z"], [(11, 5), (11, 24)]),
        (
            ['"Nov 5, 2026"', "6 November 2026", "07-Sep-2026", '"Sunday, Nov 8th, 2026"'],
            [(11, 5), (11, 6), (9, 7), (11, 8)],
        ),
        (["1793491200000", "20261102", "11/2026", "Nov 2026"], [(11, 1), (11, 2), (11, 1), (11, 1)]),
    ],
)
def test_days_are_read_as_they_are_written(dates: list[str], days: list[tuple[int, int]]):
    bill = parse_bill("date,model,cost\n" + "".join(f"{on},m,1\n" for on in dates), ["m"])

    assert [line.on for line in bill.lines] == [date(2026, month, day) for month, day in days]


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        (["11/05/2026,m,1", "12/05/2026,m,1"], "11/5 may begin with the month or with the day"),
        (["11/24/2026,m,1", "24/11/2026,m,1"], "some dates begin with the month"),
        (["11/24/26,m,1"], "date == '11/24/26'"),
        (["2026-11-01,m,1,234.50"], "amounts with commas need quotes: '2026-11-01,m,1,234.50'"),
        (["Nov-26,m,1"], "date == 'Nov-26'"),
        (["2026-11-31,m,1"], "date == '2026-11-31'"),
        (['2026-11-01,m,"0,5"', "2026-11-02,m,0.5"], "'0.5' and '0,5' have different decimal marks"),
        (['2026-11-01,m,"12,34,567.00"'], "cost == '12,34,567.00', must be a number"),
        (["2026-11-01,m,1e30"], "cost == '1e30', must be at most 1,000,000,000"),
        (["2026-11-01,m,1e999999"], "cost == '1e999999', must be a number"),
        (["2026-11-01,m,99999999999999"], "cost == '99999999999999', must be at most 1,000,000,000"),
    ],
)
def test_what_a_bill_may_mean_in_two_ways_or_cannot_mean_is_refused(cells: list[str], problem: str):
    with pytest.raises(InvalidRequest, match=f"(?i){re.escape(problem)}"):
        parse_bill("date,model,cost\n" + "\n".join(cells), ["m"])


def test_credits_are_part_of_what_is_billed():
    text = (
        "Service description,SKU description,Usage start date,Cost ($),Credits ($)\n"
        "Gemini API,Input gemini 2.5 pro,2026-11-01,10.00,-3.00\n"
        "Gemini API,Input gemini 2.5 pro,2026-11-02,5.00,\n"
        "Gemini API,Input gemini 2.5 flash,2026-11-02,4.00,-4.00\n"
    )

    bill = parse_bill(text, MODELS)
    found = reconcile(bill, [booked(1, "10", model="gemini-2.5-pro")], date(2026, 11, 1), date(2026, 11, 1))

    assert bill.usd == 12
    assert [line.kind for line in bill.lines] == ["input", "credit", "input", "input", "credit"]
    assert found.total.billed_usd == 7
    assert found.total.cause.startswith("credit lines of $-3")


def test_credits_that_a_subtotal_holds_are_not_taken_off_twice():
    text = "date,model,cost ($),credits ($),subtotal ($)\n2026-11-01,m,10,-3,7\n"

    assert parse_bill(text, ["m"]).usd == 7


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_the_separator_is_the_headers_whatever_the_cells_hold(separator: str):
    others = " x".join({",", ";", "\t"} - {separator}) * 9
    rows = [["date", "model", "cost"], ["2026-11-01", f'"m {others}"', "1.5"]]
    bill = parse_bill("\n".join(map(separator.join, rows)), ["m"])

    assert [(line.on, line.model, line.usd) for line in bill.lines] == [(date(2026, 11, 1), "m", Decimal("1.5"))]


@pytest.mark.parametrize(
    ("text", "model"),
    [
        ("Generate content input token count gemini 2.5 flash lite text input", "gemini-2.5-flash-lite"),
        ("Gemini 2.5 Flash-Lite Input", "gemini-2.5-flash-lite"),
        ("gemini-2.5-flash-lite", "gemini-2.5-flash-lite"),
        ("gemini 2.5 flash image output", "gemini-2.5-flash-image"),
        ("gemini 2.5 flash preview tts", "gemini-2.5-flash-preview-tts"),
        ("gpt-5.5-cyber, input", "gpt-5.5-cyber"),
        ("Generate content input token count gemini 2.5 flash text input", "gemini-2.5-flash"),
        ("gemini 2.5 flash image input", "gemini-2.5-flash"),
        ("Gemini 2.5 Flash - Thinking Text Output", "gemini-2.5-flash"),
        ("gemini-2.5-flash-preview-05-20", "gemini-2.5-flash"),
        ("gpt-5.5-2026-04-01, input", "gpt-5.5"),
        ("ft:gpt-5.5-2026-04-01:acme::x, input", "ft:gpt-5.5-2026-04-01:acme::x"),
        ("GPT5.5 cchd Inp glbl Tokens", "gpt-5.5"),
        ("gpt-5.5-0401-Outp-regnl Tokens", "gpt-5.5"),
        ("input token count gemini 3 pro text input", "gemini-3-pro-preview"),
        ("output token count for Gemini 3 Pro Image image output", "gemini-3-pro-image-preview"),
    ],
)
def test_a_line_of_one_model_never_falls_on_another(text: str, model: str):
    bill = parse_bill(
        f'date,model,cost\n2026-11-01,"{text}",1\n',
        ["gemini-2.5-flash", "gpt-5.5", "gemini-3-pro-preview", "gemini-3-pro-image-preview"],
    )

    assert [line.model for line in bill.lines] == [model]


@pytest.mark.parametrize(
    "text",
    [
        "", "<html></html>", "\x00\x01", "a,b\n1,2\n", "date,model,cost\n", "date,model,cost\n2026-11-01,m,NaN\n", "date,model,cost\n2026-11-01,m,lots\n",
        "date,model,cost,currency\n2026-11-01,m,1,EUR\n", "date,model,cost (€)\n2026-11-01,m,1\n", "timestamp,n_context_tokens_total,num_model_requests\n1,2,3\n",
        "{}", "[]", "[1]", '{"data":[]}', '{"data":{"a":1}}', "[" * 9999, "date,model,cost,credits\n2026-11-01,m,1,[oops\n", "usage_date_utc,usage_input_tokens_no_cache\n2026-11-01,1\n",
        '{"data":[{"starting_at":"2026-11-01T00:00:00Z","results":[{"uncached_input_tokens":5}]}]}', "utc_date,model,type,price,amount\n2026-11-01,m,output,0.4,15000\n",
        "date,model,cost,currency_code\n2026-11-01,m,1,EUR\n", "date,model,amount,Invoice currency\n2026-11-01,m,1,EUR\n",
    ],
)  # fmt: skip
def test_what_is_no_bill_in_dollars_is_refused(text: str):
    with pytest.raises(InvalidRequest):
        parse_bill(text)


def booked(day: int, usd: str, model: str = "m", **fields: int) -> MetricsRow:
    metrics = Metrics(cost_usd=Decimal(usd), n=5, **fields)  # type: ignore[arg-type]
    return MetricsRow(bucket=datetime(2026, 11, day, tzinfo=UTC), model=model, provider="gemini", metrics=metrics)


def a_bill(*rows: tuple[int, str]) -> str:
    return "date,model,cost\n" + "".join(f"2026-11-{day:02d},m,{usd}\n" for day, usd in rows)


@pytest.mark.parametrize(
    ("rows", "recorded", "cause"),
    [
        ([(1, "10")], [booked(1, "10.05")], "agrees"),
        ([(1, "10")], [booked(1, "4", n_unpriced=3)], "3 calls have no price"),
        ([(1, "10")], [], "billed but not recorded"),
        ([(1, "10")], [booked(1, "8", n_estimated=2)], "2 calls are estimated"),
        (
            [(1, "5"), (2, "10"), (3, "2.5")],
            [booked(1, "10"), booked(2, "20"), booked(3, "5")],
            "0.500 times the ledger",
        ),
    ],
)
def test_a_drift_comes_with_its_likely_cause(rows, recorded, cause):
    found = reconcile(parse_bill(a_bill(*rows), ["m"]), recorded, date(2026, 11, 1), date(2026, 11, 30))

    assert cause in found.total.cause


def test_neighbouring_days_that_cancel_are_cut_at_another_midnight():
    found = reconcile(
        parse_bill(a_bill((1, "8"), (2, "12")), ["m"]), [booked(1, "10"), booked(2, "10")], date(2026, 11, 1), date(2026, 11, 2)
    )  # fmt: skip

    assert all("midnight" in day.cause for day in found.by_day)
    assert found.total.cause == "agrees"


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(0, 10**6)), min_size=1, max_size=20),
    st.lists(st.tuples(st.integers(1, 9), st.integers(0, 10**6)), max_size=20),
)
@settings(derandomize=True, deadline=None, max_examples=60)
def test_drifts_by_day_by_model_and_in_all_add_up(lines, recorded):
    bill = parse_bill(a_bill(*((day, f"{cents / 100 + 0.01:.2f}") for day, cents in lines)), ["m"])
    found = reconcile(
        bill, [booked(day, str(Decimal(cents) / 100)) for day, cents in recorded], date(2026, 11, 1), date(2026, 11, 9)
    )

    for parts in (found.by_day, found.by_model, found.rows):
        assert sum(part.difference_usd for part in parts) == found.total.difference_usd


CONSOLE = """usage_date_utc,model,workspace,api_key,usage_type,context_window,token_type,cost_usd,list_price_usd,cost_type,inference_geo,speed
2026-11-01,Claude Haiku 4.5,Default,k,message,≤ 200k,input_no_cache,0.50,0.50,token,not_available,
2026-11-01,Claude Haiku 4.5,Default,k,message,≤ 200k,input_cache_read,0.10,1.00,token,not_available,
2026-11-02,Claude Sonnet 3.7,Default,k,message,≤ 200k,output,2,2,token,not_available,
2026-11-02,,Default,k,,,,0.30,0.30,web_search,,
2026-11-02,,Default,k,,,,0.05,0.05,code_execution,,
"""
TABLE = """Invoice number,X
Currency,USD
Currency exchange rate,1
Total amount due,"$1,010.74"
Billing account name,Project ID,Service description,SKU description,Credit type,Cost type,Usage start date,Usage end date,Usage amount,Unrounded Cost ($),Cost ($)
a,p,Gemini API,Input gemini 2.5 pro,,Usage,2026-11-01,2026-11-30,"1,000","1,000.75","1,000.75"
a,p,Gemini API,Input gemini 2.5 pro,Promotion,Usage,2026-11-03,2026-11-12,,-10,-10
a,p,Compute Engine,E2 core,,Usage,2026-11-01,2026-11-30,1,20,20
,,,,,Tax,,,,0.5,0.5
,,,,,Rounding error,,,,-0.01,-0.01
,,,,,Total,,,,1011.24,1011.24
"""
QUERY = (
    '{"service":{"description":"Gemini API"},"sku":{"description":"Output gemini 2.5 flash"},"usage_start_time":"2026-11-03 05:00:00 UTC",'
    '"usage_end_time":"2026-11-03 06:00:00 UTC","cost":4.5,"currency":"USD","cost_at_list":5,"credits":[{"name":"Free","amount":-1.25,"type":"PROMOTION"},{"name":"B","amount":-0.25}]}\n'
) * 2
PAGE = (
    '{"object":"page","data":[{"object":"bucket","start_time":1793491200,"end_time":1793577600,"results":[{"object":"r","amount":'
    '{"value":0.06,"currency":"usd"},"line_item":"gpt-5.5, input","project_id":null}]}],"has_more":false}'
)
REPORT = (
    '{"data":[{"starting_at":"2026-11-01T00:00:00Z","ending_at":"2026-11-02T00:00:00Z","results":[{"currency":"USD","amount":"123.5",'
    '"description":"Claude Haiku 4.5 Usage - Input Tokens","model":"claude-haiku-4-5-20251001","token_type":"uncached_input_tokens"}]}]}'
)
ACTIVITY = (
    "generation_id,created_at,cost_total,cost_web_search,cost_cache,cost_file_processing,byok_usage_inference,tokens_prompt,model_permaslug,provider_name\n"
    "g1,2026-11-05 23:59:59.9,0.0123,0.01,-0.002,0,0.5,10,anthropic/claude-4.5-haiku-20251001,Google\n"
)
AZURE = (
    "SubscriptionName,Date,MeterCategory,MeterSubCategory,MeterName,CostInBillingCurrency,BillingCurrencyCode,ChargeType,UnitPrice\n"
    'p,11/24/2026,Foundry Models,Azure OpenAI,gpt 4o Inp glbl Tokens,"2,5",USD,Usage,1\n'.replace('"2,5"', "2.5")
    + "p,11/24/2026,Storage,Blob,Hot LRS,7,USD,Usage,1\n"
)
AWS = (
    "lineItem/UsageStartDate,lineItem/UsageEndDate,lineItem/ProductCode,lineItem/UsageType,lineItem/LineItemType,lineItem/UnblendedCost,lineItem/CurrencyCode\n"
    "2026-11-01T00:00:00Z,2026-11-01T01:00:00Z,AmazonBedrock,USE1-Claude3.7Sonnet-input-tokens,Usage,3,USD\n"
    "2026-11-01T00:00:00Z,2026-12-01T00:00:00Z,AmazonBedrock,,Refund,-1,USD\n"
)
BY_SKU = (
    "SKU,Service,SKU ID,Usage amount,Cost ($),Other savings ($),Unrounded subtotal ($),Subtotal ($)\n"
    "Gemini 2.5 Pro text input,Gemini API,A,100,10.00,-3.00,7.00,7.00\nN1 core,Compute Engine,B,1,20.00,0,20.00,20.00\nSubtotal,,,,30,-3,27,27\n"
)
AZURE_IN_EUROS = (
    "date,meterCategory,meterName,costInBillingCurrency,billingCurrency,pricingCurrency,costInUsd,chargeType\n"
    "11/01/2026,SaaS,Mistral Large Inp Tokens,1.8,EUR,USD,2,Usage\n11/12/2026,Foundry Models,gpt-4o-mini-0718-Inp-glbl Tokens,0.9,EUR,USD,1,Usage\n"
)
MARKETPLACE = (
    "line_item_usage_start_date,line_item_product_code,line_item_unblended_cost,line_item_currency_code,product_product_name,line_item_line_item_description\n"
    "2026-11-01 00:00:00.000,d3ovhz6,2,USD,Claude 3.7 Sonnet (Amazon Bedrock Edition),AWS Marketplace software usage\n"
)
EXPLORER = (
    '"Service","Claude 3.7 Sonnet (Amazon Bedrock Edition)($)","EC2($)","Total costs($)"\n"Service total","3","1","4"\n'
    '"2026-11-01","1","1","2"\n"2026-11-02","2","","2"\n'
)
VERCEL = (
    '{"BilledCost":0.5,"BillingCurrency":"USD","ChargeCategory":"Usage","ChargePeriodStart":"2026-11-01T00:00:00.000Z","ServiceName":"AI Gateway"}\n'
    '{"BilledCost":7,"BillingCurrency":"USD","ChargeCategory":"Usage","ChargePeriodStart":"2026-11-01T00:00:00.000Z","ServiceName":"Edge"}\n'
)
EXACT = (
    "start_time,end_time,amount_value,amount_currency,line_item\n1793491200.0,1793577600.0,0.00187500000000000000000000000000000000000000,usd,gpt-4o\n"
    "1793491200,1793577600,0E-6176,usd,gpt-4o\n1793577600,1793664000,,,\n"
)
STATEMENT = "Date,Description,Debit,Credit\n2026-11-01,gpt-4o usage,10.00,\n2026-11-02,Refund,,3.00\n"
FOCUS = "ChargePeriodStart,ChargePeriodEnd,BilledCost,EffectiveCost,ServiceName,ChargeDescription,ChargeCategory,BillingCurrency\n2026-11-01T00:00:00Z,2026-11-02T00:00:00Z,3,2,Vertex AI,Gemini 2.5 Pro Input,Usage,USD\n"
OWN = [
    "gemini-2.5-pro",
    "gemini-2.5-flash",
    "gpt-5.5",
    "gpt-4o",
    "gpt-4o-mini",
    "mistral-large-latest",
    "claude-haiku-4-5-20251001",
    "claude-3-7-sonnet-20250219",
]


@pytest.mark.parametrize(
    ("text", "source", "usd", "models", "days"),
    [
        (CONSOLE, "anthropic-costs-csv", "2.95", {"claude-haiku-4-5-20251001", "claude-3-7-sonnet-20250219", None}, (1, 2)),
        (TABLE, "google-cloud-csv", "991.24", {"gemini-2.5-pro", None}, (1, 30)),
        (QUERY, "google-cloud-csv", "6", {"gemini-2.5-flash"}, (3, 3)),
        ("[" + QUERY.strip().replace("\n", ",") + "]", "google-cloud-csv", "6", {"gemini-2.5-flash"}, (3, 3)),
        (PAGE, "openai-costs-csv", "0.06", {"gpt-5.5"}, (1, 1)),
        (REPORT, "anthropic-costs-api", "1.235", {"claude-haiku-4-5-20251001"}, (1, 1)),
        (ACTIVITY, "openrouter-csv", "0.0123", {"claude-haiku-4-5-20251001"}, (5, 5)),
        (AZURE, "azure-csv", "2.5", {"gpt-4o"}, (24, 24)),
        (AWS, "aws-csv", "2", {"claude-3-7-sonnet-20250219", None}, (1, 30)),
        (FOCUS, "focus-csv", "3", {"gemini-2.5-pro"}, (1, 1)),
        (AZURE_IN_EUROS, "azure-csv", "3", {"mistral-large-latest", "gpt-4o-mini"}, (1, 12)),
        (MARKETPLACE, "aws-csv", "2", {"claude-3-7-sonnet-20250219"}, (1, 1)),
        (EXPLORER, "generic-csv", "3", {"claude-3-7-sonnet-20250219"}, (1, 2)),
        (VERCEL, "focus-csv", "0.5", {None}, (1, 1)),
        (FOCUS.replace("EffectiveCost", "x_BilledCostInUsd").replace("USD", "EUR"), "focus-csv", "2", {"gemini-2.5-pro"}, (1, 1)),
        (EXACT, "openai-costs-csv", "0.001875", {"gpt-4o"}, (1, 1)),
        (STATEMENT, "generic-csv", "7", {"gpt-4o", None}, (1, 2)),
        ("utc_date,model,cost,currency\n2026-11-01,gpt-4o,1,USD\n", "generic-csv", "1", {"gpt-4o"}, (1, 1)),
        ("UsageDate,ServiceName,CostUSD,Cost,Currency\n20261101,Azure OpenAI,3,2.8,EUR\n20261101,Storage,9,9,EUR\n", "generic-csv", "3", {None}, (1, 1)),
        ("date,model,cost,credits\n2026-11-01,m,10,3\n", "generic-csv", "7", {"m"}, (1, 1)),
        ("date|model|spend\n2026-11-01|m|1.5\n", "generic-csv", "1.5", {"m"}, (1, 1)),
        ("date,model,cost\n2026-11-01,m,1\ndate,model,cost\n2026-11-02,m,2\n", "generic-csv", "3", {"m"}, (1, 2)),
        ("date,model,cost\n2026-11-01,m,-\n2026-11-02,m,1\n2026-11-03,m,n/a\n", "generic-csv", "1", {"m"}, (2, 2)),
        ("date;model;cost\n2026-11-01;m;1,50\n2026-11-02;m;2,50\n;Summe;4,00\n", "generic-csv", "4", {"m"}, (1, 2)),
        ("date,model,cost\n2026-11-01,m,1\n,Total (USD),1\n", "generic-csv", "1", {"m"}, (1, 1)),
        ("customer,date,model,cost\nTotal Energies,2026-11-01,m,1\n", "generic-csv", "1", {"m"}, (1, 1)),
        ("month,model,cost\n2026-11,m,5\n", "generic-csv", "5", {"m"}, (1, 30)),
        ("date;model;cost\r\n01.11.2026;m;1.234,50-\r\n", "generic-csv", "-1234.5", {"m"}, (1, 1)),
        ("date,model,cost\n2026-11-01T20:00:00-08:00,m,US$1\n", "generic-csv", "1", {"m"}, (2, 2)),
        ("date,model,cost\n2026-11-01,m,−2.5\n", "generic-csv", "-2.5", {"m"}, (1, 1)),
    ],
)  # fmt: skip
def test_every_vendors_layout_is_read(text: str, source: str, usd: str, models: set[str | None], days: tuple[int, int]):
    bill = parse_bill(text, OWN)

    assert (bill.source, bill.usd) == (source, Decimal(usd))
    assert {line.model for line in bill.lines} == models
    assert days_of(bill) == (date(2026, 11, days[0]), date(2026, 11, days[1]))


def test_a_report_without_days_counts_models_alone():
    bill = parse_bill(BY_SKU, OWN)

    assert (bill.provider, bill.usd, days_of(bill)) == ("gemini", 7, None)
    assert bill.skipped[0] == "Left out: 1 line, $20.00: other services than models (Compute Engine $20.00)."


def test_all_pages_of_an_answer_are_a_whole_bill():
    more = PAGE.replace('"has_more":false', '"has_more":true')

    assert parse_bill(f"[{more},{PAGE}]", OWN).skipped == ()
    assert parse_bill("date,model,cost_eur,cost_usd\n2026-11-01,m,0.9,1\n", ["m"]).skipped == ()


def test_a_bill_of_ranges_is_held_against_the_books_of_its_range():
    recorded = [booked(day, "33", model="gemini-2.5-pro") for day in range(1, 31)]
    bill = parse_bill(TABLE, OWN)
    found = reconcile(bill, recorded, date(2026, 11, 1), date(2026, 11, 30))

    assert (found.total.billed_usd, found.total.booked_usd, found.total.cause) == (Decimal("991.24"), 990, "agrees")
    assert {(row.model, row.billed_usd, row.booked_usd) for row in found.by_model} == {
        ("gemini-2.5-pro", Decimal("990.75"), 990), (None, Decimal("0.49"), 0)
    }  # fmt: skip
    assert all(day.on is None for day in found.by_day)
    assert "$20: other services than models (Compute Engine $20)" in found.skipped[0]


def test_what_is_billed_for_no_model_is_named_with_its_amount():
    found = reconcile(parse_bill(CONSOLE, OWN), [], date(2026, 11, 1), date(2026, 11, 2))

    [unnamed] = [row.cause for row in found.by_model if row.model is None]
    assert unnamed == "billed for no model: web_search $0.30, code_execution $0.05"


def test_an_alias_and_its_versions_are_one_where_the_bill_knows_one_name():
    own = ["claude-haiku-4-5", "claude-haiku-4-5-20251001", "gpt-4o", "gpt-4o-2024-08-06", "gpt-4o-mini"]
    text = "date,model,cost\n2026-11-01,Claude Haiku 4.5,3\n2026-11-01,gpt-4o-2024-08-06,3\n2026-11-01,gpt-4o-mini,1\n"
    recorded = [booked(1, "1.5", model=name) for name in own[:4]] + [booked(1, "1", model="gpt-4o-mini")]
    found = reconcile(parse_bill(text, own), recorded, date(2026, 11, 1), date(2026, 11, 1))

    assert {row.model: row.cause for row in found.by_model} == dict.fromkeys(("claude-haiku-4-5", "gpt-4o", "gpt-4o-mini"), "agrees")  # fmt: skip


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("date,model,cost,support fee\n2026-11-01,m,1,4.50\n", "Not compared: the column 'support fee' adds up to $4.50."),
        ("date,model,cost\n2026-11-01,m,1\n2026-11-02,m,1\nTotal,,9\n", "The file's own total is $9; its lines add up to $2."),
        ("date,model,cost\n2026-11-01,m,1\n,,7\n", "Left out: 1 line, $7: totals and lines without"),
        (PAGE.replace('"has_more":false', '"has_more":true'), "one page of several"),
    ],
)  # fmt: skip
def test_what_is_not_compared_is_said_with_its_amount(text: str, note: str):
    assert any(note in each for each in parse_bill(text, ["m"]).skipped)


@pytest.mark.parametrize(
    "text",
    [
        TABLE.replace("Currency,USD", "Currency,AUD"), "date,model,cost\n2026-11-01,m,€5\n", "date,model,cost\n2026-11-01,m,5 CHF\n",
        "date,model,cost\n2026-11-01,m,A$5\n", "date,model,cost_eur\n2026-11-01,m,5\n", "date,model,Cost (R$)\n2026-11-01,m,5\n",
        AZURE.replace(",USD,", ",EUR,"), QUERY.replace("USD", "JPY"), "date,model,cost,currency\n2026-11-01,m,1,USD\n2026-11-01,m,1,GBP\n",
    ],
)  # fmt: skip
def test_a_bill_in_another_currency_is_refused_in_words(text: str):
    with pytest.raises(InvalidRequest, match=r"only US dollars can be compared|No header with a cost"):
        parse_bill(text, ["m"])


def test_a_file_of_a_spreadsheet_is_read_in_its_encoding():
    text = "date;model;cost\n2026-11-01;Modell für é;1,5\n"
    for encoding in ("utf-8-sig", "utf-16", "utf-16-le", "cp1252"):
        assert decoded(text.encode(encoding)).removeprefix("\ufeff") == text


def test_one_number_is_held_against_the_books_of_its_range_and_kept(mm: ModelManager):
    spend(mm, "4")
    today = clock.now().date()

    found = mm.reconciliations.of_number("5", "gemini", today - timedelta(days=1), today)

    assert (found.total.booked_usd, found.total.share) == (4, Decimal("0.2"))
    [kept] = mm.reconciliations.latest()
    assert (kept.billed_usd, kept.booked_usd, kept.source) == (5, 4, "one number")
    with pytest.raises(InvalidRequest):
        one_number(Decimal(-1), "gemini")


def test_a_bill_that_names_no_provider_is_held_against_the_calls_that_it_charges(mm: ModelManager):
    today = clock.now().date()
    text = f"date,meterCategory,meterName,costInUsd\n{today:%m/%d/%Y},Azure OpenAI,gpt-4o,5\n"
    spend(mm, "4")
    alone = mm.reconciliations.of_file(text)
    spend(mm, "5", provider="azure", request_model="gpt-4o")

    with pytest.raises(InvalidRequest, match="choose one of azure, gemini, or all"):
        mm.reconciliations.of_file(text)
    of_one = mm.reconciliations.of_file(text, provider="azure")
    mm.reconciliations.of_file(text, provider="azure")

    assert (alone.provider, alone.total.booked_usd) == ("gemini", 4)
    assert (of_one.total.booked_usd, of_one.total.cause) == (5, "agrees")
    assert mm.reconciliations.of_file(text, provider="").total.booked_usd == 9
    assert len(mm.reconciliations.latest()) == 3  # the same bill twice is kept once


TODAY = date(2026, 11, 20)


@pytest.mark.parametrize(
    ("usd", "since", "until"),
    [
        ("1e30", TODAY, TODAY),
        ("1e999999", TODAY, TODAY),
        ("1000000000.01", TODAY, TODAY),
        ("nan", TODAY, TODAY),
        ("1", TODAY, date.max),
        ("1", date.max, date.max),
        ("1", date.min, date.min),
        ("1", TODAY, TODAY - timedelta(days=1)),
    ],
)
def test_a_sum_or_range_that_cannot_be_is_refused(mm: ModelManager, usd: str, since: date, until: date):
    with pytest.raises(InvalidRequest):
        mm.reconciliations.of_number(usd, "gemini", since, until)
    assert mm.reconciliations.latest() == []


@pytest.mark.parametrize(
    "text",
    [
        "date,model,cost\n9999-12-31,m,1\n",
        "date,model,cost\n2026-11-01,m,1\n9999-12-31,m,1\n",
        "date,model,cost\n" + "2026-11-01,m,999999999\n" * 11,
    ],
)
def test_a_bill_of_impossible_days_or_sums_is_refused(mm: ModelManager, text: str):
    with pytest.raises(InvalidRequest):
        mm.reconciliations.of_file(text)
    assert mm.reconciliations.latest() == []


# Spend by what it was for, estimates, caps


def test_spend_is_told_by_tag_user_workflow_and_answered_call(with_gemini: ModelManager, gemini: FakeGemini):
    request = with_gemini.request("Hi", model="gemini-2.5-flash")
    with_gemini.submit(request, Origin(tags=("a", "b"), user_id="u1")).result()
    with_gemini.submit(request, Origin(tags=("a",), user_id="u2")).result()
    window = with_gemini.monitoring.window(days=1)

    tags = {each.value: (each.n, each.cost_usd) for each in with_gemini.spend.by("tag", window)}

    assert tags == {"a": (2, Decimal("0.000031")), "b": (1, Decimal("0.0000155"))}
    assert [each.usd_per_ok for each in with_gemini.spend.by("user", window)] == [Decimal("0.0000155")] * 2
    assert with_gemini.monitoring.differences() == []


def test_a_bad_tag_is_refused_before_anything_is_sent(with_gemini: ModelManager, gemini: FakeGemini):
    request = with_gemini.request("Hi", model="gemini-2.5-flash")
    for tags in (("a,b",), ("",), ("x" * 65,), ("a b",), tuple("abcdefghijk")):
        with pytest.raises(InvalidRequest):
            with_gemini.submit(request, Origin(tags=tags))
    assert gemini.requests == []


def test_an_estimate_brackets_what_the_call_then_costs(mm: ModelManager):
    request = mm.request("Summarise the minutes of the meeting in three sentences.", model="sim-balanced")

    before = mm.models.estimate(request)
    exact = mm.models.estimate(request, counted=mm.count_tokens(request))
    g = mm.generate(request.prompt, model="sim-balanced")

    assert before.high_usd is not None and g.cost_usd is not None
    assert g.cost_usd <= before.high_usd
    assert exact.input_tokens.low == exact.input_tokens.high == g.usage.input_tokens


def test_a_run_pauses_at_its_cap_and_goes_on_with_a_higher_one(mm: ModelManager):
    run_id = mm.workflows.start(
        "content_generation", "The sea in winter", model="sim-careful", cap_usd=Decimal("0.004")
    )
    run = mm.workflows.wait(run_id)
    assert (run.status, run.total_cost_usd <= Decimal("0.004")) == ("paused", True)  # type: ignore[operator]
    done = [step for step in run.steps if step.status == "succeeded"]

    mm.workflows.resume(run_id, cap_usd=Decimal("1"))
    again = mm.workflows.wait(run_id)

    assert again.status == "succeeded"
    assert [step.generation_id for step in again.steps][: len(done)] == [step.generation_id for step in done]


def test_a_comparison_keeps_its_cap_and_asks_the_paused_ones_again(mm: ModelManager):
    comparison_id = mm.comparisons.start("Explain rain.", ["sim-fast", "sim-careful"], cap_usd=Decimal("0.001"))
    mm.comparisons.wait(comparison_id)
    calls = mm.comparisons.calls(comparison_id)
    assert isinstance(calls[1].error, CapReached)
    assert calls[0].result().status == "ok"

    assert mm.comparisons.resume(comparison_id, cap_usd=Decimal("1")) == 1
    comparison = mm.comparisons.wait(comparison_id)

    assert all(candidate.can_win for candidate in comparison.candidates)


def test_a_forecast_comes_with_the_budget_or_says_that_it_is_too_early(mm: ModelManager):
    mm.budgets.create("b", "100")
    [early] = mm.spend.outlook()
    assert early.expected_usd is None
    assert early.reason
    for days in range(1, 40):
        testing.record(mm, a_generation(f"g{days}", created_at=clock.now() - timedelta(days=days), cost_usd=Decimal(2)))
    mm.budgets.change(early.status.budget.id, limit_usd="1000")

    [later] = mm.spend.outlook()

    assert later.n_days == 39
    assert later.interval_usd is not None
    assert later.interval_usd[0] <= later.expected_usd <= later.interval_usd[1]  # type: ignore[operator]


def test_a_look_at_many_budgets_makes_few_forecasts_anew(mm: ModelManager):
    for n in range(30):
        mm.budgets.create(f"b{n}", "100", scope="all" if n == 29 else f"tag:t{n}", forecast_thresholds=[1.0])
    mm.budgets.create("rolling", "1", period="rolling", rolling_hours=5)
    for days in range(1, 10):
        spend(mm, "2", clock.now() - timedelta(days=days))

    first = {each.status.budget.name: each for each in mm.spend.outlook()}
    second = mm.spend.outlook()

    assert first["b29"].n_days == 9  # the fullest
    assert sum(each.reason == NOT_YET for each in first.values()) == 10
    assert not any(each.reason == NOT_YET for each in second)
    assert "no end" in first["rolling"].reason


@pytest.mark.parametrize("scope", ["tag:x", "user:bob", "key:k", "all"])
@pytest.mark.parametrize(
    ("zone", "moment"), [("Pacific/Auckland", "2026-11-30T14:00"), ("America/Los_Angeles", "2026-12-01T03:00")]
)
def test_a_budget_in_any_time_zone_has_an_outlook_at_the_ends_of_its_period(
    sqlite_url: str, scope: str, zone: str, moment: str
):
    now = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    database = Database(sqlite_url)
    writer = Writer(database)
    service = BudgetService(database, writer, Ledger(database, writer, Presence(database)))
    spend = SpendService(RollupStore(database), SpendByStore(database), service)

    with testing.clock_at(now):
        service.create("b", 5, scope=scope, timezone=zone)
        outlook = spend.outlook()

    assert "could not be made" not in outlook[0].reason
    writer.close()
    database.close()


def test_the_banner_names_the_tag_that_moved_a_budget(with_gemini: ModelManager, gemini: FakeGemini):
    made = with_gemini.budgets.create("b", 5, period="rolling", rolling_hours=24)
    g = with_gemini.generate("before", model="gemini-2.5-flash")
    testing.record(with_gemini, replace(g, id="g_before", created_at=g.created_at - timedelta(hours=40)))
    for _ in range(3):
        with_gemini.submit(with_gemini.request("hi", model="gemini-2.5-flash"), Origin(tags=("support",))).result()

    why = with_gemini.spend.why(with_gemini.budgets.status(made.budget.id))

    assert "gemini-2.5-flash" in why
    assert "tag: support" in why
