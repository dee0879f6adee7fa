"""Evaluations of the demo: a suite over a month, with one real improvement, one regression and one A/A.

The answers are those that the simulated models give to these requests; only their moments are made up.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from core import clock
from core.datasets.service import DatasetService
from core.domain.evaluation.dataset import DatasetRow, DatasetVersion
from core.domain.evaluation.prompt import LIVE, PromptContent, PromptMessage, PromptVersion
from core.domain.evaluation.run import Cell, Contestant, EvaluationRun, Gate, Plan, Requirement, placed
from core.domain.generation import Generation, Parameters, Usage
from core.evaluation.answers import answer_of
from core.evaluation.gate import Opponents, judge, to_dict
from core.evaluation.grading import Grader
from core.evaluation.requests import request_of
from core.formats import strict_json as json
from core.formats.money import to_nano
from core.pricing.catalogue import SIMULATED_PRICES
from core.pricing.cost import cost_of
from core.prompts.service import PromptService
from core.providers.simulated import count_tokens
from core.providers.simulated_tickets import TICKETS, sorted_by
from core.storage.calls.generations import to_body, to_row
from core.storage.calls.record import log_rows
from core.storage.engine.database import Connection, Database
from core.storage.engine.writer import Writer
from core.storage.evaluation.baselines import BaselineStore
from core.storage.evaluation.cells import CellStore, Place
from core.storage.evaluation.grades import Graded, GradeStore
from core.storage.evaluation.runs import RunStore
from core.storage.library.datasets import DatasetStore
from core.storage.library.prompts import PromptStore
from core.storage.people.audit import note

DATASET, PROMPT, SUITE = "demo-tickets", "demo-triage", "Ticket triage"
_ASK = "Which team is this ticket for: billing, shipping, returns, account or technical?\n\n{{ticket}}"
_SYSTEM = "You sort support tickets. Answer with one word."
_RULES = (
    "\nRules: money is billing, parcels on their way are shipping, goods that come back are returns,"
    " sign-in and personal data are account, what does not work is technical."
)
VERSIONS = tuple(
    PromptContent(messages=(PromptMessage("system", system), PromptMessage("user", _ASK)))
    for system in (_SYSTEM, _SYSTEM + _RULES)
)
ROWS = tuple(
    DatasetRow(variables={"ticket": t.text}, expected=t.team, tags=(t.tag.replace(" ", "-"),)) for t in TICKETS
)
NOTES = ("The question alone.", "With rules for each team.")
_SIDES = ("without rules", "with rules")
_CHECKS = (
    {"type": "equals", "value": "{{expected}}", "metric": "right team"},
    {"type": "word-count", "value": 1, "metric": "one word"},
)
_GATE = Gate(require=(Requirement(not_worse_than_points=2.0), Requirement(metric="cost", not_above=0.001)))
MAIN = "main"


@dataclass(frozen=True, slots=True)
class _Story:
    """A run as it is told. sides: (version from 1, model, seed) of each contestant. against: A baseline."""

    name: str
    days_ago: float
    sides: tuple[tuple[int, str, int], ...]
    against: str = ""
    is_blessed: bool = False


_BALANCED, _FAST = "sim-balanced", "sim-fast"
_STORIES = (
    _Story(SUITE, 27.2, ((1, _BALANCED, 3),), is_blessed=True),
    _Story(SUITE, 23.1, ((1, _BALANCED, 4),), MAIN),
    _Story(SUITE, 19.3, ((1, _BALANCED, 5),), MAIN),
    _Story(SUITE, 15.0, ((1, _BALANCED, 6),), MAIN),
    _Story("A/A: the same prompt twice", 12.4, ((1, _BALANCED, 1), (1, _BALANCED, 2))),
    _Story("Triage with rules in the prompt", 9.2, ((1, _BALANCED, 1), (2, _BALANCED, 1))),
    _Story(SUITE, 8.1, ((2, _BALANCED, 1),), MAIN, is_blessed=True),
    _Story(SUITE, 5.0, ((2, _BALANCED, 7),), MAIN),
    _Story("Cheaper model for triage", 2.3, ((2, _BALANCED, 1), (2, _FAST, 1))),
    _Story(SUITE, 1.1, ((2, _FAST, 2),), MAIN),
)  # fmt: skip


def _dated(connection: Connection, now_us: int) -> None:
    """Let the dataset and the prompt be as old as the stories that are told of them."""
    begun, changed = (now_us - round(days * clock.DAY_US) for days in (_STORIES[0].days_ago + 1, 9.5))
    DatasetStore.set_time(connection, DATASET, begun)
    PromptStore.set_times(connection, PROMPT, (begun, changed))
    note(connection, "demo data dated", "", {})


class EvaluationStories:
    """The runs, told on a dataset and a prompt that are saved."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._datasets = DatasetService(database, writer)
        self._prompts = PromptService(database, writer)
        self._writer = writer
        self._runs = RunStore(database)
        self._grader = Grader(writer, GradeStore(database))

    def tell(self, now_us: int) -> None:
        dataset = self._datasets.save(DATASET, ROWS, origin="demo", author="demo")
        versions = [
            self._prompts.save(PROMPT, content, note=note, author="demo")
            for content, note in zip(VERSIONS, NOTES, strict=True)
        ]
        self._prompts.move_label(PROMPT, LIVE, versions[1].number, author="demo")
        self._writer.run(partial(_dated, now_us=now_us))
        rows, told = self._datasets.rows(dataset.ref), dict[str, Opponents]()
        for number, story in enumerate(_STORIES):
            run = _run(story, number, dataset, versions, now_us)
            self._writer.run(partial(self._tell, run=run, story=story, rows=rows, told=told))

    def forget(self, connection: Connection) -> None:
        """Take the runs away, and the dataset and the prompt with them, unless somebody's own runs need them."""
        RunStore.delete_source(connection, "demo")
        if not self._runs.on_dataset(DATASET):
            DatasetStore.delete(connection, DATASET)
            PromptStore.delete(connection, PROMPT)

    def _tell(
        self,
        connection: Connection,
        run: EvaluationRun,
        story: _Story,
        rows: Sequence[DatasetRow],
        told: dict[str, Opponents],
    ) -> None:
        """Write a run down with its calls and what the checks and the gate say. told: The baselines so far."""
        places = [(item, each.position, 0) for item in range(len(rows)) for each in run.plan.contestants]
        calls = {place: _call(run, place, rows[place[0]]) for place in places}
        run = replace(run, spent_usd=sum((call.cost_usd or Decimal(0) for call in calls.values()), Decimal(0)))
        RunStore.insert(connection, run)
        log_rows(connection, [to_row(g) for g in calls.values()], [to_body(g, "full") for g in calls.values()])
        CellStore.insert(connection, [_row(run, place, rows[place[0]], call) for place, call in calls.items()])
        graded = [self._grader.graded(run, at, rows[at[0]], answer_of(call)) for at, call in calls.items()]
        GradeStore.set(connection, run.id, graded)
        cells: dict[int, list[Cell]] = {each.position: [] for each in run.plan.contestants}
        for each in graded:
            cells[each.place[1]].append(_cell(each, rows[each.place[0]], calls[each.place]))
        result = judge(run, cells, told.get(story.against))
        RunStore.set(connection, run.id, judged=json.dumps(to_dict(result) | {"against": story.against}))
        if story.is_blessed:
            BaselineStore.bless(connection, MAIN, run.id, clock.to_us(run.ended_at or run.created_at), "demo")
            told[MAIN] = Opponents(name=MAIN, contestants=run.plan.contestants, cells=cells)


