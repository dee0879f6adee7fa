"""Workflows for their users: the built-in and saved ones, runs started, watched, stopped, resumed."""

import contextlib
import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from core import clock
from core.calls.accounting import checked_cap
from core.calls.call import CallView, Origin
from core.calls.engine import CallEngine
from core.config import MAX_PROMPT_BYTES
from core.domain.generation import Model
from core.domain.key import Key
from core.domain.workflow import StepRun, Workflow, WorkflowRun
from core.errors import AimmError, Conflict, DamagedRecord, InvalidRequest, NotFound, TooLarge
from core.formats import strict_json as json
from core.formats.text import is_storable
from core.pricing.estimate import Estimate
from core.pricing.receipt import to_nano
from core.storage.engine.database import Database
from core.storage.engine.writer import Writer
from core.storage.workflows import WorkflowStore
from core.workflows import spec
from core.workflows.engine import RunEngine
from core.workflows.estimate import EstimateCall, estimate_run
from core.workflows.steps import Closing, StepRunner

logger = logging.getLogger(__name__)

BUILT_IN = Path(__file__).parent / "builtin"
OWN = Path("data/workflows")  # files of the team's own, in the folder that the program is started from
_HERE = Origin(source="workflow")
WAIT_POLL_S = 0.05
TURN_POLL_S = 1.0


