"""The team's price rows, models without a price, past calls charged anew, a newer catalogue, and who changed what."""

from datetime import UTC, date, datetime, time
from typing import Any

import streamlit as st

from core import AimmError
from core.domain.price import TeamPrice, UnpricedModel
from core.pricing.team import above_from_text
from dashboard import address, formatting, tables
from dashboard.frames import money
from dashboard.process import manager

MORE_RATES = {
    "cache_write": "Cache write $/M", "cache_write_1h": "Cache write, 1 h $/M", "thinking": "Thinking $/M", "citation": "Citations $/M",
    "audio": "Audio $/M", "cached_audio": "Cached audio $/M", "output_audio": "Output audio $/M",
    "image": "Image $/M", "cached_image": "Cached image $/M", "output_image": "Output image $/M",
    "video": "Video $/M", "cached_video": "Cached video $/M", "output_video": "Output video $/M",
    "request_per_1000": "Requests $/1000",
}  # fmt: skip
VIEWS = ("Models", "Own prices", "Without a price", "Past calls", "Catalogue", "Changes")


def own() -> None:
    """The rows that are set here or in the file, and a form for a new one."""
    prices = manager().prices
    if prices.rows:
        tables.show(money.own_prices_frame(), hide_index=True)
    here = {_label(row): row.id for row in prices.rows if row.source == "team"}
    here |= {f"cannot be read ({id_})": id_ for id_ in prices.unreadable}
    if here:
        line = st.container(horizontal=True, vertical_alignment="bottom")
        chosen = line.selectbox("Row", list(here), key="own_row", persist_state="session", width=380)
        if line.button("Remove", icon=":material/delete:", key="own_remove") and chosen:
            prices.remove_price(here[chosen])
            st.rerun()
    if not prices.rows:
        st.caption("No rows of your own yet: what your contract says goes here, or into data/prices.yaml.")
    with st.expander("New price row", icon=":material/add:", expanded=not prices.rows):
        form("own")


def _label(row: TeamPrice) -> str:
    since = "" if row.effective_from.year == 1970 else f" from {row.effective_from:%Y-%m-%d}"
    return f"{row.provider} {row.model}{since} ({row.id})"


def form(key: str, provider: str = "gemini", model: str = "") -> None:
    """A new price row; the catalogue's price holds where only a discount is given."""
    state, providers = st.session_state, manager().prices.providers
    state.setdefault(f"{key}_model", model)
    with st.form(f"{key}_form", border=False):
        top = st.columns(3)
        provider = top[0].selectbox("Provider", providers, providers.index(provider), key=f"{key}_provider", persist_state="session") or provider  # fmt: skip
        top[1].text_input("Model", key=f"{key}_model", persist_state="session", help="A name, or * for all of the provider (discount only).")  # fmt: skip
        starts = top[2].date_input("Holds from", None, key=f"{key}_from", persist_state="session", help="UTC midnight; empty = always. A later row of the same model takes its place.")  # fmt: skip
        row = st.columns(4)
        names = ("input", "output", "cached", "discount_percent")
        labels = ("Input $/M", "Output $/M", "Cached $/M", "Discount %")
        fields = {
            name: place.number_input(label, 0.0, 1e6, None, 0.01, format="%.6g", key=f"{key}_{name}", persist_state="session", placeholder="–")
            for place, name, label in zip(row, names, labels, strict=True)
        }  # fmt: skip
        more = st.columns(5)
        for place, tier in zip(more, ("batch", "flex", "priority"), strict=False):
            fields[f"tier_{tier}"] = place.number_input(f"{tier} ×", 0.0, 100.0, None, 0.05, key=f"{key}_{tier}", persist_state="session", placeholder="–", help="Factor on the standard prices; empty = not known.")  # fmt: skip
        fields["search_per_1000"] = more[3].number_input("Grounding $/1000", 0.0, 1e6, None, 1.0, key=f"{key}_search", persist_state="session", placeholder="–")  # fmt: skip
        fields["storage_per_hour"] = more[4].number_input("Cache $/M/hour", 0.0, 1e6, None, 0.1, key=f"{key}_storage", persist_state="session", placeholder="–")  # fmt: skip
        with st.popover("Advanced", icon=":material/tune:"):
            above = st.text_input("Long prompts", key=f"{key}_above", persist_state="session", placeholder="200000:input=4,output=18", help="From how many prompt tokens on, and the prices that then hold for the whole call.")  # fmt: skip
            for name, label in MORE_RATES.items():
                fields[name] = st.number_input(label, 0.0, 1e6, None, 0.01, format="%.6g", key=f"{key}_{name}", persist_state="session", placeholder="–", help="Empty = cached, pictures and video that are read, and thinking cost like input or output; a call with anything else has no known cost.")  # fmt: skip
        if not st.form_submit_button("Set price", type="primary", icon=":material/sell:"):
            return
    set_ = {name: value for name, value in fields.items() if value is not None}
    tiers = {name.removeprefix("tier_"): value for name, value in set_.items() if name.startswith("tier_")}
    given: dict[str, Any] = {name: value for name, value in set_.items() if not name.startswith("tier_")}
    given |= {"provider": provider, "model": state[f"{key}_model"], "effective_from": str(starts or ""), "tiers": tiers}
    try:
        made = manager().prices.set_price(given | {"above": above_from_text(above or "")})
    except AimmError as error:
        st.error(formatting.plain(error.message), icon=":material/error:")
    else:
        st.success(f"Set: {formatting.plain(made.provider)} {formatting.plain(made.model)}. New calls are charged with it; past ones under *Past calls*.")  # fmt: skip


