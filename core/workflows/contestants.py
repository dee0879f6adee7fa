"""Workflows as contestants of an evaluation: a run for each row."""

from decimal import Decimal
from typing import TYPE_CHECKING

from core.calls.origin import Origin
from core.domain.evaluation.dataset import DatasetRow
from core.domain.evaluation.run import Contestant
from core.errors import Conflict, ProviderError
from core.prompts.template import as_text

if TYPE_CHECKING:
    from core.workflows.service import WorkflowService

MAIN = "input"


class WorkflowContestants:
    def __init__(self, workflows: "WorkflowService") -> None:
        self._workflows = workflows

    def begin(self, contestant: Contestant, row: DatasetRow, origin: Origin) -> str:
        """Begin a run whose inputs are the row's variables: `input`, or else the first one, is the main one; its id.

        Raises:
            InvalidRequest, NotFound
        """
        values = {name: as_text(value) for name, value in row.variables.items()}
        main = values.pop(MAIN, None)
        if main is None and values:
            main = values.pop(next(iter(values)))
        known = self._workflows.get(contestant.workflow).inputs
        inputs = {name: value for name, value in values.items() if name in known}
        return self._workflows.start(
            contestant.workflow, main or "", inputs=inputs, model=contestant.model or None, origin=origin
        )

    def look(self, run_id: str) -> tuple[str, float, Decimal | None] | None:
        """(output, seconds, cost) of a run; None = it goes on.

        Raises:
            NotFound. Conflict: it is paused or was stopped. ProviderError: it failed.
        """
        run = self._workflows.run(run_id)
        if not run.is_over:
            return None
        if run.status in ("paused", "cancelled"):
            raise Conflict(f"The run {run_id} of the workflow is {run.status}.")
        if run.status == "failed":
            raise ProviderError(run.error or "The workflow failed.")
        return run.final_output, run.total_latency_s, run.total_cost_usd
