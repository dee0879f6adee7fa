"""Rules, kept, looked at once a minute by whichever process, and told; and silences."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from core import acting, clock
from core.clock import to_us
from core.domain.alert import EVENTS, OFTEN_S, AlertRule, RuleKind, RuleState, Silence
from core.domain.budget import BudgetStatus
from core.errors import InvalidRequest
from core.formats.names import missing
from core.formats.text import is_storable
from core.monitoring.alerts.outbox import Outbox
from core.monitoring.alerts.readings import RuleReader, Sources, is_meant
from core.monitoring.alerts.rule_file import Difference, differences
from core.monitoring.alerts.states import Reading, at_rest, step, untold
from core.storage import alert_rules as store
from core.storage.alert_rules import AlertRuleStore
from core.storage.engine.database import Connection, Database
from core.storage.engine.writer import Writer
from core.storage.people.audit import note

LONGEST_SILENCE = timedelta(days=90)
_SEVERITY: dict[RuleKind, str] = {"circuit_open": "critical", "experiment_verdict": "info", "unpriced_share": "warning"}


class RuleService:
    """budgets: Those that may be silenced too."""

    def __init__(
        self,
        database: Database,
        writer: Writer,
        outbox: Outbox,
        sources: Sources,
        budgets: Callable[[], list[BudgetStatus]],
    ) -> None:
        self._store = AlertRuleStore(database)
        self._writer = writer
        self._outbox = outbox
        self._reader = RuleReader(database, sources)
        self._budgets = budgets
        outbox.take_over = self._take_over

    # Rules

    def all(self) -> list[AlertRule]:
        return self._store.all()

    def get(self, name: str) -> AlertRule:
        """Raises: NotFound."""
        known = self._store.all()
        found = next((rule for rule in known if rule.name == name), None)
        if found is None:
            raise missing("alert rule", name, [rule.name for rule in known])
        return found

    def states(self) -> list[RuleState]:
        """The states of all rules, the latest change first."""
        return self._store.states()

    def apply(self, wanted: Sequence[AlertRule], *, prunes: bool = False, is_trial: bool = False) -> list[Difference]:
        """Make the rules these; returns what changes. is_trial: Nothing is done yet.

        Raises:
            Forbidden
        """
        found = differences(self._store.all(), wanted, prunes=prunes)
        if found and not is_trial:
            for each in found:  # one by one, as each is an entry of the audit
                self._writer.run(partial(self._change, each=each))
        return found

    def put(self, rule: AlertRule) -> AlertRule:
        """Make a rule, or change the one of its name. Raises: Forbidden."""
        self.apply([rule])
        return self.get(rule.name)

    def remove(self, name: str) -> None:
        """Raises: NotFound, Forbidden."""
        self.get(name)
        self._writer.run(partial(self._change, each=Difference(name, None, "")))

    def _change(self, connection: Connection, each: Difference) -> None:
        before, after = store.held(connection, each.name), each.rule
        is_same = after is not None and after.is_on and before is not None and _watches_same(before, after)
        if before is not None and not is_same:
            self._end(connection, before)
        if after is None:
            store.remove(connection, each.name)
        else:
            store.put(connection, after)

    def _end(self, connection: Connection, rule: AlertRule) -> None:
        """Forget the states of a rule; what was told to fire is told to be watched no more."""
        now = clock.now()
        for state in store.states_of(connection, rule.name).values():
            if state.is_told and rule.kind not in EVENTS:
                ended = replace(state, text="It is not watched any more: the rule was changed or removed.", since=now)
                self._tell(connection, rule, ended, "resolved", now)
        store.drop_states(connection, rule.name)

    # Looks

    def evaluate(self) -> int:
        """Look at the rules that are due; returns how many messages were made."""
        now, n = clock.now(), 0
        for rule in self._store.due(to_us(now), OFTEN_S * 1_000_000):
            claim = partial(store.claim, name=rule.name, now_us=to_us(now), every_us=rule.every_s * 1_000_000)
            if not self._writer.run(claim):
                continue
            known = {state.subject: state for state in self._store.states() if state.rule == rule.name}
            readings = self._reader.read(rule, known, now)
            n += self._writer.run(partial(self._bring, name=rule.name, readings=readings, now=now))
        return n

    def test(self, rule: AlertRule) -> list[Reading]:
        """The readings of a rule as it would have now; nothing is changed or told."""
        known = {state.subject: state for state in self._store.states() if state.rule == rule.name}
        return self._reader.read(rule, known, clock.now())

    def would_have_fired(self, rule: AlertRule) -> int | None:
        """The times in the last 7 days, of whole hours; None = only rules of calls can be tried."""
        return self._reader.would_have_fired(rule, clock.now()) if rule.is_window else None

    def _bring(self, connection: Connection, *, name: str, readings: Sequence[Reading], now: datetime) -> int:
        """Step the states of a rule, and tell what is due, in one transaction; returns how many messages that are."""
        rule = store.held(connection, name)
        if rule is None or not rule.is_on:
            return 0
        states, n = store.states_of(connection, name), 0
        is_silenced = store.is_silenced(connection, name, now)
        for reading in readings:
            before = states.get(reading.subject)
            after = step(before or at_rest(rule, reading.subject, now), reading, rule, now)
            event = None if is_silenced else untold(after)
            if event is not None:
                after = replace(after, is_told=event == "firing")
                self._tell(connection, rule, after, event, now)
                n += 1
            if after != before:
                store.put_state(connection, after)
        return n

    def _tell(self, connection: Connection, rule: AlertRule, state: RuleState, event: str, now: datetime) -> None:
        subject = f" {state.subject}" if state.subject else ""
        head = rule.name if event == "firing" else f"{rule.name}{subject}: resolved"
        payload = {
            "event": f"rule.{event}",
            "text": f"{head}: {state.text}",
            "at": now.isoformat(),
            "since": state.since.isoformat(),
            "rule": {"name": rule.name, "kind": rule.kind},
            "subject": state.subject,
            "value": state.value,
            "incident": {
                "key": f"rule:{rule.name}:{state.subject}{f':{state.event}' if state.event else ''}",
                "is_open": event == "firing",
                "severity": _SEVERITY.get(rule.kind, "error"),
            },
        }
        channels = rule.channels or self._outbox.channels.names
        self._outbox.enqueue(connection, payload, now, [*channels, "page"])

    def _take_over(self, connection: Connection, payload: dict[str, Any], now: datetime) -> bool:
        """Tell of an event by the rules of its kind; False = there is none that is on."""
        kind: RuleKind | None = _KIND_OF.get(payload["event"])
        rules = store.of_kind(connection, kind) if kind is not None else []
        for rule in rules:
            reading = _reading_of(payload)
            about = {"name": str(payload.get("alias"))} if kind == "rollback" else payload
            if is_meant(rule, about):
                self._bring(connection, name=rule.name, readings=[reading], now=now)
        return bool(rules)

    # Silences

    def silences(self) -> list[Silence]:
        """Those on record, the last to end first; of them go on that end later than now."""
        return self._store.silences()

    def silence(self, name: str, duration: timedelta, reason: str = "") -> Silence:
        """Send nothing of a rule or a budget for a while. name: Empty = of all.

        Raises:
            InvalidRequest, NotFound, Forbidden
        """
        if not timedelta(minutes=1) <= duration <= LONGEST_SILENCE:
            raise InvalidRequest("A silence lasts 1 minute to 90 days.", param="for")
        if len(reason) > 500 or not is_storable(reason):
            raise InvalidRequest("The reason has at most 500 characters that can be kept.", param="reason")
        self._check(name)
        now, author = clock.now(), acting.current().name

        def work(connection: Connection) -> str:
            note(connection, "silence started", name or "all", {"reason": reason})
            return store.add_silence(connection, name, now + duration, reason, author, now)

        id_ = self._writer.run(work)
        return next(each for each in self._store.silences() if each.id == id_)

    def unsilence(self, name: str) -> int:
        """End the silences of a name that go on; returns how many. What still fires is told within a minute.

        Raises:
            NotFound, Forbidden
        """

        def work(connection: Connection) -> int:
            n = store.end_silences(connection, name, clock.now_us())
            if n:
                note(connection, "silence ended", name or "all", {})
            return n

        n: int = self._writer.run(work)
        if not n:
            self._check(name)
        return n

    def _check(self, name: str) -> None:
        known = [*(rule.name for rule in self._store.all()), *(each.budget.name for each in self._budgets())]
        if name and name not in known:
            raise missing("alert rule or budget", name, known)


_KIND_OF: dict[str, RuleKind] = {"circuit.opened": "circuit_open", "rollout.rolled_back": "rollback"}


def _reading_of(payload: dict[str, Any]) -> Reading:
    if payload["event"] == "circuit.opened":
        return Reading(f"{payload['provider']}/{payload['model']}", True, payload["text"])
    return Reading(str(payload["alias"]), True, payload["text"], event=str(payload["rollout"]))


def _watches_same(one: AlertRule, other: AlertRule) -> bool:
    """True where the states of one are those of the other."""
    return (one.kind, dict(one.where)) == (other.kind, dict(other.where))
