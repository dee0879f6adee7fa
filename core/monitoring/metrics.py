"""Rollup rows to metrics, grouped by bucket and model, with numpy. Pure."""

from bisect import bisect_right
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.clock import from_us
from core.domain.metrics import Metrics, MetricsRow, RollupRows
from core.statistics.histogram import merge_groups, percentiles_us

SHARES = (0.50, 0.95, 0.99)
_SUMS = (
    "n", "input_tokens", "cached_tokens", "output_tokens", "thinking_tokens", "n_unpriced", "unpriced_tokens",
    "n_estimated",
)  # fmt: skip
_PERCENTILES = ("p50_s", "p95_s", "p99_s", "ttft_p50_s", "ttft_p95_s", "ttft_p99_s")


def summarise(rows: RollupRows, *, starts: Sequence[int] | None, by_model: bool) -> list[MetricsRow]:
    """One row per (bucket, model) that has calls, oldest bucket first.

    starts: Of the buckets (µs), ascending, the first before all rows; None = one bucket for all.
    Without `by_model`, models are added up and `model` is None.
    """
    group_of: dict[tuple[int | None, str | None, str | None], int] = {}
    found = []
    for moment, model, provider, *_ in rows.keys:
        bucket = None if starts is None else starts[bisect_right(starts, moment) - 1]
        name = (bucket, model, provider) if by_model else (bucket, None, None)
        found.append(group_of.setdefault(name, len(group_of)))
    groups = np.array(found, dtype=np.int64)
    all_metrics = _metrics(rows, groups, len(group_of))
    order = sorted(group_of, key=lambda name: (name[0] or 0, name[1] or ""))
    return [
        MetricsRow(
            bucket=None if bucket is None else from_us(bucket),
            model=model,
            provider=provider,
            metrics=all_metrics[group_of[bucket, model, provider]],
        )
        for bucket, model, provider in order
    ]


def _metrics(rows: RollupRows, groups: NDArray[np.int64], n_groups: int) -> list[Metrics]:
    answered, others = groups[: rows.n_answered], groups[rows.n_answered :]

    def add(values: NDArray[np.int64], where: NDArray[np.int64]) -> list[int]:
        sums = np.zeros(n_groups, dtype=np.int64)
        np.add.at(sums, where, values)
        return list(sums.tolist())

    sums = {name: add(values, groups) for name, values in rows.counts.items()}
    n_ok = add(rows.counts["n"][: rows.n_answered], answered)
    latency_sum = add(np.array(rows.times["latency_sum_us"], dtype=np.int64), answered)
    latency_max = np.zeros(n_groups, dtype=np.int64)
    np.maximum.at(latency_max, answered, np.array(rows.times["latency_max_us"], dtype=np.int64))
    # Those that a vendor's batch answered have no time that says anything.
    n_timed, latency = _percentiles_s(rows.times["latency_histogram"], answered, n_groups)
    _, ttft = _percentiles_s(rows.times["ttft_histogram"], answered, n_groups)
    n_stopped = [0] * n_groups
    errors: list[dict[str, int]] = [{} for _ in range(n_groups)]
    n_of = rows.counts["n"][rows.n_answered :].tolist()
    for key, group, n in zip(rows.keys[rows.n_answered :], others.tolist(), n_of, strict=True):
        if key.status == "stopped":
            n_stopped[group] += n
        else:
            name = key.error_class or key.status
            errors[group][name] = errors[group].get(name, 0) + n

    measured: list[dict[str, Any]] = [
        dict(zip(_PERCENTILES, latency[g] + ttft[g], strict=True)) for g in range(n_groups)
    ]
    return [
        Metrics(
            **{name: sums[name][g] for name in _SUMS},
            n_ok=n_ok[g],
            n_stopped=n_stopped[g],
            cost_usd=Decimal(sums["cost_nano_usd"][g]) / 1_000_000_000,
            latency_mean_s=latency_sum[g] / n_timed[g] / 1e6 if n_timed[g] else None,
            latency_max_s=int(latency_max[g]) / 1e6 if n_timed[g] else None,
            **measured[g],
            errors=errors[g],
        )
        for g in range(n_groups)
    ]


def _percentiles_s(
    blobs: Sequence[bytes], groups: NDArray[np.int64], n_groups: int
) -> tuple[list[int], list[list[float | None]]]:
    """Per group how many were measured, and p50, p95 and p99 in seconds; None where nothing was."""
    counts, first = merge_groups(blobs, groups, n_groups)
    values = percentiles_us(counts, first, SHARES) / 1e6
    return counts.sum(axis=1).tolist(), [[None if v != v else v for v in row] for row in values.tolist()]
