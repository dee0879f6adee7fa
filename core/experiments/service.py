"""Experiments for their users: created, served, recorded, read, changed, stopped."""

import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any

from core import clock
from core.calls.call import Call, Origin
from core.calls.engine import CallEngine, check_request
from core.domain.experiment import (
    Assignment,
    DayCounts,
    Decision,
    Experiment,
    OutcomeInput,
    Phase,
    RecordedOutcome,
    ShadowCalls,
    UnitRow,
    Variant,
)
from core.domain.generation import Message, Request
from core.domain.key import Key
from core.errors import Conflict, InvalidRequest, NotFound
from core.experiments import allocation, record
from core.experiments.analysis import Analysis, VariantResult, analyse, history
from core.experiments.cautions import cautions, novelty
from core.experiments.decision import Traffic, decide
from core.experiments.design import asked_of, checked_design, checked_unit, checked_variants, made_up_hypothesis
from core.experiments.outcomes import checked_outcome
from core.experiments.play import played
from core.experiments.records import DecisionRecords, with_shadows
from core.experiments.traffic import PREFIX, TrafficRouter
from core.formats.text import as_list
from core.statistics.interval import Interval
from core.statistics.sums import Look, Sums
from core.storage.engine.audit import note
from core.storage.engine.database import Connection, Database
from core.storage.engine.idempotency import once
from core.storage.engine.writer import Writer
from core.storage.experiments import check as sums_check
from core.storage.experiments import units as unit_store
from core.storage.experiments.designs import ExperimentStore, design_to_json

MAX_OUTCOMES = 10_000
TRAFFIC_DAYS = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentReport:
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


