"""Vendors with where their keys come from, and a button for each that says exactly what is wrong."""

import streamlit as st

from dashboard import formatting, process
from dashboard.components.settings import rows
from dashboard.frames import models
from dashboard.process import manager
from dashboard.visitors import allowed

SERVERS_HELP = (
    "Any server that speaks OpenAI's API (vLLM, LM Studio, OpenRouter, …): set AIMM_SERVERS=name=address, and its key"
    " in AIMM_SERVER_NAME_KEY. Its models are called name/model."
)


def show() -> None:
    st.subheader("Vendors", help=SERVERS_HELP, anchor=False)
    with st.container(border=True):
        for name, variable, source in rows.vendor_keys():
            _row(name, variable, source)
    for (vendor, model), opening in sorted(manager().breakers.states().items()):
        st.warning(
            f"{formatting.plain(model)} of {formatting.plain(vendor)}: circuit open until "
            f"{formatting.when(opening.ends_at)}. {formatting.plain(opening.reason)}",
            icon=":material/electrical_services:",
        )


def _row(name: str, variable: str, source: str) -> None:
    label = formatting.plain(models.vendor(name))
    line = st.container(horizontal=True, vertical_alignment="center", gap="small")
    line.markdown(f"**{label}**", width=110)
    if not source:
        line.caption(f"Not set up: set `{variable}`", width="content")
        return
    line.caption(formatting.plain(source), width="content")
    line.space("stretch")
    if line.button(f"Test {label}", key=f"vendor_{name}", **allowed.needs("editor")):
        with process.aside(), st.spinner(f"Asking {label} …"):
            check = manager().vendors.check(name)
        if check.works:
            st.success(formatting.plain(check.message), icon=":material/check_circle:")
        else:
            title = models.TITLES.get(check.status, "Not working")
            st.error(f"**{label}: {title}.** {formatting.plain(check.message)}", icon=":material/error:")
