"""All that was ever recorded, summed: what the counters of /metrics are read from, so that they survive a restart.

The demo is left out of all of it: it comes with one click and goes with one, and counters only rise.
"""

import threading
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, and_, func, select

from core.clock import DAY_US
from core.domain.metrics import CallTotals, Times, Totals, VariantTotals
from core.statistics import histogram
from core.storage.engine.database import Database, Store
from core.storage.experiments.schema import experiment_sums, experiment_variants, experiments
from core.storage.schema import rollups_day, workflow_runs

MAX_EXPERIMENTS = 200  # the newest; a dashboard of more is not read
KEPT_US = 60_000_000


class TotalsStore(Store):
    """Days that are over are read once a minute: only new prices, imports and made-up history still change them.

    A year of twenty models is a hundred thousand rows of days; today and yesterday are some hundred.
    """

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._lock = threading.Lock()
        self._past = Totals([], [])
        self._past_of = 0, 0  # until when it reaches, and when it was read (µs)

    def read(self, now_us: int) -> Totals:
        yesterday = now_us // DAY_US * DAY_US - DAY_US
        at = rollups_day.c.bucket_at
        with self._lock, self._database.read() as connection:
            reaches, read_at = self._past_of
            if reaches != yesterday or not 0 <= now_us - read_at < KEPT_US:
                times = _together(_times(connection, at < yesterday))
                self._past = Totals(_calls(connection, at < yesterday), times)
                self._past_of = yesterday, now_us
            calls, times = _calls(connection, at >= yesterday), _times(connection, at >= yesterday)
            return Totals(self._past.calls + calls, self._past.times + times)

    def variants(self) -> list[VariantTotals]:
        """Of the newest experiments."""
        e, v = experiments.c, experiment_variants.c
        newest = select(e.id).where(e.is_demo == 0).order_by(e.created_at.desc(), e.id).limit(MAX_EXPERIMENTS)
        newest = newest.correlate(None)
        exposure, success = experiment_sums.alias(), experiment_sums.alias()
        variants = experiment_variants.join(experiments, v.experiment_id == e.id)
        for sums, metric in ((exposure, "exposure"), (success, "success")):
            variants = variants.outerjoin(sums, _of_variant(sums, metric))
        columns = (
            e.id, e.name, e.status, v.phase, v.name, v.weight, v.is_shadow,
            exposure.c.n, success.c.n, success.c.mean_x,
        )  # fmt: skip
        statement = select(*columns).select_from(variants).where(e.id.in_(newest)).order_by(e.id, v.phase, v.position)
        rows = self._database.rows(statement)
        return [
            VariantTotals(
                experiment_id, name, status == "running", phase, variant, weight, weight > 0 and not is_shadow,
                int(n_exposed or 0), round((n_units or 0) * (mean or 0.0)),
            )
            for experiment_id, name, status, phase, variant, weight, is_shadow, n_exposed, n_units, mean in rows
        ]  # fmt: skip

    def open_runs(self) -> dict[str, int]:
        """Workflow runs that wait, and that run."""
        c = workflow_runs.c
        states = ("queued", "running")
        statement = select(c.status, func.count()).where(c.status.in_(states)).group_by(c.status)
        return dict.fromkeys(states, 0) | {status: int(n) for status, n in self._database.rows(statement)}


def _calls(connection: Connection, where: Any) -> list[CallTotals]:
    c = rollups_day.c
    key = (c.model, c.provider, c.source, c.status, c.error_class)
    sums = [func.sum(c[name]) for name in CallTotals._fields[6:]]
    wanted = and_(where, c.source != "demo")
    rows = connection.execute(select(*key, func.min(c.bucket_at), *sums).where(wanted).group_by(*key))
    return [CallTotals(*row[:5], *(int(value) for value in row[5:])) for row in rows]


def _times(connection: Connection, where: Any) -> list[Times]:
    c = rollups_day.c
    wanted = and_(where, c.status == "ok", c.source != "demo")
    rows = connection.execute(select(*(c[name] for name in Times._fields)).where(wanted))
    return [Times(*row) for row in rows]


def _together(rows: Sequence[Times]) -> list[Times]:
    """One row a model."""
    groups: dict[tuple[str, str], list[Times]] = {}
    for row in rows:
        groups.setdefault(row[:2], []).append(row)
    return [
        Times(
            *key,
            sum(row.latency_sum_us for row in group),
            sum(row.ttft_sum_us for row in group),
            histogram.together([row.latency_histogram for row in group]),
            histogram.together([row.ttft_histogram for row in group]),
        )
        for key, group in groups.items()
    ]


def _of_variant(sums: Any, metric: str) -> Any:
    v, s = experiment_variants.c, sums.c
    same = (s.experiment_id == v.experiment_id, s.phase == v.phase, s.position == v.position)
    return and_(*same, s.metric == metric)
