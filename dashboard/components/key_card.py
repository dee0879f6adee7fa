"""The card that turns on a real model: try a key, be told exactly what is wrong, use it."""

import streamlit as st

from dashboard import formatting, process
from dashboard.components import inputs
from dashboard.frames import models
from dashboard.process import manager
from dashboard.visitors import allowed

_ICON = {"works": ":material/check_circle:", "network": ":material/wifi_off:"}


def show() -> None:
    """Draw the card, for whoever may turn a model on for all."""
    if not allowed.may("admin"):
        st.caption(f"Keys of vendors are an admin's to give. {allowed.why_not('admin')}")
        return
    with st.container(border=True):
        st.markdown("**Use a real model**")
        form()


def form() -> None:
    st.caption(
        "Paste a Gemini key from [Google AI Studio](https://aistudio.google.com/apikey). If it works, it is used,"
        " and stays in memory: it is never stored or logged. To keep it, add it on the Settings page, encrypted, or set"
        " GEMINI_API_KEY in a .env file."
    )
    with st.form("key_form", border=False):
        key = st.text_input("Gemini API key", type="password", key="key_field", autocomplete="off")
        test = st.form_submit_button("Test key", icon=":material/key:", width="stretch", **allowed.needs("admin"))
    if test:
        _try(key.strip() if key else "")


def _try(key: str) -> None:
    if not key:
        st.warning("Paste a key first.", icon=":material/key:")
        return
    with process.aside(), st.spinner("Asking the vendor …"):
        check = manager().vendors.check_key(key)
    if not check.works and check.status not in ("quota", "no_tier"):
        st.error(
            f"**{models.TITLES.get(check.status, check.status)}.** {formatting.plain(check.message)}",
            icon=_ICON.get(check.status),
        )
        return
    if not inputs.done(st, manager().vendors.use_key, key):
        return
    st.cache_data.clear()
    st.success(formatting.plain(check.message), icon=_ICON["works"])


def problems() -> None:
    """A line for each vendor whose list of models could not be read, with the way to its settings."""
    for name, said, message in models.problems():
        line = st.container(horizontal=True, vertical_alignment="center", gap="small")
        text = f":orange[:material/warning:] {formatting.plain(name)}: {formatting.plain(said)}"
        line.markdown(text, width="content", help=formatting.plain(message))
        line.page_link("pages/settings.py", label=f"Fix {formatting.plain(name)}", width="content")
