"""Models & prices: what can be asked, what it costs, and what a team's own contract says."""

import streamlit as st

from dashboard import address, formatting, tables
from dashboard.components import key_card
from dashboard.components.models import catalogue, own_prices, reprice, vendors
from dashboard.frames import models, prices
from dashboard.process import manager

VIEWS = {
    "Models": None,
    "Own prices": own_prices.show,
    "Unpriced": reprice.unpriced,
    "Reprice": reprice.past,
    "Catalogue": catalogue.show,
    "Changes": catalogue.audit,
}

st.title("Models & prices")
mm = manager()
n_unpriced = len(prices.unpriced_models())
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
for text in mm.prices.warnings:
    st.warning(formatting.plain(text), icon=":material/warning:")
if n_unpriced and view != "Unpriced":
    st.warning(f"Models with calls that have no known price: {n_unpriced}. See *Unpriced*.", icon=":material/help:")
if (draw := VIEWS[view or "Models"]) is not None:
    draw()
    st.stop()

left, right = st.columns([2.4, 1], gap="medium")
with right:
    if mm.vendors.has_key:
        st.success("A Gemini key is set.", icon=":material/key:")
    key_card.show()
    vendors.show()
with left:
    if mm.vendors.list_error:
        st.warning(f"Could not read a vendor's model list: {formatting.plain(mm.vendors.list_error)}")
    money = {name: st.column_config.NumberColumn(format="$%.3f") for name in ("input $/M", "cached $/M", "output $/M")}
    tables.show(models.table(), column_config=money, height=560)
    st.caption(
        "USD per million tokens. Your own prices take precedence over the catalogue of the installed genai-prices;"
        " nothing is fetched. A prompt longer than “long prompt from” pays a higher price for the whole call. Thinking"
        " is billed as output. An empty price is unknown, not zero."
    )
