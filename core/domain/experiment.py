"""An A/B test of model variants (design, phases, what is recorded), and an alias, which may roll out its winner."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple

from core.domain.generation import Parameters
from core.formats.names import ref_in
from core.formats.text import make_lists

ExperimentStatus = Literal["running", "stopped"]
Action = Literal["ship", "hold", "inconclusive", "stop"]
Metric = Literal["success", "rating", "number", "cost_per_success", "latency_p95", "error_rate", "cost"]
Allocation = Literal["fixed", "thompson"]
RuleKind = Literal["superior", "not_worse_and_cheaper"]

PRIMARY: tuple[Metric, ...] = ("success", "rating", "number", "cost_per_success", "latency_p95")
GUARDED: tuple[Metric, ...] = ("error_rate", "latency_p95", "cost")
UNITS = ("user", "session", "request")
ROLLOUT, ROLLOUT_VARIANTS = "Rollout of ", ("A · today", "B · new")
SMALLER_IS_BETTER: tuple[Metric, ...] = ("cost_per_success", "latency_p95", "error_rate", "cost")


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One of the models, prompts or workflows compared. The first one with a weight is the control.

    prompt_version: What its system text is called; `prompt:NAME@NUMBER` = that prompt stands in the text's place.
    workflow: The template that answers instead of one call of the model.
    is_shadow: It answers silently beside the variant that was assigned, is never returned, and is not compared.
    """

    position: int
    name: str
    model: str
    system: str | None = None
    parameters: Parameters = field(default_factory=Parameters)
    weight: int = 1
    prompt_version: str = ""
    workflow: str = ""
    is_shadow: bool = False

    @property
    def key(self) -> str:
        """The name of the variant in HTTP answers: variant_a, variant_b …"""
        return f"variant_{'abcdefghij'[self.position]}"

    @property
    def letter(self) -> str:
        return "ABCDEFGHIJ"[self.position]

    @property
    def is_served(self) -> bool:
        """True where it gets traffic that is counted."""
        return self.weight > 0 and not self.is_shadow

    def is_same_as(self, other: "Variant") -> bool:
        """True where both answer alike, so that what was recorded of one may count for the other."""
        mine, its = (
            (each.position, each.model, each.system, each.parameters, each.workflow, ref_in(each.prompt_version))
            for each in (self, other)
        )
        return mine == its


