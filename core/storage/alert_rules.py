"""Alert rules, their states, and silences."""

import secrets
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, or_, select, update

from core.clock import to_us
from core.domain.alert import AlertRule, RuleState, Silence
from core.formats import strict_json as json
from core.storage.engine.damaged import readable
from core.storage.engine.database import Store
from core.storage.engine.records import from_row, to_row
from core.storage.engine.records import put as put_row
from core.storage.schema import alert_rule_states, alert_rules, alert_silences

_r, _s, _q = alert_rules.c, alert_rule_states.c, alert_silences.c


class AlertRuleStore(Store):
    def all(self) -> list[AlertRule]:
        """By name."""
        return readable("alert rule", self._database.rows(select(alert_rules).order_by(_r.name)), _to_rule)

    def due(self, now_us: int, every_us: int) -> list[AlertRule]:
        """Those that are on and were not looked at for so long; of a clock that went back too."""
        late = or_(_r.checked_at <= now_us - every_us, _r.checked_at > now_us)
        statement = select(alert_rules).where(_r.is_on == 1, late).order_by(_r.checked_at)
        return readable("alert rule", self._database.rows(statement), _to_rule)

    def states(self) -> list[RuleState]:
        """Of all rules, the latest change first."""
        statement = select(alert_rule_states).order_by(_s.since.desc(), _s.rule, _s.subject)
        return readable("state of an alert rule", self._database.rows(statement), _to_state)

    def silences(self) -> list[Silence]:
        """Those on record, the last to end first."""
        statement = select(alert_silences).order_by(_q.ends_at.desc(), _q.id)
        return readable("silence", self._database.rows(statement), lambda row: from_row(Silence, row))


def put(connection: Connection, rule: AlertRule) -> None:
    definition = {name: value for name, value in asdict(rule).items() if name not in ("name", "is_on")}
    row = {"name": rule.name, "definition": json.dumps(definition), "is_on": int(rule.is_on), "checked_at": 0}
    put_row(connection, alert_rules, row)


def remove(connection: Connection, name: str) -> bool:
    drop_states(connection, name)
    return connection.execute(delete(alert_rules).where(_r.name == name)).rowcount > 0


def claim(connection: Connection, name: str, now_us: int, every_us: int) -> bool:
    """Take the look at a rule for this process; False = another has it."""
    late = or_(_r.checked_at <= now_us - every_us, _r.checked_at > now_us)
    statement = update(alert_rules).where(_r.name == name, _r.is_on == 1, late)
    return connection.execute(statement.values(checked_at=now_us)).rowcount > 0


def held(connection: Connection, name: str) -> AlertRule | None:
    """A rule, held until the transaction ends, so that of two processes one tells; None = it is gone."""
    statement = select(alert_rules).where(_r.name == name).with_for_update()
    return next(iter(readable("alert rule", connection.execute(statement), _to_rule)), None)


def of_kind(connection: Connection, kind: str) -> list[AlertRule]:
    """The rules of a kind that are on."""
    rows = connection.execute(select(alert_rules).where(_r.is_on == 1).order_by(_r.name))
    return [rule for rule in readable("alert rule", rows, _to_rule) if rule.kind == kind]


def states_of(connection: Connection, name: str) -> dict[str, RuleState]:
    """The states of a rule by subject."""
    rows = connection.execute(select(alert_rule_states).where(_s.rule == name))
    return {state.subject: state for state in readable("state of an alert rule", rows, _to_state)}


def put_state(connection: Connection, state: RuleState) -> None:
    put_row(connection, alert_rule_states, to_row(alert_rule_states, state))


def drop_states(connection: Connection, name: str) -> None:
    connection.execute(delete(alert_rule_states).where(_s.rule == name))


def add_silence(connection: Connection, name: str, ends_at: datetime, reason: str, author: str, now: datetime) -> str:
    id_ = f"si_{secrets.token_hex(8)}"
    silence = Silence(id=id_, name=name, created_at=now, ends_at=ends_at, reason=reason, author=author)
    put_row(connection, alert_silences, to_row(alert_silences, silence))
    return id_


def end_silences(connection: Connection, name: str, now_us: int) -> int:
    """End those of a name that go on; returns how many. They stay on record."""
    statement = update(alert_silences).where(_q.name == name, _q.ends_at > now_us)
    return connection.execute(statement.values(ends_at=now_us)).rowcount


def is_silenced(connection: Connection, name: str, now: datetime) -> bool:
    """Tell whether nothing is sent of a rule or a budget now."""
    now_us = to_us(now)
    statement = select(_q.id).where(_q.name.in_(("", name)), _q.ends_at > now_us, _q.created_at <= now_us)
    return connection.execute(statement.limit(1)).first() is not None


def _to_rule(row: Any) -> AlertRule:
    values = json.loads(row.definition)
    values["channels"] = tuple(values.get("channels", ()))
    return AlertRule(**values, name=row.name, is_on=bool(row.is_on))


def _to_state(row: Any) -> RuleState:
    return from_row(RuleState, row)
