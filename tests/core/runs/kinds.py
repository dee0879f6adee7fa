"""The kinds of runs, as their users know them. A process that is to be killed imports this, and nothing that takes long."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from core import ModelManager
from core.domain.workflow import Step, Workflow

# Each column twice: one that answers fast, two that take their time.
CANDIDATES = ["sim-fast", "sim-careful", "sim-balanced"] * 2
FLOW = Workflow(
    name="chain",
    steps=(
        Step(name="first", prompt="{{input}}", model="sim-fast"),
        Step(name="second", prompt="{{steps.first.output}}", model="sim-careful"),
        Step(name="third", prompt="{{steps.second.output}}", model="sim-careful"),
    ),
)


@dataclass(frozen=True)
class Kind:
    """A kind of run as its users know it. parts: The calls that a whole run has answered."""

    name: str
    parts: tuple[str, ...]
    start: Callable[[ModelManager], str]
    done: str

    def service(self, mm: ModelManager):
        return {"workflow": mm.workflows, "comparison": mm.comparisons}[self.name]

    def stop(self, mm: ModelManager, run_id: str) -> None:
        (mm.workflows.cancel if self.name == "workflow" else mm.comparisons.stop)(run_id)

    def status(self, mm: ModelManager, run_id: str) -> str:
        return str(mm.workflows.run(run_id).status if self.name == "workflow" else mm.comparisons.get(run_id).status)

    def is_in_the_middle(self, mm: ModelManager, run_id: str) -> bool:
        """One call is answered, and another one has begun to write."""
        if self.name == "workflow":
            live = mm.workflows.live(run_id)
            return mm.workflows.run(run_id).steps[1].status == "running" and live is not None and bool(live.text)
        calls = mm.comparisons.calls(run_id)
        return calls[0].done.done() and calls[3].done.done() and bool(calls[1].view().text) and not calls[1].done.done()

    def reach_the_middle(self, mm: ModelManager, run_id: str) -> None:
        deadline = time.monotonic() + 60
        while not self.is_in_the_middle(mm, run_id):
            assert time.monotonic() < deadline, "the run was never in its middle"
            time.sleep(0.002)


KINDS = (
    Kind("workflow", ("first", "second", "third"), lambda mm: mm.workflows.start(FLOW, "The sea"), "succeeded"),
    Kind("comparison", tuple("012345"), lambda mm: mm.comparisons.start("Tell of the sea.", CANDIDATES), "finished"),
)
