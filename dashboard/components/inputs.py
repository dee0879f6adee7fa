"""Inputs whose value stays while other pages are looked at. `place` is a column, a container or `st` itself."""

from collections.abc import Sequence
from typing import Any

from core import AimmError
from dashboard import formatting


def text(place: Any, label: str, key: str, **options: Any) -> str:
    return place.text_input(label, key=key, persist_state="session", **options) or ""


def number(place: Any, label: str, key: str, bounds: tuple[float, float], value: Any = None, **options: Any) -> Any:
    """None where it is empty. Whole numbers as bounds ask for a whole number."""
    return place.number_input(label, *bounds, value, key=key, persist_state="session", **options)


def choice(place: Any, label: str, key: str, options: Sequence[Any], at: int | None = 0, **more: Any) -> Any:
    return place.selectbox(label, options, at, key=key, persist_state="session", **more)


def choices(place: Any, label: str, key: str, options: Sequence[Any], given: Sequence[Any] = (), **more: Any) -> Any:
    return place.multiselect(label, options, given, key=key, persist_state="session", **more)


def switch(place: Any, label: str, key: str, help_text: str) -> bool:
    return bool(place.toggle(label, key=key, persist_state="session", help=help_text))


def refused(place: Any, error: AimmError) -> None:
    """Say why something was not done, and what to do about it."""
    place.error(formatting.plain(error.text), icon=":material/error:")
