"""Datasets: the cases that prompts and models are tried on, in versions that never change."""

import streamlit as st

from dashboard import address, formatting
from dashboard.components import head
from dashboard.components.library import datasets, importing, opening
from dashboard.process import manager
from dashboard.visitors import allowed

service = manager().datasets
top = head.show("Datasets")
shown = opening.shown("dataset", service.get, top)
top.button(
    "Import", icon=":material/upload_file:", key="datasets_import", type="secondary" if shown else "primary",
    on_click=address.put, args=("import", "new"), **allowed.needs("editor"),
)  # fmt: skip
if shown is None:
    datasets.listed(service.all())
else:
    st.subheader(formatting.plain(shown.dataset), anchor=False)
    datasets.one(shown)
if address.value("import"):
    importing.show()
