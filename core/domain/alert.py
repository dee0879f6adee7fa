"""Alerts: of a budget's threshold and of rules, the state each is in, and the messages about them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, get_args

AlertState = Literal["ok", "pending", "firing", "resolved"]
Channel = Literal["webhook", "slack", "email", "pagerduty", "page"]  # page: shown on Alerts, sent nowhere
MAIL = "email:"  # before the address of one person, as a channel of a rule
RuleKind = Literal[
    "error_rate",
    "latency_p95",
    "first_token_p95",
    "unpriced_share",
    "circuit_open",
    "rollback",
    "experiment_verdict",
    "evaluation_gate",
]
RULE_KINDS: tuple[RuleKind, ...] = get_args(RuleKind)
SHARES: tuple[RuleKind, ...] = ("error_rate", "unpriced_share")
TIMES: tuple[RuleKind, ...] = ("latency_p95", "first_token_p95")
OFTEN_S, LOOKS = 60, 96  # at most so often, and so many times in its stretch, are the calls of a rule looked at
EVENTS: tuple[RuleKind, ...] = ("rollback", "experiment_verdict")  # each is told once, and ends without a word


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A budget's threshold, and whether it is passed.

    threshold: A share of the limit.
    is_forecast: It is held against the forecast of the period's end, not against the spend.
    since: When it came into this state.
    period_start: Of the period that it speaks of; None = a rolling budget has none.
    """

    budget_id: str
    budget_name: str
    threshold: float
    is_forecast: bool
    state: AlertState
    since: datetime
    period_start: datetime | None
    text: str = ""

    @property
    def id(self) -> str:
        return f"{self.budget_id}:{'forecast' if self.is_forecast else 'spend'}:{self.threshold:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A message on its way to a channel: one of Channel, or one person's mail. error: Why the last attempt failed."""

    id: str
    channel: str
    created_at: datetime
    n_attempts: int
    next_at: datetime
    delivered_at: datetime | None
    error: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRule:
    """A rule: what must not be, of which calls, and who is told.

    above: A share in [0, 1) or seconds, which the calls of the last `over_s` must not pass; None = the kind has none.
    for_s: It must hold so long before it fires.
    at_least: Calls, below which nothing is known: it neither fires nor resolves.
    where: Names of the log's filter, and their values; of circuits model and vendor alone.
    channels: Empty = all that are set up.
    """

    name: str
    kind: RuleKind
    above: float | None = None
    over_s: int = 900
    for_s: int = 0
    at_least: int = 20
    where: Mapping[str, str] = field(default_factory=dict)
    channels: tuple[str, ...] = ()
    is_on: bool = True

    @property
    def is_window(self) -> bool:
        """True for a number over the last calls, and no state of something else."""
        return self.kind in SHARES or self.kind in TIMES

    @property
    def every_s(self) -> int:
        """The seconds between two looks: of a day's calls there may be millions."""
        return max(OFTEN_S, self.over_s // LOOKS) if self.is_window else OFTEN_S


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleState:
    """The state of a rule for one subject: a model, an alias, an experiment, a suite; empty = all its calls.

    seen_at: When it was last known whether it holds.
    clear_at: Since when it has not held, while it is still firing; None = it holds.
    value: The last share or seconds; None = not known, or there is no number.
    is_told: The last message about it said that it fires.
    event: The event that was told last, where each is told once.
    """

    rule: str
    subject: str
    state: AlertState = "ok"
    since: datetime
    seen_at: datetime
    clear_at: datetime | None = None
    value: float | None = None
    text: str = ""
    is_told: bool = False
    event: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """A span in which nothing is sent of a rule or a budget. name: Of either; empty = of all."""

    id: str
    name: str
    created_at: datetime
    ends_at: datetime
    reason: str
    author: str