@dataclass(frozen=True, slots=True, kw_only=True)
class Guardrail:
    """A bound that a variant must not break.

    margin: For error_rate in points (0.01 = one), else a share of the control's value.
    """

    metric: Metric
    margin: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """The choices that are fixed before the first unit comes, so that looking at the data cannot change it.

    audience: Share of units that take part, in (0, 1]; the others get the control and are not counted.
    internal_units: Patterns (`qa-*`) of units that are served and not counted.
    secondary: Further metrics that share the error with the primary one; others are shown and claim nothing.
    margin: For the rule not_worse_and_cheaper, how much worse the primary metric may be, in its unit.
    smallest_effect: The smallest difference of the primary metric that would matter, in its unit; None = not said.
    tuned_for: Observations at which the intervals are tightest.
    window_days: Days after the stop in which outcomes still count.
    cache_s: Seconds for which an answer may be given again to the same request of the same key; None = not at all.
    """

    primary: Metric = "success"
    larger_is_better: bool = True
    secondary: tuple[Metric, ...] = ()
    guardrails: tuple[Guardrail, ...] = ()
    rule: RuleKind = "superior"
    margin: float = 0.0
    smallest_effect: float | None = None
    audience: float = 1.0
    internal_units: tuple[str, ...] = ()
    allocation: Allocation = "fixed"
    confidence_level: float = 0.95
    tuned_for: int = 1000
    window_days: int = 7
    max_days: int = 90
    cache_s: int | None = None

    def __post_init__(self) -> None:
        make_lists(self, "secondary", "guardrails", "internal_units")

    def is_larger_better(self, metric: Metric) -> bool:
        return self.larger_is_better if metric == "number" else metric not in SMALLER_IS_BETTER

    def is_internal(self, unit_id: str) -> bool:
        return any(fnmatchcase(unit_id, pattern) for pattern in self.internal_units)


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A span in which weights and variants did not change. ended_at: None = it goes on."""

    number: int
    started_at: datetime
    ended_at: datetime | None
    variants: tuple[Variant, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """A test of variants on live traffic.

    salt: Makes its assignment independent of every other experiment's.
    variants: Those of the current phase.
    acknowledged_at: When someone said that a wrong split was seen.
    ended: Why it was stopped, in words.
    """

    id: str
    name: str
    hypothesis: str
    unit: str
    salt: str
    status: ExperimentStatus
    created_at: datetime
    stopped_at: datetime | None
    variants: tuple[Variant, ...]
    is_demo: bool = False
    design: Design = Design()
    phases: tuple[Phase, ...] = ()
    acknowledged_at: datetime | None = None
    ended: str = ""

    @property
    def phase(self) -> int:
        """The number of the current phase."""
        return self.phases[-1].number if self.phases else 1

    @property
    def served(self) -> tuple[Variant, ...]:
        """The variants that get traffic; the first is the control."""
        return tuple(variant for variant in self.variants if variant.is_served)

    @property
    def is_rollout(self) -> bool:
        """True where it brings the winner of another experiment into an alias."""
        return self.name.startswith(ROLLOUT) and [variant.name for variant in self.variants] == list(ROLLOUT_VARIANTS)

    @property
    def had_shadows(self) -> bool:
        """True where a variant of any phase answered unseen."""
        return any(v.is_shadow for v in (*self.variants, *(v for phase in self.phases for v in phase.variants)))

    @property
    def is_simulated(self) -> bool:
        return self.is_demo or all(variant.model.startswith("sim-") for variant in self.variants)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """A unit's variant in a phase.

    id: By which its outcomes are recorded.
    reason: Why it is not counted: forced, internal or outside; empty = it is counted.
    """

    id: str
    experiment_id: str
    phase: int
    unit_id: str
    variant: Variant
    reason: str = ""

    @property
    def is_counted(self) -> bool:
        return not self.reason

    @property
    def assignment_id(self) -> str:
        """The id under its older name."""
        return self.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The decision that the data carry.

    winner: A variant's position, only where action is ship.
    days_left: About how long it still takes at today's traffic; None = not told.
    money: The judgement on cost, in words.
    """

    action: Action
    headline: str
    reasons: tuple[str, ...]
    winner: int | None = None
    days_left: float | None = None
    money: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeInput:
    """An outcome to record: of a generation, an assignment, a unit, or just of a variant (position, key or name).

    rating: 1 to 5.
    number: Any finite one.
    """

    variant: str | int | None = None
    success: bool | None = None
    rating: float | None = None
    number: float | None = None
    text: str = ""
    unit_id: str | None = None
    generation_id: str | None = None
    assignment_id: str | None = None


OutcomeState = Literal["counted", "replaced", "late", "orphan", "excluded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedOutcome:
    """An outcome as it was kept.

    state: counted; replaced = a later one of the same generation counts; late, orphan, excluded = kept, not counted.
    """

    id: str
    state: OutcomeState


@dataclass(frozen=True, slots=True)
class DayCounts:
    """Arrivals on one day (UTC) of one variant."""

    day_at: datetime
    phase: int
    position: int
    n_exposed: int
    n_outcomes: int
    n_successes: int


@dataclass(frozen=True, slots=True)
class UnitRow:
    """One assignment, for the list of the latest."""

    assignment_id: str
    unit_id: str
    phase: int
    position: int
    reason: str
    created_at: datetime
    n_outcomes: int


class ShadowCalls(NamedTuple):
    """Calls of a shadow variant. cost_usd: The known part of its cost."""

    position: int
    n: int
    n_failed: int
    cost_usd: Decimal
    n_unpriced: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A model that answers, with a prompt and parameters. What a request says itself comes first.

    prompt_version: As of a Variant; here the prompt may be named by a label, which it then follows.
    fallbacks: Models that answer, in this order, where it fails.
    cache_s: Seconds for which its answers may be given again.
    """

    model: str
    system: str | None = None
    parameters: Parameters = field(default_factory=Parameters)
    prompt_version: str = ""
    fallbacks: tuple[str, ...] = ()
    cache_s: int | None = None

    def __post_init__(self) -> None:
        make_lists(self, "fallbacks")


@dataclass(frozen=True, slots=True, kw_only=True)
class AliasChange:
    """A target that an alias was pointed at. run_id: The evaluation that justified it; empty = none was named."""

    name: str
    target: Target
    changed_at: datetime
    note: str = ""
    author: str = ""
    run_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alias:
    """A team's own name for a target.

    rollout_id: The experiment that brings in another target step by step; None = none runs.
    """

    name: str
    target: Target
    changed_at: datetime
    rollout_id: str | None = None
    note: str = ""
