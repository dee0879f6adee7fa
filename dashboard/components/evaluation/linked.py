"""Inputs whose value stands in the address, which is the one place that knows it: Back works, and a link shows all."""

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from dashboard import address


def _ready(
    name: str, options: Sequence[str] | None, default: str, *, is_told: bool = False
) -> tuple[str, Callable[[], None]]:
    """Put the address's value into the input; what writes a new one back. is_told: The default stands there too."""
    if options is not None:
        address.check(name, options, name.removeprefix("eval_"))
    given, key = address.value(name) or default, f"linked_{name}"
    st.session_state[key] = given if options is None or given in options else default

    def changed() -> None:
        new = st.session_state[key]
        address.put(name, None if new is None or (new == default and not is_told) else str(new))
        if name.startswith("eval_") and name != "eval_page":
            address.put("eval_page", None)

    return key, changed


def control(place: Any, label: str, name: str, options: Sequence[str], *, is_told: bool = False, **more: Any) -> str:
    """A switch between a few options, of which the first is shown where the address says nothing."""
    key, changed = _ready(name, options, options[0], is_told=is_told)
    given = {"label_visibility": "collapsed", "required": True} | more
    return str(place.segmented_control(label, options, key=key, on_change=changed, **given))


def choice(place: Any, label: str, name: str, options: Sequence[str], default: str, **more: Any) -> str:
    key, changed = _ready(name, options, default)
    return str(place.selectbox(label, options, key=key, on_change=changed, **more))


def words(place: Any, label: str, name: str, **more: Any) -> str:
    key, changed = _ready(name, None, "")
    return str(place.text_input(label, key=key, on_change=changed, max_chars=500, **more) or "").strip()


def page(place: Any, name: str, n_pages: int) -> int:
    """The page of a list, from 1."""
    given = address.value(name) or "1"
    at = min(int(given), n_pages) if given.isdecimal() and int(given) else 1
    if n_pages < 2:
        return 1
    key = f"linked_{name}_{at}"  # another page is another input: one with a default may not be given a value too

    def changed() -> None:
        new = st.session_state[key]
        address.put(name, None if new == 1 else str(new))

    return int(place.pagination(n_pages, default=at, key=key, max_visible_pages=5, on_change=changed))
