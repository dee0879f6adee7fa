"""The team's own price rows: what its contract says, over the catalogue."""

from typing import Any

import pandas as pd
import streamlit as st

from core import AimmError
from core.domain.price import TeamPrice
from core.pricing.team import above_from_text
from dashboard import address, formatting, tables
from dashboard.components import inputs
from dashboard.frames.money import prices
from dashboard.process import manager
from dashboard.visitors import allowed

MORE_RATES = {
    "cache_write": "Cache write $/M", "cache_write_1h": "Cache write, 1 h $/M",
    "thinking": "Thinking $/M", "citation": "Citations $/M",
    "audio": "Audio $/M", "cached_audio": "Cached audio $/M", "output_audio": "Output audio $/M",
    "image": "Image $/M", "cached_image": "Cached image $/M", "output_image": "Output image $/M",
    "video": "Video $/M", "cached_video": "Cached video $/M", "output_video": "Output video $/M",
    "request_per_1000": "Requests $/1000", "picture_per_1000": "Pictures made $/1000",
    "characters_per_million": "Characters read aloud $/M", "sound_per_hour": "Sound heard $/hour",
}  # fmt: skip
LONG_HELP = "The prompt length in tokens from which other prices apply to the whole call, and those prices."
RATE_HELP = (
    "Empty: cached tokens, images and video read, and thinking cost like input or output; a call with anything else has"
    " no known cost."
)


def show() -> None:
    """The rows that are set here or in the file, and a form for a new one."""
    service = manager().prices
    if service.book.rows:
        table(prices.own())
    here = {_label(row): row.id for row in service.book.rows if row.source == "team"}
    here |= {f"cannot be read ({id_})": id_ for id_ in service.unreadable}
    if here:
        line = st.container(horizontal=True, vertical_alignment="bottom")
        chosen = inputs.choice(line, "Own price", "own_row", list(here), width=380)
        with line.popover("Remove", icon=":material/delete:", **allowed.needs("admin")):
            st.markdown(f"**{formatting.plain(chosen or '')}** no longer holds. Past calls keep their cost.")
            if st.button(f"Remove {formatting.plain(chosen or '')}", key="own_remove") and chosen:
                service.remove_price(here[chosen])
                st.rerun()
    if not service.book.rows:
        st.caption("No own prices yet. Enter your contract prices here or in data/prices.yaml.")
    provider, _, model = (address.value("own_for") or "").partition(" ")
    is_meant = provider in service.providers
    with st.expander("New price", icon=":material/add:", expanded=is_meant or not service.book.rows):
        form(f"own_{model}", provider, model) if is_meant else form("own")


def table(frame: pd.DataFrame) -> None:
    """Own rows, without the columns in which none of them says anything."""
    said = [name for name in frame.columns if not frame[name].isin(["", None]).all() and not frame[name].isna().all()]
    tables.show(frame[said], placeholder=formatting.UNKNOWN)


def _label(row: TeamPrice) -> str:
    since = "" if row.effective_from.year == 1970 else f" from {row.effective_from:%Y-%m-%d}"
    return f"{row.provider} {row.model}{since} ({row.id})"


def form(key: str, provider: str = "gemini", model: str = "") -> None:
    """A new price row; the catalogue's price holds where only a discount is given."""
    state, providers = st.session_state, manager().prices.providers
    state.setdefault(f"{key}_model", model)
    with st.form(f"{key}_form", border=False):
        top = st.columns(3)
        provider = inputs.choice(top[0], "Provider", f"{key}_provider", providers, providers.index(provider))
        inputs.text(top[1], "Model", f"{key}_model", help="A name, or * for all of the provider (discount only).")
        starts = top[2].date_input(
            "Effective from", None, key=f"{key}_from", persist_state="session",
            help=f"From its midnight{formatting.of_utc()}; empty: always. A later row for the same model replaces it.",
        )  # fmt: skip
        row = st.columns(4)
        names = ("input", "output", "cached", "discount_percent")
        labels = ("Input $/M", "Output $/M", "Cached $/M", "Discount %")
        fields = {
            name: _price(place, label, f"{key}_{name}") for place, name, label in zip(row, names, labels, strict=True)
        }
        more = st.columns(5)
        for place, tier in zip(more, ("batch", "flex", "priority"), strict=False):
            fields[f"tier_{tier}"] = inputs.number(
                place, f"{tier} ×", f"{key}_{tier}", (0.0, 100.0), step=0.05, placeholder="–",
                help="Factor on the standard prices; empty: unknown.",
            )  # fmt: skip
        fields["search_per_1000"] = _price(more[3], "Grounding $/1000", f"{key}_search", step=1.0)
        fields["storage_per_hour"] = _price(more[4], "Cache storage $/M/hour", f"{key}_storage", step=0.1)
        with st.popover("Advanced", icon=":material/tune:"):
            above = inputs.text(
                st, "Long prompts", f"{key}_above", placeholder="200000:input=4,output=18", help=LONG_HELP
            )
            for name, label in MORE_RATES.items():
                fields[name] = _price(st, label, f"{key}_{name}", help=RATE_HELP)
        if not st.form_submit_button("Set price", type="primary", icon=":material/sell:", **allowed.needs("admin")):
            return
    set_ = {name: value for name, value in fields.items() if value is not None}
    tiers = {name.removeprefix("tier_"): value for name, value in set_.items() if name.startswith("tier_")}
    given: dict[str, Any] = {name: value for name, value in set_.items() if not name.startswith("tier_")}
    given |= {"provider": provider, "model": state[f"{key}_model"], "effective_from": str(starts or ""), "tiers": tiers}
    try:
        made = manager().prices.set_price(given | {"above": above_from_text(above)})
    except AimmError as error:
        inputs.refused(st, error)
    else:
        name = formatting.plain(f"{made.provider} {made.model}")
        st.success(f"Price set for {name}. New calls are charged with it; charge past ones under *Recalculate costs*.")


def _price(place: Any, label: str, key: str, *, step: float = 0.01, help: str | None = None) -> Any:
    return inputs.number(place, label, key, (0.0, 1e6), step=step, format="%.6g", placeholder="–", help=help)
