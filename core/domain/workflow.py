"""A chain of model calls, and one execution of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, get_args

from core.domain.generation import Parameters
from core.formats.text import folded

Check = Literal["none", "not_empty", "json"]
CHECKS: tuple[Check, ...] = get_args(Check)
OnFailure = Literal["stop", "skip", "fallback", "default"]
FAILURE_POLICIES: tuple[OnFailure, ...] = get_args(OnFailure)
RunStatus = Literal["queued", "running", "paused", "succeeded", "failed", "cancelled"]
StepStatus = Literal["waiting", "running", "succeeded", "failed", "skipped"]
AWAITS = "Waits for approval."  # the error of a step that a person has to let through


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Run a step only if the output of `step` contains (or does not contain) a text, letter case aside."""

    step: str
    contains: str
    negate: bool = False

    def holds(self, output: str) -> bool:
        return (folded(self.contains) in folded(output)) != self.negate


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One call of a workflow.

    model: None = the model of the run.
    check: The form that the answer must have; a failed check is tried again with the reason, `attempts` times in all.
    checks: Further ones, as of evaluations: `{type, value, threshold}`; their values may use the run's inputs.
    on_failure: Stop the run, skip the step (its output is then empty), ask `fallback_model` once, or go on with
        `default` as the output.
    approval: Pause the run before this step, until a person lets it through.
    """

    name: str
    prompt: str
    model: str | None = None
    system: str | None = None
    parameters: Parameters = field(default_factory=Parameters)
    check: Check = "none"
    checks: tuple[Mapping[str, Any], ...] = ()
    attempts: int = 1
    on_failure: OnFailure = "stop"
    fallback_model: str | None = None
    default: str | None = None
    when: Condition | None = None
    approval: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """Steps that are run in order. inputs: Named ones beside the main one, with their defaults."""

    name: str
    steps: tuple[Step, ...]
    description: str = ""
    inputs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRun:
    """One step of a run.

    tokens, cost_usd: Of all its attempts; cost_usd None = a price is unknown.
    start: Which taking-up of the run did it; None = that was not kept.
    """

    step: str
    status: StepStatus
    prompt: str = ""
    output: str = ""
    error: str = ""
    model: str = ""
    generation_id: str | None = None
    n_attempts: int = 0
    tokens: int = 0
    cost_usd: Decimal | None = Decimal(0)
    started_at: datetime | None = None
    finished_at: datetime | None = None
    start: int | None = None

    @property
    def latency_s(self) -> float:
        if self.started_at is None or self.finished_at is None:
            return 0.0
        return (self.finished_at - self.started_at).total_seconds()


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowRun:
    """One execution of a workflow. key_id: The key that asked for it and pays for its calls; empty = none."""

    id: str
    workflow_name: str
    status: RunStatus
    created_at: datetime
    finished_at: datetime | None
    error: str
    source: str
    inputs: Mapping[str, str]
    spec: Workflow
    n_starts: int = 1
    steps: tuple[StepRun, ...] = ()
    cap_usd: Decimal | None = None
    key_id: str = ""

    @property
    def is_over(self) -> bool:
        """True where nothing more happens by itself; a paused, failed or stopped run can be resumed."""
        return self.status in ("succeeded", "failed", "cancelled", "paused")

    @property
    def left_of_cap_usd(self) -> Decimal | None:
        """The money it may still spend; None = there is no cap. An unknown cost so far counts as nothing."""
        if self.cap_usd is None:
            return None
        return self.cap_usd - sum((step.cost_usd or Decimal(0) for step in self.steps), Decimal(0))

    @property
    def final_output(self) -> str:
        return next((step.output for step in reversed(self.steps) if step.status == "succeeded"), "")

    @property
    def awaits(self) -> StepRun | None:
        """The step that a person has to let through before the run goes on."""
        return next((step for step in self.steps if step.error == AWAITS), None) if self.status == "paused" else None

    @property
    def n_done(self) -> int:
        """The number of steps that are behind it, skipped ones included."""
        return sum(step.status in ("succeeded", "skipped") for step in self.steps)

    def time_left_s(self, usual_s: Mapping[str, float], now: datetime) -> float | None:
        """The time that its other steps will probably take; None = that of one is not known.

        usual_s: By the name of a step.
        """
        left = 0.0
        for step in self.steps:
            if step.status not in ("succeeded", "skipped"):
                if step.step not in usual_s:
                    return None
                spent = (now - step.started_at).total_seconds() if step.started_at else 0.0
                left += max(0.0, usual_s[step.step] - spent)
        return left

    @property
    def saved_usd(self) -> Decimal | None:
        """The cost of asking finished steps anew each time the run was taken up; None = unknown."""
        total = Decimal(0)
        for step in self.steps if self.n_starts > 1 else ():
            if step.status == "succeeded":
                if step.start is None or step.cost_usd is None:
                    return None
                total += step.cost_usd * (self.n_starts - step.start)
        return total

    @property
    def total_tokens(self) -> int:
        return sum(step.tokens for step in self.steps)

    @property
    def total_cost_usd(self) -> Decimal | None:
        costs = [step.cost_usd for step in self.steps]
        return None if None in costs else sum((cost for cost in costs if cost is not None), Decimal(0))

    @property
    def total_latency_s(self) -> float:
        """The time spent in steps; waiting between a failure and its resumption does not count."""
        return sum(step.latency_s for step in self.steps)
