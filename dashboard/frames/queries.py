"""From the core to data frames; the only module that makes frames. Cached for seconds, so that a rerun costs nothing."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import streamlit as st

from core.comparison import judging
from core.domain.alert import Alert
from core.domain.budget import BudgetOutlook
from core.domain.comparison import Comparison, Vote
from core.domain.generation import Generation, Model
from core.domain.metrics import Metrics, MetricsRow, Projection
from core.domain.price import Elsewhere, Price
from core.domain.workflow import WorkflowRun
from core.monitoring.forecast import Forecast, TooEarly
from core.monitoring.service import Bucket, Window
from dashboard import formatting
from dashboard.charts import monitoring as charts
from dashboard.process import manager

VENDOR_WAIT_S = 1.0  # for a first list of models; it is asked for on, and the page shows it when it is drawn again
RANGES: dict[str, timedelta] = {
    "24 h": timedelta(hours=24),
    "7 days": timedelta(days=7),
    "30 days": timedelta(days=30),
    "90 days": timedelta(days=90),
}


@st.cache_data(ttl=3, show_spinner=False)
def model_names() -> list[str]:
    return list(models())


@st.cache_data(ttl=3, show_spinner=False)
def names_to_ask() -> list[str]:
    """Models and aliases."""
    return [*models(), *(alias.name for alias in manager().aliases.all())]


def pinned_price(price_id: str) -> Price | None:
    return manager().prices.pinned(price_id)


def elsewhere(g: Generation) -> list[Elsewhere]:
    """The other models that can be asked, the cheapest first; simulated with simulated, real with real."""
    others = [(m.provider, m.name) for m in models().values() if m.is_simulated == g.is_simulated]
    return manager().prices.elsewhere(g, others)


@st.cache_data(ttl=3, show_spinner=False)
def workflow_names() -> list[str]:
    return sorted(manager().workflows.all())


def models() -> dict[str, Model]:
    return {model.name: model for model in manager().models(VENDOR_WAIT_S)}


@st.cache_data(ttl=3, show_spinner=False)
def spend() -> Projection:
    return manager().monitoring.month()


@st.cache_data(ttl=3, show_spinner=False)
def spend_today() -> Any:
    return manager().monitoring.spend_today()


@st.cache_data(ttl=30, show_spinner=False)
def month_forecast() -> Forecast | TooEarly:
    return manager().spend.month()


def standing() -> list[BudgetOutlook]:
    """Where each budget stands; its forecast only where an alert rests on one."""
    return manager().spend.standing()


def whole(outlook: BudgetOutlook) -> BudgetOutlook:
    """One budget with its forecast."""
    return manager().spend.of_budget(outlook.status)


@st.cache_data(ttl=5, show_spinner=False)
def alerts() -> list[Alert]:
    return manager().alerts.all()


@st.cache_data(ttl=30, show_spinner=False)
def why(budget_id: str) -> str:
    """What moved a budget, in a sentence; may be empty."""
    status = next((each for each in manager().budgets.statuses() if each.budget.id == budget_id), None)
    return "" if status is None else manager().spend.why(status)


@st.cache_data(ttl=5, show_spinner=False)
def has_demo() -> bool:
    return manager().demo.is_present()


@st.cache_data(ttl=5, show_spinner=False)
def has_calls(simulated: bool) -> bool:
    return manager().monitoring.has_any(simulated=simulated)


def window(label: str) -> Window:
    """Whole buckets up to now, the one under way included: 24 hours, 7 days, today with them."""
    bucket, now = bucket_of(label), datetime.now(UTC)
    start = now.replace(hour=now.hour if bucket == "hour" else 0, minute=0, second=0, microsecond=0)
    width = timedelta(hours=1) if bucket == "hour" else timedelta(days=1)
    return manager().monitoring.window(start - RANGES[label] + width, now)


def span(label: str) -> charts.Span:
    """The same as an axis: to the end of the bucket under way."""
    chosen, bucket = window(label), bucket_of(label)
    return span_of(bucket, chosen.since, chosen.until)


def span_of(bucket: str, since: datetime, until: datetime) -> charts.Span:
    """Whole buckets around two moments."""
    width = "D" if bucket == "day" else "h"
    return charts.Span(bucket, pd.Timestamp(since).floor(width), pd.Timestamp(until).ceil(width), datetime.now(UTC))


def bucket_of(label: str) -> Bucket:
    return "hour" if RANGES[label] <= timedelta(days=2) else "day"


@st.cache_data(ttl=3, show_spinner=False)
def totals(label: str, model: str | None, simulated: bool) -> tuple[Metrics, Metrics | None]:
    """Of the range, and of the range before it; None = the records do not reach back so far."""
    monitoring, now = manager().monitoring, window(label)
    before = now.previous if reaches_back(label, simulated) else None
    found = [monitoring.total(w, model=model, simulated=simulated) for w in (now, before) if w is not None]
    return found[0], found[1] if before is not None else None


def reaches_back(label: str, simulated: bool) -> bool:
    """Whether the whole of the range before is on record."""
    return manager().monitoring.reaches_back(window(label).previous.since, simulated=simulated)


@st.cache_data(ttl=3, show_spinner=False)
def over_time(label: str, model: str | None, simulated: bool) -> pd.DataFrame:
    """One row a bucket: requests, success rate, latency and first-token percentiles, tokens by kind, cost."""
    rows = manager().monitoring.over_time(window(label), bucket=bucket_of(label), model=model, simulated=simulated)
    return metrics_frame(rows)


@st.cache_data(ttl=3, show_spinner=False)
def by_model(label: str, model: str | None, simulated: bool, bucket: Bucket | None = None) -> pd.DataFrame:
    return metrics_frame(manager().monitoring.by_model(window(label), bucket=bucket, model=model, simulated=simulated))


@st.cache_data(ttl=3, show_spinner=False)
def errors_over_time(label: str, model: str | None, simulated: bool) -> pd.DataFrame:
    rows = manager().monitoring.over_time(window(label), bucket=bucket_of(label), model=model, simulated=simulated)
    records = [
        {"time": row.bucket, "class": name.replace("_", " "), "errors": n}
        for row in rows
        for name, n in row.metrics.errors.items()
    ]
    return pd.DataFrame(records, columns=["time", "class", "errors"])


def metrics_frame(rows: Sequence[MetricsRow]) -> pd.DataFrame:
    records = [
        {
            "time": row.bucket,
            "model": row.model,
            "requests": row.metrics.n,
            "success %": None if row.metrics.success_rate is None else 100 * row.metrics.success_rate,
            "p50 s": row.metrics.p50_s,
            "p95 s": row.metrics.p95_s,
            "p99 s": row.metrics.p99_s,
            "TTFT p50 s": row.metrics.ttft_p50_s,
            "TTFT p95 s": row.metrics.ttft_p95_s,
            "TTFT p99 s": row.metrics.ttft_p99_s,
            "input": row.metrics.input_tokens - row.metrics.cached_tokens,
            "cached": row.metrics.cached_tokens,
            "thinking": row.metrics.thinking_tokens,
            "output": row.metrics.output_tokens - row.metrics.thinking_tokens,
            "cost $": float(row.metrics.cost_usd),
            "unpriced calls": row.metrics.n_unpriced,
            "errors": sum(row.metrics.errors.values()),
        }
        for row in rows
    ]
    columns = "time model requests success_% p50_s p95_s p99_s TTFT_p50_s TTFT_p95_s TTFT_p99_s input cached thinking"
    names = [name.replace("_", " ") for name in f"{columns} output cost_$ unpriced_calls errors".split()]
    return pd.DataFrame(records, columns=names)


def log_frame(generations: Sequence[Generation]) -> pd.DataFrame:
    ids = [g.id for g in generations]
    previews = manager().log.previews(ids)
    marks = formatting.marks(manager().feedback.of(*ids))
    records = [
        {
            "time": g.created_at,
            "model": g.model,
            "source": g.source,
            "status": g.error_class or g.status,
            "prompt": formatting.short(previews.get(g.id, "")),
            "tokens": g.usage.total_tokens,
            "latency s": g.latency_s,
            "TTFT s": g.ttft_s,
            "cost": formatting.usd(g.cost_usd) if g.cost_status != "unknown" else "unknown",
            "feedback": marks.get(g.id, ""),
            "id": g.id,
        }
        for g in generations
    ]
    columns = ["time", "model", "source", "status", "prompt", "tokens", "latency s", "TTFT s", "cost", "feedback", "id"]
    return pd.DataFrame(records, columns=columns)


def runs_frame(runs: Sequence[WorkflowRun]) -> pd.DataFrame:
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
        for run in runs
    ]
    return pd.DataFrame(
        records, columns=["time", "workflow", "source", "status", "input", "time s", "tokens", "cost", "id"]
    )


def steps_frame(run: WorkflowRun, now: datetime) -> pd.DataFrame:
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


def blank_candidates(models: Sequence[str]) -> pd.DataFrame:
    """A row a model, for the table that chooses what is compared."""
    frame = pd.DataFrame({"model": list(models)})
    return frame.assign(**{"temperature": float("nan"), "max tokens": float("nan"), "system prompt": ""})


def comparisons_frame(comparisons: Sequence[Comparison], hidden: Collection[str]) -> pd.DataFrame:
    """A row a comparison; of the `hidden` ones (their ids) nothing that tells their answers apart."""
    names = ("models", "winner by rule")
    records = [
        {
            "time": c.created_at,
            "prompt": formatting.short(c.prompt),
            "source": c.source,
            "models": ", ".join(candidate.model for candidate in c.candidates),
            "winner by rule": next((x.model for x in c.candidates if x.position == c.winner), formatting.UNKNOWN),
            "status": c.status,
            "id": c.id,
        }
        | (dict.fromkeys(names, "hidden until you vote") if c.id in hidden else {})
        for c in comparisons
    ]
    return pd.DataFrame(records, columns=["time", "prompt", "source", *names, "status", "id"])


def win_rates_frame(demo: bool, by_model: bool = False) -> pd.DataFrame:
    """A row a contestant: rate and interval in percent; NaN while there are too few decided pairs."""
    records = [
        {
            "model": rate.contestant.label,
            "win rate %": None if rate.rate is None else 100 * rate.rate,
            "lower %": None if rate.lower is None else 100 * rate.lower,
            "upper %": None if rate.upper is None else 100 * rate.upper,
            "decided": rate.n_decided,
            "wins": rate.n_wins,
            "losses": rate.n_losses,
            "ties": rate.n_ties,
        }
        for rate in manager().comparisons.win_rates(demo=demo, by_model=by_model)
    ]
    columns = ["model", "win rate %", "lower %", "upper %", "decided", "wins", "losses", "ties"]
    return pd.DataFrame(records, columns=columns).astype({"win rate %": float, "lower %": float, "upper %": float})


def win_rate_over_time(votes: Sequence[Vote], least: int, by_model: bool = False) -> pd.DataFrame:
    """Each contestant's running win rate in percent at the end of each day, from `least` decided pairs on."""
    tally: dict[str, list[int]] = {}
    by_day: dict[tuple[Any, str], float] = {}
    for vote in votes:
        names = (vote.a.model, vote.b.model) if by_model else (vote.a.label, vote.b.label)
        if not vote.is_decided or names[0] == names[1]:
            continue
        for model, won in zip(names, (vote.choice == "a", vote.choice == "b"), strict=True):
            counts = tally.setdefault(model, [0, 0])
            counts[0] += won
            counts[1] += 1
            if counts[1] >= least:
                by_day[vote.created_at.date(), model] = 100 * counts[0] / counts[1]
    records = [
        {"time": pd.Timestamp(day, tz="UTC"), "model": model, "win rate %": rate}
        for (day, model), rate in by_day.items()
    ]
    return pd.DataFrame(records, columns=["time", "model", "win rate %"])


