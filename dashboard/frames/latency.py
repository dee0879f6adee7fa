"""The moves of latency and the reasons for them, in words."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from core.domain.metrics import Pace, Slowdown, Window
from dashboard import formatting
from dashboard.charts.base import Incident
from dashboard.formatting import percent, seconds
from dashboard.frames.log import key_labels
from dashboard.frames.monitoring import Range, chosen, incidents, kept, reaches_back
from dashboard.process import manager

# Of a change: a share of p95 up to which it is none, and of its parts; attempts a call, and a share of calls, from
# which they are told.
TRIFLING, SAME, RETRIED, FAILING = 0.05, 0.1, 0.2, 0.05
AS_BEFORE = ("first token as before", "as many tokens a second", "answers as long")


class Told(NamedTuple):
    """A sentence on latency. is_slower: And it is no chance. model: Whose calls show it; None = no single one's.

    filters: Of the Log, that find these calls.
    """

    text: str
    is_slower: bool
    model: str | None
    window: Window
    filters: Mapping[str, str] = {}


@kept
def moved(of: Range, model: str | None, simulated: bool) -> Told | None:
    """Latency against the range before; None = nothing to compare with."""
    if not reaches_back(of, simulated):
        return None
    found = manager().monitoring.slowdown(of.window, of.before, model=model, simulated=simulated)
    if found is None or min(found.n) < formatting.FEW:
        return None
    now, before = found.p95_s[1], found.p95_s[0]
    change = formatting.change(now, before, found.n[1], found.n[0])
    text = f"{seconds(now)}, {seconds(before)} before" + (f" ({change.text})" if change else "")
    is_slower = found.is_sure and found.rise > 0
    if abs(found.rise) < TRIFLING:
        return Told(f"{text} · about as before", False, None, of.window)
    if not found.is_sure:
        return Told(f"{text} · not more than chance explains", False, None, of.window)
    cause = _mix(found) if found.is_mix else _own(found)
    text += f" · {'slower' if is_slower else 'faster'}, above all {cause}"
    made_for = None if found.is_mix or not is_slower else found.made_for
    if made_for is None:
        return Told(text, is_slower, found.model, of.window)
    value = key_labels().get(made_for.value, made_for.value) if made_for.kind == "key" else made_for.value
    shares = f"{percent(made_for.of_slow, 0)} of its slow answers, and {percent(made_for.of_all, 0)} of all"
    text += f"; {made_for.kind} {value} asked for {shares}"
    return Told(text, is_slower, found.model, of.window, {made_for.kind: value})


@kept
def slowest(simulated: bool) -> tuple[Incident, str] | None:
    """The stretch of the last 30 days that was slow while calls failed, with what made it so; None = none was."""
    found = [each for each in incidents(chosen("30d"), None, simulated) if each.slower]
    last = max(found, key=lambda each: each.n, default=None)
    return None if last is None else (last, because(last, chosen("30d"), simulated))


@kept
def because(incident: Incident, of: Range, simulated: bool) -> str:
    """The reason why the model that an incident names was slower than in the whole range; empty = not known."""
    window = Window(incident.since, incident.until)
    found = manager().monitoring.slowdown(window, of.window, model=incident.slower_model, simulated=simulated)
    return "" if found is None else "; ".join(_facts(found))


def _mix(found: Slowdown) -> str:
    before, now = (percent(share, 0) for share in found.share)
    return f"because {found.model} gave {now} of the answers, {before} before"


def _own(found: Slowdown) -> str:
    old, new = found.pace
    own = f" (p95 {seconds(new.p95_s)}, {seconds(old.p95_s)} before)" if found.share[1] < 1 else ""
    return f"{found.model}{own}: {'; '.join(_facts(found))}"


def _facts(found: Slowdown) -> list[str]:
    """Facts on a model's own times: tries and failures, and then what changed them most."""
    old, new = found.pace
    facts = list[str]()
    if old.attempts and new.attempts and new.attempts >= old.attempts + RETRIED:
        facts.append(f"{new.attempts:.1f} attempts a call instead of {old.attempts:.1f}")
    failed = [sum(each.errors.values()) / max(1, each.n + sum(each.errors.values())) for each in (old, new)]
    if failed[1] >= failed[0] + FAILING:
        worst = max(new.errors, key=lambda name: new.errors[name])
        facts.append(f"{percent(failed[1], 0)} of its calls failed, mostly {formatting.failure_text(worst).lower()}")
    measured = sorted(_measured(old, new), reverse=True)
    if measured and all(text in AS_BEFORE for _, text in measured):
        return [*facts, "on average each part took as long, so its slowest answers moved it"]
    return facts + [text for _, text in measured]


def _measured(old: Pace, new: Pace) -> list[tuple[float, str]]:
    """Parts of an answer's mean time, each with the seconds that it brought or saved."""
    found: list[tuple[float, str]] = []
    if old.first_s and new.first_s:
        text = _told("first token {} instead of {}", AS_BEFORE[0], new.first_s, old.first_s, seconds)
        found.append((abs(new.first_s - old.first_s), text))
    if old.tokens and new.tokens and old.tokens_per_s and new.tokens_per_s:
        a, b = 1 / old.tokens_per_s, 1 / new.tokens_per_s
        text = _told("{} instead of {} tok/s", AS_BEFORE[1], 1 / b, 1 / a, formatting.mean)
        found.append((abs(b - a) * (old.tokens + new.tokens) / 2, text))
        text = _told("answers of {} instead of {} tokens", AS_BEFORE[2], new.tokens, old.tokens, formatting.count)
        found.append((abs(new.tokens - old.tokens) * (a + b) / 2, text))
    return found


def _told(changed: str, same: str, now: float, before: float, text: Callable[[float | None], str]) -> str:
    is_same = abs(now / before - 1) < SAME or text(now) == text(before)
    return same if is_same else changed.format(text(now), text(before))
