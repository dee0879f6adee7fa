"""Traffic of experiments: units answered by their variants, and what became of them recorded."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial

import numpy as np

from core import clock
from core.assignment.play import played
from core.calls.call import Call
from core.calls.engine import CallEngine, check_request
from core.calls.origin import Origin
from core.domain.experiment import Assignment, OutcomeInput, RecordedOutcome, Variant
from core.domain.generation import Message, Request
from core.domain.key import Key
from core.errors import Conflict, InvalidRequest
from core.experiments.checks import checked_outcome, request_to
from core.experiments.designs import ExperimentDesigns
from core.experiments.routing import PREFIX, TrafficRouter, not_of_demo
from core.keys.rules import check_model
from core.storage.engine.database import Connection, Database
from core.storage.engine.idempotency import once
from core.storage.engine.writer import Writer
from core.storage.experiments import units as unit_store

MAX_OUTCOMES = 10_000


class ExperimentTraffic:
    """The units of experiments: answered by their variants, and what became of them recorded.

    run_workflow: Starts a variant's workflow on an input, charged to a key, and gives the run's id.
    keeps_text: Whether outcomes' free text is kept.
    """

    def __init__(  # noqa: PLR0913 - what answers a unit, and what records it
        self,
        database: Database,
        writer: Writer,
        calls: CallEngine,
        router: TrafficRouter,
        designs: ExperimentDesigns,
        run_workflow: Callable[[Variant, str, Key | None], str],
        *,
        keeps_text: bool = True,
    ) -> None:
        self._database = database
        self._writer = writer
        self._calls = calls
        self._router = router
        self._designs = designs
        self._run_workflow = run_workflow
        self._keeps_text = keeps_text
        self.assign = router.assign

    def start(
        self, experiment_id: str, unit_id: str, prompt: str, *, force: str | int | None = None, key: Key | None = None
    ) -> tuple[Assignment, Call | str]:
        """Assign a unit and let its variant answer: a call, or the id of a workflow run. key: Who asks.

        A run counts like one call, with the cost of all its calls, once it is over; see `settle_runs`.

        Raises:
            NotFound, Conflict (stopped, or a demo), InvalidRequest; Forbidden: the key may not ask this experiment.
        """
        experiment = self._router.open_to_traffic(experiment_id)
        for variant in experiment.variants:  # nobody is assigned for what no variant's model could answer
            if not variant.workflow:
                check_request(request_to(variant, prompt))
        assignment = self._router.assign_to(experiment, unit_id, force=force, key=key)
        if not assignment.variant.workflow:
            user_id = unit_id if experiment.unit == "user" else ""
            origin = Origin(source="experiment", key=key, user_id=user_id, cache_s=0)
            request = Request(model=f"{PREFIX}{experiment.name}", messages=(Message("user", prompt),))
            return assignment, self._calls.submit(request, origin, unit=assignment)
        run_id = self._run_workflow(assignment.variant, prompt, key)
        self._writer.run(lambda connection: unit_store.begin_run(connection, run_id, assignment.id))
        return assignment, run_id

    def settle_runs(self) -> None:
        """Count the workflow runs of units that are over; each once, whoever started it."""
        with self._database.read() as connection:
            waiting = unit_store.runs_to_settle(connection)
        for run_id in waiting:
            self._writer.run(partial(unit_store.settle_run, run_id=run_id))

    def record(
        self,
        experiment_id: str,
        results: Sequence[OutcomeInput],
        *,
        idempotency_key: str | None = None,
        by: Key | None = None,
        is_own: bool = False,
    ) -> list[RecordedOutcome]:
        """Record outcomes, all or none, and say what became of each. The same idempotency key of the same caller again
        records nothing.

        by: The caller's key.
        is_own: The outcomes are of an answer that was asked for with this key, whatever it may ask.

        Raises:
            Forbidden: The key may not ask this experiment.
            InvalidRequest: A variant is unknown, a rating is not in [1, 5], a number not finite, or nothing is said.
            NotFound. Conflict: it is a demo, or the key came before with another request.
        """
        experiment = self._designs.get(experiment_id)
        if not is_own:
            check_model(by, f"{PREFIX}{experiment.name}")
        not_of_demo(experiment)
        if not 1 <= len(results) <= MAX_OUTCOMES:
            raise InvalidRequest(f"{len(results)} outcomes given; one request takes 1 to {MAX_OUTCOMES:,}.")
        if idempotency_key is not None and not 1 <= len(idempotency_key) <= 255:
            raise InvalidRequest("An Idempotency-Key must have 1 to 255 characters.")
        checked = [checked_outcome(experiment, result) for result in results]
        if not self._keeps_text or not (by is None or by.keeps_text):
            checked = [replace(result, text="") for result in checked]
        given = [(f"o_{secrets.token_hex(10)}", result) for result in checked]

        def work(connection: Connection) -> list[tuple[str, str]]:
            now_us = clock.now_us()
            states = unit_store.record(connection, experiment, given, now_us)
            return [(outcome_id, state) for (outcome_id, _), state in zip(given, states, strict=True)]

        if idempotency_key is None:
            made = self._writer.run(work)
        else:
            asked, scope = (
                [asdict(result) for result in results],
                f"record:{experiment_id}" + (f":{by.id}" if by else ""),
            )
            made = self._writer.run(
                lambda connection: once(connection, scope, idempotency_key, asked, clock.now_us(), work)
            )
        return [RecordedOutcome(id=outcome_id, state=state) for outcome_id, state in made]

    def play(self, experiment_id: str, n_units: int = 1000) -> None:
        """Simulate users: assign them, and let them succeed at a rate a variant (30, 38, 34 %, …) without a call.

        Raises:
            Conflict: A variant asks a real model (invented outcomes must not mix with real ones), or it is stopped.
        """
        experiment = self._designs.running(experiment_id)
        if not experiment.is_simulated:
            raise Conflict("Simulated users may only play on variants with simulated models.")

        def work(connection: Connection) -> None:
            for exposed, outcomes in played(experiment, n_units, clock.now_us(), np.random.default_rng()):
                unit_store.expose(connection, experiment, exposed)
                given = [(f"o_{secrets.token_hex(10)}", outcome) for outcome in outcomes]
                unit_store.record(connection, experiment, given, clock.now_us())

        self._writer.run(work)
