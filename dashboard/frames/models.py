"""Models: which can be asked, and what they cost. Cached for seconds, so that a rerun costs nothing."""

from datetime import date
from decimal import Decimal

import pandas as pd
import streamlit as st

from core import Metrics, clock
from core.domain.experiment import AliasChange
from core.domain.generation import Model
from core.vendors import VENDORS
from dashboard import formatting
from dashboard.charts.colours import Mode, Ordered, of_model
from dashboard.frames import monitoring
from dashboard.process import manager

SOURCES = {"catalogue": "List price", "file": "prices.yaml", "team": "Own price", "simulated": "Example"}
TITLES = {
    "wrong_key": "Wrong API key",
    "api_off": "API not enabled",
    "expired": "Expired key",
    "suspended": "Suspended by the vendor",
    "restricted": "Restricted key",
    "billing": "Billing is off",
    "region": "Region not supported",
    "quota": "Quota used up",
    "no_tier": "Not in this tier",
    "network": "Cannot be reached",
    "error": "Not working",
}
VENDOR_WAIT_S = 1.0  # for a first list of models; it is asked for on, and the page shows it when it is drawn again


@st.cache_data(ttl=3, show_spinner=False)
def by_name() -> dict[str, Model]:
    return {model.name: model for model in manager().models(VENDOR_WAIT_S)}


@st.cache_data(ttl=3, show_spinner=False)
def default() -> str:
    return manager().models.default()


def alias_changes() -> pd.DataFrame:
    """A row a target of each alias, today's first."""
    found: list[tuple[AliasChange, bool]] = []
    for alias in manager().aliases.all():
        changes = manager().aliases.targets(alias.name)
        if not changes:  # it was set before targets were kept
            changes = [AliasChange(name=alias.name, target=alias.target, changed_at=alias.changed_at, note=alias.note)]
        found += [(change, n == 0) for n, change in enumerate(changes)]
    return pd.DataFrame(
        [
            {
                "alias": change.name,
                "model": change.target.model,
                "prompt": change.target.prompt_version or None,
                "note": change.note or None,
                "author": change.author or None,
                "run": change.run_id or None,
                "time": change.changed_at,
                "is now": is_now,
            }
            for change, is_now in found
        ]
    )


@st.cache_data(ttl=3, show_spinner=False)
def names() -> list[str]:
    return list(by_name())


def problems() -> list[tuple[str, str, str]]:
    """Vendors whose list of models could not be read: name, the problem in a few words, and in the vendor's own."""
    found = manager().vendors.list_problems.items()
    said = [(vendor(name), TITLES.get(check.status, "Not working"), check.message) for name, check in found]
    return [(name, f"{title[0].lower()}{title[1:]}", message) for name, title, message in said]


def names_on_record() -> list[str]:
    """Models that can be asked, and those that were."""
    return list(dict.fromkeys([*names(), *order()]))


@st.cache_data(ttl=10, show_spinner=False)
def vendors_on_record() -> list[str]:
    return sorted({vendor for vendor, _ in manager().monitoring.seen()})


@st.cache_data(ttl=3, show_spinner=False)
def names_to_ask() -> list[str]:
    """Models and aliases."""
    return [*by_name(), *(alias.name for alias in manager().aliases.all())]


@st.cache_data(ttl=30, show_spinner=False)
def labels() -> dict[str, str]:
    """Every model with its price and how much it can read: `gpt-5 · $1.25 in / $10 out per 1M · 400k context`."""
    return {name: f"{name} · {_price_text(model)}{_context_text(model)}" for name, model in by_name().items()}


def _price_text(model: Model) -> str:
    if model.is_simulated:
        return "simulated"
    # By its vendor, which is known here: for its name alone, the server's loop would be asked.
    price = manager().prices.price(model.provider, model.name, clock.now())
    if price is None:
        return "price unknown"
    reading, writing = price.input.base, price.output.base
    return f"${_rate_text(reading)} in / ${_rate_text(writing)} out per 1M" if reading or writing else "free"


