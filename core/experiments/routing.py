"""The routing of calls: what an alias, a rollout or an experiment makes of a request, and the variant of a unit.

An alias becomes what answers it today, also while a rollout runs. `exp:NAME` in place of a model lets that
experiment choose; `prompt:NAME@LABEL` is a prompt, with the model that it or its caller names.
"""

import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from core import clock
from core.assignment.placement import place
from core.calls.origin import Origin, Route, Unit
from core.domain.evaluation.prompt import PromptVersion
from core.domain.experiment import Alias, Assignment, Experiment, Target, Variant
from core.domain.generation import Request
from core.domain.key import Key
from core.errors import Conflict, InvalidRequest, NotFound
from core.experiments.checks import find_variant
from core.formats.names import PROMPT, ref_in, split_ref
from core.formats.text import is_storable
from core.keys.rules import check_model
from core.prompts.rendering import put_before
from core.storage.engine.database import Database
from core.storage.engine.writer import Writer
from core.storage.experiments import units as unit_store
from core.storage.experiments.aliases import AliasStore
from core.storage.experiments.designs import ExperimentStore

PREFIX = "exp:"
TTL_S = 1.0


class TrafficRouter:
    """The router of the door to models. What it knows of aliases and running experiments is at most a second old."""

    def __init__(
        self,
        database: Database,
        writer: Writer,
        prompt: Callable[[str], PromptVersion],
        default_model: Callable[[], str],
    ) -> None:
        """Open the routing of a database.

        prompt: Finds a version by its reference; nothing that it gives is kept.
        default_model: Names the model where a prompt names none.
        """
        self.prompt = prompt
        self._default_model = default_model
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
        if request.model.startswith((PREFIX, PROMPT)) or self._is_old:
            return False
        alias = self.alias(request.model)
        return alias is None or (alias.rollout_id is None and not ref_in(alias.target.prompt_version))

    def at_target(self, request: Request, origin: Origin) -> Request:
        """The request as the target of its alias is sent it; a rollout assigns nobody for that."""
        if request.model.startswith(PROMPT):
            request, origin = self._with_prompt(ref_in(request.model), request, origin, origin.prompt_model)
        alias = self.alias(request.model)
        return request if alias is None else self._as_target(alias.target, request, origin)[0]

    def route(self, request: Request, origin: Origin, unit: Unit = "", force: str | int | None = None) -> Route:
        """The route of a request for an alias or an experiment; any other stays as it is. unit, force: see `assign`.

        Raises:
            NotFound: No such experiment runs, or there is no such prompt. Conflict.
            InvalidRequest: Nobody to assign, a workflow is a variant, or a variable of a prompt has no value.
        """
        if request.model.startswith(PROMPT):
            made, origin = self._with_prompt(ref_in(request.model), request, origin, origin.prompt_model)
            return self.route(made, origin, unit, force)
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
        shadows = []
        for shadow in experiment.variants:
            if shadow.is_shadow and assignment.is_counted:
                sent, of = self._as_variant(request, shadow, origin)
                shadows.append((shadow.position, sent, of.prompt_version))
        sent, counted = self._as_variant(request, assignment.variant, counted)
        return Route(request=sent, origin=counted, assignment=assignment, shadows=tuple(shadows))

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
        if (target.fallbacks and not origin.fallbacks) or (target.cache_s and origin.cache_s is None):
            origin = replace(
                origin,
                fallbacks=origin.fallbacks or target.fallbacks,
                cache_s=target.cache_s if origin.cache_s is None else origin.cache_s,
            )
        sent, origin = self._as_target(target, request, origin)
        return Route(request=sent, origin=origin)

    # Prompts

    def _as_target(self, target: Target, request: Request, origin: Origin) -> tuple[Request, Origin]:
        """The request with what a target adds to it."""
        system = request.system if request.system is not None else target.system
        parameters = request.parameters.over(target.parameters)
        sent = replace(request, model=target.model, system=system, parameters=parameters)
        ref = ref_in(target.prompt_version)
        return self._with_prompt(ref, sent, origin, target.model) if ref else (sent, origin)

    def _as_variant(self, request: Request, variant: Variant, origin: Origin) -> tuple[Request, Origin]:
        """The request with what a variant says, which comes first."""
        system = variant.system if variant.system is not None else request.system
        parameters = variant.parameters.over(request.parameters)
        sent = replace(request, model=variant.model, system=system, parameters=parameters)
        ref = ref_in(variant.prompt_version)
        return self._with_prompt(ref, sent, origin, variant.model) if ref else (sent, origin)

    def _with_prompt(self, ref: str, request: Request, origin: Origin, model: str) -> tuple[Request, Origin]:
        """A request with a prompt before it. model: Empty = the prompt's own, else the default one."""
        version = self.prompt(ref)
        if origin.prompt_version:
            raise InvalidRequest(f"One prompt at a time: {version.ref} would be put before {origin.prompt_version}.")
        made = put_before(
            version, request, origin.variables, model=model or version.content.model or self._default_model()
        )
        return made, replace(origin, prompt_version=version.ref)

    def with_prompt(self, name: str) -> list[str]:
        """The running experiments that ask a prompt, in words."""
        found = [(e.name, v.prompt_version) for e in self.running() for v in e.variants]
        return [f"the experiment {each!r}" for each, version in found if split_ref(ref_in(version))[0] == name]

    def pinned(self, prompt_version: str) -> str:
        """The version that a reference stands for today, by its number; another text stays. Raises: NotFound"""
        ref = ref_in(prompt_version)
        return f"{PROMPT}{self.prompt(ref).ref}" if ref else prompt_version

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


def not_of_demo(experiment: Experiment) -> Experiment:
    if experiment.is_demo:
        raise Conflict("This experiment is made up, for the demo: it takes no traffic and no outcomes.")
    return experiment


def target_of(variant: Variant) -> Target:
    """The variant as what an alias stands for."""
    return Target(
        model=variant.model, system=variant.system, parameters=variant.parameters, prompt_version=variant.prompt_version
    )
