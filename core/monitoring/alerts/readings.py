"""Readings of rules: whether each holds now, in words with its numbers."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import NamedTuple

from core.domain.alert import SHARES, AlertRule, RuleState
from core.domain.log.breakdown import Cell
from core.domain.log.filter import LogFilter, from_texts
from core.formats.figures import percent
from core.formats.spans import shown_span
from core.monitoring.alerts.rule_file import shown_limit
from core.monitoring.alerts.states import Reading
from core.storage.calls.breakdown import BreakdownStore, Timed
from core.storage.engine.database import Database
from core.storage.gateway.breakers import BreakerStore

ROLLBACK_FOR = timedelta(hours=24)  # it is shown as firing
TRIED_DAYS = 7


class Verdict(NamedTuple):
    """The decision on a running experiment; empty = there is none yet."""

    experiment_id: str
    experiment: str
    decision: str
    text: str


class Gated(NamedTuple):
    """The gate's answer to the last run of a suite. passed: None = it could not be judged."""

    suite: str
    run_id: str
    passed: bool | None
    text: str


class Sources(NamedTuple):
    """The features that rules look at, which this one does not know."""

    verdicts: Callable[[], Iterable[Verdict]]
    gates: Callable[[], Iterable[Gated]]


class RuleReader:
    def __init__(self, database: Database, sources: Sources) -> None:
        self._calls = BreakdownStore(database)
        self._breakers = BreakerStore(database)
        self._sources = sources

    def read(self, rule: AlertRule, known: Mapping[str, RuleState], now: datetime) -> list[Reading]:
        """The readings of a rule, one a subject. known: Its states, as what is over is no longer found."""
        if rule.is_window:
            cell = next(iter(self._calls.read(calls_of(rule, now), (), timed=_timed(rule))), None)
            return [_of_calls(rule, cell)]
        if rule.kind == "rollback":
            return [
                Reading(subject, now - state.since < ROLLBACK_FOR, state.text, event=state.event)
                for subject, state in known.items()
            ]
        found = {each.subject: each for each in self._found(rule)}
        over = (
            Reading(subject, None if rule.kind == "evaluation_gate" else False, _OVER[rule.kind].format(subject))
            for subject in known.keys() - found.keys()
        )
        return [*found.values(), *over]

    def _found(self, rule: AlertRule) -> Iterable[Reading]:
        if rule.kind == "circuit_open":
            for (vendor, model), opening in self._breakers.all().items():
                if is_meant(rule, {"vendor": vendor, "model": model}):
                    yield Reading(f"{vendor}/{model}", True, circuit_text(vendor, model, opening.reason))
        elif rule.kind == "experiment_verdict":
            for each in self._sources.verdicts():
                if is_meant(rule, {"name": each.experiment}):
                    yield Reading(each.experiment_id, bool(each.decision), each.text, event=each.decision)
        else:
            for gated in self._sources.gates():
                if is_meant(rule, {"name": gated.suite}):
                    holds = None if gated.passed is None else not gated.passed
                    yield Reading(gated.suite, holds, gated.text)

    def would_have_fired(self, rule: AlertRule, now: datetime) -> int:
        """The stretches of whole hours of the last days in which a rule of calls held."""
        since = now - timedelta(days=TRIED_DAYS)
        cells = self._calls.read(_calls(rule, since, now), ("hour",), timed=_timed(rule))
        held = {str(cell.of[0]) for cell in cells if _of_calls(rule, cell).holds}
        hours = sorted(datetime.fromisoformat(each) for each in held)
        return len(list(groupby(enumerate(hours), lambda each: each[1] - timedelta(hours=each[0]))))


_OVER = {
    "circuit_open": "{} answers again.",
    "experiment_verdict": "The experiment {} has no verdict any more.",
    "evaluation_gate": "The evaluation {} has no run on record any more.",
}


def calls_of(rule: AlertRule, now: datetime) -> LogFilter:
    """The calls that a rule looks at: real ones of its last stretch."""
    return _calls(rule, now - timedelta(seconds=rule.over_s), now)


def _calls(rule: AlertRule, since: datetime, until: datetime) -> LogFilter:
    return replace(from_texts({**rule.where, "calls": "real"}, until), since=since, until=until)


def is_meant(rule: AlertRule, subject: Mapping[str, str]) -> bool:
    return all(subject.get(name) == value for name, value in rule.where.items())


def circuit_text(vendor: str, model: str, reason: str) -> str:
    return f"{model} of {vendor} failed again and again: its circuit is open. The last time: {reason}"


def _timed(rule: AlertRule) -> Timed:
    return "first_token" if rule.kind == "first_token_p95" else "latency"


def _of_calls(rule: AlertRule, cell: Cell | None) -> Reading:
    """A reading of what a rule's calls come to; fewer than it needs say nothing."""
    above = rule.above or 0.0
    n = 0 if cell is None else cell.n if rule.kind in SHARES else cell.n_timed
    what, where = _WORDS[rule.kind], _where(rule)
    if cell is None or n < rule.at_least:
        text = f"{n:,} {what.counted}{where} in {shown_span(rule.over_s)}, fewer than {rule.at_least:,}: not known."
        return Reading("", None, text)
    value = what.value(cell)
    assert value is not None  # noqa: S101 - of timed calls there is a percentile
    shown = percent(value) if rule.kind in SHARES else f"{value:.3g} s"
    told = what.told.format(value=shown, n=f"{n:,}", where=where)
    limit = f"{'above' if value > above else 'not above'} {shown_limit(rule)}"
    return Reading("", value > above, f"{told} in {shown_span(rule.over_s)}, {limit}.", value)


class _Words(NamedTuple):
    counted: str
    told: str
    value: Callable[[Cell], float | None]


_WORDS = {
    "error_rate": _Words("calls", "{value} of {n} calls{where} failed", lambda cell: cell.n_failed / cell.n),
    "unpriced_share": _Words(
        "calls", "{value} of {n} calls{where} have no price", lambda cell: cell.n_unpriced / cell.n
    ),
    "latency_p95": _Words(
        "answered calls", "p95 of latency is {value} in {n} answered calls{where}", lambda cell: cell.p95_s
    ),
    "first_token_p95": _Words(
        "calls with a first token", "p95 of time to first token is {value} in {n} calls{where}", lambda cell: cell.p95_s
    ),
}


def _where(rule: AlertRule) -> str:
    return f" of {', '.join(f'{name} {value}' for name, value in rule.where.items())}" if rule.where else ""
