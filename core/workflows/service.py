"""Workflow runs for their users: started, watched, stopped, resumed."""

import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from statistics import median
from typing import Any

from core import clock
from core.calls.origin import Origin
from core.calls.view import CallView
from core.config import MAX_PROMPT_BYTES
from core.domain.budget import checked_cap
from core.domain.generation import Model
from core.domain.key import Key
from core.domain.workflow import Workflow, WorkflowRun
from core.errors import Conflict, InvalidRequest, TooLarge
from core.formats import strict_json as json
from core.formats.money import to_nano
from core.formats.text import is_storable
from core.keys.rules import check_owner
from core.pricing.estimate import Estimate
from core.runs.engine import RunEngine
from core.runs.job import JobTools
from core.storage.people.audit import note, noted
from core.storage.workflows import WorkflowStore
from core.workflows import spec
from core.workflows.definitions import WorkflowDefinitions
from core.workflows.estimate import EstimateCall, estimate_run
from core.workflows.job import WorkflowJob
from core.workflows.steps import StepRunner

_HERE = Origin(source="workflow")
WAIT_POLL_S = 0.05


class WorkflowService:
    def __init__(
        self, tools: JobTools, engine: RunEngine, *, default_model: Callable[[], str], resolve: Callable[[str], Model]
    ) -> None:
        self._store = WorkflowStore(tools.database, spec.from_yaml)
        self._writer = tools.writer
        self._calls = tools.calls
        self._default_model = default_model
        self._resolve = resolve
        self._steps = StepRunner(tools, self._store, default_model, engine.is_closing)
        self._engine = engine
        self.job = WorkflowJob(tools, self._store, self._steps)
        self.definitions = WorkflowDefinitions(self._store, tools.writer, resolve)
        # What programs ask for by these names.
        self.all, self.get = self.definitions.all, self.definitions.get
        self.save, self.remove = self.definitions.save, self.definitions.remove
        self.run = self.job.run

    def start(
        self,
        workflow: str | Workflow,
        input: str,
        *,
        inputs: Mapping[str, str] | None = None,
        model: str | None = None,
        origin: Origin = _HERE,
        cap_usd: Decimal | None = None,
    ) -> str:
        """Begin a run and return its id; it goes on whatever becomes of the caller.

        model: For the steps that name none.
        origin: Who asks: the source and the key count.
        cap_usd: The run pauses before it would cost more.

        Raises:
            InvalidRequest: The workflow or an input cannot be used. NotFound: there is no such workflow or model.
            Forbidden: The key may not ask the model of a step.
        """
        chosen = self.get(workflow) if isinstance(workflow, str) else workflow
        self._check_models(chosen, origin, model)
        if model:
            self._resolve(model)
        self.definitions.check(chosen)
        values = _inputs(chosen, input, inputs or {})
        if model:
            chosen = replace(chosen, steps=tuple(replace(s, model=s.model or model) for s in chosen.steps))
        text = spec.to_yaml(chosen)
        spec.from_yaml(text)  # as it will be read when it runs
        run_id = f"r_{clock.now_us():x}{secrets.token_hex(4)}"
        row = {
            "id": run_id,
            "workflow_name": chosen.name,
            "spec": text,
            "inputs": json.dumps(values),
            "source": origin.source,
            "key_id": origin.key_id,
            "status": "queued",
            "cap_nano_usd": None if cap_usd is None else to_nano(checked_cap(cap_usd)),
            "n_starts": 0,
            "owner": self._engine.owner_of_new(),
            "created_at": clock.now_us(),
        }
        self._writer.run(lambda connection: self._store.insert_run(connection, row))
        self._engine.begin(self.job.kind, run_id)
        return run_id

    def runs(self, *, limit: int = 50, workflow_name: str | None = None) -> list[WorkflowRun]:
        return self.page(limit, workflow_name=workflow_name)[0]

    def page(
        self, limit: int, before: str | None = None, *, workflow_name: str | None = None, demo: bool | None = None
    ) -> tuple[list[WorkflowRun], str | None]:
        """Runs, newest first, and what to give as `before` for the next page.

        demo: None = those of the demo among the others.
        """
        return self._store.page(limit, before, workflow_name=workflow_name, demo=demo)

    def usual_s(self, workflow_name: str) -> dict[str, float]:
        """The median time of each step in a workflow's last runs."""
        times = defaultdict(list)
        for step in (step for run in self.runs(workflow_name=workflow_name) for step in run.steps):
            if step.status == "succeeded":
                times[step.step].append(step.latency_s)
        return {name: median(each) for name, each in times.items()}

    def live(self, run_id: str) -> CallView | None:
        """The call that a run is in just now, if this process makes it."""
        call = self._steps.active_call(run_id)
        return call.view() if call else None

    def estimate(
        self, workflow: Workflow, inputs: Mapping[str, str], model: str, estimate_call: EstimateCall
    ) -> list[Estimate]:
        """Estimate each step's cost; the main input is under ''. Raises: InvalidRequest: a template cannot be read."""
        return estimate_run(workflow, {**workflow.inputs, **inputs}, model, estimate_call)

    def wait(self, run_id: str, timeout_s: float = 3600.0) -> WorkflowRun:
        """Wait until a run is over and return it; after the time-out, as it stands."""
        deadline = time.monotonic() + timeout_s
        while not (run := self.run(run_id)).is_over and time.monotonic() < deadline:
            time.sleep(WAIT_POLL_S)
        return run

    def cancel(self, run_id: str, *, key: Key | None = None) -> None:
        """Stop a run, or refuse what a paused one waits for; finished steps stay, and `resume` can take it up again.

        key: The caller's.

        Raises:
            NotFound; Conflict: it is over; Forbidden: the key may not ask its models, or did not ask for it.
        """
        run = self._of_key(run_id, key)
        stopped = ("queued", "running", "cancelled") if run.status == "paused" else ("queued", "running")
        error = f"{run.awaits.step}: Not approved." if run.awaits else "Stopped."
        if not self.job.end(run_id, "cancelled", stopped, error=error, is_paused=0):
            raise Conflict(f"The run is {run.status}; only a running one can be stopped.")
        self._writer.run(lambda connection: note(connection, "run stopped", run.workflow_name, {"id": run_id}))
        if (call := self._steps.active_call(run_id)) is not None:
            call.cancel()

    def resume(self, run_id: str, *, cap_usd: Decimal | None = None, key: Key | None = None) -> None:
        """Go on with a failed, stopped or paused run from its first unfinished step; finished steps are not paid again.

        A step that waits for approval is let through.

        cap_usd: A new cap on the whole run, what it has cost already included; None = the cap stays.
        key: The caller's.

        Raises:
            NotFound; Conflict: it runs, or has succeeded; Forbidden: see `cancel`.
        """
        run = self._of_key(run_id, key)
        if not run.inputs:  # a run has one at least, which may be empty
            raise Conflict("The texts of this run were deleted by retention; start it anew.")
        changes: dict[str, Any] = {"error": "", "finished_at": None, "is_paused": 0}
        changes["owner"] = self._engine.owner_of_new()
        if cap_usd is not None:
            changes["cap_nano_usd"] = to_nano(checked_cap(cap_usd))

        def reopen(connection: Any) -> bool:
            moved = self._store.move(connection, run_id, "queued", ("failed", "cancelled"), **changes)
            if moved:
                self._store.reopen_steps(connection, run_id, is_awaited=run.awaits is not None)
            return moved

        if not self._writer.run(noted(reopen, "run resumed", run.workflow_name, id=run_id)):
            raise Conflict(f"The run is {run.status}; only a failed or stopped one can be resumed.")
        self._engine.begin(self.job.kind, run_id)

    def _of_key(self, run_id: str, key: Key | None) -> WorkflowRun:
        """A run as it stands, if a key asked for it or has `admin`, and may ask its models."""
        run = self.run(run_id)
        self._check_models(run.spec, replace(_HERE, key=key))
        check_owner(key, run.key_id, "run")
        return run

    def _check_models(self, workflow: Workflow, origin: Origin, model: str | None = None) -> None:
        """Refuse a run, before it begins or goes on, if the caller's key may not ask the model of a step."""
        if origin.key is not None:
            default = model or self._default_model()
            named = ((step.model or default, step.fallback_model) for step in workflow.steps)
            self._calls.check_models(origin, *(name for names in named for name in names if name))


def _inputs(workflow: Workflow, text: str, named: Mapping[str, str]) -> dict[str, str]:
    if not text.strip():
        raise InvalidRequest("The input is empty.")
    if wrong := [name for name, value in named.items() if not isinstance(value, str)]:
        raise InvalidRequest(f"The input {wrong[0]} == {named[wrong[0]]!r:.80}, must be a text.")
    if not all(is_storable(each) for each in (text, *named.values())):
        raise InvalidRequest("The input holds a NUL or half of a surrogate pair, which no model takes.")
    if len(text.encode()) > MAX_PROMPT_BYTES:
        raise TooLarge(f"The input has {len(text.encode()):,} bytes; at most {MAX_PROMPT_BYTES:,} are taken.")
    if unknown := sorted(set(named) - set(workflow.inputs)):
        raise InvalidRequest(f"{workflow.name} has no input {', '.join(unknown)}.")
    return {**workflow.inputs, **named, "": text}
