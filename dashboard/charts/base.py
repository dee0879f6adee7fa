"""The range that charts of time show."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pandas as pd


class Span(NamedTuple):
    """The range of a time axis, with data or without: whole buckets, the last of which may not be over."""

    bucket: str
    since: datetime
    until: datetime
    now: datetime

    @classmethod
    def around(cls, bucket: str, since: datetime, until: datetime) -> "Span":
        """Whole buckets around two moments, as of now."""
        width = "D" if bucket == "day" else "h"
        return cls(bucket, pd.Timestamp(since).floor(width), pd.Timestamp(until).ceil(width), datetime.now(UTC))

    @property
    def step(self) -> timedelta:
        return timedelta(days=1) if self.bucket == "day" else timedelta(hours=1)

    @property
    def n(self) -> int:
        """The number of buckets."""
        return max(1, round((self.until - self.since) / self.step))

    @property
    def last(self) -> datetime:
        """The start of the bucket that is not over; `until` where all are."""
        start = self.now.replace(minute=0, second=0, microsecond=0)
        start = start if self.bucket == "hour" else start.replace(hour=0)
        return start if self.since <= start < self.until else self.until


def whole(frame: pd.DataFrame, span: Span) -> pd.DataFrame:
    """A row a bucket of the span: a line breaks where there was nothing, and does not pass over it."""
    times = pd.date_range(
        span.since, span.until, freq="D" if span.bucket == "day" else "h", inclusive="left", name="time"
    )
    return frame.set_index("time").reindex(times).reset_index()
