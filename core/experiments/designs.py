"""Experiments as they are set up: created, changed in phases, stopped."""

import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from core import clock
from core.domain.experiment import Experiment, Phase, Variant
from core.errors import Conflict, InvalidRequest, NotFound
from core.experiments.checks import MAX_NAME, checked_design, checked_unit, checked_variants, made_up_hypothesis
from core.experiments.planner import next_weights
from core.formats.text import as_list
from core.storage.engine.database import Connection
from core.storage.engine.writer import Writer
from core.storage.experiments.designs import ExperimentStore, design_to_json
from core.storage.people.audit import note


class ExperimentDesigns:
    """The designs of experiments.

    resolve: A variant with the model that it really asks.
    """

    def __init__(self, store: ExperimentStore, writer: Writer, resolve: Callable[[Variant], Variant]) -> None:
        self._store = store
        self._writer = writer
        self._resolve = resolve

    def create(
        self,
        name: str,
        variants: Sequence[str | Variant],
        *,
        hypothesis: str = "",
        unit: str = "user",
        **design: Any,
    ) -> Experiment:
        """Start an experiment; the first variant with a weight is the control. design: the fields of Design.

        Raises:
            InvalidRequest: Fewer than two variants, weights that are not positive in sum, a name that is empty or too
                long, a field of the design out of range.
            ModelNotFound, AuthenticationError: A variant's model cannot be asked.
        """
        if not name.strip() or len(name) > MAX_NAME:
            raise InvalidRequest(f"An experiment needs a name of 1 to {MAX_NAME} characters.")
        made = checked_design(design)
        chosen = checked_variants(as_list(variants), self._resolve)
        now = clock.now()
        experiment = Experiment(
            id=f"e_{clock.now_us():x}{secrets.token_hex(4)}",
            name=name.strip(),
            hypothesis=hypothesis.strip() or made_up_hypothesis(chosen, made),
            unit=checked_unit(unit),
            salt=secrets.token_hex(8),
            status="running",
            created_at=now,
            stopped_at=None,
            variants=chosen,
            design=made,
            phases=(Phase(number=1, started_at=now, ended_at=None, variants=chosen),),
        )

        def work(connection: Connection) -> None:
            self._store.insert(connection, experiment)
            note(
                connection, "experiment started", experiment.name, {"id": experiment.id, "design": design_to_json(made)}
            )

        self._writer.run(work)
        return experiment

    def change(self, experiment_id: str, variants: Sequence[Variant]) -> Experiment:
        """Open a new phase with other weights or variants. What was recorded stays with the phase it belongs to.

        Raises:
            NotFound, Conflict (stopped), InvalidRequest (see create; or nothing changes)
        """
        experiment = self.running(experiment_id)
        return self._open_phase(experiment, checked_variants(variants, self._resolve))

    def weigh(self, experiment_id: str, weights: Sequence[int]) -> Experiment:
        """Open a new phase with other weights. Raises: see change."""
        experiment = self.running(experiment_id)
        if len(weights) != len(experiment.variants):
            raise InvalidRequest(f"{len(weights)} weights given for {len(experiment.variants)} variants.")
        chosen = [replace(v, weight=w) for v, w in zip(experiment.variants, weights, strict=True)]
        return self._open_phase(experiment, checked_variants(chosen, lambda variant: variant))

    def _open_phase(self, experiment: Experiment, chosen: tuple[Variant, ...]) -> Experiment:
        if chosen == experiment.variants:
            raise InvalidRequest("Nothing changes: weights and variants are as they were.")
        phase = Phase(number=experiment.phase + 1, started_at=clock.now(), ended_at=None, variants=chosen)

        def work(connection: Connection) -> None:
            if not self._store.insert_phase(connection, experiment.id, phase):
                raise Conflict("The experiment was changed by someone else meanwhile.")
            detail = {"phase": phase.number, "weights": [variant.weight for variant in chosen]}
            note(connection, "experiment changed", experiment.name, detail)

        self._writer.run(work)
        return self.get(experiment.id)

    def get(self, experiment_id: str) -> Experiment:
        found = self._store.get(experiment_id)
        if found is None:
            raise NotFound(f"There is no experiment {experiment_id[:60]!r}.")
        return found

    def running(self, experiment_id: str) -> Experiment:
        """The experiment, if it runs. Raises: NotFound, Conflict."""
        experiment = self.get(experiment_id)
        if experiment.status != "running":
            raise Conflict("The experiment is stopped; it takes no more traffic.")
        return experiment

    def all(self, *, demo: bool = True) -> list[Experiment]:
        """Running ones first, then newest first; demo: with the made-up ones, which no program may meet."""
        return [experiment for experiment in self._store.all() if demo or not experiment.is_demo]

    def stop(self, experiment_id: str, why: str = "") -> None:
        experiment = self.get(experiment_id)

        def work(connection: Connection) -> bool:
            stopped = self._store.stop(connection, experiment_id, clock.now_us(), why.strip()[:2000])
            if stopped:
                note(connection, "experiment stopped", experiment.name, {"id": experiment_id, "why": why.strip()[:200]})
            return stopped

        if not self._writer.run(work):
            raise Conflict("The experiment is stopped already.")

    def acknowledge(self, experiment_id: str) -> None:
        """Say that a wrong split was seen: the verdict shows again. Kept in the audit trail."""
        experiment = self.get(experiment_id)

        def work(connection: Connection) -> None:
            self._store.acknowledge(connection, experiment_id, clock.now_us())
            note(connection, "split alarm acknowledged", experiment.name, {"id": experiment_id})

        self._writer.run(work)

    def reallocate(self) -> None:
        """Move the weights of experiments that earn while they learn (Thompson sampling); each move is a phase."""
        for experiment in self._store.all():
            if experiment.status == "running" and experiment.design.allocation == "thompson":
                weights = next_weights(experiment, self._store.sums(experiment.id))
                if weights is not None:
                    with suppress(Conflict, InvalidRequest):  # another process has moved them
                        self.weigh(experiment.id, weights)
