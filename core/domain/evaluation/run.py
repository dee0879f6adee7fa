"""An evaluation: contestants answer the items of a dataset, checks grade each answer, and a gate may judge the whole.

An item is a row of the dataset, at its place from 0. A cell is an item, a contestant and a repetition.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Literal, NamedTuple

from core.domain.evaluation.dataset import DatasetRow
from core.domain.evaluation.prompt import PromptContent
from core.domain.generation import Parameters
from core.formats import strict_json as json
from core.formats.text import make_lists

RunStatus = Literal["queued", "running", "paused", "stopped", "finished"]
CellState = Literal["waiting", "running", "answered", "error", "skipped"]
Outcome = Literal["pass", "fail", "unchecked", "error", "not_run"]
Nightly = Literal["", "confirm", "looks", "confirming"]  # the last one is of a run that confirms another
Grading = Literal["", "pass", "fail", "unchecked", "error"]  # empty = the checks have not run
OUTCOMES: tuple[Outcome, ...] = ("pass", "fail", "unchecked", "error", "not_run")
MAX_CONTESTANTS, MAX_REPETITIONS, MAX_CELLS = 26, 100, 2_000_000
DEFAULT_WIDTH, MAX_WIDTH = 16, 256
RUN_IDS: Final = ("ev_", "c_")  # how the ids of runs begin: of evaluations, and of quick ones
OVERALL: Final = "pass"  # the metric of whether a cell passes as a whole
MEASURED: Final = ("cost", "latency")  # metrics that no check gives


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """A prompt with a model, a workflow, or a function of the caller's own, which answers every item.

    prompt: The version's reference (`support@7`), or where the prompt came from; empty = the rows bring their turns.
    content: The prompt as it was when the run began; None = the rows bring their turns.
    model: A model or an alias. asked: The model that an alias stood for when the run began; else the model.
    parameters: Over those of the prompt.
    workflow, function: The name of what answers instead of a model.
    """

    position: int
    model: str = ""
    prompt: str = ""
    content: PromptContent | None = None
    parameters: Parameters = field(default_factory=Parameters)
    workflow: str = ""
    function: str = ""
    asked: str = ""
    name: str = ""

    @property
    def is_own(self) -> bool:
        """True where no model is asked directly: a function or a workflow answers."""
        return bool(self.function or self.workflow)

    @property
    def letter(self) -> str:
        return "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[self.position]

    @property
    def label(self) -> str:
        if self.name:
            return self.name
        what = self.workflow or self.function or self.model
        return f"{self.prompt} · {what}" if self.prompt else what

    @property
    def identity(self) -> str:
        """The same for contestants that would be asked the same: 32 hex digits."""
        told = {
            "content": self.content.digest if self.content else "",
            "model": self.asked or self.model,
            "parameters": self.parameters.as_dict(),
            "workflow": self.workflow,
            "function": self.function,
        }
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One condition of a gate.

    metric: `pass` for the whole cell, the name of a check's metric, `cost` (USD an answer) or `latency` (seconds).
    not_worse_than_points: It fails where the metric is worse than the baseline's at the confidence level, and the
        observed drop is more than these percentage points. None = the baseline does not matter.
    not_below, not_above: Bounds of the mean itself.
    is_strict: With a margin: it fails unless it is proven that the drop is smaller than the margin.
    """

    metric: str = OVERALL
    not_worse_than_points: float | None = None
    not_below: float | None = None
    not_above: float | None = None
    is_strict: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The conditions under which a run may pass in CI.

    against: A baseline's name or a run's id; empty = the run's first contestant.
    significance: One-sided, of each requirement that is tested.
    is_exact: McNemar's exact test instead of mid-p.
    nightly: For a run that is looked at again and again against one baseline: `confirm` = what fails is asked once more
        at once, both sides and three times, and is red only if that fails too; `looks` = each look has less to spend.
    """

    against: str = ""
    require: tuple[Requirement, ...] = ()
    significance: float = 0.05
    is_exact: bool = False
    nightly: Nightly = ""

    def __post_init__(self) -> None:
        make_lists(self, "require")


@dataclass(frozen=True, slots=True, kw_only=True)
class Quick:
    """The part of a plan that quick comparisons alone have: their one item, and the rule that names a winner.

    prompt, system: As they were asked; empty and None where texts are not kept.
    systems: The system prompt of each contestant's own; None = it is asked with the common one.
    digests: Of the system prompt that each is asked with, kept also where texts are not.
    rule: Its steps: a metric, the share within which values tie, and whether the larger one wins.
    winner: The contestant's position by the rule; None = nobody, or a tie to its end.
    """

    prompt: str
    system: str | None = None
    systems: tuple[str | None, ...] = ()
    digests: tuple[str, ...] = ()
    rule: tuple[tuple[str, float, bool], ...] = ()
    winner: int | None = None

    @property
    def row(self) -> DatasetRow:
        """Its item, as a dataset would hold it."""
        row = DatasetRow(variables={"prompt": self.prompt} if self.prompt else {})
        return replace(row, id=row.digest if self.prompt else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that a run does, fixed before it starts.

    dataset: Its reference with the version (`faq@3`).
    checks: For every item, before the row's own: each as in a file of tests.
    threshold: The score from which a cell passes; None = every check must pass.
    limit_usd: What the run may cost; it pauses before it would cost more.
    width: Calls at the same time, of each vendor.
    max_age_s: How old an identical cell may be whose answer is taken over; 0 = none is.
    give_up_s: The run pauses where all that is left is to be asked of vendors that answer nothing for so long.
    embedding_model: The model whose vectors checks of likeness compare; empty = such checks cannot be made.
    allows_python: Whether checks may be Python of the file's author.
    first_try: The run that this one repeats after its gate failed; empty = it repeats none.
    confirms: The run whose nightly gate failed, of which this one asks again what failed.
    quick: Of a quick comparison, which has one item of its own in place of a dataset; else None.
    """

    name: str
    dataset: str
    contestants: tuple[Contestant, ...]
    checks: tuple[Mapping[str, Any], ...] = ()
    threshold: float | None = None
    repetitions: int = 1
    limit_usd: Decimal | None = None
    width: int = DEFAULT_WIDTH
    max_age_s: int = 0
    gate: Gate | None = None
    give_up_s: float = 600.0
    embedding_model: str = ""
    allows_python: bool = False
    first_try: str = ""
    confirms: str = ""
    quick: Quick | None = None

    def __post_init__(self) -> None:
        make_lists(self, "contestants", "checks")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRun:
    """A run as it stands.

    reason: Why it is paused, stopped, or without all its answers; empty = nothing is to be said.
    spent_usd: The cost of what was answered, and failed, so far. n_unpriced: Answers whose cost is not known.
    waiting: Vendor -> until when it takes nothing more, and what it said.
    n_try: 1, or which repetition of a run whose gate failed.
    judged: The gate's answer once the run was over: exit_code, reason, against, requirements; empty = not asked yet.
    """

    id: str
    plan: Plan
    status: RunStatus
    created_at: datetime
    n_items: int
    n_cells: int
    n_starts: int = 0
    owner: str = ""
    reason: str = ""
    source: str = "python"
    key_id: str = ""
    author: str = ""
    ended_at: datetime | None = None
    spent_usd: Decimal = Decimal(0)
    n_unpriced: int = 0
    waiting: Mapping[str, Any] = field(default_factory=dict)
    n_try: int = 1
    is_simulated: bool = False
    judged: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_running(self) -> bool:
        return self.status in ("queued", "running")


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckScore:
    """One check's result on one answer. passed None = the check could not be made; `reason` says why."""

    type: str
    passed: bool | None
    score: float
    reason: str = ""
    metric: str = ""
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One answer of a run, or the place that it will have.

    row_id: The row's, by which runs are paired.
    grade: The outcome of an answer; empty = its checks have not run.
    score: Of all checks; None = not graded yet, or nothing checks it.
    is_reused: The answer is that of an identical cell of another run.
    cost_usd: None = not known, or not there.
    """

    item: int
    contestant: int
    repetition: int
    row_id: str
    state: CellState = "waiting"
    generation_id: str = ""
    grade: Grading = ""
    score: float | None = None
    scores: tuple[CheckScore, ...] = ()
    is_reused: bool = False
    cost_usd: Decimal | None = None
    latency_s: float | None = None
    finish_reason: str = ""
    error_class: str = ""
    error: str = ""
    n_tries: int = 0
    output: str | None = None

    @property
    def place(self) -> tuple[int, int, int]:
        return self.item, self.contestant, self.repetition

    @property
    def outcome(self) -> Outcome:
        return outcome_of(self.state, self.grade)

    def value(self, metric: str) -> float | None:
        """The metric's value of this cell; None = it has none, such as an answer that failed."""
        if metric == "cost":
            return None if self.cost_usd is None else float(self.cost_usd)
        if metric == "latency":
            return None if self.state != "answered" or self.is_reused else self.latency_s
        if metric == OVERALL:
            return float(self.grade == "pass") if self.outcome in ("pass", "fail") else None
        named = [score for score in self.scores if score.metric == metric]
        if self.outcome not in ("pass", "fail", "unchecked") or not named:
            return None
        total = sum(score.weight for score in named)
        if not total:  # they only inform
            return sum(score.score for score in named) / len(named)
        return sum(score.score * score.weight for score in named) / total


