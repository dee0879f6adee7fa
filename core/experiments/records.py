"""Decision records of the experiments in a database: written, and checked against the rows."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from core import clock
from core.domain.experiment import Decision, Experiment, ShadowCalls
from core.experiments import record
from core.experiments.analysis import Analysis, VariantResult, analyse
from core.experiments.decision import Traffic, decide
from core.formats import strict_json as json
from core.storage.engine.database import Database
from core.storage.experiments import check as sums_check
from core.storage.experiments.designs import ExperimentStore


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
            else round(result.cost_usd + calls.nano / 1e9, 9),
        )
        if (calls := made.get(result.variant.position)) is not None
        else result
        for result in results
    )


class DecisionRecords:
    def __init__(self, database: Database, store: ExperimentStore) -> None:
        self._database = database
        self._store = store

    def written(self, experiment: Experiment, analysis: Analysis, decision: Decision, traffic: Traffic) -> str:
        """The record of this moment."""
        moment = clock.now().isoformat(timespec="seconds")
        analysis = self._with_shadows(analysis, experiment)
        return record.render(self._data(experiment, analysis, decision, traffic=traffic, written_at=moment))

    def verify(self, text: str, experiment: Experiment) -> list[str]:
        """Recompute every number of a record from the rows; where they disagree; empty = nowhere.

        The traffic, on which a running experiment's days and dollars a month rest, is taken as it was stated.

        Raises:
            InvalidRequest: It is no record.
        """
        stated = record.parse(text)
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
