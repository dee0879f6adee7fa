"""The visitor in the sidebar: their name and role, another password, and the way out."""

import streamlit as st

from core import AimmError, acting
from dashboard import formatting, login
from dashboard.components import inputs
from dashboard.process import manager

LOOKS = "You look at this as a viewer: nothing can be asked or changed here. An admin gives roles."


def show() -> None:
    """Nothing where nobody has to log in."""
    if not login.is_needed():
        return
    actor = acting.current()
    name = formatting.plain(actor.name)
    with st.sidebar.popover(f"{name} · {actor.role}", icon=":material/person:", width="stretch"):
        if actor.team:
            st.caption(f"Team {formatting.plain(actor.team)}")
        person = manager().people.of_id(actor.id)
        if person is not None and person.password is not None:
            _password(actor.id)
        login.log_out()
    if not actor.may("editor"):
        st.info(LOOKS, icon=":material/visibility:")


def _password(person_id: str) -> None:
    with st.form("own_password", border=False, clear_on_submit=True):
        old = st.text_input("Current password", type="password", key="own_old", autocomplete="current-password")
        new = st.text_input("New password", type="password", key="own_new", autocomplete="new-password")
        if not st.form_submit_button("Change password"):
            return
    try:
        manager().people.change_own_password(person_id, old, new)
    except AimmError as error:
        inputs.refused(st, error)
    else:
        st.success("Changed. Log in with it now, here and elsewhere.")