class ExperimentService:
    def __init__(  # noqa: PLR0913 - what an experiment is made with
        self,
        database: Database,
        writer: Writer,
        calls: CallEngine,
        traffic: TrafficRouter,
        resolve: Callable[[Variant], Variant],
        run_workflow: Callable[[Variant, str, Key | None], str],
        *,
        keeps_text: bool = True,
    ) -> None:
        """resolve: A variant with the model that it really asks. run_workflow: Starts a variant's workflow on an
        input, charged to a key, and gives the run's id. keeps_text: Whether outcomes' free text is kept."""
        self._database = database
        self._store = ExperimentStore(database)
        self._records = DecisionRecords(database, self._store)
        self._writer = writer
        self._calls = calls
        self._router = traffic
        self.assign = traffic.assign
        self._resolve = resolve
        self._run_workflow = run_workflow
        self._keeps_text = keeps_text

    def open(self) -> None:
        """Write the sums of experiments that have none yet."""
        with self._database.read() as connection:
            missing = sums_check.needs_sums(connection)
        for experiment_id in missing:
            self._writer.run(partial(sums_check.rebuild, experiment_id=experiment_id))

    # Definition ----------------------------------------------------------------------------------------------------

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
        if not name.strip() or len(name) > 200:
            raise InvalidRequest("An experiment needs a name of 1 to 200 characters.")
        made = checked_design(design)
        arms = checked_variants(as_list(variants), self._resolve)
        now = clock.now()
        experiment = Experiment(
            id=f"e_{clock.now_us():x}{secrets.token_hex(4)}",
            name=name.strip(),
            hypothesis=hypothesis.strip() or made_up_hypothesis(arms, made),
            unit=checked_unit(unit),
            salt=secrets.token_hex(8),
            status="running",
            created_at=now,
            stopped_at=None,
            variants=arms,
            design=made,
            phases=(Phase(number=1, started_at=now, ended_at=None, variants=arms),),
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
        experiment = self._running(experiment_id)
        return self._open_phase(experiment, checked_variants(variants, self._resolve))

    def _open_phase(self, experiment: Experiment, arms: tuple[Variant, ...]) -> Experiment:
        if arms == experiment.variants:
            raise InvalidRequest("Nothing changes: weights and variants are as they were.")
        phase = Phase(number=experiment.phase + 1, started_at=clock.now(), ended_at=None, variants=arms)

        def work(connection: Connection) -> None:
            if not self._store.insert_phase(connection, experiment.id, phase):
                raise Conflict("The experiment was changed by someone else meanwhile.")
            detail = {"phase": phase.number, "weights": [arm.weight for arm in arms]}
            note(connection, "experiment changed", experiment.name, detail)

        self._writer.run(work)
        return self.get(experiment.id)

    def weigh(self, experiment_id: str, weights: Sequence[int]) -> Experiment:
        """Open a new phase with other weights. Raises: see change."""
        experiment = self._running(experiment_id)
        if len(weights) != len(experiment.variants):
            raise InvalidRequest(f"{len(weights)} weights given for {len(experiment.variants)} variants.")
        arms = [replace(v, weight=w) for v, w in zip(experiment.variants, weights, strict=True)]
        return self._open_phase(experiment, checked_variants(arms, lambda variant: variant))

    def get(self, experiment_id: str) -> Experiment:
        found = self._store.get(experiment_id)
        if found is None:
            raise NotFound(f"There is no experiment {experiment_id[:60]!r}.")
        return found

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

    # Traffic -------------------------------------------------------------------------------------------------------

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
        assignment = self._router.assign(experiment_id, unit_id, force=force, key=key)
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
    ) -> list[RecordedOutcome]:
        """Record outcomes, all or none, and say what became of each. The same idempotency key of the same caller again
        records nothing.

        Raises:
            InvalidRequest: A variant is unknown, a rating is not in [1, 5], a number not finite, or nothing is said.
            NotFound. Conflict: it is a demo, or the key came before with another request.
        """
        experiment = _real(self.get(experiment_id))
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
        """Simulate users: assign them and let them succeed at a rate per variant (30, 38, 34 %, …). No model is called.

        Raises:
            Conflict: A variant asks a real model, or the experiment is stopped: invented outcomes must not mix with real ones.
        """
        experiment = self._running(experiment_id)
        if not experiment.is_simulated:
            raise Conflict("Simulated users may only play on variants with simulated models.")

        def work(connection: Connection) -> None:
            for exposed, outcomes in played(experiment, n_units, clock.now_us()):
                unit_store.expose(connection, experiment, exposed)
                given = [(f"o_{secrets.token_hex(10)}", outcome) for outcome in outcomes]
                unit_store.record(connection, experiment, given, clock.now_us())

        self._writer.run(work)

    def reallocate(self) -> None:
        """Move the weights of experiments that earn while they learn (Thompson sampling); each move is a phase."""
        for experiment in self._store.all():
            if experiment.status == "running" and experiment.design.allocation == "thompson":
                weights = allocation.next_weights(experiment, self._store.sums(experiment.id))
                if weights is not None:
                    with suppress(Conflict, InvalidRequest):  # another process has moved them
                        self.weigh(experiment.id, weights)

    # Reading -------------------------------------------------------------------------------------------------------

    def report(self, experiment_id: str) -> ExperimentReport:
        """The numbers of an experiment and what they carry; from sums, whatever the number of outcomes."""
        experiment = self.get(experiment_id)
        analysis = analyse(experiment, self._store.sums(experiment_id))
        traffic = self._traffic(experiment, analysis)
        return ExperimentReport(
            experiment=experiment,
            analysis=analysis,
            decision=decide(experiment, analysis, traffic),
            traffic=traffic,
            cautions=tuple(cautions(experiment, analysis, traffic)),
            shadows=tuple(self._store.shadow_calls(experiment_id)),
        )

    def novelty(self, experiment_id: str) -> list[str]:
        """Variants whose effect was another one among the first units than later."""
        experiment, looks = self.get(experiment_id), self._store.looks(experiment_id)
        found = (novelty(experiment, looks, variant.position) for variant in experiment.served[1:])
        return [sentence for sentence in found if sentence]

    def sums(self, experiment_id: str) -> Sums:
        return self._store.sums(experiment_id)

    def history(self, experiment_id: str) -> dict[int, list[tuple[Look, Interval]]]:
        """How each variant's difference in the primary metric stood over time, with the interval that held then."""
        experiment, looks = self.get(experiment_id), self._store.looks(experiment_id)
        return {variant.position: history(experiment, looks, variant.position) for variant in experiment.served[1:]}

    def days(self, experiment_id: str) -> list[DayCounts]:
        return self._store.days(experiment_id)

    def latest_units(self, experiment_id: str, limit: int = 10) -> list[UnitRow]:
        return self._store.latest_units(experiment_id, limit)

    def shadow_pairs(self, experiment_id: str, limit: int = 5) -> list[tuple[str, str]]:
        """(shadow generation, served generation), the latest first: for a judgement of what nobody saw."""
        return self._store.shadow_pairs(experiment_id, limit)

    def shadow_costs(self, experiment_id: str) -> list[ShadowCalls]:
        return self._store.shadow_calls(experiment_id)

    def successes(self, since_us: int, until_us: int, *, simulated: bool = False) -> dict[str, int]:
        """Successful outcomes of the days in a window by experiment name; of the same name together.

        simulated: Those of simulated models and of the demo instead of the real ones.
        """
        return self._store.successes(since_us, until_us, simulated=simulated)

    def differences(self) -> list[str]:
        """Where sums and rows disagree; empty = nowhere. Reads everything."""
        found = []
        for experiment in self._store.all():
            with self._database.read() as connection:
                found += sums_check.differences(connection, experiment.id)
        return found

    def record_of(self, experiment_id: str) -> str:
        """The decision record: a Markdown file with its data, which `verify` checks."""
        report = self.report(experiment_id)
        return self._records.written(report.experiment, report.analysis, report.decision, report.traffic)

    def verify(self, text: str) -> list[str]:
        """Recompute every number of a decision record; see DecisionRecords.verify."""
        return self._records.verify(text, self.get(record.parse(text)["experiment"]["id"]))

    def _traffic(self, experiment: Experiment, analysis: Analysis) -> Traffic:
        """Units and calls a day, over the last days; an experiment younger than a day counts as one day old."""
        end = experiment.stopped_at or clock.now()
        since = max(experiment.created_at, end - timedelta(days=TRAFFIC_DAYS))
        span = max(1.0, (end - since) / timedelta(days=1))
        first_day = clock.to_us(since) // clock.DAY_US * clock.DAY_US
        days = [day for day in self._store.days(experiment.id) if day.day_us >= first_day]
        units = sum(max(day.n_exposed, 0) for day in days) or sum(day.n_outcomes for day in days)
        exposed = sum(result.n_exposed for result in analysis.results)
        calls = sum(result.n_calls for result in analysis.results)
        return Traffic(units=units / span, calls=units / span * calls / exposed if exposed else 0.0)

    def _running(self, experiment_id: str) -> Experiment:
        experiment = self.get(experiment_id)
        if experiment.status != "running":
            raise Conflict("The experiment is stopped; it takes no more traffic.")
        return experiment


def _real(experiment: Experiment) -> Experiment:
    if experiment.is_demo:
        raise Conflict("This experiment is made up, for the demo: it takes no traffic and no outcomes.")
    return experiment
