"""Workflows and their runs."""

from datetime import datetime

import pandas as pd
import streamlit as st

from core.domain.workflow import WorkflowRun
from dashboard import formatting
from dashboard.process import manager


@st.cache_data(ttl=3, show_spinner=False)
def names() -> list[str]:
    return sorted(manager().workflows.all())


def runs() -> pd.DataFrame:
    """A row a run, the newest first."""
    records = [
        {
            "time": run.created_at,
            "workflow": run.workflow_name,
            "source": run.source,
            "status": run.status,
            "input": formatting.short(run.inputs.get("", "")),
            "time s": run.total_latency_s,
            "tokens": run.total_tokens,
            "cost": formatting.usd(run.total_cost_usd),
            "id": run.id,
        }
        for run in manager().workflows.runs(limit=50)
    ]
    return pd.DataFrame(
        records, columns=["time", "workflow", "source", "status", "input", "time s", "tokens", "cost", "id"]
    )


def steps(run: WorkflowRun, now: datetime) -> pd.DataFrame:
    """One row a begun step: start and end in seconds since the run began."""
    begun = [step for step in run.steps if step.started_at is not None]
    origin = min((step.started_at for step in begun if step.started_at), default=now)

    def after(moment: datetime | None) -> float:
        return ((moment or now) - origin).total_seconds()

    records = [
        {
            "step": step.step,
            "start": after(step.started_at),
            "end": after(step.finished_at),
            "model": step.model or "…",
            "label": f"{formatting.usd(step.cost_usd)} · {formatting.tokens(step.tokens)}",
            "status": step.status,
        }
        for step in begun
    ]
    return pd.DataFrame(records, columns=["step", "start", "end", "model", "label", "status"])
