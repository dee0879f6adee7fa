"""Evaluations as tests begin them. A process that is to be killed imports this."""

import time
from decimal import Decimal
from typing import Any

from core import ModelManager
from core.domain.evaluation.dataset import DatasetRow
from core.domain.evaluation.prompt import PromptContent, PromptMessage
from core.domain.evaluation.run import Cell, Contestant, Plan

CONTAINS = {"type": "contains", "value": "e"}
PROMPT = PromptContent(messages=(PromptMessage("system", "Be brief."), PromptMessage("user", "Tell of {{topic}}.")))


def rows(n: int, text: str = "the sea, part {at}") -> list[DatasetRow]:
    return [DatasetRow(variables={"topic": text.format(at=at)}) for at in range(n)]


def contestant(model: str = "sim-fast", content: PromptContent | None = PROMPT, **more: Any) -> Contestant:
    return Contestant(position=0, model=model, content=content, prompt="tell@1" if content else "", **more)


def plan(
    mm: ModelManager, n: int = 20, *contestants: Contestant, data: list[DatasetRow] | None = None, **more: Any
) -> Plan:
    dataset = mm.datasets.save("cases", data or rows(n))
    told = {"checks": (CONTAINS,), "name": "suite", **more}
    return Plan(dataset=dataset.ref, contestants=contestants or (contestant(), contestant("sim-careful")), **told)


def ended(mm: ModelManager, made: Plan, **more: Any) -> str:
    """The id of a run that is over."""
    run_id = mm.evaluations.start(made, **more)
    mm.evaluations.wait(run_id, 60)
    return run_id


def in_the_middle(mm: ModelManager, run_id: str, least: int = 1) -> None:
    """Wait until some cells are answered and others are being asked."""
    deadline = time.monotonic() + 60
    while not (n_answered(mm, run_id) >= least and mm.calls.under_way(run_id)):
        assert time.monotonic() < deadline, "the run was never in its middle"
        time.sleep(0.002)


def n_answered(mm: ModelManager, run_id: str) -> int:
    return sum(t.n - t.outcomes.get("not_run", 0) for t in mm.evaluations.tallies(run_id))


def outcomes(mm: ModelManager, run_id: str) -> list[dict[str, int]]:
    """Of each contestant."""
    return [dict(tally.outcomes) for tally in mm.evaluations.tallies(run_id)]


def cell(mm: ModelManager, run_id: str, *place: int) -> Cell:
    return next(each for each in mm.evaluations.cells(run_id) if each.place == place)


def logged_usd(mm: ModelManager, run_id: str) -> Decimal:
    """The cost of all calls of a run, as the log has it."""
    return sum((call.cost_usd or Decimal(0) for call in mm.log.by_ref(run_id)), Decimal(0))
