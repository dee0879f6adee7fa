"""What concerns money, from the core to data frames: prices, estimates, spend, alerts. Cached for seconds, like queries."""

from collections.abc import Sequence
from dataclasses import astuple
from datetime import UTC, datetime, timedelta

import pandas as pd
import streamlit as st

from core.clock import to_us
from core.costs.changes import Change
from core.domain.budget import BudgetStatus
from core.domain.generation import Generation
from core.domain.metrics import MetricsRow
from core.domain.price import Elsewhere, RepricedDay, UnpricedModel
from core.monitoring.bills.reconcile import Drift
from core.monitoring.bridge import Bridge
from core.monitoring.forecast import TooEarly
from core.monitoring.service import Window
from core.monitoring.spend import SpendOf
from core.pricing.estimate import Estimate
from dashboard import formatting
from dashboard.charts.monitoring import Span
from dashboard.frames.queries import alerts, span_of, window
from dashboard.process import manager


def estimates_frame(estimates: Sequence[Estimate], names: Sequence[str], first: str) -> pd.DataFrame:
    records = [
        {
            first: name,
            "tokens in": each.input_tokens.expected,
            "tokens out": each.output_tokens.expected,
            "low": formatting.usd(each.low_usd),
            "expected": formatting.usd(each.expected_usd),
            "at most": formatting.usd(each.high_usd),
        }
        for name, each in zip(names, estimates, strict=True)
    ]
    return pd.DataFrame(records)


def own_prices_frame() -> pd.DataFrame:
    records = [
        {
            "provider": row.provider,
            "model": row.model,
            "from": row.effective_from.date().isoformat() if row.effective_from.year > 1970 else "always",
            **{
                f"{name} $/M": float(rate.base) if (rate := row.rates.get(name)) else None
                for name in ("input", "output", "cached")
            },
            "discount %": None if row.discount is None else float(100 * row.discount),
            "more": ", ".join(
                f"{name} {rate}"
                for name, rate in row.rates.items()
                if rate.above or name not in ("input", "output", "cached")
            ),
            "tiers": ", ".join(f"{tier} × {factor:f}" for tier, factor in row.tiers.items()),
            "set in": "data/prices.yaml" if row.source == "file" else "here",
            "note": row.note,
        }
        for row in manager().prices.rows
    ]
    return pd.DataFrame(records)


def unpriced_frame(found: Sequence[UnpricedModel]) -> pd.DataFrame:
    records = [
        {
            "provider": each.provider,
            "model": each.model,
            "calls": each.n_calls,
            "input tokens": each.input_tokens,
            "output tokens": each.output_tokens,
            "first": each.first_at.date(),
            "last": each.last_at.date(),
        }
        for each in found
    ]
    return pd.DataFrame(records)


def repriced_frame(days: Sequence[RepricedDay]) -> pd.DataFrame:
    records = [
        {
            "day (UTC)": day.on,
            "calls": day.n_calls,
            "without a cost": day.n_unpriced,
            "on record": "unknown" if day.n_unpriced == day.n_calls else formatting.usd(day.before_usd),
            "would be": formatting.usd(day.after_usd),
        }
        for day in days
    ]
    return pd.DataFrame(records)


def changes_frame(changes: Sequence[Change]) -> pd.DataFrame:
    records = [
        {
            "provider": change.provider,
            "model": change.model,
            "what": change.kind,
            **{
                f"{name} {when}": float(getattr(price, name).base) if price else None
                for name in ("input", "output")
                for when, price in (("now", change.before), ("then", change.after))
            },
        }
        for change in changes
    ]
    return pd.DataFrame(records)


def audit_frame() -> pd.DataFrame:
    records = [
        {
            "time": entry.created_at,
            "what": entry.action,
            "of": entry.subject,
            "detail": ", ".join(f"{name}: {value}" for name, value in entry.detail.items()),
        }
        for entry in manager().prices.audit()
    ]
    return pd.DataFrame(records, columns=["time", "what", "of", "detail"])


