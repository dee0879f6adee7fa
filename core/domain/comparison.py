"""One prompt, several models; votes; and the rule that names a winner."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from itertools import combinations
from typing import Any, Final, Literal

from core.domain.generation import Generation, Parameters
from core.formats import strict_json as json

Metric = Literal["cost", "latency", "ttft", "tokens", "length"]
VoteChoice = Literal["a", "b", "tie", "both_bad", "skip"]
Best = int | Literal["tie", "both_bad"]  # of all answers of a comparison: the position of the best, or none
ComparisonStatus = Literal["queued", "running", "interrupted", "stopped", "finished"]
LOCAL_VOTER = "local"  # whoever sits at this machine, where nobody has to say who they are
INTERRUPTED: Final = "interrupted"
STOPPED: Final = "stopped"


def prompt_digest(system: str | None) -> str:
    """The first 8 hex digits of a system prompt's SHA-256; empty = there is none."""
    return hashlib.sha256(system.encode()).hexdigest()[:8] if system else ""


@dataclass(frozen=True, slots=True)
class Contestant:
    """The thing that votes count for: a model with its system prompt and parameters, whatever it is asked.

    prompt: See `prompt_digest`.
    settings: The parameters as JSON, by name, without the seed, which only draws another answer.
    """

    model: str
    prompt: str = ""
    settings: str = "{}"

    @property
    def label(self) -> str:
        prompt = [f"prompt {self.prompt}"] if self.prompt else []
        settings = [f"{name} {_short(value)}" for name, value in json.loads(self.settings).items()]
        return " · ".join([self.model, *prompt, *settings])


def _short(value: Any) -> str:
    return str(value) if isinstance(value, int | float | str) else prompt_digest(json.dumps(value))


def _settings(parameters: Parameters) -> str:
    values = {name: value for name, value in parameters.as_dict().items() if name != "seed"}
    whole = {name: int(value) for name, value in values.items() if isinstance(value, float) and value.is_integer()}
    return json.dumps(values | whole, sort_keys=True)


_ASKED_AGAIN = ("cap_reached", "budget_exceeded", INTERRUPTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One answer of a comparison. system None = the comparison's own; generation None = not there (yet), or not read.

    prompt: The digest of the system prompt that it is asked with, kept also where texts are not.
    alias: The name that was asked for, where the model is what that stood for.
    error: The reason why there is no record of a call; `interrupted` or `stopped` where its process or the comparison
        ended before the answer. Neither this nor a generation = it is asked now.
    """

    position: int
    model: str
    system: str | None = None
    parameters: Parameters = field(default_factory=Parameters)
    prompt: str = ""
    alias: str = ""
    generation_id: str = ""
    error: str = ""
    generation: Generation | None = None

    @property
    def letter(self) -> str:
        return "ABCDEFGH"[self.position]

    @property
    def name(self) -> str:
        """The name by which the rules of a key judge it."""
        return self.alias or self.model

    @property
    def contestant(self) -> Contestant:
        return Contestant(self.model, self.prompt, _settings(self.parameters))

    @property
    def is_lost(self) -> bool:
        """True where its answer is still to be asked for when the comparison goes on."""
        return self.error in (INTERRUPTED, STOPPED) or not (self.generation_id or self.error)

    @property
    def is_waiting(self) -> bool:
        """True if its answer is missing for a reason that may be gone by now: money, a stop, an ended process."""
        g = self.generation
        return not self.generation_id or self.is_lost or (g is not None and g.error_class in _ASKED_AGAIN)

    @property
    def is_whole(self) -> bool:
        """True if its call went well: it is never asked again."""
        return self.generation is not None and self.generation.status == "ok"

    @property
    def can_win(self) -> bool:
        return self.is_whole and self.generation is not None and bool(self.generation.text.strip())


@dataclass(frozen=True, slots=True)
class Criterion:
    """A step of the winner rule: the smaller (or larger) value wins; values within `tie_share` of the best tie."""

    metric: Metric
    tie_share: float = 0.05
    larger_is_better: bool = False


DEFAULT_RULE: tuple[Criterion, ...] = (Criterion("cost", 0.05), Criterion("latency", 0.05))


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One prompt, asked of several candidates.

    winner: Position by the rule; None = nobody, or a tie to the end of the rule.
    is_blind: Voters see the answers alone, in an order of their own, until they have voted on each pair.
    key_id: The key that asked for it.
    owner: The process that asks just now; empty = none.
    status: `interrupted` = its process ended before all answers were there; it can go on.
    n_starts: How often it was begun or taken up.
    cap_usd: The most that all its calls may cost.
    """

    id: str
    created_at: datetime
    source: str
    prompt: str
    system: str | None
    rule: Sequence[Criterion]
    candidates: tuple[Candidate, ...]
    winner: int | None = None
    is_blind: bool = False
    key_id: str = ""
    owner: str = ""
    status: ComparisonStatus = "finished"
    n_starts: int = 1
    cap_usd: Decimal | None = None

    @property
    def is_running(self) -> bool:
        return self.status == "running"

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """All pairs of positions."""
        return tuple(combinations(range(len(self.candidates)), 2))

    @property
    def able_pairs(self) -> tuple[tuple[int, int], ...]:
        """The pairs that can be voted on: both answers are whole."""
        return tuple(combinations([c.position for c in self.candidates if c.can_win], 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """A voter's word on two answers of a comparison; position_a is the smaller one.

    voter: `user:` and a login's name, `browser:` and an id, `key:` and an API key's id, or `local`; empty = not known.
    choice: a, b, tie or both_bad; skip = no opinion, which counts for nothing.
    is_blind: The names were hidden.
    shown_first: The position that stood first; None = not known, or not hidden.
    is_mixed: A simulated against a real model.
    """

    id: str
    comparison_id: str
    voter: str
    created_at: datetime
    position_a: int
    position_b: int
    a: Contestant
    b: Contestant
    choice: VoteChoice
    is_blind: bool
    shown_first: int | None = None
    is_mixed: bool = False

    @property
    def is_decided(self) -> bool:
        """True where it says which of two different contestants is better."""
        return self.choice in ("a", "b") and self.a != self.b and not self.is_mixed


@dataclass(frozen=True, slots=True, kw_only=True)
class WinRate:
    """A contestant's share of decided pairs, ties aside; rate and interval None below the least number of pairs."""

    contestant: Contestant
    n_wins: int
    n_losses: int
    n_ties: int
    rate: float | None
    lower: float | None
    upper: float | None

    @property
    def n_decided(self) -> int:
        return self.n_wins + self.n_losses
