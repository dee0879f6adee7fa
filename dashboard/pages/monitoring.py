"""Monitoring: what was asked, how it went, what it cost. All of it reads rollups."""

import streamlit as st

from core.domain.metrics import Metrics
from dashboard import charts, formatting, queries
from dashboard.components import budgets, chart_table, demo

ALL = "all models"


def headline(now: Metrics, before: Metrics) -> None:
    cards = st.columns(6)

    def card(at: int, label: str, value: str, change: str | None, help_text: str, inverse: bool) -> None:
        cards[at].metric(
            label,
            value,
            change,
            delta_color="inverse" if inverse else "normal",
            border=True,
            help=f"{help_text} Below: against the period before.",
        )

    card(
        0, "Requests", formatting.count(now.n), formatting.change(now.n, before.n), "All calls, failed ones too.", False
    )
    card(
        1,
        "Answered",
        formatting.percent(now.success_rate),
        formatting.change(now.success_rate, before.success_rate),
        "Share of calls that ended with a complete answer; stopped ones aside.",
        False,
    )
    card(
        2,
        "Latency p50",
        formatting.seconds(now.p50_s),
        formatting.change(now.p50_s, before.p50_s),
        "Half of the answered calls were faster.",
        True,
    )
    card(
        3,
        "Latency p95",
        formatting.seconds(now.p95_s),
        formatting.change(now.p95_s, before.p95_s),
        f"95 of 100 answered calls were faster; p99: {formatting.seconds(now.p99_s)}.",
        True,
    )
    card(
        4,
        "First token p50",
        formatting.seconds(now.ttft_p50_s),
        formatting.change(now.ttft_p50_s, before.ttft_p50_s),
        "Time until the first text of half of the calls.",
        True,
    )
    cost = formatting.usd(now.cost_usd) if now.n_unpriced < max(1, now.n) else "unknown"
    card(5, "Cost", cost, formatting.change(float(now.cost_usd), float(before.cost_usd)), "Known cost in USD.", True)
    if now.n_unpriced:
        st.warning(
            f"{now.n_unpriced:,} calls ({formatting.tokens(now.unpriced_tokens)}) have no known price and are not in the cost.",
            icon=":material/help:",
        )
    if now.n_estimated:
        st.caption(f"{now.n_estimated:,} calls broke off or came without a token count; their cost is an estimate.")


st.title("Monitoring")
top = st.container(horizontal=True, vertical_alignment="bottom")
label = (
    top.segmented_control(
        "Range", list(queries.RANGES), default="30 days", key="range", required=True, bind="query-params"
    )
    or "30 days"
)
model = top.selectbox("Model", [ALL, *queries.model_names()], key="monitor_model", width=240)
has_real = queries.has_calls(simulated=False)
simulated = top.toggle(
    "Simulated",
    value=not has_real,
    key="monitor_simulated",
    help="Simulated calls instead of the real ones; the two are never added up.",
)
chosen = None if model == ALL else model

now, before = queries.totals(label, chosen, simulated)
if now.n == 0:
    demo.offer(
        f"No {'simulated' if simulated else 'real'} call in the last {label}. Ask something in the Playground or through the API.",
        "monitor_demo",
    )
    budgets.show()
    st.stop()
if simulated:
    st.badge("simulated – costs are examples", color="orange")
headline(now, before)

bucket = queries.bucket_of(label)
time_frame = queries.over_time(label, chosen, simulated)
model_frame = queries.by_model(label, chosen, simulated, bucket)
errors = queries.errors_over_time(label, chosen, simulated)
left, right = st.columns(2, gap="medium")
with left:
    chart_table.show(
        "Cost by model",
        charts.cost_over_time(model_frame, bucket),
        model_frame,
        help_text="Known cost in USD; unpriced calls are in the tooltip.",
        key="cost",
    )
    chart_table.show(
        "Requests",
        charts.requests_over_time(time_frame, bucket),
        time_frame[["time", "requests", "errors"]],
        help_text="All calls, failed ones too.",
        key="requests",
    )
    chart_table.show(
        "Tokens by kind",
        charts.tokens_over_time(time_frame, bucket),
        time_frame[["time", "input", "cached", "thinking", "output"]],
        help_text="Input without its cached part, output without thinking: the four add up.",
        key="tokens",
    )
with right:
    chart_table.show(
        "Latency",
        charts.latency_over_time(time_frame, bucket),
        time_frame[["time", "p50 s", "p95 s", "p99 s"]],
        help_text="Of answered calls, from the request to the last byte, within 1.1 % of the exact percentile.",
        key="latency",
    )
    chart_table.show(
        "Time to first token",
        charts.ttft_over_time(time_frame, bucket),
        time_frame[["time", "TTFT p50 s", "TTFT p95 s", "TTFT p99 s"]],
        help_text="From the request to the first text.",
        key="ttft",
    )
    if errors.empty:
        st.markdown("**Errors by class**")
        st.caption("No errors in this range.")
    else:
        chart_table.show(
            "Errors by class",
            charts.errors_over_time(errors, bucket),
            errors,
            help_text="Calls that did not end with a complete answer, after retries.",
            key="errors",
        )
chart_table.show(
    "Answered",
    charts.success_over_time(time_frame, bucket),
    time_frame[["time", "success %", "requests"]],
    help_text="Share of calls with a complete answer.",
    key="success",
)

st.subheader("By model")
table = queries.by_model(label, chosen, simulated).drop(columns=["time"])
st.dataframe(
    table,
    hide_index=True,
    column_config={c: st.column_config.NumberColumn(format="%.3f") for c in table.columns if c.endswith(" s")}
    | {
        "cost $": st.column_config.NumberColumn("Cost", format="$%.6f"),
        "success %": st.column_config.NumberColumn(format="%.2f"),
    },
)
st.download_button(
    "CSV",
    table.to_csv(index=False).encode(),
    "by_model.csv",
    "text/csv",
    key="csv_by_model",
    icon=":material/download:",
    on_click="ignore",
)
budgets.show()
