"""One step of a run: condition, prompt, call, check, record. A step that has been paid for is never asked again."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from core import clock
from core.calls.call import Call
from core.calls.origin import Origin
from core.checks import grade_call
from core.domain.generation import Generation, Message, Request
from core.domain.workflow import AWAITS, Check, Step, StepStatus, WorkflowRun
from core.errors import AimmError, NotFound
from core.formats import strict_json as json
from core.formats.money import to_nano
from core.formats.names import PROMPT, ref_in
from core.keys.rules import problem_of
from core.runs.job import Closing, JobTools
from core.storage.engine.writer import Work
from core.storage.workflows import WorkflowStore
from core.workflows.template import render

OUT_OF_MONEY = ("cap_reached", "budget_exceeded")


class StepRunner:
    def __init__(
        self, tools: JobTools, store: WorkflowStore, default_model: Callable[[], str], is_closing: threading.Event
    ) -> None:
        """is_closing: Set when the process goes down."""
        self._store = store
        self._writer = tools.writer
        self._calls = tools.calls
        self._default_model = default_model
        self._key_of = tools.key_of
        self._active: dict[str, Call] = {}
        self._paused: set[str] = set()
        self._is_closing = is_closing

    def has_paused(self, run_id: str) -> bool:
        """Tell, once, whether the run's last step wants money, or a person's approval."""
        found = run_id in self._paused
        self._paused.discard(run_id)
        return found

    def active_call(self, run_id: str) -> Call | None:
        return self._active.get(run_id)

    def run_step(self, run_id: str, start: int, step_name: str) -> StepStatus:
        """Bring one step to its end; what it came to is in its row. `start`: which taking-up of the run asks."""
        run = self._store.run(run_id)
        if run is None:
            raise NotFound(f"There is no run {run_id!r}.")
        if run.status == "cancelled" or run.n_starts != start:
            return "failed"
        step = next(step for step in run.spec.steps if step.name == step_name)
        already = next((row for row in run.steps if row.step == step_name), None)
        if already is not None and already.status in ("succeeded", "skipped"):
            return already.status
        outputs = {row.step: row.output for row in run.steps}
        if step.when is not None and not step.when.holds(outputs.get(step.when.step, "")):
            return self._put(run, step, status="skipped", output="", finished_at=clock.now_us())
        try:
            prompt = render(step.prompt, run.inputs, outputs)
            system = render(step.system, run.inputs, outputs) if step.system else None
        except AimmError as error:
            return self._failed(run, step, error.message)
        if step.approval and (already is None or already.error == AWAITS):
            self._paused.add(run.id)
            return self._put(run, step, status="running", prompt=prompt, error=AWAITS)
        first_attempt = already.n_attempts if already else 0
        self._put(run, step, status="running", prompt=prompt, started_at=clock.now_us())
        return self._call_with_retries(run, step, prompt, system, first_attempt)

    def _call_with_retries(
        self, run: WorkflowRun, step: Step, prompt: str, system: str | None, n_before: int
    ) -> StepStatus:
        model = step.model or self._default_model()
        asked, error = prompt, ""
        for attempt in range(n_before + 1, max(step.attempts, n_before + 1) + 1):
            if not self._is_wanted(run):
                return self._failed(run, step, "stopped")
            status, error, is_answered = self._call(run, step, (model, asked, system), attempt)
            if status == "succeeded":
                return status
            if run.id in self._paused:
                return self._failed(run, step, error)
            if is_answered:  # a vendor that failed is asked the same again
                asked = f"{prompt}\n\nYour last answer was refused: {error}\nAnswer again and correct this."
        if step.on_failure == "fallback" and step.fallback_model and self._is_wanted(run):
            status, error, _ = self._call(run, step, (step.fallback_model, prompt, system), step.attempts + 1)
            if status == "succeeded":
                return status
        if step.on_failure in ("skip", "default") and self._is_wanted(run):
            status, output = ("skipped", "") if step.on_failure == "skip" else ("succeeded", step.default or "")
            return self._put(run, step, status=status, output=output, error=error, finished_at=clock.now_us())
        return self._failed(run, step, error)

    def _call(
        self, run: WorkflowRun, step: Step, sent: tuple[str, str, str | None], attempt: int
    ) -> tuple[StepStatus, str, bool]:
        """Give what the step came to, why it failed, and whether there was an answer at all."""
        model, prompt, system = sent
        of_prompt = ref_in(system or "")  # in the place of a system text; the step's own model answers
        request = Request(
            model=f"{PROMPT}{of_prompt}" if of_prompt else model,
            messages=(Message("user", prompt),),
            system=None if of_prompt else system,
            parameters=step.parameters,
        )
        key, now = self._key_of(run.key_id), self._store.run(run.id)
        if problem := problem_of(run.key_id, key, clock.now()):
            return "failed", problem, False
        origin = Origin(
            source="workflow",
            ref_id=run.id,
            ref_part=step.name,
            ref_name=f"workflow:{run.workflow_name}",
            cap_usd=None if now is None else now.left_of_cap_usd,
            key=key,
            is_permitted=run.source == "experiment",  # its key was judged by the experiment's name
            variables=_variables(run) if of_prompt else {},
            prompt_model=model if of_prompt else "",
        )
        verdict: list[tuple[StepStatus, str, bool]] = []

        def record(generation: Generation) -> Work:
            # In the transaction that records the call: an answer that was paid for and its step cannot part.
            status, error = judge(generation, step.check, step.checks, _variables(run))
            if generation.error_class in OUT_OF_MONEY:
                self._paused.add(run.id)
            verdict.append((status, error, generation.status == "ok"))
            values = _step_values(run, step, generation, attempt)
            values |= {"status": "running" if status == "failed" else status, "error": error}
            return lambda connection: self._store.put_step(connection, run.id, run.n_starts, step.name, values)

        try:
            call = self._calls.submit(request, origin, on_record=record)
            self._active[run.id] = call
            if not self._is_wanted(run):  # stopped between the look and the call
                call.cancel()
            call.result()
        except AimmError as error:
            return "failed", error.message, False
        finally:
            self._active.pop(run.id, None)
        if self._is_closing.is_set() and verdict and verdict[0][0] == "failed":
            raise Closing
        return verdict[0]

    def _is_wanted(self, run: WorkflowRun) -> bool:
        """Tell whether the run goes on in this start: a stopped run must ask, and pay for, nothing more."""
        now = self._store.run(run.id)
        return now is not None and now.status == "running" and now.n_starts == run.n_starts

    def _failed(self, run: WorkflowRun, step: Step, error: str) -> StepStatus:
        return self._put(run, step, status="failed", error=error, finished_at=clock.now_us())

    def _put(self, run: WorkflowRun, step: Step, *, status: StepStatus, **values: Any) -> StepStatus:
        values |= {"status": status, "position": _position(run, step)}
        self._writer.run(lambda connection: self._store.put_step(connection, run.id, run.n_starts, step.name, values))
        return status


def _position(run: WorkflowRun, step: Step) -> int:
    return [other.name for other in run.spec.steps].index(step.name)


def _step_values(run: WorkflowRun, step: Step, generation: Generation, attempt: int) -> dict[str, Any]:
    return {
        "position": _position(run, step),
        "prompt": generation.messages[-1].text,
        "output": generation.text,
        "model": generation.request_model,
        "generation_id": generation.id,
        "n_attempts": attempt,
        "add_tokens": generation.usage.total_tokens,
        "add_cost": None if generation.cost_usd is None else to_nano(generation.cost_usd),
        "finished_at": clock.now_us(),
    }


def judge(
    generation: Generation,
    check: Check,
    checks: Sequence[Mapping[str, Any]] = (),
    variables: Mapping[str, Any] | None = None,
) -> tuple[StepStatus, str]:
    """Tell whether an answer will do, and why not. variables: Those that the checks' values may use."""
    if generation.status != "ok":
        return "failed", generation.error_message or f"the call was {generation.status}"
    if check == "not_empty" and not generation.text.strip():
        return "failed", "the answer is empty"
    if check == "json":
        try:
            json.loads(strip_fence(generation.text))
        except ValueError as error:
            return "failed", f"the answer is not JSON ({error})"
    if checks:
        found = grade_call({"assert": checks}, generation, variables)
        if not found.passed:
            wrong = [each for each in found.components if each.is_error or not each.passed]
            return "failed", "; ".join(f"{each.type}: {each.reason}" for each in wrong)[:1000]
    return "succeeded", ""


def strip_fence(text: str) -> str:
    """The inside of a Markdown code fence, which models like to put around JSON."""
    text = text.strip()
    if text.startswith("```") and text.endswith("```") and "\n" in text:
        return text.split("\n", 1)[1].rsplit("```", 1)[0].strip()
    return text


def _variables(run: WorkflowRun) -> dict[str, str]:
    """The values by which a prompt of a step is filled: the names that its own template has, and the bare ones."""
    found = {name: value for name, value in run.inputs.items() if name}
    found |= {f"input.{name}": value for name, value in found.items()} | {"input": run.inputs.get("", "")}
    return found | {f"steps.{row.step}.output": row.output for row in run.steps}