class Reading(NamedTuple):
    """The part of a cell that its pass rate is made of: tens of thousands are read at once."""

    item: int
    contestant: int
    repetition: int
    row_id: str
    outcome: Outcome

    def value(self, metric: str) -> float | None:
        """See `Cell.value`; of the whole cell alone."""
        assert metric == OVERALL  # noqa: S101 - nothing else was read
        return 1.0 if self.outcome == "pass" else 0.0 if self.outcome == "fail" else None


def outcome_of(state: str, grade: str) -> Outcome:
    if state == "error":
        return "error"
    return grade if state == "answered" and grade else "not_run"  # type: ignore[return-value]  # a grade is one


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """The cells of one contestant by outcome, with what they cost. n_cost: Those whose cost is known."""

    contestant: int
    outcomes: Mapping[Outcome, int]
    cost_usd: Decimal = Decimal(0)
    n_cost: int = 0
    latency_s: float | None = None
    n_reused: int = 0

    @property
    def n(self) -> int:
        return sum(self.outcomes.values())

    @property
    def n_graded(self) -> int:
        return self.outcomes.get("pass", 0) + self.outcomes.get("fail", 0)

    @property
    def pass_rate(self) -> float | None:
        """Passes among what was graded; None = nothing was."""
        return self.outcomes.get("pass", 0) / self.n_graded if self.n_graded else None


