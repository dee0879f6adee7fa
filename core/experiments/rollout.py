"""Aliases, and the winner of an experiment brought in by steps: 5, 25, 100 % of traffic, back at a broken guardrail.

A rollout is an experiment between what an alias answers with today and what it shall answer with; each step is a phase.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

from core import clock
from core.domain.experiment import ROLLOUT, ROLLOUT_VARIANTS, Alias, AliasChange, Experiment, Guardrail, Target, Variant
from core.domain.generation import MAX_CACHE_S, MAX_FALLBACKS
from core.errors import Conflict, InvalidRequest, NotFound
from core.experiments.checks import versioned
from core.experiments.reports import ExperimentReport
from core.experiments.routing import TrafficRouter, target_of
from core.experiments.service import Experiments
from core.formats.names import ref_in, split_ref
from core.formats.text import is_storable
from core.storage.engine.database import Connection, Database
from core.storage.engine.writer import Work, Writer
from core.storage.experiments.aliases import AliasStore
from core.storage.people.audit import note as audit

STEPS = (5, 25)  # per cent of units; the step after the last is all of them
MIN_UNITS = 100  # of the new target in a step, before the next one
MIN_HOURS = 1
# Where the experiment had none. Latency and cost were seen before the choice was made; failures are never meant.
GUARDRAILS = (Guardrail(metric="error_rate", margin=0.02),)
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,79}")


class AliasService:
    """min_units, min_hours: what a step of a rollout needs before the next; for tests and the impatient."""

    def __init__(
        self,
        database: Database,
        writer: Writer,
        experiments: Experiments,
        traffic: TrafficRouter,
        is_model: Callable[[str], bool],
        tell: Callable[..., Work],
    ) -> None:
        """tell: Work that writes a message down; see Outbox."""
        self._store = AliasStore(database)
        self._writer = writer
        self._experiments = experiments
        self._traffic = traffic
        self._is_model = is_model
        self._tell = tell
        self.min_units, self.min_hours = MIN_UNITS, float(MIN_HOURS)

    def all(self) -> list[Alias]:
        return self._store.all()

    def with_prompt(self, name: str) -> list[str]:
        """The aliases that stand for a prompt, in words."""
        names = (alias.name for alias in self.all() if split_ref(ref_in(alias.target.prompt_version))[0] == name)
        return [f"the alias {each}" for each in names]

    def get(self, name: str) -> Alias:
        found = next((alias for alias in self._store.all() if alias.name == name), None)
        if found is None:
            raise NotFound(f"There is no alias {name[:60]!r}.")
        return found

    def targets(self, name: str) -> list[AliasChange]:
        """All that an alias stood for, newest first; also after it was removed."""
        return self._store.targets(name)

    def set(self, name: str, target: Target, note: str = "", *, author: str = "", run_id: str = "") -> Alias:
        """Make an alias, or point it elsewhere at once. A rollout that runs for it ends.

        run_id: The evaluation that justifies it.

        Raises:
            InvalidRequest: The name is no name, or that of a model. ModelNotFound.
        """
        self.check(name, target)
        if not all(map(is_storable, (target.system or "", target.prompt_version, note, author, run_id))):
            raise InvalidRequest("A text of the alias holds a NUL or half of a surrogate pair.")
        old = next((alias for alias in self._store.all() if alias.name == name), None)
        words = {"note": note[:500], "author": author[:200], "run_id": run_id[:80]}
        change = AliasChange(name=name, target=versioned(target), changed_at=clock.now(), **words)

        def work(connection: Connection) -> None:
            self._store.put(connection, change)
            audit(connection, "alias set", name, {"note": note[:200]} if note else {})

        self._writer.run(work)
        self._traffic.forget()
        if old is not None and old.rollout_id is not None:
            self._stop(old.rollout_id, "The alias was pointed elsewhere.")
        return self.get(name)

    def remove(self, name: str) -> None:
        alias = self.get(name)
        self._writer.run(lambda connection: self._store.remove(connection, name))
        self._traffic.forget()
        if alias.rollout_id is not None:
            self._stop(alias.rollout_id, "The alias was removed.")

    def promote(self, experiment_id: str, position: int, name: str, guardrails: Sequence[Guardrail] = ()) -> Alias:
        """Bring a variant into an alias step by step; an alias that is not there yet begins with the control.

        Raises:
            NotFound, InvalidRequest. Conflict: it is a demo, or a rollout runs for the alias already.
        """
        experiment = self._experiments.get(experiment_id)
        if experiment.is_demo:
            raise Conflict("This experiment is made up, for the demo: nothing can be promoted from it.")
        if not 0 <= position < len(experiment.variants):
            raise InvalidRequest(f"variant == {position}: the experiment has {len(experiment.variants)} variants.")
        winner = experiment.variants[position]
        if winner.workflow:
            raise InvalidRequest("An alias answers with a model; this variant is a workflow.")
        target = target_of(winner)
        alias = next((one for one in self._store.all() if one.name == name), None)
        if alias is not None and alias.rollout_id is not None:
            raise Conflict(f"A rollout runs for the alias {name!r} already; it ends first.")
        if alias is None:
            control = experiment.served[0]
            alias = self.set(name, target_of(control), f"The control of {experiment.name!r}.")
            if control.position == position:
                return alias
        if alias.target == versioned(target):
            return alias
        guarded = tuple(guardrails) or experiment.design.guardrails or GUARDRAILS
        old, new = _variant(0, alias.target), _variant(1, target)
        rollout = self._experiments.create(
            f"{ROLLOUT}{name}",
            [replace(old, weight=100 - STEPS[0]), replace(new, weight=STEPS[0])],
            hypothesis=f"{winner.name} of {experiment.name!r} breaks no guardrail as {name}.",
            guardrails=guarded,
            primary=experiment.design.primary,
            larger_is_better=experiment.design.larger_is_better,
        )

        def work(connection: Connection) -> None:
            self._store.roll(connection, name, rollout.id, clock.now_us(), f"Rolling out: {STEPS[0]}%.")
            audit(connection, "rollout started", name, {"experiment": experiment_id, "rollout": rollout.id})

        self._writer.run(work)
        self._traffic.forget()
        return self.get(name)

    def advance(self) -> None:
        """Take each rollout a step on, or back."""
        for alias in self._store.all():
            if alias.rollout_id is None:
                continue
            report = self._experiments.report(alias.rollout_id)
            broken = [guard for guard in report.analysis.guards if guard.state == "broken"]
            if report.experiment.status != "running":
                self._end(alias, None, f"The rollout was stopped: {report.experiment.ended or 'by hand'}")
            elif broken:
                why = report.decision.reasons[0] if report.decision.action == "stop" else broken[0].guardrail.metric
                self._end(alias, None, f"Rolled back. {why}", is_told=True)
            elif self._is_due(report):
                self._step(alias, report.experiment)

    def _is_due(self, report: ExperimentReport) -> bool:
        experiment = report.experiment
        phase = experiment.phases[-1]
        if clock.now() - phase.started_at < timedelta(hours=self.min_hours):
            return False
        # Not broken is too little: with few units a bad target looks undecided. Its estimate must be within each bound.
        if any(guard.excess.estimate > 0 for guard in report.analysis.guards):
            return False
        return self._experiments.reports.sums(experiment.id).of(phase.number, 1, "error_rate").n >= self.min_units

    def _step(self, alias: Alias, experiment: Experiment) -> None:
        share = experiment.variants[1].weight
        later = [step for step in STEPS if step > share]
        if later:
            try:
                self._experiments.weigh(experiment.id, [100 - later[0], later[0]])
            except (Conflict, InvalidRequest):
                return  # another process has taken this step
            text = f"Rolling out: {later[0]}%."
            self._writer.run(lambda c: self._store.roll(c, alias.name, experiment.id, clock.now_us(), text))
        else:
            self._end(alias, target_of(experiment.variants[1]), "Rolled out: 100%.")
        self._traffic.forget()

    def _end(self, alias: Alias, target: Target | None, text: str, *, is_told: bool = False) -> None:
        now_us = clock.now_us()
        told = f"The rollout of {alias.name} ended: {alias.target.model} answers as before. {text}"

        def work(connection: Connection) -> None:
            if target is None:
                self._store.roll(connection, alias.name, None, now_us, text)
            else:
                change = AliasChange(name=alias.name, target=target, changed_at=clock.now(), note=text)
                self._store.put(connection, change)
            audit(connection, "rollout ended", alias.name, {"rollout": alias.rollout_id, "how": text})
            if is_told:
                self._tell("rollout.rolled_back", told, alias=alias.name, rollout=alias.rollout_id)(connection)

        self._writer.run(work)
        self._traffic.forget()
        if alias.rollout_id is not None:
            self._stop(alias.rollout_id, text)

    def _stop(self, rollout_id: str, why: str) -> None:
        try:
            self._experiments.stop(rollout_id, why)
        except Conflict:
            return  # stopped already

    def check(self, name: str, target: Target) -> None:
        """Raises: as `set`."""
        if not _NAME.fullmatch(name):
            raise InvalidRequest("An alias needs a name of letters, digits and . _ -, at most 80.")
        if self._is_model(name):
            raise InvalidRequest(f"{name!r} is the name of a model.")
        if ref := ref_in(target.prompt_version):
            self._traffic.prompt(ref)
            if target.system:
                raise InvalidRequest("An alias has a system text or a prompt by its name, not both.")
        for model in (target.model, *target.fallbacks):
            if not self._is_model(model):
                raise InvalidRequest(f"model == {model!r}: there is no such model.")
        if len(target.fallbacks) > MAX_FALLBACKS:
            raise InvalidRequest(f"{len(target.fallbacks)} fallbacks given; an alias takes at most {MAX_FALLBACKS}.")
        if target.cache_s is not None and not 1 <= target.cache_s <= MAX_CACHE_S:
            raise InvalidRequest(f"cache_s == {target.cache_s}, must be 1 to {MAX_CACHE_S:,} seconds")


def _variant(position: int, target: Target) -> Variant:
    return Variant(
        position=position,
        name=ROLLOUT_VARIANTS[position],
        model=target.model,
        system=target.system,
        parameters=target.parameters,
        prompt_version=target.prompt_version,
    )
