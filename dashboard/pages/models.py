"""Models & prices: what can be asked, what it costs, and what a team's own contract says."""

import streamlit as st

from dashboard import address, formatting, tables
from dashboard.components import key_card, vendors
from dashboard.components.monitoring import prices
from dashboard.frames import queries
from dashboard.process import manager

st.title("Models & prices")
mm = manager()
n_unpriced = len(mm.prices.unpriced())
address.check("prices_view", prices.VIEWS, "view")
view = st.segmented_control(
    "View",
    prices.VIEWS,
    default=prices.VIEWS[0],
    key="prices_view",
    required=True,
    label_visibility="collapsed",
    bind="query-params",
)
for text in mm.prices.warnings:
    st.warning(formatting.plain(text), icon=":material/warning:")
if n_unpriced and view != "Without a price":
    st.warning(
        f"Models with calls that have no known price: {n_unpriced}; see *Without a price*.", icon=":material/help:"
    )
others = {
    "Own prices": prices.own,
    "Without a price": prices.unpriced,
    "Past calls": prices.past,
    "Catalogue": prices.catalogue,
    "Changes": prices.audit,
}
if view in others:
    others[view]()
    st.stop()

left, right = st.columns([2.4, 1], gap="medium")
with right:
    if mm.has_key:
        st.success("A Gemini key is set.", icon=":material/key:")
    key_card.show()
    vendors.show()
with left:
    if mm.model_list_error:
        st.warning(f"A vendor's model list could not be read: {formatting.plain(mm.model_list_error)}")
    frame = queries.models_frame()
    money = {name: st.column_config.NumberColumn(format="$%.3f") for name in ("input $/M", "cached $/M", "output $/M")}
    tables.show(frame, hide_index=True, column_config=money, height=560)
    st.caption(
        "USD per million tokens: your own rows over the catalogue of the installed genai-prices; nothing is fetched. A prompt"
        " longer than «long prompt from» pays a higher price for the whole call. Thinking is charged like output. An empty"
        " price is unknown, not zero."
    )
