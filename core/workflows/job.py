"""Workflow runs as a kind of run: what the engine asks about them, answered from their rows."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from core import clock
from core.domain.workflow import AWAITS, StepRun, WorkflowRun
from core.errors import DamagedRecord, NotFound
from core.runs.job import JobTools
from core.storage.runs import Unfinished
from core.storage.workflows import WorkflowStore
from core.workflows import spec
from core.workflows.steps import StepRunner


class WorkflowJob:
    kind = "workflow"

    def __init__(self, tools: JobTools, store: WorkflowStore, steps: StepRunner) -> None:
        self._writer = tools.writer
        self._store = store
        self._steps = steps

    def run(self, run_id: str) -> WorkflowRun:
        """A run as it stands, with a row for each step, those that wait included."""
        run = self._store.run(run_id)
        if run is None:
            raise NotFound(f"There is no workflow run {run_id[:60]!r}.")
        rows = {step.step: step for step in run.steps}
        steps = [rows.get(step.name) or StepRun(step=step.name, status="waiting") for step in spec.order(run.spec)]
        return replace(run, steps=tuple(steps))

    def end(self, run_id: str, status: str, came_from: tuple[str, ...], **values: Any) -> bool:
        """Say that a run is over, if its status is one of `came_from`; False when it is not."""
        return self._move(run_id, status, came_from, **values, finished_at=clock.now_us(), owner="")

    def _move(self, run_id: str, to: str, came_from: tuple[str, ...], **values: Any) -> bool:
        """Change where it stands; see `core.storage.runs.move`."""
        return bool(self._writer.run(lambda link: self._store.move(link, run_id, to, came_from, **values)))

    def unfinished(self) -> list[Unfinished]:
        return self._store.unfinished()

    def claim(self, run_id: str, owner: str) -> int | None:
        try:
            start = self.run(run_id).n_starts + 1
        except DamagedRecord as error:  # it would be looked at again and again
            self.end(run_id, "failed", ("queued",), error=error.message)
            return None
        return start if self._move(run_id, "running", ("queued",), n_starts=start, owner=owner) else None

    def requeue(self, run_id: str, start: int) -> None:
        self._move(run_id, "queued", ("running",), start=start, owner="")

    def steps(self, run_id: str, start: int) -> Sequence[str]:
        run = self.run(run_id)
        return [step.name for step in spec.order(run.spec)] if run.n_starts == start else []

    def do_step(self, run_id: str, start: int, step: str) -> bool:
        return self._steps.run_step(run_id, start, step) in ("succeeded", "skipped")

    def settle(self, run_id: str, start: int, error: str = "") -> None:
        failed = next(
            (step for step in self.run(run_id).steps if step.status == "failed" or step.error == AWAITS), None
        )
        is_paused = self._steps.has_paused(run_id)
        status = "succeeded"
        if failed or error:
            status, error = "failed", f"{failed.step}: {failed.error}" if failed else error
        self.end(
            run_id,
            "cancelled" if is_paused else status,
            ("running",),
            start=start,
            error=error,
            is_paused=int(is_paused),
        )
