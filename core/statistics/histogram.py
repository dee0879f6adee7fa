"""Latency histograms that merge: log-spaced buckets, 32 to a doubling, kept as a compact blob.

Bucket k holds durations d (µs) with floor(32·log2(d)) = k, from 64 µs on; a percentile read from it is within 1.1 %
of the true one. A blob is a sorted run of little-endian (uint16 bucket, uint32 count).
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

PER_DOUBLING = 32
MIN_US = 64
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


def joined(blobs: Sequence[bytes]) -> NDArray[np.void]:
    """All pairs of some blobs, one after the other."""
    return np.frombuffer(b"".join(blobs), dtype=_PAIRS)


def merge(blob: bytes, counts: dict[int, int]) -> bytes:
    """The blob with `counts` added; they may be negative for rows that are taken back."""
    total = decode(blob)
    for bucket, n in counts.items():
        total[bucket] = total.get(bucket, 0) + n
    return encode(total)


def together(blobs: Sequence[bytes]) -> bytes:
    """One blob of several."""
    counts, first = merge_groups(blobs, np.zeros(len(blobs), dtype=np.int64), 1)
    used = np.flatnonzero(counts[0])
    pairs = np.empty(used.size, dtype=_PAIRS)
    pairs["bucket"], pairs["n"] = used + first, counts[0][used]
    return pairs.tobytes()


def dense(blobs: Sequence[bytes]) -> tuple[list[Counts], NDArray[np.float64]]:
    """Each blob's counts over one span of buckets, an empty bucket at each end, and that span's borders in seconds."""
    decoded = [decode(blob) for blob in blobs]
    used = [bucket for counts in decoded for bucket in counts] or [PER_DOUBLING * 6]
    first, last = min(used) - 1, max(used) + 1
    rows = [np.array([counts.get(bucket, 0) for bucket in range(first, last + 1)]) for counts in decoded]
    return rows, 2.0 ** (np.arange(first, last + 2) / PER_DOUBLING) / 1e6


def merge_groups(blobs: Sequence[bytes], groups: NDArray[np.int64], n_groups: int) -> tuple[Counts, int]:
    """Sum blobs into one histogram per group.

    Returns:
        Counts of shape (n_groups, n_buckets), and the bucket of the first column: only the span in use is kept.
    """
    pairs = joined(blobs)
    if not pairs.size:
        return np.zeros((n_groups, 1), dtype=np.int64), 0
    first, last = int(pairs["bucket"].min()), int(pairs["bucket"].max())
    width = last - first + 1
    lengths = np.fromiter((len(blob) // _PAIRS.itemsize for blob in blobs), dtype=np.int64, count=len(blobs))
    where = np.repeat(groups * width, lengths) + (pairs["bucket"].astype(np.int64) - first)
    total = np.bincount(where, weights=pairs["n"], minlength=n_groups * width).astype(np.int64)
    return total.reshape(n_groups, width), first


def percentiles_us(counts: Counts, first: int, shares: Sequence[float]) -> NDArray[np.float64]:
    """Percentiles of each row of `counts`, as the geometric middle of a bucket; its first column is bucket `first`.

    Returns:
        Microseconds, shape (rows, shares); nan where a row is empty.
    """
    cumulative = np.cumsum(counts, axis=1)
    totals = cumulative[:, -1]
    found = np.empty((counts.shape[0], len(shares)))
    for column, share in enumerate(shares):
        # the nearest rank: the first bucket at which at least that share of the calls is reached
        found[:, column] = (cumulative < np.maximum(share * totals, 0.5)[:, None]).sum(axis=1)
    middle: NDArray[np.float64] = 2.0 ** ((first + found + 0.5) / PER_DOUBLING)
    middle[totals == 0] = np.nan
    return middle
