"""The actor of a page's run, its callbacks and fragments, which Streamlit runs in threads of its own."""

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from core.acting import look_up_with
from core.domain.people.actor import SYSTEM, Actor
from dashboard import login


def current() -> Actor:
    """The one who looks at the page; the system where no page runs."""
    if get_script_run_ctx(suppress_warning=True) is None:
        return SYSTEM
    address = st.context.ip_address  # of Streamlit's own tests it is no text
    found = login.visitor(st.context.cookies) or login.Visitor("nobody", "viewer")
    return Actor(
        name=found.name,
        role=found.role,
        door="page",
        address=address if isinstance(address, str) else "",
        id=found.id,
        team=found.team,
    )


def begin() -> None:
    """Let the core ask here who acts, from now on."""
    look_up_with(current)