def day_span(label: str) -> Span:
    """The whole days of a range."""
    chosen = window(label)
    return span_of("day", chosen.since, chosen.until)


def _days(label: str) -> Window:
    """The same up to now: spend by what it was for is kept by days of UTC."""
    return Window(day_span(label).since, window(label).until)


def usd_a_day(status: BudgetStatus) -> float:
    """A day's share of a budget; where clocks change, a month is not whole days long."""
    return float(status.limit_usd) / round((status.resets_at - status.starts_at) / timedelta(days=1))


def month_span() -> Span:
    start = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return span_of("day", start, (start + timedelta(days=32)).replace(day=1))


@st.cache_data(ttl=3, show_spinner=False)
def daily_spend(label: str, simulated: bool) -> pd.DataFrame:
    """Known cost a day and model in USD, and the calls without a price."""
    rows = manager().monitoring.by_model(_days(label), bucket="day", simulated=simulated)
    records = [
        {
            "time": row.bucket,
            "model": row.model,
            "cost $": float(row.metrics.cost_usd),
            "calls": row.metrics.n,
            "unpriced calls": row.metrics.n_unpriced,
            "unpriced tokens": row.metrics.unpriced_tokens,
        }
        for row in rows
    ]
    return pd.DataFrame(records, columns=["time", "model", "cost $", "calls", "unpriced calls", "unpriced tokens"])


@st.cache_data(ttl=30, show_spinner=False)
def forecast_frame(simulated: bool) -> tuple[pd.DataFrame, str]:
    """Cumulative spend of this month by day: what was spent, then the expected path with its 80 % range; and a note."""
    spend, now = manager().spend, datetime.now(UTC)
    found = spend.month(simulated=simulated)
    start = manager().monitoring.window(now.replace(day=1, hour=0, minute=0, second=0, microsecond=0), now)
    rows = manager().monitoring.over_time(start, bucket="day", simulated=simulated)
    by_day = {row.bucket: float(row.metrics.cost_usd) for row in rows}
    total, records = 0.0, []
    for day in pd.date_range(start.since, now) if by_day else ():  # one without a call stands at what was spent before
        total += by_day.get(day.to_pydatetime(), 0.0)
        records.append({"time": day, "spent": total})
    if isinstance(found, TooEarly):
        return pd.DataFrame(records, columns=["time", "spent"]), found.reason
    path = [
        {
            "time": pd.Timestamp(day.on, tz="UTC"),
            "expected": day.expected_usd,
            "lower": day.lower_usd,
            "upper": day.upper_usd,
        }
        for day in found.path
    ]
    text = (
        f"{formatting.usd(found.expected_usd)} at the end of the month, 8 times out of 10 between {formatting.usd(found.lower_usd)}"
        f" and {formatting.usd(found.upper_usd)}; from {found.n_days} days."
    )
    return pd.DataFrame([*records, *path]), text


@st.cache_data(ttl=10, show_spinner=False)
def bridge(label: str, simulated: bool) -> Bridge:
    return manager().spend.bridge(window(label), simulated=simulated)


def bridge_frame(found: Bridge) -> pd.DataFrame:
    """A row a step of the waterfall, in USD: where it begins and ends."""
    records = [{"step": "before", "start": 0.0, "end": found.before_nano / 1e9, "kind": "total"}]
    at = found.before_nano
    for part, nano in found.parts.items():
        if nano:
            records.append(
                {"step": part, "start": at / 1e9, "end": (at + nano) / 1e9, "kind": "more" if nano > 0 else "less"}
            )
            at += nano
    records.append({"step": "now", "start": 0.0, "end": at / 1e9, "kind": "total"})
    frame = pd.DataFrame(records)
    return frame.assign(change=frame["end"] - frame["start"])


