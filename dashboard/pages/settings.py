"""Settings: what this process runs with and where each value comes from, vendors' keys, storage, the demo data."""

from html import escape

import streamlit as st

from dashboard import formatting, login
from dashboard.components import demo, head, key_card
from dashboard.components.settings import deployments, retention, rows, vendors
from dashboard.frames import monitoring
from dashboard.visitors import allowed

HEADS = ("Setting", "Value", "Comes from", "What it does")


def group(name: str, settings: list[rows.Row]) -> None:
    st.subheader(name, anchor=False)
    lines = [
        f"<tr><td>{escape(row.name)}<br><code>{row.variable}</code></td><td><b>{escape(row.value)}</b></td>"
        f"<td>{row.source}</td><td>{escape(row.effect)}</td></tr>"
        for row in settings
    ]
    heads = "".join(f'<th scope="col">{each}</th>' for each in HEADS)
    st.html(
        f'<div class="aimm-wide"><table class="aimm-table aimm-settings"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


row = head.show("Settings")
with row:
    login.log_out()
st.caption(
    "Values come from the environment or a .env file in the folder where the server was started, and are read at its"
    " start; .env.example names all. Secrets are told as set or not set."
)
left, right = st.columns([1.5, 1], gap="medium")
with left:
    vendors.show()
    deployments.show()
with right:
    key_card.show()
for name, settings in rows.groups().items():
    group(name, settings)
kind, n_bytes, n_calls = rows.stored()
size = "size unknown" if n_bytes is None else f"{n_bytes / 1e6:,.1f} MB"
st.caption(formatting.plain(f"{kind} · {size} · {n_calls:,} calls on record"))

retention.show()

st.subheader("Demo data", anchor=False)
if monitoring.has_demo():
    st.caption("Two made-up months are loaded. They are marked simulated and never count in real totals.")
    if st.button("Remove demo data", icon=":material/delete:", key="settings_remove", **allowed.needs("editor")):
        demo.remove()
else:
    st.caption(
        "Two made-up months: calls with an incident on one of them, a workflow run, comparisons with votes, and two"
        " experiments."
    )
    if st.button("Load demo data", icon=":material/science:", key="settings_fill", **allowed.needs("editor")):
        demo.fill()
