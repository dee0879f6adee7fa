"""The catalogue of list prices, and who changed what about prices and budgets."""

import streamlit as st

from dashboard import formatting, tables
from dashboard.frames.money import prices
from dashboard.process import manager
from dashboard.visitors import allowed


def show() -> None:
    """The catalogue in use, and a newer one: first the difference, then the choice."""
    service = manager().prices
    version = formatting.plain(service.book.catalogue.version)
    st.markdown(f"In use: genai-prices **{version}**. Nothing is fetched automatically.")
    may = allowed.needs("admin")
    if service.taken_version is not None and st.button("Restore the shipped catalogue", key="catalogue_back", **may):
        service.use_shipped()
        st.rerun()
    file = st.file_uploader("Newer catalogue (data.json of genai-prices)", "json", key="catalogue_file")
    if file is None:
        st.caption("`aimm prices diff URL` and `aimm prices update URL` do the same from a terminal.")
        return
    content = file.getvalue().decode("utf-8", "replace")
    changes = service.compare(content)
    if not changes:
        st.success("No price would change.", icon=":material/check_circle:")
        return
    st.markdown(f"**{len(changes)} models would change**")
    tables.show(prices.changes(changes))
    if st.button("Use this catalogue", type="primary", key="catalogue_take", icon=":material/download_done:", **may):
        service.take(content)
        st.rerun()


def audit() -> None:
    if not allowed.may("admin"):
        st.caption(allowed.why_not("admin"))
        return
    frame = prices.audit()
    if frame.empty:
        st.caption("No changes to prices or budgets yet.")
    else:
        tables.show(frame, column_config={"time": tables.TIME})
