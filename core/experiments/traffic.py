"""Traffic of aliases and experiments: which model answers a call, and which variant a unit is given.

An alias becomes what answers it today, also while a rollout runs. `exp:NAME` in place of a model lets that
experiment choose.
"""

import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial

import numpy as np

from core import clock
from core.assignment.placement import place
from core.calls.call import Call, Origin
from core.calls.engine import CallEngine, check_request
from core.calls.routing import Route, Unit
from core.domain.experiment import Alias, Assignment, Experiment, OutcomeInput, RecordedOutcome, Target, Variant
from core.domain.generation import Message, Request
from core.domain.key import Key
from core.errors import Conflict, InvalidRequest, NotFound
from core.experiments.checks import asked_of, checked_outcome, find_variant
from core.experiments.designs import ExperimentDesigns
from core.experiments.play import played
from core.formats.text import is_storable
from core.keys.rules import check_model
from core.storage.engine.database import Connection, Database
from core.storage.engine.idempotency import once
from core.storage.engine.writer import Writer
from core.storage.experiments import units as unit_store
from core.storage.experiments.aliases import AliasStore
from core.storage.experiments.designs import ExperimentStore

PREFIX = "exp:"
TTL_S = 1.0
MAX_OUTCOMES = 10_000


class TrafficRouter:
    """The router of the door to models. What it knows of aliases and running experiments is at most a second old."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._experiments = ExperimentStore(database)
        self._alias_store = AliasStore(database)
        self._writer = writer
        self._aliases: tuple[dict[str, Alias], float] = {}, 0.0
        self._running: tuple[list[Experiment], float] = [], 0.0

    # What is known

    def alias(self, name: str) -> Alias | None:
        """The alias of a name, if it is one."""
        if self._is_old:
            self.refresh()
        return self._aliases[0].get(name)

    def refresh(self) -> None:
        """Read what other processes have changed, so that the next look-up need not."""
        until = time.monotonic() + TTL_S
        self._aliases = {alias.name: alias for alias in self._alias_store.all()}, until

    def forget(self) -> None:
        """Read aliases anew before the next look-up: one was changed here."""
        self._aliases = {}, 0.0

    @property
    def _is_old(self) -> bool:
        return time.monotonic() >= self._aliases[1]

    def running(self) -> list[Experiment]:
        """The experiments that answer programs, so none of the demo."""
        found, until = self._running
        if time.monotonic() >= until:
            found = [e for e in self._experiments.all() if e.status == "running" and not e.is_demo]
            self._running = found, time.monotonic() + TTL_S
        return found

    # Routing

    def is_quick(self, request: Request) -> bool:
        """Tell whether `route` needs no database: an experiment, and so a rollout, writes down who was given what."""
        if request.model.startswith(PREFIX) or self._is_old:
            return False
        alias = self.alias(request.model)
        return alias is None or alias.rollout_id is None

    def route(self, request: Request, origin: Origin, unit: Unit = "", force: str | int | None = None) -> Route:
        """The route of a request for an alias or an experiment; any other stays as it is. unit, force: see `assign`.

        Raises:
            NotFound: No such experiment runs. InvalidRequest: nobody to assign, or a workflow is a variant. Conflict.
        """
        if request.model.startswith(PREFIX):
            return self._to_variant(request, origin, unit, force)
        alias = self.alias(request.model)
        return Route(request=request, origin=origin) if alias is None else self._to_target(alias, request, origin)

    def _to_variant(self, request: Request, origin: Origin, unit: Unit, force: str | int | None) -> Route:
        """Put a unit's variant in the place of the request's model; what the variant sets comes first."""
        made = unit if isinstance(unit, Assignment) else None
        experiment = self._named(request.model.removeprefix(PREFIX) if made is None else made.experiment_id)
        assignment = made or self._assigned(experiment, str(unit), force)
        counted = replace(
            origin,
            source="experiment",
            ref_id=experiment.id,
            ref_part=assignment.id,
            ref_name=f"experiment:{experiment.name}",
            cache_s=experiment.design.cache_s if origin.cache_s is None else origin.cache_s,
        )
        shadows = [variant for variant in experiment.variants if variant.is_shadow and assignment.is_counted]
        return Route(
            request=_as_variant(request, assignment.variant),
            origin=counted,
            assignment=assignment,
            shadows=tuple((shadow.position, _as_variant(request, shadow)) for shadow in shadows),
        )

    def _assigned(self, experiment: Experiment, unit: str, force: str | int | None) -> Assignment:
        if any(variant.workflow for variant in experiment.variants):
            raise InvalidRequest("This experiment has a workflow as a variant; ask it by /api/experiment.")
        if not unit.strip():
            if experiment.unit != "request":
                raise InvalidRequest(f"This experiment needs `user`: which {experiment.unit} is assigned to a variant.")
            unit = f"request-{secrets.token_hex(8)}"
        return self.assign(experiment.id, unit, force=force)

    def _to_target(self, alias: Alias, request: Request, origin: Origin) -> Route:
        """Put what an alias stands for in its place; what the request says itself comes first.

        While a rollout runs, the unit (the user, or the call) is assigned and its call counted, unless the call belongs
        to something else already.
        """
        target = alias.target
        if alias.rollout_id is not None:
            unit = origin.user_id.strip() or f"call-{secrets.token_hex(8)}"
            with suppress(Conflict):  # it has ended, and the alias does not know it yet
                assignment = self.assign(alias.rollout_id, unit)
                target = target_of(assignment.variant)
                if origin.ref_id is None:
                    target = replace(target, fallbacks=alias.target.fallbacks, cache_s=alias.target.cache_s)
                    origin = replace(origin, ref_id=alias.rollout_id, ref_part=assignment.id)
        parameters = request.parameters.over(target.parameters)
        system = request.system if request.system is not None else target.system
        if (target.fallbacks and not origin.fallbacks) or (target.cache_s and origin.cache_s is None):
            origin = replace(
                origin,
                fallbacks=origin.fallbacks or target.fallbacks,
                cache_s=target.cache_s if origin.cache_s is None else origin.cache_s,
            )
        return Route(request=replace(request, model=target.model, system=system, parameters=parameters), origin=origin)

    def _named(self, name: str) -> Experiment:
        for _ in range(2):
            for experiment in self.running():
                if name in (experiment.name, experiment.id):
                    return experiment
            self._running = [], 0.0  # it may be younger than a second
        raise NotFound(f"There is no running experiment {name[:60]!r}.")

    # Units

    def assign(
        self, experiment_id: str, unit_id: str, *, force: str | int | None = None, key: Key | None = None
    ) -> Assignment:
        """Assign a unit and record its exposure.

        force: A variant for trying it out; it is served and not counted.
        key: The caller's.

        Raises:
            NotFound, Conflict (stopped, or a demo), InvalidRequest; Forbidden: the key may not ask this experiment.
        """
        return self.assign_to(self.open_to_traffic(experiment_id), unit_id, force=force, key=key)

    def assign_to(
        self, experiment: Experiment, unit_id: str, *, force: str | int | None = None, key: Key | None = None
    ) -> Assignment:
        """`assign`, for an experiment that was just found open to traffic."""
        check_model(key, f"{PREFIX}{experiment.name}")
        if not unit_id.strip() or len(unit_id) > 500 or not is_storable(unit_id):
            raise InvalidRequest(
                "The unit (user_id) must have 1 to 500 characters, none of them NUL or half of a pair."
            )
        forced = None if force is None else find_variant(experiment, force)
        placed = place(experiment, unit_id, forced)
        given = [(placed, clock.now_us())]
        unit = self._writer.run(lambda connection: unit_store.expose(connection, experiment, given))[placed.id]
        variant = forced or next(v for v in experiment.variants if v.position == unit.position)
        return replace(placed, id=unit.id, phase=unit.phase, variant=variant, reason=unit.reason)

    def open_to_traffic(self, experiment_id: str) -> Experiment:
        """A running experiment that takes real traffic. Raises: NotFound, Conflict."""
        found = self._experiments.get(experiment_id)
        if found is None:
            raise NotFound(f"There is no experiment {experiment_id[:60]!r}.")
        if found.status != "running":
            raise Conflict("The experiment is stopped; it takes no more traffic.")
        return not_of_demo(found)

    def of_answer(self, *, generation_id: str | None = None, assignment_id: str | None = None) -> str:
        """The experiment that an answer or an assignment belongs to. Raises: NotFound."""
        found = self._experiments.owner(generation_id, assignment_id)
        if found is None:
            raise NotFound(f"No experiment knows {(generation_id or assignment_id or '')[:60]!r}.")
        return found


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
        self,
        experiment_id: str,
        unit_id: str,
        prompt: str,
        *,
        force: str | int | None = None,
        key: Key | None = None,
    ) -> tuple[Assignment, Call | str]:
        """Assign a unit and let its variant answer: a call, or the id of a workflow run. key: Who asks.

        A run counts like one call, with the cost of all its calls, once it is over; see `settle_runs`.

        Raises:
            NotFound, Conflict (stopped, or a demo), InvalidRequest; Forbidden: the key may not ask this experiment.
        """
        experiment = self._router.open_to_traffic(experiment_id)
        for variant in experiment.variants:  # nobody is assigned for what no variant's model could answer
            if not variant.workflow:
                check_request(asked_of(variant, prompt))
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


def not_of_demo(experiment: Experiment) -> Experiment:
    if experiment.is_demo:
        raise Conflict("This experiment is made up, for the demo: it takes no traffic and no outcomes.")
    return experiment


def target_of(variant: Variant) -> Target:
    """The variant as what an alias stands for."""
    return Target(
        model=variant.model,
        system=variant.system,
        parameters=variant.parameters,
        prompt_version=variant.prompt_version,
    )


def _as_variant(request: Request, variant: Variant) -> Request:
    system = variant.system if variant.system is not None else request.system
    parameters = variant.parameters.over(request.parameters)
    return replace(request, model=variant.model, system=system, parameters=parameters)
