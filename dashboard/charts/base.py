"""The range that charts of time show, and what is marked in it."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pandas as pd

from core.formats import zones


class Incident(NamedTuple):
    """Hours in which many calls failed.

    n: Failures in them. cause: The class of most. whose: The models of most, with their vendor.
    slower: The model whose answers took longer than usual by most, in words, and its name; empty = none did.
    """

    since: datetime
    until: datetime
    n: int
    cause: str
    whose: str
    slower: str = ""
    slower_model: str = ""


class Span(NamedTuple):
    """The range of a time axis, with data or without: whole buckets, the last of which may not be over.

    zone: By whose days it is cut, and in which it is labelled.
    """

    bucket: str
    since: datetime
    until: datetime
    now: datetime
    zone: str = "UTC"

    @classmethod
    def around(cls, bucket: str, since: datetime, until: datetime, zone: str = "UTC") -> "Span":
        """Whole buckets around two moments, as of now."""
        if bucket == "day":
            starts = zones.day_starts(since, until, zones.zone(zone))
            since, until = starts[0], starts[-1]
        return cls(bucket, pd.Timestamp(since).floor("h"), pd.Timestamp(until).ceil("h"), datetime.now(UTC), zone)

    @property
    def edges(self) -> list[datetime]:
        """The start of each bucket, and the end of the last; a day may have 23 or 25 hours."""
        if self.bucket == "day":
            return zones.day_starts(self.since, self.until, zones.zone(self.zone))
        return list(pd.date_range(self.since, self.until, freq="h").to_pydatetime())

    @property
    def step(self) -> timedelta:
        """The length of most buckets."""
        return timedelta(days=1) if self.bucket == "day" else timedelta(hours=1)

    @property
    def n(self) -> int:
        """The number of buckets."""
        return max(1, round((self.until - self.since) / self.step))

    def end(self, start: datetime) -> datetime:
        """The end of the bucket that begins at a moment."""
        return next((each for each in self.edges if each > start), self.until)


def whole(frame: pd.DataFrame, span: Span) -> pd.DataFrame:
    """A row a bucket of the span: a line breaks where there was nothing, and does not pass over it."""
    times = pd.DatetimeIndex(span.edges[:-1], name="time")
    return frame.set_index("time").reindex(times).reset_index()
