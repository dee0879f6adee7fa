"""One prompt, several models; votes; and the rule that names a winner."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from core.domain.generation import Generation, Parameters

Metric = Literal["cost", "latency", "ttft", "tokens", "length"]
VoteChoice = Literal["a", "b", "tie", "both_bad"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One answer of a comparison. system None = the comparison's own; generation None = not there (yet)."""

    position: int
    model: str
    system: str | None = None
    parameters: Parameters = field(default_factory=Parameters)
    generation: Generation | None = None

    @property
    def letter(self) -> str:
        return "ABCDEFGH"[self.position]

    @property
    def can_win(self) -> bool:
        g = self.generation
        return g is not None and g.status == "ok" and bool(g.text.strip())


@dataclass(frozen=True, slots=True)
class Criterion:
    """A step of the winner rule: the smaller (or larger) value wins; values within `tie_share` of the best are equal."""

    metric: Metric
    tie_share: float = 0.05
    larger_is_better: bool = False


DEFAULT_RULE: tuple[Criterion, ...] = (Criterion("cost", 0.05), Criterion("latency", 0.05))


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """winner: Position by the rule; None = nobody, or a tie to the end of the rule."""

    id: str
    created_at: datetime
    source: str
    prompt: str
    system: str | None
    rule: Sequence[Criterion]
    candidates: tuple[Candidate, ...]
    winner: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    comparison_id: str
    created_at: datetime
    model_a: str
    model_b: str
    choice: VoteChoice
    is_blind: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WinRate:
    """A model's share of decided pairs, ties aside; rate and interval None below the least number of pairs."""

    model: str
    n_wins: int
    n_losses: int
    n_ties: int
    rate: float | None
    lower: float | None
    upper: float | None

    @property
    def n_decided(self) -> int:
        return self.n_wins + self.n_losses
