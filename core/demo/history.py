"""Plausible history through the same tables, marked `demo`: for a first look, and to measure with.

Seeded by the numbers asked for, so that two machines make the same history. All rows use simulated models and the
source `demo`; `remove` takes exactly them away.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core import clock
from core.assignment.placement import place
from core.clock import DAY_US, HOUR_US
from core.comparison.plan import plan_of
from core.demo.evaluations import EvaluationStories
from core.domain.comparison import DEFAULT_RULE, Candidate, Comparison, VoteChoice
from core.domain.experiment import Design, Experiment, Guardrail, OutcomeInput, Phase, Variant
from core.domain.generation import COUNTS, Usage
from core.errors import Conflict, InvalidRequest
from core.formats import strict_json as json
from core.formats.text import searchable
from core.pricing.catalogue import SIMULATED_PRICES
from core.pricing.receipt import receipt_for
from core.storage.calls import rollups
from core.storage.calls.generations import GenerationStore, empty_row, receipt_to_json
from core.storage.calls.log import LogStore
from core.storage.calls.record import log_rows
from core.storage.comparisons import ComparisonStore
from core.storage.engine.database import Database
from core.storage.engine.writer import Writer
from core.storage.experiments import units as unit_store
from core.storage.experiments.designs import ExperimentStore
from core.storage.money import spend_by
from core.storage.people.audit import note
from core.storage.votes import VoteStore
from core.storage.workflows import WorkflowStore
from core.workflows import spec
from core.workflows.definitions import BUILT_IN
from core.workflows.template import render

CHUNK = 20_000
N_BODIES = 400
INCIDENT_DAYS_AGO, INCIDENT_HOURS = 9, (9, 17)
MODELS = ("sim-fast", "sim-balanced", "sim-careful")
_SHARES = (0.55, 0.30, 0.15)
_LATENCY_S = (0.35, 1.1, 2.8)
_OUTPUT = (110, 240, 420)
_ERRORS = ("rate_limited", "provider_timeout", "provider_unavailable", "blocked", "truncated")
_MESSAGES = {
    "rate_limited": "Simulated: HTTP 429 at each attempt: more requests a minute than the vendor allows.",
    "provider_timeout": "Simulated: no answer within 60 s.",
    "provider_unavailable": "Simulated: HTTP 503 at each attempt: the vendor is overloaded.",
    "blocked": "Simulated: the vendor's safety filter refused the prompt.",
    "truncated": "Simulated: the connection broke before the answer was whole.",
}
_ERROR_SHARES = (0.45, 0.2, 0.2, 0.1, 0.05)
_PROMPTS = (
    "Summarise this support ticket in two sentences.",
    "Extract title, date and amount from the invoice as JSON.",
    "Rewrite the paragraph so that a child of ten understands it.",
    "Classify the message as question, complaint or praise.",
    "Translate the product description to French.",
)
_TAGS = ("support", "search", "reports")
_MADE_BY = ("", "workflow:analysis", "", "workflow:extract_json", "", "workflow:translation", "")
_NOTHING = empty_row()
_ANSWER = "Key points:\n- The order arrived late and one part was missing.\n- The customer asks for a replacement."


_SYSTEM = "You answer support tickets. Be brief, name the next step, and never promise a refund."


@dataclass(frozen=True, slots=True)
class DemoSize:
    generations: int = 24_000
    days: int = 62  # two periods of thirty days, and what is cut off


class Demo:
    def __init__(self, database: Database, writer: Writer) -> None:
        self._calls = LogStore(database)
        self._writer = writer
        self._evaluations = EvaluationStories(database, writer)

    def is_present(self) -> bool:
        return bool(self._calls.latest(limit=1, source="demo"))

    def fill(self, size: DemoSize = DemoSize()) -> None:
        """Make the history. Each chunk and its rollups are one transaction.

        Raises:
            Conflict: There is demo data already. InvalidRequest: the size is out of range.
        """
        if not 100 <= size.generations <= 50_000_000 or not 12 <= size.days <= 3650:
            raise InvalidRequest("Demo data takes 100 to 50,000,000 generations over 12 to 3,650 days.")
        if self.is_present():
            raise Conflict("There is demo data already; remove it first.")
        rng = np.random.default_rng((size.generations, size.days))
        now_us = clock.now_us()
        for rows, bodies in _chunks(rng, size, now_us):
            self._writer.run(partial(log_rows, rows=rows, bodies=bodies))

        def work(connection: Any) -> None:
            _stories(connection, np.random.default_rng(7), now_us)
            note(connection, "demo data loaded", "", {"calls": size.generations, "days": size.days})

        self._writer.run(work)
        self._evaluations.tell(now_us)

    def remove(self) -> None:
        """Take all demo data away."""

        def work(connection: Any) -> None:
            self._evaluations.forget(connection)
            ComparisonStore.delete_source(connection, "demo")
            ExperimentStore.delete_demo(connection)
            WorkflowStore.delete_source(connection, "demo")
            GenerationStore.delete_source(connection, "demo")
            rollups.delete_source(connection, "demo")
            spend_by.rebuild(connection)
            note(connection, "demo data removed", "", {})

        self._writer.run(work)


def _chunks(
    rng: np.random.Generator, size: DemoSize, now_us: int
) -> Iterator[tuple[list[dict[str, Any]], list[dict[str, Any]]]]:
    moments = _moments(rng, size, now_us)
    for start in range(0, size.generations, CHUNK):
        part = moments[start : start + CHUNK]
        rows = _rows(rng, part, now_us, start)
        first_body = max(0, size.generations - N_BODIES - start)
        yield (
            rows,
            [_body(row, _PROMPTS[(start + at) % len(_PROMPTS)]) for at, row in enumerate(rows) if at >= first_body],
        )


def _moments(rng: np.random.Generator, size: DemoSize, now_us: int) -> NDArray[np.int64]:
    """Sorted moments of calls: working hours and weekdays are busier, and traffic grows slowly."""
    hours = np.arange(size.days * 24)
    starts = now_us - (hours + 1) * HOUR_US
    hour_of_day, weekday = starts // HOUR_US % 24, (starts // DAY_US + 3) % 7
    weight = 0.25 + np.exp(-((hour_of_day - 14.0) ** 2) / 18.0)
    weight = weight * np.where(weekday >= 5, 0.45, 1.0) * (1.0 - 0.4 * hours / hours.size)
    chosen = rng.choice(hours.size, size=size.generations, p=weight / weight.sum())
    return np.sort(starts[chosen] + rng.integers(0, HOUR_US, size.generations))


def _rows(rng: np.random.Generator, moments: NDArray[np.int64], now_us: int, first: int) -> list[dict[str, Any]]:
    n = moments.size
    model = rng.choice(len(MODELS), size=n, p=_SHARES)
    day = (now_us // DAY_US - INCIDENT_DAYS_AGO) * DAY_US
    first_hour, last_hour = (day + hour * HOUR_US for hour in INCIDENT_HOURS)
    in_incident = (moments >= first_hour) & (moments < last_hour) & (model == 1)
    failed = rng.random(n) < np.where(in_incident, 0.6, 0.012)
    kind = np.where(in_incident, 0, rng.choice(len(_ERRORS), size=n, p=_ERROR_SHARES))
    slow = np.where(in_incident, 3.0, 1.0)
    latency = rng.lognormal(np.log(np.array(_LATENCY_S)[model] * slow), 0.45) * 1e6
    ttft = latency * rng.uniform(0.12, 0.35, n)
    prompt = np.minimum(rng.lognormal(5.8, 0.9, n), 150_000).astype(np.int64) + 8
    cached = np.where(rng.random(n) < 0.25, prompt * 0.6, 0).astype(np.int64)
    output = rng.lognormal(np.log(np.array(_OUTPUT)[model]), 0.5).astype(np.int64) + 1
    thinking = np.where(model == 2, output // 3, 0)
    columns = zip(
        moments.tolist(), model.tolist(), failed.tolist(), kind.tolist(), latency.astype(np.int64).tolist(),
        ttft.astype(np.int64).tolist(), prompt.tolist(), cached.tolist(), output.tolist(), thinking.tolist(),
        strict=True,
    )  # fmt: skip
    rows = [_row(first + at, *values) for at, values in enumerate(columns)]
    for at in np.flatnonzero(in_incident & ~failed).tolist():  # refused at first, answered in the end
        rows[at]["n_attempts"] = 2 + at % 3
    return rows


def _row(  # noqa: PLR0913 - one value a column
    number: int, moment: int, model: int, failed: bool, kind: int, latency: int, ttft: int,
    prompt: int, cached: int, output: int, thinking: int,
) -> dict[str, Any]:  # fmt: skip
    name = MODELS[model]
    error = _ERRORS[kind] if failed else ""
    status = "ok" if not failed else error if error in ("blocked", "truncated") else "error"
    if status in ("error", "blocked"):
        prompt = cached = output = thinking = 0
    usage = Usage(input_tokens=prompt, cached_tokens=cached, output_tokens=output, thinking_tokens=thinking)
    return {
        **_NOTHING,
        "id": f"g_demo{number:09x}",
        "created_at": moment,
        "request_model": name,
        "response_model": name,
        "provider": "simulated",
        "source": "demo",
        "status": status,
        "error_class": "provider_error" if status == "truncated" else error,
        "error_message": _MESSAGES.get(error, ""),
        "finish_reason": "stop" if status == "ok" else "error",
        "input_tokens": prompt,
        "cached_tokens": cached,
        "output_tokens": output,
        "thinking_tokens": thinking,
        **_money(name, usage),
        "cost_status": "estimated" if status == "truncated" else "priced",
        "price_id": f"simulated:{name}",
        "latency_us": latency,
        "ttft_us": None if status in ("error", "blocked") else ttft,
        "n_attempts": 5 if error in ("rate_limited", "provider_unavailable") else 1,
        "tags": f",{_TAGS[number % len(_TAGS)]},",
        "user_id": f"demo-{number % 97}",
        "ref_name": _MADE_BY[number % len(_MADE_BY)],
    }


_NANO_PER_TOKEN = {
    name: tuple(int(rate.base * 1000) for rate in (price.input, price.cached or price.input, price.output))
    for name, price in SIMULATED_PRICES.items()
}


def _money(model: str, usage: Usage) -> dict[str, int]:
    """The same as the receipt's sums; the simulated prices are whole nano-dollars a token."""
    plain, cached, output = _NANO_PER_TOKEN[model]
    for_input, for_cached = (usage.input_tokens - usage.cached_tokens) * plain, usage.cached_tokens * cached
    cost = for_input + for_cached + usage.output_tokens * output
    return {"cost_nano_usd": cost, "input_nano_usd": for_input, "cached_nano_usd": for_cached}


