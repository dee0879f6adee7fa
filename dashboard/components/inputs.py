"""Inputs whose value stays while other pages are looked at. `place` is a column, a container or `st` itself."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import streamlit as st

from core import AimmError
from dashboard import formatting


def text(place: Any, label: str, key: str, **options: Any) -> str:
    return place.text_input(label, key=key, persist_state="session", **options) or ""


def number(place: Any, label: str, key: str, bounds: tuple[float, float], value: Any = None, **options: Any) -> Any:
    """None where it is empty. Whole numbers as bounds ask for a whole number."""
    return place.number_input(label, *bounds, value, key=key, persist_state="session", **options)


def choice(place: Any, label: str, key: str, options: Sequence[Any], at: int | None = 0, **more: Any) -> Any:
    return place.selectbox(label, options, at, key=key, persist_state="session", **more)


def choices(
    place: Any, label: str, key: str, options: Sequence[Any], given: Sequence[Any] | None = None, **more: Any
) -> Any:
    return place.multiselect(label, options, given, key=key, persist_state="session", **more)


def switch(place: Any, label: str, key: str, help_text: str, value: bool = False) -> bool:
    return bool(place.toggle(label, value, key=key, persist_state="session", help=help_text))


def refused(place: Any, error: AimmError) -> None:
    """Say why something was not done, and what to do about it."""
    place.error(formatting.plain(error.text), icon=":material/error:")


def done(place: Any, deed: Callable[..., object], *args: Any, **options: Any) -> bool:
    """Do something; where it is refused, because somebody was faster or otherwise, say why."""
    try:
        deed(*args, **options)
    except AimmError as error:
        refused(place, error)
        return False
    return True


def refused_at(places: Mapping[str, Any], error: AimmError, otherwise: Any) -> None:
    """The same below the first field that the error names; `otherwise` where it names none of them."""
    named = (place for name, place in places.items() if re.search(rf"\b{name}", error.message))
    refused(next(named, otherwise), error)


def forget(prefix: str) -> None:
    """Empty the inputs whose keys begin so: what was typed there has been done."""
    for key in [key for key in st.session_state if str(key).startswith(prefix)]:
        del st.session_state[key]
