"""Monitoring: what was asked, how it went, what it cost. All of it reads rollups."""

import streamlit as st

from dashboard import address, formatting, theme
from dashboard.components import demo, head
from dashboard.components.monitoring import overview, reconcile, spend
from dashboard.frames import models, monitoring

ALL = "All models"
VIEWS = ("Overview", "Spend", "Reconcile")

top = head.show("Monitoring")
address.check("range", monitoring.RANGES, "range")
names = [ALL, *models.names_on_record()]
address.check("monitor_model", names, "model")
address.check("monitor_view", VIEWS, "view")
row = st.container(horizontal=True, vertical_alignment="center")
view = row.segmented_control(
    "View", VIEWS, default=VIEWS[0], key="monitor_view", required=True, bind="query-params",
    label_visibility="collapsed",
)  # fmt: skip
is_bill = view == "Reconcile"  # which has days of its own
label = top.segmented_control(
    "Range", list(monitoring.RANGES), default="30d", key="range", required=True, bind="query-params",
    label_visibility="collapsed", on_change=address.put, args=("zoom", None), disabled=is_bill,
) or "30d"  # fmt: skip
name = top.selectbox(
    "Model", names, key="monitor_model", bind="query-params", width=220, label_visibility="collapsed", disabled=is_bill
)
simulated = top.toggle(
    "Simulated", value=not monitoring.has_calls(simulated=False), key="monitor_simulated", bind="query-params",
    help="Show simulated calls instead of real ones. The two are never added together.", disabled=is_bill,
)  # fmt: skip
model = None if name == ALL else name
of = monitoring.chosen(label, address.value("zoom"))

zoomed = f"Zoomed: {formatting.stretch(of.span.since, of.span.until)}"
if of.is_zoomed and not is_bill and row.button(zoomed, icon=":material/close:", key="unzoom"):
    address.put("zoom", None)
    st.rerun()
if is_bill:
    reconcile.show()
    st.stop()

if monitoring.totals(of, model, simulated)[0].n == 0:
    kind = "simulated" if simulated else "real"
    demo.offer(f"No {kind} calls in this range. Ask something in the Playground or through the API.", "monitor_demo")
    st.stop()
if simulated:
    row.badge("Simulated – costs are examples", color="orange")
if view == "Spend":
    spend.show(of, model, simulated, theme.mode())
else:
    overview.show(of, model, simulated, theme.mode())
