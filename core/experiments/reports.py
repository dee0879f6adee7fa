"""Experiments as they are read: numbers, verdicts, histories, and decision records that can be checked."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from core import clock
from core.domain.experiment import DayCounts, Decision, Experiment, ShadowCalls, UnitRow
from core.domain.metrics import Window
from core.experiments import record
from core.experiments.analysis import Analysis, VariantResult, analyse, history
from core.experiments.decision import (
    Traffic,
    advice,
    cautions,
    decide,
    is_same,
    novelty,
    scores,
    time_left,
    verdict,
    waits,
)
from core.experiments.designs import ExperimentDesigns
from core.experiments.planner import Progress, progress
from core.experiments.words import Score
from core.formats import strict_json as json
from core.statistics.experiments.sums import Look, Sums
from core.statistics.interval import Interval
from core.storage.engine.database import Database
from core.storage.experiments import check as sums_check
from core.storage.experiments.designs import ExperimentStore

TRAFFIC_DAYS = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentReport:
    """An experiment with its analysis, its decision, its traffic, and what to be careful about."""

    experiment: Experiment
    analysis: Analysis
    decision: Decision
    traffic: Traffic
    cautions: tuple[str, ...]
    shadows: tuple[ShadowCalls, ...] = ()

    @property
    def results(self) -> tuple[VariantResult, ...]:
        """The variants' results with what shadows were asked and cost."""
        return with_shadows(self.analysis.results, self.shadows)

    @property
    def scores(self) -> list[Score]:
        """Every metric of every variant beside the control, judged."""
        return scores(self.experiment, self.analysis)

    @property
    def verdict(self) -> str:
        """The decision as one sentence, with the effect that it stands on."""
        return verdict(self.experiment, self.analysis, self.decision)

    @property
    def advice(self) -> str:
        """The next step, as one sentence; empty = there is none."""
        return advice(self.experiment, self.decision)

    @property
    def is_same(self) -> bool:
        """Tell whether all its variants answer alike, so that none can be better."""
        return is_same(self.experiment)

    @property
    def waits(self) -> bool:
        """True where the next step is a person's."""
        return waits(self.experiment, self.decision)

    @property
    def time_left(self) -> str:
        """Stopped, Decided, or about how long it still takes."""
        return time_left(self.experiment, self.decision)

    @property
    def progress(self) -> Progress | None:
        """The way to the size at which the primary metric is told; None = it cannot be estimated."""
        return progress(self.experiment, self.analysis, self.traffic.units)


