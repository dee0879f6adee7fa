"""Budgets: a bar each, and a form for a new one."""

import streamlit as st

from core import AimmError
from dashboard import formatting, queries
from dashboard.session import manager


def show() -> None:
    st.subheader(
        "Budgets", help="Known cost of real calls against a limit per calendar period. Simulated calls never count."
    )
    for outlook in queries.outlook():
        status, budget = outlook.status, outlook.status.budget
        bar, remove = st.columns([9, 1], vertical_alignment="center")
        text = (
            f"**{formatting.plain(budget.name)}** ({budget.scope}, {budget.action}): {formatting.usd(status.spent_usd)} of {formatting.usd(budget.limit_usd)} "
            f"this {budget.period} ({budget.timezone}) · {formatting.usd(status.left_usd)} left · resets {formatting.when(status.resets_at)}"
        )
        if outlook.expected_usd is not None:
            text += f" · about {formatting.usd(outlook.expected_usd)} by then"
        bar.progress(min(1.0, status.share_spent), text=text.replace("$", "\\$"))
        if remove.button("", icon=":material/delete:", key=f"budget_delete_{budget.id}", help="Delete this budget"):
            manager().budgets.delete(budget.id)
            st.rerun()
    with st.expander("New budget", icon=":material/add:"), st.form("budget_form", border=False):
        top = st.columns(3)
        name = top[0].text_input("Name", key="budget_name")
        limit = top[1].number_input("Limit (USD)", 0.01, 1e9, 30.0, key="budget_limit")
        period = top[2].selectbox("Period", ["month", "week", "day"], key="budget_period")
        row = st.columns(4)
        timezone = row[0].text_input(
            "Time zone", "UTC", key="budget_zone", help="Such as Europe/Berlin; the period begins at its midnight."
        )
        scope = row[1].selectbox(
            "Scope",
            ["all", *(f"model:{name}" for name in queries.model_names() if not name.startswith("sim-"))],
            key="budget_scope",
        )
        action = row[2].selectbox(
            "Action", ["notify", "stop"], key="budget_action", help="stop: calls are refused once the limit is spent."
        )
        chips = row[3].multiselect(
            "Thresholds (%)",
            [25, 50, 75, 80, 90, 100],
            [50, 80, 100],
            key="budget_thresholds",
            help="The banner speaks from the first one on.",
        )
        if st.form_submit_button("Add", icon=":material/add:"):
            try:
                manager().budgets.create(
                    name or "",
                    limit or 0,
                    period=period or "month",
                    timezone=timezone or "UTC",
                    scope=scope or "all",
                    action=action or "notify",
                    thresholds=[c / 100 for c in chips],
                )
            except AimmError as error:
                st.error(formatting.plain(error.message))
            else:
                st.rerun()
