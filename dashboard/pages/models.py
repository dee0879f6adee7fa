"""Models & prices: what can be asked, what it costs, and what a team's own contract says."""

import streamlit as st

from dashboard import address, formatting
from dashboard.components import head, managed
from dashboard.components.models import catalogue, listed, own_prices, reprice
from dashboard.frames.money import prices
from dashboard.process import manager

VIEWS = {
    "Models": listed.show,
    "Own prices": own_prices.show,
    "Unpriced": reprice.unpriced,
    "Recalculate costs": reprice.past,
    "Catalogue": catalogue.show,
    "Changes": catalogue.audit,
}


def set_prices() -> None:
    st.session_state["prices_view"] = "Unpriced"


head.show("Models & prices")
address.check("prices_view", VIEWS, "view")
view = st.segmented_control(
    "View",
    list(VIEWS),
    default="Models",
    key="prices_view",
    required=True,
    label_visibility="collapsed",
    bind="query-params",
)
for text in manager().prices.warnings:
    st.warning(formatting.plain(text), icon=":material/warning:")
if (found := prices.unpriced_models()) and view != "Unpriced":
    row = st.container(horizontal=True, vertical_alignment="center")
    n, names = sum(each.n_calls for each in found), ", ".join(each.model for each in found[:3])
    row.markdown(
        f":material/help: {formatting.count(n)} calls have no known price and are in no sum:"
        f" **{formatting.plain(names)}**{f' and {len(found) - 3} more' if len(found) > 3 else ''}",
        width="content",
    )
    row.button("Set prices", type="primary", key="prices_set", on_click=set_prices)
VIEWS[view or "Models"]()
managed.note(*{"Models": ("aliases",), "Own prices": ("prices",)}.get(view or "Models", ()))
