"""The figures of a window of time, the summed rows that they are made of, and people's opinions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


Bucket = Literal["hour", "day"]
FAILED = "failed"  # as a status to look for: neither ok nor stopped


@dataclass(frozen=True, slots=True)
class Window:
    """A span of whole hours: [since, until)."""

    since: datetime
    until: datetime

    @property
    def previous(self) -> "Window":
        return Window(self.since - (self.until - self.since), self.since)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """Sums and percentiles over [since, until). Times in seconds; None = there is nothing to measure.

    success_rate: Share in [0, 1] of calls that were answered (ok), stopped ones aside.
    cost_usd: The known part; see n_unpriced.
    latency_mean_s, latency_max_s: Of answered calls.
    p50_s … ttft_p99_s: Of answered calls, within 1.1 % of the exact percentile.
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


class Measure(NamedTuple):
    """A figure made of metrics, for all who show it: the API, the tables by model and over time, the headline.

    name: Its field in the API.
    column: In tables, its unit last.
    of: Its value in that unit; None = there is nothing to measure.
    label, help: For people, where the headline has it.
    is_wide: It is one of those for which tables by model have no room.
    """

    name: str
    column: str
    of: Callable[[Metrics], float | None]
    label: str = ""
    help: str = ""
    rise_is_bad: bool = True
    is_wide: bool = False

    @property
    def unit(self) -> str:
        return self.column.rpartition(" ")[2]


MEASURES = (
    Measure(
        "success_rate", "success %", lambda m: None if m.success_rate is None else 100 * m.success_rate,
        "Success rate", "Share of calls with a complete answer; stopped ones are left out.", rise_is_bad=False,
    ),
    Measure("p50", "p50 s", lambda m: m.p50_s),
    Measure(
        "p95", "p95 s", lambda m: m.p95_s,
        "Latency p95", "95 of 100 successful calls were faster, from the request to the last byte.",
    ),
    Measure("p99", "p99 s", lambda m: m.p99_s, is_wide=True),
    Measure(
        "ttft_p50", "first token p50 s", lambda m: m.ttft_p50_s,
        "First token p50", "Half of the calls showed their first text sooner.",
    ),
    Measure("ttft_p95", "first token p95 s", lambda m: m.ttft_p95_s, is_wide=True),
    Measure("ttft_p99", "first token p99 s", lambda m: m.ttft_p99_s, is_wide=True),
)  # fmt: skip


class Pace(NamedTuple):
    """A model's calls of one period. None = not measured.

    n: Answers that were timed; p95_s, mean_s: their times.
    first_s: Mean time until the first token, where nearly all answers were streamed.
    tokens: Mean length of an answer.
    errors: Its failed calls by class.
    attempts: Mean of its newest answers, some hundreds.
    """

    n: int
    p95_s: float | None
    mean_s: float | None
    first_s: float | None
    tokens: float | None
    errors: dict[str, int]
    attempts: float | None = None

    @property
    def tokens_per_s(self) -> float | None:
        """Of an answer that has begun, where that is known."""
        if not self.mean_s or self.tokens is None:
            return None
        after_s = self.mean_s - (self.first_s or 0.0)
        return self.tokens / after_s if after_s > 0 else None


class Answered(NamedTuple):
    """An answered call. ref_name, key_id: empty = it has none."""

    latency_us: int
    n_attempts: int
    ref_name: str
    key_id: str


class MadeFor(NamedTuple):
    """A workflow or key that most slow answers were made for or with. Shares of the slow ones, and of all."""

    kind: Literal["workflow", "key"]
    value: str
    of_slow: float
    of_all: float