def unpriced() -> None:
    """Models whose calls have no known cost, each with one click to a price."""
    found = manager().prices.unpriced()
    if not found:
        st.success("Every real call on record has a cost.", icon=":material/check_circle:")
        return
    tables.show(money.unpriced_frame(found), hide_index=True)
    names = [f"{each.provider} {each.model}" for each in found]
    chosen = st.selectbox("Set a price for", names, key="unpriced_model", bind="query-params")
    one = found[names.index(chosen or names[0])]
    form(f"unpriced_{one.model}", one.provider if one.provider in manager().prices.providers else "gemini", one.model)
    _reprice(one)


def past() -> None:
    """Charge past calls anew, with a preview first."""
    address.check("past_provider", manager().prices.providers, "provider")
    line = st.columns([1, 2, 1, 1, 1.4], vertical_alignment="bottom")
    provider = (
        line[0].selectbox("Provider", manager().prices.providers, key="past_provider", bind="query-params") or "gemini"
    )
    model = line[1].text_input("Model", key="past_model", bind="query-params", placeholder="gemini-2.5-flash")
    since = line[2].date_input("From", None, key="past_since", bind="query-params")
    until = line[3].date_input("Up to, not included", None, key="past_until", bind="query-params")
    also = line[4].toggle("Also calls with a cost", key="past_all", bind="query-params", help="Recomputes what is on record already, e.g. after a discount was agreed.")  # fmt: skip
    if model:
        _preview(provider, model, (_midnight(since), _midnight(until)), only_unpriced=not also)


def _reprice(one: UnpricedModel) -> None:
    price = manager().prices.price(one.provider, one.model, one.last_at)
    if price is None:
        st.caption("With a price, past calls can be charged too; a preview comes first.")
        return
    _preview(one.provider, one.model, (None, None), only_unpriced=True)


def _preview(provider: str, model: str, span: tuple[datetime | None, datetime | None], *, only_unpriced: bool) -> None:
    prices = manager().prices
    options = {"since": span[0], "until": span[1], "only_unpriced": only_unpriced}
    days = prices.preview(provider, model, **options)  # type: ignore[arg-type]
    if not days:
        st.caption("No past call would change: none is on record, or no price is known for its day.")
        return
    frame = money.repriced_frame(days)
    before, after = sum(day.before_usd for day in days), sum(day.after_usd for day in days)
    n, n_unpriced = sum(day.n_calls for day in days), sum(day.n_unpriced for day in days)
    now = "unknown" if n == n_unpriced else formatting.usd(before)
    text = formatting.plain(f"{n:,} calls on {len(days)} days, {now}")
    st.markdown(f"**Preview**: {text} → **{formatting.plain(formatting.usd(after))}**")
    tables.show(frame, hide_index=True, height=min(300, 60 + 35 * len(frame)))
    if st.button(
        f"Charge these {n:,} calls so", type="primary", icon=":material/published_with_changes:", key="reprice_apply"
    ):
        with st.spinner("All in one transaction …"):
            done = prices.reprice(provider, model, **options)  # type: ignore[arg-type]
        st.cache_data.clear()
        st.toast(f"{done:,} calls charged anew.")
        st.rerun()


def catalogue() -> None:
    """Which catalogue holds, and a newer one: first the difference, then the choice."""
    prices = manager().prices
    st.markdown(
        f"In use: genai-prices **{formatting.plain(prices.book.catalogue.version)}**. Nothing is ever fetched by itself."
    )
    if prices.taken_version is not None and st.button("Back to the shipped one", key="catalogue_back"):
        prices.use_shipped()
        st.rerun()
    file = st.file_uploader("A newer catalogue: genai-prices' data.json", "json", key="catalogue_file")
    if file is None:
        st.caption("`aimm prices diff URL` and `aimm prices update URL` do the same from a terminal.")
        return
    content = file.getvalue().decode("utf-8", "replace")
    changes = prices.compare(content)
    if not changes:
        st.success("No price would change.", icon=":material/check_circle:")
        return
    st.markdown(f"**{len(changes)} models would change**")
    tables.show(money.changes_frame(changes), hide_index=True)
    if st.button("Take it", type="primary", key="catalogue_take", icon=":material/download_done:"):
        prices.take(content)
        st.rerun()


def audit() -> None:
    frame = money.audit_frame()
    if frame.empty:
        st.caption("Nothing has been changed about prices or budgets yet.")
    else:
        tables.show(frame, hide_index=True, column_config={"time": st.column_config.DatetimeColumn("Time (UTC)", format="YYYY-MM-DD HH:mm:ss")})  # fmt: skip


def _midnight(day: object) -> datetime | None:
    return datetime.combine(day, time(), tzinfo=UTC) if isinstance(day, date) else None
