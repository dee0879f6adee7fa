"""The way from the list of prompts or datasets into one of them, to another version of it, and back."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import pandas as pd
import streamlit as st

from core import NotFound
from dashboard import address, tables

Version = TypeVar("Version")


def shown(kind: str, find: Callable[[str], Version], top: Any) -> Version | None:
    """The version in the address, with a way back beside the page's title. kind: Its name there: prompt, dataset."""
    ref = address.value(kind)
    if not ref:
        return None
    try:
        found = find(ref)
    except NotFound:
        address.missing(kind, kind)
        return None
    top.button(
        f"All {kind}s", icon=":material/arrow_back:", key=f"{kind}s_all", type="tertiary", on_click=address.put,
        args=(kind, None),
    )  # fmt: skip
    return found


def table(kind: str, frame: pd.DataFrame, key: str, refs: Sequence[str], now: str = "", **options: Any) -> None:
    """A table whose rows open what they name. now: The one that is open."""
    at = tables.opened(frame, key, refs, **options)
    if at is not None and at != now:
        address.put(kind, at)
        st.rerun()
