"""An A/B test of model variants."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from core.domain.generation import Parameters

ExperimentStatus = Literal["running", "stopped"]
Action = Literal["ship", "hold", "inconclusive"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One arm. The first one is the control."""

    position: int
    name: str
    model: str
    system: str | None = None
    parameters: Parameters = field(default_factory=Parameters)
    weight: int = 1

    @property
    def key(self) -> str:
        """The name of the arm in HTTP answers: variant_a, variant_b …"""
        return f"variant_{'abcdefghij'[self.position]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """salt: Makes its assignment independent of every other experiment's."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeSums:
    """What is recorded of one variant. rating_m2: sum of squared differences from the mean rating."""

    position: int
    n_exposed: int = 0
    n_outcomes: int = 0
    n_successes: int = 0
    n_ratings: int = 0
    rating_mean: float = 0.0
    rating_m2: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSums:
    """What the calls of one variant tell by themselves. Times in seconds; cost None = a price is unknown."""

    position: int
    n: int = 0
    n_errors: int = 0
    latency_mean_s: float | None = None
    tokens_mean: float | None = None
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the data carry. winner: a variant's position, only where action is ship."""

    action: Action
    headline: str
    reasons: tuple[str, ...]
    winner: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeInput:
    """An outcome to record; variant: position, key or name. rating: 1 to 5."""

    variant: str | int
    success: bool
    rating: float | None = None
    unit_id: str | None = None
    generation_id: str | None = None