def _rate_text(rate: Decimal) -> str:
    """9, 1.50, 0.075."""
    return f"{rate:.2f}" if rate % 1 and rate == round(rate, 2) else f"{rate.normalize():f}"


def _context_text(model: Model) -> str:
    return f" · {formatting.count(model.context_tokens)} context" if model.context_tokens else ""


@st.cache_data(ttl=monitoring.ROUNDED_S, show_spinner=False)
def _use() -> tuple[dict[tuple[str, str], tuple[date, date]], dict[tuple[str, str], Metrics]]:
    """By vendor and model: the first and the last day with a call, and the sums of 30 days."""
    known, window = manager().monitoring, monitoring.chosen("30d").window  # the same as there
    rows = [row for simulated in (False, True) for row in known.by_model(window, simulated=simulated)]
    return known.seen(), {(row.provider or "", row.model or ""): row.metrics for row in rows}


@st.cache_data(ttl=3, show_spinner=False)
def table() -> pd.DataFrame:
    """A row a model that can be or was asked: its price as it is now, when it was used, its cost of 30 days.

    What has calls without a price comes first, then by cost. An empty price is unknown.
    """
    mm = manager()
    listed, (seen, used) = by_name(), _use()
    records = []
    for provider, name in dict.fromkeys([*((m.provider, m.name) for m in listed.values()), *seen]):
        price, metrics = mm.prices.price(provider, name, clock.now()), used.get((provider, name))
        _, last = seen.get((provider, name), (None, None))
        n_unpriced = metrics.n_unpriced if metrics else 0
        rates = (price.input, price.output, price.cached) if price else (None, None, None)
        records.append(
            {
                "model": name,
                "provider": vendor(provider),
                "context": listed[name].context_tokens if name in listed else None,
                **{
                    f"{kind} $/M": float(rate.base) if rate else None
                    for kind, rate in zip(("input", "output", "cached"), rates, strict=True)
                },
                "price": SOURCES[price.source] if price else None if name in listed or not n_unpriced else "Unknown",
                "from": price.effective_from
                if price and price.effective_from and price.effective_from.year > 1970
                else None,
                "last": last,
                "unpriced": n_unpriced,
                "calls": metrics.n if metrics else 0,
                "per call $": _per_call(metrics),
                "cost": _cost(metrics),
                "id": f"{provider} {name}",
                "usd": float(metrics.cost_usd) if metrics else -1.0,
            }
        )
    frame = pd.DataFrame(records).sort_values(["unpriced", "usd"], ascending=False, kind="stable", ignore_index=True)
    return frame.drop(columns="usd")


def _cost(metrics: Metrics | None) -> str | None:
    if metrics is None:
        return None
    return "unknown" if metrics.n_unpriced == metrics.n else formatting.usd(metrics.cost_usd)


def _per_call(metrics: Metrics | None) -> float | None:
    """Of the calls whose cost is known."""
    n = metrics.n - metrics.n_unpriced if metrics else 0
    return float(metrics.cost_usd) / n if metrics and n else None


def vendor(name: str) -> str:
    """A vendor as people call it."""
    return VENDORS[name].label if name in VENDORS else name.capitalize() if name == "simulated" else name


@st.cache_data(ttl=60, show_spinner=False)
def order() -> Ordered:
    """Every model by name: its vendor, and its place among the vendor's, from which its colour follows."""
    known = manager()
    names = [*sorted(known.monitoring.seen()), *((model.provider, model.name) for model in by_name().values())]
    return {name: (vendor, place) for (vendor, name), place in known.seen_models.places(names).items()}


def colours(mode: Mode) -> dict[str, str]:
    """Every model's colour on light or dark ground."""
    ordered = order()
    return {name: of_model(name, ordered, mode) for name in ordered}
