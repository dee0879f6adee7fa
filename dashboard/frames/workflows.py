"""Workflows and their runs."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import pandas as pd
import streamlit as st

from core import InvalidRequest, clock
from core.domain.generation import Generation
from core.domain.workflow import WorkflowRun
from core.workflows import spec
from dashboard import formatting, tables
from dashboard.frames import breakdown, monitoring
from dashboard.process import manager

LAST_RUNS = 20
LONG = 0.3  # of the time spent on calls: a wait that is longer is drawn shorter, and says so
STATUS = {
    "queued": "Queued", "running": "Running", "paused": "Paused", "succeeded": "Succeeded", "failed": "Failed",
    "cancelled": "Stopped",
}  # fmt: skip


@st.cache_data(ttl=3, show_spinner=False)
def names() -> list[str]:
    return sorted(manager().workflows.all())


def problem(text: str) -> str:
    """The reason why a workflow cannot be read; '' where it can."""
    try:
        spec.from_yaml(text)
    except InvalidRequest as error:
        return error.message
    return ""


@st.cache_data(ttl=60, show_spinner=False, max_entries=100)
def usual_s(name: str) -> Mapping[str, float]:
    """The time that each step of a workflow usually takes."""
    return manager().workflows.usual_s(name)


class Cost(NamedTuple):
    """The calls of a workflow in 30 days and what they cost, in words."""

    text: str
    query: Mapping[str, str]


@st.cache_data(ttl=60, show_spinner=False, max_entries=100)
def cost(name: str) -> Cost | None:
    """None = it has made no call. Of simulated calls where there is no real one yet."""
    is_simulated = not monitoring.has_calls(simulated=False)
    found = breakdown.by("workflow", monitoring.chosen("30d"), None, is_simulated).frame
    for row in found[found["name"] == name].to_dict("records"):
        n, usd = row["calls"], None if row["unpriced calls"] == row["calls"] else row["cost $"]
        each = "" if usd is None else f", {formatting.usd(usd / n)} a call"
        said = " (simulated)" if is_simulated else ""
        text = f"30 days: {formatting.usd(usd)} for {n:,} calls{each}{said}{_per_run(name)}"
        return Cost(text, {"monitor_view": "Spend", "spend_by": "workflow"})
    return None


def _per_run(name: str) -> str:
    """The cost of its last runs, where it is known of each."""
    done = [
        run for run in manager().workflows.runs(limit=200) if run.workflow_name == name and run.status == "succeeded"
    ]
    costs = [run.total_cost_usd for run in done[:LAST_RUNS]]
    known = [each for each in costs if each is not None]
    if not known or len(known) < len(costs):
        return ""
    mean = formatting.usd(sum(known) / len(known))
    return f" · the last run cost {mean}" if len(known) == 1 else f" · {mean} a run, of the last {len(known)}"


def latest(limit: int) -> list[WorkflowRun]:
    """The newest runs."""
    return manager().workflows.runs(limit=limit)


def status_text(run: WorkflowRun) -> str:
    return "Waits for approval" if run.awaits else STATUS[run.status]


def runs(found: Sequence[WorkflowRun]) -> pd.DataFrame:
    """A row a run."""
    return tables.frame(
        found,
        {
            "status": status_text,
            "workflow": lambda run: run.workflow_name,
            "input": lambda run: formatting.short(run.inputs.get("", ""), 60),
            "steps": lambda run: 100 * run.n_done / max(1, len(run.spec.steps)),
            "duration": lambda run: formatting.seconds(run.total_latency_s),
            "started": lambda run: run.created_at,
            "source": lambda run: run.source,
            "cost": lambda run: formatting.usd(run.total_cost_usd),
            "id": lambda run: run.id,
        },
    )


def sums(run: WorkflowRun) -> dict[str, str]:
    """The cost of each step."""
    return {
        step.step: formatting.usd(step.cost_usd)
        if step.n_attempts and step.finished_at else formatting.UNKNOWN
        for step in run.steps
    }  # fmt: skip


def steps(run: WorkflowRun) -> pd.DataFrame:
    """A row a step, in the order in which they are asked."""
    return tables.frame(
        run.steps,
        {
            "step": lambda step: step.step,
            "status": lambda step: "waits for approval" if step is run.awaits else step.status,
            "model": lambda step: step.model,
            "attempts": lambda step: step.n_attempts or None,
            "tokens": lambda step: step.tokens if step.n_attempts else None,
            "time": lambda step: formatting.seconds(step.latency_s) if step.latency_s else None,
            "cost": lambda step: formatting.usd(step.cost_usd) if step.n_attempts else None,
        },
    )


class _Stretch(NamedTuple):
    """Some of a run's time. kind: call, again (a call whose answer was asked for anew), failed, approval, waiting."""

    step: str
    kind: str
    since: datetime
    until: datetime
    model: str = ""


_SAID = {
    "call": "call", "again": "call, tried again", "failed": "failed call", "approval": "waited for approval",
    "waiting": "waited",
}  # fmt: skip


def timeline(run: WorkflowRun, calls: Sequence[Generation]) -> pd.DataFrame:
    """A row a stretch of time, in seconds since the run began; a long wait is drawn shorter than it was."""
    now = clock.now()
    spent = sorted(_spent(run, calls, now), key=lambda each: each.since)
    work_s = sum((each.until - each.since).total_seconds() for each in spent)
    if run.awaits:
        last = max((each.until for each in spent), default=run.created_at)
        spent.append(_Stretch(run.awaits.step, "approval", last, now))
    gated = {step.name for step in run.spec.steps if step.approval}
    rows, at, before = [], 0.0, run.created_at
    for each in spent:
        gap = _Stretch(each.step, "approval" if each.step in gated else "waiting", before, each.since)
        gated.discard(each.step)
        for part in (gap, each):
            took = (part.until - max(before, part.since)).total_seconds()
            is_wait = part.kind in ("waiting", "approval")
            drawn = min(took, max(0.2, LONG * work_s)) if is_wait else took
            before = max(before, part.until)
            if took > (0.05 if is_wait else 0):
                note = " (drawn shorter)" if drawn < took else ""
                rows.append({
                    "step": part.step, "kind": part.kind, "what": _SAID[part.kind], "model": part.model or "–",
                    "start": at, "end": at + drawn, "took": formatting.seconds(took) + note,
                })  # fmt: skip
                at += drawn
    return pd.DataFrame(rows, columns=["step", "kind", "what", "model", "start", "end", "took"])


def _spent(run: WorkflowRun, calls: Sequence[Generation], now: datetime) -> Iterator[_Stretch]:
    """The time of each call; of a step whose calls are not on record, its own."""
    for step in run.steps:
        own = [g for g in calls if g.ref_part == step.step]
        for g in own:
            is_last = g is own[-1]
            is_bad = g.status != "ok" or (is_last and step.status == "failed")
            kind = "failed" if is_bad else "call" if is_last else "again"
            yield _Stretch(step.step, kind, g.created_at, g.created_at + timedelta(seconds=g.latency_s), g.model)
        if step.started_at is None:
            continue
        if step.status == "running" and not run.is_over:
            since = max([step.started_at, *(g.created_at + timedelta(seconds=g.latency_s) for g in own)])
            yield _Stretch(step.step, "call", since, max(since, now), step.model)
        elif not own and step.finished_at:
            kind = "failed" if step.status == "failed" else "call"
            yield _Stretch(step.step, kind, step.started_at, step.finished_at, step.model)