def _run(
    story: _Story, number: int, dataset: DatasetVersion, versions: Sequence[PromptVersion], now_us: int
) -> EvaluationRun:
    created_at = clock.from_us(now_us) - timedelta(days=story.days_ago)
    sides = [
        Contestant(
            position=0,
            name=_SIDES[version - 1] if len({model for _, model, _ in story.sides}) < len(story.sides) else "",
            prompt=versions[version - 1].ref,
            content=versions[version - 1].content,
            model=model,
            asked=model,
            parameters=Parameters(seed=seed),
        )
        for version, model, seed in story.sides
    ]
    plan = Plan(
        name=story.name,
        dataset=dataset.ref,
        contestants=placed(sides),
        checks=_CHECKS,
        gate=replace(_GATE, against=story.against) if len(sides) > 1 or story.against else None,
    )
    return EvaluationRun(
        id=f"ev_demo{number:02d}",
        plan=plan,
        status="finished",
        created_at=created_at,
        ended_at=created_at + timedelta(seconds=40),
        n_items=dataset.n_rows,
        n_cells=dataset.n_rows * len(sides),
        n_starts=1,
        source="demo",
        is_simulated=True,
    )


def _call(run: EvaluationRun, place: Place, row: DatasetRow) -> Generation:
    """The call of a cell, as it would be on record."""
    request = request_of(run.plan.contestants[place[1]], row)
    text = sorted_by(request) or ""
    n_input = sum(count_tokens(each) for each in (request.system or "", request.prompt))
    cost = cost_of([Usage(input_tokens=n_input, output_tokens=count_tokens(text))], SIMULATED_PRICES[request.model])
    name = f"{run.id}.{place[0]}.{place[1]}"
    latency_s = 0.2 + random.Random(name).lognormvariate(-1.2 if request.model == _FAST else -0.3, 0.35)
    return Generation(
        id=f"g_{name}",
        created_at=run.created_at + timedelta(seconds=0.3 * place[0]),
        request_model=request.model,
        response_model=request.model,
        provider="simulated",
        source="demo",
        status="ok",
        finish_reason="stop",
        usage=cost.usage,
        cost_usd=cost.cost_usd,
        cost_status=cost.cost_status,
        price_id=cost.price_id,
        receipts=cost.receipts,
        latency_s=latency_s,
        ttft_s=0.2,
        messages=request.messages,
        system=request.system,
        parameters=request.parameters,
        text=text,
        ref_id=run.id,
        ref_part=".".join(map(str, place)),
        ref_name=f"evaluation:{run.plan.name}",
        prompt_version=run.plan.contestants[place[1]].prompt,
    )


def _row(run: EvaluationRun, place: Place, row: DatasetRow, call: Generation) -> dict[str, Any]:
    item, contestant, repetition = place
    return {
        "run_id": run.id,
        "item": item,
        "contestant": contestant,
        "repetition": repetition,
        "row_id": row.id,
        "state": "answered",
        "generation_id": call.id,
        "cost_nano_usd": None if call.cost_usd is None else to_nano(call.cost_usd),
        "latency_us": round(call.latency_s * 1e6),
        "answered_at": clock.to_us(call.created_at),
        "finish_reason": "stop",
    }


def _cell(graded: Graded, row: DatasetRow, call: Generation) -> Cell:
    item, contestant, repetition = graded.place
    return Cell(
        item=item,
        contestant=contestant,
        repetition=repetition,
        row_id=row.id,
        state="answered",
        grade=graded.grade,
        score=graded.score,
        scores=tuple(graded.scores),
        cost_usd=call.cost_usd,
        latency_s=call.latency_s,
    )
