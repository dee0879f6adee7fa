"""The way in: where a login is set up or needed, nothing of any page is drawn before it."""

import hmac
import threading
import time
from collections.abc import Callable
from importlib.util import find_spec

import streamlit as st

from core.binding import is_loopback
from dashboard import formatting
from dashboard.session import manager

FREE_TRIES, LONGEST_WAIT_S = 5, 60.0
_IN = "logged_in"


class Tries:
    """Wrong passwords of this process, whoever gave them: from the fifth in a row on, each is followed by a longer wait."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._n_wrong = 0
        self._until = 0.0
        self._lock = threading.Lock()

    def refusal(self, given: str, password: str) -> str:
        """Why a password does not let in; empty = it does."""
        with self._lock:
            if (wait_s := self._until - self._now()) > 0:
                return f"Too many wrong tries. Try again in {wait_s:.0f} s."
            if hmac.compare_digest(given.encode(), password.encode()):
                self._n_wrong = 0
                return ""
            self._n_wrong += 1
            if self._n_wrong >= FREE_TRIES:
                self._until = self._now() + min(LONGEST_WAIT_S, 2.0 ** (self._n_wrong - FREE_TRIES))
            return "That is not the password."


tries = Tries()


def providers() -> list[str]:
    """The identity providers of [auth] in Streamlit's secrets; `default` is the one without a name. Empty = none is usable."""
    if not st.secrets.load_if_toml_exists() or find_spec("authlib") is None:
        return []
    section = st.secrets.get("auth") or {}
    named = [name for name, value in section.items() if hasattr(value, "items") and "client_id" in value]
    return (["default"] if "client_id" in section else []) + named


def is_local() -> bool:
    """Whether the server listens on a loopback address only; no address means all of them."""
    return is_loopback(st.get_option("server.address") or "")


def is_needed() -> bool:
    settings = manager().settings
    return bool(settings.dashboard_password or providers() or settings.require_key or not is_local())


def is_in() -> bool:
    return bool(st.session_state.get(_IN)) or (_is_known() and _is_allowed())


def lets_in() -> bool:
    """Whether the page may be drawn; if not, the login is drawn instead.

    The run goes on to its end: st.stop() would keep what earlier runs left to be redrawn.
    """
    if not is_needed() or is_in():
        return True
    with st.columns([1, 1.2, 1])[1]:
        st.title("AI Model Manager")
        if _is_known():
            st.error(f"{formatting.plain(str(st.user.get('email') or 'This account'))} may not look at this server.")
            st.button("Log out", on_click=st.logout, key="login_other")
        for name in providers():
            label = "Log in" if name == "default" else f"Log in with {name}"
            st.button(label, on_click=st.login, args=(name,), key=f"login_{name}", width="stretch")
        password = manager().settings.dashboard_password
        if password is not None:
            _form(password)
        elif not providers():
            st.error("No login is set up. Set AIMM_DASHBOARD_PASSWORD, or [auth] in .streamlit/secrets.toml.")
    return False


def _form(password: str) -> None:
    with st.form("login_form"):
        given = st.text_input("Password", type="password", key="login_password", autocomplete="current-password")
        if not st.form_submit_button("Log in", type="primary", width="stretch"):
            return
        if refusal := tries.refusal(given or "", password):
            st.error(refusal, icon=":material/lock:")
            return
    st.session_state[_IN] = True
    st.rerun()


def log_out() -> None:
    """A button, for whoever has logged in."""
    if not is_needed() or not st.button("Log out", icon=":material/logout:", key="log_out"):
        return
    st.session_state.pop(_IN, None)
    if _is_known():
        st.logout()
    st.rerun()


def _is_known() -> bool:
    """Whether an identity provider says who this is."""
    return bool(providers()) and bool(st.user.get("is_logged_in"))


def _is_allowed() -> bool:
    allowed = manager().settings.login_allowed
    address = str(st.user.get("email") or "").lower()
    is_verified = st.user.get("email_verified") is not False
    return not allowed or (is_verified and any(address == each or (each.startswith("@") and address.endswith(each)) for each in allowed))  # fmt: skip
