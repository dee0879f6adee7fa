"""Alert rules: what they find, one message a change of state, silences, and the channels that take or refuse them."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest

from core import Forbidden, InvalidRequest, ModelManager, NotFound, ProviderUnavailable, clock, testing
from core.acting import acting_as
from core.calls.origin import Origin
from core.domain.alert import AlertRule, RuleState
from core.domain.evaluation.run import Gate, Requirement
from core.domain.experiment import OutcomeInput
from core.domain.people.actor import Actor
from core.formats import yaml_text
from core.monitoring.alerts.delivery import events
from core.monitoring.alerts.readings import Gated, Sources, Verdict
from core.monitoring.alerts.rule_file import as_document, differences, read_rule, read_rules
from core.monitoring.alerts.states import Reading, at_rest, step, untold
from core.monitoring.alerts.watching import RuleService
from tests.builders import a_generation
from tests.conftest import Open, SetClock
from tests.core.evaluation.made import contestant, ended, plan
from tests.fakes.pagerduty import ROUTING_KEY, FakeReceiver
from tests.fakes.smtp import FakeSmtp

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
RULE = AlertRule(name="errors", kind="error_rate", above=0.05)


@pytest.fixture
def receiver() -> Iterator[FakeReceiver]:
    made = FakeReceiver()
    yield made
    made.close()


def walked(rule: AlertRule, *looks: tuple[int, bool | None], event: str = "") -> list[str]:
    """What is told of a rule, as it is seen at these minutes: `minute firing` or `minute resolved`."""
    state, told = at_rest(rule, "", NOW), []
    for minute, holds in looks:
        state = step(state, Reading("", holds, "", event=event), rule, NOW + timedelta(minutes=minute))
        if said := untold(state):
            state = replace(state, is_told=said == "firing")
            told.append(f"{minute} {said}")
    return told


WAITS = replace(RULE, for_s=600)


@pytest.mark.parametrize(
    ("rule", "looks", "told"),
    [
        (RULE, [(0, True), (1, True), (2, True)], ["0 firing"]),
        (RULE, [(0, None), (1, False), (2, None)], []),
        (RULE, [(0, True), *((n, False) for n in range(1, 9))], ["0 firing", "6 resolved"]),
        (RULE, [(n, n % 4 != 3) for n in range(30)], ["0 firing"]),  # what wavers is one alert
        (RULE, [(0, True), *((n, None) for n in range(1, 600))], ["0 firing"]),  # a quiet night resolves nothing
        (RULE, [(0, True), (1, False), (60, False), (64, False), (66, False)], ["0 firing", "66 resolved"]),
        (WAITS, [(n, True) for n in range(12)], ["10 firing"]),
        (WAITS, [*((n, True) for n in range(9)), (9, False), (10, True), (11, True)], []),
        (WAITS, [(0, True), (480, True), (481, True)], []),  # nobody looked in between
        (WAITS, [(5, True), (-60, True), *((n, True) for n in range(-59, -48))], ["-50 firing"]),  # it was set back
        (WAITS, [*((n, True) for n in range(11)), *((n, False) for n in range(11, 25))], ["10 firing", "21 resolved"]),
    ],
)
def test_each_change_of_a_state_is_told_once(rule: AlertRule, looks: list[tuple[int, bool | None]], told: list[str]):
    assert walked(rule, *looks) == told


def test_an_event_is_told_once_and_ends_without_a_word():
    rule = AlertRule(name="v", kind="experiment_verdict")

    assert walked(rule, (0, True), (1, True), (2, False), (3, True), event="ship:1") == ["0 firing"]


FILE = """
rules:
  - name: errors
    kind: error_rate
    above: 5%
    over: 1h
    for: 5m
    where: {vendor: gemini, tag: shop}
    channels: [slack, email:ada@example.org]
  - {name: first, kind: first_token_p95, above: 800ms, at_least: 5}
  - {name: circuits, kind: circuit_open, where: {model: m}}
  - {name: gates, kind: evaluation_gate, where: {name: support}, on: false}
