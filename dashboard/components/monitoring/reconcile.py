"""Reconcile: a vendor's bill against our own ledger, with the likely cause of each drift."""

from datetime import UTC, datetime, timedelta

import streamlit as st

from core import AimmError
from core.monitoring.bills.reconcile import Reconciliation
from dashboard import formatting, tables
from dashboard.components import inputs
from dashboard.frames import models
from dashboard.frames.money import spend
from dashboard.process import manager
from dashboard.visitors import allowed

HELP = (
    "Google Cloud: Billing → Cost table → Download CSV, or BigQuery's export as CSV or JSON. OpenAI: Usage → Costs →"
    " Export. Anthropic: Cost → Export. OpenRouter: Activity → Export. Azure's and AWS's cost exports, FOCUS, and any"
    " other CSV with a date, a model and a cost in US dollars work too. Only the sums by day and by model are stored."
)
_TYPES = ["csv", "tsv", "txt", "json", "jsonl"]
AS_SAID, ALL = "As in the file", "All providers"


def show() -> None:
    st.caption(f"A vendor's bill beside what is on record here, by day and by model. {HELP}")
    left, right = st.columns(2, gap="medium")
    may = allowed.needs("admin")
    with left:
        file = st.file_uploader("Vendor bill (CSV or JSON)", _TYPES, key="bill_file", **may)
        options = [AS_SAID, ALL, *_providers()]
        whose = inputs.choice(st, "Calls of", "bill_whose", options, accept_new_options=True)
        if file is not None and st.button(
            "Compare", type="primary", key="bill_compare", icon=":material/balance:", **may
        ):
            provider = {AS_SAID: None, ALL: ""}.get(whose, whose)
            _run(lambda: manager().reconciliations.of_file(file.getvalue(), provider=provider))
    with right, st.form("bill_form", border=False):
        row = st.columns([1, 0.8, 1.6])
        usd = inputs.number(row[0], "Or its total (USD)", "bill_usd", (0.0, 1e9), placeholder="0.00")
        provider = inputs.text(row[1], "Provider", "bill_provider", value="gemini")
        last = datetime.now(UTC).date().replace(day=1) - timedelta(days=1)  # the month that is over has a bill
        month = (last.replace(day=1), last)
        days = row[2].date_input(
            f"Billing period{formatting.of_utc()}", month, key="bill_days", persist_state="session"
        )
        if st.form_submit_button("Compare", icon=":material/balance:", **may):
            both = (days[0], days[-1]) if days else (last, last)
            _run(lambda: manager().reconciliations.of_number("" if usd is None else usd, provider.strip(), *both))
    found = st.session_state.get("bill_found")
    if isinstance(found, Reconciliation):
        _draw(found)
    _kept()


def _run(compare: object) -> None:
    try:
        st.session_state.bill_found = compare()  # type: ignore[operator]
    except AimmError as error:
        st.session_state.pop("bill_found", None)
        inputs.refused(st, error)


def _providers() -> list[str]:
    return sorted({model.provider for model in models.by_name().values() if not model.is_simulated})


def _draw(found: Reconciliation) -> None:
    total = found.total
    cards = st.container(horizontal=True)
    for label, value in (
        ("Billed", formatting.usd(total.billed_usd)),
        ("On record", formatting.usd(total.booked_usd)),
        ("Drift", formatting.percent(None if total.share is None else float(total.share), 2)),
    ):
        cards.metric(label, value, border=True, width=180)
    st.markdown(
        f"{found.since} to {found.until}, {formatting.plain(found.source)},"
        f" {formatting.plain(found.provider or ALL)}. **{formatting.plain(total.cause)}**"
    )
    for text in found.skipped:
        st.caption(formatting.plain(text))
    left, right = st.columns(2, gap="medium")
    with left:
        st.markdown("**By model**")
        tables.show(spend.drift(found.by_model, "model"))
    if any(day.on is not None for day in found.by_day):
        with right:
            st.markdown(f"**By day{formatting.of_utc()}**")
            tables.show(spend.drift(found.by_day, "day"))


def _kept() -> None:
    frame = spend.reconciliations()
    if not frame.empty:
        st.markdown("**Earlier reconciliations**")
        tables.show(frame)
