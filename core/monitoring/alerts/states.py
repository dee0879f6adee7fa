"""The states of a rule: ok -> pending -> firing -> resolved -> ok, and which of them are told. Pure.

A rule must hold for its time before it fires, and not hold for as long, and five minutes at least, before it is
resolved: what wavers is one alert. Readings more than five minutes later than due, or in a clock that went back, say
nothing of what was between them: the time begins anew. What is not known changes nothing.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from core.domain.alert import EVENTS, AlertRule, RuleState

GAP = timedelta(minutes=5)
CLEAR = timedelta(minutes=5)
RESOLVED_FOR = timedelta(hours=1)


class Reading(NamedTuple):
    """The look at a subject of a rule.

    holds: None = not known.
    text: In words, with its numbers.
    event: What happened, by a name that no other event has; only of rules that tell events.
    """

    subject: str
    holds: bool | None
    text: str
    value: float | None = None
    event: str = ""


def at_rest(rule: AlertRule, subject: str, now: datetime) -> RuleState:
    return RuleState(rule=rule.name, subject=subject, since=now, seen_at=now)


def step(before: RuleState, reading: Reading, rule: AlertRule, now: datetime) -> RuleState:
    """The state after a reading."""
    if reading.holds is None:
        return replace(before, value=None, text=reading.text)
    seen = replace(before, value=reading.value, text=reading.text, seen_at=now, since=min(before.since, now))
    if rule.kind in EVENTS:
        return _of_event(seen, reading, now)
    is_apart = not timedelta() <= now - before.seen_at <= GAP + timedelta(seconds=rule.every_s)
    return _holding(seen, rule, now, is_apart) if reading.holds else _clear(seen, rule, now, is_apart)


def _of_event(seen: RuleState, reading: Reading, now: datetime) -> RuleState:
    if not reading.holds:  # it ends without a word
        return replace(seen, state="ok", since=now, is_told=False) if seen.state != "ok" else seen
    if reading.event == seen.event:
        return seen
    return replace(seen, state="firing", since=now, is_told=False, event=reading.event)


def _holding(seen: RuleState, rule: AlertRule, now: datetime, is_apart: bool) -> RuleState:
    seen = replace(seen, clear_at=None)
    if seen.state == "firing":
        return seen
    since = seen.since if seen.state == "pending" and not is_apart else now
    if now - since >= timedelta(seconds=rule.for_s):
        return replace(seen, state="firing", since=now)
    return replace(seen, state="pending", since=since)


def _clear(seen: RuleState, rule: AlertRule, now: datetime, is_apart: bool) -> RuleState:
    if seen.state == "pending":
        return replace(seen, state="ok", since=now)
    if seen.state == "firing":
        clear_at = now if seen.clear_at is None or is_apart else seen.clear_at
        if now - clear_at >= max(CLEAR, timedelta(seconds=rule.for_s)):
            return replace(seen, state="resolved", since=now, clear_at=None)
        return replace(seen, clear_at=clear_at)
    if seen.state == "resolved" and now - seen.since >= RESOLVED_FOR:
        return replace(seen, state="ok", since=now)
    return seen


def untold(state: RuleState) -> Literal["firing", "resolved"] | None:
    """The message that is due: it fires and nobody was told, or does no more and somebody was. None = none is."""
    if (state.state == "firing") == state.is_told:
        return None
    return "firing" if state.state == "firing" else "resolved"
