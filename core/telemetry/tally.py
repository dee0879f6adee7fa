"""Figures of calls that only this process knows, in ordinary Prometheus metrics of a registry of their own.

Where several processes serve one address (PROMETHEUS_MULTIPROC_DIR), prometheus_client keeps the values in files there
and any of them can tell the sums of all.
"""

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from core.domain.generation import Generation
from core.domain.metrics import CallFacts
from core.storage.engine.files import private_folder
from core.telemetry.families import Bounded

OVERHEAD_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_LIVE_FILE = re.compile(r"gauge_live\w+_(\d+)\.db")


class Tally:
    """folder: where the processes of one server keep their values; None = there is one process."""

    def __init__(self, n_in_flight: Callable[[], int], folder: Path | None) -> None:
        self._n_in_flight = n_in_flight
        self._folder = folder
        if folder is not None:
            private_folder(folder.absolute())
        self._registry = registry = CollectorRegistry()
        self._bounded = Bounded()
        self._children: dict[tuple[int, tuple[str, ...]], Counter] = {}
        who = ("provider", "model")
        self._overhead = Histogram(
            "aimm_overhead_seconds", "Our own share of a call's time.", registry=registry, buckets=OVERHEAD_S
        )
        self._fallbacks = Counter(
            "aimm_fallbacks", "Calls that another model answered.", ("from", "to", "reason"), registry=registry
        )
        self._retries = Counter("aimm_retries", "Attempts after the first.", who, registry=registry)
        self._hits = Counter("aimm_cache_hits", "Answers that were kept from before.", who, registry=registry)
        self._in_flight = Gauge(
            "aimm_inflight_requests", "Calls under way.", registry=registry, multiprocess_mode="livesum"
        )

    def observe(self, g: Generation, facts: CallFacts) -> None:
        self._overhead.observe(facts.overhead_s)
        if facts.n_retries:
            self._child(self._retries, g.provider, self._bounded(g.model)).inc(facts.n_retries)
        if facts.is_hit:
            self._child(self._hits, g.provider, self._bounded(g.model)).inc()
        if facts.fallback_from:
            models = self._bounded(facts.fallback_from), self._bounded(g.model)
            self._child(self._fallbacks, *models, facts.fallback_reason).inc()
        if self._folder is not None:
            self.beat()

    def _child(self, counter: Counter, *labels: str) -> Counter:
        """The counter of these labels; prometheus_client takes ten times as long to find it."""
        key = (id(counter), labels)
        found = self._children.get(key)
        if found is None:
            found = self._children[key] = counter.labels(*labels)
        return found

    def beat(self) -> None:
        """Say how many calls are under way; where several processes serve, nobody else can ask this one."""
        self._in_flight.set(self._n_in_flight())

    def families(self) -> Iterator[Metric]:
        self.beat()
        collector = self._registry
        if self._folder is not None:
            self._forget_dead(self._folder)
            collector = CollectorRegistry()
            MultiProcessCollector(collector, path=str(self._folder))  # type: ignore[no-untyped-call]
        for family in collector.collect():
            # When a series began says nothing here, and doubles their number.
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family

    def close(self) -> None:
        if self._folder is not None:
            mark_process_dead(os.getpid(), path=str(self._folder))  # type: ignore[no-untyped-call]

    @staticmethod
    def _forget_dead(folder: Path) -> None:
        """Calls of a process that was killed are not under way."""
        for file in folder.glob("gauge_live*.db"):
            found = _LIVE_FILE.fullmatch(file.name)
            if found is None:
                continue
            try:
                os.kill(int(found[1]), 0)
            except ProcessLookupError:
                with contextlib.suppress(FileNotFoundError):  # another process was quicker
                    file.unlink()
            except PermissionError:
                continue  # it lives, as another user
