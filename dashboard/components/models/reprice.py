"""Calls without a known cost, and past calls priced again: first what would change, then the deed."""

from datetime import UTC, date, datetime, time

import streamlit as st

from core.domain.price import UnpricedModel
from dashboard import address, formatting, process, tables
from dashboard.components.models import own_prices
from dashboard.frames.money import prices
from dashboard.process import manager
from dashboard.visitors import allowed


def unpriced() -> None:
    """Models whose calls have no known cost, each with one click to a price."""
    found, providers = prices.unpriced_models(), manager().prices.providers
    if not found:
        st.success("Every real call on record has a known cost.", icon=":material/check_circle:")
        return
    number = st.column_config.NumberColumn(format="localized")
    tables.show(prices.unpriced(found), column_config=dict.fromkeys(("calls", "input tokens", "output tokens"), number))
    names = [f"{each.provider} {each.model}" for each in found]
    chosen = st.selectbox("Set a price for", names, key="unpriced_model", bind="query-params")
    one = found[names.index(chosen or names[0])]
    provider = one.provider if one.provider in providers else "gemini"
    own_prices.form(f"unpriced_{one.model}", provider, one.model)
    _reprice(one)


def past() -> None:
    """Reprice past calls, with a preview first."""
    providers = manager().prices.providers
    address.check("past_provider", providers, "provider")
    line = st.columns([1, 2, 1, 1, 1.4], vertical_alignment="bottom")
    provider = line[0].selectbox("Provider", providers, key="past_provider", bind="query-params") or "gemini"
    model = line[1].text_input("Model", key="past_model", bind="query-params", placeholder="gemini-2.5-flash")
    since = line[2].date_input(f"From{formatting.of_utc()}", None, key="past_since", bind="query-params")
    until = line[3].date_input(f"Until (exclusive){formatting.of_utc()}", None, key="past_until", bind="query-params")
    also = line[4].toggle(
        "Include priced calls",
        key="past_all",
        bind="query-params",
        help="Recalculates calls that already have a cost, for example after a discount was agreed.",
    )
    if not model:
        st.caption(
            "Choose a model: you see by day what its calls cost on record, and what they would, before it is done."
        )
    else:
        _preview(provider, model, (_midnight(since), _midnight(until)), only_unpriced=not also)


def _reprice(one: UnpricedModel) -> None:
    if manager().prices.price(one.provider, one.model, one.last_at) is None:
        st.caption("Once a price is set, the cost of past calls can be recalculated too. You see a preview first.")
        return
    _preview(one.provider, one.model, (None, None), only_unpriced=True)


def _preview(provider: str, model: str, span: tuple[datetime | None, datetime | None], *, only_unpriced: bool) -> None:
    service = manager().repricing
    options = {"since": span[0], "until": span[1], "only_unpriced": only_unpriced}
    days = service.preview(provider, model, **options)  # type: ignore[arg-type]
    if not days:
        st.caption("Nothing to recalculate: no such calls on record, or no price known for their days.")
        return
    frame = prices.repriced(days)
    n, before, after = prices.repriced_total(days)
    text = formatting.plain(f"{n:,} calls on {len(days)} days, {before}")
    st.markdown(f"**Preview**: {text} → **{formatting.plain(after)}**")
    tables.show(frame, height=min(300, 60 + 35 * len(frame)))
    if st.button(
        f"Recalculate {n:,} calls",
        type="primary",
        icon=":material/published_with_changes:",
        key="reprice_apply",
        **allowed.needs("admin"),
    ):
        with process.aside(), st.spinner("Recalculating …"):
            done = service.reprice(provider, model, **options)  # type: ignore[arg-type]
        st.cache_data.clear()
        st.toast(f"{done:,} calls recalculated.")
        st.rerun()


def _midnight(day: object) -> datetime | None:
    return datetime.combine(day, time(), tzinfo=UTC) if isinstance(day, date) else None
