"""Latency histograms that merge: log-spaced buckets, 32 to a doubling, kept as a compact blob.

Bucket k holds durations d (µs) with floor(32·log2(d)) = k, from 64 µs on; a percentile read from it is within 1.1 %
of the true one. A blob is a sorted run of little-endian (uint16 bucket, uint32 count).
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

PER_DOUBLING = 32
MIN_US = 64
N_BUCKETS = 1 << 11  # up to 2^64 µs
_PAIRS = np.dtype([("bucket", "<u2"), ("n", "<u4")])

Counts = NDArray[np.int64]


def bucket_of(duration_us: int) -> int:
    return int(PER_DOUBLING * math.log2(max(duration_us, MIN_US)))


def buckets_of(durations_us: NDArray[np.int64]) -> NDArray[np.int64]:
    buckets: NDArray[np.int64] = np.floor(PER_DOUBLING * np.log2(np.maximum(durations_us, MIN_US))).astype(np.int64)
    return buckets


def encode(counts: dict[int, int]) -> bytes:
    """The blob of {bucket: count}; zero counts are left out."""
    pairs = sorted((bucket, n) for bucket, n in counts.items() if n)
    return np.array(pairs, dtype=_PAIRS).tobytes() if pairs else b""


def decode(blob: bytes) -> dict[int, int]:
    pairs = np.frombuffer(blob, dtype=_PAIRS)
    return dict(zip(pairs["bucket"].tolist(), pairs["n"].tolist(), strict=True))


def merge(blob: bytes, counts: dict[int, int]) -> bytes:
    """The blob with `counts` added; they may be negative for rows that are taken back."""
    total = decode(blob)
    for bucket, n in counts.items():
        total[bucket] = total.get(bucket, 0) + n
    return encode(total)


def merge_groups(blobs: Sequence[bytes], groups: NDArray[np.int64], n_groups: int) -> Counts:
    """Sum blobs into one histogram per group: shape (n_groups, N_BUCKETS)."""
    total = np.zeros(n_groups * N_BUCKETS, dtype=np.int64)
    if not blobs:
        return total.reshape(n_groups, N_BUCKETS)
    pairs = np.frombuffer(b"".join(blobs), dtype=_PAIRS)
    lengths = np.fromiter((len(blob) // _PAIRS.itemsize for blob in blobs), dtype=np.int64, count=len(blobs))
    where = np.repeat(groups * N_BUCKETS, lengths) + pairs["bucket"]
    np.add.at(total, where, pairs["n"].astype(np.int64))
    return total.reshape(n_groups, N_BUCKETS)


def percentiles_us(counts: Counts, shares: Iterable[float]) -> list[float | None]:
    """Percentiles of one histogram, each the geometric middle of its bucket; None where it is empty."""
    shares = list(shares)
    filled = np.flatnonzero(counts)
    if not filled.size:
        return [None] * len(shares)
    cumulative = np.cumsum(counts[filled])
    results: list[float | None] = []
    for share in shares:
        at = min(int(np.searchsorted(cumulative, share * int(cumulative[-1]), side="left")), filled.size - 1)
        results.append(2.0 ** ((int(filled[at]) + 0.5) / PER_DOUBLING))
    return results
