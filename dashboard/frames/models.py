"""Models: which can be asked, and what they cost. Cached for seconds, so that a rerun costs nothing."""

import pandas as pd
import streamlit as st

from core.domain.generation import Model
from dashboard import formatting
from dashboard.charts.colours import Mode, Ordered, of_model
from dashboard.process import manager

VENDOR_WAIT_S = 1.0  # for a first list of models; it is asked for on, and the page shows it when it is drawn again


def by_name() -> dict[str, Model]:
    return {model.name: model for model in manager().models(VENDOR_WAIT_S)}


def default() -> str:
    return manager().models.default()


@st.cache_data(ttl=3, show_spinner=False)
def names() -> list[str]:
    return list(by_name())


def names_on_record() -> list[str]:
    """Models that can be asked, and those that were."""
    return list(dict.fromkeys([*names(), *order()]))


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
    price = manager().models.price(model.name)
    if price is None:
        return "price unknown"
    reading, writing = price.input.base, price.output.base
    return f"${reading.normalize():f} in / ${writing.normalize():f} out per 1M" if reading or writing else "free"


def _context_text(model: Model) -> str:
    return f" · {formatting.count(model.context_tokens)} context" if model.context_tokens else ""


def table() -> pd.DataFrame:
    """A row a model, with its list price in USD per million tokens; NaN = no price is known."""
    records = []
    for model in by_name().values():
        price = manager().models.price(model.name)
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


@st.cache_data(ttl=60, show_spinner=False)
def order() -> Ordered:
    """Every model by name: its vendor, and its place among the vendor's, from which its colour follows."""
    known = manager()
    names = [*sorted(known.monitoring.models()), *((model.provider, model.name) for model in by_name().values())]
    return {name: (vendor, place) for (vendor, name), place in known.seen_models.places(names).items()}


def colours(mode: Mode) -> dict[str, str]:
    """Every model's colour on light or dark ground."""
    ordered = order()
    return {name: of_model(name, ordered, mode) for name in ordered}
