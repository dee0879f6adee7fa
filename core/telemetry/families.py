"""The database's figures as Prometheus families: right across processes and restarts. Pure."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from core.domain.budget import BudgetStatus
from core.domain.metrics import CallTotals, Times, VariantTotals
from core.errors import BudgetExceeded
from core.statistics.experiments.sample_ratio import sequential_sample_ratio
from core.statistics.histogram import PER_DOUBLING, merge_groups
from core.telemetry.conventions import SECONDS

NANO = 1_000_000_000
MAX_MODELS = 500
MAX_BUDGETS = 500
OTHER = "other"


class Bounded:
    """The first `MAX_MODELS` names as they are, any further one as `other`: a name once shown never moves."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._kept: set[str] = set()
        for name in names:
            self(name)

    def __call__(self, name: str) -> str:
        if name in self._kept:
            return name
        if len(self._kept) >= MAX_MODELS:
            return OTHER
        self._kept.add(name)
        return name


def of_calls(rows: Sequence[CallTotals], bounded: Bounded) -> Iterator[Metric]:
    """Counters of calls, tokens and money."""
    by_model = _Sums()
    requests, tokens, blocks = _Sums(), _Sums(), _Sums()
    estimated, unpriced = _Sums(), _Sums()
    for row in rows:
        who = (row.provider, bounded(row.model))
        requests.add((*who, row.source, row.status, row.error_class), row.n)
        for kind in ("input", "cached", "thinking", "output"):
            tokens.add((*who, kind), getattr(row, f"{kind}_tokens"))
        by_model.add((*who, "known"), row.cost_nano_usd)
        unpriced.add(who, row.n_unpriced)
        estimated.add(who, row.n_estimated)
        if row.error_class == BudgetExceeded.code:
            blocks.add(who, row.n)
    who_names = ("provider", "model")
    yield _counter("requests", "Recorded calls.", (*who_names, "route", "outcome", "error_class"), requests)
    yield _counter(
        "tokens", "Tokens as billed. input includes cached, output includes thinking.", (*who_names, "kind"), tokens
    )
    money = _counter(
        "cost_usd", "Known cost in US dollars; calls without a price are not in it.", (*who_names, "status")
    )
    for labels, nano in by_model.items():
        money.add_metric(labels, nano / NANO)
    yield money
    yield _counter("unpriced_requests", "Calls whose cost is unknown.", who_names, unpriced)
    yield _counter("estimated_requests", "Calls whose cost rests on our own count of tokens.", who_names, estimated)
    yield _counter("budget_blocks", "Calls that a budget refused.", who_names, blocks)


def of_times(rows: Sequence[Times], bounded: Bounded) -> Iterator[Metric]:
    """Histograms of answered calls. An edge stands within 1.1 % of where it says: what is kept are narrow buckets."""
    groups: dict[tuple[str, str], int] = {}
    where = np.array([groups.setdefault((r.provider, bounded(r.model)), len(groups)) for r in rows], dtype=np.int64)
    parts = (
        ("request_duration_seconds", "From the request to the last byte of the answer, retries included.", "latency"),
        ("time_to_first_token_seconds", "From the request to the first text of the answer.", "ttft"),
    )
    for name, text, kind in parts:
        family = HistogramMetricFamily(f"aimm_{name}", text, labels=("provider", "model"))
        sums = np.zeros(len(groups), dtype=np.int64)
        np.add.at(sums, where, np.array([getattr(row, f"{kind}_sum_us") for row in rows], dtype=np.int64))
        blobs = [getattr(row, f"{kind}_histogram") for row in rows]
        counts = _at_edges(*merge_groups(blobs, where, len(groups)))
        for labels, group in groups.items():
            edges = [*(str(edge) for edge in SECONDS), "+Inf"]
            family.add_metric(labels, list(zip(edges, counts[group].tolist(), strict=True)), int(sums[group]) / 1e6)
        yield family


