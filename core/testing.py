"""Seams for tests, the project's and those of its users: a clock that can be set, retries at once, calls put on record.

with testing.clock_at(datetime(2026, 3, 1, tzinfo=UTC)):
    testing.record(mm, yesterdays_call)
    assert mm.budgets.statuses()[0].spent_usd == yesterdays_call.cost_usd
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from core import ModelManager, clock
from core.calls import attempts
from core.domain.generation import Generation


@contextmanager
def clock_at(moment: datetime) -> Iterator[None]:
    """Let the core's clock stand still at a moment, for all managers of this process.

    Deadlines and waits go on as they do: they are measured by another clock, which nobody can set.
    """
    before, now_ns = clock._time_ns, clock.to_us(moment) * 1000
    clock._time_ns = lambda: now_ns
    try:
        yield
    finally:
        clock._time_ns = before


@contextmanager
def retries_at_once() -> Iterator[None]:
    """Let no call of this process wait before it tries again, unless its vendor names a time (Retry-After)."""
    before, attempts.WAIT_INITIAL_S = attempts.WAIT_INITIAL_S, 0.0
    try:
        yield
    finally:
        attempts.WAIT_INITIAL_S = before


def record(manager: ModelManager, *generations: Generation) -> None:
    """Put calls on record as if they had just ended: rows, sums and budgets. Returns when they are durable."""
    content = manager.settings.log_content
    for done in [manager.calls.recorder.write(each, content) for each in generations]:
        done.result()
    manager._ledger.charged()


def flush(manager: ModelManager) -> None:
    """Wait until the calls under way have ended and all that was to be written is written."""
    for call in list(manager.calls._calls.values()):
        call.result()
    manager._writer.run(lambda connection: None)
