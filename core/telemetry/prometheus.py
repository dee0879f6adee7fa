"""The text that Prometheus fetches: totals from the database, and what only the serving processes know."""

import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core import clock
from core.domain.budget import BudgetStatus
from core.domain.generation import Generation
from core.domain.metrics import CallFacts
from core.storage.calls.totals import TotalsStore

if TYPE_CHECKING:
    from core.telemetry.tally import Tally


class PrometheusMetrics:
    """Figures for Prometheus. prometheus_client takes a twentieth of a second to load, so it is loaded on first use."""

    content_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(
        self,
        totals: TotalsStore,
        budgets: Callable[[], Sequence[BudgetStatus]],
        n_in_flight: Callable[[], int],
        *,
        folder: Path | None = None,
    ) -> None:
        """folder: PROMETHEUS_MULTIPROC_DIR, where several processes serve; None = there is one."""
        self._totals = totals
        self._budgets = budgets
        self._n_in_flight = n_in_flight
        self._folder = folder
        self._tally: Tally | None = None
        self._lock = threading.Lock()

    def observe(self, g: Generation, facts: CallFacts) -> None:
        """An Observer: count what the database does not hold."""
        (self._tally or self._started()).observe(g, facts)

    def render(self) -> bytes:
        """The whole text; a few milliseconds, whatever the number of calls."""
        from prometheus_client.exposition import generate_latest

        return generate_latest(_Collected(self._families()))

    def beat(self) -> None:
        """To be called every few seconds, so that other processes of the same server know of this one's calls."""
        if self._folder is not None:
            (self._tally or self._started()).beat()

    def close(self) -> None:
        if self._tally is not None:
            self._tally.close()

    def _families(self) -> list[Any]:
        from core.telemetry import families

        calls, times = self._totals.read(clock.now_us())
        first_seen = sorted({(row.first_at, row.model) for row in calls})
        bounded = families.Bounded(name for _, name in first_seen)
        return [
            *families.of_calls(calls, bounded),
            *families.of_times(times, bounded),
            *families.of_budgets(self._budgets()),
            *families.of_experiments(self._totals.variants()),
            *families.of_runs(self._totals.open_runs()),
            *(self._tally or self._started()).families(),
        ]

    def _started(self) -> "Tally":
        from core.telemetry.tally import Tally

        with self._lock:
            if self._tally is None:
                self._tally = Tally(self._n_in_flight, self._folder)
            return self._tally


class _Collected:
    """The collector that prometheus_client asks for families."""

    def __init__(self, families: Iterable[Any]) -> None:
        self._families = families

    def collect(self) -> Iterable[Any]:
        return self._families
