"""Models & prices: what can be asked, and what it costs."""

import streamlit as st

from dashboard import formatting, queries
from dashboard.components import key_card
from dashboard.session import manager

st.title("Models & prices")
mm = manager()
left, right = st.columns([2.4, 1], gap="medium")
with right:
    if mm.has_key:
        st.success("A Gemini key is set.", icon=":material/key:")
    key_card.show()
with left:
    if mm.model_list_error:
        st.warning(
            f"The vendor's model list could not be read: {formatting.plain(mm.model_list_error)} Shown are the models of the price list."
        )
    frame = queries.models_frame()
    money = {name: st.column_config.NumberColumn(format="$%.3f") for name in ("input $/M", "cached $/M", "output $/M")}
    st.dataframe(frame, hide_index=True, column_config=money, height=560)
    st.caption(
        "USD per million tokens, as shipped with the installed genai-prices; nothing is fetched. A prompt longer than «long prompt"
        " from» pays a higher price for the whole call. Thinking is charged like output. An empty price is unknown, not zero."
    )