def by_contestant(plan: Plan, cells: Iterable[Cell]) -> dict[int, list[Cell]]:
    """The cells of each contestant of a plan, in their order."""
    found: dict[int, list[Cell]] = {contestant.position: [] for contestant in plan.contestants}
    for cell in cells:
        found[cell.contestant].append(cell)
    return found


def plan_to_json(plan: Plan) -> str:
    told = {name: getattr(plan, name) for name in Plan.__slots__}
    told["contestants"] = [_contestant_to_dict(each) for each in plan.contestants]
    told["checks"] = [dict(each) for each in plan.checks]
    told["limit_usd"] = None if plan.limit_usd is None else str(plan.limit_usd)
    told["gate"] = None if plan.gate is None else gate_to_dict(plan.gate)
    told["quick"] = None if plan.quick is None else {n: getattr(plan.quick, n) for n in Quick.__slots__}
    return json.dumps(told)


def plan_from_json(text: str) -> Plan:
    told = json.loads(text)
    told["contestants"] = tuple(_contestant_from_dict(each) for each in told["contestants"])
    told["limit_usd"] = None if told["limit_usd"] is None else Decimal(told["limit_usd"])
    gate = told["gate"]
    told["gate"] = gate and Gate(**gate | {"require": tuple(Requirement(**each) for each in gate["require"])})
    quick = told.get("quick")
    told["quick"] = quick and Quick(**quick | {n: tuple(quick[n]) for n in ("systems", "digests", "rule")})
    return Plan(**told)


def gate_to_dict(gate: Gate) -> dict[str, Any]:
    told = {name: getattr(gate, name) for name in Gate.__slots__}
    return told | {"require": [{n: getattr(each, n) for n in Requirement.__slots__} for each in gate.require]}


def _contestant_to_dict(contestant: Contestant) -> dict[str, Any]:
    told = {name: getattr(contestant, name) for name in Contestant.__slots__}
    told["content"] = contestant.content.as_dict() if contestant.content is not None else None
    return told | {"parameters": contestant.parameters.as_dict()}


def _contestant_from_dict(told: dict[str, Any]) -> Contestant:
    content = told["content"]
    content = None if content is None else PromptContent.of(content)
    return Contestant(**told | {"content": content, "parameters": Parameters(**told["parameters"])})


def placed(contestants: "tuple[Contestant, ...] | list[Contestant]") -> tuple[Contestant, ...]:
    """The contestants with their positions, in this order."""
    return tuple(replace(each, position=at) for at, each in enumerate(contestants))
