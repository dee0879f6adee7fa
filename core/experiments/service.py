"""Experiments for their users, in three services: designs, traffic and reports."""

from collections.abc import Callable
from functools import partial

from core.calls.engine import CallEngine
from core.domain.experiment import Variant
from core.domain.key import Key
from core.experiments.designs import ExperimentDesigns
from core.experiments.reports import ExperimentReports
from core.experiments.routing import TrafficRouter
from core.experiments.traffic import ExperimentTraffic
from core.storage.engine.database import Database
from core.storage.engine.writer import Writer
from core.storage.experiments import check as sums_check
from core.storage.experiments.designs import ExperimentStore


class Experiments:
    """Three services; what programs do every day with them is found here as well, by the same names.

    designs: Experiments as they are set up.
    traffic: Their units, answered and recorded.
    reports: What they have shown.
    """

    def __init__(  # noqa: PLR0913 - see ExperimentDesigns and ExperimentTraffic
        self,
        database: Database,
        writer: Writer,
        calls: CallEngine,
        router: TrafficRouter,
        resolve: Callable[[Variant], Variant],
        run_workflow: Callable[[Variant, str, Key | None], str],
        *,
        keeps_text: bool = True,
    ) -> None:
        self._database, self._writer = database, writer
        store = ExperimentStore(database)
        designs = self.designs = ExperimentDesigns(store, writer, resolve)
        traffic = self.traffic = ExperimentTraffic(
            database, writer, calls, router, designs, run_workflow, keeps_text=keeps_text
        )
        reports = self.reports = ExperimentReports(database, store, designs)
        self.create, self.change, self.weigh, self.stop = designs.create, designs.change, designs.weigh, designs.stop
        self.get, self.all = designs.get, designs.all
        self.assign, self.start, self.record = traffic.assign, traffic.start, traffic.record
        self.report, self.record_of, self.verify = reports.report, reports.record_of, reports.verify
        self.differences = reports.differences

    def open(self) -> None:
        """Write the sums of experiments that have none yet."""
        with self._database.read() as connection:
            missing = sums_check.needs_sums(connection)
        for experiment_id in missing:
            self._writer.run(partial(sums_check.rebuild, experiment_id=experiment_id))
