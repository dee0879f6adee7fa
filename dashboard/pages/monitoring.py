"""Monitoring: what was asked, how it went, what it cost. All of it reads rollups."""

import streamlit as st

from dashboard import address, tables
from dashboard.charts.monitoring import (
    cost_over_time,
    errors_over_time,
    latency_over_time,
    requests_over_time,
    success_over_time,
    tokens_over_time,
    ttft_over_time,
)
from dashboard.components import chart_table, demo
from dashboard.components.monitoring import alerts, budgets, headline, reconcile, spend
from dashboard.formatting import COLUMN_FORMATS
from dashboard.frames import models, monitoring

ALL = "all models"
VIEWS = ("Overview", "Spend", "Budgets & alerts", "Reconcile")

st.title("Monitoring")
address.check("range", monitoring.RANGES, "range")
address.check("monitor_model", [ALL, *models.names()], "model")
address.check("monitor_view", VIEWS, "view")
top = st.container(horizontal=True, vertical_alignment="bottom")
ranges = list(monitoring.RANGES)
label = top.segmented_control("Range", ranges, default="30 days", key="range", required=True, bind="query-params")
label = label or "30 days"
model = top.selectbox("Model", [ALL, *models.names()], key="monitor_model", bind="query-params", width=240)
simulated = top.toggle(
    "Simulated",
    value=not monitoring.has_calls(simulated=False),
    key="monitor_simulated",
    bind="query-params",
    help="Show simulated calls instead of real ones. The two are never added together.",
)
chosen = None if model == ALL else model

view = st.segmented_control(
    "View",
    VIEWS,
    default=VIEWS[0],
    key="monitor_view",
    required=True,
    bind="query-params",
    label_visibility="collapsed",
)
if view == "Budgets & alerts":
    budgets.show()
    alerts.show()
    st.stop()
if view == "Reconcile":
    reconcile.show()
    st.stop()

now, before = monitoring.totals(label, chosen, simulated)
if now.n == 0:
    kind = "simulated" if simulated else "real"
    demo.offer(
        f"No {kind} calls in the last {label}. Ask something in the Playground or through the API.", "monitor_demo"
    )
    budgets.show()
    st.stop()
if simulated:
    st.badge("Simulated – costs are examples", color="orange")
headline.show(now, before)
if view == "Spend":
    spend.show(label, simulated)
    st.stop()

bucket, span = monitoring.bucket_of(label), monitoring.span(label)
times = monitoring.over_time(label, chosen, simulated)
models = monitoring.by_model(label, chosen, simulated, bucket)
errors = monitoring.errors_over_time(label, chosen, simulated)
left, right = st.columns(2, gap="medium")
with left:
    text = "Known cost in USD. Unpriced calls are in the tooltip."
    chart_table.show("Cost by model", cost_over_time(models, span), models, help_text=text, key="cost")
    table = times[["time", "requests", "errors"]]
    text = "All calls, failed ones too."
    chart_table.show("Requests", requests_over_time(times, span), table, help_text=text, key="requests")
    table = times[["time", "input", "cached", "thinking", "output"]]
    text = "Input without its cached part, output without thinking: the four add up."
    chart_table.show("Tokens by type", tokens_over_time(times, span), table, help_text=text, key="tokens")
with right:
    table = times[["time", "p50 s", "p95 s", "p99 s"]]
    text = "Successful calls, from the request to the last byte. Percentiles are within 1.1 % of the exact ones."
    chart_table.show("Latency", latency_over_time(times, span), table, help_text=text, key="latency")
    table = times[["time", "first token p50 s", "first token p95 s", "first token p99 s"]]
    text = "From the request to the first text."
    chart_table.show("Time to first token", ttft_over_time(times, span), table, help_text=text, key="ttft")
    if errors.empty:
        st.markdown("**Errors by type**")
        st.caption("No errors in this range.")
    else:
        text = "Calls without a complete answer, after all retries."
        chart = errors_over_time(errors, span)
        chart_table.show("Errors by type", chart, errors, help_text=text, key="errors")
table = times[["time", "success %", "requests"]]
text = "Share of calls with a complete answer, stopped ones aside."
chart_table.show("Success rate", success_over_time(times, span), table, help_text=text, key="success")

st.subheader("By model")
table = monitoring.by_model(label, chosen, simulated).drop(columns=["time"])
formats = {
    name: st.column_config.NumberColumn(format=COLUMN_FORMATS[unit])
    for name in table.columns
    if (unit := name.rpartition(" ")[2]) in COLUMN_FORMATS
}
tables.show(table, column_config=formats)
tables.csv(table, "by_model")
budgets.show()
