"""People: who logs in to the pages, in which role, and of which team."""

import streamlit as st

from dashboard.components import head, managed
from dashboard.components.people import listed
from dashboard.visitors import allowed

row = head.show("People")
if not allowed.may("admin"):
    st.info(allowed.why_not("admin"), icon=":material/lock:")
    st.stop()
row.button("New person", type="primary", icon=":material/person_add:", key="person_new", on_click=listed.open_new)
st.caption(
    "People log in by name and password, or by an identity provider ([auth] of Streamlit's secrets), whose accounts"
    " come here with their first login."
)
listed.show()
managed.note("users")
listed.dialog()
