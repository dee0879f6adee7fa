"""The things that follow from a verdict, got ready: what can go live, an experiment, a dataset of failures, files."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from core import AimmError
from core.domain.evaluation.dataset import DatasetVersion
from core.domain.evaluation.prompt import LIVE, LabelMove
from core.domain.evaluation.run import Contestant, EvaluationRun, Plan
from core.evaluation.gate import GateResult
from core.evaluation.report import as_json, as_junit, cell_to_dict
from core.formats import strict_json as json
from core.formats.names import PROMPT
from dashboard import tables
from dashboard.frames.evaluation.items import grid
from dashboard.frames.evaluation.reading import Seen, View
from dashboard.process import manager

SUFFIXES = {"JSON": "json", "JUnit": "xml", "CSV": "csv"}
AT_ONCE = 2000  # cells
DRAFT = "draft_"  # what the inputs of a new experiment are kept under


def has_functions(run: EvaluationRun) -> bool:
    return any(each.function for each in run.plan.contestants)


def more_than_table(checks: Sequence[Mapping[str, Any]]) -> str:
    """The reason why the table of checks could not hold these; empty where it can."""
    more = sorted({key for each in checks for key in each} - {"type", "value", "threshold", "metric"})
    return f"Its checks have more than the table of checks shows: {', '.join(more)}." if more else ""


def more_than_form(plan: Plan) -> str:
    """The reason why the form of a new evaluation could not say this plan; empty where it can."""
    several = plan.contestants
    prompts, models = ({getattr(each, name) for each in several} for name in ("prompt", "model"))
    settings = {json.dumps(each.parameters.as_dict(), sort_keys=True) for each in several}
    if any(each.workflow or each.name or "@" not in (each.prompt or "@") for each in several):
        return "A contestant is a workflow, has a name of its own, or a prompt that is not in the library."
    if len(prompts) * len(models) != len(several) or len(settings) > 1:
        return "Its contestants are not each prompt with each model, in one setting."
    if set(several[0].parameters.as_dict()) - {"temperature", "max_tokens"}:
        return "It has parameters that the form does not ask for."
    if plan.threshold is not None:
        return "It has a threshold, which the form does not ask for."
    return more_than_table(plan.checks)


def can_live(run: EvaluationRun) -> dict[int, Contestant]:
    """The contestants that are versions of prompts in the library, by their positions."""
    found = {}
    for each in run.plan.contestants:
        name, _, number = each.prompt.partition("@")
        if name and number.isdecimal() and each.content is not None:
            try:
                version = manager().prompts.get(each.prompt)
            except AimmError:
                continue
            if version.content.digest == each.content.digest:
                found[each.position] = each
    return found


def live_number(prompt: str) -> int | None:
    """The version that a prompt's label `live` points at."""
    return next((each.labels.get(LIVE) for each in manager().prompts.all() if each.name == prompt), None)


def last_move(prompt: str) -> LabelMove | None:
    """The last move of its label `live`."""
    return next((move for move in manager().prompts.label_moves(prompt) if move.label == LIVE), None)


def baseline_of(run: EvaluationRun) -> str:
    """The baseline that points at a run."""
    return next((each.name for each in manager().evaluations.verdicts.baselines() if each.run_id == run.id), "")


def experiment_of(run: EvaluationRun, positions: Sequence[int]) -> dict[str, Any]:
    """The inputs of a new experiment with contestants as its variants."""
    of_library = can_live(run)
    state: dict[str, Any] = {f"{DRAFT}name": f"{run.plan.name} on traffic"[:200], f"{DRAFT}n": len(positions)}
    for at, position in enumerate(positions):
        each = run.plan.contestants[position]
        state[f"{DRAFT}name_{at}"] = f"{each.letter} {each.label}"[:60]
        state[f"{DRAFT}model_{at}"] = f"workflow: {each.workflow}" if each.workflow else each.model
        state[f"{DRAFT}system_{at}"] = f"{PROMPT}{each.prompt}" if position in of_library else system_of(each)
        state[f"{DRAFT}temperature_{at}"] = each.parameters.temperature
        state[f"{DRAFT}parameters_{at}"] = replace(each.parameters, temperature=None).as_dict()
    return state


def system_of(each: Contestant) -> str:
    """The system prompt of a contestant that is no version of a prompt; on traffic, the users' own turns follow it."""
    turns = each.content.messages if each.content is not None else ()
    return "\n\n".join(message.text for message in turns if message.role == "system")


def failed_items(of: Seen) -> list[int]:
    """The items that any contestant failed."""
    return [int(item) for item in grid(of, View()).which("failed").nonzero()[0]]


def add_items(run: EvaluationRun, places: Sequence[int], name: str, author: str) -> DatasetVersion:
    """Put items at the end of a dataset. Raises: InvalidRequest"""
    wanted = set(places)
    rows = (row for at, row in enumerate(manager().datasets.iterate(run.plan.dataset)) if at in wanted)
    return manager().datasets.add(name, rows, origin=f"run {run.id}", author=author)


def exported(run: EvaluationRun, kind: str) -> bytes:
    """A run as a file, its answers included."""
    evaluations = manager().evaluations
    cells = evaluations.cells(run.id)
    answers: dict[tuple[int, int, int], str] = {}
    for at in range(0, len(cells), AT_ONCE):
        answers |= evaluations.answers(cells[at : at + AT_ONCE])
    told = [cell_to_dict(cell, answers.get(cell.place)) for cell in cells]
    if kind == "JUnit":
        rows = dict(enumerate(manager().datasets.iterate(run.plan.dataset)))
        return as_junit(run, cells, rows, answers).encode()
    if kind == "CSV":
        checks = ["; ".join(f"{c['type']}: {c['reason']}" for c in each["checks"] if not c["passed"]) for each in told]
        found: bytes = tables.csv_data(pd.DataFrame(told).assign(checks=checks))
        return found
    report = as_json(run, evaluations.tallies(run.id), GateResult(exit_code=0, reason=""), iter(told))
    return json.dumps(report | {"result": dict(run.judged) or None}, indent=1).encode()