class Slowdown(NamedTuple):
    """The move of all calls' latency p95 from one period to another, and what moved it most. Pairs: before, after.

    n: Answers. is_sure: They are too many for it to be chance, however often one looks.
    is_mix: It was the shares of the models, above all that of `model`; else the times of this model.
    share: Of the answers, the model's. pace: The model's calls. made_for: Of its newest slow ones; None = no one thing.
    """

    p95_s: tuple[float, float]
    n: tuple[int, int]
    is_sure: bool
    is_mix: bool
    model: str
    share: tuple[float, float]
    pace: tuple[Pace, Pace]
    made_for: MadeFor | None = None

    @property
    def rise(self) -> float:
        return self.p95_s[1] / self.p95_s[0] - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsRow:
    """Metrics of one bucket (None = the whole window) and model (None = all)."""

    bucket: datetime | None
    model: str | None
    provider: str | None
    metrics: Metrics

    @property
    def on(self) -> date | None:
        """The day (UTC) of a bucket that is one."""
        return self.bucket.date() if self.bucket is not None else None


class Counted(NamedTuple):
    """Calls that a filter of the log finds. cost_usd: The known part; see n_unpriced."""

    n: int
    n_failed: int
    cost_usd: Decimal
    n_unpriced: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """Spend of this month so far, and at its end if it goes on as so far; None = too early to say."""

    spent_usd: Decimal
    projected_usd: Decimal | None
    n_days: float


class RollupKey(NamedTuple):
    """One row of the rollups. bucket_at: start of the hour or day (µs)."""

    bucket_at: int
    model: str
    provider: str
    source: str
    status: str
    error_class: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RollupRows:
    """Rollup rows as columns. The first `n_answered` are of answered calls (status ok); only they carry times.

    counts[name]: int64, as long as `keys`. times[name]: as long as n_answered.
    """

    keys: list[RollupKey]
    counts: dict[str, "NDArray[np.int64]"]
    n_answered: int
    times: dict[str, Sequence[Any]]

    def __len__(self) -> int:
        return len(self.keys)


class CallTotals(NamedTuple):
    """Of all calls that have these first six in common. first_at: the first day (µs) on which there was one."""

    model: str
    provider: str
    source: str
    status: str
    error_class: str
    first_at: int
    n: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    thinking_tokens: int
    cost_nano_usd: int
    n_unpriced: int
    n_estimated: int


class Times(NamedTuple):
    """Of answered calls of one model. Sums in microseconds; histograms as core.statistics.histogram has them."""

    model: str
    provider: str
    latency_sum_us: int
    ttft_sum_us: int
    latency_histogram: bytes
    ttft_histogram: bytes


class Totals(NamedTuple):
    """All that was recorded. One thing may have several rows, to be added up."""

    calls: list[CallTotals]
    times: list[Times]


class VariantTotals(NamedTuple):
    """A variant in one phase of an experiment. is_served: The split promises it traffic."""

    experiment_id: str
    experiment: str
    is_running: bool
    phase: int
    variant: str
    weight: int
    is_served: bool
    n_assigned: int
    n_outcomes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFacts:
    """The facts of a call beside its record, for those who count calls or trace them.

    overhead_s: Our own share of the latency.
    n_retries: Attempts after the first.
    fallback_from: The model that should have answered; empty = it did.
    fallback_reason: The class of its error.
    is_hit: The answer is a cached response.
    is_streamed: It was asked for chunk by chunk.
    traceparent: The caller's trace, as W3C writes it; empty = none.
    """

    overhead_s: float
    n_retries: int = 0
    fallback_from: str = ""
    fallback_reason: str = ""
    is_hit: bool = False
    is_streamed: bool = True
    traceparent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """One person's opinion of one answer.

    thumb: up, down or None.
    rating: 1 to 5.
    key_id, user_id: Its author; empty = not said.
    """

    generation_id: str
    key_id: str = ""
    user_id: str = ""
    thumb: str | None = None
    rating: float | None = None
    text: str | None = None
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackSums:
    """The opinions of a model's or a tag's answers. rating: their mean; None = nobody rated."""

    name: str
    n: int
    n_up: int
    n_down: int
    n_rated: int
    rating: float | None
