"""The parts of a grade, and what a check is given. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from core.errors import InvalidRequest


class CheckError(InvalidRequest):
    """A check that cannot be made: neither a pass nor a fail."""


class Reply(NamedTuple):
    """A judge's answer. passed is None where it gave no verdict."""

    passed: bool | None
    score: float | None
    reason: str


Embed = Callable[[list[str]], Sequence[Sequence[float]]]
Judge = Callable[[str], "str | Reply"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """The result of one check.

    type: The check's type; None for a set, whose own members follow it.
    score: In [0, 1] as a rule; 1 or 0 for a check that only passes or fails.
    reason: In words; why it failed, or what is wrong with the check itself.
    is_error: It could not be made; `passed` is then False and says nothing.
    metric: The name its score counts for; empty = none.
    """

    type: str | None
    passed: bool
    score: float
    reason: str
    is_error: bool = False
    metric: str = ""
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Grade:
    """The result of a test: its checks taken together.

    is_error: At least one check could not be made. The grade is then no fail; passed is False and the score 0.
    named_scores: The weighted mean of each metric.
    """

    passed: bool
    score: float
    is_error: bool
    components: tuple[Component, ...] = ()
    reason: str = ""
    named_scores: Mapping[str, float] = field(default_factory=dict)

    @property
    def state(self) -> str:
        return "error" if self.is_error else "pass" if self.passed else "fail"


class Outcome(NamedTuple):
    """The finding of a kind of check, before `not-`. is_kept: The same under `not-`, as for a pattern that is none."""

    passed: bool
    score: float
    reason: str
    is_kept: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """One check with all it may look at.

    kind: The type without `not-`.
    value: Filled with the variables; ABSENT where the check has none.
    output: The answer, as text or as the JSON value it was parsed to. text: The same as text.
    """

    kind: str
    check: Mapping[str, Any]
    value: Any
    output: Any
    text: str
    variables: Mapping[str, Any]
    facts: "Facts"
    is_inverse: bool = False

    def threshold(self, default: float) -> float:
        found = self.check.get("threshold")
        return default if found is None else float(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The facts of a call beside its answer, and who may be asked. None = not known."""

    latency_ms: float | None = None
    cost_usd: float | None = None
    finish_reason: str | None = None
    tool_calls: Sequence[Mapping[str, Any]] | None = None
    embed: Embed | None = None
    judge: Judge | None = None
    prompt: str = ""
    allow_python: bool = False


class _Absent:
    def __repr__(self) -> str:
        return "undefined"

    def __bool__(self) -> bool:
        return False


ABSENT = _Absent()


def yes_no(passed: bool, reason: str, if_passed: str = "") -> Outcome:
    """A finding with what was seen, as it is told under `not-` too. if_passed: Where that is told in other words."""
    return Outcome(passed, float(passed), if_passed if passed and if_passed else reason)


def graded(score: float, threshold: float, name: str) -> Outcome:
    """A score that passes from the threshold on."""
    return Outcome(score >= threshold, score, f"{name} is {score:.4f}, the threshold {threshold:g}")


def shown(value: object, most: int = 200) -> str:
    """A value in a reason, cut."""
    text = value if isinstance(value, str) and value else repr(value)
    return text if len(text) <= most else f"{text[:most]}…"
