"""Experiments for their users: created, served, recorded, read, stopped."""

import random
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from core import clock
from core.calls.call import Call, Origin
from core.calls.engine import CallEngine, check_request
from core.domain.experiment import Decision, Experiment, OutcomeInput, Variant
from core.domain.generation import Message, Request
from core.domain.generation import Model as ModelInfo
from core.errors import Conflict, InvalidRequest, NotFound
from core.experiments.analysis import Analysis, analyse
from core.experiments.assignment import assign
from core.experiments.decision import decide
from core.storage.experiments import ExperimentStore
from core.storage.writer import Writer

MAX_VARIANTS = 10
MAX_OUTCOMES = 10_000
PLAY_RATES = (0.30, 0.38, 0.34, 0.30)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentReport:
    experiment: Experiment
    analysis: Analysis
    decision: Decision


class ExperimentService:
    def __init__(
        self, store: ExperimentStore, writer: Writer, calls: CallEngine, resolve: Callable[[str], ModelInfo]
    ) -> None:
        self._store = store
        self._writer = writer
        self._calls = calls
        self._resolve = resolve

    def create(
        self, name: str, variants: Sequence[str | Variant], *, hypothesis: str = "", unit: str = "user"
    ) -> Experiment:
        """Start an experiment; the first variant with a weight is the control.

        Raises:
            InvalidRequest: Fewer than two variants, weights that are not positive in sum, a name that is empty or too long.
            ModelNotFound, AuthenticationError: A variant's model cannot be asked.
        """
        if not name.strip() or len(name) > 200:
            raise InvalidRequest("An experiment needs a name of 1 to 200 characters.")
        if not 2 <= len(variants) <= MAX_VARIANTS:
            raise InvalidRequest(f"{len(variants)} variants given; an experiment takes 2 to {MAX_VARIANTS}.")
        arms = tuple(self._variant(given, position) for position, given in enumerate(variants))
        if sum(arm.weight > 0 for arm in arms) < 2 or any(not 0 <= arm.weight <= 1_000_000 for arm in arms):
            raise InvalidRequest(
                "At least two variants need a weight above 0; weights are whole numbers up to 1,000,000."
            )
        if len({arm.name for arm in arms}) < len(arms):
            raise InvalidRequest("Two variants have the same name.")
        experiment = Experiment(
            id=f"e_{clock.now_us():x}{secrets.token_hex(4)}",
            name=name.strip(),
            hypothesis=hypothesis.strip(),
            unit=unit,
            salt=secrets.token_hex(8),
            status="running",
            created_at=clock.now(),
            stopped_at=None,
            variants=arms,
        )
        self._writer.run(lambda connection: self._store.insert(connection, experiment))
        return experiment

    def get(self, experiment_id: str) -> Experiment:
        found = self._store.get(experiment_id)
        if found is None:
            raise NotFound(f"There is no experiment {experiment_id[:60]!r}.")
        return found

    def all(self) -> list[Experiment]:
        return self._store.all()

    def stop(self, experiment_id: str) -> None:
        self.get(experiment_id)
        if not self._writer.run(lambda connection: self._store.stop(connection, experiment_id, clock.now_us())):
            raise Conflict("The experiment is stopped already.")

    def start_call(self, experiment_id: str, unit_id: str, prompt: str) -> tuple[Variant, Call]:
        """Assign a unit, record its exposure, and ask its variant's model.

        Raises:
            NotFound, Conflict (stopped), InvalidRequest
        """
        experiment = self.get(experiment_id)
        if experiment.status != "running":
            raise Conflict("The experiment is stopped; it takes no more traffic.")
        if not unit_id.strip() or len(unit_id) > 500:
            raise InvalidRequest("The unit (user_id) must have 1 to 500 characters.")
        variant = assign(experiment, unit_id)
        request = Request(
            model=variant.model,
            messages=(Message("user", prompt),),
            system=variant.system,
            parameters=variant.parameters,
        )
        check_request(request)
        exposure = _exposure(experiment, unit_id, variant)
        self._writer.run(lambda connection: self._store.expose(connection, [exposure]))
        origin = Origin(
            source="experiment",
            ref_id=experiment.id,
            ref_part=str(variant.position),
            ref_name=f"experiment:{experiment.name}",
            user_id=unit_id if experiment.unit == "user" else "",
        )
        return variant, self._calls.submit(request, origin)

    def record(self, experiment_id: str, results: Sequence[OutcomeInput]) -> list[str]:
        """Record outcomes, all or none, and return their ids.

        Raises:
            InvalidRequest: A variant is unknown or a rating is not in [1, 5]; NotFound.
        """
        experiment = self.get(experiment_id)
        if not 1 <= len(results) <= MAX_OUTCOMES:
            raise InvalidRequest(f"{len(results)} outcomes given; one request takes 1 to {MAX_OUTCOMES:,}.")
        now = clock.now_us()
        rows = [_outcome_row(experiment, result, now) for result in results]
        self._writer.run(lambda connection: self._store.insert_outcomes(connection, rows))
        return [str(row["id"]) for row in rows]

    def report(self, experiment_id: str) -> ExperimentReport:
        """The numbers of an experiment and what they carry."""
        experiment = self.get(experiment_id)
        sums = self._store.outcome_sums(experiment_id), self._store.call_sums(experiment_id)
        analysis = analyse(experiment, *sums)
        return ExperimentReport(experiment=experiment, analysis=analysis, decision=decide(analysis))

    def successes(self) -> dict[str, int]:
        """Successful outcomes by experiment name; of experiments with the same name together."""
        return self._store.successes()

    def daily(self, experiment_id: str) -> list[tuple[int, int, int, int]]:
        """(day in microseconds since 1970, variant position, outcomes, successes)."""
        return self._store.daily(experiment_id)

    def play(self, experiment_id: str, n_units: int = 1000) -> None:
        """Simulate users: assign them and let them succeed at a rate per variant (30, 38, 34 %, …). No model is called.

        Raises:
            Conflict: A variant asks a real model, or the experiment is stopped: invented outcomes must not mix with real ones.
        """
        experiment = self.get(experiment_id)
        if experiment.status != "running":
            raise Conflict("The experiment is stopped; it takes no more traffic.")
        if not experiment.is_demo and any(not _is_simulated(variant.model) for variant in experiment.variants):
            raise Conflict("Simulated users may only play on variants with simulated models.")
        rng, now, tag = random.Random(), clock.now_us(), secrets.token_hex(4)
        exposed, results = [], []
        for number in range(n_units):
            unit_id = f"sim-{tag}-{number}"
            variant = assign(experiment, unit_id)
            exposed.append(_exposure(experiment, unit_id, variant))
            success = rng.random() < PLAY_RATES[variant.position % len(PLAY_RATES)]
            rating = float(rng.choices(range(1, 6), (1, 2, 3, 5, 4) if success else (4, 5, 3, 2, 1))[0])
            results.append(OutcomeInput(variant=variant.position, success=success, rating=rating, unit_id=unit_id))
        rows = [_outcome_row(experiment, result, now) for result in results]

        def write(connection: Any) -> None:
            self._store.expose(connection, exposed)
            self._store.insert_outcomes(connection, rows)

        self._writer.run(write)

    def _variant(self, given: str | Variant, position: int) -> Variant:
        arm = Variant(position=position, name="", model=given) if isinstance(given, str) else given
        name = arm.name.strip() or f"{'ABCDEFGHIJ'[position]} · {arm.model}"
        return replace(arm, position=position, name=name, model=self._resolve(arm.model).name)


