"""Prices, and what they make of calls: estimates, other models, past calls."""

from collections.abc import Sequence
from decimal import Decimal

import pandas as pd
import streamlit as st

from core import clock
from core.costs.changes import Change
from core.domain.generation import Generation
from core.domain.people.entry import Wanted
from core.domain.price import Elsewhere, Price, RepricedDay, UnpricedModel
from core.formats import zones
from core.pricing.estimate import Estimate
from dashboard import formatting, tables
from dashboard.frames.models import by_name
from dashboard.process import manager, zone


def pinned(price_id: str) -> Price | None:
    return manager().prices.pinned(price_id)


def elsewhere(g: Generation) -> list[Elsewhere]:
    """The other models that can be asked, the cheapest first; simulated with simulated, real with real."""
    others = [(m.provider, m.name) for m in by_name().values() if m.is_simulated == g.is_simulated]
    return manager().prices.elsewhere(g, others)


def estimates(estimates: Sequence[Estimate], names: Sequence[str], first: str) -> pd.DataFrame:
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


def elsewhere_table(g: Generation, others: Sequence[Elsewhere]) -> pd.DataFrame:
    """A row a model: what the call's tokens would have cost there, and how many times its own cost."""
    return tables.frame(
        others,
        {
            "model": lambda other: other.model,
            "cost": lambda other: formatting.usd(other.usd),
            "times": lambda other: float(other.usd / g.cost_usd) if g.cost_usd else None,
            "service tier": lambda other: other.service_tier,
        },
    )


def own(model: tuple[str, str] | None = None) -> pd.DataFrame:
    """The team's own rows, each with what came of it. model: Only those of this (provider, model)."""
    now = clock.now()
    rows = [row for row in manager().prices.book.rows if model in (None, (row.provider, row.model))]
    newest = {(row.provider, row.model): row.id for row in rows if row.effective_from <= now}
    records = [
        {
            "provider": row.provider,
            "model": "All models" if row.model == "*" else row.model,
            "from": row.effective_from.date().isoformat() if row.effective_from.year > 1970 else "Always",
            "state": "Holds now"
            if row.id == newest.get((row.provider, row.model))
            else "Scheduled"
            if row.effective_from > now
            else "Replaced",
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
        for row in sorted(rows, key=lambda row: (row.provider, row.model))
    ]
    return pd.DataFrame(records)


@st.cache_data(ttl=10, show_spinner=False)
def unpriced_models() -> list[UnpricedModel]:
    return manager().repricing.unpriced()


def unpriced(found: Sequence[UnpricedModel]) -> pd.DataFrame:
    return tables.frame(
        found,
        {
            "provider": lambda each: each.provider,
            "model": lambda each: each.model,
            "calls": lambda each: each.n_calls,
            "input tokens": lambda each: each.input_tokens,
            "output tokens": lambda each: each.output_tokens,
            "first": lambda each: zones.day_of(each.first_at, zone()),
            "last": lambda each: zones.day_of(each.last_at, zone()),
        },
    )


def repriced(days: Sequence[RepricedDay]) -> pd.DataFrame:
    """A row a day: what its calls cost on record, and what they would."""
    return tables.frame(
        days,
        {
            f"day{formatting.of_utc()}": lambda day: day.on,
            "calls": lambda day: day.n_calls,
            "without a cost": lambda day: day.n_unpriced,
            "on record": lambda day: _known(day.before_usd, day.n_calls, day.n_unpriced),
            "would be": lambda day: formatting.usd(day.after_usd),
        },
    )


def repriced_total(days: Sequence[RepricedDay]) -> tuple[int, str, str]:
    """Of all days: calls, their cost on record, and what it would be."""
    n, n_unpriced = sum(day.n_calls for day in days), sum(day.n_unpriced for day in days)
    before, after = sum(day.before_usd for day in days), sum(day.after_usd for day in days)
    return n, _known(before, n, n_unpriced), formatting.usd(after)


def _known(cost: Decimal | float, n: int, n_unpriced: int) -> str:
    return "unknown" if n == n_unpriced else formatting.usd(cost)


def changes(changes: Sequence[Change]) -> pd.DataFrame:
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


def audit() -> pd.DataFrame:
    return tables.frame(
        manager().audit.page(Wanted(kinds=("price", "catalogue", "budget")))[0],
        {
            "time": lambda entry: entry.created_at,
            "what": lambda entry: entry.text,
            "detail": lambda entry: ", ".join(f"{name}: {value}" for name, value in entry.detail.items()),
        },
    )
