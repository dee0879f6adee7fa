"""Vendors that are set up, and a button for each that says exactly what is wrong."""

import streamlit as st

from core.vendors import VENDORS, VendorSpec
from dashboard import formatting
from dashboard.process import manager

SERVERS_HELP = (
    "Any server that speaks OpenAI's API (vLLM, LM Studio, OpenRouter, …): set AIMM_SERVERS=name=address, and its key"
    " in AIMM_SERVER_NAME_KEY. Its models are called name/model."
)


def show() -> None:
    mm = manager()
    with st.container(border=True):
        st.markdown("**Vendors**", help=SERVERS_HELP)
        found = mm.vendors.names
        for name in [*found, *(name for name in VENDORS if name not in found)]:
            _row(name, is_set_up=name in found)
        for (vendor, model), opening in sorted(mm.breakers.states().items()):
            st.warning(
                f"{formatting.plain(model)} of {formatting.plain(vendor)}: circuit open until "
                f"{formatting.when(opening.ends_at)}. {formatting.plain(opening.reason)}",
                icon=":material/electrical_services:",
            )


def _row(name: str, *, is_set_up: bool) -> None:
    left, right = st.columns([3, 1], vertical_alignment="center")
    spec = VENDORS.get(name)
    label = spec.label if spec else name
    if spec and not is_set_up:
        left.caption(f"{label}: not set up ({_how(spec)})")
        return
    left.markdown(formatting.plain(label))
    if right.button("Test", key=f"vendor_{name}", type="tertiary"):
        with st.spinner("Asking the vendor …"):
            check = manager().vendors.check(name)
        (st.success if check.works else st.error)(formatting.plain(check.message))


def _how(spec: VendorSpec) -> str:
    """The settings by which a vendor is set up."""
    if spec.is_local:
        return f"detected while it runs, or {spec.url_variable}"
    return f"{spec.key_variables[0]}, or the card above" if spec.name == "gemini" else spec.key_variables[0]