def _at_edges(counts: NDArray[np.int64], first: int) -> NDArray[np.int64]:
    """Calls up to each edge and in all, shape (groups, edges + 1); a bucket counts where its geometric middle is."""
    middles = first + np.arange(counts.shape[1]) + 0.5
    cumulative = np.concatenate([np.zeros((counts.shape[0], 1), dtype=np.int64), counts.cumsum(axis=1)], axis=1)
    reached = np.searchsorted(middles, PER_DOUBLING * np.log2(np.array(SECONDS) * 1e6), side="right")
    found: NDArray[np.int64] = cumulative[:, [*reached.tolist(), -1]]
    return found


def of_budgets(statuses: Sequence[BudgetStatus]) -> Iterator[Metric]:
    parts: tuple[tuple[str, str, Callable[[BudgetStatus], float]], ...] = (
        ("limit_usd", "Limit of the current period, with what it was raised by.", lambda s: float(s.limit_usd)),
        ("spent_usd", "Spent in the current period.", lambda s: float(s.spent_usd)),
        ("reserved_usd", "Reserved by calls under way.", lambda s: float(s.reserved_usd)),
        ("reset_timestamp_seconds", "When the period ends.", lambda s: s.resets_at.timestamp()),
    )
    for name, text, value in parts:
        family = GaugeMetricFamily(f"aimm_budget_{name}", text, labels=("budget",))
        for status in statuses[:MAX_BUDGETS]:
            family.add_metric((status.budget.name,), value(status))
        yield family


def of_experiments(variants: Sequence[VariantTotals]) -> Iterator[Metric]:
    assigned, outcomes = _Sums(), _Sums()
    phases: dict[tuple[str, str, int], list[VariantTotals]] = {}
    for variant in variants:
        assigned.add((variant.experiment, variant.variant), variant.n_assigned)
        outcomes.add((variant.experiment, variant.variant), variant.n_outcomes)
        if variant.is_running and variant.is_served:
            phases.setdefault((variant.experiment_id, variant.experiment, variant.phase), []).append(variant)
    names = ("experiment", "variant")
    yield _counter("experiment_assignments", "Units that were given a variant, counted once a phase.", names, assigned)
    yield _counter("experiment_outcomes", "Outcomes that count.", names, outcomes)
    family = GaugeMetricFamily(
        "aimm_experiment_srm_pvalue",
        "Always-valid p-value of the promised split of a running experiment; below 0.01 the split is wrong.",
        labels=("experiment",),
    )
    evidence: dict[tuple[str, str], float] = {}  # by id first: two experiments may have one name
    for (experiment_id, name, _), served in phases.items():
        log_e = sequential_sample_ratio(
            [variant.n_assigned for variant in served], [variant.weight for variant in served]
        )
        evidence[experiment_id, name] = evidence.get((experiment_id, name), 0.0) + log_e
    worst: dict[str, float] = {}
    for (_, name), log_e in evidence.items():
        worst[name] = min(worst.get(name, 1.0), math.exp(min(0.0, -log_e)))
    for name, p_value in worst.items():
        family.add_metric((name,), p_value)
    yield family


def of_runs(states: Mapping[str, int]) -> Iterator[Metric]:
    family = GaugeMetricFamily("aimm_job_queue_depth", "Workflow runs that wait or run.", labels=("state",))
    for state, n in states.items():
        family.add_metric((state,), n)
    yield family


class _Sums(dict[tuple[str, ...], int]):
    def add(self, labels: tuple[str, ...], value: int) -> None:
        self[labels] = self.get(labels, 0) + value


def _counter(
    name: str, text: str, labels: Sequence[str], sums: Mapping[tuple[str, ...], int] | None = None
) -> CounterMetricFamily:
    family = CounterMetricFamily(f"aimm_{name}", text, labels=labels)
    for values, total in (sums or {}).items():
        family.add_metric(values, total)
    return family
