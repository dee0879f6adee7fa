"""Alerts: what fires now, the rules by which it does, silences, and messages."""

import streamlit as st

from dashboard.components import head, managed
from dashboard.components.alerts import form, listed
from dashboard.components.budgets import alerts as messages
from dashboard.frames import alerts
from dashboard.visitors import allowed

row = head.show("Alerts")
row.button(
    "New rule", type="primary", icon=":material/add:", key="rule_add", on_click=form.open_new, **allowed.needs("admin")
)
found = alerts.standing()
listed.silences(found)
if found.rules:
    listed.firing(found)
    listed.rules(found)
else:
    st.info(
        "No rules yet. A rule tells when too many calls fail or take too long, a circuit opens, a rollout is taken"
        " back, an experiment is decided or a gate fails. Begin with a suggested one, **New rule**, or"
        " `aimm alerts apply FILE`.",
        icon=":material/notifications:",
    )
listed.suggested(found)
messages.budgets_alerts()
messages.channels()
managed.note("alerts")
form.show()