"""


def test_a_file_of_rules_is_read_written_and_compared():
    rules = read_rules(yaml_text.read(FILE))
    errors, first, *_ = rules

    assert (errors.above, errors.over_s, errors.for_s, errors.channels) == (0.05, 3600, 300, ("slack", "email:ada@example.org"))  # fmt: skip
    assert (first.above, first.at_least, first.over_s) == (0.8, 5, 900)
    assert read_rules(yaml_text.read(yaml_text.dump({"rules": [as_document(rule) for rule in rules]}))) == rules
    assert differences(rules, rules, prunes=True) == []
    found = differences(rules, [replace(errors, above=0.1, channels=())], prunes=True)
    assert [each.text for each in found] == [
        "~ errors: above: 5% -> 10%, channels: slack email:ada@example.org -> –", "- first", "- circuits", "- gates",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("kind: error_rate", "kind: eror_rate", "line 4: kind == 'eror_rate'.*Did you mean error_rate"),
        ("above: 5%", "abov: 5%", "line 5: a rule has no 'abov'.*Did you mean above"),
        ("above: 5%", "above: 5", "line 5: above == '5', must be a share below 100%"),
        ("above: 5%", "above: nan", "line 5: above == 'nan'"),
        ("above: 5%", "above: 100%", "line 5: above == '100%'"),
        ("    above: 5%\n", "", "above is missing: a rule of kind error_rate needs a limit, such as 5%"),
        ("over: 1h", "over: 1", "line 6: over == '1', must be 15m to 1d"),
        ("over: 1h", "over: 5m", "line 6: over == '5m', must be 15m to 1d"),
        ("for: 5m", "for: -5m", "line 7: for == '-5m'"),
        ("vendor: gemini", "vendr: gemini", "line 8: where of a rule of kind error_rate has no 'vendr'.*vendor"),
        ("slack", "slak", "line 9: channels == 'slak'.*Did you mean slack"),
        ("ada@example.org", "ada", "line 9: channels == 'email:ada'"),
        ("800ms", "-1s", "line 10: above == '-1s'"),
        ("at_least: 5", "at_least: 0", "line 10: at_least == '0'"),
        ("name: first", "name: errors", "line 10: there are two rules named 'errors'"),
        ("model: m", "tag: m", "line 11: where of a rule of kind circuit_open has no 'tag'"),
        ("on: false", "on: of", "line 12: on == 'of', must be true or false"),
        ("on: false", "above: 3", "line 12: above == '3', must be left out"),
        ("rules:", "rule:", "line 2: a file of rules has no 'rule'.*Did you mean rules"),
    ],
)
def test_what_is_wrong_in_a_file_is_named_with_its_line(old: str, new: str, told: str):
    with pytest.raises(InvalidRequest) as caught:
        read_rules(yaml_text.read(FILE.replace(old, new, 1)))

    assert re.search(told, caught.value.text)


def calls(mm: ModelManager, n: int, *, failed: int = 0, **fields: object) -> None:
    """So many calls a moment ago."""
    for at in range(n):
        status = {"status": "error", "error_class": "provider_unavailable"} if at < failed else {}
        made = clock.now() - timedelta(seconds=1)
        testing.record(mm, a_generation(f"g{uuid4().hex}", created_at=made, **{**status, **fields}))


def look(mm: ModelManager, set_clock: SetClock, minutes: float = 1.0) -> int:
    set_clock(clock.now() + timedelta(minutes=minutes, seconds=1))
    return mm.alert_rules.evaluate()


def states(mm: ModelManager) -> dict[tuple[str, str], RuleState]:
    return {(state.rule, state.subject): state for state in mm.alert_rules.states()}


def test_errors_fire_once_in_all_processes_close_their_incident_and_no_calls_are_not_zero(
    open_manager: Open, database_url: str, receiver: FakeReceiver, set_clock: SetClock
):
    told = {"alert_pagerduty": ROUTING_KEY, "pagerduty_url": f"{receiver.url}/v2/enqueue"}
    told["alert_slack"] = f"{receiver.url}/slack"
    mm = open_manager(database_url, takes_up=False, **told)
    other = open_manager(database_url, takes_up=False, **told)
    mm.alert_rules.put(read_rule({"kind": "error_rate", "above": "5%", "at_least": 10, "where": {"tag": "shop"}}, "e"))
    mm.alert_rules.put(read_rule({"kind": "unpriced_share", "above": 0, "at_least": 3, "channels": ["slack"]}, "u"))
    calls(mm, 9, failed=9, tags=("shop",))
    calls(mm, 30, failed=30, tags=("other",), cost_usd=None, cost_status="unknown", provider="simulated")
    look(mm, set_clock, 0)
    assert (states(mm)["e", ""].state, states(mm)["e", ""].value) == ("ok", None)
    assert "9 calls of tag shop in 15m, fewer than 10: not known" in states(mm)["e", ""].text
    assert states(mm)["u", ""].value == 0  # simulated calls are none

    calls(mm, 1, tags=("shop",), cost_usd=None, cost_status="unknown")
    set_clock(clock.now() + timedelta(minutes=1, seconds=1))
    assert mm.alert_rules.evaluate() + other.alert_rules.evaluate() == 2
    assert look(other, set_clock) == 0
    receiver.status = 500
    mm.alerts.outbox.deliver()
    look(mm, set_clock, 16)  # the calls are too old now: nothing is known, so nothing has come back
    assert states(mm)["e", ""].state == "firing"
    calls(mm, 10, tags=("shop",))
    assert [look(mm, set_clock) for _ in range(7)] == [0, 0, 0, 0, 0, 2, 0]
    receiver.status = 0
    set_clock(clock.now() + timedelta(seconds=30))
    n = 0
    for _ in range(4):  # the resolution waits for what it resolves
        n += mm.alerts.outbox.deliver() + other.alerts.outbox.deliver()
        set_clock(clock.now() + timedelta(hours=1))

    assert n == 6
    assert [each["event_action"] for each in receiver.events["/v2/enqueue"]] == ["trigger", "resolve"]
    assert receiver.incidents == {"rule:e:": "resolved"}
    texts = [each["text"] for each in receiver.events["/slack"]]
    assert sorted(texts)[:2] == [
        "e: 90.0% of 10 calls of tag shop failed in 15m, above 5%.",
        "e: resolved: 0% of 10 calls of tag shop failed in 15m, not above 5%.",
    ]
    assert {each.channel for each in mm.alerts.outbox.latest() if "u:" in each.title} == {"slack", "page"}


@pytest.mark.parametrize("kind", ["latency_p95", "first_token_p95"])
def test_times_are_of_the_calls_that_have_them(open_manager: Open, database_url: str, set_clock: SetClock, kind: str):
    mm = open_manager(database_url, takes_up=False)
    mm.alert_rules.put(read_rule({"kind": kind, "above": "2s", "at_least": 4}, "slow"))
    calls(mm, 5, failed=5, latency_s=60, ttft_s=None)
    calls(mm, 3, latency_s=5, ttft_s=4)
    [reading] = mm.alert_rules.test(mm.alert_rules.get("slow"))
    assert reading.holds is None  # 3 of the 8 have been answered

    calls(mm, 1, latency_s=5, ttft_s=4)
    [reading] = mm.alert_rules.test(mm.alert_rules.get("slow"))
    assert reading.holds and reading.value == pytest.approx(5 if kind == "latency_p95" else 4, rel=0.02)
    assert mm.alert_rules.would_have_fired(mm.alert_rules.get("slow")) == 1
    look(mm, set_clock)
    assert states(mm)["slow", ""].state == "firing"


def test_what_was_silenced_is_told_at_the_end_if_it_still_fires(
    open_manager: Open, sqlite_url: str, receiver: FakeReceiver, set_clock: SetClock
):
    mm = open_manager(sqlite_url, takes_up=False, alert_webhook=f"{receiver.url}/hook")
    for name in ("a", "b"):
        mm.alert_rules.put(
            read_rule({"kind": "error_rate", "above": "5%", "at_least": 1, "where": {"tag": name}}, name)
        )
    mm.budgets.create("team", "10", thresholds=[0.5])
    mm.alerts.evaluate()
    silence = mm.alert_rules.silence("", timedelta(minutes=20), "we deploy")
    calls(mm, 5, failed=5, tags=("a",), cost_usd=Decimal(2))
    assert look(mm, set_clock, 0) == 0
    assert mm.alerts.evaluate() == []
    assert states(mm)["a", ""].state == "firing"
    set_clock(silence.ends_at - timedelta(seconds=1))
    assert mm.alert_rules.evaluate() == 0

    set_clock(silence.ends_at + timedelta(minutes=1))
    assert mm.alert_rules.evaluate() == 1  # nothing new is known of it, so it fires still
    assert [alert.state for alert in mm.alerts.evaluate()] == ["firing"]
    mm.alerts.outbox.deliver()
    assert sorted(each["event"] for each in receiver.events["/hook"]) == ["budget.firing", "rule.firing"]
    with acting_as(Actor(name="Ada", role="editor", door="api")):
        assert mm.alert_rules.silence("a", timedelta(hours=1)).author == "Ada"
        with pytest.raises(Forbidden):
            mm.alert_rules.remove("a")
    calls(mm, 5, tags=("a",))
    assert [look(mm, set_clock) for _ in range(7)] == [0] * 7
    assert states(mm)["a", ""].state == "resolved"
    assert mm.alert_rules.unsilence("a") == 1
    assert look(mm, set_clock) == 1
    with pytest.raises(NotFound, match="There is no alert rule or budget 'aa'"):
        mm.alert_rules.silence("aa", timedelta(hours=1))


def test_a_rule_tells_of_circuits_in_the_place_of_all_channels(
    open_manager: Open, database_url: str, receiver: FakeReceiver, set_clock: SetClock
):
    mm = open_manager(
        database_url, takes_up=False, alert_webhook=f"{receiver.url}/hook", alert_slack=f"{receiver.url}/s"
    )
    mm.alert_rules.put(read_rule({"kind": "circuit_open", "channels": ["slack"]}, "circuits"))
    other = open_manager(database_url, takes_up=False)
    for each in (mm, other):
        for n in range(10):
            call = each.submit(each.request(str(n), model="sim-fast"), Origin())
            each.breakers.failed("openai", "gpt-5.5", ProviderUnavailable("It is down."), call)
        testing.flush(each)
    assert look(other, set_clock) == 0  # told at once, by whoever saw it
    mm.breakers.succeeded("openai", "gpt-5.5")
    testing.flush(mm)
    assert sum(look(mm, set_clock) for _ in range(8)) == 1
    assert mm.alerts.outbox.deliver() + mm.alerts.outbox.deliver() == 2

    assert "/hook" not in receiver.events
    assert [each["text"].partition(":")[0] for each in receiver.events["/s"]] == ["circuits", "circuits openai/gpt-5.5"]
    assert states(mm)["circuits", "openai/gpt-5.5"].state == "resolved"


def test_rollbacks_verdicts_and_gates_are_told_by_their_rules(open_manager: Open, sqlite_url: str, set_clock: SetClock):
    mm = open_manager(sqlite_url, takes_up=False)
    verdicts = [Verdict("e_1", "Buttons", "", "Buttons: too early.")]
    gates = [Gated("support", "ev_1", False, "support: it is worse."), Gated("other", "ev_2", None, "")]
    writer = mm.alert_rules._writer
    rules = RuleService(mm.database, writer, mm.alerts.outbox, Sources(lambda: verdicts, lambda: gates), list)
    for name, kind in (("r", "rollback"), ("v", "experiment_verdict"), ("g", "evaluation_gate")):
        rules.put(read_rule({"kind": kind}, name))

    def seen(minutes: float = 1) -> int:
        set_clock(clock.now() + timedelta(minutes=minutes, seconds=1))
        return rules.evaluate()

    assert seen(0) == 1  # the gate
    verdicts[:] = [Verdict("e_1", "Buttons", "ship:1:1", "Buttons: ship B.")]
    assert [seen(), seen()] == [1, 0]
    verdicts.clear()
    gates[0] = Gated("support", "ev_3", True, "support: all held.")
    for rollout in ("x_1", "x_1", "x_2"):
        writer.run(mm.alerts.outbox.tell("rollout.rolled_back", "It ended.", alias="chat", rollout=rollout))
    assert [seen() for _ in range(7)] == [0, 0, 0, 0, 0, 1, 0]
    set_clock(clock.now() + timedelta(hours=25))
    rules.evaluate()

    told = [each.title for each in reversed(mm.alerts.outbox.latest())]
    assert told == [
        "g: support: it is worse.", "v: Buttons: ship B.", "r: It ended.", "r: It ended.",
        "g support: resolved: support: all held.",
    ]  # fmt: skip
    assert {state.state for state in rules.states()} == {"ok"}


def test_a_verdict_and_a_gate_of_what_has_really_run_are_told(with_gemini: ModelManager, set_clock: SetClock):
    mm = with_gemini
    for name, kind in (("v", "experiment_verdict"), ("g", "evaluation_gate")):
        mm.alert_rules.put(read_rule({"kind": kind}, name))
    made = mm.experiments.create("Tone", ["gemini-2.5-flash", "gemini-2.5-pro"], hypothesis="h")

    def seen(minutes: float = 1) -> list[str]:
        known = {each.id for each in mm.alerts.outbox.latest()}
        set_clock(clock.now() + timedelta(minutes=minutes, seconds=1))
        mm.alert_rules.evaluate()
        return [each.title for each in mm.alerts.outbox.latest() if each.id not in known]

    def outcomes(n: int) -> None:
        rows = [OutcomeInput(variant=at % 2, unit_id=f"u{at}", success=at % 2 == 1) for at in range(n)]
        mm.experiments.record(made.id, rows)

    def judged(check: str) -> None:
        gate = Gate(require=(Requirement(not_below=0.5),))
        checks = ({"type": check, "value": "never said"},)
        ended(mm, plan(mm, 2, contestant("gemini-2.5-flash"), checks=checks, gate=gate))

    outcomes(6)
    assert seen() == []  # too few to say anything
    outcomes(400)
    [told] = seen()
    assert told.startswith("v: Tone: ") and seen() == []
    judged("contains")
    [told] = seen()
    assert told.startswith("g: suite: ") and seen() == []
    judged("not-contains")
    assert [title for _ in range(7) for title in seen()] == [f"g suite: resolved: {told_of(mm, 'g')}"]
    mm.experiments.stop(made.id)
    assert seen() == [] and {state.state for state in mm.alert_rules.states() if state.rule == "v"} <= {
        "ok",
        "resolved",
    }


def told_of(mm: ModelManager, name: str) -> str:
    return next(state.text for state in mm.alert_rules.states() if state.rule == name)


def test_the_calls_of_a_day_are_looked_at_every_quarter_of_an_hour(
    open_manager: Open, sqlite_url: str, set_clock: SetClock
):
    mm = open_manager(sqlite_url, takes_up=False)
    given = {"kind": "error_rate", "above": "5%", "over": "24h", "for": "30m"}
    mm.alert_rules.put(read_rule(given, "day"))
    calls(mm, 30, failed=30)
    looks, states = set(), []
    for _ in range(36):
        set_clock(clock.now() + timedelta(minutes=1, seconds=1))
        mm.alert_rules.evaluate()
        [state] = mm.alert_rules.states()
        looks.add(state.seen_at)
        states.append(state.state)

    assert len(looks) == 3  # they are no gaps in which it would not have held
    assert (states[0], states[-1]) == ("pending", "firing")


def test_a_rule_that_is_changed_or_removed_closes_what_it_opened(
    open_manager: Open, sqlite_url: str, receiver: FakeReceiver, set_clock: SetClock
):
    smtp = FakeSmtp()
    mm = open_manager(sqlite_url, takes_up=False, alert_pagerduty=ROUTING_KEY, pagerduty_url=f"{receiver.url}/v2/enqueue", smtp_url=f"smtp://127.0.0.1:{smtp.port}")  # fmt: skip
    rule = read_rule({"kind": "error_rate", "above": 0, "at_least": 1, "channels": ["pagerduty", "email:ada@example.org"]}, "x")  # fmt: skip
    mm.alert_rules.put(rule)
    calls(mm, 2, failed=1)
    assert look(mm, set_clock, 0) == 1
    mm.alert_rules.put(replace(rule, above=0.01))  # the same calls: it goes on
    assert states(mm)["x", ""].state == "firing"
    mm.alert_rules.put(replace(rule, is_on=False))
    mm.alerts.outbox.deliver()
    mm.alerts.outbox.deliver()
    smtp.close()

    assert receiver.incidents == {"rule:x:": "resolved"}
    assert ["To: ada@example.org" in each for each in smtp.messages] == [True, True]
    assert mm.alert_rules.states() == []
    assert mm.alerts.outbox.test("pagerduty") == ""
    assert set(receiver.incidents.values()) == {"resolved"}
    with pytest.raises(InvalidRequest, match="slack is not set up"):
        mm.alerts.outbox.test("slack")


def test_pagerduty_refusing_says_why_and_never_shows_the_key(
    open_manager: Open, sqlite_url: str, receiver: FakeReceiver
):
    wrong = "WRONG0123456789"
    mm = open_manager(sqlite_url, takes_up=False, alert_pagerduty=wrong, pagerduty_url=f"{receiver.url}/v2/enqueue")

    problem = mm.alerts.outbox.test("pagerduty")

    assert problem.startswith("It answered 400: 'routing_key' is invalid")
    assert wrong not in problem and wrong not in repr(mm.alerts.outbox.channels) + repr(mm.settings)
    long = {"event": "rule.firing", "text": "x" * 5000, "at": NOW.isoformat(), "incident": {"key": "k" * 900}}
    [event] = events(wrong, long)
    assert len(event["dedup_key"]) <= 255 and len(event["payload"]["summary"]) <= 1024


def test_rules_stand_in_a_file_of_configuration_too(open_manager: Open, sqlite_url: str):
    mm = open_manager(sqlite_url, takes_up=False)
    text = "alerts:\n  errors: {kind: error_rate, above: 5%, channels: [webhook]}\n  r: {kind: rollback, on: false}\n"
    document = mm.configuration.read(text)

    assert len(list(mm.configuration.apply(document, "f.yaml"))) == 2
    assert not mm.configuration.differences(document, "f.yaml")
    exported = mm.configuration.read(mm.configuration.export())
    assert not mm.configuration.differences({"alerts": exported["alerts"]}, "f.yaml")
    [change] = mm.configuration.differences(mm.configuration.read(text.replace(", channels: [webhook]", "")), "f.yaml")
    assert "channels" in change.text
    with pytest.raises(InvalidRequest, match=r"line 2.*abov"):
        mm.configuration.differences(mm.configuration.read(text.replace("above", "abov")), "f.yaml")
