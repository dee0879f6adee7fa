"""What monitoring says of a window of time."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """Sums and percentiles over [since, until). Times in seconds; None = there is nothing to measure.

    success_rate: share in [0, 1] of calls that were answered (ok), stopped ones aside. cost_usd: the known part; see n_unpriced.
    latency: of answered calls. p50 … p99 are within 1.1 % of the exact percentile.
    """

    n: int = 0
    n_ok: int = 0
    n_stopped: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    thinking_tokens: int = 0
    cost_usd: Decimal = Decimal(0)
    n_unpriced: int = 0
    unpriced_tokens: int = 0
    n_estimated: int = 0
    latency_mean_s: float | None = None
    latency_max_s: float | None = None
    p50_s: float | None = None
    p95_s: float | None = None
    p99_s: float | None = None
    ttft_p50_s: float | None = None
    ttft_p95_s: float | None = None
    ttft_p99_s: float | None = None
    errors: dict[str, int] = field(default_factory=dict)

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    @property
    def success_rate(self) -> float | None:
        counted = self.n - self.n_stopped
        return self.n_ok / counted if counted else None

    @property
    def cost_per_call_usd(self) -> Decimal | None:
        priced = self.n - self.n_unpriced
        return self.cost_usd / priced if priced else None


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsRow:
    """Metrics of one bucket (None = the whole window) and model (None = all)."""

    bucket: datetime | None
    model: str | None
    provider: str | None
    metrics: Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """Spend of this month so far, and at its end if it goes on as so far; None = too early to say."""

    spent_usd: Decimal
    projected_usd: Decimal | None
    n_days: float
