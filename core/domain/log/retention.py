"""Retention: how long texts and calls are kept, and the parts in which they are deleted. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from core.clock import DAY_US
from core.errors import InvalidRequest
from core.formats.text import tags_problem

Part = Literal["texts", "calls"]
PARTS: tuple[Part, ...] = ("texts", "calls")
ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionRule:
    """Days for which texts and calls of a scope are kept; 0 = for ever, None = as all others are.

    scope: all, key:ID or tag:NAME.
    is_fixed: The environment says it; no page can change it.
    """

    scope: str
    texts_days: int | None = None
    calls_days: int | None = None
    is_fixed: bool = False

    def days(self, part: Part) -> int | None:
        return self.texts_days if part == "texts" else self.calls_days


class Sweep(NamedTuple):
    """The calls of a scope before a moment, whose texts, or which themselves, are to be deleted.

    but: The scopes that have a rule of their own for this part, and are left to it.
    after_us: Texts before this moment go with their calls.
    """

    scope: str
    part: Part
    before_us: int
    but: tuple[str, ...] = ()
    after_us: int = 0


class Progress(NamedTuple):
    """The state of a rule: how far it has come.

    done_until: Nothing that it may delete is left before this moment (µs), unless it came later.
    reached: The latest moment (µs) of what was deleted, and a little more; 0 = nothing was.
    n: All that was ever deleted by it.
    """

    scope: str
    part: Part
    done_until: int
    reached: int
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """A look through all rules. begun_at None = there was none yet; ended_at None = it is at work, or was cut off."""

    is_running: bool = False
    begun_at: datetime | None = None
    ended_at: datetime | None = None
    n_texts: int = 0
    n_calls: int = 0


class Due(NamedTuple):
    """The number of calls that a sweep would find now, the oldest of them, and until when it looks."""

    scope: str
    part: Part
    before: datetime
    n: int
    oldest: datetime | None


def sweeps_of(rules: Iterable[RetentionRule], now_us: int) -> list[Sweep]:
    """The sweeps of all rules at a moment: texts first.

    A rule of a key or a tag takes the place of that for all; where several of them hold for a call, the shortest does.
    """
    rules = list(rules)
    cuts = [now_us - (rule.calls_days or 0) * DAY_US for rule in rules if rule.calls_days]
    with_calls_us = cuts[0] if len(rules) == 1 and cuts else 0
    found = []
    for part in PARTS:
        own = [rule for rule in rules if rule.scope != ALL and rule.days(part) is not None]
        but = tuple(rule.scope for rule in own)
        general = [rule for rule in rules if rule.scope == ALL]
        for rule in [*own, *general]:
            if days := rule.days(part):
                after_us = with_calls_us if part == "texts" else 0
                found.append(
                    Sweep(rule.scope, part, now_us - days * DAY_US, but if rule.scope == ALL else (), after_us)
                )
    return found


def believed_us(now_us: int, last_us: int, newest_us: int | None) -> int:
    """The moment by which is deleted, whatever the clock says: it goes on by at most a day at a time.

    last_us: The moment that was believed last; 0 = none was. newest_us: Of the newest call; None = there is none.
    """
    last_us = last_us or min(now_us, now_us if newest_us is None else newest_us)
    return min(now_us, last_us + DAY_US)


def checked_scope(scope: str) -> str:
    """Raises: InvalidRequest: It is none."""
    kind, _, name = scope.partition(":")
    is_one = (
        name and len(name) <= 200 and "," not in name if kind == "key" else kind == "tag" and not tags_problem([name])
    )
    if scope != ALL and not is_one:
        raise InvalidRequest(f"scope == {scope[:60]!r}, must be all, key:ID or tag:NAME", param="scope")
    return scope


def reaching(progress: Sequence[Progress], part: Part, scopes: Iterable[str]) -> int:
    """The latest moment (µs) of what rules of these scopes have deleted; 0 = nothing was."""
    wanted = set(scopes)
    return max((each.reached for each in progress if each.part == part and each.scope in wanted), default=0)
