"""Spend by day and by what it was for, why it moved, and what a vendor's bill says of it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import NamedTuple

import pandas as pd
import streamlit as st

from core.domain.metrics import Metrics, Window
from core.formats import zones
from core.monitoring.bills.reconcile import Drift
from core.monitoring.bridge import Bridge
from core.monitoring.forecast import TooEarly
from dashboard import formatting, tables
from dashboard.charts.base import Span
from dashboard.charts.spend import STEPS
from dashboard.frames.monitoring import Range, kept
from dashboard.process import manager, zone

SHOWN_PARTS = 5
LIKE_DAYS, FEW_DAYS = 28, 3  # before yesterday, and how many of them say what is usual


def days(of: Range) -> Window:
    """The days of UTC of the same dates, up to now: by these, spend by what it was for is kept."""
    local, utc = zones.zone(of.span.zone), zones.zone("UTC")
    first, last = (zones.day_of(each, local) for each in (of.span.since, of.span.until - timedelta(seconds=1)))
    first = min(first, zones.day_of(of.span.now, utc))  # east of UTC, a local day begins before that of UTC
    is_over = of.span.until <= of.span.now  # else up to now: west of UTC, its day may be tomorrow's
    until = zones.midnight(last + timedelta(days=1), utc) if is_over else of.span.now
    return manager().monitoring.window(zones.midnight(first, utc), until)


def month_span() -> Span:
    local = zone()
    return Span.around("day", *zones.month_of(datetime.now(UTC), local), local.key)


class Yesterday(NamedTuple):
    """The last day that is over.

    usual: The median cost of days like it, the least and the most of them; None = too few are on record.
    like: These days, in words.
    """

    window: Window
    total: Metrics
    usual: tuple[float, float, float] | None
    like: str


@st.cache_data(ttl=30, show_spinner=False, max_entries=60)
def yesterday(model: str | None, simulated: bool) -> Yesterday:
    """Beside the same weekday of the four weeks before, or where they are not on record, beside the days before."""
    local, known = zone(), manager().monitoring
    today = zones.day_of(datetime.now(UTC), local)
    first, last = (zones.first_hour(today - timedelta(days=n), local) for n in (LIKE_DAYS + 1, 0))
    starts = zones.day_starts(first, last, local)
    rows = known.over_time(Window(first, last), bucket="day", timezone=local.key, model=model, simulated=simulated)
    found = {row.bucket: row.metrics for row in rows}
    window, total = Window(*starts[-2:]), found.get(starts[-2], Metrics())
    days = [found.get(day, Metrics()) for day in starts[-3::-1] if known.reaches_back(day, simulated=simulated)]
    like, of = days[6::7], f"{zones.day_of(window.since, local):%A}s"
    like, of = (like, of) if len(like) >= FEW_DAYS else (days, "days")
    if len(like) < FEW_DAYS or any(day.n_unpriced for day in like):
        return Yesterday(window, total, None, "")
    costs = [float(day.cost_usd) for day in like]
    return Yesterday(window, total, (median(costs), min(costs), max(costs)), f"{len(like)} {of} before")


@st.cache_data(ttl=30, show_spinner=False)
def forecast(simulated: bool) -> tuple[pd.DataFrame, str, str]:
    """Cumulative spend of this month by day, then the expected path with its 80 % range; both in words."""
    span, now = month_span(), datetime.now(UTC)
    found = manager().spend.month(simulated=simulated, timezone=span.zone)
    rows = manager().monitoring.over_time(
        Window(span.since, now), bucket="day", timezone=span.zone, simulated=simulated
    )
    by_day = {row.bucket: float(row.metrics.cost_usd) for row in rows}
    spent = pd.Series({day: by_day.get(day, 0.0) for day in span.edges if day <= now}).cumsum()
    columns = {"spent": spent if by_day else None, "expected": None, "lower": None, "upper": None}
    frame = pd.DataFrame(columns, index=pd.DatetimeIndex(span.edges[:-1], name="time"), dtype=float)
    last = float(spent.iloc[-1])
    title = f"This month {formatting.usd(last)}"
    if isinstance(found, TooEarly):
        return frame.reset_index(), title, f"No forecast: {formatting.plain(found.reason)}"
    frame.loc[spent.index[-1], ["expected", "lower", "upper"]] = last  # where the fan begins
    for day in found.path:
        at = zones.first_hour(day.on, zones.zone(span.zone))
        frame.loc[at, ["expected", "lower", "upper"]] = day.expected_usd, day.lower_usd, day.upper_usd
    ends = [formatting.usd(usd) for usd in (found.expected_usd, found.lower_usd, found.upper_usd)]
    title += f" · {ends[0]} expected by {zones.day_of(span.edges[-2], zone()):%-d %b} ({ends[1]} – {ends[2]})"
    return frame.reset_index(), title, f"From {found.n_days} days, with the weekly pattern."


@kept
def bridge(of: Range, simulated: bool) -> Bridge:
    return manager().spend.bridge(of.window, of.before, simulated=simulated)


def bridge_title(found: Bridge) -> str:
    """The change in USD, as a share of a cost that is not zero, and the part that did most of it."""
    usd = found.difference_usd
    if not usd:
        return "No change"
    share = formatting.percent(abs(float(usd / found.before_usd)), 0)
    parts = sorted(found.parts.items(), key=lambda each: -abs(each[1]))[:SHOWN_PARTS]
    told = ", ".join(
        f"{STEPS[part].lower()} {formatting.usd_change(float(amount))}" for part, amount in parts if amount
    )
    return f"{formatting.usd_change(float(usd))}, {'up' if usd > 0 else 'down'} {share}: {told}"


def bridge_steps(found: Bridge) -> pd.DataFrame:
    """A row a step of the waterfall, in USD: where it begins and ends."""
    records = [{"step": "before", "start": 0.0, "end": float(found.before_usd), "kind": "total"}]
    at = found.before_usd
    for part, usd in found.parts.items():
        if usd:
            kind = "more" if usd > 0 else "less"
            records.append({"step": part, "start": float(at), "end": float(at + usd), "kind": kind})
            at += usd
    records.append({"step": "now", "start": 0.0, "end": float(at), "kind": "total"})
    frame = pd.DataFrame(records)
    return frame.assign(change=frame["end"] - frame["start"])


def drift(drifts: Sequence[Drift], of: str) -> pd.DataFrame:
    """A row a model or day; drift as a share of the bill in per cent."""
    return tables.frame(
        drifts,
        {
            of: lambda each: (each.model if of == "model" else each.on) or "not said",
            "billed": lambda each: formatting.usd(each.billed_usd),
            "on record": lambda each: formatting.usd(each.booked_usd),
            "drift %": lambda each: None if each.share is None else float(100 * each.share),
            "likely cause": lambda each: each.cause,
        },
    )


def reconciliations() -> pd.DataFrame:
    return tables.frame(
        manager().reconciliations.latest(),
        {
            "made": lambda kept: zones.day_of(kept.created_at, zone()),
            "provider": lambda kept: kept.provider,
            "from": lambda kept: kept.since,
            "to": lambda kept: kept.until,
            "source": lambda kept: kept.source,
            "billed": lambda kept: formatting.usd(kept.billed_usd),
            "on record": lambda kept: formatting.usd(kept.booked_usd),
            "drift %": lambda kept: (
                float(100 * (kept.billed_usd - kept.booked_usd) / kept.billed_usd) if kept.billed_usd else None
            ),
        },
    )
