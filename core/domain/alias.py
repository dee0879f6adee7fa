"""A name that programs ask for, and what answers it today."""

from dataclasses import dataclass, field
from datetime import datetime

from core.domain.generation import Parameters
from core.formats.text import make_lists


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What answers: a model with a prompt and parameters. What a request says itself comes first.

    fallbacks: Models that answer, in this order, where it fails. cache_s: For how many seconds its answers may be given again.
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
class Alias:
    """rollout_id: the experiment that brings in another target step by step; None = none runs."""

    name: str
    target: Target
    changed_at: datetime
    rollout_id: str | None = None
    note: str = ""