def _is_simulated(model: str) -> bool:
    return model.startswith("sim-")


def _exposure(experiment: Experiment, unit_id: str, variant: Variant) -> dict[str, Any]:
    return {
        "experiment_id": experiment.id,
        "unit_id": unit_id,
        "position": variant.position,
        "created_at": clock.now_us(),
    }


def _outcome_row(experiment: Experiment, result: OutcomeInput, now_us: int) -> dict[str, Any]:
    if result.rating is not None and not 1 <= result.rating <= 5:
        raise InvalidRequest(f"rating == {result.rating}, must be from 1 to 5")
    return {
        "id": f"o_{secrets.token_hex(10)}",
        "experiment_id": experiment.id,
        "position": find_variant(experiment, result.variant).position,
        "unit_id": result.unit_id,
        "generation_id": result.generation_id,
        "success": int(result.success),
        "rating": result.rating,
        "created_at": now_us,
    }


def find_variant(experiment: Experiment, wanted: str | int) -> Variant:
    """A variant by position, key (variant_a), letter, name, or model where only one has it."""
    if isinstance(wanted, int):
        found = [variant for variant in experiment.variants if variant.position == wanted]
    else:
        text = wanted.strip().lower()
        found = [v for v in experiment.variants if text in (v.key, v.key.removeprefix("variant_"), v.name.lower())]
        found = found or [v for v in experiment.variants if v.model == wanted]
    if len(found) != 1:
        names = ", ".join(variant.key for variant in experiment.variants)
        raise InvalidRequest(f"variant == {wanted!r} is not one of {names} (or their names).")
    return found[0]