class WorkflowService:
    def __init__(
        self,
        database: Database,
        writer: Writer,
        calls: CallEngine,
        *,
        default_model: Callable[[], str],
        resolve: Callable[[str], Model],
        key_of: Callable[[str], Key | None] = lambda key_id: None,
    ) -> None:
        """key_of: The key of an id; None = there is none."""
        self._store = WorkflowStore(database, spec.from_yaml)
        self._writer = writer
        self._resolve = resolve
        self._steps = StepRunner(self._store, writer, calls, default_model, key_of)
        self._engine = RunEngine(database, self)

    # Definitions

    def all(self) -> dict[str, Workflow]:
        """All workflows by name: the built-in ones, over them the files of the team's own, and over these what users saved.

        One that cannot be read is left out; `unreadable` says why.
        """
        return self._read()[0]

    def unreadable(self) -> dict[str, str]:
        """Name -> what is wrong, of the workflows that cannot be read."""
        return self._read()[1]

    def texts(self) -> dict[str, str]:
        """The YAML of all workflows by name, as it was written."""
        sources = self._sources().items()
        return {name: each if isinstance(each, str) else each.decode("utf-8", "replace") for name, each in sources}

    def _sources(self) -> dict[str, str | bytes]:
        files = (path for folder in (BUILT_IN, OWN) for path in sorted(folder.glob("*.yaml")))
        return {path.stem: path.read_bytes() for path in files if path.is_file()} | self._store.definitions()

    def _read(self) -> tuple[dict[str, Workflow], dict[str, str]]:
        found: dict[str, Workflow] = {}
        problems: dict[str, str] = {}
        for name, source in self._sources().items():
            try:
                found[name] = spec.from_yaml(source)
            except InvalidRequest as error:
                problems[name] = error.message
        return found, problems

    def get(self, name: str) -> Workflow:
        workflows, problems = self._read()
        if name in problems:
            raise InvalidRequest(f"The workflow {name} cannot be read: {problems[name]}")
        if name not in workflows:
            raise NotFound(f"There is no workflow {name[:60]!r}.", hint=f"There are: {', '.join(workflows)}.")
        return workflows[name]

    def is_saved(self, name: str) -> bool:
        return name in self._store.definitions()

    def save(self, workflow: Workflow | str) -> Workflow:
        """Keep a workflow under its name; a built-in one of that name is covered, not lost.

        workflow: As YAML, it is kept as it is written, with its comments.

        Raises:
            InvalidRequest: It could not run.
        """
        text = workflow if isinstance(workflow, str) else spec.to_yaml(workflow)
        read = spec.from_yaml(text)
        self._refuse_problems(read)
        self._writer.run(lambda connection: self._store.save(connection, read.name, text, clock.now_us()))
        return read

    def remove(self, name: str) -> None:
        if not self._writer.run(lambda connection: self._store.remove(connection, name)):
            raise NotFound(f"There is no saved workflow {name[:60]!r}.")

    def problems(self, workflow: Workflow) -> list[spec.Problem]:
        return spec.problems(workflow, self._why_not)

    def _why_not(self, model: str) -> str:
        try:
            self._resolve(model)
        except AimmError as error:
            return error.message
        return ""

    # Runs

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

        model: For the steps that name none. origin: Who asks: the source and the key count. cap_usd: The run pauses before it would cost more.

        Raises:
            InvalidRequest: The workflow or an input cannot be used. NotFound: there is no such workflow or model.
        """
        chosen = self.get(workflow) if isinstance(workflow, str) else workflow
        if model:
            self._resolve(model)
        self._refuse_problems(chosen)
        values = self._inputs(chosen, input, inputs or {})
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
            "created_at": clock.now_us(),
        }
        self._writer.run(lambda connection: self._store.insert_run(connection, row))
        self._begin(run_id)
        return run_id

    def run(self, run_id: str) -> WorkflowRun:
        """A run as it stands, with a row for each step, those that wait included."""
        run = self._store.run(run_id)
        if run is None:
            raise NotFound(f"There is no workflow run {run_id[:60]!r}.")
        rows = {step.step: step for step in run.steps}
        steps = [rows.get(step.name) or StepRun(step=step.name, status="waiting") for step in spec.order(run.spec)]
        return replace(run, steps=tuple(steps))

    def runs(self, *, limit: int = 50, workflow_name: str | None = None) -> list[WorkflowRun]:
        return self.page(limit, workflow_name=workflow_name)[0]

    def page(
        self, limit: int, before: str | None = None, *, workflow_name: str | None = None, demo: bool | None = None
    ) -> tuple[list[WorkflowRun], str | None]:
        """Runs, newest first, and what to give as `before` for the next page. demo: None = those of the demo among the others."""
        return self._store.page(limit, before, workflow_name=workflow_name, demo=demo)

    def live(self, run_id: str) -> CallView | None:
        """The call that a run is in just now, if this process makes it."""
        call = self._steps.active_call(run_id)
        return call.view() if call else None

    def estimate(
        self, workflow: Workflow, inputs: Mapping[str, str], model: str, estimate_call: EstimateCall
    ) -> list[Estimate]:
        """What each step may cost; the main input is under ''. Raises: InvalidRequest: a template cannot be read."""
        return estimate_run(workflow, {**workflow.inputs, **inputs}, model, estimate_call)

    def wait(self, run_id: str, timeout_s: float = 3600.0) -> WorkflowRun:
        """Wait until a run is over and return it; after the time-out, as it stands."""
        deadline = time.monotonic() + timeout_s
        while not (run := self.run(run_id)).is_over and time.monotonic() < deadline:
            time.sleep(WAIT_POLL_S)
        return run

    def cancel(self, run_id: str) -> None:
        """Stop a run; finished steps stay, and `resume` can take it up again."""
        run = self.run(run_id)
        if not self._end(run_id, "cancelled", ("queued", "running"), error="Stopped."):
            raise Conflict(f"The run is {run.status}; only a running one can be stopped.")
        if (call := self._steps.active_call(run_id)) is not None:
            call.cancel()

    def resume(self, run_id: str, *, cap_usd: Decimal | None = None) -> None:
        """Go on with a failed, stopped or paused run from its first unfinished step; finished steps are not paid again.

        cap_usd: A new cap on the whole run, what it has cost already included; None = the cap stays.
        """
        run = self.run(run_id)
        changes: dict[str, Any] = {"error": "", "finished_at": None, "is_paused": 0}
        if cap_usd is not None:
            changes["cap_nano_usd"] = to_nano(checked_cap(cap_usd))

        def reopen(connection: Any) -> bool:
            moved = self._store.move(connection, run_id, "queued", ("failed", "cancelled"), **changes)
            if moved:
                self._store.reopen_steps(connection, run_id)
            return moved

        if not self._writer.run(reopen):
            raise Conflict(f"The run is {run.status}; only a failed or stopped one can be resumed.")
        self._begin(run_id)

    def take_up(self) -> None:
        """In the background: go on with runs that a dead process left."""
        if self._store.unfinished():
            self._wait_for_turn()

    def _begin(self, run_id: str) -> None:
        if self._engine.launch():
            self._engine.start(run_id)
        else:
            self._wait_for_turn()

    def _wait_for_turn(self) -> None:
        """In the background: another process executes runs now; when it ends, and runs are left, this one does."""

        def wait() -> None:
            with contextlib.suppress(Conflict):  # another manager of this very process executes them
                while not self._steps.is_closing.is_set() and self._store.unfinished() and not self._engine.launch():
                    self._steps.is_closing.wait(TURN_POLL_S)

        threading.Thread(target=wait, name="aimm-take-up", daemon=True).start()

    def warm_up(self) -> None:
        """Load the engine before the first run needs it."""
        self._engine.launch()

    def close(self) -> None:
        self._steps.is_closing.set()
        self._engine.close()

    # The engine's side (Host)

    def execute(self, run_id: str, start: int, run_step: Callable[[str], str]) -> None:
        run = self.run(run_id)
        if run.n_starts != start:
            return None  # taken up anew meanwhile
        try:
            for step in spec.order(run.spec):
                if run_step(step.name) == "failed":
                    is_paused = self._steps.ran_out_of_money(run_id)
                    return self._finish(run_id, start, "cancelled" if is_paused else "failed", is_paused=is_paused)
        except Closing:
            raise
        except Exception as error:
            run = self.run(run_id)
            is_ours = run.status == "running" and run.n_starts == start  # else it is taken up anew
            if is_ours and not self._steps.is_closing.is_set():
                logger.exception("a workflow run failed unexpectedly")
                self._finish(run_id, start, "failed", f"The run failed unexpectedly ({type(error).__name__}).")
            raise
        return self._finish(run_id, start, "succeeded")

    def run_step(self, run_id: str, start: int, step_name: str) -> str:
        return self._steps.run_step(run_id, start, step_name)

    def unfinished(self) -> list[tuple[str, str, int]]:
        return self._store.unfinished()

    def claim(self, run_id: str) -> int | None:
        """Take a queued run; the number of this start, or None when it is no longer queued."""

        def take(connection: Any) -> bool:
            return self._store.move(connection, run_id, "running", ("queued",), n_starts=run.n_starts + 1)

        try:
            run = self.run(run_id)
        except DamagedRecord as error:  # it would be looked at again and again
            self._end(run_id, "failed", ("queued",), error=error.message)
            return None
        return run.n_starts + 1 if self._writer.run(take) else None

    def requeue(self, run_id: str, start: int) -> None:
        self._writer.run(lambda connection: self._store.move(connection, run_id, "queued", ("running",), start=start))

    def _finish(self, run_id: str, start: int, status: str, error: str = "", *, is_paused: bool = False) -> None:
        run = self.run(run_id)
        failed = next((step for step in run.steps if step.status == "failed"), None)
        error = f"{failed.step}: {failed.error}" if failed else error
        self._end(run_id, status, ("running",), start=start, error=error, is_paused=int(is_paused))

    def _end(self, run_id: str, status: str, came_from: tuple[str, ...], **values: Any) -> bool:
        values["finished_at"] = clock.now_us()
        return bool(self._writer.run(lambda link: self._store.move(link, run_id, status, came_from, **values)))

    def _refuse_problems(self, workflow: Workflow) -> None:
        if found := self.problems(workflow):
            raise InvalidRequest("The workflow cannot run: " + "; ".join(str(problem) for problem in found[:5]))

    @staticmethod
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