class ExperimentReports:
    """The numbers of experiments, and what they carry."""

    def __init__(self, database: Database, store: ExperimentStore, designs: ExperimentDesigns) -> None:
        self._database = database
        self._store = store
        self._designs = designs

    def report(self, experiment_id: str) -> ExperimentReport:
        """The numbers of an experiment and what they carry; from sums, whatever the number of outcomes."""
        experiment = self._designs.get(experiment_id)
        analysis = analyse(experiment, self._store.sums(experiment_id))
        traffic = self._traffic(experiment, analysis)
        return ExperimentReport(
            experiment=experiment,
            analysis=analysis,
            decision=decide(experiment, analysis, traffic),
            traffic=traffic,
            cautions=tuple(cautions(experiment, analysis, traffic)),
            shadows=tuple(self.shadow_costs(experiment_id)) if experiment.had_shadows else (),
        )

    def decided(self) -> list[tuple[str, str, str, str]]:
        """Of each running experiment with real traffic: its id, its name, its decision by a name (empty = none is
        due yet), and the verdict."""
        found = []
        for experiment in self._designs.all(demo=False):
            if experiment.status != "running" or experiment.is_simulated or experiment.is_rollout:
                continue
            report = self.report(experiment.id)
            made = report.decision
            name = "" if made.action == "inconclusive" else f"{made.action}:{made.winner}:{experiment.phase}"
            found.append((experiment.id, experiment.name, name, f"{experiment.name}: {report.verdict}"))
        return found

    def novelty(self, experiment_id: str) -> list[str]:
        """Variants whose effect was another one among the first units than later."""
        experiment, looks = self._designs.get(experiment_id), self._store.looks(experiment_id)
        found = (novelty(experiment, looks, variant.position) for variant in experiment.served[1:])
        return [sentence for sentence in found if sentence]

    def history(self, experiment_id: str) -> dict[int, list[tuple[Look, Interval]]]:
        """Each variant's difference in the primary metric over time, with the interval that held then."""
        experiment, looks = self._designs.get(experiment_id), self._store.looks(experiment_id)
        return {variant.position: history(experiment, looks, variant.position) for variant in experiment.served[1:]}

    def sums(self, experiment_id: str) -> Sums:
        return self._store.sums(experiment_id)

    def days(self, experiment_id: str) -> list[DayCounts]:
        return self._store.days(experiment_id)

    def latest_units(self, experiment_id: str, limit: int = 10) -> list[UnitRow]:
        return self._store.latest_units(experiment_id, limit)

    def shadow_pairs(self, experiment_id: str, limit: int = 5) -> list[tuple[str, str]]:
        """(shadow generation, served generation), the latest first: for a judgement of what nobody saw."""
        return self._store.shadow_pairs(experiment_id, limit)

    def shadow_costs(self, experiment_id: str) -> list[ShadowCalls]:
        return self._store.shadow_calls(experiment_id)

    def successes(self, window: Window, *, simulated: bool = False) -> dict[str, int]:
        """Successful outcomes of the days in a window by experiment name; of the same name together.

        simulated: Those of simulated models and of the demo instead of the real ones.
        """
        return self._store.successes(window, simulated=simulated)

    def differences(self) -> list[str]:
        """Disagreements of sums and rows; empty = nowhere. Reads everything."""
        found = []
        for experiment in self._store.all():
            with self._database.read() as connection:
                found += sums_check.differences(connection, experiment.id)
        return found

    def record_of(self, experiment_id: str) -> str:
        """The decision record of this moment: a Markdown file with its data, which `verify` checks."""
        found = self.report(experiment_id)
        moment = clock.now().isoformat(timespec="seconds")
        analysis = self._with_shadows(found.analysis, found.experiment)
        data = self._data(found.experiment, analysis, found.decision, traffic=found.traffic, written_at=moment)
        return record.render(data)

    def verify(self, text: str) -> list[str]:
        """Recompute every number of a decision record from the rows; where they disagree; empty = nowhere.

        The traffic, on which a running experiment's days and dollars a month rest, is taken as it was stated.

        Raises:
            InvalidRequest: It is no record. NotFound.
        """
        stated = record.parse(text)
        experiment = self._designs.get(stated["experiment"]["id"])
        with self._database.read() as connection:
            sums = sums_check.recomputed(connection, experiment.id)
        analysis = analyse(experiment, sums)
        traffic = Traffic(**stated["traffic"])
        decision = decide(experiment, analysis, traffic)
        if record.counts_shadows(stated):
            analysis = self._with_shadows(analysis, experiment)
        found = self._data(experiment, analysis, decision, traffic=traffic, written_at=stated["written_at"])
        wrong = record.compare(stated, json.loads(json.dumps(found)))
        if not wrong and record.render(stated) != text:
            wrong.append("The text of the record is not what its data say.")
        return wrong

    def _with_shadows(self, analysis: Analysis, experiment: Experiment) -> Analysis:
        return replace(analysis, results=with_shadows(analysis.results, self._store.shadow_calls(experiment.id)))

    def _data(
        self, experiment: Experiment, analysis: Analysis, decision: Decision, *, traffic: Traffic, written_at: str
    ) -> dict[str, Any]:
        with self._database.read() as connection:
            digest = sums_check.data_hash(connection, experiment.id)
            ids = sums_check.price_ids(connection, experiment.id)
        return record.to_data(
            experiment, analysis, decision, traffic, data_hash=digest, price_ids=ids, written_at=written_at
        )

    def _traffic(self, experiment: Experiment, analysis: Analysis) -> Traffic:
        """Units and calls a day, over the last days; an experiment younger than a day counts as one day old."""
        end = experiment.stopped_at or clock.now()
        since = max(experiment.created_at, end - timedelta(days=TRAFFIC_DAYS))
        span = max(1.0, (end - since) / timedelta(days=1))
        days = [day for day in self._store.days(experiment.id) if day.day_at.date() >= since.date()]
        units = sum(max(day.n_exposed, 0) for day in days) or sum(day.n_outcomes for day in days)
        exposed = sum(result.n_exposed for result in analysis.results)
        calls = sum(result.n_calls for result in analysis.results)
        return Traffic(units=units / span, calls=units / span * calls / exposed if exposed else 0.0)


def with_shadows(results: Sequence[VariantResult], shadows: Sequence[ShadowCalls]) -> tuple[VariantResult, ...]:
    """The results with the calls of shadow variants, which belong to no unit: they were made, and are paid."""
    made = {each.position: each for each in shadows}
    return tuple(
        replace(
            result,
            n_calls=result.n_calls + calls.n,
            n_errors=result.n_errors + calls.n_failed,
            n_unpriced=result.n_unpriced + calls.n_unpriced,
            cost_usd=None
            if calls.n_unpriced or result.cost_usd is None
            else round(result.cost_usd + float(calls.cost_usd), 9),
        )
        if (calls := made.get(result.variant.position)) is not None
        else result
        for result in results
    )