def first_shown(demo: bool) -> str:
    """How often the answer that stood first won blind votes, in words; empty while there are too few."""
    n, share = judging.first_shown(manager().comparisons.votes(demo=demo))
    if share is None:
        return ""
    low, high = formatting.percent(share.lower, 0), formatting.percent(share.upper, 0)
    return (
        f"In {n} decided blind votes the answer shown first won {formatting.percent(share.estimate, 0)} (95 %: {low} to {high});"
        " order alone would be a half."
    )


@st.cache_data(ttl=60, show_spinner=False)
def units_per_day() -> int:
    """Real calls a day over the last fourteen days, for want of a better guess of an experiment's traffic."""
    days = 14
    rows = manager().monitoring.by_model(manager().monitoring.window(days=days), simulated=False)
    return round(sum(row.metrics.n for row in rows) / days)


def models_frame() -> pd.DataFrame:
    """A row a model, with its list price in USD per million tokens; NaN = no price is known."""
    records = []
    for model in models().values():
        price = manager().price(model.name)
        records.append(
            {
                "model": model.name,
                "provider": model.provider,
                "input $/M": float(price.input.base) if price else None,
                "cached $/M": float(price.cached.base) if price and price.cached else None,
                "output $/M": float(price.output.base) if price else None,
                "long prompt from": price.input.above[0][0] if price and price.input.above else None,
                "context": model.context_tokens,
                "price row": price.id if price else "unknown",
            }
        )
    return pd.DataFrame(records)
