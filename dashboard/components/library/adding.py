"""Recorded calls as rows of a dataset: a small form wherever calls are shown."""

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from core import AimmError
from core.domain.generation import Generation
from dashboard import formatting
from dashboard.components import clicks, inputs
from dashboard.components.library.people import author
from dashboard.process import manager
from dashboard.visitors import allowed

MOST = 1000


def popover(
    place: Any, key: str, calls: Callable[[], Sequence[Generation]], what: str, *, skip_bad: bool = False
) -> None:
    """A button that opens the form."""
    with place.popover("Add to dataset", icon=":material/playlist_add:", type="tertiary", **allowed.needs("editor")):
        form(key, calls, what, skip_bad=skip_bad)


def form(key: str, calls: Callable[[], Sequence[Generation]], what: str, *, skip_bad: bool = False) -> None:
    """The form. calls: Gives them once they are added; what: They, in words; skip_bad: See `from_log`."""
    st.caption(f"{what}: a row each, with the turns that were asked.")
    names = [dataset.name for dataset in manager().datasets.all()]
    name = inputs.choice(
        st, "Dataset", f"{key}_dataset", names, 0 if names else None, placeholder="A name", accept_new_options=True
    )
    expects = inputs.switch(st, "Answer as expected", f"{key}_expects", "Checks can hold new answers against it.")
    clicked = st.button("Add", type="primary", key=f"{key}_add", disabled=not name)
    if not clicks.first(clicked, key, (name, expects)):
        return
    said: dict[str, Any] = {"expects": expects, "skip_bad": skip_bad, "author": author()}
    try:
        version = manager().datasets.from_log(name, [manager().log.get(call.id) for call in calls()], **said)
    except AimmError as error:
        inputs.refused(st, error)
        return
    st.success(formatting.plain(f"{version.ref} has {version.n_rows:,} rows now. {version.note}".strip()))
    st.page_link("pages/library/datasets.py", label="Open", query_params={"dataset": version.ref})
