"""Alert rules with their states, and what leads to the calls that each is about."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pandas as pd

from core.domain.alert import SHARES, AlertRule, RuleState, Silence
from core.formats.spans import shown_span
from core.monitoring.alerts.rule_file import shown_limit
from dashboard import address, formatting, tables
from dashboard.process import manager

KINDS = {
    "error_rate": "Error rate",
    "latency_p95": "Latency (p95)",
    "first_token_p95": "Time to first token (p95)",
    "unpriced_share": "Calls without a price",
    "circuit_open": "Circuit open",
    "rollback": "Rollback",
    "experiment_verdict": "Verdict of an experiment",
    "evaluation_gate": "Evaluation gate failed",
}
WORST = ("firing", "pending", "resolved", "ok")
_PAGES = {"rollback": "experiments", "experiment_verdict": "experiments", "evaluation_gate": "compare"}
SUGGESTED = (
    AlertRule(name="errors", kind="error_rate", above=0.1, for_s=300),
    AlertRule(name="slow", kind="latency_p95", above=30.0, over_s=3600, for_s=600),
    AlertRule(name="no-price", kind="unpriced_share", above=0.0, over_s=86_400, at_least=1),
    AlertRule(name="circuits", kind="circuit_open"),
    AlertRule(name="rollbacks", kind="rollback"),
    AlertRule(name="verdicts", kind="experiment_verdict"),
    AlertRule(name="gates", kind="evaluation_gate"),
)


class Standing(NamedTuple):
    """Rules with their states by rule, the worst first, and the silences that go on."""

    rules: list[AlertRule]
    states: dict[str, list[RuleState]]
    silences: list[Silence]

    @property
    def firing(self) -> list[tuple[AlertRule, RuleState]]:
        found = [(rule, state) for rule in self.rules for state in self.states[rule.name] if state.state == "firing"]
        return sorted(found, key=lambda each: each[1].since, reverse=True)

    def is_silenced(self, name: str) -> bool:
        return any(each.name in ("", name) for each in self.silences)


def standing() -> Standing:
    service, now = manager().alert_rules, datetime.now(UTC)
    rules, states = service.all(), service.states()
    by_rule = {
        rule.name: sorted((s for s in states if s.rule == rule.name), key=lambda s: WORST.index(s.state))
        for rule in rules
    }
    return Standing(rules, by_rule, [each for each in service.silences() if each.ends_at > now])


def limit(rule: AlertRule) -> str:
    """The condition of a rule in a few words."""
    parts = [f"above {shown_limit(rule)} in {shown_span(rule.over_s)}"] if rule.is_window else []
    parts += [f"for {shown_span(rule.for_s)}"] if rule.for_s else []
    parts += [f"{name} {value}" for name, value in rule.where.items()]
    return ", ".join(parts) or "any"


def value(rule: AlertRule, state: RuleState) -> str:
    if state.value is None:
        return formatting.UNKNOWN
    return formatting.percent(state.value) if rule.kind in SHARES else formatting.seconds(state.value)


def table(found: Standing) -> pd.DataFrame:
    """Rules, those that fire first; of several subjects the worst."""
    return tables.frame(
        ordered(found),
        {
            "rule": lambda rule: rule.name,
            "state": lambda rule: _state(found, rule),
            "kind": lambda rule: KINDS[rule.kind],
            "condition": limit,
            "last value": lambda rule: value(rule, states[0]) if (states := found.states[rule.name]) else "–",
            "tells": lambda rule: ", ".join(rule.channels) or "all channels",
        },
    )


def ordered(found: Standing) -> list[AlertRule]:
    def rank(rule: AlertRule) -> int:
        states = found.states[rule.name]
        return WORST.index(states[0].state) if states and rule.is_on else len(WORST)

    return sorted(found.rules, key=lambda rule: (rank(rule), rule.name))


def _state(found: Standing, rule: AlertRule) -> str:
    if not rule.is_on:
        return "Off"
    states = found.states[rule.name]
    word = states[0].state.capitalize() if states else "Nothing yet"
    if states and rule.is_window and states[0].value is None:
        word = "Not known" if word == "Ok" else f"{word}, not known now"
    return f"{word}, silenced" if found.is_silenced(rule.name) else word


def where(rule: AlertRule, state: RuleState) -> tuple[str, dict[str, str]]:
    """The page on which what a rule found is seen, and what its address says there."""
    if rule.kind == "circuit_open":
        return "models", {}
    if not rule.is_window:
        return _PAGES[rule.kind], {"experiment": state.subject} if rule.kind == "experiment_verdict" else {}
    until = datetime.now(UTC)
    since = min(state.since, until) - timedelta(seconds=rule.over_s)
    found = {f"log_{name}": text for name, text in rule.where.items()}
    found |= {"log_status": "failed"} if rule.kind == "error_rate" else {}
    return "log", {**found, "log_calls": "real", "log_range": address.span(since, until)}
