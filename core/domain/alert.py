"""An alert: one threshold of one budget, and what state it is in."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

AlertState = Literal["ok", "pending", "firing", "resolved"]
Channel = Literal["webhook", "slack", "email", "page"]  # page: shown on Monitoring, sent nowhere


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
    """A message on its way to a channel. error: Why the last attempt failed."""

    id: str
    channel: Channel
    created_at: datetime
    n_attempts: int
    next_at: datetime
    delivered_at: datetime | None
    error: str
    title: str
