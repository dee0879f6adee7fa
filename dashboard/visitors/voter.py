"""The voter: a login's name, else the browser; at a machine that serves only itself, whoever sits there."""

import re
import secrets

import streamlit as st

from core.domain.comparison import LOCAL_VOTER
from dashboard import login

COOKIE = "aimm_browser"
_ID = re.compile(r"[\w-]{20,40}", re.ASCII)


def voter() -> str:
    """The same in each tab and session of a browser, and of a login by name in each browser too."""
    if not login.is_needed():
        return LOCAL_VOTER
    if (person := login.visitor(st.context.cookies)) is not None and person.id:
        return f"user:{person.name}"
    if login.providers() and st.user.get("is_logged_in"):
        return f"user:{st.user.get('email') or st.user.get('sub')}"
    found = st.context.cookies.get(COOKIE, "")
    return f"browser:{found if _ID.fullmatch(found) else 'without a cookie'}"


def browser_id(found: str) -> str | None:
    """A browser's id, where it has none yet and needs one: a password that many share names nobody."""
    return secrets.token_urlsafe(24) if login.is_needed() and not _ID.fullmatch(found) else None
