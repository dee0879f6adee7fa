"""Workflows and their runs."""

from datetime import datetime

import pandas as pd
import streamlit as st

from core.domain.workflow import WorkflowRun
from dashboard import formatting, tables
from dashboard.process import manager


@st.cache_data(ttl=3, show_spinner=False)
def names() -> list[str]:
    return sorted(manager().workflows.all())


def runs() -> pd.DataFrame:
    """A row a run, the newest first."""
    return tables.frame(
        manager().workflows.runs(limit=50),
        {
            "time": lambda run: run.created_at,
            "workflow": lambda run: run.workflow_name,
            "source": lambda run: run.source,
            "status": lambda run: run.status,
            "input": lambda run: formatting.short(run.inputs.get("", "")),
            "time s": lambda run: run.total_latency_s,
            "tokens": lambda run: run.total_tokens,
            "cost": lambda run: formatting.usd(run.total_cost_usd),
            "id": lambda run: run.id,
        },
    )


def steps(run: WorkflowRun, now: datetime) -> pd.DataFrame:
    """One row a begun step: start and end in seconds since the run began."""
    begun = [step for step in run.steps if step.started_at is not None]
    origin = min((step.started_at for step in begun if step.started_at), default=now)

    def after(moment: datetime | None) -> float:
        return ((moment or now) - origin).total_seconds()

    return tables.frame(
        begun,
        {
            "step": lambda step: step.step,
            "start": lambda step: after(step.started_at),
            "end": lambda step: after(step.finished_at),
            "model": lambda step: step.model or "…",
            "label": lambda step: f"{formatting.usd(step.cost_usd)} · {formatting.tokens(step.tokens)}",
            "status": lambda step: step.status,
        },
    )
