"""A page's address says what it shows: that survives a reload, can be sent to a colleague, and Back works.

Inputs are bound to the address by Streamlit (`bind="query-params"`); what is no input (a run, a call, a conversation)
is kept here. A page that is come back to shows what it showed: each remembers its own.
"""

from collections.abc import Callable, Collection
from datetime import UTC, datetime
from functools import partial
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from dashboard import formatting, tables

_PAGE, _NAMES = "address_page", "address_names"


def enter(page: str, names: Collection[str]) -> None:
    """Begin a page: what is not its own is taken out of the address.

    Streamlit leaves an entry without a query in the browser's history when a page is left: Back to that one shows what
    the page showed, as its link in the navigation does.
    """
    is_other = st.session_state.get(_PAGE) != page
    st.session_state[_PAGE], st.session_state[_NAMES] = page, list(names)
    ctx = get_script_run_ctx()
    is_named = any(name in st.query_params for name in names)
    if ctx and is_other and not is_named:
        ctx.is_history_navigation = False
    if is_other and is_named:  # a link says all of what it leads to
        for name in [name for name in names if not st.query_params.get(name)]:
            st.session_state.pop(f"address_{page}_{name}", None)
            st.session_state.pop(name, None)
    for name in [name for name in st.query_params if name not in names]:
        del st.query_params[name]


def value(name: str) -> str | None:
    """The value in the address, or what this page had there when it was left."""
    state, kept = st.session_state, _kept(name)
    if name in st.query_params:
        state[kept] = st.query_params[name]
    elif _goes_back():  # that entry of the browser's history had none
        state.pop(kept, None)
    elif state.get(kept):
        st.query_params[name] = state[kept]
    return state.get(kept) or None


def put(name: str, new: str | None) -> None:
    """Show something else from now on; None = nothing."""
    if new:
        st.session_state[_kept(name)] = st.query_params[name] = new
    else:
        st.session_state.pop(_kept(name), None)
        st.query_params.pop(name, None)


def window(name: str, title: str, **options: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A dialog, at the right of the page, of what the address names; closing it takes that out of the address."""
    given: dict[str, Any] = {"position": "right", "width": "medium"} | options
    return st.dialog(title, on_dismiss=partial(closed, name), **given)


def closed(name: str) -> None:
    """Take out of the address what was open in a window."""
    put(name, None)
    tables.released()


def check(name: str, options: Collection[str] | Callable[[str], bool], what: str) -> None:
    """Say so where the address asks for an option that its input does not offer; the input then has its default."""
    given = st.query_params.get(name)
    if given and not (options(given) if callable(options) else given in options):
        text = f"The address names the {what} {given[:60]!r}, which does not exist."
        st.warning(formatting.plain(text), icon=":material/link_off:")


def span(since: datetime, until: datetime) -> str:
    """A range of time as `moments` reads it."""
    return f"{since.timestamp():.0f}-{until.timestamp():.0f}"


def moments(text: str | None) -> tuple[datetime, datetime] | None:
    """Two moments in an address: Unix seconds with a dash between; None where there are none."""
    try:
        since, until = (datetime.fromtimestamp(int(each), UTC) for each in (text or "").split("-"))
    except (ValueError, OverflowError, OSError):
        return None
    return (since, until) if since < until else None


def missing(name: str, what: str) -> None:
    """Say that what the address names is not on record (any more), and take it out."""
    given = value(name) or ""
    st.warning(formatting.plain(f"There is no {what} {given[:60]!r} on record."), icon=":material/link_off:")
    put(name, None)


def forget() -> None:
    """Take everything out of the address: the way out of what a page cannot show."""
    for name in st.session_state.get(_NAMES, ()):
        st.session_state.pop(_kept(name), None)
        st.session_state.pop(name, None)
    st.query_params.clear()


def _kept(name: str) -> str:
    return f"address_{st.session_state.get(_PAGE, '')}_{name}"


def _goes_back() -> bool:
    ctx = get_script_run_ctx()
    return bool(ctx and ctx.is_history_navigation)
