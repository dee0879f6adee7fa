"""The team's own price rows: what its contract says, over the catalogue."""

from typing import Any

import streamlit as st

from core import AimmError
from core.domain.price import TeamPrice
from core.pricing.team import above_from_text
from dashboard import formatting, tables
from dashboard.frames import prices
from dashboard.process import manager

MORE_RATES = {
    "cache_write": "Cache write $/M", "cache_write_1h": "Cache write, 1 h $/M", "thinking": "Thinking $/M", "citation": "Citations $/M",
    "audio": "Audio $/M", "cached_audio": "Cached audio $/M", "output_audio": "Output audio $/M",
    "image": "Image $/M", "cached_image": "Cached image $/M", "output_image": "Output image $/M",
    "video": "Video $/M", "cached_video": "Cached video $/M", "output_video": "Output video $/M",
    "request_per_1000": "Requests $/1000",
}  # fmt: skip


def show() -> None:
    """The rows that are set here or in the file, and a form for a new one."""
    service = manager().prices
    if service.rows:
        tables.show(prices.own(), hide_index=True)
    here = {_label(row): row.id for row in service.rows if row.source == "team"}
    here |= {f"cannot be read ({id_})": id_ for id_ in service.unreadable}
    if here:
        line = st.container(horizontal=True, vertical_alignment="bottom")
        chosen = line.selectbox("Row", list(here), key="own_row", persist_state="session", width=380)
        if line.button("Remove", icon=":material/delete:", key="own_remove") and chosen:
            service.remove_price(here[chosen])
            st.rerun()
    if not service.rows:
        st.caption("No rows of your own yet: what your contract says goes here, or into data/prices.yaml.")
    with st.expander("New price row", icon=":material/add:", expanded=not service.rows):
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
