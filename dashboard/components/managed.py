"""The things of a page that a file of configuration manages."""

import streamlit as st

from dashboard import formatting
from dashboard.process import manager

MOST = 8


@st.cache_data(ttl=5, show_spinner=False)
def _managed(section: str) -> dict[str, list[str]]:
    """The names of what each file manages."""
    found: dict[str, list[str]] = {}
    for name, source in manager().configuration.managed(section).items():
        found.setdefault(source, []).append(name)
    return found


def note(*sections: str) -> None:
    """Say which file manages what here; nothing where none does."""
    for section in sections:
        for source, names in _managed(section).items():
            more = f" and {len(names) - MOST:,} more" if len(names) > MOST else ""
            text = f"{source} manages the {section} {', '.join(sorted(names)[:MOST])}{more}: "
            st.caption(
                f":material/description: {formatting.plain(text)}what is changed here, the next `aimm apply` sets back."
            )