def _body(row: dict[str, Any], prompt: str) -> dict[str, Any]:
    usage = Usage(**{name: row[name] for name in COUNTS})
    receipt = receipt_for(usage, SIMULATED_PRICES[row["request_model"]])
    return {
        "generation_id": row["id"],
        "messages": json.dumps([["user", prompt]]),
        "system": None,
        "parameters": "{}",
        "text": _ANSWER if row["status"] == "ok" else "",
        "thinking": None,
        "tools": None,
        "tool_calls": None,
        "receipts": json.dumps([receipt_to_json(receipt)]),
        "search_text": searchable(f"{prompt}\n{_ANSWER if row['status'] == 'ok' else ''}"),
    }


def _stories(connection: Any, rng: np.random.Generator, now_us: int) -> None:
    _workflow_run(connection, rng, now_us - 3 * HOUR_US)
    for number in range(60):
        _comparison(connection, rng, now_us - int((59 - number) * 0.48 * DAY_US) - HOUR_US, number)
    experiments(connection, rng, now_us)


def _call(rng: np.random.Generator, number: int, model: int, moment: int, ref: tuple[str, str]) -> dict[str, Any]:
    latency = int(rng.lognormal(np.log(_LATENCY_S[model]), 0.3) * 1e6)
    output = int(rng.integers(60, 300))
    row = _row(number, moment, model, False, 0, latency, latency // 5, 90, 0, output, 0)
    ref_name = "workflow:analysis" if ref[0].startswith("r_") else ""
    return row | {"id": f"g_demo{ref[0]}{ref[1]}"[:40], "ref_id": ref[0], "ref_part": ref[1], "ref_name": ref_name}


def _workflow_run(connection: Any, rng: np.random.Generator, moment: int) -> None:
    run_id, workflow = "r_demo", spec.from_yaml((BUILT_IN / "analysis.yaml").read_text("utf-8"))
    inputs, outputs = (
        {"": "A customer writes that their order came late, and that a part is missing."},
        {step.name: _ANSWER for step in workflow.steps},
    )
    rows, steps, bodies = [], [], []
    for position, step in enumerate(workflow.steps):
        prompt = render(step.prompt, inputs, outputs)
        row = _call(rng, position, 1, moment, (run_id, step.name))
        moment += row["latency_us"] + 5_000
        rows.append(row)
        bodies.append(_body(row, prompt))
        steps.append(
            {
                "run_id": run_id, "step": step.name, "position": position, "status": "succeeded",
                "prompt": prompt, "output": _ANSWER, "error": "", "model": row["request_model"],
                "generation_id": row["id"], "n_attempts": 1, "tokens": row["input_tokens"] + row["output_tokens"],
                "cost_nano_usd": row["cost_nano_usd"], "started_at": row["created_at"],
                "finished_at": row["created_at"] + row["latency_us"],
            }
        )  # fmt: skip
    run = {
        "id": run_id, "workflow_name": workflow.name, "spec": spec.to_yaml(workflow), "source": "demo",
        "inputs": json.dumps(inputs), "status": "succeeded", "n_starts": 1,
        "created_at": rows[0]["created_at"], "finished_at": steps[-1]["finished_at"],
    }  # fmt: skip
    WorkflowStore.insert_run(connection, run)
    WorkflowStore.insert_steps(connection, steps)
    log_rows(connection, rows, bodies)


def _comparison(connection: Any, rng: np.random.Generator, moment: int, number: int) -> None:
    comparison_id = f"c_demo{number:03d}"
    pair = [(0, 1), (1, 2), (0, 2)][number % 3]
    rows = [_call(rng, number, model, moment, (comparison_id, str(at))) for at, model in enumerate(pair)]
    log_rows(connection, rows, [_body(row, _PROMPTS[number % len(_PROMPTS)]) for row in rows])
    candidates = tuple(Candidate(position=at, model=MODELS[model]) for at, model in enumerate(pair))
    cheapest = min(range(2), key=lambda at: rows[at]["cost_nano_usd"])
    comparison = Comparison(
        id=comparison_id, created_at=clock.from_us(moment), source="demo", prompt=_PROMPTS[number % len(_PROMPTS)],
        system=None, rule=DEFAULT_RULE, candidates=candidates, winner=cheapest,
    )  # fmt: skip
    ComparisonStore.insert(connection, comparison, plan_of(comparison), is_simulated=True)
    for at, row in enumerate(rows):
        measured = {name: row[name] for name in ("cost_nano_usd", "latency_us")}
        ComparisonStore.set_candidate(connection, comparison_id, at, row["id"], grade="unchecked", **measured)
    chances = {(0, 1): (0.3, 0.55), (1, 2): (0.38, 0.48), (0, 2): (0.22, 0.66)}[pair]
    draw = rng.random()
    choice: VoteChoice = "a" if draw < chances[0] else "b" if draw < sum(chances) else "tie"
    vote = {
        "id": f"v_demo{number:03d}", "comparison_id": comparison_id, "created_at": moment + 30_000_000,
        "voter": "demo", "position_a": 0, "position_b": 1, "choice": choice, "is_blind": 1, "shown_first": number % 2,
    }  # fmt: skip
    VoteStore.put(connection, vote)


_USUAL = Design(guardrails=(Guardrail(metric="error_rate", margin=0.03), Guardrail(metric="latency_p95", margin=0.5)))


@dataclass(frozen=True, slots=True)
class _Story:
    """An experiment as it is told. rates, models: of A and B. age_days: since it began; days: how long it ran."""

    name: str
    hypothesis: str
    rates: tuple[float, float]
    models: tuple[str, str]
    n_units: int
    days: int
    age_days: int
    is_over: bool
    design: Design = _USUAL


_CHEAPER = Design(rule="not_worse_and_cheaper", margin=0.05, guardrails=_USUAL.guardrails[:1])
_FAST, _BALANCED, _CAREFUL = MODELS
_EXPERIMENTS = (
    _Story("Shorter system prompt", "A shorter system prompt solves more tickets at the first answer.",
           (0.62, 0.70), (_BALANCED, _BALANCED), 5200, 24, 26, True),
    _Story("Cheaper model for refunds", "The cheaper model solves as many refund tickets.",
           (0.57, 0.56), (_CAREFUL, _BALANCED), 1400, 9, 9, False, _CHEAPER),
    _Story("A/A: is the split right?", "Two variants that are the same show no difference.",
           (0.60, 0.60), (_FAST, _FAST), 2400, 12, 12, False),
)  # fmt: skip


def experiments(connection: Any, rng: np.random.Generator, now_us: int) -> None:
    """A finished experiment with a real effect, a running one, and an A/A test."""
    for story in _EXPERIMENTS:
        _experiment(connection, rng, now_us, story)


def _experiment(connection: Any, rng: np.random.Generator, now_us: int, story: _Story) -> None:
    experiment_id = f"e_demo_{story.name.split()[0].lower().strip(':').replace('/', '')}"
    started_at = clock.from_us(now_us) - timedelta(days=story.age_days)
    is_aa = story.rates[0] == story.rates[1]
    variants = (
        Variant(position=0, name="A · as today", model=story.models[0], system=_SYSTEM if not is_aa else None),
        Variant(position=1, name="B · the same" if is_aa else "B · the change", model=story.models[1]),
    )
    experiment = Experiment(
        id=experiment_id,
        name=story.name,
        hypothesis=story.hypothesis,
        unit="user",
        salt=f"{experiment_id}{rng.integers(1 << 30)}",
        status="running",
        created_at=started_at,
        stopped_at=None,
        variants=variants,
        is_demo=True,
        design=story.design,
        phases=(Phase(number=1, started_at=started_at, ended_at=None, variants=variants),),
    )  # fmt: skip
    ExperimentStore.insert(connection, experiment)
    moments = clock.to_us(started_at) + np.sort(rng.integers(0, story.days * DAY_US, story.n_units))
    a_day = story.n_units // story.days  # one look a day
    for start in range(0, story.n_units, a_day):
        _experiment_batch(connection, rng, experiment, (start, moments[start : start + a_day].tolist()), story.rates)
    if story.is_over:
        ended_us = clock.to_us(started_at) + story.days * DAY_US
        ExperimentStore.stop(connection, experiment_id, ended_us, "The interval excludes zero: B answers better.")


def _experiment_batch(
    connection: Any,
    rng: np.random.Generator,
    experiment: Experiment,
    batch: tuple[int, list[int]],
    rates: tuple[float, float],
) -> None:
    """Units that come, are answered, and say how it was."""
    first, moments = batch
    placed = [place(experiment, f"demo-{first + at}") for at in range(len(moments))]
    unit_store.expose(connection, experiment, list(zip(placed, moments, strict=True)))
    rows, outcomes = [], []
    for at, (assignment, moment) in enumerate(zip(placed, moments, strict=True)):
        model = MODELS.index(assignment.variant.model)
        row = _call(rng, first + at, model, moment, (experiment.id, assignment.id))
        row |= {"id": f"g_{experiment.id[:22]}{first + at:06x}", "user_id": assignment.unit_id}
        rows.append(row | {"ref_name": f"experiment:{experiment.name}"})
        success = bool(rng.random() < rates[assignment.variant.position])
        rating = float(np.clip(round(rng.normal(4.1 if success else 2.6, 0.9)), 1, 5))
        outcome = OutcomeInput(success=success, rating=rating, unit_id=assignment.unit_id)
        outcomes.append((f"o_{experiment.id}_{first + at}", outcome))
    log_rows(connection, rows, [])
    unit_store.record(connection, experiment, outcomes, moments[-1] + 60_000_000)
