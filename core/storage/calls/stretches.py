"""The log in stretches of about as many calls each, the newest first: looked at side by side, as time allows."""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import takewhile
from typing import TypeVar

from sqlalchemy import Connection, func, select

from core.clock import DAY_US
from core.storage.schema import generations, rollups_day

N_CALLS = 25_000  # about as many are in a stretch
N_THREADS = min(4, os.cpu_count() or 1)  # SQLite lets other threads run, PostgreSQL has processes
_c, _day = generations.c, rollups_day.c

# One by one, each is the end of an index; together, SQLite would read all of it.
_ENDS = select(*(select(end(_c.created_at)).scalar_subquery() for end in (func.min, func.max)))

Span = tuple[int, int]
Seen = TypeVar("Seen")


def stretches(connection: Connection, since_us: int, until_us: int) -> list[Span]:
    """[since, until) in stretches, as the sums by day tell how many calls there were; without calls it is one."""
    first, last = connection.execute(_ENDS).one()
    since_us, until_us = max(since_us, first or 0), min(until_us, (last or 0) + 1)
    if since_us >= until_us:
        return []
    of_day = _day.bucket_at > since_us - DAY_US, _day.bucket_at < until_us
    days = connection.execute(
        select(_day.bucket_at, func.sum(_day.n)).where(*of_day).group_by(_day.bucket_at).order_by(_day.bucket_at.desc())
    )
    found: list[Span] = []
    end, n = until_us, 0
    for day, n_of_day in days:
        n += int(n_of_day)
        begin = max(int(day), since_us)
        if n < N_CALLS or begin >= end:
            continue
        step = max(1, -(-(end - begin) // max(1, n // N_CALLS)))
        found += [(max(begin, at - step), at) for at in range(end, begin, -step)]
        end, n = begin, 0
    return [*found, (since_us, end)] if since_us < end else found


def side_by_side(spans: list[Span], look: Callable[[Span], Seen], until_s: float) -> list[tuple[Span, Seen]]:
    """Each stretch with what was seen in it, the newest first, until this moment of the monotonic clock.

    The first ones are looked at in any case, one a thread.
    """

    def looked(place: int) -> tuple[Span, Seen] | None:
        in_time = place < N_THREADS or time.monotonic() < until_s
        return (spans[place], look(spans[place])) if in_time else None

    with ThreadPoolExecutor(N_THREADS) as pool:
        return [each for each in takewhile(lambda each: each is not None, pool.map(looked, range(len(spans)))) if each]
