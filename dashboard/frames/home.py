"""Home: what needs somebody's attention, and what is new."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

import streamlit as st

from core import ExperimentReport
from core.domain.experiment import Experiment
from core.domain.metrics import FAILED
from dashboard import address, formatting
from dashboard.frames import alerts, breakdown, experiments, latency, log, models, monitoring, workflows
from dashboard.frames.evaluation import listing
from dashboard.frames.money import budgets, prices, spend
from dashboard.frames.monitoring import Range
from dashboard.process import manager

MOVERS = ("model", "tag", "workflow")
DAY, RUNS, MOST = "24h", 50, 6  # MOST: of each kind


class Line(NamedTuple):
    """Something to look at: a sentence, and the page where it can be settled.

    level: bad: something fails or is refused; warn: it will, or waits for somebody; plain: worth knowing.
    """

    level: Literal["bad", "warn", "plain"]
    text: str
    page: str
    params: Mapping[str, str] = {}


@st.cache_data(ttl=5, show_spinner=False)
def attention() -> list[Line]:
    """Everything that needs attention now, the worst first."""
    found = [*_alerts(), *_failures(), *_runs(), *_evaluations(), *_experiments(), *_unpriced(), *_vendors()]
    return sorted(found, key=lambda line: ("bad", "warn", "plain").index(line.level))


def _alerts() -> Iterator[Line]:
    for rule, state in alerts.standing().firing[:MOST]:
        page, where = alerts.where(rule, state)
        yield Line("bad", f"Alert {rule.name}, since {formatting.when(state.since)}: {state.text}", page, where)


def _failures() -> Iterator[Line]:
    of, simulated = day()
    for each in monitoring.incidents(of, None, simulated)[-MOST:]:
        mostly = f"mostly {formatting.failure_text(each.cause).lower()}: {each.whose}"
        text = f"{each.n:,} calls failed on {formatting.stretch(each.since, each.until)}, {mostly}"
        where = {"log_range": address.span(each.since, each.until), "log_calls": log.KIND[simulated]}
        where["log_status"] = FAILED
        yield Line("bad", text, "log", where)
    for (vendor, model), opening in sorted(manager().breakers.states().items()):
        text = f"{model} of {vendor} is not asked until {formatting.when(opening.ends_at)}: {opening.reason}"
        yield Line("bad", text, "models")


def _runs() -> Iterator[Line]:
    recent = datetime.now(UTC) - timedelta(days=7)
    for run in workflows.latest(RUNS):
        if run.awaits:
            text = f"A run of {run.workflow_name} waits for approval at {run.awaits.step}"
            yield Line("warn", text, "workflows", {"run": run.id})
        elif run.status == "paused":
            yield Line(
                "warn", f"A run of {run.workflow_name} has reached its spending limit", "workflows", {"run": run.id}
            )
        elif run.status == "failed" and run.created_at > recent and run.source != "demo":
            yield Line("warn", f"A run of {run.workflow_name} failed: {run.error}", "workflows", {"run": run.id})
    for each in manager().comparisons.latest(50, demo=False):
        if each.status == "interrupted":
            text = f"A comparison was interrupted and can go on: {formatting.short(each.prompt, 60)}"
            yield Line("warn", text, "compare", {"comparison": each.id})


def _experiments() -> Iterator[Line]:
    for found in _running():
        if found.waits:
            text = f"{found.experiment.name} – {found.advice}"
            yield Line("warn", text, "experiments", {"experiment": found.experiment.id})


def _running() -> list[ExperimentReport]:
    return [experiments.report(each.id) for each in manager().experiments.all() if each.status == "running"]


def _evaluations() -> Iterator[Line]:
    """Those that are paused, and of each suite the last one if its gate failed."""
    recent, seen = datetime.now(UTC) - timedelta(days=7), set[str]()
    is_demo = not monitoring.has_calls(simulated=False)
    for run in manager().evaluations.page(RUNS)[0]:
        name, where = run.plan.name, {"evaluation": run.id}
        if run.status == "paused":
            yield Line("warn", f"The evaluation {name} is paused: {run.reason}", "compare", where)
        failed = not run.is_running and run.plan.gate is not None and run.judged.get("exit_code") == listing.FAILED
        if failed and name not in seen and run.created_at > recent and (run.source != "demo" or is_demo):
            why = str(run.judged.get("reason", "")).partition(", one-sided p")[0].removeprefix("The gate failed: ")
            text = f"{name}, {formatting.at(run.created_at, '%-d %b')}: its gate failed{f' – {why}' if why else ''}"
            yield Line("bad", text, "compare", where)
        if not run.is_running:
            seen.add(name)


def evaluations() -> list[Line]:
    """Running evaluations, each with how far it is."""
    running = [run for run in manager().evaluations.page(RUNS)[0] if run.is_running]
    return [
        Line("plain", f"{run.plan.name} – {listing.progress_of(run)}", "compare", {"evaluation": run.id})
        for run in running[:MOST]
    ]


def _unpriced() -> Iterator[Line]:
    for each in prices.unpriced_models()[:MOST]:
        text = f"{each.n_calls:,} calls of {each.model} have no price, so their cost is unknown"
        yield Line("warn", text, "models")


def _vendors() -> Iterator[Line]:
    for name, said, _ in models.problems():
        yield Line("warn", f"{name}: {said}, so its list of models is not known", "settings")


def day() -> tuple[Range, bool]:
    """The last 24 hours; of simulated calls where there is no real one yet."""
    return monitoring.chosen(DAY), not monitoring.has_calls(simulated=False)


@st.cache_data(ttl=60, show_spinner=False)
def moved(simulated: bool) -> list[Line]:
    """The values that moved the cost of 30 days most, a line for each dimension in which any did."""
    where, of = {"monitor_view": "Spend"}, monitoring.chosen("30d")
    found = ((name, breakdown.by(name, of, None, simulated).moved) for name in MOVERS)
    change = spend.bridge(of, simulated)
    whole = change.before_usd and monitoring.reaches_back(of, simulated)
    first = [Line("plain", f"All models: {spend.bridge_title(change)}", "monitoring", where)] if whole else []
    return first + [
        Line("plain", f"By {name}: {said.partition(': ')[2]}", "monitoring", {**where, "spend_by": name})
        for name, said in found
        if said
    ]


@st.cache_data(ttl=60, show_spinner=False)
def slowest(simulated: bool) -> Line | None:
    """The hours of 30 days in which calls failed and took longer, and why they did."""
    found = latency.slowest(simulated)
    if found is None:
        return None
    each, why = found
    why = "; ".join(why.split("; ")[:2])
    text = f"Unusually slow on {formatting.stretch(each.since, each.until)}: {each.slower}{f' – {why}' if why else ''}"
    where = {"log_range": address.span(each.since, each.until), "log_calls": log.KIND[simulated]}
    return Line("plain", text, "log", {**where, "log_model": each.slower_model})


@st.cache_data(ttl=5, show_spinner=False)
def last_failure(simulated: bool) -> Line | None:
    """The call that failed last, and why."""
    source = "demo" if simulated else None
    found = [each for each in manager().log.latest(limit=20, status=FAILED, source=source) if each.error_class]
    if not found:
        return None
    last = found[0]
    why = f"{formatting.failure_text(last.error_class).lower()} – {last.error_message}"
    text = f"Last failed call, {formatting.when(last.created_at)}: {last.model}, {why}"
    return Line("plain", text, "log", {"call": last.id})


@st.cache_data(ttl=60, show_spinner=False)
def compared() -> list[Line]:
    """The latest evaluations that compare, of the last 30 days, each with its verdict and the pass rates."""
    recent, is_demo = datetime.now(UTC) - timedelta(days=30), not monitoring.has_calls(simulated=False)
    lines: list[Line] = []
    seen = set[str]()
    for run in manager().evaluations.page(RUNS)[0]:
        is_shown = run.created_at > recent and (run.source != "demo" or is_demo) and not run.is_running
        if len(lines) == MOST or not is_shown or len(run.plan.contestants) < 2 or run.plan.name in seen:
            continue
        seen.add(run.plan.name)
        if text := listing.told(run):
            lines.append(Line("plain", f"{run.plan.name}: {text}", "compare", {"evaluation": run.id}))
    return lines


def verdicts() -> list[tuple[Experiment, str]]:
    """Running experiments, each with what its data say so far."""
    return [(found.experiment, experiments.said(found.verdict)) for found in _running()]


@st.cache_data(ttl=60, show_spinner=False)
def news(since: datetime) -> list[Line]:
    """The things that have happened since a moment."""
    known, now = manager(), datetime.now(UTC)
    lines: list[Line] = []
    window = known.monitoring.window(since, now)
    total = known.monitoring.total(window)
    if total.n:
        text = f"{total.n:,} calls for {formatting.usd(total.cost_usd)}, {sum(total.errors.values()):,} failed"
        where = {"log_range": address.span(since, now), "log_calls": log.KIND[False]}
        lines.append(Line("plain", text, "log", where))
        names = {str(row.model) for row in known.monitoring.by_model(window)}
        before = {str(row.model) for row in known.monitoring.by_model(known.monitoring.window(until=since, days=365))}
        lines += [
            Line("plain", f"First calls of {name}", "log", {"log_model": name})
            for name in sorted(names - before)[:MOST]
        ]
    runs = [run for run in workflows.latest(RUNS) if run.finished_at and run.finished_at > since]
    for run in runs[:MOST]:
        lines.append(Line("plain", f"Run of {run.workflow_name} {run.status}", "workflows", {"run": run.id}))
    for alert in budgets.alerts():
        if alert.since > since and alert.state in ("firing", "resolved"):
            lines.append(Line("plain", f"Alert {alert.state}: {alert.text or alert.budget_name}", "budgets"))
    return lines