@st.cache_data(ttl=5, show_spinner=False)
def spend_by(dimension: str, label: str, simulated: bool) -> pd.DataFrame:
    """A row a value: calls, tokens, cost, and dollars per answered call (per success, for experiments)."""
    if dimension == "model":
        rows = manager().monitoring.by_model(_days(label), simulated=simulated)
        found = sorted(map(_spend_of, rows), key=lambda each: each.cost_usd or 0, reverse=True)
    else:
        found = manager().spend.by(dimension, _days(label), simulated=simulated)
    is_of_experiments, span = dimension == "experiment", map(to_us, astuple(_days(label)))
    successes = manager().experiments.successes(*span, simulated=simulated) if is_of_experiments else {}
    records = []
    for each in found:
        n_won = successes.get(each.value)
        record = {
            dimension: each.value,
            "calls": each.n,
            "tokens": each.tokens,
            "cost $": None if each.cost_usd is None else float(each.cost_usd),
            "unpriced calls": each.n_unpriced,
            "$ per answered call": None if each.usd_per_ok is None else float(each.usd_per_ok),
        }
        if is_of_experiments:
            record |= {
                "successes": n_won,
                "$ per success": float(each.cost_usd) / n_won if n_won and each.cost_usd else None,
            }
        records.append(record)
    return pd.DataFrame(records)


def _spend_of(row: MetricsRow) -> SpendOf:
    m = row.metrics
    cost = None if m.n == m.n_unpriced else m.cost_usd
    return SpendOf(row.model or "", m.n, m.n_ok, m.total_tokens, cost, m.n_unpriced)


def alerts_frame() -> pd.DataFrame:
    """Alerts that are not at rest."""
    records = [
        {
            "state": alert.state,
            "budget": alert.budget_name,
            "at": f"{'forecast ' if alert.is_forecast else ''}{100 * alert.threshold:g} %",
            "since": alert.since,
            "text": alert.text,
        }
        for alert in alerts()
        if alert.state != "ok"
    ]
    return pd.DataFrame(records, columns=["state", "budget", "at", "since", "text"])


def outbox_frame() -> pd.DataFrame:
    records = [
        {
            "channel": each.channel,
            "made": each.created_at,
            "delivered": each.delivered_at,
            "attempts": each.n_attempts,
            "problem": each.error,
            "text": each.title,
        }
        for each in manager().alerts.outbox()
    ]
    return pd.DataFrame(records, columns=["channel", "made", "delivered", "attempts", "problem", "text"])


def drift_frame(drifts: Sequence[Drift], of: str) -> pd.DataFrame:
    """A row a model or day; drift as a share of the bill in per cent."""
    records = [
        {
            of: (each.model if of == "model" else each.on) or "not said",
            "billed": formatting.usd(each.billed_usd),
            "on record": formatting.usd(each.booked_usd),
            "drift %": None if each.share is None else float(100 * each.share),
            "likely cause": each.cause,
        }
        for each in drifts
    ]
    return pd.DataFrame(records)


def kept_frame() -> pd.DataFrame:
    records = [
        {
            "made": kept.created_at.date(),
            "provider": kept.provider,
            "from": kept.since,
            "to": kept.until,
            "source": kept.source,
            "billed": formatting.usd(kept.billed_usd),
            "on record": formatting.usd(kept.booked_usd),
            "drift %": float(100 * (kept.billed_usd - kept.booked_usd) / kept.billed_usd) if kept.billed_usd else None,
        }
        for kept in manager().reconciliations.latest()
    ]
    return pd.DataFrame(records)


def elsewhere_frame(g: Generation, others: Sequence[Elsewhere]) -> pd.DataFrame:
    """A row a model: what the call's tokens would have cost there, and how many times its own cost."""
    records = [
        {
            "model": other.model,
            "cost": formatting.usd(other.usd),
            "times": float(other.usd / g.cost_usd) if g.cost_usd else None,
            "service tier": other.service_tier,
        }
        for other in others
    ]
    return pd.DataFrame(records)
